"""New proportions for a rigged character: longer or shorter bones, thicker or thinner limbs, a larger head.

Each joint carries an affine map of the rest pose, blended by the skin weights like a pose; a joint is a material point of its parent,
so the joints follow and every limb stays connected. Letters: J joints.
"""

from dataclasses import dataclass

import numpy as np

from dataset.format import FULL_NAMES, FULL_PARENTS

_J = {name: j for j, name in enumerate(FULL_NAMES)}
# where a joint with several children points: its bone runs to this one
_MAIN_CHILD = {"hips": "spine", "upper_chest": "neck"}
_UNIFORM = ("head", "hand", "foot", "toe_base")     # scaled in all directions alike: their shape is their identity


def _part(name: str) -> str:
    """The body part whose factors a joint takes; left and right share one, fingers take the hand's."""
    if "hand" in name:
        return "hand"
    if name in ("spine", "chest", "upper_chest"):
        return "trunk"
    return {"toe_base": "foot"}.get(name[2:], name[2:]) if name[:2] in ("l_", "r_") else name


PART_OF_J = tuple(_part(name) for name in FULL_NAMES)
PARTS = tuple(dict.fromkeys(PART_OF_J))


def _tips() -> tuple[int | None, ...]:
    tips = []
    for j, name in enumerate(FULL_NAMES):
        children = [c for c, p in enumerate(FULL_PARENTS) if p == j]
        uniform = PART_OF_J[j] in _UNIFORM or not children
        tips.append(None if uniform else _J[_MAIN_CHILD[name]] if name in _MAIN_CHILD else children[0])
    return tuple(tips)


_TIP_OF_J = np.array([j if tip is None else tip for j, tip in enumerate(_tips())])
_ABOVE_J = np.array([j if p is None else p for j, p in enumerate(FULL_PARENTS)])
_PART_OF_J = np.array([PARTS.index(part) for part in PART_OF_J])


def _lineage() -> np.ndarray:
    """(J, J) float64: 1 where the column's joint is the row's joint or one above it."""
    line_JJ = np.eye(len(FULL_PARENTS))
    for j, p in enumerate(FULL_PARENTS):
        if p is not None:
            line_JJ[j] += line_JJ[p]
    return line_JJ


_LINEAGE_JJ = _lineage()


def stretch_transforms(joints_J3: np.ndarray, length: dict[str, float], girth: dict[str, float]) -> np.ndarray:
    """Affine maps (J, 3, 4) float64 of the rest pose, for 22 or 52 joints in the contest's order.

    length[part]: factor along a part's bones; girth[part]: across them. Parts in _UNIFORM take `length` in all directions.
    A_j x = A_parent(joint_j) + S_j (x - joint_j), with S_j = girth I + (length - girth) d d^T and d the direction of the bone.
    The root joint stays where it is.
    """
    joints_J3 = np.asarray(joints_J3, np.float64)
    count = len(joints_J3)
    part_J, above_J = _PART_OF_J[:count], _ABOVE_J[:count]
    length_J, girth_J = (np.array([factor[part] for part in PARTS])[part_J] for factor in (length, girth))
    bone_J3 = joints_J3[_TIP_OF_J[:count]] - joints_J3
    size_J = np.sqrt((bone_J3 * bone_J3).sum(-1))
    across_J = np.where(size_J > 0, girth_J, length_J)      # without a direction a part grows the same way everywhere
    along_J3 = bone_J3 / np.where(size_J > 0, size_J, 1)[:, None]
    out_J34 = np.empty((count, 3, 4))
    out_J34[:, :, :3] = across_J[:, None, None] * np.eye(3) \
        + (length_J - across_J)[:, None, None] * along_J3[:, :, None] * along_J3[:, None, :]
    # A_j x = S_j x + t_j, so A_j(joint_j) = A_parent(joint_j) is t_j = t_parent + (S_parent - S_j) joint_j: a sum over a joint's line
    above_J33 = out_J34[above_J, :, :3]
    above_J33[0] = np.eye(3)
    step_J3 = ((above_J33 - out_J34[:, :, :3]) @ joints_J3[:, :, None])[..., 0]
    out_J34[:, :, 3] = _LINEAGE_JJ[:count, :count] @ step_J3
    return out_J34


@dataclass(frozen=True)
class Proportions:
    """How far the factors wander: each uniform in 1 +- its range, the head's in head_low..head_high.

    Arms share one length factor and legs another, on which each part adds half the range of its own: people's limbs go together.
    """
    length: float = 0.2
    girth: float = 0.2
    head_low: float = 0.85
    head_high: float = 1.35

    def draw(self, rng: np.random.Generator) -> tuple[dict[str, float], dict[str, float]]:
        """(length, girth) factors per part."""
        arm, leg, body, *own = rng.uniform(-1, 1, 3 + 2 * len(PARTS)).tolist()
        limb, length, girth = {"arm": arm, "leg": leg}, {}, {}
        for k, part in enumerate(PARTS):
            shared = limb.get(part.rsplit("_", 1)[-1], 0.0)
            length[part] = 1 + self.length * (shared + 0.5 * own[2 * k]) / 1.5
            girth[part] = 1 + self.girth * (body + 0.5 * own[2 * k + 1]) / 1.5
        length["head"] = rng.uniform(self.head_low, self.head_high)
        return length, girth
