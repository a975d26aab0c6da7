"""People as anime avatars wear them: layered hair of many strands, layered skirts, jackets over shirts, long socks, hoods, ribbons.

Every layer is a mesh of its own, some double-sided, and what hair or cloth hides is often cut away, as in VRoid's characters.
Letters: V vertices, F faces, K points along a strand. Frame: that of the undeformed MakeHuman body (metres, Y up, facing +Z).
"""

from dataclasses import replace

import numpy as np

from dataset.sources import mascot_weights as weights
from dataset.sources.accessories import Skull, bangs, hair_cap, hanging, long_hair, mirror
from dataset.sources.garments import INDEX, Figure, Piece, Wardrobe, clothe
from dataset.sources.gowns import outline, piece, wide_sleeves
from dataset.sources.makehuman import BODY_COUNT, Phenotype
from dataset.sources.mascot_robes import Cut, hang
from dataset.sources.mascot_shells import Shell, ball, sweep
from dataset.sources.shapes import keep_used
from geometry.normals import vertex_normals


def slender(phenotype: Phenotype, rng: np.random.Generator) -> Phenotype:
    """The same person young and slim, two in three a woman."""
    gender = float(rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.5, 1.0)], p=[0.67, 0.33]))
    return replace(phenotype, gender=gender, age=rng.uniform(0.25, 0.5), weight=0.6 * phenotype.weight, muscle=0.7 * phenotype.muscle)


def dress(figure: Figure, wardrobe: Wardrobe, rng: np.random.Generator) -> list[Piece]:
    """The body first, then shirt and shoes, and the layers over them; each with its own chance."""
    chance = lambda p: rng.random() < p  # noqa: E731
    skirts = chance(0.55)
    basic = replace(wardrobe, top=0.95, bottom=0.35 if skirts else 0.95, skirt=0.0, coat=0.05, shoes=0.9, eyes=0.9, hide_body=0.8)
    body, *pieces = clothe(figure, basic, rng)
    skull = Skull(figure)
    if chance(0.5):
        body = without_scalp(body, skull)
    layers = hair(skull, rng)
    if skirts:
        layers += skirt_layers(figure, rng)
    for part, p in ((jacket, 0.45), (socks, 0.4), (wide_sleeves, 0.2), (hood, 0.2), (ribbons, 0.45)):
        if chance(p):
            layers += part(figure, rng)
    return [body, *pieces, *(doubled(layer, figure.size) if chance(0.25) else layer for layer in layers)]


def without_scalp(body: Piece, skull: Skull) -> Piece:
    """The body without the faces under the hair: the upper back of the head."""
    away_V3 = (body.vertices_V3 - skull.centre_3) / skull.radii_3
    under_V = (away_V3[:, 1] > 0.1) & (away_V3[:, 1] > 0.1 + 0.9 * away_V3[:, 2]) & (np.linalg.norm(away_V3, axis=1) < 1.3)
    vertices_V3, faces_F3, used = keep_used(body.vertices_V3, body.faces_F3[~under_V[body.faces_F3].all(1)])
    return Piece(vertices_V3, faces_F3, body.skin_VJ[used])


def doubled(layer: Piece, size: float) -> Piece:
    """The layer with an inner side a few millimetres below, its faces turned round."""
    inner_V3 = layer.vertices_V3 - 0.003 * size * vertex_normals(layer.vertices_V3, layer.faces_F3)
    return Piece(np.concatenate([layer.vertices_V3, inner_V3]),
                 np.concatenate([layer.faces_F3, layer.faces_F3[:, ::-1] + len(inner_V3)]), np.concatenate([layer.skin_VJ] * 2))


# ----------------------------------------------------------------------------------------------------------------- hair


def hair(skull: Skull, rng: np.random.Generator) -> list[Piece]:
    """A cap, bangs and side locks; behind it short strands, long ones to the waist or the knees, a curtain under strands, or tails."""
    size = rng.uniform(1.08, 1.3)
    kind = rng.choice(["short", "strands", "layers", "tails"], p=[0.3, 0.3, 0.22, 0.18])
    low = {"short": rng.uniform(0.3, 1.6), "tails": rng.uniform(0.2, 0.9)}.get(kind, rng.choice([rng.uniform(1.5, 4), rng.uniform(4, 8)]))
    meshes = [hair_cap(skull, size, rng), *bangs(skull, size, rng)]
    if kind == "layers":
        meshes.append(long_hair(skull, size, rng))
    if kind == "tails":
        tail = hanging(skull, np.array([rng.uniform(0.9, 1.2), rng.uniform(-0.2, 0.9), rng.uniform(-0.6, 0.0)]), rng)
        meshes += [tail, mirror(tail)]
    shells = [_strand(skull, angle, size, low * rng.uniform(0.75, 1.1), rng)
              for angle in np.pi + np.linspace(-1, 1, rng.integers(7, 22)) * rng.uniform(1.2, 2.1)]
    if rng.random() < 0.7:                                    # side locks before the ears
        lock = _strand(skull, rng.uniform(0.9, 1.4), size, rng.uniform(0.8, 4.0), rng)
        shells += [lock, lock.mirrored()]
    return [_rigid(*mesh, head=1.0) for mesh in meshes] + [_rigid(s.vertices_V3, s.faces_F3, head=1.0) for s in shells]


