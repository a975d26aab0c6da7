"""What sits on a mascot's head: eyes, snouts, beaks, ears, horns, hair, hats. All of it is rigid to the head.

Letters: V vertices, K rows along a shell. Frame: units of the figure's height, Y up, facing +Z, the left at +X.
"""

from dataclasses import replace

import numpy as np

from dataset.sources.mascot_shells import Shell, arc, ball, bulge, count, loft, rounded, spaced, sweep

FORWARD, UP = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])


class Surface:
    """A head's surface as seen from its middle: centre_3, radii_3 (half width, half height, half depth), size (their mean)."""

    def __init__(self, vertices_V3: np.ndarray, low: float, detail: float):
        head_V3 = vertices_V3[vertices_V3[:, 1] >= low]
        low_3, high_3 = head_V3.min(0), head_V3.max(0)
        self.centre_3, self.radii_3 = 0.5 * (low_3 + high_3) * [0, 1, 1], np.maximum(0.5 * (high_3 - low_3), 0.02)
        self.size, self.detail = float(self.radii_3.mean()), detail
        self._away_V3 = head_V3 - self.centre_3
        self._way_V3 = self._away_V3 / self.radii_3
        self._way_V3 /= np.linalg.norm(self._way_V3, axis=1, keepdims=True) + 1e-9

    def at(self, x: float, y: float, z: float, out: float = 1.0) -> np.ndarray:
        """The surface point in a direction (units of the radii), moved out (> 1) or in (< 1) as seen from the middle."""
        way_3 = np.array([x, y, z], float)
        return self.centre_3 + out * self._away_V3[np.argmax(self._way_V3 @ (way_3 / np.linalg.norm(way_3)))]

    def pair(self, shell: Shell) -> list[Shell]:
        return [shell, shell.mirrored()]


def horn(surface: Surface, root_3: np.ndarray, way_3, towards_3, length: float, radius: float, tip: float = 0.05, flat: float = 1.0,
         belly: float = 0.0) -> Shell:
    """A tube that bends from one direction into another: horns, ears, spikes, tails. belly: thicker in the middle."""
    way_3, towards_3 = np.asarray(way_3, float), np.asarray(towards_3, float)
    rows = count(12, surface.detail, 6)
    path_K3 = arc(root_3, way_3, towards_3, length, rows)
    t_K = np.linspace(0, 1, rows)
    radius_K = radius * ((1 - t_K) + tip * t_K + belly * np.sin(np.pi * t_K))
    across_3 = np.cross(way_3, towards_3)
    across_3 = across_3 if np.linalg.norm(across_3) > 0.15 else FORWARD if abs(way_3[2]) < 0.7 * np.linalg.norm(way_3) else UP
    length_K = t_K * length
    return sweep(path_K3, rounded(length_K, radius_K, 0.3, 1.0), count(10, surface.detail, 5), across_3, flat)


