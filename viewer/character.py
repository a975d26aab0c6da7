"""A character as the page shows it: geometry, weights and poses as flat arrays that a browser hands to its graphics card.

The browser skins: what moves is a (J, 3, 4) matrix per pose or clip frame, computed here with the project's own kinematics.
Frame: the network's (Z up, facing -Y, left at +X), in the file's units.
Letters: V vertices, F faces, J joints, K influences, T frames.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from dataset.asset import Asset, AssetError
from dataset.format import BODY_NAMES, FINGER_TO_HAND
from dataset.poses import T_AIMS
from geometry.kinematics import forward_kinematics, homogeneous, retarget, rotvec_to_matrix
from geometry.normals import vertex_normals
from geometry.similarity import Y_UP_TO_Z_UP
from geometry.skinning import skin_transforms
from rigging.animation import Clip, leg_length
from rigging.rig import CharacterRig
from rigging.weights import polish
from viewer.file_motion import FileMotion

INFLUENCES = 8            # K: weights that the page is sent for each vertex, the greatest
MOST_JOINTS = 64          # of a skeleton; the page's shader has room for so many
MOST_VERTICES = 1_000_000
MOST_FACES = 4_000_000
MOST_FRAMES = 3000        # of a clip; a longer one is thinned
SHOWN_FPS = 40.0          # a clip of a higher rate is thinned as well: motion capture has 120
FEET = [BODY_NAMES.index(f"{side}_{part}") for side in "lr" for part in ("foot", "toe_base")]
IN_FILE, NETWORK, SMOOTHED = "in the file", "network", "smoothed"


@dataclass(eq=False)
class Character:
    """asset: in the network's frame, with normals where it has faces. skins: kind of weights -> skin_VJ, the first is shown first.

    warnings, expected_cm: what its report says of the rig, and of each joint's error; empty without one. motions: of its own file.
    """
    asset: Asset
    skins: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    motions: tuple[FileMotion, ...] = ()
    expected_cm: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(asset: Asset, network_VJ: np.ndarray | None = None, kind: str = IN_FILE) -> "Character":
        """kind: of the asset's own weights. network_VJ: what the network said before any smoothing, left out where it does not fit.

        Raises: AssetError for one that is too large to show or has too many joints.
        """
        if len(asset.vertices_V3) > MOST_VERTICES or (asset.has_faces and len(asset.faces_F3) > MOST_FACES):
            raise AssetError(f"{asset.source}: more than {MOST_VERTICES} vertices or {MOST_FACES} triangles: too large to show here")
        if asset.joint_count > MOST_JOINTS:
            raise AssetError(f"{asset.source}: {asset.joint_count} joints, more than {MOST_JOINTS}: cannot be shown here")
        asset = asset.in_network_frame()
        if asset.has_faces and asset.normals_V3 is None:
            asset = replace(asset, normals_V3=np.float32(vertex_normals(asset.vertices_V3, asset.faces_F3)))
        skins = {} if asset.skin_VJ is None else {kind: asset.skin_VJ}
        if skins and network_VJ is not None and network_VJ.shape == asset.skin_VJ.shape:
            skins[NETWORK] = network_VJ
        return Character(asset, skins)

    @property
    def rigged(self) -> bool:
        return bool(self.skins)

    @property
    def kinds(self) -> list[str]:
        """Of weights, that `skin` knows."""
        return [*self.skins, SMOOTHED] if self.rigged and SMOOTHED not in self.skins else list(self.skins)

    def skin(self, kind: str) -> np.ndarray:
        """(V, J). Smoothed ones are computed when first asked for. Raises: KeyError for an unknown kind."""
        if kind == SMOOTHED and self.rigged and SMOOTHED not in self.skins:
            raw_VJ, asset = self.skins[NETWORK if NETWORK in self.skins else IN_FILE], self.asset
            rig = CharacterRig(np.float64(asset.joints_J3), asset.parents, asset.names, raw_VJ, np.eye(3))
            self.skins[SMOOTHED] = polish(asset.vertices_V3, asset.faces_F3, rig).rig.skin_VJ
        return self.skins[kind]

    @cached_property
    def _local_J44(self) -> np.ndarray:
        return self.asset.local_J44()

    def pose(self, degrees: Mapping[int, tuple[float, float, float]]) -> np.ndarray:
        """Transforms (J, 3, 4) float32 with some joints turned from rest: about x, then y, then z, the figure's own axes at rest.

        Raises: ValueError for a joint that is not there and for numbers that are not finite.
        """
        turn_J33 = np.tile(np.eye(3), (self.asset.joint_count, 1, 1))
        for joint, angles in degrees.items():
            if not 0 <= joint < len(turn_J33) or np.shape(angles) != (3,) or not np.isfinite(angles).all():
                raise ValueError(f"joint {joint}: no such joint, or angles that are not three finite numbers")
            x_33, y_33, z_33 = rotvec_to_matrix(np.radians(np.diag(np.float64(angles))))
            turn_J33[joint] = z_33 @ y_33 @ x_33
        bone_J33 = self._local_J44[:, :3, :3]
        return self._transforms(homogeneous(np.swapaxes(bone_J33, -1, -2) @ turn_J33 @ bone_J33))

    def animate(self, clip: Clip) -> np.ndarray:
        """Transforms (T, J, 3, 4) float32 of a clip whose rest is the T pose; fingers follow their hands.

        The hips' way is scaled by the legs. Raises: AssetError without the contest's joints.
        """
        if self.asset.joint_count not in T_AIMS:
            raise AssetError(f"{self.asset.source}: a clip needs a skeleton of {' or '.join(map(str, sorted(T_AIMS)))} joints")
        body_J = [*range(22), *(FINGER_TO_HAND[j] for j in range(22, self.asset.joint_count))]
        turn_TJ33 = (Y_UP_TO_Z_UP @ np.asarray(clip.rotations_TJ33, np.float64) @ Y_UP_TO_Z_UP.T)[:, body_J]
        joints_J3 = np.float64(self.asset.joints_J3)
        basis = retarget(self.asset.parents, turn_TJ33, joints_J3, self._local_J44, T_AIMS[len(joints_J3)])
        transforms_TJ34 = self._transforms(basis)
        transforms_TJ34[..., 3] += np.float32(self._way(clip, transforms_TJ34))[:, None]
        return transforms_TJ34

    def _way(self, clip: Clip, transforms_TJ34: np.ndarray) -> np.ndarray:
        """(T, 3) where the hips go; in a clip that stays in place, so high that the lower foot keeps its height at rest."""
        joints_J3 = np.float64(self.asset.joints_J3)
        if clip.offset_T3 is not None:
            return leg_length(joints_J3) * (np.asarray(clip.offset_T3, np.float64) @ Y_UP_TO_Z_UP.T)
        height_TF = (transforms_TJ34[:, FEET, 2, :3] * joints_J3[FEET]).sum(-1) + transforms_TJ34[:, FEET, 2, 3]
        return (joints_J3[FEET, 2].min() - height_TF.min(1))[:, None] * np.array([0.0, 0.0, 1.0])

    def _transforms(self, basis_J44: np.ndarray) -> np.ndarray:
        pose_J44 = forward_kinematics(self.asset.parents, self._local_J44, basis_J44)
        return np.float32(skin_transforms(pose_J44, self._local_J44)[..., :3, :])

    def packed(self) -> bytes:
        """The whole character for the page (see `pack`): a character without weights hangs on one joint that never moves."""
        asset, skin_VJ = self.asset, next(iter(self.skins.values()), np.ones((len(self.asset.vertices_V3), 1)))
        about = {"names": list(asset.names or ()), "parents": [-1 if p is None else p for p in asset.parents or ()], "kinds": self.kinds,
                 "rigged": self.rigged, "animates": asset.joint_count in T_AIMS, "vertices": len(asset.vertices_V3),
                 "faces": len(asset.faces_F3) if asset.has_faces else 0, "warnings": self.warnings, "expectedCm": self.expected_cm,
                 "motions": [{"name": m.name, "frames": len(m.transforms_TJ34), "fps": m.fps} for m in self.motions]}
        arrays = {"place": np.float32(asset.vertices_V3)} | influences(skin_VJ)
        if self.rigged:
            arrays["joints"] = np.float32(asset.joints_J3)
        if asset.has_faces:
            arrays |= {"normal": np.float32(asset.normals_V3), "faces": asset.faces_F3.astype(np.uint32)}
        return pack(about, arrays)


def thinned(clip: Clip) -> Clip:
    """The clip at no more than SHOWN_FPS and MOST_FRAMES."""
    step = max(1, int(np.ceil(clip.fps / SHOWN_FPS)), -(-len(clip) // MOST_FRAMES))
    offset_T3 = None if clip.offset_T3 is None else clip.offset_T3[::step]
    return replace(clip, rotations_TJ33=clip.rotations_TJ33[::step], offset_T3=offset_T3, fps=clip.fps / step)


def influences(skin_VJ: np.ndarray) -> dict[str, np.ndarray]:
    """bones_VK uint8 and shares_VK uint16 (65535 is 1): the K greatest weights of each row, scaled to sum 1 before rounding."""
    skin_VJ = np.asarray(skin_VJ, np.float32)
    bones_VK = np.zeros((len(skin_VJ), INFLUENCES), np.uint8)
    shares_VK = np.zeros((len(skin_VJ), INFLUENCES), np.float32)
    kept = min(INFLUENCES, skin_VJ.shape[1])
    bones_VK[:, :kept] = np.argsort(-skin_VJ, axis=1, kind="stable")[:, :kept]
    shares_VK[:, :kept] = np.take_along_axis(skin_VJ, bones_VK[:, :kept].astype(np.int64), axis=1)
    shares_VK /= shares_VK.sum(1, keepdims=True)
    return {"bones": bones_VK, "shares": np.rint(shares_VK * 65535).astype(np.uint16)}


def pack(about: dict, arrays: Mapping[str, np.ndarray]) -> bytes:
    """A header's length (uint32), the header (JSON: about, and for each array its type and place), then the arrays; little-endian.

    Every part starts at a multiple of 4 from the beginning, so that the browser can look at it without copying.
    """
    places, start = {}, 0
    for name, array in arrays.items():
        places[name] = {"type": array.dtype.name, "start": start, "count": int(array.size)}
        start += -(-array.nbytes // 4) * 4
    head = json.dumps(about | {"arrays": places}).encode()
    head += b" " * (-len(head) % 4)
    blocks = [len(head).to_bytes(4, "little"), head]
    for array in arrays.values():
        blocks += [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(), bytes(-array.nbytes % 4)]
    return b"".join(blocks)
