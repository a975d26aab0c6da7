"""Trunks, heads and limbs of procedural mascots, built about a rig's joints, each with its weights.

Limbs are built on the left; the right is the mirror image of a left built on the mirrored rig.
Letters: V vertices, J joints (52), K rows along a shell. Frame: units of the figure's height, Y up, facing +Z, the left at +X.
"""

from dataclasses import dataclass, replace

import numpy as np

from dataset.format import SKELETONS
from dataset.sources import mascot_weights as weights
from dataset.sources.mascot_rig import INDEX, Build, hand_axes
from dataset.sources.mascot_shells import FLIP, Shell, arc, ball, bulge, count, loft, rounded, spaced, sweep


@dataclass(frozen=True, eq=False)
class Plan:
    """What every part is built from. detail: rows and segments, 1 ordinary; softness: width of the bands in which joints hand over."""
    build: Build
    joints_J3: np.ndarray
    detail: float
    softness: float

    def at(self, name: str) -> np.ndarray:
        return self.joints_J3[INDEX[name]]

    def mirrored(self) -> "Plan":
        """The same mascot seen in a mirror: its left limbs are this one's right ones."""
        poses = self.build.arm_poses[::-1]
        return replace(self, joints_J3=self.joints_J3[list(SKELETONS[52].mirror)] * FLIP, build=replace(self.build, arm_poses=poses))


@dataclass(frozen=True)
class LimbStyle:
    """Shapes of arms and legs, hands and feet. Radii are shares of the build's."""
    arms: str = "tube"           # tube, noodle, segments
    legs: str = "tube"
    arm_taper: tuple[float, float, float] = (1.0, 0.85, 0.7)   # at the shoulder, elbow and wrist
    leg_taper: tuple[float, float, float] = (1.0, 0.85, 0.7)
    power: float = 2.0           # of the cross-sections: 5 makes robots' beams
    sleeve: float = 0.0          # share of the arm that a loose sleeve covers; 0 none
    sleeve_flare: float = 0.0
    trouser: float = 0.0         # share of the leg that a loose trouser covers; 0 none
    trouser_flare: float = 0.0
    cuff: float = 0.0            # radius of a glove's cuff, shares of the wrist's; 0 none
    hand: str = "mitten"         # mitten, ball, rigid_ball, three, four, five, claw, stump
    shoe: str = "shoe"           # shoe, sneaker, boot, block, paw, stub
    boot: float = 0.3            # share of the shin that a boot covers

    @property
    def hand_share(self) -> float:
        """How wide the fingers' joints spread, of the build's hand: within the arm where it has no hand."""
        return 0.6 * self.arm_taper[2] * (0.45 if self.arms == "noodle" else 1.0) if self.hand == "stump" else 1.0


def bound(shell: Shell, skin_VJ: np.ndarray) -> Shell:
    return replace(shell, skin_VJ=skin_VJ)


def carried(shell: Shell, **shares: float) -> Shell:
    """The shell rigid to one joint, or in fixed shares to a few."""
    return bound(shell, weights.rigid(len(shell.vertices_V3), **shares))


def trunk(plan: Plan, rng: np.random.Generator) -> Shell:
    """From the crotch to the top, with a belly, a chest or a behind; the whole figure where the body is the head."""
    b = plan.build
    place_K = spaced(count(26, plan.detail, 8), 0.75)
    wide_K = b.width * b.trunk(place_K)
    shell = loft(b.crotch + place_K * (b.top - b.crotch), wide_K, wide_K * b.depth / b.width, count(30, plan.detail, 8), b.trunk_power)
    tall = b.top - b.crotch
    if rng.random() < 0.45:        # a belly, or further up a chest
        up = rng.uniform(0.2, 0.75)
        shell = bulge(shell, np.array([0, b.crotch + up * tall, b.depth]), [0, 0, b.depth * rng.uniform(0.1, 0.5)],
                      np.array([0.9 * b.width, 0.35 * tall, 1.2 * b.depth]))
    if rng.random() < 0.25:
        shell = bulge(shell, np.array([0, b.crotch + 0.2 * tall, -b.depth]), [0, 0, -b.depth * rng.uniform(0.1, 0.4)],
                      np.array([0.9 * b.width, 0.25 * tall, 1.2 * b.depth]))
    return bound(shell, weights.trunk_weights(shell.vertices_V3, plan.joints_J3, plan.softness, b.arm_radius, b.body_is_head))


