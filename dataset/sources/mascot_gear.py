"""What a mascot wears and carries: capes, scarves, pads, tails, wings, packs, and things in its hands, each with its weights.

Letters: V vertices, K rows along a shell. Frame: units of the figure's height, Y up, facing +Z, the left at +X.
"""

from dataclasses import replace

import numpy as np

from dataset.sources import mascot_weights as weights
from dataset.sources.mascot_body import Plan, bound, carried
from dataset.sources.mascot_rig import hand_axes
from dataset.sources.mascot_shells import Shell, arc, ball, count, loft, rounded, spaced, sweep

FORWARD, UP = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])


def cape(plan: Plan, rng: np.random.Generator) -> Shell:
    """A flat cloth down the back from the shoulders; the chest carries it, further down in part the hips."""
    b = plan.build
    length = (b.shoulder - 0.05) * rng.uniform(0.3, 0.95)
    t_K = spaced(count(16, plan.detail, 7), 0.3)
    height_K = b.shoulder + 0.3 * b.arm_radius - length * t_K
    back_K = np.maximum.accumulate(b.half_width(np.clip(height_K, b.crotch, b.top))) * b.depth / b.width    # it lies on the back
    path_K3 = np.stack([0 * t_K, height_K, -rng.uniform(0.95, 1.15) * back_K - rng.uniform(0.02, 0.35) * length * t_K], axis=1)
    wide_K = b.half_width(b.shoulder) * rng.uniform(0.8, 1.3) * (1 + rng.uniform(0, 0.8) * t_K)
    shell = sweep(path_K3, wide_K, count(22, plan.detail, 8), FORWARD, rng.uniform(0.03, 0.12), power=3.0)
    waves_V = 0.1 * b.depth * np.sin(rng.uniform(2, 6) * shell.vertices_V3[:, 0] / b.width)
    shell = replace(shell, vertices_V3=shell.vertices_V3 + waves_V[:, None] * FORWARD, inside=None)
    low_V = weights.smooth((plan.at("chest")[1] - shell.vertices_V3[:, 1]) / (b.shoulder - b.thigh)) * rng.choice([0.0, 0.7, 1.0])
    return bound(shell, weights.spread(("upper_chest", "spine", "hips"), np.stack([1 - low_V, 0.4 * low_V, 0.6 * low_V], 1)))


