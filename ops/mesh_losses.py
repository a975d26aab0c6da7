"""Losses of mesh batches and point sets with gradients. Definitions, provenance and plain twins: geometry/mesh_losses.py.

Positions are Vars, those of a mesh batch; pairs of faces, Laplacian rows and the set of each point are constant and come as NumPy arrays or
scipy matrices, as geometry/mesh_losses.py makes them. float32, and float64 by which gradients are checked.
Lengths have gradient 0 where they are 0. Each term is computed together with its derivative, and rows are added up in their order: the same
bits with any number of threads. The CUDA texts have not yet run on a GPU.
Letters: V vertices, E edges, H pairs of faces, A and B points of two sets, X terms of any kind.
"""

import jittor as jt
import numpy as np
from scipy.sparse import csr_matrix

from ops.kernels import require, require_shape
from ops.mesh_batch import MeshBatch
from ops.neighbors import knn
from ops.sparse import differences, sparse_times

# in: x (X, C), share (X), rest (X); out: value (X), slope (X, C) = d value / d x. TINY, of a squared length: below it there is no direction.
_LENGTH = """
    #define TINY (out0_type)1e-30
    const out0_type* x = in0_p + 3 * i;
    const out0_type square = x[0] * x[0] + x[1] * x[1] + x[2] * x[2], length = square > TINY ? sqrt(square) : 0;
    const out0_type over = length - in2_p[i];
    out0_p[i] = in1_p[i] * (POWER == 2 ? over * over : over);
    const out0_type slope = square > TINY ? in1_p[i] * (POWER == 2 ? 2 * over : 1) / length : 0;
    for (int c = 0; c < 3; c++) out1_p[3 * i + c] = slope * x[c];
"""
# x: the edge e and the ways p and q from its start to the two other corners; n = e x p, m = q x e; value: share (1 - cos(n, m))
_HINGE = """
    #define TINY (out0_type)1e-30
    #define CROSS(out, a, b) for (int c = 0; c < 3; c++) out[c] = a[(c + 1) % 3] * b[(c + 2) % 3] - a[(c + 2) % 3] * b[(c + 1) % 3];
    const out0_type *e = in0_p + 9 * i, *p = e + 3, *q = e + 6;
    out0_type n[3], m[3], to_n[3], to_m[3], one[3], two[3], *slope = out1_p + 9 * i;
    CROSS(n, e, p) CROSS(m, q, e)
    const out0_type nn = n[0] * n[0] + n[1] * n[1] + n[2] * n[2], mm = m[0] * m[0] + m[1] * m[1] + m[2] * m[2];
    const out0_type over_n = nn > TINY ? 1 / sqrt(nn) : 0, over_m = mm > TINY ? 1 / sqrt(mm) : 0;
    for (int c = 0; c < 3; c++) { n[c] *= over_n; m[c] *= over_m; }
    const out0_type cosine = n[0] * m[0] + n[1] * m[1] + n[2] * m[2];
    out0_p[i] = in1_p[i] * (1 - cosine);
    for (int c = 0; c < 3; c++) {
        to_n[c] = in1_p[i] * (cosine * n[c] - m[c]) * over_n;
        to_m[c] = in1_p[i] * (cosine * m[c] - n[c]) * over_m;
    }
    CROSS(one, p, to_n) CROSS(two, to_m, q)
    for (int c = 0; c < 3; c++) slope[c] = one[c] + two[c];
    CROSS((slope + 3), to_n, e) CROSS((slope + 6), e, to_m)
"""
_LENGTH_1, _LENGTH_2 = (_LENGTH.replace("POWER", power) for power in "12")
_ALL = "\n#pragma omp parallel for schedule(static)\nfor (long i = 0; i < in1_shape0; i++) {%s}\n"
_ALL_CUDA = """
__global__ static void mesh_terms(@ARGS_DEF) {
    @PRECALC
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= in1_shape0) return;
    %s
}
mesh_terms<<<(in1_shape0 + 255) / 256, 256>>>(@ARGS);
"""


class _Terms(jt.Function):
    """The values of all terms; their slopes wait for the gradient."""

    def execute(self, x_XC, share_X, rest_X, text):
        values, self.slopes = jt.code([share_X.shape, x_XC.shape], [x_XC.dtype] * 2, [x_XC, share_X, rest_X], cpu_src=_ALL % text,
                                      cuda_src=_ALL_CUDA % text)
        return values

    def grad(self, grad_X):
        return grad_X.unsqueeze(1) * self.slopes, None, None, None


def edge_loss(meshes: MeshBatch, length: np.ndarray | float = 0.0) -> jt.Var:
    """Mean of (|e| - length)^2, scalar. length: one number, or (E,) for the layout's edges."""
    return _sum(meshes.edge_vectors(), _shares(meshes.layout.edge2mesh_E, len(meshes.layout)), _LENGTH_2, length)


def laplacian_loss(meshes: MeshBatch, rows: csr_matrix) -> jt.Var:
    """Mean over the vertices of |(S x)_v|, scalar; S = geometry.mesh_losses.laplacian_rows, a constant."""
    if not rows.nnz:
        return _zero(meshes.vertices_V3)
    return _sum(sparse_times(rows, meshes.vertices_V3), _shares(meshes.layout.vert2mesh_V, len(meshes.layout)), _LENGTH_1)


