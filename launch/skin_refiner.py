"""A surface refiner beside a checkpoint: what was taught by launch/teach_refiner.py, and what it does to a rig's weights.

It lies in the folder `refiner` of the checkpoint's own, a model like it, and names the network whose answers it learned from.
Letters: V vertices, U distinct points, F faces, J joints.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from geometry.mesh_batch import MeshBatch
from geometry.topology import welded
from launch.build import REFINERS, build_model, fill, fingerprint
from launch.checkpoint import load_model, save_model
from launch.config import to_dict
from launch.rig_result import RigResult
from models.surface_refiner import Pairs, SurfaceRefiner, pairs_of

FOLDER = "refiner"
MOST_POINTS = 200_000       # of a mesh that is refined: its pairs take 11 kB a point, 2 GB at this limit


class Beside(NamedTuple):
    """digest: of the refiner, so that rigs that it has seen are known from others."""
    net: SurfaceRefiner
    digest: str


def load_refiner(checkpoint: str | Path, of: str) -> Beside | None:
    """What lies beside a checkpoint with this fingerprint; None where nothing does.

    Raises: ValueError naming the folder, for one that is damaged or was taught on another network.
    """
    folder = Path(checkpoint) / FOLDER
    if not folder.exists():
        return None
    mend = "teach it again with bash launch/teach_refiner.sh, or remove it"
    try:
        params, config = load_model(folder)
        net = build_model(config, REFINERS)
        fill(net, params, str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{folder} holds no refiner ({error}); {mend}") from error
    if config.get("of") != of:
        raise ValueError(f"{folder} was taught on another network; {mend}")
    net.eval()
    return Beside(net, fingerprint(params, config))


def save_refiner(checkpoint: str | Path, net: SurfaceRefiner, of: str, about: dict) -> Path:
    """Write it where load_refiner looks. of: the checkpoint's fingerprint; about: how it was taught, for the reader. Raises: WriteError."""
    folder = Path(checkpoint) / FOLDER
    params = {name: var.numpy() for name, var in net.named_parameters()}
    save_model(folder, params, {"model": "surface-refiner", "network": to_dict(net.cfg), "of": of}, about)
    return folder


class Refinable(NamedTuple):
    """A rig's weights as the refiner sees them. vertex_U: the first vertex at each point; place_V: the point of each vertex."""
    pairs: Pairs
    vertex_U: np.ndarray
    place_V: np.ndarray


def refinable(vertices_V3: np.ndarray, faces_F3: np.ndarray, joints_J3: np.ndarray, parents: tuple[int | None, ...],
              skin_VJ: np.ndarray) -> Refinable:
    """vertices and joints in one upright frame; vertices at one place have one row of weights."""
    points_U3, place_V = welded(vertices_V3)
    _, vertex_U = np.unique(place_V, return_index=True)
    mesh = MeshBatch.of([points_U3], [place_V[faces_F3]])
    return Refinable(pairs_of(mesh, np.float64(joints_J3), parents, np.float32(skin_VJ[vertex_U])), vertex_U, place_V)


def refine(net: SurfaceRefiner, rig: RigResult, faces_F3: np.ndarray | None) -> RigResult:
    """The rig with refined weights; a cloud and a mesh of more than MOST_POINTS vertices keep theirs."""
    if faces_F3 is None or not len(faces_F3) or len(rig.box_vertices_V3) > MOST_POINTS:
        return rig
    seen = refinable(rig.box_vertices_V3, faces_F3, rig.box_joints_J3, rig.parents, rig.skin_VJ)
    skin_UJ = np.float64(net.refined(seen.pairs, len(rig.names)))
    return rig._replace(skin_VJ=np.float32(skin_UJ / skin_UJ.sum(1, keepdims=True))[seen.place_V])
