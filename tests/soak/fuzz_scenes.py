"""What tests/soak/fuzz.py does to scenes and meshes: every reader of a figure, and the whole way from a user's scene to a rigged one.

    python -m tests.soak.fuzz --tables tests.soak.fuzz_scenes --count 1000

Promised besides what fuzz.py says: a scene that can be read can be rigged (on new joints, on its own, as a VRM) or is refused by its
name; what is written is a glTF that reads as the same figure, vertex by vertex.
Values of a glTF's JSON are changed and its lengths set right again, so that changes reach behind the container.
"""

import copy
import faulthandler
import io
import json
import os
import random
import signal
import struct
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import DracoPy
import numpy as np

from dataset.asset import Asset, AssetError
from dataset.format import DIALECTS, skeleton
from dataset.sources import draco, gltf_container
from dataset.sources.files import load_asset
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.rig import CharacterRig
from rigging.scene import add_rig
from rigging.vrm import vrm_extension
from tests.dataset.sources.gltf_scenes import TRIANGLE_V3, build, pack, rigged
from tests.dataset.sources.test_meshopt import ATTRIBUTES, EXPONENTIAL, INDICES, OCTAHEDRAL_8, TRIANGLES
from tests.dataset.sources.test_meshopt import packed_document as meshopt_document
from tests.rigging import scenes
from tests.soak.fuzz_inputs import Reader

ODDITIES = (*scenes.ODDITIES, 3, 4, 5, 6, 5120, 5123, 5125, 5126, 2 ** 31, 2 ** 53, 1e308, -1e308, 1e-45, "SCALAR", "VEC3", "VEC4", "MAT4",
            "../x.bin", "data:;base64,AAAA", "\n\x1b[2J\ud800", [1, 2, 3], [0] * 16, [1e39] * 3, {"a": {"b": {}}}, "x" * 5000)
KEYS = {"skin": 0, "mesh": 0, "children": [0, 1], "matrix": [0] * 16, "scale": [0, 0, 0], "rotation": [0, 0, 0, 0],
        "translation": [1e30, 0, 0], "weights": [1], "byteOffset": 4, "byteStride": 4, "normalized": True, "mode": 5, "indices": 0,
        "targets": [{"POSITION": 0}], "sparse": {"count": 1, "indices": {"bufferView": 0, "componentType": 5121},
            "values": {"bufferView": 0}},
        "uri": "beside.bin", "extensions": {}, "extras": None, "inverseBindMatrices": 0, "skeleton": 0, "scene": 0, "nodes": [0, 1],
        "JOINTS_0": 0, "WEIGHTS_0": 0, "JOINTS_1": 0, "WEIGHTS_1": 0, "NORMAL": 0, "POSITION": 0, "count": 3, "bufferView": 0}
VRM_BONES = [DIALECTS["vrm"][name] for name in skeleton(22).names]


# ------------------------------------------------------------------------------------------------ what changes

def unpack(data: bytes) -> tuple[dict, bytes]:
    """JSON and binary of a GLB that our own tests packed."""
    size, = struct.unpack_from("<I", data, 12)
    return json.loads(data[20:20 + size]), data[28 + size:]


def mutate_glb(data: bytes, rng: random.Random) -> bytes:
    """A GLB with right lengths, in which values of the JSON are others, or numbers of the binary part."""
    document, binary = unpack(data)
    if rng.random() < .3:
        binary = mutate_numbers(binary, rng)
    if binary is None or rng.random() < .8:
        document = mutate_json(document, rng)
    return pack(document, binary)


def mutate_gltf(data: bytes, rng: random.Random) -> bytes:
    """The same for a .gltf."""
    return json.dumps(mutate_json(json.loads(data), rng)).encode("utf-8", "surrogatepass")


