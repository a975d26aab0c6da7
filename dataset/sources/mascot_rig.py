"""Proportions and joints of procedural mascots: the skeleton comes first, and the body is built about it.

Everything is drawn in units of the figure's height. A rig is placed as an auto-rigger or a rigger would place it from what can be seen:
thighs a little above the crotch, the hips above them, the spine evenly up to the neck, the head joint just above the chin, whatever the
head hides. Letters: J joints (52), S places from the bottom (0) to the top (1) of a form. Frame: Y up, facing +Z, the left at +X.
"""

from dataclasses import dataclass, replace

import numpy as np

from dataset.format import FULL_NAMES, SKELETONS

INDEX = {name: j for j, name in enumerate(FULL_NAMES)}
# Mixamo's row in docs/data.md, heights above the thighs in units of thigh-to-shoulder height: mascots and toys are rigged there
HIPS_HEIGHT = 0.12
SPINE_SHARES = {"spine": 0.19, "chest": 0.43, "upper_chest": 0.69}  # of the way from the hips to the neck
NECK_SHARE = 0.42                                                    # of the way from the shoulder joints up to the head joint


@dataclass(frozen=True)
class Form:
    """The silhouette of a trunk or head: half widths along its height, 1 at the widest."""
    blunt: float = 2.0     # 2 an ellipse, 6 nearly a box
    taper: float = 0.0     # > 0 wider at the top, < 0 at the bottom
    waist: float = 0.0     # how much narrower the middle is
    point: float = 0.0     # > 0: ends in a point; below 1 a convex dome, above 1 a concave spire

    def __call__(self, place_S: np.ndarray) -> np.ndarray:
        """Half widths at places 0..1, in units of the greatest one."""
        return self._raw(np.asarray(place_S, float)) / self._raw(np.linspace(0, 1, 41)).max()

    def _raw(self, s: np.ndarray) -> np.ndarray:
        t = np.clip(2 * s - 1, -1, 1)
        width = (1 - np.abs(t) ** self.blunt) ** (1 / self.blunt) * (1 + self.taper * t) * (1 - self.waist * np.exp(-(t / 0.35) ** 2))
        if self.point > 0:
            foot = 0.4
            spire = np.clip((1 - s) / (1 - foot), 0, 1) ** self.point
            width = np.where(s > foot, width * spire / np.maximum((1 - np.abs(t) ** self.blunt) ** (1 / self.blunt), 1e-3), width)
        return np.maximum(width, 0.03)     # never a row of zero: its triangles would have no area


@dataclass(frozen=True)
class ArmPose:
    """Angles in degrees of one arm in the rest pose."""
    down: float = 0.0      # 0: T pose
    bend: float = 0.0      # forearm forward
    forward: float = 0.0   # whole arm forward


@dataclass(frozen=True)
class Build:
    """All lengths of one mascot in units of its height, and its rest pose."""
    family: str
    crotch: float          # height of the trunk's bottom
    top: float             # height of the trunk's top; 1 where the body is the head
    width: float           # half width of the trunk
    depth: float           # half depth
    trunk: Form
    trunk_power: float     # of its cross-section
    chin: float            # height of the head's bottom
    head_width: float      # half width of the head
    head_depth: float
    head: Form
    head_power: float
    head_forward: float    # z of the head's middle
    shoulder: float        # height of the shoulder joints
    arm: float             # length from shoulder to wrist
    arm_radius: float
    hand: float            # length from wrist to finger tips
    hand_width: float      # half width
    elbow: float           # share of the arm
    thigh_x: float
    thigh: float           # height of the thigh joints
    leg_radius: float
    ankle: float           # height of the ankles
    knee: float            # share of the leg from the thigh
    foot: float            # length from the ankle to the tip of the toes
    foot_width: float      # half width
    toes_out: float        # degrees
    legs_apart: float      # metres that the ankles stand further out than the thighs
    knee_forward: float
    lean: float            # z per height above the hips
    head_joint: float      # height of the head joint
    arm_poses: tuple[ArmPose, ArmPose]
    shoulder_inset: float  # how far inside the trunk's side the shoulder joint lies, arm radii
    clavicle: float        # share of the shoulder's x
    neck_back: float       # z of the neck joint, half depths of the trunk

    @property
    def body_is_head(self) -> bool:
        return self.top >= 1.0

    def half_width(self, height: float | np.ndarray) -> np.ndarray:
        """The trunk's half width at a height (next to nothing outside it)."""
        return self.width * self.trunk((np.asarray(height) - self.crotch) / (self.top - self.crotch))


