"""AdamW with a warm-up and cosine schedule, global-norm clipping and an average of the weights: one object, all state in Vars.

Papers: Loshchilov and Hutter, "Decoupled Weight Decay", arXiv:1711.05101; Polyak averaging as exponential moving average.
Ours instead of jt.optim.AdamW: gradients are looked at (finite? how long?) before anything moves, gradients of all ranks are
averaged in one place, and the whole state goes to NumPy and back exactly, for --resume.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import jittor as jt
import numpy as np


@dataclass(frozen=True)
class OptimConfig:
    lr: float = 1e-3              # peak
    final_lr: float = 1e-5        # at the last step
    warmup: int = 200             # steps of linear rise
    steps: int = 4000             # of the whole stage
    batch: int = 8                # samples a step, over all ranks
    weight_decay: float = 0.01    # on matrices; biases, norms and tables are spared
    clip: float = 1.0             # global norm of the gradient
    beta1: float = 0.9
    beta2: float = 0.99
    ema: float = 0.999            # of the weights; validation and checkpoints use the average


def learning_rate(cfg: OptimConfig, step: int) -> float:
    """Linear to ``lr`` in ``warmup`` steps, then half a cosine down to ``final_lr`` at ``steps``. step counts from 0."""
    if step < cfg.warmup:
        return cfg.lr * (step + 1) / cfg.warmup
    done = min((step - cfg.warmup) / max(cfg.steps - cfg.warmup, 1), 1.0)
    return cfg.final_lr + (cfg.lr - cfg.final_lr) * 0.5 * (1 + math.cos(math.pi * done))


class NonFinite(RuntimeError):
    """Loss or gradient is NaN or infinite. Raised before any parameter has moved. mine: this rank's own share of the batch is at fault."""

    def __init__(self, message: str, mine: bool = True):
        super().__init__(message)
        self.mine = mine


def norm_and_loss(grads_and_loss: list[jt.Var]) -> list[float]:
    """Squared global norm of all but the last, and the last."""
    *grads, loss = grads_and_loss
    return jt.concat([sum(g.sqr().sum() for g in grads).reshape(1), loss.reshape(1)]).numpy().tolist()


def mean_over_ranks(parts: list[jt.Var]) -> list[jt.Var]:
    """Each float32 Var's mean over all ranks, in one exchange: a hundred small ones let ranks wait a hundred times for each other."""
    flat = jt.concat([part.reshape(-1) for part in parts]).mpi_all_reduce("mean")
    ends = np.cumsum([part.numel() for part in parts]).tolist()
    return [flat[end - part.numel():end].reshape(part.shape) for part, end in zip(parts, ends)]


class AdamW:
    """Moves ``named`` (name -> parameter Var). ``step`` counts the updates done.

    before_exchange: called with the step, for messages, before ranks exchange their gradients; may raise.
    """

    def __init__(self, named: dict[str, jt.Var], cfg: OptimConfig, before_exchange: Callable[[str], None] = lambda when: None):
        self.named, self.cfg, self.step, self.before_exchange = named, cfg, 0, before_exchange
        self.mean = {n: jt.zeros(p.shape).stop_grad() for n, p in named.items()}
        self.square = {n: jt.zeros(p.shape).stop_grad() for n, p in named.items()}
        self.average = {n: p.detach().copy().stop_grad() for n, p in named.items()}

    def gradients(self, loss: jt.Var) -> tuple[dict[str, jt.Var], float]:
        """Gradients averaged over ranks, and their global norm.

        Raises: NonFinite, on every rank alike when the averaged gradient is the culprit.
        """
        grads, own = dict(zip(self.named, jt.grad(loss, list(self.named.values())))), loss.detach()
        mine = [*grads.values(), own]
        if jt.in_mpi:
            jt.sync(mine)
            self.before_exchange(f"step {self.step}")
            *averaged, own = mean_over_ranks(mine)
            grads = dict(zip(grads, averaged))
        norm2, value = norm_and_loss([*grads.values(), own])
        if not (math.isfinite(norm2) and math.isfinite(value)):
            finite = jt.in_mpi and all(map(math.isfinite, norm_and_loss(mine)))
            raise NonFinite(f"loss {value}, squared gradient norm {norm2}", mine=not finite)
        return grads, math.sqrt(norm2)

    def update(self, grads: dict[str, jt.Var], norm: float) -> None:
        cfg = self.cfg
        lr = learning_rate(cfg, self.step)
        self.step += 1
        shrink = min(1.0, cfg.clip / (norm + 1e-12))
        fix1, fix2 = 1 - cfg.beta1 ** self.step, 1 - cfg.beta2 ** self.step
        keep = min(cfg.ema, (1 + self.step) / (10 + self.step))  # a young average forgets its random start
        # numbers that change every step enter as data, so that the same compiled kernels serve all steps
        lr, shrink, fix1, fix2, keep = jt.array(np.array([lr, shrink, fix1, fix2, keep], "float32")).stop_grad()
        for name, p in self.named.items():
            g = grads[name] * shrink
            m = cfg.beta1 * self.mean[name] + (1 - cfg.beta1) * g
            v = cfg.beta2 * self.square[name] + (1 - cfg.beta2) * g * g
            decay = cfg.weight_decay if p.ndim == 2 else 0.0
            new = p - lr * ((m / fix1) / ((v / fix2).sqrt() + 1e-8) + decay * p)
            self.mean[name].update(m)
            self.square[name].update(v)
            self.average[name].update(keep * self.average[name] + (1 - keep) * new)
            p.update(new)
        if jt.in_mpi:  # now, the same graph on every rank: what rank 0 does beside the others would else be fused into its update
            jt.sync([var for table in self.tables().values() for var in table.values()])

    def tables(self) -> dict[str, dict[str, jt.Var]]:
        """All that a training has to remember, by table and parameter."""
        return {"weight": self.named, "mean": self.mean, "square": self.square, "average": self.average}

    def state(self) -> dict[str, np.ndarray]:
        """Everything but ``step`` as arrays, keys prefixed by their table."""
        return {f"{table}/{name}": var.numpy() for table, entries in self.tables().items() for name, var in entries.items()}

    def fingerprint(self) -> int:
        """CRC-32 of all parameters, their averages and moments, to compare ranks and runs."""
        crc = 0
        for array in self.state().values():
            crc = zlib.crc32(np.ascontiguousarray(array), crc)
        return crc

    def load_state(self, arrays: dict[str, np.ndarray], step: int) -> None:
        """Raises: KeyError for a missing array, ValueError for one of another shape."""
        for table, entries in self.tables().items():
            for name, var in entries.items():
                value = arrays[f"{table}/{name}"]
                if tuple(value.shape) != tuple(var.shape):
                    raise ValueError(f"{table}/{name}: shape {value.shape} in the file, {tuple(var.shape)} in the network")
                var.update(jt.array(value))
        self.step = step

    def start_from(self, params: dict[str, np.ndarray]) -> None:
        """Begin with these weights (a checkpoint's), and average from there."""
        for name, p in self.named.items():
            p.update(jt.array(params[name]))
            self.average[name].update(jt.array(params[name]))

    def swap_average(self) -> None:
        """Exchange weights and their average: call before validating and again after."""
        for name, p in self.named.items():
            weight, average = p.copy(), self.average[name].copy()
            p.update(average)
            self.average[name].update(weight)
