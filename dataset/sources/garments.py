"""Clothes from MakeHuman's helper meshes: shirts, jackets, trousers, skirts, coats, shoes, gloves, belts, each an island of its own.

The helpers (tights, skirt) follow every target and carry weights, so a garment is a part of a helper, pushed outwards: a little for
tight clothes, more and more towards the hem for loose ones. Body faces under clothes are removed as often as artists remove them.
Letters: V vertices, F faces, J joints (52). Frame: that of the undeformed MakeHuman body (metres, Y up, facing +Z, relaxed A pose).
"""

from dataclasses import dataclass, fields

import numpy as np
from scipy.sparse import csr_matrix

from dataset.format import FULL_NAMES
from dataset.sources.makehuman import BODY_COUNT, MakeHuman
from dataset.sources.shapes import keep_used
from geometry.normals import vertex_normals

INDEX = {name: j for j, name in enumerate(FULL_NAMES)}
HANDS = [j for j, n in enumerate(FULL_NAMES) if "hand" in n]
FINGERS_FROM = 22
FEET = [INDEX[n] for n in ("l_foot", "r_foot", "l_toe_base", "r_toe_base")]


@dataclass(frozen=True)
class Piece:
    """One mesh with its weights: vertices_V3 float64 metres, faces_F3 int64, skin_VJ float32."""
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    skin_VJ: np.ndarray


@dataclass(frozen=True)
class Wardrobe:
    """Chances of each kind of thing."""
    eyes: float = 0.7
    teeth: float = 0.2
    top: float = 0.85
    bottom: float = 0.9
    skirt: float = 0.3        # of those who wear a bottom; else trousers
    coat: float = 0.15        # a skirt added to a top
    gown: float = 0.12        # a robe, coat or dress about the whole body instead of a bottom, in half of them with wide sleeves
    shoes: float = 0.8
    gloves: float = 0.15
    belt: float = 0.25
    anime: float = 0.22       # young slim people in layers, as anime.py dresses them, instead of all else here but what is carried
    hide_body: float = 0.6    # body faces under clothes are removed
    hair: float = 0.88
    headgear: float = 0.22
    ears: float = 0.15        # animal ears, horns
    carried: float = 0.25     # backpack, bag, sword, shoulder plates
    cape: float = 0.08
    tail: float = 0.1
    wings: float = 0.04

    @staticmethod
    def none() -> "Wardrobe":
        return Wardrobe(**{f.name: 0.0 for f in fields(Wardrobe)})


