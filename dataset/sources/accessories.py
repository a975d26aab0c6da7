"""Hair, hats, ears, horns, bags, capes and tails: synthetic islands.

They are carried the way riggers weight them: hair by the head, bags by the chest.
Sizes are in units of the skull's radii or of the trunk, so everything fits children and giants alike.
Letters: V vertices, F faces, J joints (52). Frame: that of the undeformed MakeHuman body (metres, Y up, facing +Z).
"""

import numpy as np

from dataset.sources.garments import INDEX, Figure, Piece, Wardrobe
from dataset.sources.makehuman import BODY_COUNT, CHIN
from dataset.sources.mascot_gear import resting_tail
from dataset.sources.shapes import Mesh, ellipsoid, keep_used, lathe, sheet, tube


class Skull:
    """The head as an ellipsoid: centre_3 at eye height, radii_3 (half width, to the crown, half depth), metres."""

    def __init__(self, figure: Figure):
        head_V3 = figure.vertices_V3[:BODY_COUNT][figure.data.skin_VJ[:BODY_COUNT, INDEX["head"]] > 0.9]
        chin, crown = figure.vertices_V3[CHIN, 1], head_V3[:, 1].max()
        eyes = chin + 0.5 * (crown - chin)
        upper_V3 = head_V3[head_V3[:, 1] > eyes + 0.12 * (crown - chin)]     # above the ears and the nose
        low_3, high_3 = upper_V3.min(0), upper_V3.max(0)
        self.centre_3 = np.array([0.0, eyes, 0.5 * (low_3[2] + high_3[2])])
        self.radii_3 = np.array([high_3[0], crown - eyes, 0.5 * (high_3[2] - low_3[2])])
        self.chin = chin

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """A point in units of the radii from the centre."""
        return self.centre_3 + self.radii_3 * np.array([x, y, z])


def adorn(figure: Figure, wardrobe: Wardrobe, rng: np.random.Generator) -> list[Piece]:
    """Everything that is not cloth, each with its own chance."""
    skull, meshes = Skull(figure), []
    if rng.random() < wardrobe.hair:
        meshes += [(mesh, {"head": 1.0}) for mesh in _hair(skull, rng)]
    if rng.random() < wardrobe.headgear:
        meshes += [(mesh, {"head": 1.0}) for mesh in _headgear(skull, rng)]
    if rng.random() < wardrobe.ears:
        meshes += [(mesh, {"head": 1.0}) for mesh in _ears_or_horns(skull, rng)]
    if rng.random() < wardrobe.carried:
        meshes += _carried(figure, rng)
    if rng.random() < wardrobe.cape:
        meshes.append(_cape(figure, rng))
    if rng.random() < wardrobe.tail:
        meshes.append(_tail(figure, rng))
    if rng.random() < wardrobe.wings:
        meshes += [(mesh, {"upper_chest": 1.0}) for mesh in _wings(figure, rng)]
    return [_bound(mesh, weights) for mesh, weights in meshes]


def _bound(mesh: Mesh, weights: dict) -> Piece:
    skin_VJ = np.zeros((len(mesh[0]), 52), np.float32)
    for name, share in weights.items():
        skin_VJ[:, INDEX[name]] = share
    return Piece(*mesh, skin_VJ)


def mirror(mesh: Mesh) -> Mesh:
    return mesh[0] * [-1.0, 1.0, 1.0], mesh[1][:, ::-1]


# ----------------------------------------------------------------------------------------------------------------- hair


