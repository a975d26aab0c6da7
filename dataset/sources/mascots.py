"""Seeded rigged mascots, toys, robots and chibis without any download: shapes that no human body turns into.

    python -m dataset.sources.mascots --count 100 --seed 0 --sheet sheet.png

generate_mascot(seed) is a pure function of the seed and the style; a few tens of milliseconds on one core, NumPy only. The skeleton is
drawn first (mascot_rig.py), trunk, head and limbs are built about it (mascot_body.py), then faces, hair and hats (mascot_faces.py),
robes (mascot_robes.py), tails and things carried (mascot_gear.py); weights are those a rigger would paint (mascot_weights.py).
Letters: V vertices, F faces, J joints (52). Frame: metres, Y up, facing +Z, the left at +X; matrix_local has identity rotations.
"""

import argparse
from dataclasses import dataclass, field, replace

import numpy as np

from dataset.asset import Asset
from dataset.format import FULL_NAMES, FULL_PARENTS
from dataset.sources import mascot_body as body
from dataset.sources import mascot_faces as faces
from dataset.sources import mascot_gear as gear
from dataset.sources import mascot_robes as robes
from dataset.sources.mascot_rig import ArmPose, Build, Ranges, draw_build, place_joints, scattered
from dataset.sources.mascot_shells import Shell, without_hidden
from geometry.normals import vertex_normals

SEED_SPACE = 0x4D415343  # keeps these draws apart from other users of the same seed


@dataclass(frozen=True)
class Family:
    """One kind of mascot: its share, what it measures, and the chances of everything it may have."""
    share: float
    ranges: Ranges = field(default_factory=Ranges)
    body_is_head: bool = False
    eyes: float = 0.6
    snout: float = 0.15
    beak: float = 0.05       # of those without a snout
    ears: float = 0.2
    horns: float = 0.08
    hair: float = 0.35
    hat: float = 0.25
    tail: float = 0.18
    wings: float = 0.08
    robe: float = 0.1        # skirt, coat or robe
    cape: float = 0.08
    scarf: float = 0.1
    belt: float = 0.15
    pads: float = 0.1
    pack: float = 0.13
    prop: float = 0.1
    sleeve: float = 0.25
    wide_sleeves: float = 0.1    # of those with sleeves: as a kimono's
    trouser: float = 0.3
    cuff: float = 0.2
    segments: float = 0.02   # limbs of separate rigid beams
    noodle: float = 0.05     # very thin limbs
    ball_hands: float = 0.16
    big_feet: float = 0.3    # sneakers, boots, blocks


FAMILIES = {
    "toy": Family(0.2),
    "chibi": Family(0.17, Ranges(head=(0.38, 0.65), legs=(0.12, 0.28), trunk_width=(0.35, 0.75), knee=(0.45, 0.72), chubby=0.3),
                    hair=0.55, hat=0.3, ball_hands=0.35),
    "blob": Family(0.17, Ranges(legs=(0.12, 0.4), trunk_width=(0.2, 0.48), arm=(0.4, 1.3), arm_girth=(0.03, 0.14), boxy=0.2, flat=0.2,
                                knee=(0.45, 0.72), chubby=0.3, scatter=0.06),
                   body_is_head=True, eyes=0.75, hair=0.1, hat=0.15, robe=0.0, sleeve=0.1, noodle=0.25, cape=0.05, pads=0.03),
    "beast": Family(0.2, Ranges(head=(0.25, 0.5), legs=(0.14, 0.4), trunk_width=(0.35, 0.72), knee=(0.45, 0.72), chubby=0.25),
                    snout=0.8, beak=0.6, ears=0.9, horns=0.4, hair=0.3, hat=0.12, tail=0.85, wings=0.15, sleeve=0.15, trouser=0.2),
    "robot": Family(0.09, Ranges(head=(0.12, 0.45), legs=(0.15, 0.5), boxy=0.75), snout=0.05, ears=0.1, horns=0.25, hair=0.03,
                    hat=0.15, tail=0.03, segments=0.5, pads=0.35, pack=0.25, cuff=0.35, big_feet=0.6),
    "robed": Family(0.09, Ranges(head=(0.12, 0.35), legs=(0.3, 0.55)), robe=1.0, cape=0.25, sleeve=0.7, hat=0.4, hair=0.4,
                    wide_sleeves=0.4),
    "gowned": Family(0.13, Ranges(head=(0.1, 0.28), legs=(0.45, 0.65), trunk_width=(0.35, 0.9), arm=(0.9, 2.4)), robe=1.0, cape=0.1,
                     sleeve=0.7, hat=0.25, hair=0.5, tail=0.05, wide_sleeves=0.5),
    "figure": Family(0.12, Ranges(head=(0.1, 0.22), legs=(0.4, 0.6), trunk_width=(0.26, 0.5), arm=(0.9, 1.6), arm_girth=(0.06, 0.2)),
                     hair=0.45, trouser=0.5, sleeve=0.4),
}