def place_joints(build: Build) -> np.ndarray:
    """(52, 3) joints of a build in its rest pose, before leaning."""
    b, joints_J3 = build, np.zeros((52, 3))
    u = b.shoulder - b.thigh
    neck = b.shoulder + NECK_SHARE * (b.head_joint - b.shoulder)
    hips = b.thigh + HIPS_HEIGHT * u
    joints_J3[INDEX["hips"]] = [0, hips, 0]
    for name, share in SPINE_SHARES.items():
        joints_J3[INDEX[name]] = [0, hips + share * (neck - hips), share * 0.6 * b.neck_back * b.depth]
    joints_J3[INDEX["neck"]] = [0, neck, b.neck_back * b.depth]
    joints_J3[INDEX["head"]] = [0, b.head_joint, 0.6 * b.neck_back * b.depth + 0.15 * b.head_forward]
    mirror = list(SKELETONS[52].mirror)
    for side, pose in (("r", b.arm_poses[1]), ("l", b.arm_poses[0])):     # the right is built as a left, then mirrored
        _place_arm(joints_J3, b, pose)
        _place_leg(joints_J3, b)
        if side == "r":
            joints_J3 = joints_J3[mirror] * [-1.0, 1.0, 1.0]
    return joints_J3


def _place_arm(joints_J3: np.ndarray, b: Build, pose: ArmPose) -> None:
    z = joints_J3[INDEX["neck"], 2]
    u = b.shoulder - b.thigh
    shoulder_3 = np.array([shoulder_x(b), b.shoulder, z])
    upper_3, fore_3 = arm_directions(pose)
    elbow_3 = shoulder_3 + b.elbow * b.arm * upper_3
    wrist_3 = elbow_3 + (1 - b.elbow) * b.arm * fore_3
    rise = min(0.09 * u, 0.8 * (joints_J3[INDEX["neck"], 1] - b.shoulder))
    joints_J3[INDEX["l_shoulder"]] = [b.clavicle * shoulder_3[0], b.shoulder + rise, z]
    for name, place_3 in (("l_upper_arm", shoulder_3), ("l_lower_arm", elbow_3), ("l_hand", wrist_3)):
        joints_J3[INDEX[name]] = place_3
    front_3, _ = hand_axes(fore_3)
    for finger, across in (("index", 0.62), ("middle", 0.2), ("ring", -0.2), ("pinky", -0.6)):
        reach = 1 - 0.12 * abs(across - 0.15)
        for segment, along in ((1, 0.46), (2, 0.66), (3, 0.82)):
            joints_J3[INDEX[f"l_hand_{finger}_{segment}"]] = wrist_3 + b.hand * along * reach * fore_3 + b.hand_width * across * front_3
    for segment, along, across in ((1, 0.16, 0.45), (2, 0.3, 0.75), (3, 0.42, 0.95)):
        joints_J3[INDEX[f"l_hand_thumb_{segment}"]] = wrist_3 + b.hand * along * fore_3 + b.hand_width * across * front_3


def shoulder_x(b: Build) -> float:
    return float(max(b.half_width(b.shoulder) - b.shoulder_inset * b.arm_radius, 0.35 * b.width))


def arm_directions(pose: ArmPose) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of the left upper arm and forearm."""
    down, first, second = np.radians([pose.down, pose.forward, pose.forward + pose.bend])
    return tuple(np.array([np.cos(down) * np.cos(a), -np.sin(down) * np.cos(a), np.sin(a)]) for a in (first, second))


def hand_axes(fore_3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(towards the thumb, out of the back of the hand) of a left hand with its palm down."""
    front_3 = np.array([0.0, 0.0, 1.0]) - fore_3[2] * fore_3
    front_3 /= np.linalg.norm(front_3)
    return front_3, np.cross(front_3, fore_3)


def _place_leg(joints_J3: np.ndarray, b: Build) -> None:
    thigh_3, ankle_3 = np.array([b.thigh_x, b.thigh, 0.0]), np.array([b.thigh_x + b.legs_apart, b.ankle, 0.0])
    out = np.radians(b.toes_out)
    ball = 0.55 * b.foot
    joints_J3[INDEX["l_upper_leg"]] = thigh_3
    joints_J3[INDEX["l_lower_leg"]] = thigh_3 + b.knee * (ankle_3 - thigh_3) + [0, 0, b.knee_forward]
    joints_J3[INDEX["l_foot"]] = ankle_3
    joints_J3[INDEX["l_toe_base"]] = [ankle_3[0] + ball * np.sin(out), 0.3 * b.ankle, ball * np.cos(out)]