def _hair(skull: Skull, rng: np.random.Generator) -> list[Mesh]:
    """A cap of hair, and mostly something that hangs or stands: long hair, tails, buns, bangs, spikes."""
    size = rng.choice([rng.uniform(1.08, 1.16), rng.uniform(1.16, 1.35), rng.uniform(1.35, 1.8)], p=[0.5, 0.38, 0.12])
    meshes = [hair_cap(skull, size, rng)]
    kind = rng.choice(["short", "long", "tails", "ponytail", "buns", "spikes"], p=[0.3, 0.27, 0.13, 0.12, 0.06, 0.12])
    if kind == "long":
        meshes.append(long_hair(skull, size, rng))
    elif kind == "tails":
        tail = hanging(skull, np.array([rng.uniform(0.9, 1.2), rng.uniform(-0.2, 0.8), rng.uniform(-0.6, 0.0)]), rng)
        meshes += [tail, mirror(tail)]
    elif kind == "ponytail":
        meshes.append(hanging(skull, np.array([0.0, rng.uniform(-0.2, 0.9), -1.0]), rng))
    elif kind == "buns":
        centre_3 = skull.at(rng.uniform(0.6, 0.9), rng.uniform(0.7, 1.0), rng.uniform(-0.6, 0))
        bun = ellipsoid(centre_3, skull.radii_3 * rng.uniform(0.3, 0.55), 6, 10)
        meshes += [bun, mirror(bun)]
    elif kind == "spikes":
        meshes += _spikes(skull, rng)
    if rng.random() < 0.6:
        meshes += bangs(skull, size, rng)
    return meshes


def hair_cap(skull: Skull, size: float, rng: np.random.Generator) -> Mesh:
    """The hairy part of an ellipsoid around the skull, with lumps of a few random waves."""
    vertices_V3, faces_F3 = ellipsoid(np.zeros(3), np.ones(3), rows=int(rng.integers(8, 18)), segments=int(rng.integers(12, 28)))
    wave_33 = rng.normal(0, 3, (3, 3))
    lumps_V = np.sin(vertices_V3 @ wave_33 + rng.uniform(0, 6, 3)).sum(1) / 3
    grown_V3 = vertices_V3 * (size * (1 + rng.uniform(0, 0.12) * lumps_V))[:, None]
    front, low = rng.uniform(0.3, 0.7), rng.uniform(-0.9, 0.0)
    hairy_V = (vertices_V3[:, 1] > low) & (vertices_V3[:, 1] - 0.5 * vertices_V3[:, 2] > front - 0.55 * (1 - vertices_V3[:, 2]))
    kept_V3, kept_F3, _ = keep_used(grown_V3, faces_F3[hairy_V[faces_F3].all(1)])
    return skull.centre_3 + skull.radii_3 * kept_V3, kept_F3


def long_hair(skull: Skull, size: float, rng: np.random.Generator) -> Mesh:
    """A curtain around the back of the head, from the crown to the shoulders, the waist or the knees."""
    half = np.radians(rng.uniform(75, 130))
    angle_C = np.pi + np.linspace(-half, half, 18)
    # below the eyes, in crown heights
    length = rng.choice([rng.uniform(0.5, 2.0), rng.uniform(2.0, 5.0), rng.uniform(5.0, 8.0)], p=[0.45, 0.4, 0.15])
    height_R = np.concatenate([np.cos(np.linspace(0.3, np.pi / 2, 6)), -np.linspace(0.15, length, 10)])
    flare_10 = rng.uniform(-0.1, 0.25) * np.linspace(0, 1, 10) * min(length, 3)
    around_R = np.concatenate([np.sin(np.linspace(0.3, np.pi / 2, 6)), 1 + flare_10])
    strands_C = 1 + rng.uniform(0, 0.08) * np.sin(rng.integers(4, 9) * angle_C)
    points_RC3 = np.stack([around_R[:, None] * np.sin(angle_C) * strands_C, np.broadcast_to(height_R[:, None], (16, 18)),
                           around_R[:, None] * np.cos(angle_C) * strands_C], axis=-1)
    points_RC3[..., 2] -= (0.25 * np.clip(-height_R, 0, 1.5))[:, None]              # clear of the neck and the back
    vertices_V3, faces_F3 = sheet(points_RC3)
    return skull.centre_3 + skull.radii_3 * size * vertices_V3, faces_F3[:, ::-1]


def hanging(skull: Skull, root_3: np.ndarray, rng: np.random.Generator) -> Mesh:
    """A tail of hair that leaves the head, bends over and hangs."""
    length, out = rng.choice([rng.uniform(1.2, 5.0), rng.uniform(5.0, 9.0)], p=[0.75, 0.25]), rng.uniform(0.3, 1.0)
    t_K = np.linspace(0, 1, 9)
    direction_3 = root_3 * [1, 0, 1] / (np.linalg.norm(root_3 * [1, 0, 1]) + 1e-9)
    path_K3 = root_3 + out * np.sin(np.minimum(t_K * 2.5, np.pi / 2))[:, None] * direction_3
    path_K3[:, 1] += 0.4 * np.sin(t_K * np.pi) - length * t_K ** 1.3
    radius_K = rng.uniform(0.2, 0.65) * np.sin(np.pi * np.clip(0.12 + 0.85 * t_K, 0, 1)) ** 0.6 + 0.03
    return tube(skull.centre_3 + skull.radii_3 * path_K3, radius_K * skull.radii_3.mean(), int(rng.integers(6, 12)))


