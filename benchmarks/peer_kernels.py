"""The peers of bench_kernels: PyTorch, SciPy's cKDTree and numba, run by .venv-peers. Where a library has several ways to do it, each is
tried on the case and the fastest one is timed.

    python -m benchmarks.peer_kernels FOLDER [--device cuda]
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numba
import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree

from benchmarks.kernel_cases import Case, pull_of, serve_cases

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
POOL = ThreadPoolExecutor(THREADS)


# --- searches: SciPy and numba on the CPU, PyTorch on CUDA ---


def tree_query(query_BQ3, source_BM3, k, **build):
    """Build and query a tree per cloud: clouds side by side, or one cloud's queries on all threads."""
    batch = len(query_BQ3)

    def one(b):
        return cKDTree(source_BM3[b], **build).query(query_BQ3[b], k=k, workers=THREADS if batch == 1 else 1)

    d_BQK, idx_BQK = (np.stack(x) for x in zip(*(POOL.map(one, range(batch)) if batch > 1 else [one(0)])))
    return (d_BQK * d_BQK).astype("float32"), idx_BQK.astype("int32")


def tree_three(query_BQ3, source_BM3, **build):
    d2_BQ3, idx_BQ3 = tree_query(query_BQ3, source_BM3, 3, **build)
    weight_BQ3 = 1 / (d2_BQ3 + np.float32(1e-12))
    return idx_BQ3, weight_BQ3 / weight_BQ3.sum(-1, keepdims=True)


QUICK = {"balanced_tree": False, "compact_nodes": False}  # SciPy's quicker build


@numba.njit(fastmath=True)
def farthest_of(points_N3, count, picks_M):
    """Three passes, each of which LLVM vectorises; the largest is found among the bits, as LLVM does not reduce floats by max."""
    points = len(points_N3)
    x, y, z = points_N3[:, 0].copy(), points_N3[:, 1].copy(), points_N3[:, 2].copy()
    near = np.full(points, np.float32(3e38))
    bits = near.view(np.int32)
    qx, qy, qz = np.float32(x.mean()), np.float32(y.mean()), np.float32(z.mean())
    for step in range(count):
        for i in range(points):
            dx, dy, dz = x[i] - qx, y[i] - qy, z[i] - qz
            near[i] = min(near[i], dx * dx + dy * dy + dz * dz)
        far = np.int32(-1)
        for i in range(points):
            far = max(far, bits[i])
        at = np.int32(points)
        for i in range(points):
            at = min(at, np.int32(i) if bits[i] == far else np.int32(points))
        picks_M[step] = at
        qx, qy, qz = x[at], y[at], z[at]
        if step == 0:
            near[:] = np.float32(3e38)


@numba.njit(parallel=True)
def farthest_batch(points_BN3, count, picks_BM):
    for b in numba.prange(len(points_BN3)):
        farthest_of(points_BN3[b], count, picks_BM[b])


def numba_farthest(points_BN3, count):
    picks_BM = np.empty((len(points_BN3), count), np.int32)
    if len(points_BN3) == 1:
        farthest_of(points_BN3[0], count, picks_BM[0])
    else:
        farthest_batch(points_BN3, count, picks_BM)
    return picks_BM


def torch_knn(query_BQ3, source_BM3, k):
    d_BQK, idx_BQK = torch.cdist(query_BQ3, source_BM3).topk(k, dim=-1, largest=False)
    return d_BQK.square(), idx_BQK.int()


def torch_three(query_BQ3, source_BM3):
    d2_BQ3, idx_BQ3 = torch_knn(query_BQ3, source_BM3, 3)
    weight_BQ3 = 1 / (d2_BQ3 + 1e-12)
    return idx_BQ3, weight_BQ3 / weight_BQ3.sum(-1, keepdim=True)


def torch_farthest(points_BN3, count):
    here, near_BN, picks = points_BN3.mean(1, keepdim=True), None, []
    for step in range(count):
        d2_BN = (points_BN3 - here).square().sum(-1)
        near_BN = d2_BN if step <= 1 else torch.minimum(near_BN, d2_BN)
        picks.append(near_BN.argmax(1))
        here = points_BN3[torch.arange(len(points_BN3), device=points_BN3.device), picks[-1]].unsqueeze(1)
    return torch.stack(picks, 1).int()


# --- the network's kernels, in PyTorch on both devices ---


def flat(idx_BQK, sources):
    """Indices into the rows of all clouds together."""
    return idx_BQK + torch.arange(len(idx_BQK), device=idx_BQK.device, dtype=idx_BQK.dtype).view(-1, 1, 1) * sources


def by_select(feat_BMC, idx_BQK):
    rows = feat_BMC.flatten(0, 1).index_select(0, flat(idx_BQK, feat_BMC.shape[1]).flatten())
    return rows.view(*idx_BQK.shape, -1)


def by_embedding(feat_BMC, idx_BQK):
    return F.embedding(flat(idx_BQK, feat_BMC.shape[1]), feat_BMC.flatten(0, 1))


def by_gather(feat_BMC, idx_BQK):
    width = feat_BMC.shape[2]
    return feat_BMC.gather(1, idx_BQK.long().flatten(1).unsqueeze(2).expand(-1, -1, width)).view(*idx_BQK.shape, width)


