"""The contract of the whole network: shapes, gradients, walls between its parts, laws, and one switch for each named part."""

from dataclasses import replace

import jittor as jt
import numpy as np
import pytest

from launch.presets import tiny
from models.joint_model import JointModel
from models.losses import RigLoss

POINTS, QUERIES = 96, 40


def cloud(seed=0, batch=2):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, size=(batch, POINTS, 3)).astype("float32")
    normals = rng.normal(size=points.shape).astype("float32")
    return points, normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def network(joints=52, **change):
    jt.set_global_seed(1)
    return JointModel(replace(tiny(joints).network, **change))


def rig_of(model, points, normals):
    return [part.numpy() for part in model(jt.array(points), jt.array(normals)) if part is not None]


def batch_for(points, normals, joints=52, seed=3):
    rng = np.random.default_rng(seed)
    skin = rng.dirichlet(np.ones(joints), size=(len(points), QUERIES)).astype("float32")
    turn = np.linalg.qr(rng.normal(size=(len(points), joints, 3, 3)))[0].astype("float32")
    return {"points": points, "normals": normals, "query": points[:, :QUERIES], "query_normals": normals[:, :QUERIES], "skin": skin,
            "joints": rng.uniform(-1, 1, size=(len(points), joints, 3)).astype("float32"), "rotations": turn,
            "joint_mask": np.ones((len(points), joints), "float32"), "skin_mask": np.ones(len(points), "float32"),
            "upright": np.ones(len(points), "float32")}


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.mark.parametrize("joints", [22, 52])
def test_shapes_and_weights(joints):
    initial, refined, skin, expected = rig_of(network(joints), *cloud())
    assert expected.shape == (2, joints) and (expected > 0).all()
    assert initial.shape == refined.shape == (2, joints, 3) and skin.shape == (2, POINTS, joints)
    assert all(np.isfinite(part).all() for part in (initial, refined, skin))
    assert (skin >= 0).all()
    np.testing.assert_allclose(skin.sum(-1), 1, atol=1e-5)


def test_every_parameter_learns(model):
    points, normals = cloud()
    normals[1] = 0  # one sample without normals, so that the learned stand-in is used
    batch = {k: jt.array(v) for k, v in batch_for(points, normals).items()}
    parts = RigLoss(52, tiny().loss)(model(*(batch[k] for k in ("points", "normals", "query", "query_normals"))), batch)
    named = dict(model.named_parameters())
    for name, grad in zip(named, jt.grad(parts["total"], list(named.values()))):
        assert np.isfinite(grad.numpy()).all() and abs(grad.numpy()).max() > 0, f"{name} never learns"


def test_refinement_does_not_teach_the_regressor(model):
    points, normals = cloud()
    code = model.encode(jt.array(points), jt.array(normals))
    head = dict(model.head.named_parameters())
    for grad in jt.grad(code.joints_BJ3.sqr().sum(), list(head.values())):
        assert abs(grad.numpy()).max() == 0
    for grad in jt.grad(code.initial_BJ3.sqr().sum(), list(head.values())):
        assert abs(grad.numpy()).max() > 0


def test_a_round_begins_where_the_last_one_ended(model):
    points, normals = (jt.array(part) for part in cloud())
    levels, code_BG = model.backbone(points, normals)
    anchors, refiner = model.fuse(levels, code_BG), model.refiner
    initial = model.head(anchors.xyz_BN3, anchors.feat_BNC, code_BG)
    first = refiner.once(initial, anchors, levels[0])
    second = refiner.once(first.joints_BJ3, anchors, levels[0])
    assert refiner.rounds == 2 and abs(second.joints_BJ3.numpy() - first.joints_BJ3.numpy()).max() > 0
    assert (refiner(initial, anchors, levels[0]).joints_BJ3.numpy() == second.joints_BJ3.numpy()).all()