def _spikes(skull: Skull, rng: np.random.Generator) -> list[Mesh]:
    meshes = []
    for _ in range(rng.integers(5, 14)):
        direction_3 = rng.normal(size=3) * [1, 0.6, 0.9] + [0, 0.9, -0.5]
        direction_3 /= np.linalg.norm(direction_3)
        length, droop = rng.uniform(0.4, 1.1), rng.uniform(-0.3, 0.4)
        path_K3 = np.outer([0.8, 1.0, 1.0 + 0.5 * length, 1.0 + length], direction_3)
        path_K3[:, 1] -= droop * np.array([0, 0, 0.3, 1])
        meshes.append(tube(skull.centre_3 + skull.radii_3 * path_K3, skull.radii_3.mean() * np.array([0.3, 0.32, 0.18, 0.01]), 6))
    return meshes


def bangs(skull: Skull, size: float, rng: np.random.Generator) -> list[Mesh]:
    """Flat strands over the forehead and beside the face."""
    meshes = []
    low = rng.uniform(-0.2, 0.4)
    for angle in np.linspace(-1, 1, rng.integers(3, 8)) * rng.uniform(0.7, 1.5):
        end = low - rng.uniform(0, 1.2) * (abs(angle) > 0.9)
        height_K = np.array([0.9, 0.75, 0.4 * (1 + end), end])
        around_K = np.array([0.45 * size, 0.75 * size, 1.0 + 0.3 * (size - 1), 1.06])
        path_K3 = np.stack([around_K * np.sin(angle), height_K * np.array([size, size, 1, 1]), around_K * np.cos(angle)], axis=1)
        radius_K = rng.uniform(0.18, 0.3) * np.array([0.6, 1.0, 0.8, 0.1])
        meshes.append(tube(skull.centre_3 + skull.radii_3 * path_K3, radius_K * skull.radii_3.mean(), 6, flat=0.4))
    return meshes


# ------------------------------------------------------------------------------------------------------- hats and ears


def _headgear(skull: Skull, rng: np.random.Generator) -> list[Mesh]:
    """Caps, helmets, cylinders, wizards' cones; rows of (radius, height) in skull radii."""
    kind, size = rng.choice(["cap", "helmet", "cylinder", "cone", "beanie"]), rng.uniform(1.08, 1.3)
    brim = rng.uniform(1.4, 2.2)
    profiles = {
        "cap": [(0, 1.08), (0.6, 0.98), (0.95, 0.6), (1.02, 0.25), (0.98, 0.25)],
        "beanie": [(0, 1.25), (0.5, 1.2), (0.95, 0.75), (1.05, 0.3), (1.1, 0.1), (1.0, 0.1)],
        "cylinder": [(0, 2.2), (0.95, 2.2), (0.9, 0.5), (brim, 0.4), (brim, 0.34), (0.95, 0.34)],
        "cone": [(0, 3.0), (0.35, 2.0), (0.95, 0.6), (brim, 0.35), (brim, 0.3), (0.95, 0.35)],
    }
    if kind == "helmet":
        return [ellipsoid(skull.at(0, rng.uniform(-0.2, 0.1), 0), skull.radii_3 * rng.uniform(1.3, 1.7), 10, 16)]
    profile_K2 = np.array(profiles[kind]) * [size, skull.radii_3[1]]
    meshes = [lathe(skull.at(0, rng.uniform(-0.05, 0.2), 0), profile_K2, skull.radii_3[[0, 2]], int(rng.integers(10, 22)))]
    if kind == "cap":
        meshes.append(ellipsoid(skull.at(0, 0.3, rng.choice([1.3, -1.3], p=[0.8, 0.2])), skull.radii_3 * [0.85, 0.06, 0.75], 6, 12))
    return meshes