def scarf(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """A ring about the neck, sometimes with an end that hangs down the front."""
    b = plan.build
    y = 0.5 * (b.top + b.shoulder) if not b.body_is_head else b.shoulder + 1.4 * b.arm_radius
    wide = max(float(b.half_width(y)), 0.35 * min(b.width, b.head_width or b.width)) * 1.05
    turns, thick = np.linspace(0, 2 * np.pi, count(26, plan.detail, 11)), b.arm_radius * rng.uniform(0.4, 0.9)
    path_K3 = np.stack([wide * np.cos(turns), y + 0 * turns, wide * b.depth / b.width * np.sin(turns)], 1)
    ring = sweep(path_K3, np.full(len(turns), thick), count(9, plan.detail, 5), UP, rng.uniform(0.7, 1.5))
    shells = [carried(ring, upper_chest=0.5, neck=0.5)]
    if rng.random() < 0.5:
        x = wide * rng.uniform(-0.5, 0.5)
        end = arc(np.array([x, y, b.depth * 1.05]), [0, -1, 0.3], [0, -1, 0], (b.top - b.crotch) * rng.uniform(0.3, 0.6), 8)
        shells.append(carried(sweep(end, np.full(8, 1.1 * thick), 8, FORWARD, 0.4), upper_chest=1.0))
    return shells


def belt(plan: Plan, rng: np.random.Generator) -> Shell:
    b = plan.build
    y = b.crotch + (b.top - b.crotch) * rng.uniform(0.15, 0.3)
    tall = (b.top - b.crotch) * rng.uniform(0.02, 0.06)
    wide_K = b.half_width(np.linspace(y - tall, y + tall, 5)) * np.array([1.0, 1.08, 1.1, 1.08, 1.0])
    shell = loft(np.linspace(y - tall, y + tall, 5), wide_K, wide_K * b.depth / b.width, count(28, plan.detail, 8), b.trunk_power)
    return bound(shell, weights.trunk_weights(shell.vertices_V3, plan.joints_J3, plan.softness, b.arm_radius))


def pads(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """Plates on both shoulders (or puffed sleeves), and sometimes one on the chest."""
    b = plan.build
    radii_3 = b.arm_radius * rng.uniform(1.2, 2.2) * np.array([1.0, rng.uniform(0.6, 1.0), 1.0])
    share = rng.choice([0.3, 0.7, 1.0])
    arm_3 = plan.at("l_upper_arm") + [0.3 * b.arm_radius, rng.uniform(0, 0.8) * b.arm_radius, 0]
    left = carried(ball(arm_3, radii_3, plan.detail, rng.choice([2.0, 3.5])), l_upper_arm=share, l_shoulder=1 - share)
    shells = [left, left.mirrored()]
    if rng.random() < 0.4:
        at_3 = np.array([0, plan.at("upper_chest")[1], 0.85 * b.depth])
        radii_3 = np.array([0.6 * b.width, 0.2 * (b.top - b.crotch), 0.3 * b.depth])
        shells.append(carried(ball(at_3, radii_3, plan.detail, 3.0), upper_chest=0.7, chest=0.3))
    return shells


def tail(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """Thin, bushy, dragon-like, curled up, hanging down, a bob, a bird's fan, one that rests on the ground; the hips carry it."""
    b = plan.build
    kind = rng.choice(["thin", "bushy", "thick", "hanging", "bob", "fan", "resting"], p=[0.15, 0.19, 0.12, 0.15, 0.08, 0.06, 0.25])
    tall = b.top - b.crotch
    y = b.crotch + tall * rng.uniform(0.05, 0.2)
    root_3 = np.array([0.0, y, -0.85 * b.depth * float(b.half_width(y)) / b.width])
    sway = rng.uniform(-0.5, 0.5) if rng.random() < 0.6 else 0.0
    if kind == "resting":
        return [carried(resting_tail(root_3, 0.5 * (tall + y), plan.detail, rng), hips=1.0)]
    if kind == "bob":
        return [carried(ball(root_3 - 0.02 * FORWARD, rng.uniform(0.1, 0.25) * tall, plan.detail), hips=1.0)]
    length = float(np.clip(tall * rng.uniform(0.6, 1.6), 0.12, 0.7))
    way_3 = np.array([0.3 * sway, rng.uniform(-0.4, 0.7), -1.0])
    towards_3 = np.array([sway, rng.choice([rng.uniform(0.5, 1.8), rng.uniform(-1.6, -0.3)]), rng.uniform(-0.8, 0.4)])
    if kind == "hanging":
        way_3, towards_3 = np.array([0.0, 0.3, -1.0]), np.array([sway, -2.0, rng.uniform(-0.3, 0.2)])
        length = min(length, 0.9 * y + 0.1)
    if towards_3[1] < 0:            # the tip stays above the ground
        length = min(length, 1.15 * y + 0.08)
    rows = count(20, plan.detail, 8)
    t_K = np.linspace(0, 1, rows)
    profile_K = {"thin": 0.05 * (1 - 0.6 * t_K) + 0.05 * (t_K > 0.85) * rng.choice([0, 1]), "thick": 0.28 * (1.03 - t_K),
                 "bushy": 0.05 + rng.uniform(0.1, 0.22) * np.sin(np.pi * t_K ** rng.uniform(0.6, 1.2)),
                 "hanging": 0.08 + rng.uniform(0.05, 0.16) * np.sin(np.pi * t_K ** 0.8), "fan": 0.08 + 0.35 * t_K}[kind]
    path_K3 = arc(root_3, way_3, towards_3, length, rows)
    path_K3[:, 1] = np.maximum(path_K3[:, 1], 0.3 * profile_K * length)
    across = (1.0, 0.1, 0.0) if abs(sway) < 0.2 else UP
    radius_K = rounded(t_K * length, profile_K * length, 0.3, 1.0)
    shell = sweep(path_K3, radius_K, count(14, plan.detail, 6), across, 0.15 if kind == "fan" else 1.0)
    return [carried(shell, hips=1.0)]


def resting_tail(root_3: np.ndarray, size: float, detail: float, rng: np.random.Generator) -> Shell:
    """A thick tail that leaves root_3 backwards, comes down to the ground (y = 0) behind or beside the legs, lies there or turns up."""
    side, back, thick = rng.uniform(-1.0, 1.0) * size, rng.uniform(0.25, 0.9) * size, rng.uniform(0.07, 0.26) * size
    x, y, z = root_3
    down_3 = np.array([side, 1.05 * thick, z - back * rng.uniform(0.5, 1.1)])
    lying_3 = down_3 + size * np.array([rng.uniform(-0.6, 0.8) * np.sign(side), 0.0, rng.uniform(-0.6, 0.3)])
    rising_3 = down_3 + size * np.array([rng.uniform(-0.2, 0.5) * np.sign(side), rng.uniform(0.3, 1.2), rng.uniform(-0.5, 0.2)])
    tip_3 = lying_3 if rng.random() < 0.4 else rising_3
    knots_P3 = np.array([root_3, [x + 0.2 * side, y + 0.1 * size, z - 0.6 * back], [0.6 * side, 0.5 * y, z - back], down_3, tip_3])
    reach_P = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots_P3, axis=0), axis=1))])
    t_K = np.linspace(0, 1, count(26, detail, 10))
    path_K3 = np.stack([np.interp(t_K * reach_P[-1], reach_P, knots_P3[:, a]) for a in range(3)], axis=1)
    for _ in range(4):                       # corners become bends
        path_K3[1:-1] = 0.25 * (path_K3[:-2] + path_K3[2:]) + 0.5 * path_K3[1:-1]
    belly = rng.uniform(0.0, 1.0)            # even or bushy
    radius_K = thick * ((1 - belly) * (1 - 0.5 * t_K) + belly * (0.35 + 0.75 * np.sin(np.pi * t_K ** rng.uniform(0.7, 1.5))))
    path_K3[:, 1] = np.maximum(path_K3[:, 1], 1.02 * radius_K)
    return sweep(path_K3, rounded(t_K * reach_P[-1], radius_K, 0.3, 1.0), count(14, detail, 6), (0.9, 0.1, 0.42))


