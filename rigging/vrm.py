"""A rigged scene as a VRM 1.0 avatar: the humanoid's bones named, the figure in T pose on the origin, looking along +Z.

Spec: VRM Consortium, VRMC_vrm 1.0 (humanoid, meta, T-pose), https://github.com/vrm-c/vrm-specification. Vertices and bind matrices stay
as they are: the T pose stands in the joints' nodes, the place on the origin in one node above everything.
Letters: V vertices, J joints.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.format import BODY_NAMES, DIALECTS, FULL_NAMES, FULL_PARENTS
from dataset.sources.bone_names import match_bones
from geometry.kinematics import matrix_to_quaternion
from geometry.similarity import Y_UP_TO_Z_UP
from geometry.skinning import linear_blend_skinning
from rigging.animation import body_nodes, body_turns, local_rotations, scene_to_network
from rigging.node_tree import NodeTree
from rigging.rig import CharacterRig
from rigging.scene_binding import RiggedScene

LICENCE = "https://vrm.dev/licenses/1.0/"  # the only one that the specification allows in licenseUrl
OPTIONAL = {"chest", "upper_chest", "neck", "l_shoulder", "r_shoulder", "l_toe_base", "r_toe_base", *FULL_NAMES[len(BODY_NAMES):]}
CHOICES = {"avatarPermission": ("onlyAuthor", "onlySeparatelyLicensedPerson", "everyone"),
           "commercialUsage": ("personalNonProfit", "personalProfit", "corporation"), "creditNotation": ("required", "unnecessary"),
           "modification": ("prohibited", "allowModification", "allowModificationRedistribution")}
_VRM0_TERMS = ("licenseName", "allowedUserName", "commercialUssageName", "otherPermissionUrl")
HEIGHTS = (0.3, 4.0)  # metres; outside, the file is likely in other units
_STILL = 1e-6         # of a rotation's entries, and of the height: what counts as standing already


@dataclass(frozen=True)
class VrmMeta:
    """What the model's owner says of it. Nothing is claimed by default: unknown author, and the specification's strictest terms.

    Raises: ValueError for an empty name, no author, or a permission that the specification does not know.
    """
    name: str = "unnamed"
    authors: tuple[str, ...] = ("unknown",)
    version: str = ""
    copyrightInformation: str = ""
    avatarPermission: str = "onlyAuthor"
    commercialUsage: str = "personalNonProfit"
    creditNotation: str = "required"
    modification: str = "prohibited"
    allowRedistribution: bool = False
    otherLicenseUrl: str = ""

    def __post_init__(self):
        if not self.name or not self.authors or not all(self.authors):
            raise ValueError("a VRM needs a name and at least one author, none of them empty")
        for key, choices in CHOICES.items():
            if getattr(self, key) not in choices:
                raise ValueError(f"{key} is {getattr(self, key)!r}; the VRM specification knows {', '.join(choices)}")

    def as_json(self) -> dict:
        """The meta object; what is empty is left out."""
        said = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items() if value != ""}
        return said | {"licenseUrl": LICENCE}


def vrm_extension(scene: RiggedScene, rig: CharacterRig, vertices_V3: np.ndarray, meta: VrmMeta | None = None) -> None:
    """Make the scene a VRM 1.0: T pose, standing on the origin, VRMC_vrm. Bake clips before; write the file as .vrm after.

    rig, vertices_V3: as given to `add_rig` or `fresh_scene`; the vertices say where the soles are. meta None: what the file's own VRM
    extension says of its title, author and licence, else VrmMeta(). A VRM 0.x extension is removed (its materials and springs are not
    translated); of a VRM 1.0 everything but humanoid stays, its meta too unless one is given.
    Raises: ValueError or AssetError before anything is changed, where the skeleton breaks the specification: a required bone
    missing, one node for two bones, a parent that is not the right one.
    """
    tree = NodeTree(scene.file)
    bones = human_bones(scene, rig, tree)
    with scene.file.guard():
        _stand_as_vrm(scene, rig, vertices_V3, tree, bones["hips"])
        _extend(scene, bones, meta)


def _stand_as_vrm(scene: RiggedScene, rig: CharacterRig, vertices_V3: np.ndarray, tree: NodeTree, hips: int) -> None:
    to_network_33 = scene_to_network(scene, rig, tree)
    t_pose_TJ33 = np.tile(np.eye(3), (1, len(BODY_NAMES), 1, 1))
    rotations = local_rotations(body_nodes(scene, rig), tree, body_turns(scene, rig, tree, t_pose_TJ33))
    rest_V3 = np.asarray(vertices_V3, np.float64) @ np.asarray(rig.to_network_33, np.float64).T @ to_network_33
    before = [tree.world(node) for node in scene.joints]
    for node, local_T33 in rotations.items():
        if np.abs(local_T33[0] - tree.rotation(node)).max() > _STILL:
            tree.split(node)
            tree.nodes[node]["rotation"] = (matrix_to_quaternion(local_T33[0]) + 0.0).tolist()
    tree = NodeTree(scene.file)
    moved = np.stack([tree.world(node) @ np.linalg.inv(was_44) for node, was_44 in zip(scene.joints, before)])
    _stand(scene, to_network_33, linear_blend_skinning(rest_V3, rig.skin_VJ, moved), tree.world(hips)[:3, 3])


def write_vrm(path: str | Path, scene: RiggedScene) -> None:
    """The GLB under a name that ends in .vrm. Raises: ValueError for another ending, or a scene that is no VRM 1.0 yet."""
    if Path(path).suffix.lower() != ".vrm" or "VRMC_vrm" not in scene.file.document.get("extensions", {}):
        raise ValueError(f"{Path(path).name}: a VRM is a scene after vrm_extension, in a file that ends in .vrm")
    scene.file.write(path)


def human_bones(scene: RiggedScene, rig: CharacterRig, tree: NodeTree) -> dict[str, int]:
    """VRM's bone -> node, in the specification's words. An optional bone that shares its node with another is left out.

    Raises: ValueError or AssetError where the skeleton breaks the specification's humanoid.
    """
    found = match_bones(rig.names)
    node_of: dict[str, int] = {}
    for name in sorted(FULL_NAMES, key=lambda name: (name in OPTIONAL, FULL_NAMES.index(name))):
        if name not in found:
            if name not in OPTIONAL:
                raise ValueError(f"a VRM needs the bone {DIALECTS['vrm'][name]}, and no joint of the rig is called so")
            continue
        node = scene.joints[found[name]]
        if node not in node_of.values():
            node_of[name] = node
        elif name not in OPTIONAL:
            raise tree.fail(f"one node would be two bones of the VRM, one of them {DIALECTS['vrm'][name]}: replace the rig")
    names = [name for name in FULL_NAMES if name in node_of and _chain_is_there(name, node_of)]
    bones = {name: node_of[name] for name in names}
    for name in names:
        _check_parent(name, bones, tree)
        if (np.array(tree.nodes[bones[name]].get("scale", (1, 1, 1))) <= 0).any():
            raise tree.fail(f"bone {DIALECTS['vrm'][name]} has a scale that is not positive, which VRM forbids: apply it")
    return {DIALECTS["vrm"][name]: node for name, node in bones.items()}


def _chain_is_there(name: str, node_of: dict[str, int]) -> bool:
    """upperChest needs chest, a finger's second and third bone those before them (all else: "Needs Parent Bone" is no)."""
    if name == "upper_chest":
        return "chest" in node_of
    if "_hand_" in name and not name.endswith("1"):
        return all(f"{name[:-1]}{k}" in node_of for k in range(1, int(name[-1])))
    return True