def _ears_or_horns(skull: Skull, rng: np.random.Generator) -> list[Mesh]:
    """Cat's and rabbit's ears, straight and curved horns, in pairs."""
    root_3 = np.array([rng.uniform(0.35, 0.8), rng.uniform(0.75, 0.95), rng.uniform(-0.3, 0.3)])
    length, lean, curl = rng.uniform(0.5, 2.5), rng.uniform(0.0, 0.8), rng.uniform(-1.0, 1.0) * (rng.random() < 0.5)
    t_K = np.linspace(0, 1, 7)
    path_K3 = root_3 + length * np.stack([lean * t_K, t_K, curl * t_K ** 2], axis=1)
    shape = rng.choice(["pointed", "round"])
    radius_K = rng.uniform(0.15, 0.45) * ((1.02 - t_K) if shape == "pointed" else np.sin(np.pi * (0.15 + 0.8 * t_K)) ** 0.7)
    ear = tube(skull.centre_3 + skull.radii_3 * path_K3, radius_K * skull.radii_3.mean(), 8, flat=rng.uniform(0.3, 1.0))
    return [ear, mirror(ear)]


# ------------------------------------------------------------------------------------------------- what bodies carry


def _carried(figure: Figure, rng: np.random.Generator) -> list[tuple[Mesh, dict]]:
    """One of: backpack, pouch at the hip, sword on the back or at the side, shoulder plates."""
    joints_J3, u = figure.joints_J3, figure.unit
    kind = rng.choice(["backpack", "pouch", "sword", "plates"])
    side = rng.choice([-1.0, 1.0])
    back_3 = np.array([0.0, joints_J3[INDEX["chest"], 1] + 0.1 * u, _back(figure, 0.35, 0.85)])
    if kind == "backpack":
        big = rng.choice([1.0, 1.5], p=[0.7, 0.3])
        radii_3 = big * u * np.array([rng.uniform(0.22, 0.4), rng.uniform(0.28, 0.5), rng.uniform(0.1, 0.25)])
        upper = rng.choice([0.0, 0.5, 1.0])
        bag = ellipsoid(back_3 - [0, 0, 0.95 * radii_3[2]], radii_3, 8, 12, rng.uniform(0.3, 0.8))
        return [(bag, {"chest": 1 - upper, "upper_chest": upper})]
    if kind == "pouch":
        radii_3 = u * np.array([0.1, rng.uniform(0.1, 0.25), rng.uniform(0.1, 0.2)])
        thigh_3 = joints_J3[INDEX["l_upper_leg"]] * [side, 1, 1]
        return [(ellipsoid(thigh_3 + u * np.array([side * rng.uniform(0.25, 0.32), 0, 0]), radii_3, 6, 10, 0.5), {"hips": 1.0})]
    if kind == "sword":
        slant = rng.uniform(-0.8, 0.8)
        way_3 = np.array([np.sin(slant), np.cos(slant), 0.0])
        on_back = rng.random() < 0.6
        middle_3 = back_3 - [0, 0, 0.05 * u] if on_back else joints_J3[INDEX["l_upper_leg"]] * [side, 1, 1] + [side * 0.27 * u, 0, 0]
        way_3 = way_3 if on_back else way_3[[2, 0, 1]]
        path_K3 = middle_3 + np.outer(u * np.array([-1.0, -0.95, 0.55, 0.6, 0.85]), way_3)
        return [(tube(path_K3, u * np.array([0.01, 0.06, 0.06, 0.025, 0.025]), 6, 0.4), {"upper_chest" if on_back else "hips": 1.0})]
    above_3 = joints_J3[INDEX["l_upper_arm"]] + u * np.array([0.02, 0.06, 0])
    plate = ellipsoid(above_3, u * rng.uniform(0.17, 0.3) * np.array([1, 0.8, 1]), 6, 12)
    share = rng.choice([0.0, 0.5, 1.0])
    return [(plate, {"l_shoulder": 1 - share, "l_upper_arm": share}), (mirror(plate), {"r_shoulder": 1 - share, "r_upper_arm": share})]


