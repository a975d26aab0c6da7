"""The list of odd meshes: a name, a file, and what must become of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geometry.kinematics import rotvec_to_matrix
from tests.soak import odd_shapes as s
from tests.soak.odd_shapes import Shape, person

Motion = tuple[float, np.ndarray, np.ndarray]   # factor, rotation (3, 3), offset (3,): where the plain person went
STILL: Motion = (1.0, np.eye(3), np.zeros(3))


class Case(NamedTuple):
    """make: folder -> the file, written. must: "rig", "refused", "either", or "doubt": refused, or rigged without a pass.

    same: where it is the plain person still, how it was moved; its joints may then be most_drift from the plain person's, cm of 170.
    vertices: as the table shows them for a refused file. quick: part of the quick tests.
    """
    name: str
    make: Callable[[Path], Path]
    must: str
    same: Motion | None = None
    most_drift: float = 2.0
    is_cloud: bool = False
    quick: bool = False
    vertices: int = 0


CASES: list[Case] = []


def _add(name: str, shape: Callable[[], Shape], must: str, same: Motion | None = None, **more) -> None:
    _file(name, ".glb", lambda path: s.write_glb(path, shape()), must, same, **more)


def _file(name: str, suffix: str, write: Callable[[Path], Path], must: str, same: Motion | None = None, **more) -> None:
    CASES.append(Case(name, lambda folder: write(folder / (name + suffix)), must, same, **more))


def _random(count: int, faces: tuple = ()) -> Shape:
    return Shape(s.rng().normal(size=(count, 3)), np.array(faces, np.int64).reshape(-1, 3) if faces else None)


def _with_vertices(*more) -> Shape:
    return person()._replace(vertices_V3=np.concatenate([person().vertices_V3, *more]))


def _with_normals(suffix: str, name: str, normals: Callable[[], np.ndarray], must: str, same: Motion | None = None, **more) -> None:
    write = s.write_npz if suffix == ".npz" else s.write_glb
    _file(name, suffix, lambda path: write(path, person()._replace(normals_V3=normals())), must, same, **more)


# few vertices, no faces
_add("plain person", person, "rig", STILL, most_drift=0.0)
for n in (1, 2, 3, 4):
    _add(f"{n} vertices, no faces" if n > 1 else "1 vertex", partial(_random, n), "refused", vertices=n, quick=True)
_add("one triangle", partial(_random, 3, ((0, 1, 2),)), "refused", vertices=3, quick=True)
_add("a tetrahedron", partial(_random, 4, ((0, 1, 2), (0, 3, 1), (1, 3, 2), (0, 2, 3))), "refused", vertices=4, quick=True)
for n in (10, 21):
    _add(f"cloud of {n} points", partial(s.cloud, n), "refused", vertices=n, quick=True)
for n in (22, 100):
    _add(f"cloud of {n} points", partial(s.cloud, n), "doubt", is_cloud=True, quick=n == 100, vertices=n)
for n in (1023, 1024, 1025, 10_000):
    _add(f"cloud of {n:,} points", partial(s.cloud, n), "rig", STILL, most_drift=8.0, is_cloud=True)

# broken surfaces
for kind, words in (("repeated", "faces with repeated corners"), ("flat", "faces without area"), ("twice", "faces twice and thrice"),
                    ("fins", "edges with three faces"), ("tips", "faces that touch in a vertex")):
    _add(f"1,000 {words}", partial(s.faces_added, kind), "rig", STILL, most_drift=4.0)
_add("only faces with repeated corners", lambda: Shape(person().vertices_V3, person().faces_F3[:, [0, 0, 1]]), "either", is_cloud=True)
_add("half of the faces turned", partial(s.turned_faces, 0.5), "rig", STILL, most_drift=4.0)
_add("all faces turned inwards", partial(s.turned_faces, 1.0), "rig", STILL, most_drift=1.0, quick=True)
_add("triangle soup", lambda: s.soup(person()), "rig", STILL, most_drift=4.0)
_add("two shells, one inside", s.double_sided, "rig", STILL, most_drift=4.0)
_add("cut into 500 islands", partial(s.islands, 500), "rig", STILL, most_drift=4.0)
_add("cut into 5,000 islands", partial(s.islands, 5000), "rig", STILL, most_drift=4.0)
_add("5,000 free triangles around the skin", partial(s.confetti, 5000), "rig", STILL, most_drift=4.0)
_add("all vertices in one place", lambda: person().times(0), "refused", vertices=3917, quick=True)
_add("all vertices on a line", lambda: person().turned(np.diag((0, 1, 0))), "refused", vertices=3917, quick=True)
_add("flattened to a sheet of paper", lambda: person().turned(np.diag((1, 1, 0))), "rig", STILL, most_drift=10.0)
_add("flattened on the floor", lambda: person().turned(np.diag((1, 0, 1))), "doubt")

# normals
_with_normals(".glb", "normals that are NaN", lambda: np.full_like(person().vertices_V3, np.nan), "rig", STILL)
_with_normals(".glb", "normals that are zero", lambda: 0 * person().vertices_V3, "rig", STILL)
_with_normals(".glb", "normals of another count", lambda: person().vertices_V3[5:], "refused", quick=True, vertices=3917)
_with_normals(".npz", "npz, normals that are NaN", lambda: np.full_like(person().vertices_V3, np.nan), "either", vertices=3917)
_with_normals(".npz", "npz, normals that are zero", lambda: 0 * person().vertices_V3, "rig")
_with_normals(".npz", "npz, normals of another count", lambda: person().vertices_V3[5:], "refused", vertices=3917)

# sizes and places
for factor, words in ((1000, "in millimetres"), (100, "in centimetres"), (1 / 0.0254, "in inches"), (1e6, "1e6 times as large"),
                      (1e30, "1e30 times as large"), (1e-6, "1e-6 times as large"), (1e-30, "1e-30 times as large")):
    _add(words, lambda factor=factor: person().times(factor), "rig", (factor, np.eye(3), np.zeros(3)), most_drift=0.01,
         quick=factor == 1000)
_add("at the end of float32, 1e38", lambda: person().times(1e38), "refused", vertices=3917, quick=True)
_add("denormal, 1e-41", lambda: person().times(1e-41), "refused", vertices=3917, quick=True)
for far in (1e2, 1e4):
    _add(f"{far:,.0f} m from the origin", lambda far=far: person().plus((far, 0, far)), "rig", (1.0, np.eye(3), np.array((far, 0, far))))
_add("100,000 m from the origin", lambda: person().plus((1e5, 0, 1e5)), "doubt")
for far in (1e6, 1e9):
    _add(f"{far:,.0f} m from the origin", lambda far=far: person().plus((far, 0, far)), "refused", quick=True, vertices=3917)

# stray vertices
_add("20,000 vertices without a face", lambda: _with_vertices(s.rng().normal(0, .3, (20_000, 3))), "rig", STILL)
_add("a stray vertex 1,000 times as far", lambda: _with_vertices([[1700., 0, 0]]), "rig", STILL, quick=True)
for far in (10, 1000):
    _add(f"a stray triangle {far:,} times as far", lambda far=far: s.joined(person(), s.triangle((1.7 * far, 0, 0))), "doubt",
         vertices=3920)
_add("a cloud with a point 1,000 times as far", lambda: Shape(np.concatenate([s.cloud(5000).vertices_V3, [[1700., 0, 0]]])), "doubt",
     is_cloud=True, quick=True, vertices=5001)

# any orientation
for words, vector in (("lying on the side", (0, 0, np.pi / 2)), ("lying on the back", (-np.pi / 2, 0, 0)), ("head down", (np.pi, 0, 0)),
                      ("turned round", (0, np.pi, 0)), ("turned by an odd angle", (1.0, 0.7, -2.0))):
    turn_33 = rotvec_to_matrix(np.array(vector, float))
    _add(words, lambda turn_33=turn_33: person().turned(turn_33), "rig", (1.0, turn_33, np.zeros(3)))
_file("mirrored by a scale of -1", ".glb", lambda path: s.write_glb(path, person(), np.diag((-1.0, 1, 1, 1))), "rig")

# not quite a person
_add("no arms", partial(s.without, "arm", "hand"), "doubt")
_add("no legs", partial(s.without, "leg", "foot", "toe"), "doubt")
_add("no head", partial(s.without, "head"), "either")
_add("two people side by side", s.two_people, "doubt")
_add("on a pedestal", s.on_pedestal, "either")
_add("on a ground of 4 m", partial(s.on_ground, 4.0), "doubt")
_add("on a ground of 200 m", partial(s.on_ground, 200.0), "doubt")
_add("with a long sword", s.with_sword, "rig", STILL, most_drift=10)
_add("a cube", partial(s.box, (1, 1, 1), (0, 0, 0)), "refused", vertices=8, quick=True)
_add("a finer cube", partial(s.box, (1, 1, 1), (0, 0, 0), 3), "doubt")
_add("a sphere", s.sphere, "doubt")
_add("a dog", s.dog, "doubt")

# files
_file("obj of quads", ".obj", lambda path: s.write_obj(path, *s.quads()), "rig", STILL, most_drift=4.0)
_file("obj of hexagons", ".obj", lambda path: s.write_obj(path, *s.ngons()), "rig", STILL, most_drift=4.0)

# about our own thresholds, and beyond
for n in (100_001, 150_000, 150_001, 250_001, 2_000_000):
    _add(f"refined to {n:,} vertices", partial(s.refined, n), "rig", STILL, most_drift=4.0)
_add("cloud of 2,000,000 points", partial(s.cloud, 2_000_000), "rig", STILL, most_drift=8.0, is_cloud=True)