def _strand(skull: Skull, angle: float, size: float, low: float, rng: np.random.Generator) -> Shell:
    """A flat strand from the crown over the cap at this angle (0 in front, left first), down to `low` crown heights below the eyes."""
    out_3, across_3 = np.array([np.sin(angle), 0, np.cos(angle)]), np.array([np.cos(angle), 0, -np.sin(angle)])
    polar_K = np.linspace(0.4, 0.5 * np.pi, 5)
    fall_K = np.linspace(0.2, 1, 6) * low
    height_K = np.concatenate([np.cos(polar_K), -fall_K])
    around_K = np.concatenate([np.sin(polar_K), 1 + rng.uniform(-0.06, 0.1) * np.sin(np.linspace(0, rng.uniform(1, 6), 6))])
    path_K3 = size * (np.outer(around_K, out_3) + np.outer(height_K, [0, 1, 0]))
    path_K3[5:, 2] -= 0.25 * np.clip(fall_K, 0, 1.5) * (out_3[2] < 0.2)          # clear of the neck and the back
    t_K = np.linspace(0, 1, len(path_K3))
    wide = skull.radii_3.mean() * rng.uniform(0.2, 0.45)
    radius_K = wide * np.minimum(0.5 + t_K, 1) * np.minimum(1.02 - t_K, 0.4) / 0.4
    return sweep(skull.centre_3 + skull.radii_3 * path_K3, 0.35 * radius_K, int(rng.integers(5, 9)), across_3, 1 / 0.35)


def _rigid(vertices_V3: np.ndarray, faces_F3: np.ndarray, **shares: float) -> Piece:
    return Piece(vertices_V3, faces_F3, weights.rigid(len(vertices_V3), **shares).astype(np.float32))


# --------------------------------------------------------------------------------------------------------------- clothes


def skirt_layers(figure: Figure, rng: np.random.Generator) -> list[Piece]:
    """One to three pleated skirts over each other from the waist, the inner ones longer."""
    u, thigh = figure.unit, figure.joints_J3[INDEX["l_upper_leg"], 1]
    start, length = thigh + u * rng.uniform(0.12, 0.4), thigh * rng.choice([rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.95)], p=[0.65, 0.35])
    pleats, follow, growth = int(rng.integers(8, 30)), rng.uniform(0.2, 1.0), rng.uniform(0.1, 1.2)
    layers = []
    for k in range(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2])):
        height_K = np.linspace(max(thigh - length * (1 - 0.22 * k), 0.02), start - 0.02 * u * k, int(rng.integers(8, 14)))
        wide_K, front_K, back_K = outline(figure, height_K)
        cut = Cut("flared", growth * (1 + 0.15 * k), rng.uniform(0.5, 1.2), rng.uniform(0, 0.08), pleats, 0.0, True)
        ease = u * (0.02 + 0.02 * k)
        shell = hang(height_K, wide_K + ease, 0.5 * (front_K - back_K) + ease, 0.5 * (front_K + back_K), cut,
                     min(3 * pleats, 60), 2.2)
        skin_VJ = weights.skirt_weights(shell.vertices_V3, figure.joints_J3, 0.8, 0.12 * u, follow)
        layers.append(piece(replace(shell, skin_VJ=skin_VJ)))
    return layers