class Figure:
    """One undressed body and the coordinates that clothes are cut by.

    arm_V: 0 at the shoulder, 1 elbow, 2 wrist; leg_V: 0 hip, 1 knee, 2 ankle; zero elsewhere. trunk_V: 0 at the thighs, 1 at the shoulders.
    on_arm_V, on_leg_V: shares of weight.
    """

    def __init__(self, data: MakeHuman, vertices_V3: np.ndarray, joints_J3: np.ndarray):
        self.data, self.vertices_V3, self.joints_J3 = data, vertices_V3, joints_J3
        thigh, shoulder = joints_J3[INDEX["l_upper_leg"], 1], joints_J3[INDEX["l_upper_arm"], 1]
        self.unit = shoulder - thigh
        self.size = self.unit / 0.46       # 1 for a grown-up: cloth is as thick as its wearer is big
        self.trunk_V = (vertices_V3[:, 1] - thigh) / self.unit
        sides = np.where(vertices_V3[:, :1] >= 0, 1.0, -1.0)
        folded_V3 = np.abs(vertices_V3[:, :1]) * [1, 0, 0] + vertices_V3 * [0, 1, 1]    # both sides measured along the left's bones
        self.on_arm_V = _share(data, [n for n in FULL_NAMES if "arm" in n or "hand" in n])
        self.on_leg_V = _share(data, [n for n in FULL_NAMES if "leg" in n or "foot" in n or "toe" in n])
        self.arm_V = self._along(folded_V3, "l_upper_arm", "l_lower_arm", "l_hand") * (self.on_arm_V > 0.3)
        self.leg_V = self._along(folded_V3, "l_upper_leg", "l_lower_leg", "l_foot") * (self.on_leg_V > 0.3)
        self.side_V = sides[:, 0]
        self._outward: dict[str, np.ndarray] = {}

    def _along(self, points_V3, *names) -> np.ndarray:
        joints = [self.joints_J3[INDEX[n]] for n in names]
        return sum(np.clip((points_V3 - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1) for a, b in zip(joints, joints[1:]))

    def piece(self, faces_F3: np.ndarray, push_V3: np.ndarray | float = 0.0) -> Piece:
        vertices_V3, faces, used = keep_used(self.vertices_V3 + push_V3, faces_F3)
        return Piece(vertices_V3, faces, self.data.skin_VJ[used])

    def part(self, name: str, inside_V: np.ndarray, share: float = 0.5) -> np.ndarray:
        """Faces of a part, whole quads, with more than this share of their corners inside."""
        quads_Q6 = self.data.faces[name].reshape(-1, 6)
        return quads_Q6[inside_V[quads_Q6].mean(1) > share].reshape(-1, 3)

    def outward(self, name: str) -> np.ndarray:
        """Unit normals (V, 3) of one part, zero elsewhere; kept, for every garment asks. Not to be written to."""
        if name not in self._outward:
            self._outward[name] = vertex_normals(self.vertices_V3, self.data.faces[name])
        return self._outward[name]


def _share(data: MakeHuman, names: list[str]) -> np.ndarray:
    return data.skin_VJ[:, [INDEX[n] for n in names]].sum(1)


def join(pieces: list[Piece]) -> Piece:
    starts = np.cumsum([0, *(len(p.vertices_V3) for p in pieces)])
    return Piece(np.concatenate([p.vertices_V3 for p in pieces]),
                 np.concatenate([p.faces_F3 + s for p, s in zip(pieces, starts)]), np.concatenate([p.skin_VJ for p in pieces]))


def coarsen(piece: Piece, cell: float) -> Piece:
    """Fewer vertices: those of one cell (metres; finer on head and hands, fingers apart) become their mean, weights too."""
    strongest_V = piece.skin_VJ.argmax(1)
    finger_V = np.where(strongest_V >= FINGERS_FROM, strongest_V, 0)
    fine_V = np.where(np.isin(strongest_V, HANDS), 0.35, np.where(strongest_V == INDEX["head"], 0.6, 1.0))
    cell_V3 = np.floor(piece.vertices_V3 / (cell * fine_V)[:, None]).astype(np.int64) + 4096
    key_V = ((cell_V3[:, 0] * 8192 + cell_V3[:, 1]) * 8192 + cell_V3[:, 2]) * 64 + finger_V
    _, index_V, count_C = np.unique(key_V, return_inverse=True, return_counts=True)
    mean = csr_matrix((1.0 / count_C[index_V], (index_V, np.arange(len(index_V)))))
    faces_F3 = index_V[piece.faces_F3]
    a, b, c = faces_F3.T
    skin_CJ = mean @ piece.skin_VJ
    vertices_C3, faces_F3, used = keep_used(mean @ piece.vertices_V3, faces_F3[(a != b) & (b != c) & (c != a)])
    return Piece(vertices_C3, faces_F3, (skin_CJ / skin_CJ.sum(1, keepdims=True))[used].astype(np.float32))


def clothe(figure: Figure, wardrobe: Wardrobe, rng: np.random.Generator) -> list[Piece]:
    """The body (where it shows) and its clothes."""
    covered_V = np.zeros(len(figure.vertices_V3), bool)
    pieces, body_push_V3 = [], np.zeros_like(figure.vertices_V3)
    waist = rng.uniform(0.2, 0.45)
    wears_top = rng.random() < wardrobe.top
    if wears_top:
        pieces += _top(figure, waist, rng.random() < wardrobe.coat, covered_V, rng)
    if rng.random() < wardrobe.bottom:
        pieces += [_skirt(figure, waist, rng)] if rng.random() < wardrobe.skirt else [_trousers(figure, waist, covered_V, rng)]
    if rng.random() < wardrobe.belt:
        pieces.append(_band(figure, waist, rng))
    if rng.random() < wardrobe.shoes:
        pieces.append(_shoes(figure, covered_V, rng))
    if rng.random() < wardrobe.gloves:
        body_push_V3 += _swell(figure, HANDS, rng.uniform(0.002, 0.009))
    hide = rng.random() < wardrobe.hide_body
    shown_V = ~covered_V if hide else ~(covered_V & (figure.leg_V > 1.9))   # feet never show through shoes
    pieces.insert(0, figure.piece(figure.part("body", shown_V, share=0.0), body_push_V3))
    for chance, names in ((wardrobe.eyes, ("helper-l-eye", "helper-r-eye")),
                          (wardrobe.teeth, ("helper-upper-teeth", "helper-lower-teeth"))):
        if rng.random() < chance:
            pieces += [figure.piece(figure.data.faces[name]) for name in names]
    return pieces


def _top(figure: Figure, waist: float, coat: bool, covered_V: np.ndarray, rng: np.random.Generator) -> list[Piece]:
    """Shirt, pullover, puffer jacket, or with a skirt a coat or dress: sleeves from none to the wrist, hem about the waist."""
    sleeve = rng.choice([0.05, rng.uniform(0.25, 0.9), rng.uniform(1.2, 1.95), 2.0], p=[0.15, 0.25, 0.2, 0.4])
    hem, collar = waist - rng.uniform(-0.03, 0.3), rng.uniform(0.98, 1.3)
    thick = rng.choice([rng.uniform(0.002, 0.008), rng.uniform(0.01, 0.02), rng.uniform(0.025, 0.06)], p=[0.5, 0.35, 0.15])
    flare = rng.uniform(0, 0.05) * (rng.random() < 0.4)
    inside_V = (figure.arm_V <= sleeve) & (figure.trunk_V > hem) & (figure.trunk_V < collar)
    if sleeve < 0.1:
        inside_V &= figure.on_arm_V < 0.5
    push_V = thick + flare * np.clip(figure.arm_V - 0.4, 0, 1.6) ** 2
    if thick > 0.025:                                                # the seams of a puffer jacket
        push_V = push_V * (0.75 + 0.25 * np.sin(40 * figure.trunk_V + 14 * figure.arm_V))
    covered_V |= (figure.arm_V < sleeve - 0.12) & (figure.trunk_V > hem + 0.06) & (figure.trunk_V < collar - 0.1)
    if sleeve < 0.1:
        covered_V &= figure.on_arm_V < 0.2
    pieces = [figure.piece(figure.part("helper-tights", inside_V), figure.size * push_V[:, None] * figure.outward("helper-tights"))]
    return [*pieces, _skirt(figure, min(hem + 0.12, 0.5), rng, thick + 0.01)] if coat else pieces


def _trousers(figure: Figure, waist: float, covered_V: np.ndarray, rng: np.random.Generator) -> Piece:
    """Leggings to wide trousers, shorts to full length."""
    length = rng.choice([rng.uniform(0.1, 0.8), rng.uniform(1.0, 1.7), rng.uniform(1.85, 1.97)], p=[0.25, 0.15, 0.6])
    thick = rng.choice([rng.uniform(0.001, 0.004), rng.uniform(0.004, 0.015)], p=[0.4, 0.6])
    flare = rng.uniform(0.0, 0.07) * (rng.random() < 0.5)
    inside_V = (figure.trunk_V < waist) & (figure.leg_V <= length) & (figure.on_arm_V < 0.3)
    covered_V |= (figure.trunk_V < waist - 0.06) & (figure.leg_V < length - 0.1) & (figure.on_arm_V < 0.3)
    push_V = thick + flare * np.clip(figure.leg_V - 0.2, 0, None) / 1.8
    return figure.piece(figure.part("helper-tights", inside_V), figure.size * push_V[:, None] * _away_from_bones(figure, rng.random()))


def _away_from_bones(figure: Figure, share: float) -> np.ndarray:
    """Directions between the surface normal (share 0) and straight away from the leg's bone (1): wide trousers hang from the hips."""
    normal_V3 = figure.outward("helper-tights")
    thigh, knee, ankle = (figure.joints_J3[INDEX[n]] for n in ("l_upper_leg", "l_lower_leg", "l_foot"))
    t_V = figure.leg_V[:, None]
    axis_V3 = thigh + np.clip(t_V, 0, 1) * (knee - thigh) + np.clip(t_V - 1, 0, 1) * (ankle - knee)
    axis_V3[:, 0] *= figure.side_V
    away_V3 = (figure.vertices_V3 - axis_V3) * [1, 0, 1]
    away_V3 /= np.linalg.norm(away_V3, axis=1, keepdims=True) + 1e-9
    mixed_V3 = np.where(t_V > 0.3, (1 - share) * normal_V3 + share * away_V3, normal_V3)
    return mixed_V3 / (np.linalg.norm(mixed_V3, axis=1, keepdims=True) + 1e-9)


SKIRT_WEIGHTS = ("helper", "hips", "upper legs")


def _skirt(figure: Figure, waist: float, rng: np.random.Generator, thick: float = 0.004) -> Piece:
    """Mini to floor length, straight to very wide. Weights: blended over hips and legs, all on the hips, or hips into upper legs,
    which is what is left of VRoid's and Mixamo's skirts when their swing bones are merged into the skeleton."""
    points_V3, hips_3 = figure.vertices_V3.copy(), figure.joints_J3[INDEX["hips"]]
    used = np.unique(figure.data.faces["helper-skirt"])
    top, bottom = points_V3[used, 1].max(), points_V3[used, 1].min()
    down_V = np.clip((top - points_V3[:, 1]) / (top - bottom), 0, 1)
    flare = rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 1.5)])
    wide_V = 1 + flare * down_V ** rng.uniform(0.5, 1.5) + thick / 0.15
    if rng.random() < 0.4:                                          # pleats
        angle_V = np.arctan2(points_V3[:, 0], points_V3[:, 2] - hips_3[2])
        wide_V = wide_V * (1 + 0.05 * down_V * np.sin(rng.integers(8, 20) * angle_V))
    points_V3[:, [0, 2]] = hips_3[[0, 2]] + wide_V[:, None] * (points_V3[:, [0, 2]] - hips_3[[0, 2]])
    length = rng.choice([rng.uniform(0.2, 0.45), rng.uniform(0.45, 0.8), 1.0], p=[0.4, 0.35, 0.25])
    inside_V = (down_V <= length) & (figure.trunk_V <= waist + 0.05)
    piece = figure.piece(figure.part("helper-skirt", inside_V), points_V3 - figure.vertices_V3)
    return Piece(piece.vertices_V3, piece.faces_F3, _skirt_weights(piece, figure, rng.choice(SKIRT_WEIGHTS, p=[0.5, 0.2, 0.3])))


