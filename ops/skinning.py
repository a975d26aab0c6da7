"""Linear blend skinning. Letters: B batch, V vertices, J joints. Plain twin: geometry/skinning.py."""

import jittor as jt

from ops.batched_matmul import bmm
from ops.kernels import require_float, require_shape


def linear_blend_skinning(vertices_BV3: jt.Var, skin_BVJ: jt.Var, transforms_BJ34: jt.Var) -> jt.Var:
    """v' = sum_j skin[v, j] (R_j v + t_j), with transforms[j] = [R_j | t_j] acting on column vectors.

    In:  vertices_BV3, skin_BVJ (rows sum to 1), transforms_BJ34, float32; transforms carry the rest pose to the posed one.
    Out: (B, V, 3) float32, gradients to all three.
    Raises: ValueError on other shapes or dtypes.
    """
    require_shape(vertices_BV3, "BV3", "vertices")
    batch, vertices, _ = vertices_BV3.shape
    require_shape(skin_BVJ, "BVJ", "skin", B=batch, V=vertices)
    joints = skin_BVJ.shape[2]
    require_shape(transforms_BJ34, "BJ34", "transforms", B=batch, J=joints)
    for value, name in ((vertices_BV3, "vertices"), (skin_BVJ, "skin"), (transforms_BJ34, "transforms")):
        require_float(value, name)
    blend_BV34 = bmm(skin_BVJ, transforms_BJ34.reshape((batch, joints, 12))).reshape((batch, vertices, 3, 4))
    turned_BV3 = (blend_BV34[:, :, :, :3] * vertices_BV3.unsqueeze(2)).sum(-1)
    return turned_BV3 + blend_BV34[:, :, :, 3]