def test_skin_does_not_bend_the_joints(model):
    points, normals = cloud()
    code = model.encode(jt.array(points), jt.array(normals))
    skin = model.decode_skin(code, jt.array(points))
    delta = dict(model.refiner.to_delta.named_parameters())
    for grad in jt.grad(skin.sqr().sum(), list(delta.values())):
        assert abs(grad.numpy()).max() == 0


def test_permuting_points_permutes_weights_and_keeps_joints(model):
    points, normals = cloud()
    order = np.random.default_rng(5).permutation(POINTS)
    _, joints, skin, _ = rig_of(model, points, normals)
    _, joints_moved, skin_moved, _ = rig_of(model, points[:, order], normals[:, order])
    np.testing.assert_allclose(joints_moved, joints, atol=2e-5)
    np.testing.assert_allclose(skin_moved, skin[:, order], atol=2e-5)


def test_batch_mates_do_not_matter(model):
    points, normals = cloud(batch=3)
    _, joints, skin, _ = rig_of(model, points, normals)
    _, alone, skin_alone, _ = rig_of(model, points[1:2], normals[1:2])
    np.testing.assert_allclose(alone[0], joints[1], atol=1e-5)
    np.testing.assert_allclose(skin_alone[0], skin[1], atol=1e-5)


def test_same_input_same_bytes(model):
    first, again = rig_of(model, *cloud()), rig_of(model, *cloud())
    assert all((a == b).all() for a, b in zip(first, again))


def test_missing_normals_are_zeros(model):
    points, _ = cloud()
    with_zeros = rig_of(model, points, np.zeros_like(points))
    without = [part.numpy() for part in model(jt.array(points))]
    assert all((a == b).all() for a, b in zip(with_zeros, without))


def test_queries_are_decoded_one_by_one(model):
    """Chunks of queries give what all at once give."""
    points, normals = cloud()
    code = model.encode(jt.array(points), jt.array(normals))
    whole = model.decode_skin(code, jt.array(points), jt.array(normals)).numpy()
    parts = [model.decode_skin(code, jt.array(points[:, cut]), jt.array(normals[:, cut])).numpy()
             for cut in (slice(0, 30), slice(30, POINTS))]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-6)


SWITCHES = {
    "no Fourier embedding": lambda c: replace(c, backbone=replace(c.backbone, octaves=0)),
    "no normals": lambda c: replace(c, backbone=replace(c.backbone, use_normals=False)),
    "no self-attention": lambda c: replace(c, backbone=replace(c.backbone, depths=(0, 0))),
    "plain MLP head": lambda c: replace(c, joint_head="mlp"),
    "no refinement": lambda c: replace(c, refine_depth=0),
    "no finest points at the joints": lambda c: replace(c, fine_neighbours=0),
    "no decoder attention": lambda c: replace(c, decoder=replace(c.decoder, use_attention=False)),
    "no confidence": lambda c: replace(c, confidence=False),
    "no pair geometry": lambda c: replace(c, decoder=replace(c.decoder, use_pair_geometry=False)),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_each_part_has_its_switch(name):
    jt.set_global_seed(1)
    full = tiny().network
    model = JointModel(SWITCHES[name](full))
    initial, joints, skin = rig_of(model, *cloud())[:3]
    assert np.isfinite(joints).all() and np.isfinite(skin).all()
    shapes = {n: p.shape for n, p in model.named_parameters()}
    assert shapes != {n: p.shape for n, p in JointModel(full).named_parameters()}
    assert (name == "no refinement") == bool((initial == joints).all())


@pytest.mark.parametrize("points, normals, message", [
    (np.zeros((1, 8, 3)), np.zeros((1, 8, 3)), "N >= 16"), (np.zeros((1, 32, 2)), np.zeros((1, 32, 2)), "points must be"),
    (np.zeros((1, 32, 3)), np.zeros((1, 31, 3)), "shape of the points")])
def test_refuses_what_it_cannot_do(model, points, normals, message):
    with pytest.raises(ValueError, match=message):
        model(jt.array(points.astype("float32")), jt.array(normals.astype("float32")))
