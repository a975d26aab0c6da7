"""Robes, gowns and wide sleeves of generated humans: surfaces about the body, not cut from it, that hide legs and hands.

Letters: V vertices, K rows. Frame: that of the undeformed MakeHuman body (metres, Y up, facing +Z, relaxed A pose).
"""

from dataclasses import replace

import numpy as np

from dataset.sources import mascot_weights as weights
from dataset.sources.garments import INDEX, Figure, Piece
from dataset.sources.makehuman import BODY_COUNT
from dataset.sources.mascot_robes import draw_cut, hang
from dataset.sources.mascot_shells import Shell, sweep


def gown(figure: Figure, rng: np.random.Generator) -> Piece:
    """From the waist, the chest or under the arms to anywhere between the thighs and the ground: straight, flared, bell-shaped, open."""
    u, thigh = figure.unit, figure.joints_J3[INDEX["l_upper_leg"], 1]
    start = thigh + u * rng.choice([rng.uniform(0.2, 0.45), rng.uniform(0.45, 0.8)])
    hem = thigh * rng.choice([rng.uniform(0.02, 0.15), rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.85)], p=[0.4, 0.4, 0.2])
    height_K = np.linspace(hem, start, int(rng.integers(12, 26)))
    wide_K, front_K, back_K = outline(figure, height_K)
    ease = u * rng.choice([rng.uniform(0.015, 0.05), rng.uniform(0.05, 0.15)])
    shell = hang(height_K, wide_K + ease, 0.5 * (front_K - back_K) + ease, 0.5 * (front_K + back_K), draw_cut(rng),
                 int(rng.integers(16, 40)), rng.uniform(2.0, 2.6))
    skin_VJ = weights.skirt_weights(shell.vertices_V3, figure.joints_J3, rng.uniform(0.5, 1.2), 0.12 * u, rng.uniform(0.4, 1.0))
    return piece(replace(shell, skin_VJ=skin_VJ))


def outline(figure: Figure, height_K: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half width, front and back (z) that clear trunk and legs at each height (ascending): no narrower below than the hips are."""
    body_V3 = figure.vertices_V3[:BODY_COUNT][figure.on_arm_V[:BODY_COUNT] < 0.3]
    edges_K = np.concatenate([[-np.inf], 0.5 * (height_K[1:] + height_K[:-1])])
    row_V = np.searchsorted(edges_K, body_V3[:, 1]) - 1
    row_V = np.where(body_V3[:, 1] > height_K[-1] + 0.05 * figure.unit, -1, row_V)
    sides = []
    for values_V in (np.abs(body_V3[:, 0]), body_V3[:, 2], -body_V3[:, 2]):
        most_K = np.full(len(height_K), -np.inf)
        np.maximum.at(most_K, row_V[row_V >= 0], values_V[row_V >= 0])
        hips_K = height_K < figure.joints_J3[INDEX["hips"], 1]
        most_K[hips_K] = np.maximum.accumulate(most_K[hips_K][::-1])[::-1]       # cloth hangs from the widest place down
        seen_K = np.isfinite(most_K)
        sides.append(np.interp(height_K, height_K[seen_K], most_K[seen_K]))
    return sides[0], sides[1], -sides[2]


def wide_sleeves(figure: Figure, rng: np.random.Generator) -> list[Piece]:
    """A pair of sleeves that widen towards the hand, as a kimono's or a wizard's, and may end beyond the finger tips."""
    u = figure.unit
    shoulder_3, elbow_3, wrist_3 = (figure.joints_J3[INDEX[n]] for n in ("l_upper_arm", "l_lower_arm", "l_hand"))
    upper, fore = np.linalg.norm(elbow_3 - shoulder_3), np.linalg.norm(wrist_3 - elbow_3)
    start, end = rng.uniform(0.1, 0.3) * upper, upper + fore * rng.choice([rng.uniform(0.5, 1.0), rng.uniform(1.0, 1.9)])
    along_K = np.linspace(start, end, int(rng.integers(8, 16)))
    fore_3 = (wrist_3 - elbow_3) / fore
    path_K3 = np.where(along_K[:, None] < upper, shoulder_3 + along_K[:, None] / upper * (elbow_3 - shoulder_3),
                       elbow_3 + (along_K[:, None] - upper) * fore_3)
    t_K = (along_K - start) / (end - start)
    radius_K = u * (rng.uniform(0.13, 0.17) + rng.uniform(0.03, 0.35) * t_K ** rng.uniform(1.0, 2.5))
    hanging_3 = np.cross(fore_3, [0.0, 0.0, 1.0])                                 # across the arm, down in the T pose
    path_K3 = path_K3 - np.outer(0.7 * (radius_K - radius_K[0]), hanging_3 * np.sign(hanging_3[1]))
    shell = sweep(path_K3, radius_K, int(rng.integers(8, 20)), hanging_3, 1.0)
    left = replace(shell, skin_VJ=weights.arm_weights(start + shell.along_V, 0.0, figure.joints_J3, 0.12 * u, rng.uniform(0.6, 1.2)))
    return [piece(left), piece(left.mirrored())]


def piece(shell: Shell) -> Piece:
    """A bound shell as a garment."""
    return Piece(shell.vertices_V3, shell.faces_F3, shell.skin_VJ.astype(np.float32))