def jacket(figure: Figure, rng: np.random.Generator) -> list[Piece]:
    """An open jacket, vest or cardigan over the shirt, its hem from the chest to below the hips, its sleeves of any length."""
    hem, collar, thick = rng.uniform(-0.05, 0.5), rng.uniform(1.0, 1.25), rng.uniform(0.012, 0.05)
    sleeve, gap = rng.choice([0.1, rng.uniform(0.5, 1.5), 2.0], p=[0.2, 0.2, 0.6]), rng.uniform(0.0, 0.2) * figure.unit
    front_V = figure.outward("helper-tights")[:, 2] > 0.1
    open_V = front_V & (np.abs(figure.vertices_V3[:, 0]) < gap) & (figure.on_arm_V < 0.3)
    inside_V = (figure.arm_V <= sleeve) & (figure.trunk_V > hem) & (figure.trunk_V < collar) & (figure.leg_V < 0.4) & ~open_V
    if sleeve < 0.2:
        inside_V &= figure.on_arm_V < 0.5
    push_V = figure.size * (thick + rng.uniform(0, 0.05) * np.clip(figure.arm_V - 0.4, 0, 1.6) + rng.uniform(0, 0.06) *
                            np.clip(0.5 - figure.trunk_V, 0, 1) * (figure.on_arm_V < 0.3))
    return [figure.piece(figure.part("helper-tights", inside_V), push_V[:, None] * figure.outward("helper-tights"))]


def socks(figure: Figure, rng: np.random.Generator) -> list[Piece]:
    """Long socks or boots to below, over or far above the knee, with a border."""
    top, thick = rng.uniform(0.3, 1.3), rng.choice([rng.uniform(0.002, 0.006), rng.uniform(0.01, 0.03)])
    out_V3 = figure.size * figure.outward("helper-tights")
    border_V = (figure.leg_V > top) & (figure.leg_V < top + 0.12)
    return [figure.piece(figure.part("helper-tights", (figure.leg_V > top) & (figure.leg_V < 1.99)), thick * out_V3),
            figure.piece(figure.part("helper-tights", border_V, share=0.3), (thick + 0.006) * out_V3)]


def hood(figure: Figure, rng: np.random.Generator) -> list[Piece]:
    """A hood that lies behind the neck, or is drawn over the head."""
    skull, u = Skull(figure), figure.unit
    if rng.random() < 0.4:
        shell = ball(skull.at(0, -0.1, -0.2), skull.radii_3 * rng.uniform(1.3, 1.6), 1.4)
        face_F = ((shell.vertices_V3[shell.faces_F3].mean(1) - skull.centre_3) / skull.radii_3) @ [0, -0.35, 1.0] > rng.uniform(0.5, 0.9)
        vertices_V3, faces_F3, _ = keep_used(shell.vertices_V3, shell.faces_F3[~face_F])
        return [_rigid(vertices_V3, faces_F3, head=1.0)]
    neck_3 = figure.joints_J3[INDEX["neck"]]
    back = figure.vertices_V3[:BODY_COUNT][np.abs(figure.trunk_V[:BODY_COUNT] - 0.95) < 0.05, 2].min()
    shell = ball(np.array([0, neck_3[1] - rng.uniform(0.0, 0.12) * u, back]), u * rng.uniform(0.16, 0.3) * np.array([1.0, 0.7, 0.5]), 1.0)
    return [_rigid(shell.vertices_V3, shell.faces_F3, upper_chest=0.7, neck=0.3)]


def ribbons(figure: Figure, rng: np.random.Generator) -> list[Piece]:
    """Bows on the chest, behind the waist or in the hair: two loops, a knot and two ends."""
    skull, u, joints_J3 = Skull(figure), figure.unit, figure.joints_J3
    trunk_V3 = figure.vertices_V3[:BODY_COUNT][np.abs(figure.vertices_V3[:BODY_COUNT, 0]) < 0.1 * u]
    places = []
    for name, front in (("upper_chest", 1.0), ("spine", -1.0)):
        y = joints_J3[INDEX[name], 1]
        near_V3 = trunk_V3[np.abs(trunk_V3[:, 1] - y) < 0.05 * u]
        places.append((np.array([0, y, front * (front * near_V3[:, 2]).max()]), "hips" if front < 0 else name, front))
    places.append((skull.at(0, 0.4, -1.2), "head", -1.0))
    at_3, carrier, front = places[rng.integers(len(places))]
    size, droop = u * rng.uniform(0.08, 0.35), rng.uniform(-0.3, 0.5)
    loop = sweep(at_3 + np.outer(np.linspace(0, 1, 6), size * np.array([1.0, -droop, 0.2 * front])),
                 size * np.array([0.15, 0.35, 0.5, 0.5, 0.4, 0.05]), 8, (0, 0, 1), 0.4)
    end = sweep(at_3 + np.outer(np.linspace(0, 1, 5), size * np.array([rng.uniform(0.2, 0.9), -rng.uniform(1, 3.5), 0.15 * front])),
                size * np.array([0.1, 0.25, 0.3, 0.3, 0.1]), 6, (0, 0, 1), 0.2)
    knot = ball(at_3, 0.22 * size, 0.6)
    return [_rigid(s.vertices_V3, s.faces_F3, **{carrier: 1.0}) for s in (loop, loop.mirrored(), end, end.mirrored(), knot)]