def _check_parent(name: str, bones: dict[str, int], tree: NodeTree) -> None:
    """The nearest human bone above a bone must be its parent, or where that is missing the parent's parent."""
    wanted = FULL_PARENTS[FULL_NAMES.index(name)]
    while wanted is not None and FULL_NAMES[wanted] not in bones:
        wanted = FULL_PARENTS[wanted]
    above = tree.nearest(tree.parent[bones[name]], set(bones.values()))
    if above != (None if wanted is None else bones[FULL_NAMES[wanted]]):
        raise tree.fail(f"bone {DIALECTS['vrm'][name]} does not hang below the bone that the VRM humanoid wants: replace the rig")


def _stand(scene: RiggedScene, to_network_33: np.ndarray, vertices_V3: np.ndarray, hips_3: np.ndarray) -> None:
    """Put one node above the scene that turns the figure to +Z, its hips over the origin and its lowest vertex on the ground.

    Skinned meshes at the top stay there: their joints alone say where they are, and validators want them at the top.
    """
    turn_33 = Y_UP_TO_Z_UP.T @ to_network_33
    height_V = vertices_V3 @ turn_33[1]
    tall = float(np.ptp(height_V))
    if not HEIGHTS[0] <= tall <= HEIGHTS[1]:
        scene.notes.append(f"the figure is {tall:.3g} tall, and VRM counts in metres: scale the file if that is not meant")
    hips_3 = turn_33 @ hips_3
    shift_3 = -np.array([hips_3[0], height_V.min(), hips_3[2]])
    upright = np.abs(turn_33 - np.eye(3)).max() <= _STILL
    if upright and np.abs(shift_3).max() <= _STILL * tall:
        return
    document = scene.file.document
    node = {"name": "VRM", "translation": (shift_3 + 0.0).tolist()}
    if not upright:
        node["rotation"] = (matrix_to_quaternion(turn_33) + 0.0).tolist()
    if not document.get("scenes"):  # then every node is shown
        below = {child for entry in document["nodes"] for child in entry.get("children", [])}
        document |= {"scene": 0, "scenes": [{"nodes": [k for k in range(len(document["nodes"])) if k not in below]}]}
    shown = document["scenes"][document.get("scene", 0)]
    stay = [k for k in shown["nodes"] if "skin" in document["nodes"][k] and not document["nodes"][k].get("children")]
    node["children"] = [k for k in shown["nodes"] if k not in stay]
    shown["nodes"] = [scene.file.append("nodes", node), *stay]


