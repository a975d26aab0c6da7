"""Checkpoints as safetensors and JSON, nothing pickled; each file appears whole or not at all.

A released model is a folder: model.safetensors holds the arrays and, in its header, the config; config.json is the same config
for people to read. A training state is ONE file with everything, so that a kill at any moment leaves the old or the new state.
Arrays are NumPy on both sides; this file needs no Jittor.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dataset.asset import one_line
from dataset.disk import replace_file, writing

WEIGHTS, CONFIG = "model.safetensors", "config.json"
MODEL, STATE = "transrefiner-model-1", "transrefiner-training-state-1"
TYPES = {"BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "F16", "F32", "F64"}   # of arrays, as safetensors names them
Arrays = dict[str, np.ndarray]


def save_model(folder: str | Path, params: Mapping[str, np.ndarray], config: Mapping[str, Any],
               extra: Mapping[str, Any] | None = None) -> None:
    """Write folder/model.safetensors and folder/config.json; the folder is made when absent.

    params: name -> array of a plain numeric dtype. config: what load_model returns. extra: step, scores, provenance; for readers.
    The same input gives the same bytes. Raises: ValueError for an array or a value that the files cannot hold; WriteError.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    head = {"format": MODEL, "config": dict(config), "extra": dict(extra or {})}
    text = _to_json(head, folder / CONFIG, indent=2) + "\n"
    _write_arrays(folder / WEIGHTS, params, head)
    replace_file(folder / CONFIG, lambda part: part.write_text(text, encoding="utf-8"))


def load_model(folder: str | Path) -> tuple[Arrays, dict[str, Any]]:
    """(params, config) of a folder that save_model wrote. Does the network fit? Ask check_keys.

    Raises: FileNotFoundError when the weights are absent; ValueError naming the file when it is damaged or no model.
    Warns when config.json was edited: the weights' own copy of the config counts.
    """
    path = _weights_path(Path(folder))
    params, head = _read_arrays(path, MODEL, ("config", "extra"))
    readable = Path(folder) / CONFIG
    if readable.is_file() and _config_in(readable) != head["config"]:
        warnings.warn(f"{readable} differs from the config inside {path.name}, which counts; save the model again to mend it",
                      stacklevel=2)
    return params, head["config"]


def load_extra(folder: str | Path) -> dict[str, Any]:
    """What save_model was given as extra."""
    return _read_head(_weights_path(Path(folder)), MODEL, ("config", "extra"))["extra"]


def check_keys(shapes: Mapping[str, tuple[int, ...]], params: Mapping[str, np.ndarray], source: str = "the checkpoint") -> None:
    """Do the arrays fit the model? shapes: name -> shape of each parameter that the model has.

    Raises: ValueError that lists every missing, unexpected and misshapen name, and arrays that hold no real numbers or a NaN.
    """
    lines = [f"missing: {n} {tuple(shapes[n])}" for n in shapes if n not in params]
    lines += [f"unexpected: {n} {params[n].shape}" for n in params if n not in shapes]
    lines += [f"misshapen: {n} is {params[n].shape}, the model has {tuple(shapes[n])}" for n in shapes
              if n in params and tuple(shapes[n]) != params[n].shape]
    lines += [f"no finite real numbers: {n} of {params[n].dtype}" for n in shapes if n in params and not _is_real(params[n])]
    if lines:
        raise ValueError(f"{one_line(source)} does not fit the model:\n  " + "\n  ".join(map(one_line, lines)))


def _is_real(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def save_training_state(path: str | Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Replace path by the new state in one step. One process writes one path (rank 0 under MPI).

    arrays: weights, their running average, the optimiser's moments, by whatever names the optimiser gives them. meta: step, RNG,
    config, best score: plain JSON data; the state of np.random.PCG64 (rng.bit_generator.state) is such data.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    _write_arrays(path, arrays, {"format": STATE, "meta": dict(meta)})


def load_training_state(path: str | Path) -> tuple[Arrays, dict[str, Any]]:
    """(arrays, meta) as they were saved.

    Raises: FileNotFoundError; ValueError naming the file when it is damaged or no training state.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no training state at {path}; train without --resume to begin one")
    arrays, head = _read_arrays(path, STATE, ("meta",))
    return arrays, head["meta"]


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray], head: Mapping[str, Any]) -> None:
    # safetensors reads raw memory: a transposed view would be written scrambled, so every array is made C ordered (0-d kept)
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in dense.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{path}: {name} has dtype {array.dtype}; checkpoints hold numbers")
    metadata = {"json": _to_json(head, path)}  # one entry: with several, their order in the file would vary from run to run
    # not its save_file: that writes under a name of its own, which a kill would leave for ever, and for this user alone to read
    replace_file(path, lambda part: part.write_bytes(save(dense, metadata)))


def _read_arrays(path: Path, kind: str, parts: tuple[str, ...]) -> tuple[Arrays, dict[str, Any]]:
    head = _read_head(path, kind, parts)
    with safe_open(path, framework="numpy") as file:
        foreign = [f"{name} of {file.get_slice(name).get_dtype()}" for name in file.keys() if file.get_slice(name).get_dtype() not in TYPES]
        if foreign:
            raise ValueError(one_line(f"{path} holds {', '.join(foreign[:8])}, which NumPy does not know; save it as F32"))
        return {name: file.get_tensor(name) for name in file.keys()}, head


def _read_head(path: Path, kind: str, parts: tuple[str, ...]) -> dict[str, Any]:
    """The header's JSON, with a table under each name of `parts`. Raises: ValueError naming the file, in one printable line."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        head = json.loads(metadata.get("json", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        raise ValueError(one_line(f"{path} is damaged or no safetensors file: {error}")) from error
    found = head.get("format") if isinstance(head, dict) else None
    if found != kind:
        raise ValueError(one_line(f"{path} is no {kind} file (its header says {found or 'nothing'})"))
    absent = [part for part in parts if not isinstance(head.get(part), dict)]
    if absent:
        raise ValueError(one_line(f"{path} is damaged: its header has no {', '.join(absent)}"))
    return head


def _weights_path(folder: Path) -> Path:
    path = folder / WEIGHTS
    if not path.is_file():
        here = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else None
        found = (f"found there: {', '.join(here[:8]) or 'nothing'}" if here is not None
                 else "it is a file" if folder.exists() else "the folder does not exist")
        raise FileNotFoundError(one_line(f"no {WEIGHTS} in {folder} ({found}); name a checkpoint folder that holds {WEIGHTS}, "
                                         "pickled weights are never read"))
    return path


def _config_in(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _to_json(head: Mapping[str, Any], path: Path, indent: int | None = None) -> str:
    try:
        text = json.dumps(head, indent=indent)
    except TypeError as error:
        raise ValueError(f"{path}: config, extra and meta must be plain JSON data: {error}") from error
    if json.loads(text) != _lists(head):
        raise ValueError(f"{path}: config, extra or meta changes on its way through JSON (keys must be strings)")
    return text


def _lists(value: Any) -> Any:
    """value with tuples as lists, as JSON will have it."""
    if isinstance(value, Mapping):
        return {key: _lists(v) for key, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