def neck(plan: Plan, rng: np.random.Generator) -> Shell:
    """A short tube from inside the trunk to inside the head."""
    b = plan.build
    radius = min(b.head_width, b.width) * rng.uniform(0.3, 0.65)
    low, high = b.top - 0.25 * (b.top - b.crotch), b.chin + 0.2 * (1 - b.chin)
    shell = loft(np.linspace(low, high, count(7, plan.detail)), *[np.full(count(7, plan.detail), radius)] * 2, count(16, plan.detail, 6),
                 middle_K=plan.at("neck")[2])
    return bound(shell, weights.trunk_weights(shell.vertices_V3, plan.joints_J3, plan.softness, b.arm_radius, head=True))


def head(plan: Plan, rng: np.random.Generator) -> Shell:
    """The skull with its jowls and brows; at the chin some of it may follow the neck."""
    b = plan.build
    place_K = spaced(count(24, plan.detail, 8), 0.75)
    wide_K = b.head_width * b.head(place_K)
    shell = loft(b.chin + place_K * (1 - b.chin), wide_K, wide_K * b.head_depth / b.head_width, count(30, plan.detail, 8),
                 b.head_power, b.head_forward)
    tall = 1 - b.chin
    if rng.random() < 0.3:         # cheeks
        for sign in (-1.0, 1.0):
            at_3 = np.array([sign * 0.8 * b.head_width, b.chin + rng.uniform(0.3, 0.31) * tall, 0.5 * b.head_depth + b.head_forward])
            shell = bulge(shell, at_3, [sign * 0.15 * b.head_width, 0, 0.1 * b.head_depth], 0.4 * b.head_width)
    if rng.random() < 0.25:        # the back of the head
        at_3 = np.array([0, b.chin + 0.65 * tall, b.head_forward - b.head_depth])
        shell = bulge(shell, at_3, [0, 0, -rng.uniform(0.1, 0.4) * b.head_depth], np.array([0.8, 0.5, 0.8]) * b.head_width)
    band = 0.6 * (plan.at("head")[1] - plan.at("neck")[1]) * plan.softness
    up_V = weights.smooth((shell.vertices_V3[:, 1] - plan.at("head")[1]) / (2 * band + 1e-9) + 1.0)
    return bound(shell, weights.spread(("neck", "head"), np.stack([1 - up_V, up_V], 1)))


# ---------------------------------------------------------------------------------------------------------------- limbs