def _extend(scene: RiggedScene, bones: dict[str, int], meta: VrmMeta | None) -> None:
    document = scene.file.document
    extensions = document.setdefault("extensions", {})
    old, new = extensions.pop("VRM", None), extensions.get("VRMC_vrm", {})
    if old is not None:
        for key in ("extensionsUsed", "extensionsRequired"):
            document[key] = [name for name in document.get(key, []) if name != "VRM"]
            if not document[key]:
                del document[key]
        scene.notes.append("the VRM 0.x extension is removed: its materials, springs and expressions are not translated")
    said = meta.as_json() if meta else new.get("meta") or (meta_of_vrm0(old) if old is not None else VrmMeta().as_json())
    extensions["VRMC_vrm"] = new | {"specVersion": "1.0", "meta": said,
                                    "humanoid": {"humanBones": {bone: {"node": node} for bone, node in bones.items()}}}
    scene.file.use_extension("VRMC_vrm")


def meta_of_vrm0(extension: dict) -> dict:
    """What a VRM 0.x says of itself, as far as VRM 1.0 has a place for it; terms stay the strictest, the old ones are quoted."""
    old = extension.get("meta") if isinstance(extension.get("meta"), dict) else {}
    text = {key: value.strip() for key, value in old.items() if isinstance(value, str) and value.strip()}
    said = VrmMeta(text.get("title", "unnamed"), (text.get("author", "unknown"),), text.get("version", ""),
                   otherLicenseUrl=text.get("otherLicenseUrl", "")).as_json()
    terms = [f"{key}: {text[key]}" for key in _VRM0_TERMS if key in text]
    extra = {"thirdPartyLicenses": "VRM 0.x terms of this model: " + ", ".join(terms)} if terms else {}
    contact = {"contactInformation": text["contactInformation"]} if "contactInformation" in text else {}
    return said | extra | contact
