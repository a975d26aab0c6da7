"""Odd but legal shapes, made of one generated person or from scratch: the same bytes each time.

A Shape is Y up, facing +Z, in metres unless its name says else. Letters: V vertices, F faces.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.bench_scale import refine
from dataset.asset import Asset
from dataset.sources.humans import HumanStyle, generate
from geometry.normals import vertex_normals
from rigging.gltf_file import ARRAY_BUFFER, INDEX_BUFFER, GltfFile

SEED = 5           # its plain rig passes the examination
SCRIPT_SEED = 6     # of what is drawn here: clouds, islands


class Shape(NamedTuple):
    """vertices_V3 float64; faces_F3 int64 or None for a cloud; normals_V3 as they shall stand in the file, or None."""
    vertices_V3: np.ndarray
    faces_F3: np.ndarray | None = None
    normals_V3: np.ndarray | None = None

    def times(self, factor: float) -> "Shape":
        return self._replace(vertices_V3=self.vertices_V3 * factor)

    def plus(self, offset_3) -> "Shape":
        return self._replace(vertices_V3=self.vertices_V3 + np.asarray(offset_3, np.float64))

    def turned(self, matrix_33: np.ndarray) -> "Shape":
        return self._replace(vertices_V3=self.vertices_V3 @ np.asarray(matrix_33, np.float64).T)


@cache
def _asset() -> Asset:
    return generate(SEED, HumanStyle(cartoon=0.0, low_poly=1.0, natural_pose=0.0))


def person() -> Shape:
    """A clothed grown-up of about 3,900 vertices in a T pose, standing on the origin."""
    asset = _asset()
    return Shape(np.float64(asset.vertices_V3), np.int64(asset.faces_F3))


def rng() -> np.random.Generator:
    return np.random.default_rng(SCRIPT_SEED)


def height(shape: Shape) -> float:
    return float(np.ptp(shape.vertices_V3[:, 1]))


def joined(*shapes: Shape) -> Shape:
    """Several meshes as one, in this order."""
    starts = np.cumsum([0] + [len(shape.vertices_V3) for shape in shapes])
    return Shape(np.concatenate([shape.vertices_V3 for shape in shapes]),
                 np.concatenate([shape.faces_F3 + start for shape, start in zip(shapes, starts)]))


def cloud(count: int) -> Shape:
    """Points drawn on the person's surface, evenly by area."""
    draw, (vertices_V3, faces_F3, _) = rng(), person()
    corner_F33 = vertices_V3[faces_F3]
    area_F = np.linalg.norm(np.cross(corner_F33[:, 1] - corner_F33[:, 0], corner_F33[:, 2] - corner_F33[:, 0]), axis=1)
    bary_P3 = draw.dirichlet((1, 1, 1), count)
    return Shape(np.einsum("pk,pkd->pd", bary_P3, corner_F33[draw.choice(len(area_F), count, p=area_F / area_F.sum())]))


def without(*parts: str) -> Shape:
    """The person without the faces that follow the joints whose names hold one of these words."""
    asset, shape = _asset(), person()
    gone_J = np.array([any(part in name for part in parts) for name in asset.names])
    keep_F = asset.skin_VJ[:, gone_J].sum(1)[shape.faces_F3].mean(1) < 0.5
    used, faces = np.unique(shape.faces_F3[keep_F], return_inverse=True)
    return Shape(shape.vertices_V3[used], faces.reshape(-1, 3))


def refined(count: int) -> Shape:
    return Shape(*refine(*person()[:2], count))


def soup(shape: Shape) -> Shape:
    """Each triangle with corners of its own."""
    return Shape(shape.vertices_V3[shape.faces_F3.ravel()], np.arange(shape.faces_F3.size).reshape(-1, 3))


def islands(count: int) -> Shape:
    """The person cut into so many pieces of neighbouring faces, each shrunk a little so that gaps open."""
    shape = person() if count < 2000 else refined(20_000)
    middle_F3 = shape.vertices_V3[shape.faces_F3].mean(1)
    seed_C3 = middle_F3[rng().choice(len(middle_F3), count, replace=False)]
    piece_F = np.concatenate([((part[:, None] - seed_C3) ** 2).sum(2).argmin(1) for part in np.array_split(middle_F3, 50)])
    corner_P = shape.faces_F3.ravel()
    pair_P2 = np.column_stack([np.repeat(piece_F, 3), corner_P])
    pair_U2, faces = np.unique(pair_P2, axis=0, return_inverse=True)
    at_U3 = shape.vertices_V3[pair_U2[:, 1]]
    return Shape(at_U3 + 0.05 * (seed_C3[pair_U2[:, 0]] - at_U3), faces.reshape(-1, 3))