def wings(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """A pair of flat wings on the back: small and round, or spread wide."""
    b = plan.build
    root_3 = np.array([0.25 * b.width, plan.at("upper_chest")[1], -0.9 * b.depth])
    length = rng.choice([rng.uniform(0.12, 0.45), rng.uniform(0.45, 0.8)], p=[0.75, 0.25])
    path_K3 = arc(root_3, [1, rng.uniform(0, 1), -rng.uniform(0.2, 1)], [1, rng.uniform(-1, 0.5), -0.2], length, count(14, plan.detail, 6))
    t_K = np.linspace(0, 1, len(path_K3))
    wide_K = length * rng.uniform(0.15, 0.35) * (0.3 + np.sin(np.pi * np.clip(t_K, 0, 0.93)))
    left = carried(sweep(path_K3, wide_K, count(14, plan.detail, 6), UP * 0.8 + FORWARD * 0.6, 1.0), upper_chest=1.0)
    thin = replace(left, vertices_V3=left.vertices_V3 * [1, 1, 0.25] + [0, 0, 0.75 * root_3[2]], inside=None)
    return [thin, thin.mirrored()]


def pack(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """A backpack, a shell as a turtle's, or two tanks."""
    b, tall = plan.build, plan.build.top - plan.build.crotch
    at_3 = np.array([0.0, plan.at("chest")[1], -b.depth])
    radii_3 = np.array([b.width * rng.uniform(0.5, 1.0), tall * rng.uniform(0.2, 0.42), b.depth * rng.uniform(0.35, 0.9)])
    radii_3 = radii_3 * (rng.uniform(1.2, 1.9) if rng.random() < 0.25 else 1.0)       # of a hiker, of a snail
    share = rng.choice([0.0, 0.5, 1.0])
    if rng.random() < 0.25:
        tank = ball(at_3 + [0.45 * b.width, 0, -0.2 * b.depth], np.array([0.35 * b.width, radii_3[1], 0.35 * b.width]), plan.detail)
        left = carried(tank, upper_chest=share, chest=1 - share)
        return [left, replace(left.mirrored(), skin_VJ=left.skin_VJ)]
    return [carried(ball(at_3 - [0, 0, 0.4 * radii_3[2]], radii_3, plan.detail, rng.uniform(2, 5)), upper_chest=share, chest=1 - share)]


def prop(plan: Plan, rng: np.random.Generator) -> list[Shell]:
    """Something in the left hand: stick, sword, shield, balloon, ball, bag."""
    b, wrist_3 = plan.build, plan.at("l_hand")
    fore_3 = (wrist_3 - plan.at("l_lower_arm")) / np.linalg.norm(wrist_3 - plan.at("l_lower_arm"))
    front_3, back_3 = hand_axes(fore_3)
    grip_3 = wrist_3 + 0.5 * b.hand * fore_3
    kind = rng.choice(["stick", "sword", "shield", "balloon", "ball", "bag"])
    if kind in ("stick", "sword"):
        shells = _staff(plan, kind == "sword", grip_3, front_3 + rng.uniform(-0.3, 1.2) * back_3, rng)
    elif kind == "shield":
        path_K3 = grip_3 + np.outer(np.array([0.0, 0.01, 0.025]), front_3)
        radius_K, tall = rng.uniform(0.1, 0.22) * np.array([0.9, 1, 0.9]), rng.uniform(0.8, 1.4)
        shells = [sweep(path_K3, radius_K, count(20, plan.detail, 8), back_3, tall, rng.choice([2.0, 4.0]))]
    elif kind == "balloon":
        high = rng.uniform(0.15, 0.4)
        string = sweep(grip_3 + np.outer(np.linspace(-0.1, 1, 6) * high, UP), np.full(6, 0.005), 5)
        shells = [string, ball(grip_3 + (high + 0.08) * UP, rng.uniform(0.06, 0.12) * np.array([1, 1.2, 1]), plan.detail)]
    else:
        drop = -0.02 if kind == "ball" else rng.uniform(0.08, 0.15)
        shells = [ball(grip_3 - drop * UP, rng.uniform(0.04, 0.1) * np.array([1, 1, 0.8]), plan.detail, 2.0 if kind == "ball" else 4.0)]
    return [carried(replace(s, inside=None), l_hand=1.0) for s in shells]


def _staff(plan: Plan, sword: bool, grip_3: np.ndarray, way_3: np.ndarray, rng: np.random.Generator) -> list[Shell]:
    """A sword from its pommel, or a stick held somewhere, sometimes with a ball at its end."""
    way_3 = way_3 / np.linalg.norm(way_3)
    length, low = rng.uniform(0.25, 0.8), 0.06 if sword else rng.uniform(0.05, 0.5)
    place_K = np.array([-0.02, 0, 0.1, 0.12, 0.14, 0.5, 0.97, 1.0])
    radius_K = 0.018 * np.array([0.5, 0.8, 0.8, 3.5, 2.0, 1.8, 1.5, 0.1] if sword else [0.3, 1, 1, 1, 1, 1, 1, 0.3])
    path_K3 = grip_3 + np.outer((place_K - low) * length, way_3)
    shells = [sweep(path_K3, radius_K, 8, np.cross(way_3, [0.6, 0.64, 0.48]), 0.4 if sword else 1.0)]
    if not sword and rng.random() < 0.5:
        shells.append(ball(grip_3 + (1 - low) * length * way_3, rng.uniform(0.03, 0.07), plan.detail))
    return shells
