"""Light on surfaces, as pictures of characters need it: a key light, the light of sky and ground, a bright rim and a little gloss.

Lambert's law with Blinn, "Models of Light Reflection for Computer Synthesized Pictures", SIGGRAPH 1977 (half-way vector), and light from above
and below blended by the normal. Ours: the rim, and a gamma of 2, which costs a square root. Fast twin: ops/shading.py. Letters: P positions.
"""

from typing import NamedTuple

import numpy as np

GLOSS_POWER = 32
BEHIND = -0.2     # a face is seen from behind where its corners' normals, in the mean, point away from the eye by more than this


class Studio(NamedTuple):
    """Directions and strengths of the light, in the view's frame: right, up, towards the eye. Colours are linear, 1 is white.

    key_3: towards the key light, any length but zero. key_rgb, sky_rgb, ground_rgb: what a surface gets that faces it fully. shade: how much
    of the key light is lost where no sky is seen. rim: strength of the light from behind on what turns away; gloss: of the highlight.
    """
    key_3: tuple[float, float, float] = (-0.45, 0.62, 0.64)
    key_rgb: tuple[float, float, float] = (0.66, 0.63, 0.60)
    sky_rgb: tuple[float, float, float] = (0.44, 0.46, 0.50)
    ground_rgb: tuple[float, float, float] = (0.20, 0.19, 0.19)
    shade: float = 0.6
    rim: float = 0.30
    gloss: float = 0.05


def shade(normals_P3: np.ndarray, colours_P3: np.ndarray, sky_P: np.ndarray, behind_P: np.ndarray, studio: Studio = Studio()) -> np.ndarray:
    """(P, 3) in [0, 1], ready for the screen. Both sides of a surface are lit as the side that shows; the eye looks along -z.

    normals_P3: in the view's frame, any length; colours_P3: the surface's own, as on the screen, 0 to 1; sky_P: how much of the sky it sees;
    behind_P: whether its back is seen (seen_from_behind).
    With n the unit normal, of a back turned round, and n_z at least 0 (at an outline smooth normals lean away), k the key's direction, h
    half-way between k and the eye, and c = colour^2:
    light = c (sky (ground_rgb + (sky_rgb - ground_rgb) (1 + n_y) / 2) + (1 - shade + shade sky) key_rgb max(n.k, 0))
            + sky (rim (1 - n_z)^3 (1 + n_y) / 2 + gloss max(n.h, 0)^32);   answer = sqrt(light), at most 1.
    """
    length_P1 = np.linalg.norm(normals_P3, axis=1, keepdims=True)
    normals_P3 = np.divide(normals_P3, length_P1, out=np.zeros_like(normals_P3, np.float64), where=length_P1 > 0)
    normals_P3 = normals_P3 * np.where(behind_P, -1, 1)[:, None]
    normals_P3[:, 2] = np.maximum(normals_P3[:, 2], 0)
    key_3, half_3 = directions(studio)
    up_P, sky_P = (1 + normals_P3[:, 1]) / 2, np.asarray(sky_P, np.float64)
    ground_3, sky_3 = np.asarray(studio.ground_rgb), np.asarray(studio.sky_rgb)
    around_P3 = sky_P[:, None] * (ground_3 + (sky_3 - ground_3) * up_P[:, None])
    key_P = (1 - studio.shade + studio.shade * sky_P) * np.maximum(normals_P3 @ key_3, 0)
    over_P = sky_P * (studio.rim * (1 - normals_P3[:, 2]) ** 3 * up_P + studio.gloss * np.maximum(normals_P3 @ half_3, 0) ** GLOSS_POWER)
    light_P3 = np.asarray(colours_P3) ** 2 * (around_P3 + key_P[:, None] * np.asarray(studio.key_rgb)) + over_P[:, None]
    return np.sqrt(light_P3.clip(0, 1))


def seen_from_behind(normals_P33: np.ndarray) -> np.ndarray:
    """(P,) bool, from the unit normals of the corners of the faces that show. Normals at an outline lean away, and are no back for that."""
    return normals_P33[..., 2].mean(-1) < BEHIND


def directions(studio: Studio) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors towards the key light, and half-way between it and the eye."""
    key_3 = np.asarray(studio.key_3, np.float64) / np.linalg.norm(studio.key_3)
    half_3 = key_3 + (0, 0, 1)
    return key_3, half_3 / np.linalg.norm(half_3)
