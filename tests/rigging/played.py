"""What a clip makes of a rig by our own kinematics and skinning, without any glTF: the measure for what files play.

Used by the tests of rigging/animation.py and by benchmarks/acceptance_rigs.py.
"""

import numpy as np

from dataset.exporter import strongest_weights
from dataset.format import BODY_NAMES, BODY_PARENTS, DIALECTS
from dataset.poses import T_AIMS
from geometry.kinematics import forward_kinematics, homogeneous, retarget
from geometry.similarity import Y_UP_TO_Z_UP
from geometry.skinning import linear_blend_skinning, skin_transforms
from rigging.animation import Clip, leg_length
from rigging.rig import CharacterRig
from rigging.scene_binding import weld


def played(rig: CharacterRig, vertices_V3: np.ndarray, clip: Clip, frame: int, influences: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3), (22, 3) by geometry.kinematics and skinning, in the network's frame; the weights as the file holds them."""
    names = {name: j for j, name in enumerate(rig.names)}
    back = {ours: theirs for dialect in DIALECTS.values() for ours, theirs in dialect.items() if all(n in names for n in
            [dialect[b] for b in BODY_NAMES])}
    body = [names[back[name]] for name in BODY_NAMES]
    turn_33 = rig.to_network_33
    joints_J3 = rig.joints_J3 @ turn_33.T
    local_J44 = homogeneous(np.tile(np.eye(3), (len(joints_J3), 1, 1)), joints_J3)
    turn_J33 = Y_UP_TO_Z_UP @ clip.rotations_TJ33[frame] @ Y_UP_TO_Z_UP.T
    body_44 = retarget(BODY_PARENTS, turn_J33, joints_J3[body], local_J44[body], T_AIMS[22])
    basis_J44 = np.tile(np.eye(4), (len(joints_J3), 1, 1))
    basis_J44[body] = body_44
    pose_J44 = forward_kinematics(rig.parents, local_J44, basis_J44)
    pose_J44[:, :3, 3] += leg_length(joints_J3[body]) * (Y_UP_TO_Z_UP @ clip.offset_T3[frame])
    joint_VK, weight_VK = strongest_weights(weld(rig.skin_VJ, vertices_V3), influences)
    skin_VJ = np.zeros(rig.skin_VJ.shape)
    np.add.at(skin_VJ, (np.arange(len(skin_VJ))[:, None], joint_VK), weight_VK)
    return linear_blend_skinning(vertices_V3 @ turn_33.T, skin_VJ, skin_transforms(pose_J44, local_J44)), pose_J44[body, :3, 3]
