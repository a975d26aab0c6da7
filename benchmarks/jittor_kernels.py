"""Our side of bench_kernels: serves the kernels of ops/ or, with --plain, the same sums in Jittor's own operators.

    python -m benchmarks.jittor_kernels FOLDER [--plain] [--device cuda]
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from launch.runtime import start_jittor

jt = start_jittor()

from benchmarks.kernel_cases import Case, pull_of, serve_cases  # noqa: E402  (Jittor starts first)
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

OURS = {
    "knn": knn, "knn_16k": knn, "three_nearest": three_nearest, "fps": farthest_point_sample, "fps_16k": farthest_point_sample,
    "gather": gather, "interpolate": interpolate, "group_max": group_max, "local_attention": local_attention,
    "linear_blend_skinning": linear_blend_skinning, "attention": attention, "multi_head_attention": multi_head_attention, "bmm": bmm,
    "softmax": softmax, "layer_norm": layer_norm, "gelu": gelu, "linear": linear,
}


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
    return feat_BMC[jt.index(idx.shape, 0), idx]


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


PLAIN = {
    "knn": plain_knn, "three_nearest": plain_three_nearest, "fps": plain_farthest, "gather": plain_gather,
    "interpolate": plain_interpolate, "group_max": lambda x: x.max(2), "local_attention": plain_local,
    "linear_blend_skinning": plain_skinning, "attention": plain_attention, "multi_head_attention": plain_multi_head, "bmm": jt.matmul,
    "softmax": lambda x: jt.nn.softmax(x, dim=-1), "layer_norm": lambda x, w, b: jt.nn.layer_norm(x, (x.shape[-1],), w, b),
    "gelu": jt.nn.gelu, "linear": lambda x, w, b: jt.nn.matmul_transpose(x, w) + b,
}


def wait(outputs: list) -> list:
    jt.sync(outputs)
    if jt.flags.use_cuda:
        jt.sync_all(True)
    return outputs


def prepare(table: dict[str, Callable], case: Case) -> dict[str, Callable[[], list]]:
    """Way -> run. Jittor takes gradients of a scalar only, so the backward pass here begins with one product that the peer is spared."""
    op, inputs = partial(table[case.kernel], **case.options), [jt.array(x) for x in case.inputs]
    jt.sync(inputs)

    def forward() -> list:
        with jt.no_grad():
            out = op(*inputs)
        return wait(list(out) if isinstance(out, (tuple, list)) else [out])

    pull = jt.array(pull_of(tuple(forward()[0].shape))).stop_grad() if case.grads else None

    def both() -> list:
        out = op(*inputs)
        return wait([out, *jt.grad((out * pull).sum(), inputs[:case.grads])])

    return {"forward": forward, "both": both}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    jt.flags.use_cuda = int(args.device == "cuda")
    table, side = (PLAIN, "plain") if args.plain else (OURS, "ours")
    serve_cases(args.folder, side, partial(prepare, table), lambda x: x.numpy())


if __name__ == "__main__":
    main()
