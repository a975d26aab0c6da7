"""The Jittor side of bench_step: writes network, batch and character to a folder, then serves training steps and forward passes.

    python -m benchmarks.step_jittor FOLDER --preset small [--device cuda]
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from launch.runtime import start_jittor

jt = start_jittor()

from benchmarks.paired import serve  # noqa: E402  (Jittor starts first)
from geometry.normals import normalize  # noqa: E402
from launch.build import build_model, fill  # noqa: E402
from launch.checkpoint import save_model  # noqa: E402
from launch.config import to_dict  # noqa: E402
from launch.optimizer import AdamW  # noqa: E402
from launch.presets import PRESETS, TrainConfig  # noqa: E402
from models.losses import RigLoss  # noqa: E402
from train_joint_model import random_turns, train_step  # noqa: E402

BATCH, VERTICES = 8, 10_000


def body(rng: np.random.Generator, batch: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on a figure of five capsule-like blobs and their normals: local densities as on a person, without any data."""
    centres = np.array([(0, 0, 0.2), (0.5, 0, 0.4), (-0.5, 0, 0.4), (0.15, 0, -0.6), (-0.15, 0, -0.6)])
    sizes = np.array([(0.2, 0.12, 0.4), (0.35, 0.07, 0.07), (0.35, 0.07, 0.07), (0.09, 0.09, 0.4), (0.09, 0.09, 0.4)])
    part, normals = rng.integers(0, 5, (batch, count)), normalize(rng.normal(size=(batch, count, 3)))
    return np.float32(centres[part] + normals * sizes[part]), np.float32(normals)


def make_batch(cfg: TrainConfig, parents: tuple) -> dict[str, np.ndarray]:
    """A batch as training sees it: shapes, ranges and sparsity of the weights (four joints a point)."""
    rng, joints, queries = np.random.default_rng(0), len(parents), cfg.data.queries
    points, normals = body(rng, BATCH, cfg.data.points)
    skin = np.zeros((BATCH, queries, joints), "float32")
    np.put_along_axis(skin, rng.integers(0, joints, (BATCH, queries, 4)), rng.dirichlet([1.0] * 4, (BATCH, queries)), axis=2)
    skin /= skin.sum(-1, keepdims=True)
    return {"points": points, "normals": normals, "query": points[:, :queries], "query_normals": normals[:, :queries],
            "joints": body(rng, BATCH, joints)[0], "joint_mask": np.ones((BATCH, joints), "float32"), "skin": skin,
            "skin_mask": np.ones(BATCH, "float32"), "upright": np.ones(BATCH, "float32"), "rotations": random_turns(rng, BATCH, parents)}


def make_character(cfg: TrainConfig) -> dict[str, np.ndarray]:
    """One character to rig: a cloud of the preset's size and all its vertices as queries."""
    rng = np.random.default_rng(1)
    points, normals = body(rng, 1, cfg.data.points)
    query, query_normals = body(rng, 1, VERTICES)
    return {"points": points, "normals": normals, "query": query, "query_normals": query_normals}


def write(folder: Path, cfg: TrainConfig, recipe: dict, params: dict, batch: dict, character: dict) -> None:
    save_model(folder, params, recipe, {})
    training = {"joint_count": cfg.network.joint_count, "loss": asdict(cfg.loss), "optim": asdict(cfg.optim)}
    (folder / "training.json").write_text(json.dumps(training))
    np.savez(folder / "batch.npz", **batch)
    np.savez(folder / "character.npz", **character)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="small")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    jt.flags.use_cuda = int(args.device == "cuda")
    jt.set_global_seed(0)
    cfg = PRESETS[args.preset](52)
    cfg = replace(cfg, optim=replace(cfg.optim, warmup=0, steps=10**9))  # the peak rate from the first step, as the twin has it
    recipe = {"model": "transrefiner", "network": to_dict(cfg.network)}
    model, predictor = build_model(recipe), build_model(recipe)
    loss_of = RigLoss(52, cfg.loss)
    batch, character = make_batch(cfg, loss_of.parents), make_character(cfg)
    params = {name: p.numpy() for name, p in model.named_parameters()}
    write(args.folder, cfg, recipe, params, batch, character)
    fill(predictor, params, str(args.folder))
    predictor.eval()
    optimizer = AdamW(dict(model.named_parameters()), cfg.optim)
    given = {name: jt.array(value) for name, value in character.items()}

    def train() -> dict:
        return {"loss": train_step(model, loss_of, optimizer, batch)["total"]}

    def forward() -> dict:
        with jt.no_grad():
            rig = predictor(given["points"], given["normals"], given["query"], given["query_normals"])
            return {"check": float(np.square(rig.skin_BQJ.numpy(), dtype=np.float64).sum())}

    serve({"train": train, "forward": forward})


if __name__ == "__main__":
    main()
