"""Many small characters in ten kinds of file, and bad files of twelve kinds among them: what the load test rigs.

Good ones: generated humans, made coarse, with proportions and poses by chance, as meshes and as clouds of points on their surface.
One seed, one corpus, byte for byte (of an .npz: but for its time stamps).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import trimesh

from dataset.asset import Asset, check
from dataset.augment import BoneStretch, Mix
from dataset.exporter import write_atomically
from dataset.sources.humans import generate
from dataset.sources.npz import write_npz
from geometry.sampling import sample_surface
from rigging.scene_fresh import write_glb, y_up

PEOPLE = 24
SHAPES = Mix(rest=0.5, random=0.5, mocap=0.0, stretch=BoneStretch(1.0))     # poses and proportions, all upright: the cheap case
MANIFEST, LISTING, WITNESS = "corpus.json", "list.txt", "code-was-run"


@cache
def person(number: int) -> Asset:
    """A generated human, made coarse: of the vertices in one cell of a grid the first stays. Some 400 to 900 vertices, Z up."""
    human = generate(number).in_network_frame()
    cell_V3 = np.floor(human.vertices_V3 / (0.055 + 0.005 * (number % 5))).astype(np.int64)
    _, first_U, cell_V = np.unique(cell_V3, axis=0, return_index=True, return_inverse=True)
    faces_F3 = cell_V.ravel()[human.faces_F3]
    whole_F = (faces_F3 != np.roll(faces_F3, 1, axis=1)).all(1)
    return check(replace(human, vertices_V3=human.vertices_V3[first_U], faces_F3=np.unique(faces_F3[whole_F], axis=0),
                         normals_V3=None, skin_VJ=human.skin_VJ[first_U]))


def character(rng: np.random.Generator) -> Asset:
    """One of the people, with proportions and a pose of its own, half of them at rest."""
    return SHAPES(person(int(rng.integers(PEOPLE))), rng).realise()


def surface(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(vertices_V3 float64 Y up, faces_F3 int64) of a character."""
    asset = character(rng)
    return np.float64(y_up(asset.vertices_V3, "z")), np.int64(asset.faces_F3)


def cloud(rng: np.random.Generator) -> np.ndarray:
    """(P, 3) float32 points of a character's surface, 300 to 1,200 of them."""
    vertices_V3, faces_F3 = surface(rng)
    face_P, bary_P3 = sample_surface(vertices_V3, faces_F3, int(rng.integers(300, 1200)), rng)
    return np.float32(np.einsum("pk,pkd->pd", bary_P3, vertices_V3[faces_F3[face_P]]))


def rigged_glb(path: Path, rng: np.random.Generator) -> None:
    asset = character(rng)
    write_glb(path, asset.vertices_V3, asset.faces_F3, None, asset.joints_J3, asset.parents, asset.names, asset.skin_VJ, "z")


def contest_npz(path: Path, rng: np.random.Generator) -> None:
    write_npz(path, character(rng))


def exported(path: Path, rng: np.random.Generator) -> None:
    trimesh.Trimesh(*surface(rng), process=False).export(path)


GOOD: dict[str, Callable[[Path, np.random.Generator], object]] = {
    "rigged.glb": rigged_glb, "bare.glb": exported, "mesh.obj": exported, "mesh.ply": exported, "mesh.stl": exported,
    "mesh.off": exported, "contest.npz": contest_npz, "cloud.xyz": lambda path, rng: np.savetxt(path, cloud(rng), fmt="%.6f"),
    "cloud.npy": lambda path, rng: np.save(path, cloud(rng)),
    "cloud.ply": lambda path, rng: trimesh.PointCloud(cloud(rng)).export(path)}


def cut_short(path: Path, rng: np.random.Generator) -> None:
    rigged_glb(path, rng)
    path.write_bytes(path.read_bytes()[:5000])


def with_nan(path: Path, rng: np.random.Generator) -> None:
    points_P3 = cloud(rng)
    points_P3[rng.integers(len(points_P3))] = np.nan
    np.save(path, points_P3)


def out_of_range(path: Path, rng: np.random.Generator) -> None:
    exported(path, rng)
    path.write_text(path.read_text() + "f 1 2 99999\n")


class _Runs:
    """What a pickle reader that trusts its file would carry out."""
    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


def pickled_code(path: Path, rng: np.random.Generator) -> None:
    np.savez(path, vertices=np.array(_Runs(path.parent / WITNESS), dtype=object))


BAD: dict[str, Callable[[Path, np.random.Generator], object]] = {
    "empty.glb": lambda path, rng: path.write_bytes(b""), "cut.glb": cut_short, "gone.glb": lambda path, rng: None,
    "words.obj": lambda path, rng: path.write_text("v one two three\n"), "range.obj": out_of_range,
    "promise.ply": lambda path, rng: path.write_text("ply\nformat ascii 1.0\nelement vertex 1000000000\nproperty float x\nend_header\n"),
    "folder.stl": lambda path, rng: path.mkdir(), "nan.npy": with_nan,
    "five.npy": lambda path, rng: np.save(path, rng.random((40, 5))), "spot.xyz": lambda path, rng: np.savetxt(path, np.ones((50, 3))),
    "code.npz": pickled_code, "notes.txt": lambda path, rng: path.write_text("no character")}


def make_corpus(folder: Path, count: int, bad_count: int, seed: int) -> dict[str, bool]:
    """Fill the folder with `count` files (unless the same corpus stands there) and list them in LISTING. Returns: name -> is it good."""
    rng = np.random.default_rng([seed, count])
    bad = set(rng.choice(count, bad_count, replace=False).tolist())
    turns = {True: cycle(GOOD), False: cycle(BAD)}
    names = {f"{place:05d}-{next(turns[place not in bad])}": place not in bad for place in range(count)}
    manifest = json.dumps({"seed": seed, "names": names}).encode()
    if (folder / MANIFEST).is_file() and (folder / MANIFEST).read_bytes() == manifest:
        return names
    folder.mkdir(parents=True)
    for place, (name, good) in enumerate(names.items()):
        (GOOD if good else BAD)[name.split("-", 1)[1]](folder / name, np.random.default_rng([seed, count, place]))
    (folder / LISTING).write_text("".join(f"{name}\n" for name in names))
    write_atomically(folder / MANIFEST, manifest)
    return names