def _skirt_weights(piece: Piece, figure: Figure, kind: str) -> np.ndarray:
    if kind == "helper":
        return piece.skin_VJ
    skin_VJ = np.zeros_like(piece.skin_VJ)
    thigh_J3 = figure.joints_J3[[INDEX["l_upper_leg"], INDEX["r_upper_leg"]]]
    # 1 at the thigh joints' height and below, 0 a tenth of the trunk above; left and right meet softly in the middle
    on_legs_V = np.clip((thigh_J3[0, 1] + 0.1 * figure.unit - piece.vertices_V3[:, 1]) / (0.15 * figure.unit), 0, 1) * (kind != "hips")
    left_V = np.clip(0.5 + piece.vertices_V3[:, 0] / (2 * thigh_J3[0, 0]), 0, 1)
    skin_VJ[:, INDEX["hips"]] = 1 - on_legs_V
    skin_VJ[:, INDEX["l_upper_leg"]] = on_legs_V * left_V
    skin_VJ[:, INDEX["r_upper_leg"]] = on_legs_V * (1 - left_V)
    return skin_VJ


def _band(figure: Figure, waist: float, rng: np.random.Generator) -> Piece:
    """A belt: a band of the tights around the waist."""
    half = rng.uniform(0.05, 0.09)
    inside_V = (np.abs(figure.trunk_V - waist) < half) & (figure.on_arm_V < 0.3)
    push_V3 = figure.size * rng.uniform(0.012, 0.03) * figure.outward("helper-tights")
    return figure.piece(figure.part("helper-tights", inside_V, share=0.3), push_V3)


