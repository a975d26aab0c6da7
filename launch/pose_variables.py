"""A figure whose pose carries gradients: what a fit that goes downhill turns and moves, and the optimiser that does it.

Letters: V vertices, J joints, P any points on the surface.
"""

from collections.abc import Sequence

import jittor as jt
import numpy as np

from launch.optimizer import AdamW, OptimConfig
from launch.pose_figure import Figure, Pose
from ops.kinematics import forward_kinematics, rotvec_to_matrix
from ops.skinning import linear_blend_skinning


class PoseVariables:
    """Turns from a start and a place, to be found by Adam.

    figure: at rest; start: None: the rest pose; free: joints that may turn, None: all. lr: radians (and sizes of the figure, for the
    place) a step at most, falling to a tenth over `steps`.
    """

    def __init__(self, figure: Figure, start: Pose | None, lr: float, steps: int, free: Sequence[int] | None = None):
        self.parents, self.count, self.size = figure.parents, len(figure.parents), figure.size
        begun = figure.rest if start is None else start
        self._begun_BJ33 = jt.array(np.float32(begun.turn_J33)).unsqueeze(0)
        self._joints_J3 = jt.array(np.float32(figure.joints_J3))
        may_turn = np.zeros((self.count, 1), "float32")
        may_turn[list(range(self.count) if free is None else free)] = 1
        self._may_turn_J1 = jt.array(may_turn)
        self._pose = {"rotvec": jt.zeros((self.count, 3)), "offset": jt.array(np.float32(begun.offset_3 / self.size))}
        self._optimizer = AdamW(self._pose, OptimConfig(lr=lr, final_lr=lr / 10, warmup=0, steps=steps, weight_decay=0, clip=np.inf,
                                                        ema=0, beta2=0.99))

    def turns(self) -> jt.Var:
        """(1, J, 3, 3): each joint's turn against its parent."""
        turned_BJ33 = rotvec_to_matrix((self._pose["rotvec"] * self._may_turn_J1).unsqueeze(0))
        return (turned_BJ33.unsqueeze(4) * self._begun_BJ33.unsqueeze(2)).sum(3)

    def transforms(self) -> jt.Var:
        """(1, J, 3, 4): from a point at rest to the posed one."""
        transforms = forward_kinematics(self.parents, self._joints_J3, self.turns())
        return jt.concat([transforms[..., :3], transforms[..., 3:] + (self._pose["offset"] * self.size).reshape(1, 1, 3, 1)], dim=3)

    def moved(self, points_P3: np.ndarray, skin_PJ: np.ndarray) -> jt.Var:
        """(1, P, 3): points at rest in the pose of now."""
        points, skin = (jt.array(np.float32(x)).unsqueeze(0) for x in (points_P3, skin_PJ))
        return linear_blend_skinning(points, skin, self.transforms())

    def turned(self) -> jt.Var:
        """Squared radians of turn from the start, mean over the joints: scalar."""
        return (self._pose["rotvec"] * self._may_turn_J1).sqr().sum() / self.count

    def descend(self, loss: jt.Var) -> None:
        """One step. Raises: NonFinite."""
        self._optimizer.update(*self._optimizer.gradients(loss))

    def pose(self) -> Pose:
        return Pose(self.turns().numpy()[0].astype(np.float64), self._pose["offset"].numpy() * self.size)
