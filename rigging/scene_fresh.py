"""A glTF of our own round a figure that came in another format (OBJ, PLY, STL, arrays), rigged by the same code as a user's scene.

Letters: V vertices, F faces, J joints.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from geometry.normals import normalize
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.gltf_file import ARRAY_BUFFER, INDEX_BUFFER, GltfFile
from rigging.rig import CharacterRig
from rigging.scene_binding import Block, RiggedScene, bind_to_new_joints, check_arguments

POINTS, TRIANGLES = 0, 4


def fresh_scene(vertices_V3: np.ndarray, faces_F3: np.ndarray | None, normals_V3: np.ndarray | None, rig: CharacterRig,
                up: str = "y", influences: int = 4) -> RiggedScene:
    """One skinned mesh (a point cloud without faces) over the rig's joints, Y up as glTF asks; a Z-up figure is turned.

    Vertices keep their order. Raises: ValueError for a rig that breaks its contract, faces out of range or a bad `up`.
    """
    check_arguments(rig, vertices_V3, influences)
    if up not in ("y", "z"):
        raise ValueError(f"up must be y or z, not {up!r}")
    if faces_F3 is not None and len(faces_F3) and (np.min(faces_F3) < 0 or np.max(faces_F3) >= len(vertices_V3)):
        raise ValueError(f"faces name vertices {np.min(faces_F3)} to {np.max(faces_F3)} of {len(vertices_V3)}")
    file, vertices_V3 = GltfFile.empty(), y_up(vertices_V3, up)
    primitive = {"attributes": {"POSITION": file.accessor(vertices_V3, "VEC3", ARRAY_BUFFER, bounds=True)}, "mode": POINTS}
    if normals_V3 is not None:
        primitive["attributes"]["NORMAL"] = file.accessor(_unit_normals(y_up(normals_V3, up)), "VEC3", ARRAY_BUFFER)
    if faces_F3 is not None and len(faces_F3):
        primitive |= {"mode": TRIANGLES, "indices": file.accessor(np.asarray(faces_F3).astype("<u4").ravel(), "SCALAR", INDEX_BUFFER)}
    # glTF's default material is bare metal, black where nothing is there to be mirrored
    primitive["material"] = file.append("materials", {"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9}})
    file.append("meshes", {"primitives": [primitive]})
    file.document["scenes"][0]["nodes"].append(file.append("nodes", {"name": "figure", "mesh": 0}))
    return bind_to_new_joints(file, _rig_y_up(rig, up), [Block(0, (0,), np.eye(4), slice(None))], vertices_V3, influences)


def write_glb(path: str | Path, vertices_V3: np.ndarray, faces_F3: np.ndarray | None, normals_V3: np.ndarray | None,
              joints_J3: np.ndarray, parents: Sequence[int | None], names: Sequence[str], skin_VJ: np.ndarray,
              up: str = "y", max_influences: int = 4) -> None:
    """`fresh_scene` into a file, for joints without rotations at rest. Raises: ValueError, before anything is written."""
    rig = CharacterRig(joints_J3, tuple(parents), tuple(names), skin_VJ, Y_UP_TO_Z_UP if up == "y" else np.eye(3))
    fresh_scene(vertices_V3, faces_F3, normals_V3, rig, up, max_influences).file.write(path)


def y_up(x_P3: np.ndarray, up: str) -> np.ndarray:
    """float32; (x, y, z) -> (x, z, -y) from Z up, the inverse of Y_UP_TO_Z_UP, exact because it only swaps and negates."""
    x_P3 = np.asarray(x_P3, dtype=np.float32)
    turned_P3 = np.stack([x_P3[:, 0], x_P3[:, 2], -x_P3[:, 1]], 1) if up == "z" else x_P3
    return np.ascontiguousarray(turned_P3 + np.float32(0))  # + 0: no negative zeros in the file


def _rig_y_up(rig: CharacterRig, up: str) -> CharacterRig:
    """The rig in the turned file's axes: joints and, where given, rest frames. Frames that follow the file's axes still do."""
    if up == "y":
        return rig
    frames_J33 = None if rig.frames_J33 is None else Y_UP_TO_Z_UP.T @ rig.frames()
    return replace(rig, joints_J3=y_up(rig.joints_J3, up), frames_J33=frames_J33, to_network_33=rig.to_network_33 @ Y_UP_TO_Z_UP)


def _unit_normals(normals_V3: np.ndarray) -> np.ndarray:
    """Unit length, as glTF asks; where there is none, up."""
    unit_V3 = normalize(normals_V3)
    return np.where(unit_V3.any(1, keepdims=True), unit_V3, (0.0, 1.0, 0.0)).astype(np.float32)
