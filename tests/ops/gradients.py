"""What tests of differentiable kernels share: drawn inputs, and a call with its gradients."""

from collections.abc import Callable

import jittor as jt
import numpy as np


def draw(seed: int, *shape: int) -> np.ndarray:
    """Standard normal, float32."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def value_and_grads(op: Callable[..., jt.Var], inputs: tuple[np.ndarray, ...], y: np.ndarray) -> list[np.ndarray]:
    """[op(*inputs), then the gradient of <op(*inputs), y> with respect to each of them]."""
    given = [jt.array(x) for x in inputs]
    out = op(*given)
    return [x.numpy() for x in (out, *jt.grad((out * jt.array(y)).sum(), given))]