@dataclass(frozen=True)
class MascotStyle:
    """Probabilities and ranges that all families share; every draw comes from the seed."""
    families: dict[str, Family] = field(default_factory=lambda: FAMILIES)
    a_pose: float = 0.35        # arms 10 to 60 degrees down; else about horizontal
    bent: float = 0.35          # elbows bent by up to 25 degrees
    leaning: float = 0.15       # the trunk leans forward or back
    asymmetric: float = 0.12    # arms not alike
    scatter: float = 1.0        # times the family's: rigs of one shape differ
    lumps: float = 0.75         # a smooth low-frequency deformation
    hide: float = 0.65          # faces inside other parts are removed, as in sculpted and generated meshes; else shells overlap
    low_poly: float = 0.15      # few faces, half of them faceted
    dense: float = 0.15         # many


STYLES = {"full": MascotStyle(),
          "plain": MascotStyle(a_pose=0, bent=0, leaning=0, asymmetric=0, scatter=0, lumps=0, low_poly=0, dense=0)}


def generate_mascot(seed: int, style: "str | MascotStyle" = "full") -> Asset:
    """One rigged mascot. seed >= 0 names it; the same seed and style give the same bytes.

    Returns: Asset cls "mascot", id str(seed), 52 joints, skin rows summing to 1, normals, Y up.
    Raises: ValueError for a style that does not exist.
    """
    style = _style(style)
    rng = np.random.default_rng([SEED_SPACE, seed])
    names = list(style.families)
    family = names[rng.choice(len(names), p=_shares(style.families))]
    kind = style.families[family]
    symmetric = rng.random() >= style.asymmetric
    build = draw_build(family, kind.ranges, kind.body_is_head, _arm_poses(style, symmetric, rng),
                       rng.normal(0, 0.1) if rng.random() < style.leaning else 0.0, rng)
    limbs = _limb_style(kind, rng)
    build = replace(build, hand_width=build.hand_width * limbs.hand_share)
    low_poly, dense = rng.random() < style.low_poly, rng.random() < style.dense
    detail = rng.uniform(0.35, 0.55) if low_poly else rng.uniform(1.3, 1.6) if dense else rng.uniform(0.75, 1.25)
    plan = body.Plan(build, place_joints(build), float(detail), rng.uniform(0.5, 1.2))
    shells = _shells(plan, kind, limbs, symmetric, rng)
    if rng.random() < style.hide:
        shells = without_hidden(shells)
    amount = style.scatter * kind.ranges.scatter
    rig_J3 = scattered(plan.joints_J3, build, amount, np.random.default_rng([SEED_SPACE, seed, 1])) if amount else plan.joints_J3
    field_of = _deformation(build, rng.random() < style.lumps, rng)
    return _assemble(seed, shells, rig_J3, field_of, low_poly and rng.random() < 0.5, rng.uniform(0.5, 2.2))


def _style(style: "str | MascotStyle") -> MascotStyle:
    if isinstance(style, MascotStyle):
        return style
    if style not in STYLES:
        raise ValueError(f"style {style!r} does not exist; choose one of {', '.join(STYLES)} or give a MascotStyle")
    return STYLES[style]


def _shares(families: dict[str, Family]) -> np.ndarray:
    shares = np.array([family.share for family in families.values()])
    return shares / shares.sum()


def _arm_poses(style: MascotStyle, symmetric: bool, rng: np.random.Generator) -> tuple[ArmPose, ArmPose]:
    def draw() -> ArmPose:
        down = rng.uniform(10, 60) if rng.random() < style.a_pose else float(np.clip(rng.normal(0, 3), -8, 8))
        bend = rng.uniform(0, 25) if rng.random() < style.bent else 0.0
        return ArmPose(down=down, bend=bend, forward=float(rng.normal(0, 3)) * (style.bent > 0))

    left = draw()
    return left, left if symmetric else draw()


