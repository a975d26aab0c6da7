"""The baseline network: contract (shapes, finite, every parameter learns, deterministic) and the laws it must obey."""

import jittor as jt
import numpy as np
import pytest

from PCT.pct_model import PCTConfig, PCTModel, paper, small, tiny
from PCT.point_cloud_transformer import point_features
from PCT.rig import Rig


@pytest.fixture(scope="module", params=[22, 52])
def model(request) -> PCTModel:
    jt.set_global_seed(3)
    net = PCTModel(tiny(request.param))
    net.eval()
    return net


def cloud(batch: int, points: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points_BN3 = rng.uniform(-1, 1, (batch, points, 3)).astype("float32")
    normals_BN3 = rng.normal(size=(batch, points, 3))
    normals_BN3 /= np.linalg.norm(normals_BN3, axis=2, keepdims=True)
    return points_BN3, normals_BN3.astype("float32")


def run(net: PCTModel, points_BN3, normals_BN3=None, query_BQ3=None, query_normals_BQ3=None) -> list[np.ndarray]:
    arrays = [None if a is None else jt.array(a) for a in (points_BN3, normals_BN3, query_BQ3, query_normals_BQ3)]
    with jt.no_grad():
        return [v.numpy() for v in net(*arrays) if v is not None]


def test_shapes_and_weights(model):
    points_BN3, normals_BN3 = cloud(2, 40)
    initial, joints, skin = run(model, points_BN3, normals_BN3, points_BN3[:, :7], normals_BN3[:, :7])
    count = model.cfg.joint_count
    assert initial.shape == joints.shape == (2, count, 3) and skin.shape == (2, 7, count)
    assert np.isfinite(joints).all() and (skin >= 0).all()
    np.testing.assert_allclose(skin.sum(2), 1, atol=1e-6)
    assert run(model, points_BN3)[2].shape == (2, 40, count)


def test_answers_with_a_rig(model):
    assert isinstance(model(jt.array(cloud(1, 12)[0])), Rig)


def test_encode_then_decode_is_execute(model):
    points_BN3, normals_BN3 = cloud(2, 30)
    _, joints, skin = run(model, points_BN3, normals_BN3)
    with jt.no_grad():
        encoding = model.encode(jt.array(points_BN3), jt.array(normals_BN3))
        parts = [model.decode_skin(encoding, jt.array(points_BN3[:, a:b]), jt.array(normals_BN3[:, a:b])).numpy()
                 for a, b in ((0, 11), (11, 30))]
    np.testing.assert_allclose(encoding.joints_BJ3.numpy(), joints, atol=1e-6)
    np.testing.assert_allclose(np.concatenate(parts, 1), skin, atol=1e-6)


def test_every_parameter_learns():
    net = PCTModel(tiny(22))
    points_BN3, normals_BN3 = cloud(2, 40)
    rng = np.random.default_rng(1)
    rig = net(jt.array(points_BN3), jt.array(normals_BN3))
    target = jt.array(rng.normal(size=rig.joints_BJ3.shape).astype("float32"))
    weight = jt.array(rng.normal(size=rig.skin_BQJ.shape).astype("float32"))
    loss = (rig.joints_BJ3 * target).sum() + (rig.skin_BQJ * weight).sum()
    named = net.named_parameters()
    for (name, _), grad in zip(named, jt.grad(loss, [p for _, p in named])):
        values = grad.numpy()
        assert np.isfinite(values).all() and abs(values).max() > 1e-6, f"{name} never learns"


def test_skin_does_not_bend_joints():
    net = PCTModel(tiny(22))
    rig = net(jt.array(cloud(1, 20)[0]))
    grad = jt.grad((rig.skin_BQJ * jt.randn(rig.skin_BQJ.shape)).sum(), net.joint_out.weight)
    assert abs(grad.numpy()).max() == 0


def test_same_bytes_twice(model):
    points_BN3, normals_BN3 = cloud(1, 64)
    for first, second in zip(run(model, points_BN3, normals_BN3), run(model, points_BN3, normals_BN3)):
        assert first.tobytes() == second.tobytes()


def test_permuting_points_permutes_weights(model):
    points_BN3, normals_BN3 = cloud(1, 50)
    order = np.random.default_rng(5).permutation(50)
    _, joints, skin = run(model, points_BN3, normals_BN3)
    _, joints_moved, skin_moved = run(model, points_BN3[:, order], normals_BN3[:, order])
    np.testing.assert_allclose(joints_moved, joints, atol=1e-5)
    np.testing.assert_allclose(skin_moved, skin[:, order], atol=1e-5)


def test_a_sample_does_not_feel_its_batch(model):
    points_BN3, normals_BN3 = cloud(3, 50)
    together = run(model, points_BN3, normals_BN3)
    alone = run(model, points_BN3[1:2], normals_BN3[1:2])
    for many, one in zip(together, alone):
        np.testing.assert_allclose(many[1:2], one, atol=1e-5)


def test_point_features_by_hand():
    points_BN3, normals_BN3 = jt.array([[[1, 2, 3], [4, 5, 6]]]).float32(), jt.array([[[0, 0, -1], [0, 0, 0]]]).float32()
    assert point_features(points_BN3, normals_BN3).tolist() == [[[1, 2, 3, 0, 0, -1, 1], [4, 5, 6, 0, 0, 0, 0]]]
    assert point_features(points_BN3, None).tolist() == [[[1, 2, 3, 0, 0, 0, 0], [4, 5, 6, 0, 0, 0, 0]]]


def test_absent_normals_are_zero_normals(model):
    points_BN3, normals_BN3 = cloud(1, 30)
    absent, zero = run(model, points_BN3), run(model, points_BN3, np.zeros_like(normals_BN3))
    assert absent[1].tobytes() == zero[1].tobytes()
    assert abs(run(model, points_BN3, normals_BN3)[1] - absent[1]).max() > 1e-4


@pytest.mark.parametrize("points", [1, 2, 5])
def test_very_few_points(model, points):
    _, joints, skin = run(model, cloud(1, points)[0])
    assert np.isfinite(joints).all() and np.isfinite(skin).all()


def test_all_points_in_one_place(model):
    _, joints, skin = run(model, np.zeros((1, 16, 3), "float32"))
    assert np.isfinite(joints).all() and np.isfinite(skin).all()


@pytest.mark.parametrize("points, normals, message", [((4, 3), None, r"\(B, N, 3\)"), ((1, 4, 2), None, r"\(B, N, 3\)"),
                                                      ((1, 4, 3), (1, 5, 3), "normals must be")])
def test_refuses_what_it_cannot_do(model, points, normals, message):
    with pytest.raises(ValueError, match=message):
        model.encode(jt.zeros(points), None if normals is None else jt.zeros(normals))


def test_presets_differ_in_size_only():
    assert paper(22) == PCTConfig(joint_count=22)
    assert tiny(22).width < small(22).width < paper(22).width
