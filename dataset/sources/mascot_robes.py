"""Skirts, coats and robes: lofts about a body that may hide the legs whole, closed or open in front, with a rigger's weights.

Letters: V vertices, F faces, K rows from the hem up. Frame: Y up, facing +Z, the left at +X; units: those of the wearer.
"""

from dataclasses import dataclass, replace

import numpy as np

from dataset.sources import mascot_weights as weights
from dataset.sources.mascot_body import Plan, bound
from dataset.sources.mascot_shells import Shell, count, loft, used_only

SHAPES = {"straight": 0.3, "flared": 0.35, "bell": 0.15, "trumpet": 0.1, "cocoon": 0.1}


@dataclass(frozen=True)
class Cut:
    """What a robe looks like below where it begins."""
    shape: str         # of SHAPES
    growth: float      # how much wider than the body it becomes, share
    power: float       # how late it does
    folds: float       # share of the width
    fold_count: int
    open_front: float  # half width of the opening at the hem, shares of the hem's; 0 closed
    open_hem: bool     # no faces across the hem


def draw_cut(rng: np.random.Generator) -> Cut:
    shape = str(rng.choice(list(SHAPES), p=list(SHAPES.values())))
    growth = {"straight": rng.uniform(0, 0.12), "flared": rng.uniform(0.15, 0.7), "bell": rng.uniform(0.15, 0.7),
              "trumpet": rng.uniform(0.3, 0.9), "cocoon": rng.uniform(0.1, 0.4)}[shape]
    return Cut(shape=shape, growth=growth, power=rng.uniform(0.8, 2.0), folds=rng.uniform(0, 0.06), fold_count=int(rng.integers(6, 14)),
               open_front=rng.uniform(0.08, 0.6) if rng.random() < 0.25 else 0.0, open_hem=rng.random() < 0.5)


def widening(cut: Cut, down_K: np.ndarray) -> np.ndarray:
    """Factors on the body's width at places from the beginning (0) to the hem (1)."""
    growth_K = {"straight": down_K, "flared": down_K ** cut.power, "bell": np.sin(0.5 * np.pi * np.clip(2 * down_K, 0, 1)),
                "trumpet": np.clip(down_K - 0.6, 0, 1) / 0.4, "cocoon": np.sin(np.pi * down_K)}[cut.shape]
    return 1 + cut.growth * growth_K


def hang(height_K: np.ndarray, wide_K: np.ndarray, deep_K: np.ndarray, middle_K: np.ndarray | float, cut: Cut, segments: int,
         power: float) -> Shell:
    """The robe whose body measures wide_K, deep_K (half) at heights from the hem up, grown, folded and opened as its cut says."""
    grown_K = widening(cut, (height_K[-1] - height_K) / (height_K[-1] - height_K[0]))
    shell = loft(height_K, wide_K * grown_K, deep_K * grown_K, segments, power, middle_K)
    middle_V = np.interp(shell.along_V, height_K, middle_K + 0 * wide_K)
    across_V3 = shell.vertices_V3 - np.stack([0 * middle_V, shell.along_V, middle_V], 1)
    folds_V = cut.folds * np.sin(cut.fold_count * np.arctan2(across_V3[:, 0], across_V3[:, 2]))
    shell = replace(shell, vertices_V3=shell.vertices_V3 + folds_V[:, None] * across_V3 * [1, 0, 1])
    if cut.open_hem or cut.open_front:
        hem_pole = len(shell.vertices_V3) - 2
        shell = used_only(shell, shell.faces_F3[(shell.faces_F3 != hem_pole).all(1)])
    return _opened(shell, cut.open_front * wide_K[0]) if cut.open_front else shell


def _opened(shell: Shell, half_width: float) -> Shell:
    """Without the front's faces: a gap from three quarters of the height down to half_width at the hem. It hides nothing any more."""
    middle_F3 = shell.vertices_V3[shell.faces_F3].mean(1)
    pairs = len(middle_F3) // 2 * 2
    middle_F3[:pairs] = np.repeat(middle_F3[:pairs].reshape(-1, 2, 3).mean(1), 2, axis=0)       # whole quads: no comb along the opening
    low, high = shell.vertices_V3[:, 1].min(), shell.vertices_V3[:, 1].max()
    gap_F = half_width * np.clip(1 - (middle_F3[:, 1] - low) / (0.75 * (high - low)), 0, 1)
    front_F = middle_F3[:, 2] > np.median(shell.vertices_V3[:, 2])
    return replace(used_only(shell, shell.faces_F3[~(front_F & (np.abs(middle_F3[:, 0]) < gap_F))]), inside=None)


def robe(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """A skirt, coat or robe of a mascot from the waist, the chest or the shoulders to anywhere between the crotch and the ground."""
    b = plan.build
    tall = b.top - b.crotch
    start = b.crotch + tall * rng.choice([rng.uniform(0.25, 0.5), rng.uniform(0.5, 0.75), rng.uniform(0.75, 0.92)], p=[0.35, 0.25, 0.4])
    hem = b.crotch * rng.choice([rng.uniform(0.02, 0.15), rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.95)], p=[0.35, 0.4, 0.25])
    height_K = np.linspace(hem, start, count(22, plan.detail, 7))
    legs = max(b.thigh_x + 1.15 * b.leg_radius + max(b.legs_apart, 0) * 0.5, b.width * 0.8)                # clear of both legs
    body_K = b.half_width(np.maximum(height_K, b.crotch + 0.3 * tall)) * 1.06
    wide_K = np.maximum(body_K, legs * weights.smooth((b.crotch + 0.35 * tall - height_K) / (0.4 * tall)))
    deep_K = np.maximum(wide_K * b.depth / b.width, 1.25 * b.leg_radius)
    cut = draw_cut(rng)
    shell = hang(height_K, wide_K, deep_K, 0.0, cut, count(30, plan.detail, 8), rng.uniform(2.0, 2.8))
    skin_VJ = weights.skirt_weights(shell.vertices_V3, plan.joints_J3, plan.softness, b.arm_radius, rng.uniform(0.2, 1.0))
    return [bound(shell, skin_VJ)]