def mutate_json(document: dict, rng: random.Random) -> dict:
    """One to four values, wherever they lie, are gone, odd, another's, twice there, or a neighbour's key is added."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(scenes._places(document))
        if not places:
            return document
        holder, key = rng.choice(places)
        way = rng.random()
        if way < .15:
            del holder[key]
        elif way < .45:
            holder[key] = copy.deepcopy(rng.choice(ODDITIES))
        elif way < .6:
            other, place = rng.choice(places)
            if place in other if isinstance(other, dict) else place < len(other):
                holder[key] = copy.deepcopy(other[place])
        elif way < .75 and type(holder[key]) in (int, float):
            holder[key] += rng.choice((-1, 1, -4, 4, .5, 1000))
        elif isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        else:
            name = rng.choice(sorted(KEYS))
            holder[name] = copy.deepcopy(KEYS[name])
    return document


def mutate_numbers(binary: bytes, rng: random.Random) -> bytes:
    """Floats, small numbers and bytes at places where numbers begin."""
    out = bytearray(binary)
    for _ in range(rng.choice((1, 2, 8)) if len(out) >= 4 else 0):
        at = rng.randrange(len(out) // 4) * 4
        out[at:at + 4] = rng.choice((
            struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, -3e38, 1e-45, 0, -1, 1e20))),
            struct.pack("<I", rng.choice((0, 1, 2, 255, 65535, 2 ** 31, 2 ** 32 - 1))), rng.randbytes(4)))
    return bytes(out)


def mutate_words(data: bytes, rng: random.Random) -> bytes:
    """Text whose words trade places, vanish, repeat or become odd numbers; lines likewise."""
    cut = rng.choice((b"\n", b" "))
    words = data.split(cut)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, other = rng.randrange(len(words)), rng.randrange(len(words))
        way = rng.randrange(4)
        if way == 0:
            words[at], words[other] = words[other], words[at]
        elif way == 1:
            words[at:at + 1] = []
        elif way == 2:
            words[at:at] = [words[other]] * rng.choice((1, 3, 100))
        else:
            words[at] = rng.choice((b"-1", b"0", b"1e400", b"nan", b"-inf", b"1_0", b"99999999999999999999", b"4294967295", b".5", b"1/2/3",
                                    b"list", b"vertex", b"\xff", b"0x10", b"#", b"", b"1000000", b"9" * 5000))
        words = words or [b""]
    return cut.join(words)


# ------------------------------------------------------------------------------------------------ valid files to begin with

def _saved(*makers: Callable) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [make(Path(folder)).read_bytes() for make in makers]


def _figure(names: list[str], **extensions) -> bytes:
    document, binary = rigged(names)
    document["accessors"][0] |= {"min": [0, 0, 0], "max": [1, 1, 0]}
    return pack(document | ({"extensions": extensions} if extensions else {}), binary)


def _mixamo() -> bytes:
    return _figure([DIALECTS["mixamo"][name] for name in skeleton(22).names])


def glb_seeds() -> list[bytes]:
    return [*_saved(scenes.instanced, scenes.quantised, scenes.morphed, scenes.posed_rig, scenes.mixed), _mixamo()]


def vrm_seeds() -> list[bytes]:
    new = {"specVersion": "1.0", "humanoid": {"humanBones": {bone: {"node": 2 + k} for k, bone in enumerate(VRM_BONES)}},
           "meta": {"name": "a", "authors": ["b"]}}
    old = {"humanoid": {"humanBones": [{"bone": bone, "node": 2 + k} for k, bone in enumerate(VRM_BONES)]},
           "meta": {"title": "a", "author": "b"}, "firstPerson": {"firstPersonBone": 7},
           "secondaryAnimation": {"boneGroups": [{"bones": [7]}]}}
    names = [f"bone {k}" for k in range(22)]
    return [_figure(names, VRMC_vrm=new, VRMC_springBone={"springs": [{"joints": [{"node": 7}]}]}), _figure(names, VRM=old)]


def gltf_seeds() -> list[bytes]:
    """One with its buffer beside it, one with it inside, one with pictures."""
    document, binary = build({"p": TRIANGLE_V3, "i": np.array([0, 1, 2], "u2")},
                             meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}])
    inside = copy.deepcopy(document)
    inside["buffers"][0]["uri"] = "data:application/octet-stream;base64," + b64encode(binary).decode()
    document["buffers"][0] |= {"uri": "beside.bin", "byteLength": 44}
    pictures = copy.deepcopy(document) | {"images": [{"uri": "beside.png"}, {"uri": "data:image/png;base64,AAAA"}, {"uri": "lost.png"}],
                                          "textures": [{"source": 0}], "materials": [{"emissiveTexture": {"index": 0}}]}
    return [json.dumps(each).encode() for each in (document, inside, pictures)]


def meshopt_seeds() -> list[bytes]:
    packed = [meshopt_document(INDICES, 27, "INDICES"), meshopt_document(TRIANGLES, 27, "TRIANGLES")]
    for text, count, stride, kind in ((ATTRIBUTES, 20, 4, "NONE"), (OCTAHEDRAL_8, 5, 4, "OCTAHEDRAL"), (EXPONENTIAL, 6, 4, "EXPONENTIAL")):
        document, binary = meshopt_document(text, count, "ATTRIBUTES")
        document["bufferViews"][1]["extensions"]["EXT_meshopt_compression"] |= {"byteStride": stride, "filter": kind}
        document["accessors"][1] |= {"count": 3 if count < 6 else 6, "componentType": 5121}
        packed.append((document, binary))
    return [pack(document, binary) for document, binary in packed]


def draco_seeds() -> list[bytes]:
    return _saved(scenes.draco)


OBJ = b"""mtllib ../x.mtl
o figure
v 0 0 0
v 1 0 0 .1 .2 .3
v 1 1 0
v 0 2 1
vt 0 0
vn 0 0 1
g a
usemtl one
f 1/1/1 2/1/1 3//1 4
f -4 -3 -2
"""
PLY_HEAD = """ply
format {} 1.0
comment x
element vertex 4
property float x
property float y
property float z
property float nx
property float ny
property float nz
property uchar red
element face 3
property list uchar int vertex_indices
property short flags
end_header
"""
CORNERS = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 2, 1]]
EVEN, MIXED = [[0, 1, 2], [0, 2, 3], [3, 2, 1]], [[0, 1, 2], [0, 1, 2, 3], [3, 2, 1]]


def ply_text_seeds() -> list[bytes]:
    return [(PLY_HEAD.format("ascii") + "".join(f"{x} {y} {z} 0 0 1 255\n" for x, y, z in CORNERS)
             + "".join(f"{len(face)} {' '.join(map(str, face))} 0\n" for face in faces)).encode() for faces in (EVEN, MIXED)]


def ply_binary_seeds() -> list[bytes]:
    return [PLY_HEAD.format(kind).encode() + b"".join(struct.pack(order + "6fB", *corner, 0, 0, 1, 255) for corner in CORNERS)
            + b"".join(struct.pack(f"{order}B{len(face)}ih", len(face), *face, 0) for face in faces)
            for kind, order in (("binary_little_endian", "<"), ("binary_big_endian", ">")) for faces in (EVEN, MIXED)]


def stl_text_seeds() -> list[bytes]:
    facet = "facet normal 0 0 1\n outer loop\n  vertex 0 0 0\n  vertex 1 0 0\n  vertex 0 2 1e-1\n endloop\nendfacet\n"
    return [f"solid a\n{facet}{facet.replace('2', '3')}endsolid a\n".encode()]


def stl_binary_seeds() -> list[bytes]:
    return [bytes(80) + struct.pack("<I", 2) + struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0) * 2]


def off_seeds() -> list[bytes]:
    return [b"OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 2 1\n3 0 1 2\n4 0 1 2 3\n",
            b"# x\nCOFF 3 1 0\n0 0 0 255 0 0\n1 0 0 9 9 9 # y\n0 1 0 1 2 3\n3 0 1 2 255 0 0\n"]


def xyz_seeds() -> list[bytes]:
    return [b"# x y z\n0 0 0\n1 2 3\n.5 1e-3 -4\n", b"0 0 0 0 0 1\n1 2 3 1 0 0\n"]


def npy_seeds() -> list[bytes]:
    def saved(array: np.ndarray) -> bytes:
        out = io.BytesIO()
        np.save(out, array)
        return out.getvalue()
    points = np.arange(18).reshape(3, 6) / 7
    return [saved(points), saved(points[:, :3].astype("f4")), saved(np.asfortranarray(points[:, :3])), saved(np.arange(6).reshape(2, 3))]


# ------------------------------------------------------------------------------------------------ what is read

def read_beside(path: Path) -> Asset:
    """A .gltf with a buffer and a picture beside it."""
    (path.parent / "beside.bin").write_bytes(build({"p": TRIANGLE_V3, "i": np.array([0, 1, 2], "u2")})[1])
    (path.parent / "beside.png").write_bytes(scenes.PIXEL)
    return load_asset(path)


def simple_rig(asset: Asset) -> CharacterRig:
    """The contest's 22 joints somewhere in the figure, each vertex on one of them."""
    bones, vertices_V3 = skeleton(22), asset.vertices_V3.astype(np.float64)
    low_3, size_3 = vertices_V3.min(0), np.ptp(vertices_V3, 0)
    skin_VJ = np.zeros((len(vertices_V3), 22), np.float32)
    skin_VJ[np.arange(len(skin_VJ)), np.arange(len(skin_VJ)) % 22] = 1
    return CharacterRig(low_3 + size_3 * np.linspace(.1, .9, 22)[:, None], bones.parents, bones.names, skin_VJ, Y_UP_TO_Z_UP)