def by_bag(feat_BMC, idx_BQK, weight_BQK):
    rows = F.embedding_bag(flat(idx_BQK, feat_BMC.shape[1]).flatten(0, 1), feat_BMC.flatten(0, 1), mode="sum",
                           per_sample_weights=weight_BQK.flatten(0, 1))
    return rows.view(*idx_BQK.shape[:2], -1)


def weighted(take, feat_BMC, idx_BQK, weight_BQK):
    return (take(feat_BMC, idx_BQK) * weight_BQK.unsqueeze(-1)).sum(2)


def local_fused(take, q_BNC, k_BMC, v_BMC, idx_BNK, heads):
    batch, rows, width = q_BNC.shape
    k, v = (take(x, idx_BNK).view(batch * rows, -1, heads, width // heads).transpose(1, 2) for x in (k_BMC, v_BMC))
    return F.scaled_dot_product_attention(q_BNC.reshape(batch * rows, heads, 1, width // heads), k, v).reshape(q_BNC.shape)


def local_sums(take, q_BNC, k_BMC, v_BMC, idx_BNK, heads):
    split = (*idx_BNK.shape, heads, q_BNC.shape[2] // heads)
    score = (q_BNC.view(*split[:2], 1, *split[3:]) * take(k_BMC, idx_BNK).view(split)).sum(-1) * split[4] ** -0.5
    return (score.softmax(2).unsqueeze(-1) * take(v_BMC, idx_BNK).view(split)).sum(2).view(q_BNC.shape)


def multi_head(q_BNC, k_BMC, v_BMC, heads):
    split = [x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q_BNC, k_BMC, v_BMC)]
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def skinning(vertices_BV3, skin_BVJ, transforms_BJ34):
    blend_BV34 = torch.bmm(skin_BVJ, transforms_BJ34.flatten(2)).unflatten(2, (3, 4))
    return (blend_BV34[..., :3] @ vertices_BV3.unsqueeze(-1)).squeeze(-1) + blend_BV34[..., 3]


def skinning_by_sums(vertices_BV3, skin_BVJ, transforms_BJ34):
    blend_BV34 = torch.bmm(skin_BVJ, transforms_BJ34.flatten(2)).unflatten(2, (3, 4))
    return (blend_BV34[..., :3] * vertices_BV3.unsqueeze(2)).sum(-1) + blend_BV34[..., 3]


NETWORK = {
    "gather": [by_select, by_embedding, by_gather],
    "interpolate": [by_bag, partial(weighted, by_select), partial(weighted, by_embedding)],
    "group_max": [lambda x: x.amax(2), lambda x: x.max(2).values],
    "local_attention": [partial(way, take) for way in (local_fused, local_sums) for take in (by_select, by_embedding)],
    "linear_blend_skinning": [skinning, skinning_by_sums],
    "attention": [F.scaled_dot_product_attention], "multi_head_attention": [multi_head], "bmm": [torch.bmm],
    "softmax": [partial(torch.softmax, dim=-1)], "layer_norm": [lambda x, w, b: F.layer_norm(x, w.shape, w, b)],
    "gelu": [partial(F.gelu, approximate="tanh")], "linear": [F.linear],
}
SEARCH = {"knn": [tree_query, partial(tree_query, **QUICK)], "three_nearest": [tree_three, partial(tree_three, **QUICK)],
          "fps": [numba_farthest]}
SEARCH_CUDA = {"knn": [torch_knn], "three_nearest": [torch_three], "fps": [torch_farthest]}


def listed(out) -> list:
    return list(out) if isinstance(out, tuple) else [out]


def fastest(runs: list[Callable[[], list]]) -> Callable[[], list]:
    def seconds(run: Callable[[], list]) -> float:
        run()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    return runs[0] if len(runs) == 1 else min(runs, key=seconds)


def prepare_search(case: Case) -> dict[str, Callable[[], list]]:
    ops = SEARCH[case.kernel.removesuffix("_16k")]
    return {"forward": fastest([lambda op=op: listed(op(*case.inputs, **case.options)) for op in ops])}


def prepare_torch(device: str, case: Case) -> dict[str, Callable[[], list]]:
    inputs = [torch.from_numpy(x).to(device) for x in case.inputs]
    ops = {**NETWORK, **SEARCH_CUDA}[case.kernel.removesuffix("_16k")]

    def wait(outputs: list) -> list:
        if device == "cuda":
            torch.cuda.synchronize()
        return outputs

    def forward(op: Callable) -> list:
        with torch.inference_mode():
            return wait(listed(op(*inputs, **case.options)))

    def both(op: Callable) -> list:
        out = op(*inputs, **case.options)
        return wait([out.detach(), *torch.autograd.grad(out, inputs[:case.grads], pull)])

    ways = {"forward": fastest([partial(forward, op) for op in ops])}
    if case.grads:
        pull = torch.from_numpy(pull_of(tuple(ways["forward"]()[0].shape))).to(device)
        for x in inputs[:case.grads]:
            x.requires_grad_()
        ways["both"] = fastest([partial(both, op) for op in ops])
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.set_float32_matmul_precision("highest")  # the same arithmetic as ours: no TF32

    def prepare(case: Case) -> dict[str, Callable[[], list]]:
        on_cpu_search = args.device == "cpu" and case.kernel.removesuffix("_16k") in SEARCH
        return prepare_search(case) if on_cpu_search else prepare_torch(args.device, case)

    serve_cases(args.folder, "peer", prepare, lambda x: x if isinstance(x, np.ndarray) else x.cpu().numpy())


if __name__ == "__main__":
    main()