def _back(figure: Figure, low: float, high: float) -> float:
    """z of the body's rearmost point between two trunk heights, near the middle."""
    near_V = (figure.trunk_V > low) & (figure.trunk_V < high) & (np.abs(figure.vertices_V3[:, 0]) < 0.15 * figure.unit)
    return float(figure.vertices_V3[:BODY_COUNT][near_V[:BODY_COUNT], 2].min())


def _cape(figure: Figure, rng: np.random.Generator) -> tuple[Mesh, dict]:
    """A sheet from the shoulders down the back, weighted to the upper chest, in part to spine and hips further down."""
    joints_J3, u = figure.joints_J3, figure.unit
    rows, columns = 12, 10
    t_R, s_C = np.linspace(0, 1, rows)[:, None], np.linspace(-1, 1, columns)[None]
    length, width = rng.uniform(0.9, 2.5) * u, joints_J3[INDEX["l_upper_arm"], 0] * rng.uniform(0.8, 1.1)
    x = width * (1 + rng.uniform(0, 0.5) * t_R) * s_C
    y = joints_J3[INDEX["l_upper_arm"], 1] + 0.1 * u - length * t_R + 0 * s_C
    z = _back(figure, 0.1, 1.0) - 0.03 - u * (rng.uniform(0.05, 0.4) * t_R - 0.12 * s_C ** 2 * (1 - t_R)) + 0.02 * np.sin(6 * s_C) * t_R
    mesh = sheet(np.stack([x, y, z], axis=-1))
    low_V = np.repeat(np.clip(t_R[:, 0] * length / u, 0, 1), columns) * rng.choice([0.0, 1.0])
    return mesh, {"upper_chest": 1 - low_V, "spine": 0.5 * low_V, "hips": 0.5 * low_V}


def _tail(figure: Figure, rng: np.random.Generator) -> tuple[Mesh, dict]:
    """An animal's tail, carried by the hips."""
    u, t_K = figure.unit, np.linspace(0, 1, 9)
    root_3 = np.array([0.0, figure.joints_J3[INDEX["hips"], 1], _back(figure, -0.05, 0.2) + 0.02])
    if rng.random() < 0.4:
        shell = resting_tail(root_3, u * rng.uniform(0.9, 1.6), 0.8, rng)
        return (shell.vertices_V3, shell.faces_F3), {"hips": 1.0}
    length, rise, sway = rng.uniform(0.5, 1.8), rng.uniform(-0.9, 0.9), rng.uniform(-0.3, 0.3)
    path_K3 = root_3 + u * length * np.stack([sway * t_K ** 2, rise * t_K ** 1.5 - 0.2 * np.sin(np.pi * t_K), -0.8 * t_K], axis=1)
    radius_K = u * rng.uniform(0.03, 0.16) * (0.35 + np.sin(np.pi * np.clip(t_K + rng.uniform(-0.3, 0.2), 0, 1)))
    return tube(path_K3, radius_K, 8), {"hips": 1.0}


def _wings(figure: Figure, rng: np.random.Generator) -> list[Mesh]:
    """A pair of thin wings on the back, folded or spread, feathered at the lower edge."""
    u = figure.unit
    root_3 = np.array([0.06 * u, figure.joints_J3[INDEX["upper_chest"], 1], _back(figure, 0.5, 0.9) + 0.01])
    span, tall, sweep_back = u * rng.uniform(0.4, 2.2), u * rng.uniform(0.25, 1.2), rng.uniform(0.15, 1.5)
    rows, t_C = int(rng.integers(4, 8)), np.linspace(0, 1, int(rng.integers(7, 14)))
    edge_C = np.sin(np.pi * (0.12 + 0.83 * t_C)) * (1 + rng.uniform(0, 0.3) * np.sin(rng.integers(3, 9) * np.pi * t_C))
    x_C, rise_C = span * t_C, rng.uniform(-0.3, 0.8) * span * np.sin(0.5 * np.pi * t_C)
    height_RC = rise_C - np.linspace(0, 1, rows)[:, None] * tall * edge_C
    points_RC3 = np.stack([x_C + 0 * height_RC, height_RC, -sweep_back * x_C * (0.3 + 0.4 * t_C) + 0 * height_RC], axis=-1)
    left = sheet(root_3 + points_RC3)
    return [left, mirror(left)]