def scattered(joints_J3: np.ndarray, build: Build, amount: float, rng: np.random.Generator) -> np.ndarray:
    """The joints as different auto-riggers leave them in one shape: trunk joints up, down, to the front; where the body is the head the
    shoulder joints may lie high up and deep inside, above where the arms leave, and the spine may lean.

    amount: standard deviation of heights in units of thigh-to-shoulder height. Order along the spine and both sides' symmetry stay.
    """
    joints_J3, u = joints_J3.copy(), build.shoulder - build.thigh
    spine = [INDEX[n] for n in ("hips", *SPINE_SHARES, "neck", "head")]
    gap_S = np.diff(joints_J3[spine, 1])
    room_S = 0.3 * np.minimum(np.append(gap_S, gap_S[-1]), np.append(gap_S[0], gap_S))     # neighbours never meet
    joints_J3[spine, 1] += np.clip(rng.normal(0, amount * u, len(spine)), -room_S, room_S)
    joints_J3[spine, 2] += rng.normal(0, 0.15) * build.depth + rng.normal(0, 0.06) * (joints_J3[spine, 1] - build.thigh)
    if build.body_is_head:
        rise = rng.uniform(-0.05, 0.25) * u if rng.random() < 0.6 else 0.0
        inward, back = rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0, rng.normal(0, 0.15) * build.depth
        for side in "lr":
            joints_J3[INDEX[f"{side}_upper_arm"]] = joints_J3[INDEX[f"{side}_upper_arm"]] * [1 - inward, 1, 1] + [0, rise, back]
            joints_J3[INDEX[f"{side}_shoulder"]] += [0, rise, back]
    return joints_J3


# ------------------------------------------------------------------------------------------------------------- the draws


@dataclass(frozen=True)
class Ranges:
    """Of what a family of mascots may measure; lengths in heights, or as named."""
    head: tuple[float, float] = (0.22, 0.42)          # the head's height
    legs: tuple[float, float] = (0.25, 0.45)          # the crotch's height
    head_width: tuple[float, float] = (0.38, 0.6)     # half width / the head's height
    trunk_width: tuple[float, float] = (0.28, 0.62)   # half width / the trunk's height
    arm: tuple[float, float] = (0.6, 1.4)             # shoulder to wrist / thigh-to-shoulder height
    arm_girth: tuple[float, float] = (0.09, 0.24)     # radius / the trunk's height
    leg_girth: tuple[float, float] = (0.5, 0.95)      # radius / the thigh's x
    boxy: float = 0.1                                 # chance of box-like trunk and head
    flat: float = 0.08                                # chance of a depth like a coin's or a slice of bread's
    knee: tuple[float, float] = (0.46, 0.58)          # share of the leg from the thigh, of those not at about its middle
    chubby: float = 0.1                               # chance of legs about as thick as they are long
    scatter: float = 0.02                             # of the rig's trunk joints against the shape, thigh-to-shoulder heights


