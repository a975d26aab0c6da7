"""The predict door with a witness: what it handed out is kept as arrays, so that files can be held against it.

    python -m benchmarks.acceptance.witness FOLDER --input hero.glb --dialect vrm ...      all but FOLDER goes to predict_joint_model.py

FOLDER/<file's stem>.npz: the figure (vertices, up) and the contest's rig with polished weights, in the file's frame, before any dialect.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import predict_joint_model
from rigging.rig import CharacterRig


class Handed(NamedTuple):
    """vertices_V3 float32 and rig: in the frame of the file; up: its axis, "y" or "z". The rig has the contest's joints."""
    vertices_V3: np.ndarray
    up: str
    rig: CharacterRig


def name_of(source: Path) -> str:
    """Of a file, or of the GLB that an FBX file became."""
    return Path(source.stem).stem if source.name.lower().endswith(".fbx.glb") else source.stem


def keep(path: Path, handed: Handed) -> None:
    rig = handed.rig
    np.savez_compressed(path, vertices=handed.vertices_V3, up=handed.up, joints=rig.joints_J3, names=np.array(rig.names), skin=rig.skin_VJ,
                        parents=[-1 if parent is None else parent for parent in rig.parents], to_network=rig.to_network_33)


def kept(path: Path) -> Handed:
    with np.load(path) as data:
        parents = tuple(None if parent < 0 else parent for parent in data["parents"].tolist())
        rig = CharacterRig(data["joints"], parents, tuple(data["names"].tolist()), data["skin"], data["to_network"])
        return Handed(data["vertices"], str(data["up"]), rig)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)

    def watched(source, asset, result, wishes):
        delivered = deliver(source, asset, result, wishes)
        keep(folder / f"{name_of(Path(source))}.npz", Handed(asset.vertices_V3, asset.up, delivered.rig))
        return delivered
    from launch.runtime import start_jittor
    start_jittor()  # before what imports it; the door's own start then finds it running
    from launch import rig_folder
    deliver = rig_folder.deliver
    rig_folder.deliver = watched
    return predict_joint_model.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
