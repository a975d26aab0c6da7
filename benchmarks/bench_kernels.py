"""Time each kernel of ops/ against the plain Jittor way, forward and forward with backward, at the network's typical shapes.

    OMP_NUM_THREADS=2 python -m benchmarks.bench_kernels [--json FILE] [--only NAME]

Each number is the median of 5 runs in milliseconds, after a first run that compiles. Kernels without gradients show no second pair.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from launch.runtime import start_jittor

jt = start_jittor()

from ops.activation import gelu, softmax  # noqa: E402
from ops.attention import attention, multi_head_attention  # noqa: E402
from ops.batched_matmul import bmm  # noqa: E402
from ops.gather import gather, group_max, interpolate  # noqa: E402
from ops.linear import linear  # noqa: E402
from ops.local_attention import local_attention  # noqa: E402
from ops.neighbors import knn, three_nearest  # noqa: E402
from ops.norm import layer_norm  # noqa: E402
from ops.sampling import farthest_point_sample  # noqa: E402
from ops.skinning import linear_blend_skinning  # noqa: E402

REPEATS = 5


@dataclass(frozen=True)
class Case:
    """One kernel at one size. ours and plain take the inputs; the first ``grads`` inputs want gradients (0: none exist)."""

    name: str
    size: str
    ours: Callable
    plain: Callable
    inputs: tuple
    grads: int


def plain_knn(query_BQ3, source_BM3, k):
    d2_BQM = ((query_BQ3.unsqueeze(2) - source_BM3.unsqueeze(1)) ** 2).sum(-1)
    return jt.topk(d2_BQM, k, dim=-1, largest=False)


def plain_three_nearest(query_BQ3, source_BM3):
    d2_BQ3, idx_BQ3 = plain_knn(query_BQ3, source_BM3, 3)
    weight_BQ3 = 1 / (d2_BQ3 + 1e-12)
    return idx_BQ3, weight_BQ3 / weight_BQ3.sum(-1, keepdims=True)


def plain_farthest(points_BN3, count):
    centre_B13, near_BN, picks = points_BN3.mean(1, keepdims=True), None, []
    for step in range(count):
        d2_BN = ((points_BN3 - centre_B13) ** 2).sum(-1)
        near_BN = d2_BN if step <= 1 else jt.minimum(near_BN, d2_BN)
        pick_B, _ = jt.argmax(near_BN, 1)
        picks.append(pick_B)
        centre_B13 = plain_gather(points_BN3, pick_B.unsqueeze(1))
    return jt.stack(picks, 1)


def plain_gather(feat_BMC, idx):
    lead = jt.index(idx.shape, 0)
    return feat_BMC[lead, idx]


def plain_interpolate(feat_BMC, idx_BQK, weight_BQK):
    return (plain_gather(feat_BMC, idx_BQK) * weight_BQK.unsqueeze(-1)).sum(2)


def plain_attention(q_BHNE, k_BHME, v_BHME):
    score_BHNM = jt.matmul(q_BHNE, k_BHME.transpose(0, 1, 3, 2)) * q_BHNE.shape[-1] ** -0.5
    return jt.matmul(jt.nn.softmax(score_BHNM, dim=-1), v_BHME)


def plain_multi_head(q_BNC, k_BMC, v_BMC, heads):
    batch, rows, width = q_BNC.shape
    split = [x.reshape((batch, -1, heads, width // heads)).transpose(0, 2, 1, 3) for x in (q_BNC, k_BMC, v_BMC)]
    return plain_attention(*split).transpose(0, 2, 1, 3).reshape((batch, rows, width))


def plain_local(q_BNC, k_BMC, v_BMC, idx_BNK, heads):
    split = (*idx_BNK.shape, heads, q_BNC.shape[2] // heads)
    k, v = (plain_gather(x, idx_BNK).reshape(split) for x in (k_BMC, v_BMC))
    q = q_BNC.reshape((*q_BNC.shape[:2], 1, *split[3:]))
    weight = jt.nn.softmax((q * k).sum(-1) * split[4] ** -0.5, dim=2)
    return (weight.unsqueeze(-1) * v).sum(2).reshape(q_BNC.shape)


def plain_skinning(vertices_BV3, skin_BVJ, transforms_BJ34):
    blend_BV34 = jt.matmul(skin_BVJ, transforms_BJ34.reshape((*transforms_BJ34.shape[:2], 12))).reshape((*vertices_BV3.shape[:2], 3, 4))
    return (blend_BV34[:, :, :, :3] * vertices_BV3.unsqueeze(2)).sum(-1) + blend_BV34[:, :, :, 3]


def point_cases(draw: Callable) -> list[Case]:
    query, source = draw(8, 256, 3), draw(8, 1024, 3)
    idx, near, feat = knn(query, source, 16)[1], three_nearest(source, query), draw(8, 1024, 64)
    return [
        Case("knn", "8 x 256 in 1024, K 16", lambda q, s: knn(q, s, 16), lambda q, s: plain_knn(q, s, 16), (query, source), 0),
        Case("three_nearest", "8 x 1024 in 256", three_nearest, plain_three_nearest, (source, query), 0),
        Case("farthest_point_sample", "8 x 1024 -> 256", lambda p: farthest_point_sample(p, 256), lambda p: plain_farthest(p, 256),
             (source,), 0),
        Case("gather", "8 x 256 x 16 of 1024 x 64", gather, plain_gather, (feat, idx), 1),
        Case("interpolate", "8 x 1024 of 256 x 64", interpolate, plain_interpolate, (draw(8, 256, 64), *near), 1),
        Case("group_max", "8 x 256 x 16 x 64", group_max, lambda x: x.max(2), (draw(8, 256, 16, 64),), 1),
        Case("local_attention", "8 x 1024, K 16, 4 heads of 16", lambda *x: local_attention(*x, 4), lambda *x: plain_local(*x, 4),
             (*(draw(8, 1024, 64) for _ in range(3)), knn(source, source, 16)[1]), 3),
        Case("linear_blend_skinning", "8 x 4096, J 52", linear_blend_skinning, plain_skinning,
             (draw(8, 4096, 3), draw(8, 4096, 52), draw(8, 52, 3, 4)), 3),
    ]


def dense_cases(draw: Callable) -> list[Case]:
    cases = []
    for rows, keys, heads, width in ((256, 256, 4, 32), (64, 64, 8, 32), (52, 320, 8, 32)):
        q, k, v = draw(8, heads, rows, width), draw(8, heads, keys, width), draw(8, heads, keys, width)
        cases.append(Case("attention", f"8 x {heads} x {rows} to {keys}, E {width}", attention, plain_attention, (q, k, v), 3))
    packed = draw(8, 256, 128), draw(8, 256, 128), draw(8, 256, 128)
    cases.append(Case("multi_head_attention", "8 x 256 to 256, 4 heads of 32", lambda *x: multi_head_attention(*x, 4),
                      lambda *x: plain_multi_head(*x, 4), packed, 3))
    cases.append(Case("bmm", "32 x 256 x 32 x 256", bmm, jt.matmul, (draw(32, 256, 32), draw(32, 32, 256)), 2))
    cases.append(Case("bmm", "8 x 1024 x 64 x 52", bmm, jt.matmul, (draw(8, 1024, 64), draw(8, 64, 52)), 2))
    cases.append(Case("softmax", "8192 x 52", softmax, lambda x: jt.nn.softmax(x, dim=-1), (draw(8192, 52),), 1))
    for width in (64, 256):
        x, one = draw(8192, width), draw(width)
        cases.append(Case("layer_norm", f"8192 x {width}", layer_norm, lambda x, w, b: jt.nn.layer_norm(x, (x.shape[-1],), w, b),
                          (x, one, one), 3))
        cases.append(Case("gelu", f"8192 x {width}", gelu, jt.nn.gelu, (x,), 1))
        cases.append(Case("linear", f"8192 x {width} to {width}", linear, lambda x, w, b: jt.nn.matmul_transpose(x, w) + b,
                          (x, draw(width, width), one), 3))
    return cases


def median_ms(run: Callable) -> float:
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def measure(case: Case, op: Callable) -> tuple[float, float | None]:
    """Milliseconds of the forward pass, and of forward and backward (None without gradients)."""
    jt.sync(list(case.inputs))

    def forward():
        with jt.no_grad():
            out = op(*case.inputs)
        jt.sync(list(out) if isinstance(out, (tuple, list)) else [out])

    if not case.grads:
        return median_ms(forward), None
    pull = jt.randn(op(*case.inputs).shape).stop_grad()

    def both():
        out = op(*case.inputs)
        jt.sync([out, *jt.grad((out * pull).sum(), list(case.inputs[:case.grads]))])

    return median_ms(forward), median_ms(both)


def run_case(case: Case) -> dict:
    (ours, ours_both), (plain, plain_both) = measure(case, case.ours), measure(case, case.plain)
    return {"kernel": case.name, "size": case.size, "forward_ms": ours, "plain_forward_ms": plain,
            "both_ms": ours_both, "plain_both_ms": plain_both}


def show(row: dict) -> str:
    text = f"{row['kernel']:22} {row['size']:30}"
    for ours, plain in ((row["forward_ms"], row["plain_forward_ms"]), (row["both_ms"], row["plain_both_ms"])):
        text += "" if ours is None else f" {ours:8.2f} {plain:8.2f} {plain / ours:6.1f}x"
    return text


def machine() -> dict:
    return {"jittor": jt.__version__, "machine": platform.machine(), "cores": os.cpu_count(), "cuda": bool(jt.flags.use_cuda),
            "threads": os.environ.get("OMP_NUM_THREADS", "unset"), "onednn": bool(jt.compile_extern.use_mkl), "repeats": REPEATS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--only", default="", metavar="NAME", help="kernels whose name contains this")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    cases = [c for make in (point_cases, dense_cases) for c in make(lambda *s: jt.array(rng.normal(size=s).astype("float32")))
             if args.only in c.name]
    print(f"{'kernel':22} {'size':30} {'forward':>8} {'plain':>8} {'':7} {'both':>8} {'plain':>8}   (ms)")
    rows = []
    for case in cases:
        rows.append(run_case(case))
        print(show(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