def draw_build(family: str, ranges: Ranges, body_is_head: bool, arms: tuple[ArmPose, ArmPose], lean: float,
               rng: np.random.Generator) -> Build:
    """One build of a family. The arms' poses are eased where the trunk or the head would be in their way."""
    draw = rng.uniform
    crotch = draw(*ranges.legs)
    head = 0.0 if body_is_head else min(draw(*ranges.head), 0.86 - crotch)
    chin = 1.0 - head
    sunk = draw(0.0, 0.12) if rng.random() < 0.75 else -draw(0.0, 0.12)           # into the trunk, or a neck between
    top = 1.0 if body_is_head else crotch + (chin - crotch) * (1 + sunk)
    tall = top - crotch
    head_width = head * draw(*ranges.head_width)
    width = float(np.clip(tall * draw(*ranges.trunk_width), max(0.055, 0.3 * head_width), 0.36))
    trunk, trunk_power = _draw_trunk(ranges.boxy, body_is_head, rng)
    arm_radius = float(np.clip(tall * draw(*ranges.arm_girth), 0.014, 0.085)) * (0.7 if body_is_head else 1.0)
    low = (0.32, 0.42) if trunk.waist else (0.22, 0.55)     # under the neck where there is one
    shoulder = crotch + tall * draw(*low) if body_is_head else top - max(arm_radius * draw(1.0, 1.5), tall * draw(0.08, 0.24))
    thigh = crotch + tall * (draw(-0.01, 0.06) if body_is_head else draw(0.05, 0.16))
    shoulder = max(shoulder, thigh + 0.4 * tall * (0.6 if body_is_head else 1.0))
    u = shoulder - thigh
    head_joint = shoulder + u * draw(0.2, 0.45) if body_is_head else max(chin + head * draw(0.03, 0.1), shoulder + 0.14 * u)
    arm = float(np.clip(u * draw(*ranges.arm), 0.07, 0.46))
    # legs: under the trunk, apart enough not to melt into one another
    thigh_x = width * draw(0.4, 0.62) * (0.75 if body_is_head else 1.0)
    leg_radius = min(thigh_x * draw(*ranges.leg_girth), (0.32 if rng.random() > ranges.chubby else draw(0.4, 0.6)) * crotch + 0.02)
    ankle = max(min(crotch * draw(0.14, 0.32), leg_radius * 1.5 + 0.02), 0.025)
    foot_size = rng.choice([1.0, draw(0.5, 0.8), draw(1.3, 2.2)], p=[0.7, 0.12, 0.18])
    build = Build(
        family=family, crotch=crotch, top=top, width=width, depth=width * _depth(ranges.flat, rng), trunk=trunk, trunk_power=trunk_power,
        chin=chin, head_width=head_width, head_depth=head_width * _depth(0.08, rng) * 1.15, head=_draw_head(ranges.boxy, rng),
        head_power=draw(2.0, 2.5) if rng.random() > ranges.boxy else draw(3.0, 7.0), head_forward=head * draw(-0.03, 0.12),
        shoulder=shoulder, arm=arm, arm_radius=arm_radius, hand=max(arm * draw(0.24, 0.48), 1.2 * arm_radius),
        hand_width=arm_radius * draw(0.9, 1.7), elbow=draw(0.45, 0.51), thigh_x=thigh_x, thigh=thigh, leg_radius=leg_radius,
        ankle=ankle, knee=draw(0.47, 0.53) if rng.random() < 0.5 else draw(*ranges.knee),
        foot=(leg_radius * draw(1.0, 1.6) + 0.06 * draw(0.3, 1.2)) * foot_size,
        foot_width=min(leg_radius * draw(0.8, 1.3) * foot_size ** 0.6, max(thigh_x, 0.9 * leg_radius)),
        toes_out=draw(0, 12) if rng.random() < 0.7 else draw(12, 35),
        legs_apart=crotch * (draw(-0.03, 0.06) if rng.random() < 0.8 else draw(0.06, 0.2)), knee_forward=crotch * draw(0.0, 0.025),
        lean=lean, head_joint=head_joint, arm_poses=arms, shoulder_inset=draw(0.1, 0.6), clavicle=draw(0.3, 0.4),
        neck_back=-draw(0.0, 0.12))
    return replace(build, arm_poses=tuple(_eased(build, pose) for pose in arms))


def _depth(flat: float, rng: np.random.Generator) -> float:
    """Half depth / half width of a trunk or head."""
    return rng.uniform(0.15, 0.45) if rng.random() < flat else rng.uniform(0.65, 1.0)


def _draw_trunk(boxy: float, body_is_head: bool, rng: np.random.Generator) -> tuple[Form, float]:
    if rng.random() < boxy:
        return Form(blunt=rng.uniform(5, 12), taper=rng.uniform(-0.25, 0.3)), rng.uniform(3, 7)
    point = rng.uniform(0.7, 1.3) if rng.random() < (0.45 if body_is_head else 0.12) else 0.0
    waist = rng.uniform(0.08, 0.3) * (1.5 if body_is_head else 1) if rng.random() < 0.25 else 0.0
    return Form(blunt=rng.uniform(2.0, 4.5), taper=rng.uniform(-0.4, 0.3) * (0.6 if body_is_head else 1), waist=waist,
                point=point), rng.uniform(2.0, 2.8)


def _draw_head(boxy: float, rng: np.random.Generator) -> Form:
    if rng.random() < boxy:
        return Form(blunt=rng.uniform(5, 14), taper=rng.uniform(-0.15, 0.15))
    point = rng.uniform(0.7, 1.3) if rng.random() < 0.1 else 0.0
    return Form(blunt=rng.uniform(1.9, 3.2), taper=rng.uniform(-0.35, 0.3), point=point)


def _eased(b: Build, pose: ArmPose) -> ArmPose:
    """The pose with the arm raised until elbow and wrist leave the trunk's side."""
    while pose.down > 0:
        upper_3, fore_3 = arm_directions(pose)
        start_3 = np.array([shoulder_x(b), b.shoulder, 0.0])
        elbow_3 = start_3 + b.elbow * b.arm * upper_3
        wrist_3 = elbow_3 + (1 - b.elbow) * b.arm * fore_3 + b.hand * 0.5 * fore_3
        arm_P3 = np.array([0.5 * (elbow_3 + start_3), elbow_3, wrist_3])
        if (arm_P3[:, 0] > b.half_width(np.clip(arm_P3[:, 1], b.crotch, b.top)) + 0.6 * b.arm_radius).all():
            return pose
        pose = replace(pose, down=pose.down - 5)
    return replace(pose, down=max(pose.down, -15.0))
