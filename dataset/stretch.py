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


_TIP_OF_J = _tips()


def stretch_transforms(joints_J3: np.ndarray, length: dict[str, float], girth: dict[str, float]) -> np.ndarray:
    """Affine maps (J, 3, 4) float64 of the rest pose, for 22 or 52 joints in the contest's order.

    length[part]: factor along a part's bones; girth[part]: across them. Parts in _UNIFORM take `length` in all directions.
    A_j x = A_parent(joint_j) + S_j (x - joint_j), with S_j = girth I + (length - girth) d d^T and d the direction of the bone.
    The root joint stays where it is.
    """
    joints_J3 = np.asarray(joints_J3, np.float64)
    out_J34 = np.empty((len(joints_J3), 3, 4))
    for j in range(len(joints_J3)):
        part, tip = PART_OF_J[j], _TIP_OF_J[j]
        bone_3 = np.zeros(3) if tip is None else joints_J3[tip] - joints_J3[j]
        size = np.sqrt(bone_3 @ bone_3)
        if size > 0:
            d_3 = bone_3 / size
            scale_33 = girth[part] * np.eye(3) + (length[part] - girth[part]) * np.outer(d_3, d_3)
        else:
            scale_33 = length[part] * np.eye(3)
        p = FULL_PARENTS[j]
        place_3 = joints_J3[j] if p is None else out_J34[p, :, :3] @ joints_J3[j] + out_J34[p, :, 3]
        out_J34[j, :, :3], out_J34[j, :, 3] = scale_33, place_3 - scale_33 @ joints_J3[j]
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
        limb = {"arm": rng.uniform(-1, 1), "leg": rng.uniform(-1, 1)}
        body = rng.uniform(-1, 1)
        length, girth = {}, {}
        for part in PARTS:
            shared = limb.get(part.rsplit("_", 1)[-1], 0.0)
            length[part] = 1 + self.length * (shared + 0.5 * rng.uniform(-1, 1)) / 1.5
            girth[part] = 1 + self.girth * (body + 0.5 * rng.uniform(-1, 1)) / 1.5
        length["head"] = rng.uniform(self.head_low, self.head_high)
        return length, girth
