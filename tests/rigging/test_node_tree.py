"""The node tree: matrices taken apart and put together again, uneven scales and broken trees refused."""

import numpy as np
import pytest

from dataset.asset import AssetError
from geometry.kinematics import matrix_to_quaternion, rotvec_to_matrix
from rigging.gltf_file import GltfFile
from rigging.node_tree import NodeTree

TURN_33 = rotvec_to_matrix(np.array([0.4, -1.1, 0.3]))


def tree(*nodes: dict) -> NodeTree:
    return NodeTree(GltfFile({"asset": {"version": "2.0"}, "nodes": list(nodes), "scenes": [{"nodes": [0]}]}))


def matrix_of(linear_33) -> list[float]:
    out_44 = np.eye(4)
    out_44[:3, :3], out_44[:3, 3] = linear_33, (1, 2, 3)
    return out_44.T.ravel().tolist()


def test_by_hand():
    # a quarter turn about Z at (1, 0, 0), twice as large; below it a node one step along its X, which lies along the world's Y
    half = float(np.sqrt(0.5))
    above = {"children": [1], "translation": [1, 0, 0], "rotation": [0, 0, half, half], "scale": [2, 2, 2]}
    found = tree(above, {"translation": [1, 0, 0]})
    np.testing.assert_allclose(found.world(1)[:3, 3], (1, 2, 0), atol=1e-12)
    np.testing.assert_allclose(found.frame(1), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    assert found.parent == {0: None, 1: 0}
    assert found.nearest(1, {0}) == 0 and found.nearest(None, {0}) is None and found.nearest(1, {}) is None
    assert (found.world(None) == np.eye(4)).all() and (found.frame(None) == np.eye(3)).all()


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 3, 0.5), (-2, -2, -2)])
def test_a_matrix_becomes_translation_rotation_and_scale(scale):
    entry = {"matrix": matrix_of(TURN_33 * scale)}
    found = tree(entry)
    before_44 = found.local(0)
    np.testing.assert_allclose(found.rotation(0), TURN_33, atol=1e-9)
    found.split(0)
    assert set(entry) == {"translation", "rotation", "scale"}
    np.testing.assert_allclose(found.local(0), before_44, atol=1e-9)


def test_mirrored_scales_keep_the_rotation_they_were_written_with():
    entry = {"rotation": matrix_to_quaternion(TURN_33).tolist(), "scale": [-1, 1, 1]}
    found = tree(entry)
    np.testing.assert_allclose(found.rotation(0), TURN_33, atol=1e-9)
    np.testing.assert_allclose(found.frame(0), TURN_33 * (-1, 1, 1), atol=1e-9)
    found.split(0)
    assert set(entry) == {"rotation", "scale"}


def test_what_is_refused():
    shear_33 = np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(AssetError, match="no rotation and scale"):
        tree({"matrix": matrix_of(shear_33)}).rotation(0)
    with pytest.raises(AssetError, match="no rotation and scale"):
        tree({"scale": [0, 1, 1]}).rotation(0)
    for linear_33 in (shear_33, np.diag([1.0, 2, 1]), np.zeros((3, 3))):
        with pytest.raises(AssetError, match="scaled unevenly"):
            tree({"matrix": matrix_of(linear_33)}).frame(0)
    with pytest.raises(AssetError, match="cycle"):
        tree({}, {"children": [2]}, {"children": [1]})
    with pytest.raises(AssetError, match="two parents"):
        tree({"children": [2]}, {"children": [2]}, {})
