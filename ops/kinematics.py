"""Rotation vectors and forward kinematics with gradients. Plain twins: geometry/kinematics.py. Letters: B batch, J joints."""

from collections.abc import Sequence

import jittor as jt
import numpy as np

from ops.kernels import require, require_shape


def rotvec_to_matrix(rotvec_BJ3: jt.Var) -> jt.Var:
    """Rotation matrices (B, J, 3, 3) from rotation vectors in radians: I + s K + c K^2 (Rodrigues), smooth at zero."""
    require_shape(rotvec_BJ3, "BJ3", "rotvec")
    x, y, z = (rotvec_BJ3[:, :, k] for k in range(3))
    angle2 = x * x + y * y + z * z + 1e-12     # the square root has no slope at 0
    half = 0.5 * angle2.sqrt()
    s = half.sin() * half.cos() / half         # sin(a) / a
    c = 0.5 * (half.sin() / half).sqr()        # (1 - cos(a)) / a^2
    rows = [1 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y,
            c * x * y + s * z, 1 - c * (x * x + z * z), c * y * z - s * x,
            c * x * z - s * y, c * y * z + s * x, 1 - c * (x * x + y * y)]
    return jt.stack(rows, dim=2).reshape(*x.shape, 3, 3)


def forward_kinematics(parents: Sequence[int | None], joints_J3: jt.Var, turn_BJ33: jt.Var) -> jt.Var:
    """How each bone moves the points that follow it, (B, J, 3, 4), for ops.skinning: T_j = T_parent (turn_j about joint j).

    joints_J3: at rest. turn_BJ33: rotation of each joint against its parent, along the axes of space at rest. The product of each chain is
    made by pointer jumping, for all joints at once, as in the twin.
    Raises: ValueError for shapes that do not fit, or a parent that does not come before its child.
    """
    count = len(parents)
    require_shape(joints_J3, "J3", "joints", J=count)
    require_shape(turn_BJ33, "BJ33", "turn", J=count)
    require(all(p is None or 0 <= p < j for j, p in enumerate(parents)), "a parent must come before its child")
    batch, kind = turn_BJ33.shape[0], turn_BJ33.dtype
    pivot_BJ3 = joints_J3.unsqueeze(0).expand(batch, count, 3)
    still_33 = jt.init.eye(3, kind).reshape(1, 1, 3, 3).expand(batch, 1, 3, 3)
    turn = jt.concat([turn_BJ33, still_33], dim=1)         # the last one never moves: what is above the roots
    shift = jt.concat([pivot_BJ3 - _turned(turn_BJ33, pivot_BJ3), jt.zeros((batch, 1, 3), kind)], dim=1)
    above = np.array([count if p is None else p for p in parents] + [count])
    while (above != count).any():
        turn_above, shift_above = turn[:, above], shift[:, above]
        shift = _turned(turn_above, shift) + shift_above
        turn = (turn_above.unsqueeze(4) * turn.unsqueeze(2)).sum(3)
        above = above[above]
    return jt.concat([turn[:, :count], shift[:, :count].unsqueeze(3)], dim=3)


def _turned(turn_BJ33: jt.Var, point_BJ3: jt.Var) -> jt.Var:
    return (turn_BJ33 * point_BJ3.unsqueeze(2)).sum(3)
