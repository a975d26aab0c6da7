"""The judge of what a rigged file must still hold of the user's own: bytes of views, values of entries, names, pictures, extras.

Used by the tests of rigging/scene.py and by benchmarks/acceptance_rigs.py on what the predict door writes.
"""

from copy import deepcopy
from pathlib import Path

import numpy as np

from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import local_matrix

TRANSFORM = {"translation", "rotation", "scale", "matrix"}


def assert_untouched(original: Path, path: Path, policy: str, clip: bool = False, vrm: bool = False) -> None:
    """All of the original is in the rigged file; only what a rig must change has changed.

    clip: an animation was baked in, which comes last. vrm: the file was made a VRM 1.0: a node "VRM" may stand above the scene, an
    older VRM extension is gone, and a skeleton that was kept is turned into the T pose. Raises: AssertionError.
    """
    old, new = Container(original), Container(path)
    was, now = deepcopy(old.document), deepcopy(new.document)
    if vrm:
        _take_off_the_stand(now)
    _same_views(old, new, was, now)
    _same_pictures(old, new, was, now)
    assert now["accessors"][:len(was["accessors"])] == was["accessors"], "an accessor has changed"
    _same_nodes(new, was, now, policy == "keep-skeleton" and vrm, policy == "keep-skeleton" and clip)
    for before, after in zip(was.get("scenes", []), now.get("scenes", []), strict=True):
        assert set(before.get("nodes", [])) <= set(after["nodes"]), "a scene lost a node"
        assert vrm or after["nodes"][:len(before.get("nodes", []))] == before.get("nodes", []), "a scene's nodes changed places"
        assert {a: b for a, b in before.items() if a != "nodes"} == {a: b for a, b in after.items() if a != "nodes"}
    for mesh, after in zip(was["meshes"], now["meshes"]):
        assert {a: b for a, b in mesh.items() if a != "primitives"} == {a: b for a, b in after.items() if a != "primitives"}
    _same_rest(was, now, policy, clip, vrm)


def find(container: Container, number: int, source: dict) -> tuple[dict, dict]:
    """The node (or the child it was moved to) and the primitive that draws `source` now."""
    nodes = container.document["nodes"]
    for k in (number, *nodes[number].get("children", [])):
        for primitive in container.document["meshes"][nodes[k]["mesh"]]["primitives"] if "mesh" in nodes[k] else ():
            if bare(primitive) == bare(source):
                return nodes[k], primitive
    raise AssertionError(f"node {number} lost a primitive")


def bare(primitive: dict) -> dict:
    """Without joints and weights."""
    primitive = deepcopy(primitive)
    for holder in (primitive, *primitive.get("extensions", {}).values()):
        if "attributes" in holder:
            holder["attributes"] = {k: v for k, v in holder["attributes"].items() if not k.startswith(("JOINTS_", "WEIGHTS_"))}
    return primitive


def _take_off_the_stand(document: dict) -> None:
    """The scene's nodes as they were before one node turned and shifted the figure."""
    for scene in document["scenes"]:
        for node in [k for k in scene["nodes"] if document["nodes"][k].get("name") == "VRM"]:
            scene["nodes"].remove(node)
            scene["nodes"] += document["nodes"][node]["children"]


def _same_views(old: Container, new: Container, was: dict, now: dict) -> None:
    for k, view in enumerate(was.get("bufferViews", [])):
        for before, after in ((view, now["bufferViews"][k]), *((p, now["bufferViews"][k]["extensions"][name])
                                                              for name, p in view.get("extensions", {}).items())):
            if "uri" in was["buffers"][before["buffer"]] or before["buffer"] == 0:
                assert old._slice(before, k) == new._slice(after, k), f"buffer view {k} holds other bytes"
            hidden = {"buffer", "byteOffset", "extensions"}
            assert {a: b for a, b in before.items() if a not in hidden} == {a: b for a, b in after.items() if a not in hidden}


def _same_pictures(old: Container, new: Container, was: dict, now: dict) -> None:
    for k, image in enumerate(was.get("images", [])):
        after = now["images"][k]
        if "uri" in image and not image["uri"].startswith("data:"):
            assert new.view(after["bufferView"])[0] == (old.path.parent / image["uri"]).read_bytes()
            after = {a: b for a, b in after.items() if a not in ("bufferView", "mimeType")} | {"uri": image["uri"]}
        assert after == image, f"picture {k} has changed"


def _same_nodes(new: Container, was: dict, now: dict, posed: bool, split: bool) -> None:
    """posed: nodes may have been turned. split: nodes keep their matrix, but may say it in another way."""
    hidden = {"skin", "mesh", "children"} | (TRANSFORM if posed or split else set())
    for k, node in enumerate(was["nodes"]):
        after = now["nodes"][k]
        assert {a: b for a, b in node.items() if a not in hidden} == {a: b for a, b in after.items() if a not in hidden}, f"node {k}"
        if split and not posed:
            np.testing.assert_allclose(local_matrix(new, after, k), local_matrix(new, node, k), rtol=1e-6, atol=1e-7)
        assert after.get("children", [])[:len(node.get("children", []))] == node.get("children", [])
        for primitive in was["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            find(new, k, primitive)


def _same_rest(was: dict, now: dict, policy: str, clip: bool, vrm: bool) -> None:
    """Materials, textures, samplers, extras, extensions, animations that were kept, and whatever else the file says."""
    changed = {"bufferViews", "images", "accessors", "nodes", "scenes", "meshes", "buffers", "skins"}
    if policy == "replace":
        changed |= {"animations"}
    elif clip:
        assert now["animations"][:-1] == was.get("animations", []), "an animation of the user's has changed"
        changed |= {"animations"}
    if policy == "replace" or vrm:
        for document in (was, now):
            document.get("extensions", {}).get("VRM", {}).pop("humanoid", None)  # names the new joints: its own test
            document.get("extensions", {}).get("VRM", {}).get("firstPerson", {}).pop("firstPersonBone", None)
            document.get("extensions", {}).get("VRMC_vrm", {}).pop("humanoid", None)
    if vrm:
        for document in (was, now):
            for key in ("extensionsUsed", "extensionsRequired"):
                document[key] = [name for name in document.get(key, []) if name not in ("VRM", "VRMC_vrm")]
            extensions = document.setdefault("extensions", {})
            extensions.pop("VRM", None)
            extensions.pop("VRMC_vrm", None)
    assert {k: v for k, v in was.items() if k not in changed} == {k: v for k, v in now.items() if k not in changed}
