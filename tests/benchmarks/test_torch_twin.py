"""The network against its twin in PyTorch: two independent writings of the same formulas must agree, forward and backward."""

import os
import subprocess

import jittor as jt
import numpy as np
import pytest

from benchmarks.paired import PEERS, ROOT
from launch.build import build_model, fill
from launch.checkpoint import load_model, save_model
from launch.config import to_dict
from launch.presets import base, tiny

PARTS = ("initial", "joints", "skin", "error")
needs_torch = pytest.mark.skipif(not PEERS.exists(), reason="PyTorch is not installed: bash benchmarks/setup_peers.sh makes .venv-peers, "
                                                            "and then this compares the network with its twin")


def checkpoint_of(config, folder):
    """A random network of this config, as a checkpoint folder."""
    jt.set_global_seed(3)
    recipe = {"model": "transrefiner", "network": to_dict(config.network)}
    save_model(folder, {name: p.numpy() for name, p in build_model(recipe).named_parameters()}, recipe, {})
    return folder


def make_input(points: int, queries: int, joints: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    normals, query_normals = rng.normal(size=(2, points, 3)), rng.normal(size=(2, queries, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[1, ::3] = 0  # unknown normals take another way
    given = {"points": rng.uniform(-1, 1, (2, points, 3)), "normals": normals, "query": rng.uniform(-1, 1, (2, queries, 3)),
             "query_normals": query_normals / np.linalg.norm(query_normals, axis=-1, keepdims=True),
             "pull_initial": rng.normal(size=(2, joints, 3)), "pull_joints": rng.normal(size=(2, joints, 3)),
             "pull_skin": rng.normal(size=(2, queries, joints)), "pull_error": rng.normal(size=(2, joints))}
    return {name: np.float32(value) for name, value in given.items()}


def answer_of_jittor(folder, given) -> dict[str, np.ndarray]:
    params, config = load_model(folder)
    model = build_model(config)
    fill(model, params, str(folder))
    rig = model(*(jt.array(given[name]) for name in ("points", "normals", "query", "query_normals")))
    answer = {name: part for name, part in zip(PARTS, rig) if part is not None}
    total = sum((part * jt.array(given[f"pull_{name}"])).sum() for name, part in answer.items())
    named = dict(model.named_parameters())
    grads = jt.grad(total, list(named.values()))
    return {**{name: part.numpy() for name, part in answer.items()},
            **{f"gradient/{name}": grad.numpy() for name, grad in zip(named, grads)}}


def answer_of_torch(folder, given, tmp_path) -> dict[str, np.ndarray]:
    np.savez(tmp_path / "given.npz", **given)
    command = [str(PEERS), "-m", "benchmarks.torch_twin", str(folder), str(tmp_path / "given.npz"), str(tmp_path / "answer.npz")]
    # this process tells Python where to look; what it found for Jittor must not reach the other interpreter
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    with np.load(tmp_path / "answer.npz") as arrays:
        return dict(arrays)


@needs_torch
@pytest.mark.parametrize("which", ["released", "tiny", "base"])
def test_same_rig_and_same_gradients(which, tmp_path):
    presets = {"tiny": tiny, "base": base}
    folder = checkpoint_of(presets[which](52), tmp_path) if which in presets else ROOT / "output/TransRefiner-finetune"
    given = make_input(*{"released": (1024, 300), "tiny": (128, 64), "base": (2048, 200)}[which], 52)
    ours, theirs = answer_of_jittor(folder, given), answer_of_torch(folder, given, tmp_path)
    assert ours.keys() == theirs.keys()
    for name in set(PARTS) & ours.keys():
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-4, err_msg=name)
    norm = np.sqrt(sum(np.square(value).sum() for name, value in theirs.items() if name.startswith("gradient/")))
    for name in ours:
        if name.startswith("gradient/"):
            off = np.linalg.norm(ours[name] - theirs[name])
            # relative to the parameter's own gradient, or to all of them where its own is nothing but rounding
            assert off <= 1e-3 * max(np.linalg.norm(theirs[name]), 1e-4 * norm), (name, off, np.linalg.norm(theirs[name]))