# ------------------------------------------------------------------------------------------------------------ the parts


def _shells(plan: body.Plan, kind: Family, style: body.LimbStyle, symmetric: bool, rng: np.random.Generator) -> list[Shell]:
    """All parts with their weights; the order does not matter."""
    chance = lambda p: rng.random() < p  # noqa: E731
    trunk = body.trunk(plan, rng)
    b = plan.build
    if b.body_is_head:
        head, low = trunk, b.shoulder
    else:
        head, low = body.head(plan, rng), b.chin
    surface = faces.Surface(head.vertices_V3, low, plan.detail)
    head, shells = _face(head, surface, kind, rng)
    shells = [head] + [body.carried(shell, head=1.0) for shell in shells]
    if not b.body_is_head:
        shells.append(trunk)
        if b.top < b.chin + 0.02 * (1 - b.chin):
            shells.append(body.neck(plan, rng))
    limbs = body.arm(plan, style) + body.leg(plan, style)
    if symmetric:
        shells += limbs + [shell.mirrored() for shell in limbs]
    else:
        other = plan.mirrored()
        shells += limbs + [shell.mirrored() for shell in body.arm(other, style) + body.leg(other, style)]
    for part in (robes.robe, gear.tail, gear.wings, gear.pads, gear.pack, gear.scarf):
        if chance(getattr(kind, part.__name__)):
            shells += part(plan, rng)
    for part in (gear.cape, gear.belt):
        if chance(getattr(kind, part.__name__)):
            shells.append(part(plan, rng))
    if chance(kind.prop):
        shells += gear.prop(plan, rng) if chance(0.5) else [s.mirrored() for s in gear.prop(plan.mirrored(), rng)]
    return shells


def _face(head: Shell, surface: faces.Surface, kind: Family, rng: np.random.Generator) -> tuple[Shell, list[Shell]]:
    """The head, its muzzle grown, and everything on it."""
    shells = []
    hat = rng.random() < kind.hat
    for part, chance in ((faces.hair, kind.hair * (0.6 if hat else 1)), (faces.ears, kind.ears), (faces.horns, kind.horns * (not hat)),
                         (faces.eyes, kind.eyes), (faces.hat, float(hat))):
        if rng.random() < chance:
            shells += part(surface, rng)
    if rng.random() < kind.snout:
        head, more = faces.snout(surface, head, rng)
        shells += more
    elif rng.random() < kind.beak:
        shells += faces.beak(surface, rng)
    return head, shells


def _limb_style(kind: Family, rng: np.random.Generator) -> body.LimbStyle:
    def limbs() -> str:
        draw = rng.random()
        return "segments" if draw < kind.segments else "noodle" if draw < kind.segments + kind.noodle else "tube"

    def taper(start: float) -> tuple[float, float, float]:
        end = rng.uniform(0.5, 1.05)
        return (start, 0.5 * (1 + end) * rng.uniform(0.85, 1.1), end)

    shoulders = rng.uniform(1.3, 2.1) if rng.random() < 0.12 else 1.0     # heavy muscles or bat sleeves
    arms = limbs()
    legs = arms if rng.random() < 0.8 else limbs()
    hands = {"mitten": 0.4, "ball": 0.5 * kind.ball_hands, "rigid_ball": 0.5 * kind.ball_hands, "three": 0.1,
             "four": 0.15, "five": 0.12, "claw": 0.02, "stump": 0.05}
    if arms == "segments":
        hands |= {"claw": 0.5, "stump": 0.0}
    hand = rng.choice(list(hands), p=np.array(list(hands.values())) / sum(hands.values()))
    shoe = rng.choice(["sneaker", "boot", "block"] if rng.random() < kind.big_feet else ["shoe"] * 5 + ["paw"] * 2 + ["stub"])
    loose = lambda p: rng.choice([rng.uniform(0.25, 0.6), rng.uniform(0.8, 0.98)]) if rng.random() < p else 0.0  # noqa: E731
    flare = lambda: rng.uniform(0, 0.25) if rng.random() < 0.6 else rng.uniform(0.3, 1.2)  # noqa: E731
    power = rng.uniform(3, 6) if rng.random() < kind.ranges.boxy else 2.0
    return body.LimbStyle(
        arms=arms, legs=legs, arm_taper=taper(shoulders), leg_taper=taper(1.0), power=power,
        sleeve=loose(kind.sleeve), sleeve_flare=rng.uniform(1.0, 2.6) if rng.random() < kind.wide_sleeves else flare(),
        trouser=loose(kind.trouser), trouser_flare=flare(),
        cuff=rng.uniform(1.2, 1.7) if rng.random() < kind.cuff else 0.0, hand=str(hand), shoe=str(shoe), boot=rng.uniform(0.15, 0.8))