def confetti(count: int) -> Shape:
    """The person with so many tiny free triangles around the skin."""
    at_P3 = cloud(count).vertices_V3
    corners_P3 = (at_P3[:, None] + rng().normal(0, 0.004, (count, 3, 3))).reshape(-1, 3)
    return joined(person(), Shape(corners_P3, np.arange(3 * count).reshape(-1, 3)))


def triangle(at_3) -> Shape:
    """One large triangle."""
    return Shape(np.asarray(at_3) + np.array([[0., 0, 0], [0, 1, 0], [1, 0, 0]]), np.array([[0, 1, 2]]))


def box(size_3, centre_3, splits: int = 0) -> Shape:
    corner_V3 = np.array([[x, y, z] for x in (-.5, .5) for y in (-.5, .5) for z in (-.5, .5)])
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces_F3 = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    count = (8, 26, 98, 386, 1538)[splits]
    return Shape(*refine(corner_V3 * np.asarray(size_3) + np.asarray(centre_3), faces_F3, count))


def sphere() -> Shape:
    import trimesh
    ball = trimesh.creation.icosphere(subdivisions=4)
    return Shape(np.float64(ball.vertices), np.int64(ball.faces))


def dog() -> Shape:
    """A quadruped of boxes: body, four legs, neck, head, tail."""
    parts = [box((.25, .3, .8), (0, .65, 0), 3), box((.15, .4, .15), (0, .9, .45), 2), box((.2, .2, .35), (0, 1.1, .55), 2),
             box((.06, .06, .4), (0, .8, -.55), 2)]
    return joined(*parts, *(box((.1, .55, .1), (x, .27, z), 2) for x in (-.09, .09) for z in (-.33, .33)))


def two_people() -> Shape:
    wide = float(np.ptp(person().vertices_V3[:, 0]))
    return joined(person(), person().plus((1.1 * wide, 0, 0)))


def on_pedestal() -> Shape:
    return joined(person(), box((.9, .6, .9), (0, person().vertices_V3[:, 1].min() - .3, 0), 3))


def on_ground(side: float) -> Shape:
    """side: of a square plane under the feet, metres."""
    low, half = person().vertices_V3[:, 1].min(), side / 2
    plane = Shape(np.array([[-half, low, -half], [half, low, -half], [half, low, half], [-half, low, half]]),
                  np.array([[0, 2, 1], [0, 3, 2]]))
    return joined(person(), plane)


def with_sword() -> Shape:
    """A blade of 1.5 m, held upright in the person's left hand."""
    asset = _asset()
    x, y, z = asset.joints_J3[asset.names.index("l_hand")]
    return joined(person(), box((.05, 1.5, .02), (x + .1, y + .5, z), 3))


def double_sided() -> Shape:
    """Each shell a second time, 2 mm inside and facing inwards."""
    shape = person()
    inner_V3 = shape.vertices_V3 - 0.002 * vertex_normals(shape.vertices_V3, shape.faces_F3)
    return joined(shape, Shape(inner_V3, shape.faces_F3[:, ::-1]))


def faces_added(kind: str) -> Shape:
    """The person with a thousand faces of a broken kind: "repeated" corners, "flat" (no area), "twice", "fins" on its edges,
    or "tips", which meet it in one vertex."""
    vertices_V3, faces_F3, _ = person()
    some_P3 = faces_F3[rng().choice(len(faces_F3), 1000, replace=False)]
    if kind == "repeated":
        return Shape(vertices_V3, np.concatenate([some_P3[:, [0, 0, 1]], some_P3[:, [2, 2, 2]], faces_F3]))
    if kind == "twice":
        return Shape(vertices_V3, np.concatenate([faces_F3, some_P3, some_P3[:, [1, 2, 0]], some_P3[:, ::-1]]))
    new_P = len(vertices_V3) + np.arange(len(some_P3))
    if kind == "tips":
        free_P3 = vertices_V3[some_P3[:, 0], None] + rng().normal(0, 0.01, (1000, 2, 3))
        first_P = 2 * new_P - len(vertices_V3)
        return Shape(np.concatenate([vertices_V3, free_P3.reshape(-1, 3)]),
                     np.concatenate([faces_F3, np.stack([some_P3[:, 0], first_P, first_P + 1], 1)]))
    a_P3, b_P3 = vertices_V3[some_P3[:, 0]], vertices_V3[some_P3[:, 1]]
    new_P3 = (a_P3 + b_P3) / 2 + (0 if kind == "flat" else 0.01)
    return Shape(np.concatenate([vertices_V3, new_P3]), np.concatenate([faces_F3, np.stack([some_P3[:, 0], new_P, some_P3[:, 1]], 1)]))


