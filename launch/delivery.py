"""From a prediction to what is handed out: weights that keep their contract, the bones of a trade, the user's own scene, a motion.

Letters: V vertices, J joints.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset, network_rotation
from dataset.sources.files import GLTF
from launch.rig_result import CM_PER_BOX, RigResult
from rigging.animation import Clip, bake
from rigging.dialects import in_dialect
from rigging.quality import Quality, examine
from rigging.quality_figure import Figure, light_copy
from rigging.rig import CharacterRig
from rigging.scene import add_rig
from rigging.scene_binding import RiggedScene
from rigging.scene_fresh import fresh_scene
from rigging.vrm import vrm_extension
from rigging.weights import Step, WeightOptions, polish


@dataclass(frozen=True)
class Delivery:
    """dialect: a key of dataset.format.DIALECTS; hands: "full", "mitten" or "none". influences: the most that a vertex keeps, 1-8.
    policy, for files that have a rig: "replace" or "keep-skeleton", where the user's bones keep their names and dialect and hands
    have nothing to say. symmetric: make mirror images of a symmetric mesh follow alike, exactly. clip: a motion to bake in.
    fbx: the rigged scene as FBX too, through Blender's package. turntable: a picture of the rig turning."""
    dialect: str = "contest"
    hands: str = "full"
    influences: int = 4
    policy: str = "replace"
    symmetric: bool = False
    clip: Clip | None = None
    fbx: bool = False
    turntable: bool = False

    def digest(self) -> str:
        """Of all that these wishes decide; two that would write other bytes have other digests."""
        sums = hashlib.sha256(repr(replace(self, clip=None)).encode())
        if self.clip is not None:
            sums.update(f"{self.clip.name} {self.clip.fps} {self.clip.offset_T3 is None}".encode())
            for array in (self.clip.rotations_TJ33, self.clip.offset_T3):
                sums.update(b"" if array is None else np.ascontiguousarray(array, np.float64).tobytes())
        return sums.hexdigest()


class Delivered(NamedTuple):
    """rig: the contest's joints with polished weights, steps: what was done to them, quality: its examination, figure: what was examined.

    scene: None for a cloud of points.
    """
    rig: CharacterRig
    steps: tuple[Step, ...]
    quality: Quality
    figure: Figure
    scene: RiggedScene | None

    @property
    def notes(self) -> list[str]:
        """What changed in the user's file beyond the rig, and what it could not take."""
        if self.scene is None:
            return []
        unused = f"joints of the file that no weight went to: {', '.join(self.scene.unused)}"
        return [*self.scene.notes, *([unused] if self.scene.unused else [])]


def deliver(source: Path, asset: Asset, result: RigResult, wishes: Delivery) -> Delivered:
    """asset: as read from source. Raises: AssetError or ValueError where the file and the rig do not go together."""
    turn_33 = result.stand_33 @ network_rotation(asset).rotation_33
    raw = CharacterRig(np.float64(result.joints_J3), result.parents, result.names, result.skin_VJ, turn_33)
    options = WeightOptions(influences=wishes.influences, symmetric=wishes.symmetric)
    polished = polish(asset.vertices_V3, asset.faces_F3, raw, options)
    expected_cm_J = None if result.expected_error_J is None else result.expected_error_J * CM_PER_BOX
    light = light_copy(asset.vertices_V3, asset.faces_F3, polished.rig)
    figure = Figure.of(*light)
    quality = examine(figure, light[2], expected_cm_J)
    if len(light[0]) < len(asset.vertices_V3):
        quality = replace(quality, skipped=(*quality.skipped, f"Examined was a copy of {len(light[0]):,} of the mesh's "
                                                              f"{len(asset.vertices_V3):,} vertices."))
    if not asset.has_faces:
        return Delivered(polished.rig, polished.steps, quality, figure, None)
    own_bones = wishes.policy == "keep-skeleton" and source.suffix.lower() in GLTF
    rig = polished.rig if own_bones else in_dialect(polished.rig, wishes.dialect, wishes.hands)
    if source.suffix.lower() in GLTF:
        scene = add_rig(source, rig, wishes.influences, wishes.policy)
    else:
        scene = fresh_scene(asset.vertices_V3, asset.faces_F3, asset.normals_V3, rig, asset.up, wishes.influences)
    if wishes.clip is not None:
        bake(scene, rig, wishes.clip)
    if wishes.dialect == "vrm":
        vrm_extension(scene, rig, asset.vertices_V3)
    return Delivered(polished.rig, polished.steps, quality, figure, scene)
