"""A person made of boxes, rigged: small enough for every test, whole enough for every room.

Frame: the network's (Z up, facing -Y, left at +X), T pose, metres, 1.7 m tall. Mirror-symmetric to the last bit.
"""

from dataclasses import replace

import numpy as np

from dataset.asset import Asset, check
from dataset.format import skeleton
from geometry.normals import vertex_normals
from geometry.similarity import Y_UP_TO_Z_UP, Similarity

_CENTRE = {"hips": (0, 0, .95), "spine": (0, 0, 1.05), "chest": (0, 0, 1.17), "upper_chest": (0, 0, 1.29),
           "neck": (0, 0, 1.45), "head": (0, 0, 1.52)}
_LEFT = {"shoulder": (.04, 0, 1.42), "upper_arm": (.17, 0, 1.42), "lower_arm": (.44, 0, 1.42), "hand": (.69, 0, 1.42),
         "upper_leg": (.10, 0, .90), "lower_leg": (.10, 0, .48), "foot": (.10, .02, .08), "toe_base": (.10, -.12, .02)}
_FINGER_Y = {"thumb": -.05, "index": -.03, "middle": -.01, "ring": .01, "pinky": .03}
_BOXES = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_GIRTH = {"hips": .14, "spine": .12, "chest": .13, "upper_chest": .14, "neck": .05, "head": .1, "shoulder": .06,
          "upper_arm": .045, "lower_arm": .04, "hand": .03, "upper_leg": .075, "lower_leg": .055, "foot": .04, "toe_base": .03}


def figure_joints(joint_count: int = 52) -> np.ndarray:
    """(J, 3) float64 joint positions in metres."""
    rows = []
    for name in skeleton(joint_count).names:
        if name in _CENTRE:
            rows.append(_CENTRE[name])
            continue
        side, part = (1 if name[0] == "l" else -1), name[2:]
        if part in _LEFT:
            x, y, z = _LEFT[part]
        else:
            _, finger, segment = part.split("_")
            start, step = (.71, .03) if finger == "thumb" else (.77, .03)
            x, y, z = start + step * (int(segment) - 1), _FINGER_Y[finger], 1.42
        rows.append((side * x, y, z))
    return np.array(rows, float)


def _box(start_3: np.ndarray, end_3: np.ndarray, girth: float) -> tuple[np.ndarray, np.ndarray]:
    """A box round the segment, fattened by girth at right angles to its main axis; 8 corners and 12 outward triangles."""
    half_3 = np.abs(end_3 - start_3) / 2
    main = int(half_3.argmax())
    half_3 = np.where(np.arange(3) == main, np.maximum(half_3, 1e-3), np.maximum(half_3, girth))
    faces = [(a, b, c) for a, b, c, d in _QUADS] + [(a, c, d) for a, b, c, d in _QUADS]
    return (start_3 + end_3) / 2 + _BOXES * half_3, np.array(faces)


def _split(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each triangle in four; midpoints are shared."""
    edge_E2 = np.unique(np.sort(faces_F3[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    number = {tuple(e): len(vertices_V3) + k for k, e in enumerate(edge_E2.tolist())}
    out = []
    for a, b, c in faces_F3.tolist():
        ab, bc, ca = (number[tuple(sorted(e))] for e in ((a, b), (b, c), (c, a)))
        out += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return np.concatenate([vertices_V3, vertices_V3[edge_E2].mean(1)]), np.array(out)


def _segments(joints_J3: np.ndarray, joint_count: int):
    """(joint, bone start, bone end, half thickness): one box per joint, to its main child or outwards from a leaf."""
    bones = skeleton(joint_count)
    middle_finger = {9: 28, 13: 43}
    for j, name in enumerate(bones.names):
        children = [c for c, p in enumerate(bones.parents) if p == j]
        key = name[2:] if name[:2] in ("l_", "r_") else name
        if children:
            tip_3 = joints_J3[middle_finger.get(j, children[0])]
        elif name == "head":
            tip_3 = joints_J3[j] + (0, 0, .18)
        elif key == "hand":
            tip_3 = joints_J3[j] + (np.sign(joints_J3[j, 0]) * .17, 0, 0)
        else:
            tip_3 = joints_J3[j] + .9 * (joints_J3[j] - joints_J3[bones.parents[j]]) * (1, 1, 0)
        yield j, joints_J3[j], tip_3, _GIRTH.get(key, .008)


def _blend(vertices_V3: np.ndarray, joints_J3: np.ndarray, j: int, parents) -> np.ndarray:
    """Weights of one box: its own joint, half handed to the parent at the joint itself, fading within 15 cm."""
    skin_VJ = np.zeros((len(vertices_V3), len(joints_J3)))
    share_V = np.zeros(len(vertices_V3))
    if parents[j] is not None:
        share_V = .5 * np.clip(1 - np.linalg.norm(vertices_V3 - joints_J3[j], axis=1) / .15, 0, 1)
        skin_VJ[:, parents[j]] = share_V
    skin_VJ[:, j] = 1 - share_V
    return skin_VJ


def capsule_man(joint_count: int = 52, up: str = "z", splits: int = 1) -> Asset:
    """The figure as an Asset with normals, faces, joints, skin, names and identity-rotation matrix_local.

    splits: each box's triangles in four that many times (1: 26 vertices and 48 faces per joint's box).
    """
    bones, joints_J3 = skeleton(joint_count), figure_joints(joint_count)
    vertices, faces, skin, used = [], [], [], 0
    for j, start_3, end_3, girth in _segments(joints_J3, joint_count):
        box_V3, box_F3 = _box(start_3, end_3, girth)
        for _ in range(splits):
            box_V3, box_F3 = _split(box_V3, box_F3)
        vertices.append(box_V3)
        faces.append(box_F3 + used)
        skin.append(_blend(box_V3, joints_J3, j, bones.parents))
        used += len(box_V3)
    vertices_V3, faces_F3 = np.concatenate(vertices), np.concatenate(faces)
    local_J44 = np.tile(np.eye(4), (joint_count, 1, 1))
    local_J44[:, :3, 3] = joints_J3
    asset = check(Asset("figure", f"capsule{joint_count}", f"capsule_man({joint_count})", vertices_V3,
                        vertex_normals(vertices_V3, faces_F3), faces_F3, joints_J3, np.concatenate(skin),
                        bones.parents, bones.names, local_J44))
    if up == "z":
        return asset
    return replace(asset.to_frame(Similarity(Y_UP_TO_Z_UP.T)), up="y")
