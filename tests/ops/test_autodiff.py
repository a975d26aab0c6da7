"""The sanity graph of the lecture: forward, backward and one step of gradient descent; and its page, whose code is run as it stands."""

import contextlib
import io
import re
from pathlib import Path

import jittor as jt
import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "autodiff.md"


def forward(w, x):
    return w[4] * (w[0] * x[0] + w[2] * x[1]) + w[5] * (w[1] * x[0] + w[3] * x[1])


def test_the_graph_of_the_lecture():
    rng = np.random.default_rng(0)
    w, x, eta = rng.normal(size=6), rng.normal(size=2), 0.01
    given = [jt.array(np.float32(v)) for v in w]
    y3 = forward(given, x.tolist())
    grads = np.array([g.item() for g in jt.grad(y3, given)])
    np.testing.assert_allclose(y3.item(), forward(w, x), atol=1e-6)
    by_formula = [w[4] * x[0], w[5] * x[0], w[4] * x[1], w[5] * x[1], w[0] * x[0] + w[2] * x[1], w[1] * x[0] + w[3] * x[1]]
    np.testing.assert_allclose(grads, by_formula, atol=1e-6)
    differences = [(forward(w + e, x) - forward(w - e, x)) / 2e-6 for e in 1e-6 * np.eye(6)]
    np.testing.assert_allclose(grads, differences, atol=1e-6)
    stepped = [v - eta * g for v, g in zip(given, jt.grad(y3, given))]
    np.testing.assert_allclose([v.item() for v in stepped], w - eta * np.array(by_formula), atol=1e-6)
    assert forward(stepped, x.tolist()).item() < y3.item()


def test_the_page_runs_and_prints_what_it_says():
    text = PAGE.read_text(encoding="utf-8")
    code, printed = (re.search(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)[1] for kind in ("python", "text"))
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        exec(compile(code, str(PAGE), "exec"), {})
    assert heard.getvalue() == printed
