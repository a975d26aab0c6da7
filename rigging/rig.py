"""A rig on its way from the network's answer to a file that people use: what every step of this room takes and returns.

    prediction -> weight contract (weights.py) -> a trade's names and bone axes (dialects.py) -> the user's own scene (scene.py)
Letters: V vertices, J joints. Frame: the user's file, in its units.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class CharacterRig:
    """A skeleton bound to a mesh at rest.

    joints_J3 float64 (J, 3); parents: a parent comes before its child, joint 0 is the only root; names: one a joint.
    skin_VJ float32 (V, J): >= 0, rows sum to 1 within 1e-6, in the file's vertex order.
    frames_J33 float64 (J, 3, 3): rest orientation of each joint, its axes as columns; None: all like the file's own axes.
    to_network_33: rotation that takes the file's axes to the network's (Z up, facing -Y, left at +X); it says where up, front and
    left are in this file.
    """
    joints_J3: np.ndarray
    parents: tuple[int | None, ...]
    names: tuple[str, ...]
    skin_VJ: np.ndarray
    to_network_33: np.ndarray
    frames_J33: np.ndarray | None = None

    @property
    def joint_count(self) -> int:
        return len(self.joints_J3)

    def frames(self) -> np.ndarray:
        """(J, 3, 3) float64, identities where none were given."""
        return np.tile(np.eye(3), (self.joint_count, 1, 1)) if self.frames_J33 is None else np.asarray(self.frames_J33, np.float64)