def rig_it(policy: str, vrm: bool = False) -> Callable[[Path], Path]:
    """-> a reader that rigs the scene, writes it beside it, and reads it again."""
    def read(path: Path) -> Path:
        asset = read_beside(path) if path.suffix == ".gltf" else load_asset(path)
        rig = simple_rig(asset)
        rigged_scene = add_rig(path, rig, 4, policy)
        if vrm:
            vrm_extension(rigged_scene, rig, asset.vertices_V3)
        target = path.with_name("rigged.vrm" if vrm else "rigged.glb")
        rigged_scene.file.write(target)
        again = load_asset(target)
        assert len(again.vertices_V3) == len(asset.vertices_V3), "the rigged file has other vertices"
        still = vrm or policy == "keep-skeleton" or again.vertices_V3.shape == asset.vertices_V3.shape and np.allclose(
            again.vertices_V3, asset.vertices_V3, rtol=1e-3, atol=1e-3 * max(1e-30, np.abs(asset.vertices_V3).max()))
        assert still, "the rigged file's vertices stand elsewhere"
        return target
    return read


def forked(meshes: Sequence[bytes]) -> list[draco.Decoded]:
    """draco.decode_all by the same program in a child that is forked and not started: forty times as many a second.

    The child ends as the decoder makes it end; crashed, stopped and refused are all one ValueError here.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()
            signal.alarm(30)
            with open(writer, "wb") as pipe:
                pipe.write(draco.answer(draco.ask(meshes)[0]))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as pipe:
        reply = pipe.read()
    status = os.waitpid(child, 0)[1]
    if status:
        raise ValueError(f"the decoder ended with status {status}")
    return draco.understand(reply, len(meshes))


def read_draco_data(path: Path) -> list[draco.Decoded]:
    try:
        return forked([path.read_bytes()])
    except ValueError as error:
        raise AssetError(f"{path.name}: broken draco data ({error})") from None


def read_draco_scene(path: Path) -> Asset:
    """A scene with Draco data, of which only the decoder's start is left out; "glb draco started" has that too, and takes 0.1 s an input."""
    with mock.patch.object(gltf_container, "decode_all", forked):
        return load_asset(path)


