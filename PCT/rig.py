"""What every network of this project answers with.

Letters: B batch, J joints, Q query positions.
"""

from typing import NamedTuple

import jittor as jt


class Rig(NamedTuple):
    """Joints in the frame of the points, and weights at the query positions.

    initial_BJ3: the regressor's joints. joints_BJ3: the final ones (the same where a network does not refine).
    skin_BQJ: >= 0, rows sum to 1. expected_error_BJ: how far off, in units of the frame, the network expects each final joint to be;
    None where it does not say.
    """
    initial_BJ3: jt.Var
    joints_BJ3: jt.Var
    skin_BQJ: jt.Var
    expected_error_BJ: jt.Var | None = None