def turned_faces(share: float) -> Shape:
    """The person with this share of its faces facing inwards."""
    vertices_V3, faces_F3, _ = person()
    faces_F3 = faces_F3.copy()
    chosen = rng().choice(len(faces_F3), round(share * len(faces_F3)), replace=False)
    faces_F3[chosen] = faces_F3[chosen][:, ::-1]
    return Shape(vertices_V3, faces_F3)


def quads() -> tuple[np.ndarray, list[list[int]]]:
    """The person as the generator's quads would be: each triangle split into three quads at its middle."""
    vertices_V3, faces_F3, _ = person()
    edge_E2, place_E = np.unique(np.sort(faces_F3[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0, return_inverse=True)
    ab, bc, ca = len(vertices_V3) + place_E.reshape(-1, 3).T
    middle = len(vertices_V3) + len(edge_E2) + np.arange(len(faces_F3))
    a, b, c = faces_F3.T
    corners = [np.stack(quad, 1) for quad in ((a, ab, middle, ca), (b, bc, middle, ab), (c, ca, middle, bc))]
    return (np.concatenate([vertices_V3, vertices_V3[edge_E2].mean(1), vertices_V3[faces_F3].mean(1)]),
            np.concatenate(corners).tolist())


def ngons() -> tuple[np.ndarray, list[list[int]]]:
    """The person with a vertex in the middle of each edge: every face has six corners."""
    vertices_V3, faces_F3, _ = person()
    edge_E2, place_E = np.unique(np.sort(faces_F3[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0, return_inverse=True)
    ab, bc, ca = len(vertices_V3) + place_E.reshape(-1, 3).T
    a, b, c = faces_F3.T
    return np.concatenate([vertices_V3, vertices_V3[edge_E2].mean(1)]), np.stack([a, ab, b, bc, c, ca], 1).tolist()


# ----------------------------------------------------------------------------------------------- files


def write_glb(path: Path, shape: Shape, matrix_44: np.ndarray | None = None) -> Path:
    """matrix_44: of the node. Normals are written as they are."""
    file = GltfFile.empty()
    with np.errstate(over="ignore"):
        position_V3 = np.float32(shape.vertices_V3)
    primitive = {"attributes": {"POSITION": file.accessor(position_V3, "VEC3", ARRAY_BUFFER, bounds=True)}, "mode": 0}
    if shape.normals_V3 is not None:
        primitive["attributes"]["NORMAL"] = file.accessor(np.float32(shape.normals_V3), "VEC3", ARRAY_BUFFER)
    if shape.faces_F3 is not None:
        primitive |= {"mode": 4, "indices": file.accessor(shape.faces_F3.astype("<u4").ravel(), "SCALAR", INDEX_BUFFER)}
    file.append("meshes", {"primitives": [primitive]})
    node = {"mesh": 0} if matrix_44 is None else {"mesh": 0, "matrix": np.asarray(matrix_44).T.ravel().tolist()}
    file.document["scenes"][0]["nodes"].append(file.append("nodes", node))
    file.write(path)
    return path


def write_obj(path: Path, vertices_V3: np.ndarray, polygons: list[list[int]]) -> Path:
    rows = [*("v {:.9g} {:.9g} {:.9g}".format(*row) for row in vertices_V3.tolist()),
            *("f " + " ".join(str(corner + 1) for corner in polygon) for polygon in polygons)]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_npz(path: Path, shape: Shape) -> Path:
    """The contest's layout with normals as they are, which our own writer would not let through. Z up."""
    x, y, z = np.float32(shape.vertices_V3).T
    members = {"vertices": np.stack([x, -z, y], 1), "faces": np.int32(shape.faces_F3)}
    np.savez(path, **members | ({} if shape.normals_V3 is None else {"vertex_normals": np.float32(shape.normals_V3)}))
    return path