def draco_data_seeds() -> list[bytes]:
    """Bare Draco data: both connectivity codings, a few attributes, and the grid of the scenes."""
    points_V3 = np.random.default_rng(0).normal(size=(30, 3)).astype("f4")
    faces_F3 = np.array([[k, (k + 1) % 30, (k + 2) % 30] for k in range(30)], "u4")
    colours = np.arange(120, dtype="u1").reshape(30, 4)
    return [DracoPy.encode(points_V3, faces_F3, compression_level=level, quantization_bits=11, **more)
            for level in (0, 1, 7, 10) for more in ({}, {"colors": colours}, {"preserve_order": True})]


REFUSALS = (AssetError,)
DECODER = (sys.executable, "-I", "-c", draco.GUARD)
READERS = [
    Reader("glb", ".glb", glb_seeds, load_asset, REFUSALS, mutate_glb),
    Reader("gltf", ".gltf", gltf_seeds, read_beside, REFUSALS, mutate_gltf),
    Reader("vrm", ".vrm", vrm_seeds, load_asset, REFUSALS, mutate_glb),
    Reader("glb meshopt", ".glb", meshopt_seeds, load_asset, REFUSALS, mutate_glb),
    Reader("glb draco", ".glb", draco_seeds, read_draco_scene, REFUSALS, mutate_glb, may_start=("os.fork",)),
    Reader("glb draco started", ".glb", draco_seeds, load_asset, REFUSALS, mutate_glb, may_start=DECODER),
    Reader("draco data", ".drc", draco_data_seeds, read_draco_data, REFUSALS, may_start=("os.fork",)),
    Reader("obj", ".obj", lambda: [OBJ], load_asset, REFUSALS, mutate_words),
    Reader("ply text", ".ply", ply_text_seeds, load_asset, REFUSALS, mutate_words),
    Reader("ply binary", ".ply", ply_binary_seeds, load_asset, REFUSALS, mutate_words),
    Reader("stl text", ".stl", stl_text_seeds, load_asset, REFUSALS, mutate_words),
    Reader("stl binary", ".stl", stl_binary_seeds, load_asset, REFUSALS),
    Reader("off", ".off", off_seeds, load_asset, REFUSALS, mutate_words),
    Reader("xyz", ".xyz", xyz_seeds, load_asset, REFUSALS, mutate_words),
    Reader("npy", ".npy", npy_seeds, load_asset, REFUSALS),
    Reader("rig glb", ".glb", glb_seeds, rig_it("replace"), REFUSALS, mutate_glb),
    Reader("rig gltf", ".gltf", gltf_seeds, rig_it("replace"), REFUSALS, mutate_gltf),
    Reader("rig own joints", ".glb", lambda: [_mixamo()], rig_it("keep-skeleton"), REFUSALS, mutate_glb),
    Reader("rig as vrm", ".vrm", vrm_seeds, rig_it("replace", vrm=True), REFUSALS, mutate_glb),
    Reader("rig obj", ".obj", lambda: [OBJ], rig_it("replace"), REFUSALS, mutate_words),
]