def normal_loss(meshes: MeshBatch, hinge_H4: np.ndarray) -> jt.Var:
    """Normal consistency, mean of 1 - cos(n, n') over geometry.mesh_losses.hinges, scalar."""
    ways_K3 = meshes.ways(hinge_H4[:, [0, 1, 0, 2, 0, 3]].reshape(-1, 2))
    return _sum(ways_K3.reshape((-1, 9)), _shares(meshes.layout.vert2mesh_V[hinge_H4[:, 0]], len(meshes.layout)), _HINGE)


def chamfer_squared(a_A3: jt.Var, b_B3: jt.Var, set_A: np.ndarray, set_B: np.ndarray, count: int) -> jt.Var:
    """mean_a min_b |a - b|^2 + mean_b min_a |a - b|^2, scalar (PyTorch3D's). Gradients to both; the partners are chosen in float32.

    Distances are of differences: the expanded square loses 1e-4 at an offset of 100 in float32.
    Raises: ValueError for other shapes, and where only one of two sets has points.
    """
    return _chamfer(a_A3, b_B3, set_A, set_B, count, 1.0, _LENGTH_2)


def chamfer_half(a_A3: jt.Var, b_B3: jt.Var, set_A: np.ndarray, set_B: np.ndarray, count: int) -> jt.Var:
    """(mean_a min_b |a - b| + mean_b min_a |a - b|) / 2, scalar (RigNet's). The rest as chamfer_squared."""
    return _chamfer(a_A3, b_B3, set_A, set_B, count, 0.5, _LENGTH_1)


def _chamfer(a_A3: jt.Var, b_B3: jt.Var, set_A: np.ndarray, set_B: np.ndarray, count: int, factor: float, text: str) -> jt.Var:
    """Each point and its nearest of the other side's set are a pair; the pairs of both sides are summed as edges are."""
    require_shape(a_A3, "A3", "the first points")
    require_shape(b_B3, "B3", "the second points")
    size_K2 = np.stack([np.bincount(np.asarray(x, np.int64), minlength=count) for x in (set_A, set_B)], 1)
    lone = np.flatnonzero((size_K2 > 0).any(1) != (size_K2 > 0).all(1))
    require(not len(lone), f"set {lone[0] if len(lone) else None} has points on one side only; chamfer compares two sets of points")
    for of, set_X, points_X3 in (("first", set_A, a_A3), ("second", set_B, b_B3)):
        require(len(set_X) == points_X3.shape[0], f"{len(set_X)} numbers of sets for {points_X3.shape[0]} {of} points")
    share_X = np.concatenate([_shares(set_A, count), _shares(set_B, count)])
    if not len(share_X):
        return _zero(a_A3)
    ways = differences(_nearest(a_A3, b_B3, set_A, set_B), len(share_X))
    way_X3 = sparse_times(ways[:, :len(set_A)], a_A3) + sparse_times(ways[:, len(set_A):], b_B3)
    return _sum(way_X3, factor * share_X, text)


def _nearest(a_A3: jt.Var, b_B3: jt.Var, set_A: np.ndarray, set_B: np.ndarray) -> np.ndarray:
    """(A + B, 2): each point of the two sides, counted through, and its partner."""
    a_A3, b_B3 = (np.float32(x.numpy()) for x in (a_A3, b_B3))
    partner_X = np.empty(len(a_A3) + len(b_B3), np.int64)
    for k in np.unique(set_A):
        mine_A, mine_B = np.flatnonzero(set_A == k), np.flatnonzero(set_B == k)
        a, b = jt.array(a_A3[mine_A][None]), jt.array(b_B3[mine_B][None])
        partner_X[mine_A] = len(a_A3) + mine_B[knn(a, b, 1)[1].numpy().ravel()]
        partner_X[len(a_A3) + mine_B] = mine_A[knn(b, a, 1)[1].numpy().ravel()]
    return np.column_stack([np.arange(len(partner_X)), partner_X])


def _sum(x_XC: jt.Var, share_X: np.ndarray, text: str, rest: np.ndarray | float = 0.0) -> jt.Var:
    """The terms of x by the kernel's text; 0 where there are none."""
    if not len(share_X):
        return _zero(x_XC)
    return _Terms()(x_XC, _like(x_XC, share_X), _like(x_XC, np.broadcast_to(rest, len(share_X))), text).sum()


def _like(x: jt.Var, values: np.ndarray) -> jt.Var:
    return jt.array(np.asarray(values, str(x.dtype)), dtype=x.dtype)


def _zero(x: jt.Var) -> jt.Var:
    return _like(x, np.zeros(1))[0]


def _shares(mesh_X: np.ndarray, count: int) -> np.ndarray:
    """As geometry.mesh_losses.shares."""
    mesh_X = np.asarray(mesh_X, np.int64)
    if len(mesh_X):
        require(0 <= mesh_X.min() and mesh_X.max() < count, f"sets are numbered 0..{count - 1}; got {mesh_X.min()}..{mesh_X.max()}")
    return 1.0 / (np.bincount(mesh_X, minlength=1)[mesh_X] * max(count, 1))
