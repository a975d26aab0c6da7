"""The contest baseline's way to a training sample, for bench_data to be compared with: one item at a time, from disk every time.

Written from a description of that dataset (pickled .npz per item, forward kinematics joint by joint in Python, dense linear blend
skinning of all vertices, a trimesh.Trimesh per sample for normals and surface points, half of the points mesh vertices), with NumPy's
fastest form wherever the description leaves one open, so that the comparison does not live on a slow rendition. Needs trimesh only.
Skinning is the sum over joints as its formula is written; "samples, one product" is the same with skin @ transforms instead, which the
baseline does not do: it shows what is left of the ratio against a reference with our way of skinning.

    python -m benchmarks.reference_data FOLDER            serves "samples" and "samples, one product" (benchmarks.paired)

FOLDER holds characters/*.npz and track.npz (bench_data writes them). Letters: V vertices, F faces, N points, J joints.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import trimesh

from benchmarks.paired import serve

DEGREES = 30.0          # of the baseline's random pose, per component of a rotation vector


def load_item(path: Path) -> dict:
    """All members of a contest file, unwrapped by [()] and unpickled. Only for files that this benchmark wrote itself."""
    with np.load(path, allow_pickle=True) as data:
        return {name: data[name][()] for name in data.files}


def rotation(rotvec_3: np.ndarray) -> np.ndarray:
    """Rodrigues' formula for one rotation vector, as (4, 4)."""
    out_44, angle = np.eye(4), float(np.linalg.norm(rotvec_3))
    if angle > 1e-12:
        x, y, z = rotvec_3 / angle
        cross_33 = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        out_44[:3, :3] += np.sin(angle) * cross_33 + (1 - np.cos(angle)) * cross_33 @ cross_33
    return out_44


def random_basis(count: int, rng: np.random.Generator) -> np.ndarray:
    """(J, 4, 4): every component of every joint's rotation vector uniform in +-DEGREES."""
    return np.stack([rotation(np.radians(rng.uniform(-DEGREES, DEGREES, 3))) for _ in range(count)])


def pose_frames(parents: list, local_J44: np.ndarray, basis_J44: np.ndarray) -> np.ndarray:
    """Forward kinematics, one joint after the other: pose[j] = pose[p] inv(local[p]) local[j] basis[j]."""
    pose_J44 = np.zeros_like(local_J44)
    for j, p in enumerate(parents):
        if p is None:
            pose_J44[j] = local_J44[j] @ basis_J44[j]
        else:
            pose_J44[j] = pose_J44[p] @ (np.linalg.inv(local_J44[p]) @ local_J44[j]) @ basis_J44[j]
    return pose_J44


def skin_vertices(vertices_V3: np.ndarray, skin_VJ: np.ndarray, transforms_J44: np.ndarray) -> np.ndarray:
    """v' = sum_j skin[v, j] T_j v over every vertex and every joint, in the assets' float32."""
    transforms_J44, out_V3 = transforms_J44.astype(np.float32), np.zeros_like(vertices_V3)
    for j, transform_44 in enumerate(transforms_J44):
        out_V3 += skin_VJ[:, j:j + 1] * (vertices_V3 @ transform_44[:3, :3].T + transform_44[:3, 3])
    return out_V3


def skin_vertices_at_once(vertices_V3: np.ndarray, skin_VJ: np.ndarray, transforms_J44: np.ndarray) -> np.ndarray:
    """The same as one matrix product."""
    blend_V44 = (skin_VJ @ transforms_J44.reshape(-1, 16).astype(np.float32)).reshape(-1, 4, 4)
    return np.einsum("vab,vb->va", blend_V44[:, :3, :3], vertices_V3) + blend_V44[:, :3, 3]


def surface_points(mesh: trimesh.Trimesh, skin_VJ: np.ndarray, count: int,
                   rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`count` points by trimesh with their faces' normals, and the skin of the corners by barycentric coordinates."""
    points_P3, face_P = trimesh.sample.sample_surface(mesh, count, seed=rng)
    bary_P3 = trimesh.triangles.points_to_barycentric(mesh.triangles[face_P], points_P3)
    return points_P3, mesh.face_normals[face_P], np.einsum("pk,pkj->pj", bary_P3, skin_VJ[mesh.faces[face_P]])


def sample(path: Path, track_TJ44: np.ndarray, count: int, mocap_share: float, rng: np.random.Generator,
           skinning: Callable = skin_vertices) -> dict[str, np.ndarray]:
    """One item: read, posed, sampled and normalised. points, normals (N, 3), joints (J, 3), skin (N, J), float32."""
    item = load_item(path)
    local_J44 = np.asarray(item["matrix_local"], np.float64)
    basis_J44 = (track_TJ44[rng.integers(len(track_TJ44))] if rng.random() < mocap_share else random_basis(len(local_J44), rng))
    pose_J44 = pose_frames(list(item["parents"]), local_J44, basis_J44)
    vertices_V3 = skinning(item["vertices"], item["skin"], pose_J44 @ np.linalg.inv(local_J44))
    joints_J3 = pose_J44[:, :3, 3]
    low_3, high_3 = vertices_V3.min(0), vertices_V3.max(0)
    centre_3, scale = (low_3 + high_3) / 2, 2 / (high_3 - low_3).max()
    vertices_V3, joints_J3 = (vertices_V3 - centre_3) * scale, (joints_J3 - centre_3) * scale
    mesh = trimesh.Trimesh(vertices_V3, item["faces"], process=False)      # process=True would merge vertices and lose their skin
    vertex_K = rng.permutation(len(vertices_V3))[:count // 2]
    points_P3, normals_P3, skin_PJ = surface_points(mesh, item["skin"], count - len(vertex_K), rng)
    out = {"points": np.concatenate([vertices_V3[vertex_K], points_P3]),
           "normals": np.concatenate([mesh.vertex_normals[vertex_K], normals_P3]),
           "joints": joints_J3, "skin": np.concatenate([item["skin"][vertex_K], skin_PJ])}
    return {name: value.astype(np.float32) for name, value in out.items()}


def main() -> None:
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    files = sorted((folder / "characters").glob("*.npz"))
    track_TJ44, rng = load_item(folder / "track.npz")["matrix_basis"], np.random.default_rng(0)

    def samples(skinning: Callable) -> dict:
        start = time.perf_counter()
        for n in range(task["reference_samples"]):
            last = sample(files[n % len(files)], track_TJ44, task["points"], task["mocap_share"], rng, skinning)
        return {"seconds": (time.perf_counter() - start) / task["reference_samples"],
                "shapes": {name: list(value.shape) for name, value in last.items()}}

    serve({"samples": partial(samples, skin_vertices), "samples, one product": partial(samples, skin_vertices_at_once)})


if __name__ == "__main__":
    main()
