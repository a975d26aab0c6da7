"""The training door with one rank at fault: what tests/soak/ranks_in_trouble.py starts under mpirun.

    MISCHIEF="flip 1 3" mpirun -np 2 python -m tests.soak.ranks_mischief [options of train_joint_model.py]

MISCHIEF: what, the rank that it befalls, and the step. flip: one bit of a parameter; moment: one bit of the optimiser's state;
nan: a joint of its share of the batch; asset: a file that turns out bad when its turn comes; crash: a segmentation fault in native
code; quit: an exit with code 0 in the midst of training.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator

import train_joint_model as door
from dataset.asset import AssetError

import jittor as jt
import numpy as np


def flip_a_bit(var: jt.Var) -> None:
    array = var.numpy().copy()
    array.view("uint32").flat[0] ^= 1
    var.update(jt.array(array))


def poison(batch: dict) -> None:
    batch["joints"][0, 0] = np.nan


def refuse(batch: dict) -> None:
    raise AssetError(f"{batch['asset'][0]}: its skin holds NaN; mend or remove the file")


IN_BATCH = {"nan": poison, "asset": refuse, "crash": lambda batch: ctypes.string_at(0), "quit": lambda batch: sys.exit(0)}
AFTER_STEP = {"flip": lambda optimizer: flip_a_bit(next(iter(optimizer.named.values()))),
              "moment": lambda optimizer: flip_a_bit(next(iter(optimizer.square.values())))}


def with_trouble(what: str, step: int) -> None:
    """This rank's door goes wrong at that step."""
    real_step, real_batches = door.train_step, door.TrainingData.train_batches

    def train_step(model, loss_of, optimizer, batch):
        row = real_step(model, loss_of, optimizer, batch)
        _befall(AFTER_STEP.get(what), optimizer, optimizer.step == step)
        return row

    def train_batches(data, start: int, *place) -> Iterator[dict]:
        for number, batch in enumerate(real_batches(data, start, *place), start):
            _befall(IN_BATCH.get(what), batch, number == step)
            yield batch

    door.train_step, door.TrainingData.train_batches = train_step, train_batches


def _befall(trouble: Callable | None, thing: object, now: bool) -> None:
    if trouble is not None and now:
        trouble(thing)


if __name__ == "__main__":
    kind, rank, at = os.environ["MISCHIEF"].split()
    if jt.rank == int(rank):
        with_trouble(kind, int(at))
    door.guard("train_joint_model")
    door.leave(door.main())