def eyes(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """Two balls or discs, goggles, or one big eye."""
    size, kind = surface.size * rng.uniform(0.12, 0.32), rng.choice(["balls", "discs", "goggles", "one"], p=[0.55, 0.25, 0.14, 0.06])
    x, y = rng.uniform(0.25, 0.6), rng.uniform(-0.1, 0.45)
    if kind == "one":
        return [ball(surface.at(0, y, 1, 0.97), 1.6 * size, surface.detail)]
    if kind == "balls":
        tall = rng.uniform(0.9, 1.7)
        return surface.pair(ball(surface.at(x, y, 1, rng.uniform(0.9, 1.05)), size * np.array([1, tall, 1]), surface.detail))
    long = rng.uniform(0.1, 0.3) if kind == "discs" else rng.uniform(0.4, 0.9)
    at_3 = surface.at(x, y, 1, 0.98)
    path_K3 = at_3 + np.outer(np.linspace(-0.3, long, 5) * size * 2, FORWARD)
    return surface.pair(sweep(path_K3, 1.2 * size * np.array([1, 1, 1, 1, 0.7]), count(14, surface.detail, 7), UP))


def snout(surface: Surface, shell: Shell, rng: np.random.Generator) -> tuple[Shell, list[Shell]]:
    """A muzzle grown out of the head (short, long as a horse's, broad), with a nose; or one set on it. Returns the head and the rest."""
    low = rng.uniform(-0.65, -0.1)
    at_3, extra = surface.at(0, low, 1), []
    long = surface.size * rng.choice([rng.uniform(0.15, 0.5), rng.uniform(0.5, 1.3)], p=[0.6, 0.4])
    wide = surface.radii_3[0] * rng.uniform(0.35, 0.8)
    tip_3 = at_3 + long * np.array([0, -rng.uniform(0, 0.6), 1.0])
    if rng.random() < 0.55:
        reach = np.array([wide, surface.radii_3[1] * rng.uniform(0.3, 0.5), surface.radii_3[2]])
        shell = bulge(shell, at_3, tip_3 - at_3, reach, rng.uniform(2, 5))
    else:
        extra.append(horn(surface, surface.at(0, low, 1, 0.5), tip_3 - at_3, tip_3 - at_3, long + 0.5 * surface.radii_3[2], wide,
                          tip=rng.uniform(0.5, 1.0), flat=rng.uniform(0.6, 1.0)))
    if rng.random() < 0.5:
        extra.append(ball(tip_3 + [0, 0.15 * wide, 0], wide * rng.uniform(0.25, 0.6), surface.detail))
    return shell, extra


def beak(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """A pointed beak, or a duck's flat bill."""
    root_3, size = surface.at(0, rng.uniform(-0.3, 0.15), 1, 0.85), surface.size
    duck = rng.random() < 0.4
    length, radius = size * rng.uniform(0.5, 1.1), size * rng.uniform(0.22, 0.45)
    return [horn(surface, root_3, FORWARD, [0, -rng.uniform(0, 0.8), 1], length, radius, 0.8 if duck else 0.05, 0.35 if duck else 1.0)]


def ears(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """Long, round, pointed, sideways as a cow's, or drooping as a dog's."""
    kind, s = rng.choice(["long", "round", "pointed", "sideways", "droop"]), surface.size
    if kind == "round":
        radius = s * rng.uniform(0.25, 0.75)
        at_3 = surface.at(rng.uniform(0.5, 1.1), rng.uniform(0.4, 1.0), rng.uniform(-0.3, 0.1), 1.05)
        return surface.pair(ball(at_3 + [0.3 * radius, 0.4 * radius, 0], radius * np.array([1, 1, rng.uniform(0.25, 0.7)]), surface.detail))
    x, y, way_3, towards_3, length, radius, tip, belly = {
        "long": (0.4, 1.0, [rng.uniform(0, 0.5), 1, 0], [rng.uniform(0, 1.2), rng.uniform(-0.8, 1), rng.uniform(-0.5, 0.5)],
                 rng.uniform(0.9, 2.2), rng.uniform(0.15, 0.3), 0.6, 0.35),
        "pointed": (0.6, 0.9, [0.3, 1, 0], [0.3, 1, 0], rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.45), 0.05, 0.1),
        "sideways": (1.0, rng.uniform(0.2, 0.6), [1, rng.uniform(-0.2, 0.4), 0], [1, rng.uniform(-0.5, 0.5), 0.2],
                     rng.uniform(0.5, 1.1), rng.uniform(0.12, 0.3), 0.3, 0.6),
        "droop": (0.9, 0.7, [1, 0.3, 0], [0.2, -1, 0.1], rng.uniform(0.6, 1.6), rng.uniform(0.2, 0.4), 0.6, 0.3)}[kind]
    root_3 = surface.at(x, y, rng.uniform(-0.35, 0.15), 0.88)
    ear = horn(surface, root_3, way_3, towards_3, s * length, s * radius, tip, rng.uniform(0.3, 0.9), belly)
    return surface.pair(ear)


def horns(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """A bull's, a ram's, a goat's pair; a unicorn's; antlers; antennae with balls."""
    s = surface.size
    kind = rng.choice(["bull", "ram", "goat", "unicorn", "antlers", "antennae", "antenna"], p=[0.25, 0.12, 0.18, 0.15, 0.1, 0.12, 0.08])
    if kind in ("unicorn", "antenna"):
        root_3, way_3 = surface.at(0, 1.0, rng.uniform(0.0, 0.6), 0.9), [0, 1, rng.uniform(-0.1, 0.7)]
        length = s * rng.uniform(0.6, 1.4)
        if kind == "unicorn":
            return [horn(surface, root_3, way_3, way_3, length, s * rng.uniform(0.12, 0.25))]
        stalk = horn(surface, root_3, way_3, way_3, length, 0.05 * s, 0.9)
        return [stalk, ball(stalk.vertices_V3[-1], s * rng.uniform(0.1, 0.22), surface.detail)]
    root_3 = surface.at(rng.uniform(0.35, 0.8), rng.uniform(0.7, 1.0), rng.uniform(-0.2, 0.4), 0.9)
    if kind == "antennae":
        stalk = horn(surface, root_3, [0.3, 1, 0.1], [0.8, 0.7, 0.3], s * rng.uniform(0.5, 1.2), 0.05 * s, 0.8)
        return surface.pair(stalk) + surface.pair(ball(stalk.vertices_V3[-1], s * rng.uniform(0.1, 0.2), surface.detail))
    if kind == "antlers":
        beam = horn(surface, root_3, [0.9, 0.7, 0], [0.2, 1, 0], s * rng.uniform(0.9, 1.6), 0.12 * s, 0.4)
        places = [beam.vertices_V3[int(share * len(beam.vertices_V3))] for share in (0.4, 0.7)]
        tines = [horn(surface, p, [0.2, 1, 0.7], [0, 1, 0.2], s * rng.uniform(0.3, 0.6), 0.08 * s, 0.2) for p in places]
        return [shell for part in (beam, *tines) for shell in surface.pair(part)]
    way_3, towards_3 = {"bull": ([1, 0.3, 0], [0, 1, 0.2]), "ram": ([0.7, 0.7, -0.4], [0.6, -1, 0.6]),
                        "goat": ([0.3, 1, 0], [0.3, 0.5, -1])}[kind]
    return surface.pair(horn(surface, root_3, way_3, towards_3, s * rng.uniform(0.4, 1.3), s * rng.uniform(0.1, 0.25), 0.05))


def hair(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """A cap of hair, spikes, curls, a mane down the back, long hair, tails, a crest, a tuft."""
    kinds = {"cap": 0.2, "spikes": 0.14, "curls": 0.12, "mane": 0.14, "long": 0.16, "tails": 0.1, "crest": 0.06, "tuft": 0.08}
    kind = rng.choice(list(kinds), p=list(kinds.values()))
    if kind == "cap":
        return [_hair_cap(surface, rng)]
    if kind == "long":
        return [_hair_cap(surface, rng), _long_hair(surface, rng)]
    if kind == "tails":
        return [_hair_cap(surface, rng), *_hair_tails(surface, rng)]
    return _tufts(surface, kind, rng)


def _long_hair(surface: Surface, rng: np.random.Generator) -> Shell:
    """A thick curtain down the back."""
    place_K = spaced(count(14, surface.detail, 6), 0.4)
    root_3 = surface.at(0, 0.9, -0.6, 0.95)
    length = min(surface.size * rng.uniform(1.5, 4.0), 0.95 * root_3[1])       # to the ground at most
    path_K3 = root_3 + np.outer(place_K * length, [0, -1, -rng.uniform(0.0, 0.3)])
    wide_K = surface.radii_3[0] * rng.uniform(0.8, 1.25) * (1 + rng.uniform(-0.3, 0.4) * place_K)
    return sweep(path_K3, rounded(place_K * length, wide_K, 0.6, 0.5), count(20, surface.detail, 8), FORWARD, rng.uniform(0.2, 0.55))


def _hair_tails(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """A ponytail, or one on either side."""
    length, radius = surface.size * rng.uniform(1, 5), surface.size * rng.uniform(0.15, 0.45)
    if rng.random() < 0.3:
        root_3 = surface.at(0, 0.6, -1)
        return [horn(surface, root_3, [0, 0.5, -1], [0, -1, -0.1], min(length, 0.95 * root_3[1]), radius, 0.2, 1, 0.8)]
    root_3 = surface.at(rng.uniform(0.8, 1.2), rng.uniform(-0.1, 0.7), -0.4, 0.95)
    length = min(length, 0.95 * root_3[1])
    return surface.pair(horn(surface, root_3, [1, 0.4, -0.2], [0.1, -1, -0.1], length, radius, 0.2, 1, 0.8))


def _tufts(surface: Surface, kind: str, rng: np.random.Generator) -> list[Shell]:
    """Many small things: curls or spikes all over, a mane or a crest along the middle, three strands on top."""
    s, shells = surface.size, []
    if kind in ("mane", "crest"):
        turns = np.linspace(0.6, -0.35 if kind == "mane" else 0.3, rng.integers(5, 9)) * np.pi
        radii_3 = s * rng.uniform(0.22, 0.5) * np.array([0.6 if kind == "crest" else 1.0, 1, 1])
        return [ball(surface.at(0, np.sin(a), np.cos(a), 1.02), radii_3 * rng.uniform(0.8, 1.2), surface.detail) for a in turns]
    if kind == "tuft":
        roots = {x: surface.at(x, 1, 0.1, 0.9) for x in (-0.2, 0.0, 0.2)}
        return [horn(surface, at_3, [0.6 * x, 1, 0.2], [x, 0.4, rng.uniform(-1, 1)], s * rng.uniform(0.4, 0.9), 0.14 * s)
                for x, at_3 in roots.items()]
    for _ in range(rng.integers(8, 18)):
        x, y, z = rng.normal(size=3) * [0.9, 0.4, 0.8] + [0, 0.9, -0.35]
        at_3 = surface.at(x, y, z, 0.92)
        way_3 = (at_3 - surface.centre_3) / s
        shells.append(ball(at_3, s * rng.uniform(0.2, 0.45), surface.detail) if kind == "curls" else
                      horn(surface, at_3, way_3, way_3 + [0, rng.uniform(-0.6, 0.6), -0.2], s * rng.uniform(0.4, 1.0), s * 0.28))
    return shells


def _hair_cap(surface: Surface, rng: np.random.Generator) -> Shell:
    """An ellipsoid around the head that dives into it below the hairline and before the face."""
    cap = ball(surface.centre_3, np.ones(3), 1.7 * surface.detail)
    way_V3 = cap.vertices_V3 - surface.centre_3
    above_V = way_V3[:, 1] - rng.uniform(0.5, 0.9) * np.maximum(way_V3[:, 2], 0) * (way_V3[:, 1] < 0.9) - rng.uniform(-0.7, 0.1)
    grown_V = np.interp(above_V, [-0.12, 0.03], [0.8, rng.uniform(1.05, 1.3)])
    return replace(cap, vertices_V3=surface.centre_3 + way_V3 * grown_V[:, None] * surface.radii_3, inside=None)


def hat(surface: Surface, rng: np.random.Generator) -> list[Shell]:
    """Caps, top hats, cones, crowns, beanies, helmets, mushroom caps, halos, headphones."""
    kinds = {"cap": 0.2, "tall": 0.12, "cone": 0.13, "crown": 0.1, "beanie": 0.12, "helmet": 0.15, "mushroom": 0.07, "halo": 0.04,
             "phones": 0.07}
    kind = rng.choice(list(kinds), p=list(kinds.values()))
    s, radii_3 = surface.size, surface.radii_3
    if kind == "helmet":
        power = rng.choice([2.0, 4.0], p=[0.75, 0.25])
        return [ball(surface.centre_3 + [0, 0.05 * s, 0], radii_3 * rng.uniform(1.12, 1.5), 1.5 * surface.detail, power)]
    if kind == "phones":
        turns = np.linspace(0, np.pi, count(14, surface.detail, 7))
        band = surface.centre_3 + np.stack([np.cos(turns) * radii_3[0] * 1.1, np.sin(turns) * radii_3[1] * 1.1, 0 * turns], 1)
        cup = ball(surface.at(1, 0, 0, 1.05), s * rng.uniform(0.3, 0.5) * np.array([0.45, 1, 1]), surface.detail)
        return [sweep(band, np.full(len(band), 0.08 * s), 8), *surface.pair(cup)]
    if kind == "halo":
        turns = np.linspace(0, 2 * np.pi, 25)
        path_K3 = surface.at(0, 1, 0, 1.3) + s * 0.6 * np.stack([np.cos(turns), 0 * turns, np.sin(turns)], 1)
        return [sweep(path_K3, np.full(25, 0.09 * s), 8, UP)]
    return _lathed_hat(surface, kind, rng)


def _lathed_hat(surface: Surface, kind: str, rng: np.random.Generator) -> list[Shell]:
    """A hat turned about the vertical, with its brim, peak, spikes or bobble."""
    s, radii_3 = surface.size, surface.radii_3
    brim, tall = rng.uniform(1.3, 2.1), rng.uniform(0.7, 1.8)
    # rows of (height above the rim, half width) in radii
    profile = {"cap": [(0, 1.04), (0.3, 1.03), (0.6, 0.85), (0.78, 0.5), (0.85, 0.1)],
               "beanie": [(0, 1.12), (0.2, 1.12), (0.25, 1.02), (0.7, 0.8), (0.95, 0.2)],
               "tall": [(0, 0.7), (0.0, brim), (0.08, brim), (0.1, 0.8), (tall, 0.85), (tall + 0.02, 0.1)],
               "cone": [(0, 0.7), (0.0, brim), (0.08, brim), (0.1, 0.9), (0.5 * tall, 0.5), (1.3 * tall, 0.05)],
               "crown": [(0, 0.75), (0, 0.8), (0.45, 0.9), (0.45, 0.8), (0.1, 0.7)],
               "mushroom": [(-0.15, 0.6), (-0.2, brim), (0.0, 1.05 * brim), (0.5, 0.8 * brim), (0.8, 0.3 * brim)]}[kind]
    height_K, wide_K = np.array(profile).T
    middle_3 = surface.centre_3 + [0, radii_3[1] * rng.uniform(0.25, 0.6), 0]
    round_count = count(22, surface.detail, 8)
    shape = loft(middle_3[1] + height_K * radii_3[1], wide_K * radii_3[0], wide_K * radii_3[2], round_count, middle_K=middle_3[2])
    shells = [replace(shape, inside=None)]
    if kind == "cap":
        back = -1.0 if rng.random() < 0.2 else 1.0
        shells.append(ball(middle_3 + [0, 0, back * 1.15 * radii_3[2]], radii_3 * [0.8, 0.07, 0.6], surface.detail))
    elif kind == "crown":
        spikes = [middle_3 + radii_3 * [0.85 * np.sin(a), 0.4, 0.85 * np.cos(a)] for a in np.arange(0, 6.2, 1.05)]
        shells += [horn(surface, at_3, UP, UP, 0.4 * s, 0.2 * s) for at_3 in spikes]
    elif kind == "beanie" and rng.random() < 0.5:
        shells.append(ball(middle_3 + [0, radii_3[1], 0], 0.25 * s, surface.detail))
    return shells