def _along(points: list[np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A polyline sampled at `rows` places of arc length, corners rounded a little: path_K3, arc length_K."""
    points_P3 = np.array(points)
    reach_P = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points_P3, axis=0), axis=1))])
    along_K = spaced(rows, 0.4) * reach_P[-1]
    path_K3 = np.stack([np.interp(along_K, reach_P, points_P3[:, a]) for a in range(3)], axis=1)
    path_K3[1:-1] = 0.5 * path_K3[1:-1] + 0.25 * (path_K3[:-2] + path_K3[2:])
    return path_K3, along_K


def arm(plan: Plan, style: LimbStyle) -> list[Shell]:
    """The left arm to the wrist, its sleeve and cuff, and the hand."""
    b = plan.build
    shoulder_3, elbow_3, wrist_3 = plan.at("l_upper_arm"), plan.at("l_lower_arm"), plan.at("l_hand")
    upper_3, fore_3 = _unit(elbow_3 - shoulder_3), _unit(wrist_3 - elbow_3)
    radius_3 = b.arm_radius * np.array(style.arm_taper) * (0.45 if style.arms == "noodle" else 1.0)
    knots = np.cumsum([0.0, np.linalg.norm(elbow_3 - shoulder_3), np.linalg.norm(wrist_3 - elbow_3)])
    inner, outer = 1.0 * b.arm_radius, (0.0 if style.hand == "stump" else 0.3) * radius_3[2]
    if style.arms == "segments":
        shells = _segments(plan, [shoulder_3, elbow_3, wrist_3], radius_3, ("l_upper_arm", "l_lower_arm"), style.power)
    else:
        end_3 = wrist_3 + fore_3 * (b.hand if style.hand == "stump" else outer)
        path_K3, along_K = _along([shoulder_3 - inner * upper_3, shoulder_3, elbow_3, wrist_3, end_3], count(24, plan.detail, 7))
        radius_K = rounded(along_K, np.interp(along_K - inner, knots, radius_3), 0.3, 1.0 if style.hand == "stump" else 0.3)
        shell = sweep(path_K3, radius_K, count(16, plan.detail, 6), power=style.power)
        shells = [bound(shell, weights.arm_weights(shell.along_V, inner, plan.joints_J3, b.arm_radius, plan.softness))]
    if style.sleeve:
        shells.append(_sleeve(plan, style, inner, knots, radius_3))
    if style.cuff and style.hand != "stump":
        path_K3 = wrist_3 + np.outer(np.linspace(-0.5, 0.4, 5) * radius_3[2] * 1.2, fore_3)
        cuff = sweep(path_K3, style.cuff * radius_3[2] * np.array([0.6, 1, 1.05, 1, 0.6]), count(14, plan.detail, 6))
        shells.append(carried(cuff, l_hand=0.5, l_lower_arm=0.5))
    return shells + hand(plan, style, radius_3[2])


def _sleeve(plan: Plan, style: LimbStyle, inner: float, knots: np.ndarray, radius_3: np.ndarray) -> Shell:
    """A tube around the arm from the shoulder on, wider towards its open end."""
    shoulder_3, elbow_3, wrist_3 = plan.at("l_upper_arm"), plan.at("l_lower_arm"), plan.at("l_hand")
    path_K3, along_K = _along([shoulder_3 - inner * _unit(elbow_3 - shoulder_3), shoulder_3, elbow_3, wrist_3], count(20, plan.detail, 8))
    kept = along_K <= inner + style.sleeve * knots[2] + 1e-9
    path_K3, along_K = path_K3[kept], along_K[kept]
    t_K = np.clip((along_K - inner) / (style.sleeve * knots[2]), 0, 1)
    radius_K = np.interp(along_K - inner, knots, radius_3) * 1.12 + plan.build.arm_radius * style.sleeve_flare * t_K ** 2
    path_K3 = path_K3 - np.outer(0.4 * plan.build.arm_radius * style.sleeve_flare * t_K ** 2, [0, 1, 0])     # cloth hangs
    shell = replace(sweep(path_K3, radius_K, count(16, plan.detail, 6)), inside=None)
    return bound(shell, weights.arm_weights(shell.along_V, inner, plan.joints_J3, plan.build.arm_radius, plan.softness))


def _segments(plan: Plan, points: list[np.ndarray], radius_3: np.ndarray, names: tuple[str, ...], power: float) -> list[Shell]:
    """Robots' limbs: a rigid beam per bone with gaps between, a ball at each joint."""
    shells = []
    for k, name in enumerate(names):
        way_3 = points[k + 1] - points[k]
        along_K = np.array([0.12, 0.14, 0.2, 0.5, 0.8, 0.86, 0.88])
        radius_K = np.interp(along_K, [0, 1], radius_3[k:k + 2]) * np.array([0.5, 0.95, 1.05, 1, 1.05, 0.95, 0.5])
        beam = sweep(points[k] + np.outer(along_K, way_3), radius_K, count(14, plan.detail, 6), _off(way_3), power=power)
        joint = ball(points[k], 0.75 * radius_3[k], plan.detail)
        shells += [carried(beam, **{name: 1.0}), carried(joint, **{name: 1.0})]
    return shells


def _off(way_3: np.ndarray) -> np.ndarray:
    """An axis that is not parallel to the way."""
    return np.eye(3)[2 if abs(way_3[2]) < 0.8 * np.linalg.norm(way_3) else 1]


def _unit(way_3: np.ndarray) -> np.ndarray:
    return way_3 / (np.linalg.norm(way_3) + 1e-12)


def hand(plan: Plan, style: LimbStyle, wrist_radius: float) -> list[Shell]:
    """The left hand: a mitten, a ball, some fingers, pincers, or nothing beyond a rounded arm."""
    b, wrist_3 = plan.build, plan.at("l_hand")
    fore_3 = _unit(wrist_3 - plan.at("l_lower_arm"))
    front_3, back_3 = hand_axes(fore_3)
    if style.hand == "stump":
        return []
    if style.hand in ("ball", "rigid_ball"):
        long = max(0.55 * b.hand, 0.8 * b.hand_width)
        shell = ball(wrist_3 + 0.85 * long * fore_3, np.array([long, b.hand_width, b.hand_width * 1.1]), plan.detail)
        return [carried(shell, l_hand=1.0) if style.hand == "rigid_ball" else
                bound(shell, weights.mitten_weights(shell.vertices_V3, plan.joints_J3))]
    if style.hand == "claw":
        prongs = [arc(wrist_3 + 0.1 * b.hand * fore_3, fore_3 + s * 1.2 * front_3, fore_3 - s * 0.8 * front_3, b.hand, 8) for s in (-1, 1)]
        radius_K = rounded(np.linspace(0, b.hand, 8), wrist_radius * np.linspace(0.7, 0.4, 8), 1, 1)
        return [carried(sweep(p, radius_K, count(10, plan.detail, 5), back_3, power=3), l_hand=1.0) for p in prongs]
    fingers = {"mitten": (), "three": ("index", "pinky"), "four": ("index", "middle", "pinky"), "five": weights.FINGERS}[style.hand]
    along_K = spaced(count(13, plan.detail, 6), 0.6) * b.hand * (0.58 if fingers else 1.0)
    wide_K = np.interp(along_K / along_K[-1], [0, 0.35, 0.7, 1], [max(0.8 * wrist_radius, 0.5 * b.hand_width), b.hand_width,
                                                                  0.95 * b.hand_width, 0.75 * b.hand_width])
    palm = sweep(wrist_3 + np.outer(along_K - 0.06 * b.hand, fore_3), rounded(along_K, wide_K, 0.4, 0.8), count(16, plan.detail, 6),
                 back_3, flat=0.62)
    shells = [bound(palm, weights.mitten_weights(palm.vertices_V3, plan.joints_J3))]
    return shells + [_finger(plan, f, len(fingers), back_3) for f in ("thumb", *fingers)]


def _finger(plan: Plan, finger: str, fingers: int, back_3: np.ndarray) -> Shell:
    """A tube through the finger's joints, from inside the palm to beyond the last one."""
    b = plan.build
    first_3, last_3 = plan.at(f"l_hand_{finger}_1"), plan.at(f"l_hand_{finger}_3")
    start_3 = first_3 - 0.3 * (last_3 - first_3) if finger != "thumb" else plan.at("l_hand") + 0.15 * (first_3 - plan.at("l_hand"))
    end_3 = last_3 + (0.55 if finger == "thumb" else 0.5) * (last_3 - first_3)
    along_K = spaced(count(9, plan.detail, 5), 0.6) * np.linalg.norm(end_3 - start_3)
    radius = b.hand_width * {0: 0.42, 2: 0.42, 3: 0.33, 4: 0.24}[fingers]
    radius_K = rounded(along_K, np.linspace(1.1, 0.85, len(along_K)) * radius, 0.4, 1)
    shell = sweep(start_3 + np.outer(along_K, _unit(end_3 - start_3)), radius_K, count(10, plan.detail, 5), back_3)
    return bound(shell, weights.finger_weights(shell.along_V, along_K[-1], finger))


def leg(plan: Plan, style: LimbStyle) -> list[Shell]:
    """The left leg from inside the trunk to the ankle, its trouser, and the shoe."""
    b = plan.build
    thigh_3, knee_3, ankle_3 = plan.at("l_upper_leg"), plan.at("l_lower_leg"), plan.at("l_foot")
    radius_3 = b.leg_radius * np.array(style.leg_taper) * (0.4 if style.legs == "noodle" else 1.0)
    knots = np.cumsum([0.0, np.linalg.norm(knee_3 - thigh_3), np.linalg.norm(ankle_3 - knee_3)])
    low_3 = ankle_3 * [1.0, 0.0 if style.shoe == "stub" else 0.55, 1.0]
    inner = 0.5 * b.leg_radius
    if style.legs == "segments":
        shells = _segments(plan, [thigh_3, knee_3, ankle_3], radius_3, ("l_upper_leg", "l_lower_leg"), style.power)
    else:
        path_K3, along_K = _along([thigh_3 + [0, inner, 0], thigh_3, knee_3, ankle_3, low_3], count(26, plan.detail, 8))
        radius_K = rounded(along_K, np.interp(along_K - inner, knots, radius_3), 0.6, 0.3)
        shell = sweep(path_K3, radius_K, count(18, plan.detail, 6), power=style.power)
        shells = [bound(shell, weights.leg_weights(shell.along_V, inner, plan.joints_J3, b.leg_radius, plan.softness))]
    if style.trouser:
        shells.append(_trouser(plan, style, inner, knots, radius_3))
    return shells + foot(plan, style, radius_3[2])


def _trouser(plan: Plan, style: LimbStyle, inner: float, knots: np.ndarray, radius_3: np.ndarray) -> Shell:
    """A tube around the leg from the thigh on, wider towards its open end."""
    b, thigh_3, ankle_3 = plan.build, plan.at("l_upper_leg"), plan.at("l_foot")
    path_K3, along_K = _along([thigh_3 + [0, inner, 0], thigh_3, plan.at("l_lower_leg"), ankle_3 * [1, 0.6, 1]], count(22, plan.detail, 8))
    kept = along_K <= inner + style.trouser * knots[2]
    path_K3, along_K = path_K3[kept], along_K[kept]
    t_K = np.clip((along_K - inner) / (style.trouser * knots[2]), 0, 1)
    radius_K = np.interp(along_K - inner, knots, radius_3) * 1.1 + b.leg_radius * style.trouser_flare * t_K ** 2
    shell = replace(sweep(path_K3, rounded(along_K, radius_K, 0.5, 0), count(18, plan.detail, 6)), inside=None)
    return bound(shell, weights.leg_weights(shell.along_V, inner, plan.joints_J3, b.leg_radius, plan.softness))


def foot(plan: Plan, style: LimbStyle, ankle_radius: float) -> list[Shell]:
    """The left shoe on the ground: soles flat, a round, square or paw-like toe; boots reach up the shin."""
    b, ankle_3 = plan.build, plan.at("l_foot")
    way_3 = _unit((plan.at("l_toe_base") - ankle_3) * [1, 0, 1])
    heel = max(1.05 * ankle_radius, 0.3 * b.foot)
    length = b.foot * (0.7 if style.shoe == "stub" else 1.0)
    big = {"sneaker": 1.25, "boot": 1.1}.get(style.shoe, 1.0)
    along_K = spaced(count(16, plan.detail, 7), 0.7) * (heel + length)
    t_K = along_K / along_K[-1]
    wide_K = max(b.foot_width, 0.9 * ankle_radius) * big * np.interp(t_K, [0, 0.3, 0.7, 1], [0.85, 0.9, 1.1, 0.95])
    high_K = 0.62 * b.ankle * big * np.interp(t_K, [0, 0.35, 0.75, 1], [1.0, 1.05, 0.75, 0.6] if style.shoe != "paw" else [0.8, 1, 1.1, 1])
    round_K = rounded(along_K, np.full(len(along_K), b.foot_width), 0.9, 1.1)
    path_K3 = ankle_3 * [1, 0, 1] + np.outer(along_K - heel, way_3) + np.outer(0.8 * high_K, [0, 1, 0])
    power = {"block": 6.0, "shoe": 2.4}.get(style.shoe, 2.8)
    shell = sweep(path_K3, wide_K * round_K / b.foot_width, count(18, plan.detail, 7), (0, 1, 0), flat=high_K / wide_K, power=power)
    shell = replace(shell, vertices_V3=np.maximum(shell.vertices_V3, [-np.inf, 0.0, -np.inf]))
    shells = [bound(shell, weights.foot_weights(shell.vertices_V3, plan.joints_J3))]
    return shells + ([_boot_shaft(plan, style, ankle_radius)] if style.shoe == "boot" else [])


def _boot_shaft(plan: Plan, style: LimbStyle, ankle_radius: float) -> Shell:
    ankle_3 = plan.at("l_foot")
    path_K3 = ankle_3 + np.outer(np.linspace(-0.3, style.boot, count(9, plan.detail, 5)), plan.at("l_lower_leg") - ankle_3)
    shaft = sweep(path_K3, 1.15 * ankle_radius * np.linspace(1.05, 1.3, len(path_K3)), count(16, plan.detail, 6))
    over_V = weights.smooth((shaft.vertices_V3[:, 1] - ankle_3[1]) / (1.2 * ankle_radius) + 0.5)
    return bound(replace(shaft, inside=None), weights.spread(("l_foot", "l_lower_leg"), np.stack([1 - over_V, over_V], 1)))
