"""AdamW by hand, its schedule, clipping, average, and state that comes back exactly."""

import jittor as jt
import numpy as np
import pytest

from launch.optimizer import AdamW, OptimConfig, learning_rate


def stepped(cfg: OptimConfig, start: np.ndarray, grads: list[np.ndarray]):
    p = jt.array(start.astype("float32"))
    optimizer = AdamW({"p": p}, cfg)
    for g in grads:
        found, norm = optimizer.gradients((p * jt.array(g.astype("float32"))).sum())
        optimizer.update(found, norm)
    return optimizer


def twin(cfg: OptimConfig, p: np.ndarray, grads: list[np.ndarray]):
    m, v, average = np.zeros_like(p), np.zeros_like(p), p.copy()
    for t, g in enumerate(grads, start=1):
        lr = learning_rate(cfg, t - 1)
        g = g * min(1, cfg.clip / np.sqrt((g * g).sum()))
        m, v = cfg.beta1 * m + (1 - cfg.beta1) * g, cfg.beta2 * v + (1 - cfg.beta2) * g * g
        decay = cfg.weight_decay if p.ndim == 2 else 0
        p = p - lr * (m / (1 - cfg.beta1 ** t) / (np.sqrt(v / (1 - cfg.beta2 ** t)) + 1e-8) + decay * p)
        keep = min(cfg.ema, (1 + t) / (10 + t))
        average = keep * average + (1 - keep) * p
    return p, average


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_agrees_with_the_formula(shape):
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=shape), [rng.normal(size=shape) * 3 for _ in range(5)]
    cfg = OptimConfig(lr=0.1, warmup=2, steps=5, weight_decay=0.3, ema=0.5)
    optimizer, (want, average) = stepped(cfg, start, grads), twin(cfg, start, grads)
    np.testing.assert_allclose(optimizer.named["p"].numpy(), want, rtol=2e-5)
    np.testing.assert_allclose(optimizer.average["p"].numpy(), average, rtol=2e-5)


def test_schedule_by_hand():
    cfg = OptimConfig(lr=1.0, final_lr=0.0, warmup=4, steps=12)
    np.testing.assert_allclose([learning_rate(cfg, s) for s in (0, 3, 4, 8, 12, 99)], [0.25, 1, 1, 0.5, 0, 0], atol=1e-12)


def test_swapping_twice_is_nothing():
    optimizer = stepped(OptimConfig(warmup=1), np.arange(3.0), [np.ones(3)] * 3)
    weight, average = optimizer.named["p"].numpy(), optimizer.average["p"].numpy()
    optimizer.swap_average()
    assert (optimizer.named["p"].numpy() == average).all() and (optimizer.average["p"].numpy() == weight).all()
    optimizer.swap_average()
    assert (optimizer.named["p"].numpy() == weight).all() and (optimizer.average["p"].numpy() == average).all()


def test_state_comes_back_exactly():
    cfg, grads = OptimConfig(warmup=1, steps=9), [np.array([1.0, -2, 3]), np.array([0.5, 0, 1])]
    first = stepped(cfg, np.arange(3.0), grads)
    again = AdamW({"p": jt.zeros(3)}, cfg)
    again.load_state(first.state(), first.step)
    for optimizer in (first, again):
        found, norm = optimizer.gradients(optimizer.named["p"].sqr().sum())
        optimizer.update(found, norm)
    assert all((first.state()[k] == again.state()[k]).all() for k in first.state()) and first.fingerprint() == again.fingerprint()
    with pytest.raises(ValueError, match="shape"):
        AdamW({"p": jt.zeros(4)}, cfg).load_state(first.state(), 1)