# ---------------------------------------------------------------------------------------------------------- the assembly


def _deformation(build: Build, lumps: bool, rng: np.random.Generator):
    """A smooth map of space, the same left and right: leaning above the hips, and a few long waves."""
    amplitude = min(rng.uniform(0.01, 0.05) * (build.shoulder - build.thigh), 0.012) if lumps else 0.0   # small trunks, small lumps
    waves_W3, phase_W, push_W3 = rng.normal(0, 7.0, (6, 3)), rng.uniform(0, 2 * np.pi, 6), rng.normal(0, amplitude / 1.7, (6, 3))

    def move(points_P3: np.ndarray) -> np.ndarray:
        folded_P3 = np.abs(points_P3[:, :1]) * [1, 0, 0] + points_P3 * [0, 1, 1]
        push_P3 = np.sin(folded_P3 @ waves_W3.T + phase_W) @ push_W3
        push_P3[:, 1] = np.sin(points_P3[:, 1:] @ waves_W3[:, 1:].T + phase_W) @ push_W3[:, 1]     # level lines stay level
        push_P3[:, 0] *= np.tanh(points_P3[:, 0] / 0.06)              # the middle plane stays
        push_P3[:, 2] += build.lean * np.maximum(points_P3[:, 1] - build.thigh, 0)
        return points_P3 + push_P3

    return move


def _assemble(seed: int, shells: list[Shell], joints_J3: np.ndarray, move, faceted: bool, height: float) -> Asset:
    starts = np.cumsum([0, *(len(s.vertices_V3) for s in shells)])
    vertices_V3 = move(np.concatenate([s.vertices_V3 for s in shells])) * height
    faces_F3 = np.concatenate([s.faces_F3 + start for s, start in zip(shells, starts)])
    skin_VJ = np.concatenate([s.skin_VJ for s in shells])
    if faceted:
        vertices_V3, skin_VJ = vertices_V3[faces_F3.ravel()], skin_VJ[faces_F3.ravel()]
        faces_F3 = np.arange(len(vertices_V3)).reshape(-1, 3)
    joints_J3 = move(joints_J3) * height
    floor_3 = np.array([0.0, vertices_V3[:, 1].min(), 0.0])
    vertices_V3, joints_J3 = vertices_V3 - floor_3, joints_J3 - floor_3
    matrix_local_J44 = np.tile(np.eye(4), (len(joints_J3), 1, 1))
    matrix_local_J44[:, :3, 3] = joints_J3
    skin_VJ = np.maximum(skin_VJ, 0)
    skin_VJ[skin_VJ < 1e-4] = 0
    return Asset(cls="mascot", id=str(seed), source=f"mascot {seed}", vertices_V3=vertices_V3.astype(np.float32),
                 normals_V3=vertex_normals(vertices_V3, faces_F3).astype(np.float32), faces_F3=faces_F3,
                 joints_J3=joints_J3.astype(np.float32), skin_VJ=(skin_VJ / skin_VJ.sum(1, keepdims=True)).astype(np.float32),
                 parents=FULL_PARENTS, names=FULL_NAMES, matrix_local_J44=matrix_local_J44, up="y")


def main(arguments: list[str] | None = None) -> None:
    from dataset.sources.showcase import draw_sheet  # it draws what this module makes
    parser = argparse.ArgumentParser(prog="python -m dataset.sources.mascots", description="Look at generated mascots.")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--style", choices=tuple(STYLES), default="full")
    parser.add_argument("--family", choices=tuple(FAMILIES), help="only this one")
    parser.add_argument("--sheet", metavar="PNG", required=True, help="draw a contact sheet of seeds seed .. seed + count - 1")
    parser.add_argument("--weights", action="store_true", help="colour the sheet by skin weights")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.seed < 0:
        parser.error("--count must be at least 1 and --seed at least 0")
    style = STYLES[options.style]
    if options.family:
        style = replace(style, families={options.family: FAMILIES[options.family]})
    draw_sheet(options.sheet, [generate_mascot(options.seed + i, style) for i in range(options.count)], weights=options.weights)
    print(options.sheet)


if __name__ == "__main__":
    main()
