"""What the network says of a figure, in the user's frame and vertex order. Letters: V vertices, J joints."""

from typing import NamedTuple

import numpy as np

from geometry.similarity import Similarity
from launch.orientation import angle_of

CM_PER_BOX = 85.0         # a figure whose longest side (2 box units) is 170 cm
_EYE_33 = np.eye(3)


class RigResult(NamedTuple):
    """A rig in the user's frame and vertex order, and the same in the unit box of the contest's layout.

    joints_J3, box_joints_J3, box_vertices_V3, skin_VJ: float32. skin_VJ: >= 0, rows sum to 1 within 1e-6.
    confidence_J: in (0, 1], see launch/predictor.py; None where there is nothing to tell it from. to_box: user's frame -> box.
    expected_error_J: mean distance from the truth that the network expects of each joint, box units; None where it does not say.
    box_initial_J3: float32, the joints before the network refined them.
    error_bound_J: what nine of ten true errors stay below, box units.
    stand_33: rotation of the network's frame after which the figure stood upright, to be rigged.
    """
    joints_J3: np.ndarray
    parents: tuple[int | None, ...]
    names: tuple[str, ...]
    skin_VJ: np.ndarray
    confidence_J: np.ndarray | None
    box_joints_J3: np.ndarray
    box_vertices_V3: np.ndarray
    to_box: Similarity
    expected_error_J: np.ndarray | None = None
    error_bound_J: np.ndarray | None = None
    box_initial_J3: np.ndarray | None = None
    stand_33: np.ndarray = _EYE_33

    @property
    def expected_error_cm(self) -> float | None:
        """Mean over the joints, for a figure whose longest side is 170 cm."""
        return None if self.expected_error_J is None else round(float(self.expected_error_J.mean()) * CM_PER_BOX, 2)

    @property
    def turned(self) -> float:
        """Degrees that the figure was turned by to stand upright."""
        return float(np.degrees(angle_of(self.stand_33)))