def _shoes(figure: Figure, covered_V: np.ndarray, rng: np.random.Generator) -> Piece:
    """Socks, shoes and boots up to the knee, with a sole that may be thick."""
    height = rng.choice([rng.uniform(1.85, 1.97), rng.uniform(1.2, 1.8), rng.uniform(0.8, 1.2)], p=[0.6, 0.3, 0.1])
    thick = rng.uniform(0.003, 0.02)
    covered_V |= figure.leg_V > height + 0.06
    foot_V = figure.data.skin_VJ[:, FEET].sum(1)
    push_V3 = (figure.size * thick * (0.4 + 0.6 * foot_V))[:, None] * figure.outward("helper-tights")
    ankle = figure.joints_J3[INDEX["l_foot"], 1]
    low_V = np.clip(1 - figure.vertices_V3[:, 1] / (0.5 * ankle + 1e-6), 0, 1)
    push_V3[:, 1] -= figure.size * rng.uniform(0, 0.03) * low_V * (rng.random() < 0.6)
    return figure.piece(figure.part("helper-tights", figure.leg_V > height), push_V3)


def _swell(figure: Figure, joints: list[int], amount: float) -> np.ndarray:
    """Push (V, 3) of the body's own vertices by the share of these joints: gloves, mittens."""
    share_V = figure.data.skin_VJ[:, joints].sum(1)
    share_V[BODY_COUNT:] = 0
    return (figure.size * amount * share_V)[:, None] * figure.outward("body")
