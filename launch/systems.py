"""What can be measured: anything that answers an asset with a BoxRig.

A checkpoint (FromPredictor), a folder of predictions (FromFolder), or the mean skeleton (MeanSkeleton).
Letters: J joints, V vertices.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset, AssetError
from geometry.similarity import Similarity
from launch.batch_predict import safe_name
from launch.predictor import Predictor, box_similarity
from models import metrics

MATCH = 1e-3  # box units: what should be a similarity of the same points must be one up to this


class BoxRig(NamedTuple):
    """An answer, positions in the asset's unit box. skin_VJ: None where there are no weights. initial_J3: the joints before the network
    refined them. expected_error_J: the distance from the truth that the network expects, box units. None: not told."""
    joints_J3: np.ndarray
    skin_VJ: np.ndarray | None = None
    initial_J3: np.ndarray | None = None
    expected_error_J: np.ndarray | None = None


System = Callable[[Asset], tuple]  # BoxRig, or its first fields


class FromPredictor:
    """A checkpoint."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    def __call__(self, asset: Asset) -> BoxRig:
        rig = self.predictor.predict(asset)
        return BoxRig(rig.box_joints_J3, rig.skin_VJ, rig.box_initial_J3, rig.expected_error_J)


class FromFolder:
    """predict_joint/<run>: any similarity common to joints and transformed_vertices is undone.

    Raises (when called): AssetError for a prediction that is absent or belongs to other vertices.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder of predictions")

    def __call__(self, asset: Asset) -> BoxRig:
        folder = self.folder / safe_name(asset.cls or "other") / safe_name(str(asset.id))
        try:
            joints_J3, skin_VJ, vertices_V3 = (np.load(folder / f"{name}.npy", allow_pickle=False)
                                               for name in ("predict_skeleton", "predict_skin", "transformed_vertices"))
        except (OSError, ValueError) as error:
            raise AssetError(f"{asset.source}: no usable prediction in {folder} ({error})") from error
        box_V3 = box_similarity(asset).apply(asset.vertices_V3)
        if vertices_V3.shape != box_V3.shape or len(skin_VJ) != len(box_V3):
            raise AssetError(f"{asset.source}: {folder} holds {len(vertices_V3)} vertices and {len(skin_VJ)} rows of weights, "
                             f"the asset has {len(box_V3)} vertices")
        to_box = align(vertices_V3, box_V3)
        off = np.abs(to_box.apply(vertices_V3) - box_V3).max()
        if off > MATCH:
            raise AssetError(f"{asset.source}: {folder}/transformed_vertices.npy is no similarity of the asset's vertices "
                             f"(off by {off:.2g} of the box); it was predicted from another file or pose")
        return BoxRig(to_box.apply(joints_J3), skin_VJ)


class MeanSkeleton:
    """The same joints for everybody, no weights: the floor that a network must clear."""

    def __init__(self, joints_by_count: dict[int, np.ndarray]):
        self.joints_by_count = joints_by_count

    def __call__(self, asset: Asset) -> BoxRig:
        fitting = [count for count in self.joints_by_count if count <= asset.joint_count]
        if not fitting:
            raise AssetError(f"{asset.source}: has {asset.joint_count} joints, the mean skeleton knows {sorted(self.joints_by_count)}")
        return BoxRig(self.joints_by_count[max(fitting)])

    @staticmethod
    def of(assets: Iterable[Asset]) -> "MeanSkeleton":
        """The mean over assets at rest in their boxes; 52-joint ones count for 22 too. Raises: ValueError without any joints."""
        boxed: dict[int, list[np.ndarray]] = {}
        for asset in assets:
            if asset.joint_count in (22, 52):
                joints_J3 = box_similarity(asset).apply(asset.joints_J3)
                for count in {22, asset.joint_count}:
                    boxed.setdefault(count, []).append(joints_J3[:count])
        if not boxed:
            raise ValueError("no asset with 22 or 52 joints to average")
        return MeanSkeleton({count: metrics.mean_skeleton(np.stack(joints)) for count, joints in boxed.items()})

    @staticmethod
    def read(path: Path) -> "MeanSkeleton":
        """{"22": [[x, y, z], ...], "52": [...]} in box units. Raises: ValueError naming the file."""
        try:
            data = {int(count): np.asarray(joints, np.float64) for count, joints in json.loads(path.read_text("utf-8")).items()}
            if not data or any(joints.shape != (count, 3) for count, joints in data.items()):
                raise ValueError("each count needs that many [x, y, z]")
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{path} is no mean skeleton ({{"22": [[x, y, z], ...]}}): {error}') from error
        return MeanSkeleton(data)

    def write(self, path: Path) -> None:
        data = {str(count): np.round(joints, 6).tolist() for count, joints in sorted(self.joints_by_count.items())}
        path.write_text(json.dumps(data) + "\n", encoding="utf-8")


def align(source_P3: np.ndarray, target_P3: np.ndarray) -> Similarity:
    """The least-squares similarity source -> target of matched points. Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", PAMI 1991."""
    source_P3, target_P3 = np.asarray(source_P3, np.float64), np.asarray(target_P3, np.float64)
    from_3, to_3 = source_P3.mean(0), target_P3.mean(0)
    source_P3, target_P3 = source_P3 - from_3, target_P3 - to_3
    left_33, strength_3, right_33 = np.linalg.svd(target_P3.T @ source_P3)
    sign_3 = np.array([1, 1, np.sign(np.linalg.det(left_33 @ right_33))])
    spread = (source_P3 ** 2).sum()
    if not spread > 0:
        raise AssetError("all points that should match are in one place")
    rotation_33 = (left_33 * sign_3) @ right_33
    scale = float((strength_3 * sign_3).sum() / spread)
    if not scale > 0:
        raise AssetError("the points that should match have nothing in common")
    return Similarity(rotation_33, scale, from_3 - rotation_33.T @ to_3 / scale)
