"""What does a checkpoint stand? J2J of the same characters under one change at a time: the robustness card.

A *sweep* is one kind of change at rising levels. Each change is a pure function of (asset, level, rng): the asset in the network's frame
(Z up, facing -Y), with faces and weights, to the asset that the network gets, its true joints moved along. At every level of a sweep the
rng begins alike, so a level differs from the next by its strength only: poses bend the same way, holes grow, noise swells.
J2J is in box edges of the figure at rest, told by its bones: so turning or bending a figure does not change the yardstick.
Letters: V vertices, F faces, J joints, P points.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dataset.asset import Asset, AssetError
from dataset.format import FULL_NAMES, skeleton
from dataset.sampler import blend
from geometry.kinematics import homogeneous, rotvec_to_matrix
from geometry.normals import normalize
from geometry.sampling import draw_faces, sample_surface, triangle_areas
from geometry.segment import segment_mean
from geometry.similarity import Similarity
from launch.evaluator import known_joints, truth
from launch.predictor import Predictor, box_similarity, content_number
from models import metrics

Change = Callable[[Asset, object, np.random.Generator], Asset]
PATCHES = 6              # holes are cut around so many places
CLOUD = 8192             # points of a mesh that is given as a cloud
CELL_STEPS = 24          # halvings of the cell's size in decimation
LOST = {"none": (), "hand": ("hand",), "forearm": ("lower_arm", "hand"), "arm": ("upper_arm", "lower_arm", "hand")}


# ------------------------------------------------------------------------------------------------------------ the changes


def turned(axis: int) -> Change:
    """The whole figure by `level` degrees about an axis: 2 yaw (up), 0 pitch (left), 1 roll (back)."""
    def change(asset: Asset, level: float, rng: np.random.Generator) -> Asset:
        return asset.to_frame(Similarity(rotvec_to_matrix(np.radians(level) * np.eye(3)[axis])))
    return change


def bent(asset: Asset, level: float, rng: np.random.Generator) -> Asset:
    """Every joint but the root, each about an axis of its own, by its own angle uniform in 0..level degrees."""
    axis_J3, share_J1 = normalize(rng.normal(size=(asset.joint_count, 3))), rng.random((asset.joint_count, 1))
    share_J1[0] = 0
    return asset.posed(homogeneous(rotvec_to_matrix(np.radians(level) * share_J1 * axis_J3)))


def noisy(asset: Asset, level: float, rng: np.random.Generator) -> Asset:
    """Gaussian noise on each vertex, sigma = level % of the longest side; normals are those of the rough surface."""
    offset_V3 = rng.standard_normal(asset.vertices_V3.shape) * (level / 100 * np.ptp(asset.vertices_V3, axis=0).max())
    if level == 0:
        return asset
    return replace(asset, vertices_V3=np.float32(asset.vertices_V3 + offset_V3), normals_V3=None)


def holed(asset: Asset, level: float, rng: np.random.Generator) -> Asset:
    """Without the faces nearest to PATCHES random places of the surface, as many as make up level % of its area."""
    area_F = triangle_areas(asset.vertices_V3, asset.faces_F3)
    centre_F3 = np.float64(asset.vertices_V3)[asset.faces_F3].mean(1)
    place_K3 = centre_F3[draw_faces(area_F, PATCHES, rng)]
    nearest_F = np.linalg.norm(centre_F3[:, None] - place_K3, axis=2).min(1)
    order_F = np.argsort(nearest_F, kind="stable")
    gone_F = np.zeros(len(order_F), bool)
    gone_F[order_F] = np.cumsum(area_F[order_F]) <= level / 100 * area_F.sum()
    return with_faces(asset, ~gone_F)


def other_normals(asset: Asset, level: str, rng: np.random.Generator) -> Asset:
    """"file": as they are; "none": none in the file, so that they come from the faces; "flipped": all point inwards, faces too;
    "cloud": CLOUD points with normals instead of the mesh; "bare cloud": without them."""
    if level == "file":
        return asset
    if level == "none":
        return replace(asset, normals_V3=None)
    if level == "flipped":
        return replace(asset, normals_V3=None if asset.normals_V3 is None else -asset.normals_V3, faces_F3=asset.faces_F3[:, ::-1])
    face_P, bary_P3 = sample_surface(asset.vertices_V3, asset.faces_F3, CLOUD, rng)
    corner_P3 = asset.faces_F3[face_P]
    normals_P3 = None if asset.normals_V3 is None or level == "bare cloud" else np.float32(
        normalize(blend(asset.normals_V3, corner_P3, bary_P3)))
    return replace(asset, vertices_V3=np.float32(blend(asset.vertices_V3, corner_P3, bary_P3)), normals_V3=normals_P3, faces_F3=None,
                   skin_VJ=None)


def maimed(asset: Asset, level: str, rng: np.random.Generator) -> Asset:
    """Without a part of the left arm: the faces that hang mostly on it are gone, and its joints do not count (joint_valid_J)."""
    names = FULL_NAMES[:asset.joint_count]
    lost_J = np.array([name.startswith("l_") and (name[2:] in LOST[level] or (bool(LOST[level]) and "_hand_" in name)) for name in names])
    weight_V = asset.skin_VJ[:, lost_J].sum(1)
    known_J = np.ones(len(names), bool) if asset.joint_valid_J is None else asset.joint_valid_J
    return replace(with_faces(asset, weight_V[asset.faces_F3].mean(1) <= 0.5), joint_valid_J=known_J & ~lost_J)


def resized(asset: Asset, level: float, rng: np.random.Generator) -> Asset:
    """In other units: everything times `level`."""
    return asset.to_frame(Similarity(np.eye(3), level))


def decimated(asset: Asset, level: float, rng: np.random.Generator) -> Asset:
    """At most level % of the faces: the vertices of each cell of a grid become their mean (Rossignac and Borrel, 1993), the cells as
    small as that allows. Normals come from the faces that are left."""
    if level >= 100:
        return asset
    size, low = float(np.ptp(asset.vertices_V3, axis=0).max()), 0.0
    high, best = size, clustered(asset, size)
    for _ in range(CELL_STEPS):
        middle = (low + high) / 2
        tried = clustered(asset, middle)
        if len(tried.faces_F3) > level / 100 * len(asset.faces_F3):
            low = middle
        else:
            high, best = middle, tried
    if not len(best.faces_F3):
        raise AssetError(f"{asset.source}: nothing is left of it at {level} % of its {len(asset.faces_F3)} faces")
    return best


def clustered(asset: Asset, cell: float) -> Asset:
    """The vertices of each cube of side `cell` as one, their mean; faces that collapse are gone, repeated ones stand once."""
    cell_V3 = np.floor((np.float64(asset.vertices_V3) - asset.vertices_V3.min(0)) / cell)
    cells_C3, place_V = np.unique(cell_V3, axis=0, return_inverse=True)
    place_V = place_V.reshape(-1)

    def mean(values_VK: np.ndarray) -> np.ndarray:
        return np.float32(segment_mean(values_VK, place_V, len(cells_C3)))
    faces_F3 = place_V[asset.faces_F3]
    a, b, c = faces_F3.T
    faces_F3 = faces_F3[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(faces_F3, axis=1), axis=0, return_index=True)
    merged = replace(asset, vertices_V3=mean(asset.vertices_V3), normals_V3=None, faces_F3=faces_F3[np.sort(first)],
                     skin_VJ=None if asset.skin_VJ is None else mean(asset.skin_VJ))
    return with_faces(merged, np.ones(len(merged.faces_F3), bool))


def with_faces(asset: Asset, kept_F: np.ndarray) -> Asset:
    """The asset with these faces only, and without the vertices that only others used."""
    if kept_F.all() and len(np.unique(asset.faces_F3)) == len(asset.vertices_V3):
        return asset
    used_U, faces = np.unique(asset.faces_F3[kept_F], return_inverse=True)
    return replace(asset, vertices_V3=asset.vertices_V3[used_U], faces_F3=faces.reshape(-1, 3).astype(np.int64),
                   normals_V3=None if asset.normals_V3 is None else asset.normals_V3[used_U],
                   skin_VJ=None if asset.skin_VJ is None else asset.skin_VJ[used_U])


def same(asset: Asset, level: object, rng: np.random.Generator) -> Asset:
    """Nothing happens to the asset (the sweep of the network's points)."""
    return asset


# ------------------------------------------------------------------------------------------------------------ the card


@dataclass(frozen=True)
class Sweep:
    """points: the level is the number of points that the network is given, and figures are taken to stand upright, as they do: searching
    would look at 48 turns of all these points. even: levels are drawn at even distances."""
    name: str
    unit: str
    levels: tuple
    change: Change
    points: bool = False
    even: bool = False


SWEEPS = (
    Sweep("yaw", "degrees", tuple(range(-180, 181, 30)), turned(2)),
    Sweep("pitch", "degrees", tuple(range(-180, 181, 45)), turned(0)),
    Sweep("roll", "degrees", tuple(range(-180, 181, 45)), turned(1)),
    Sweep("pose", "most degrees a joint", (0, 15, 30, 45, 60, 75, 90), bent),
    Sweep("points", "", (256, 512, 1024, 2048, 4096, 8192, 16384), same, points=True, even=True),
    Sweep("noise", "sigma, % of the longest side", (0, 0.5, 1, 2, 3, 5), noisy),
    Sweep("holes", "% of the surface gone", (0, 10, 20, 30, 40), holed),
    Sweep("normals", "", ("file", "none", "flipped", "cloud", "bare cloud"), other_normals),
    Sweep("missing", "of the left arm gone", tuple(LOST), maimed),
    Sweep("scale", "times", (1e-3, 1e-2, 0.1, 1, 10, 100, 1e3), resized, even=True),
    Sweep("decimation", "% of the faces", (100, 50, 25, 10, 5), decimated, even=True),
)


@dataclass(frozen=True)
class Reading:
    """One character at one level. j2j: box edges; ordered: box units; of the figure's box at rest."""
    sweep: str
    level: object
    figure: str
    j2j: float
    ordered: float


def measure_card(assets: Iterable[Asset], predictor: Predictor, seed: int = 0, ignore: tuple = (), sweeps: tuple[Sweep, ...] = SWEEPS,
                 failures: list | None = None) -> list[Reading]:
    """Every level of every sweep on each asset. What cannot be measured (an asset without faces, joints or weights; a level that leaves
    nothing of it) is told in `failures` as (what, reason); without that list it is raised as an AssetError."""
    readings = []

    def attempt(what: str, step: Callable, *given):
        try:
            return step(*given)
        except ValueError as error:
            if failures is None:
                raise
            failures.append((what, str(error)))
    for asset in assets:
        mesh = attempt(asset.source, rigged_mesh, asset)
        for sweep in sweeps if mesh is not None else ():
            for level in sweep.levels:
                readings.append(attempt(f"{asset.source} ({sweep.name} {level})", read_one, mesh, predictor, sweep, level, seed, ignore))
    return [reading for reading in readings if reading is not None]


def rigged_mesh(asset: Asset) -> Asset:
    """What the changes are made for, in the network's frame. Raises: AssetError for anything else."""
    asset = truth(asset)
    if not asset.has_faces or asset.skin_VJ is None:
        raise AssetError(f"{asset.source}: has no {'faces' if asset.skin_VJ is not None else 'weights'}; the card needs rigged meshes")
    return asset.in_network_frame()


def read_one(asset: Asset, predictor: Predictor, sweep: Sweep, level: object, seed: int, ignore: tuple) -> Reading:
    seen = sweep.change(asset, level, np.random.default_rng([seed, content_number(asset), *sweep.name.encode()]))
    usual = predictor.points, predictor.expects_errors
    if sweep.points:
        predictor.points, predictor.expects_errors = int(level), False
    try:
        joints_J3 = np.float64(predictor.predict(seen).joints_J3)
    finally:
        predictor.points, predictor.expects_errors = usual
    count = min(len(joints_J3), asset.joint_count)
    known_J = known_joints(seen, count, ignore)
    unit = box_similarity(asset).scale * bones(asset, count) / bones(seen, count)
    found_K3, true_K3 = joints_J3[:count][known_J] * unit, np.float64(seen.joints_J3)[:count][known_J] * unit
    return Reading(sweep.name, level, f"{asset.cls}_{asset.id}", metrics.j2j(found_K3, true_K3), metrics.ordered_error(found_K3, true_K3))


def bones(asset: Asset, count: int) -> float:
    """Length of all bones together: what turning and bending leave as it is."""
    joints_J3 = np.float64(asset.joints_J3)
    return float(sum(np.linalg.norm(joints_J3[j] - joints_J3[p]) for j, p in enumerate(skeleton(count).parents) if p is not None))


def curves(readings: list[Reading], sweeps: tuple[Sweep, ...] = SWEEPS) -> Iterator[tuple[Sweep, list[dict]]]:
    """Each measured sweep with, per level: median, mean and worst J2J over the characters, and the mean ordered error (box units)."""
    for sweep in sweeps:
        rows = []
        for level in sweep.levels:
            mine = [r for r in readings if (r.sweep, r.level) == (sweep.name, level)]
            if mine:
                j2j = np.array([r.j2j for r in mine])
                rows.append({"level": level, "count": len(mine), "median": float(np.median(j2j)), "mean": float(j2j.mean()),
                             "worst": float(j2j.max()), "ordered": float(np.mean([r.ordered for r in mine]))})
        if rows:
            yield sweep, rows


def growth(rows: list[dict]) -> float | None:
    """The largest mean J2J of a sweep over that at level 0; None where there is no such level."""
    at_zero = [row["mean"] for row in rows if not isinstance(row["level"], str) and row["level"] == 0]
    return max(row["mean"] for row in rows) / at_zero[0] if at_zero and at_zero[0] > 0 else None


def card_json(readings: list[Reading], settings: dict) -> dict:
    sweeps = {sweep.name: {"unit": sweep.unit, "growth": growth(rows), "rows": rows} for sweep, rows in curves(readings)}
    return {"settings": settings, "sweeps": sweeps, "readings": [vars(reading) for reading in readings]}


def card_table(readings: list[Reading]) -> str:
    """Markdown: for each sweep a table with a column for each level."""
    lines = ["Characters: " + ", ".join(sorted({reading.figure for reading in readings})) + ".", ""]
    for sweep, rows in curves(readings):
        lines += [f"**{sweep.name}**" + (f" ({sweep.unit})" if sweep.unit else ""), "",
                  "| | " + " | ".join(level_text(row["level"]) for row in rows) + " |", "|---" * (len(rows) + 1) + "|",
                  *("| " + name + " | " + " | ".join(f"{row[key]:.4f}".removeprefix("0") for row in rows) + " |"
                    for name, key in (("J2J, median", "median"), ("J2J, mean", "mean"), ("ordered error, mean", "ordered"))), ""]
        if growth(rows) is not None:
            lines += [f"At worst the mean J2J is {growth(rows):.2f} times that at 0.", ""]
    return "\n".join(lines)


def level_text(level: object) -> str:
    return level if isinstance(level, str) else f"{level:,g}" if abs(level) < 1e5 else f"{level:g}"
