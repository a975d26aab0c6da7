"""The weight contract on any mesh, and each step against numbers by hand; the bars of the U-shape."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.weights import measure, u_shape
from rigging.bleed import GapOptions, Surface
from rigging.rig import CharacterRig
from rigging.symmetry import Mirror, exactly_symmetric, find_mirror, mirror_joints
from rigging.weights import Gauge, WeightOptions, guarded, polish, rigid_shells, speckles, strongest, without_jumps

NAMES = ("root", "l_arm", "r_arm", "head")
PARENTS = (None, 0, 0, 0)


def rig_of(skin, names=NAMES, parents=PARENTS):
    return CharacterRig(np.zeros((skin.shape[1], 3)), parents, names, np.float32(skin), np.eye(3))


def grid(size=9, spacing=0.1, at=(0, 0, 0)):
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    i = np.arange(size * size).reshape(size, size)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    vertices = np.column_stack([x.ravel(), y.ravel(), 0 * x.ravel()]) * spacing - [spacing * (size - 1) / 2, 0, 0] + at
    return vertices, np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])])


def keeps_the_contract(skin_VJ, influences):
    assert skin_VJ.dtype == np.float32 and np.isfinite(skin_VJ).all() and skin_VJ.min(initial=0) >= 0
    assert np.abs(skin_VJ.sum(1, dtype=np.float64) - 1).max(initial=0) < 1e-6
    assert (skin_VJ > 0).sum(1).max(initial=0) <= influences


# ----------------------------------------------------------------------------------------------- any mesh


@st.composite
def broken_rigs(draw):
    """Islands, flat and doubled faces, one triangle, points without a face, seams; weights that jump about."""
    count, joints = draw(st.integers(1, 24)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2 ** 32 - 1)))
    vertices = rng.choice([0, 0.02, 0.5, 1.0], (count, 3)) + rng.normal(size=(count, 3)) * draw(st.sampled_from([0, 1e-9, 0.3]))
    faces = rng.integers(0, count, (draw(st.integers(0, 30)), 3))
    faces = np.concatenate([faces, faces[:draw(st.integers(0, 3))]])
    skin = rng.random((count, joints)) ** 4 * (rng.random((count, joints)) < 0.6)
    skin[:, 0] += 1e-3
    parents = (None, *(int(rng.integers(0, j)) for j in range(1, joints)))
    names = tuple(f"{'lr'[j % 2]}_{j // 2}" for j in range(joints))
    return vertices * draw(st.sampled_from([1e-20, 1.0, 1e20])), faces, rig_of(skin / skin.sum(1, keepdims=True), names, parents)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(broken_rigs(), st.integers(1, 5), st.booleans(), st.sampled_from([0.0, 1e-4, 1e-2]))
def test_contract_on_any_mesh(case, influences, symmetric, smoothing):
    vertices, faces, rig = case
    options = WeightOptions(influences=influences, symmetric=symmetric, smoothing=smoothing)
    polished = polish(vertices, faces, rig, options)
    keeps_the_contract(polished.rig.skin_VJ, influences)
    _, place = np.unique(vertices, axis=0, return_inverse=True)
    for rows in (polished.rig.skin_VJ[place.reshape(-1) == p] for p in np.unique(place)):
        assert (rows == rows[0]).all()      # equal positions, equal weights
    for step in polished.steps:
        json.dumps(step.as_dict())
        if step.before and step.name != "influences":
            slack = rig.joint_count
            assert step.after["bleed"] <= step.before["bleed"] * 1.01 + slack * 1e-5
            assert step.after["roughness"] <= step.before["roughness"] * 1.05 + slack * 1e-3
            assert step.after["speckle"] <= step.before["speckle"]
    assert (polish(vertices, faces, rig, options).rig.skin_VJ == polished.rig.skin_VJ).all()


def test_a_cloud_is_only_trimmed():
    skin = np.array([[0.4, 0.3, 0.2, 0.1], [0.992, 0.008, 0, 0]])
    polished = polish(np.eye(3)[:2], None, rig_of(skin), WeightOptions(influences=2))
    np.testing.assert_allclose(polished.rig.skin_VJ, [[4 / 7, 3 / 7, 0, 0], [1, 0, 0, 0]], atol=1e-7)
    assert [(s.name, s.outcome) for s in polished.steps] == [("surface", "skipped"), ("influences", "applied")]


def test_faces_of_one_place_are_no_surface():
    """Their two vertices lie together, away from the others: what they span has no extent."""
    points = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    polished = polish(points, np.array([[0, 3, 3], [0, 3, 0]]), rig_of(np.ones((4, 1))), WeightOptions())
    assert (polished.rig.skin_VJ == 1).all() and polished.steps[0].outcome == "skipped" and "three different" in polished.steps[0].why


def test_too_many_points_are_only_trimmed_and_told():
    vertices, faces = grid()
    polished = polish(vertices, faces, rig_of(np.tile([0.5, 0.5, 0, 0], (81, 1))), WeightOptions(most_points=80))
    assert polished.steps[0].outcome == "skipped" and "81 points, more than 80" in polished.steps[0].why


@pytest.mark.parametrize("change, message", [
    (lambda w: w * np.nan, "finite"), (lambda w: w - 1, "not negative"), (lambda w: w * 0, "no weight on any joint"),
    (lambda w: w[:-1], "do not fit")])
def test_bad_weights_are_refused_not_patched(change, message):
    vertices, faces = grid()
    with pytest.raises(ValueError, match=message):
        polish(vertices, faces, rig_of(change(np.full((81, 4), 0.25))))


def test_bad_meshes_and_options_are_refused():
    vertices, faces = grid()
    rig = rig_of(np.full((81, 4), 0.25))
    with pytest.raises(ValueError, match="outside 0..80"):
        polish(vertices, faces + 1, rig)
    with pytest.raises(ValueError, match="finite"):
        polish(vertices * np.nan, faces, rig)
    for bad in ({"influences": 0}, {"drop": 1.0}, {"smoothing": -1.0}, {"smoothing": float("nan")}):
        with pytest.raises(ValueError, match="influences must be"):
            WeightOptions(**bad)


# ----------------------------------------------------------------------------------------------- each step


def test_strongest_by_hand():
    rows = np.array([[0.4, 0.1, 0.4, 0.1], [0.25, 0.25, 0.25, 0.25], [0.005, 0.99, 0.005, 0], [0.004, 0.003, 0.002, 0.001]])
    got = strongest(rows, 3, 0.01)
    np.testing.assert_allclose(got, [[4 / 9, 1 / 9, 4 / 9, 0], [1 / 3, 1 / 3, 1 / 3, 0], [0, 1, 0, 0], [1, 0, 0, 0]], atol=1e-15)


def test_speckles_by_hand():
    vertices, faces = grid()
    surface, skin = Surface.of(vertices, faces), np.tile([0.5, 0.5, 0, 0], (81, 1))
    assert speckles(surface, skin).sum() == 0
    skin[40] = [0.2, 0.8, 0, 0]     # one below its neighbours, one above
    skin[10] = [0.47, 0.53, 0, 0]   # inside the margin
    assert np.flatnonzero(speckles(surface, skin)).tolist() == [40] and speckles(surface, skin)[40] == 2


def test_smoothing_takes_speckle_and_keeps_flat_weights():
    vertices, faces = grid()
    skin = np.tile([0.7, 0.3, 0, 0], (81, 1))
    skin[40] = [0.1, 0.9, 0, 0]      # greatest on another joint, and yet no region of its own
    polished = polish(vertices, faces, rig_of(skin), WeightOptions(smoothing=0.5))
    step = {s.name: s for s in polished.steps}["smoothing"]
    assert (step.before["speckle"], step.after["speckle"]) == (2, 0) and step.outcome == "applied"
    flat = polish(vertices, faces, rig_of(np.tile([0.7, 0.3, 0, 0], (81, 1))))
    assert [s.outcome for s in flat.steps[:3]] == ["unchanged"] * 3
    np.testing.assert_allclose(flat.rig.skin_VJ, np.tile([0.7, 0.3, 0, 0], (81, 1)), atol=1e-7)


def test_a_button_moves_with_the_cloth_under_it_and_a_lone_one_as_one():
    cloth, faces = grid(30, 0.07)
    button, button_faces = grid(2, 0.01)
    near, away = button + [0.3, 0.5, 0.01], button + [0.3, 0.5, 0.9]
    vertices = np.concatenate([cloth, near, away])
    all_faces = np.concatenate([faces, button_faces + 900, button_faces + 904])
    skin = np.tile([1.0, 0, 0, 0], (908, 1))
    skin[900:904] = [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    skin[904:] = skin[900:904]
    surface = Surface.of(vertices, all_faces)
    got = rigid_shells(surface, surface.gather(skin), 0.06)[surface.place_V]
    np.testing.assert_allclose(got[:904], np.tile([1.0, 0, 0, 0], (904, 1)), atol=1e-12)
    np.testing.assert_allclose(got[904:], np.tile([0, 0.5, 0.25, 0.25], (4, 1)), atol=1e-12)


def test_rows_that_lose_all_are_filled_from_the_nearest():
    vertices, faces = grid(3)
    surface = Surface.of(vertices, faces)
    skin = np.tile([0.5, 0.5, 0, 0], (9, 1))
    skin[0], skin[4], skin[8] = [0, 0, 0, 1], [0.2, 0.2, 0, 0.6], [0, 0.1, 0, 0.9]
    got = without_jumps(surface, skin, np.tile([0.0, 0, 0, 1], (9, 1)))
    np.testing.assert_allclose(got, [[0.5, 0.5, 0, 0]] * 8 + [[0.45, 0.55, 0, 0]], atol=1e-12)
    assert without_jumps(surface, skin, np.zeros((9, 4))) is skin
    lost = np.tile([0.0, 0, 0, 1], (9, 1))
    assert (without_jumps(surface, lost, np.tile([0.0, 0, 0, 1], (9, 1))) == lost).all()    # nothing to fill from: it stays


def test_a_step_is_undone_where_it_is_worse_and_kept_elsewhere():
    surface = Surface.of(*grid(20))
    left = surface.points_U3[:, 0] < 0
    old = np.where(left[:, None], [0.2, 0.8, 0, 0], [0.2, 0, 0.8, 0])
    speckled = np.flatnonzero(~left)[[70, 120]]
    old[speckled] = [0.5, 0, 0.5, 0]
    new = np.where(left[:, None], [0.2, 0.8, 0, 0], [0.2, 0, 0.8, 0])  # better on the right ...
    new[np.flatnonzero(left)[[70, 120]]] = [0.5, 0.5, 0, 0]            # ... and worse on the left
    got, step = guarded("a step", old, new, Gauge(surface, PARENTS, GapOptions()), NAMES)
    assert step.outcome == "partly" and step.undone_on == ("l_arm",) and step.changed == 2
    assert (got[left] == old[left]).all() and (got[~left] == new[~left]).all()
    assert step.before["speckle"] == 4 and step.after["speckle"] == 0
    worse = old.copy()
    worse[np.flatnonzero(~left)[[40, 60]]] = [0.9, 0, 0.1, 0]
    got, step = guarded("a step", old, worse, Gauge(surface, PARENTS, GapOptions()), NAMES)
    assert step.outcome == "undone" and step.before == step.after and (got == old).all()


def test_a_speckle_is_no_region_and_a_region_knows_what_lies_beside_it():
    surface = Surface.of(*grid(9))
    x = surface.points_U3[:, 0]
    skin = np.eye(4)[np.where(x < -0.3, 0, np.where(x < 0.3, 1, 2))]
    skin[np.flatnonzero(x > 0.6)[4]] = [0, 0, 0, 1]
    gauge = Gauge(surface, PARENTS, GapOptions())
    region = gauge.regions(skin)
    assert set(region) == {0, 1, 2}
    assert gauge.beside(region, np.array([True, False, False, False])).tolist() == [True, True, False, False]


def test_of_confetti_one_piece_is_no_small_shell():
    bit, faces = grid(2, 0.01)
    surface = Surface.of(np.concatenate([bit, bit + [1, 0, 0]]), np.concatenate([faces, faces + 4]))
    skin = np.tile(np.eye(4), (2, 1))
    got = rigid_shells(surface, skin, 0.06)
    assert (got != skin).any(1).sum() == 4


# ----------------------------------------------------------------------------------------------- symmetry


@pytest.mark.parametrize("name, partner", [
    ("l_hand", "r_hand"), ("LeftHand", "RightHand"), ("mixamorig:LeftArm", "mixamorig:RightArm"), ("leftUpperArm", "rightUpperArm"),
    ("upperarm_l", "upperarm_r"), ("J_Bip_L_Hand", "J_Bip_R_Hand"), ("HAND.L", "HAND.R")])
def test_partners_by_name(name, partner):
    assert mirror_joints(("root", name, "tail", partner)).tolist() == [0, 3, 2, 1]


def test_a_name_without_a_partner_is_its_own():
    assert mirror_joints(("bright", "l_hand", "collar", "r_foot")).tolist() == [0, 1, 2, 3]


def test_mirror_images_get_mirrored_weights_bit_for_bit():
    vertices, faces = grid(9)
    rng = np.random.default_rng(0)
    skin = rng.random((81, 4)) + [0, 2, 2, 0] * (np.sign(vertices[:, :1]) * [[0, -1, 1, 0]] > 0)
    for influences in (1, 2, 3, 4):
        options = WeightOptions(influences=influences, symmetric=True)
        polished = polish(vertices, faces, rig_of(skin / skin.sum(1, keepdims=True)), options)
        image = np.lexsort((vertices[:, 1], (-vertices[:, 0]).round(9)))
        order = np.lexsort((vertices[:, 1], vertices[:, 0].round(9)))
        there, here = polished.rig.skin_VJ[image][:, [0, 2, 1, 3]], polished.rig.skin_VJ[order]
        middle = np.abs(vertices[order, 0]) < 1e-9
        assert (there[~middle] == here[~middle]).all()
        if influences > 1:      # one influence cannot be shared by a pair
            assert (there[middle] == here[middle]).all()
        keeps_the_contract(polished.rig.skin_VJ, influences)
        assert {s.name: s.outcome for s in polished.steps}["symmetry"] == "applied"


def test_to_network_says_where_the_plane_is():
    vertices, _ = grid(5)
    bent = vertices + [0, 0, 1] * (vertices[:, 1:2] ** 2)      # one mirror plane only, across the first axis
    rig = rig_of(np.full((25, 4), 0.25))
    third_is_left = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
    assert not isinstance(find_mirror(bent, rig, 5e-4), str)
    assert isinstance(find_mirror(bent, replace(rig, to_network_33=third_is_left), 5e-4), str)
    assert not isinstance(find_mirror(bent @ third_is_left, replace(rig, to_network_33=third_is_left), 5e-4), str)


def test_what_is_not_symmetric_is_refused_with_its_reason():
    vertices, faces = grid()
    rig = rig_of(np.full((81, 4), 0.25))
    lopsided = vertices.copy()
    lopsided[5, 1] += 0.05
    step = {s.name: s for s in polish(lopsided, faces, rig, WeightOptions(symmetric=True)).steps}["symmetry"]
    assert step.outcome == "skipped" and "2 of 81 points have no mirror image" in step.why
    plain = polish(vertices, faces, replace(rig, names=("a", "b", "c", "d")), WeightOptions(symmetric=True))
    assert "left and right" in {s.name: s for s in plain.steps}["symmetry"].why


def test_one_side_is_copied_to_the_other():
    rows = np.float32([[0.5, 0.3, 0, 0.2], [0.1, 0.9, 0, 0]])
    assert exactly_symmetric(rows, Mirror(np.array([1, 0]), np.array([0, 2, 1, 3]))).tolist() == rows[[0, 0]][[0]].tolist() + [
        rows[0, [0, 2, 1, 3]].tolist()]


def test_what_jumps_by_trimming_goes_too():
    # .049 of the left arm far from its own is too little to look at; without the fifth influence it is .0505, and an island
    vertices, faces = grid()
    near, between, far = [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [.06, .049, .801, .06, .03]
    skin = np.repeat([near] * 3 + [between] * 3 + [far] * 3, 9, axis=0)
    rig = rig_of(skin, (*NAMES, "tail"), (*PARENTS, 0))
    polished = polish(vertices, faces, rig, WeightOptions(smoothing=0))
    assert not polished.rig.skin_VJ[27:, 1].any() and (polished.rig.skin_VJ[:27, 1] == 1).all()
    keeps_the_contract(polished.rig.skin_VJ, 4)
    assert polished.steps[-1].name == "influences" and polished.steps[-1].after["bleed"] == 0


def test_a_pair_that_trimming_split_on_the_plane_goes():
    mirror = Mirror(np.array([0]), np.array([0, 2, 1, 3]))
    got = exactly_symmetric(np.float32([[0.5, 0.3, 0, 0.2]]), mirror)
    np.testing.assert_allclose(got, [[5 / 7, 0, 0, 2 / 7]], atol=1e-7)


# ----------------------------------------------------------------------------------------------- the bars


def test_the_bars_on_the_u_shape():
    tube = u_shape()
    row, polished = measure("U", tube.vertices_V3, tube.faces_F3, tube.rig, tube.true_VJ, tube.limb_J, WeightOptions())
    assert row.bleed[1] < 0.1 * row.bleed[0] and row.wrong[1] < 0.1 * row.wrong[0] and row.skin_l1[1] < 0.5 * row.skin_l1[0]
    assert [s.outcome for s in polished.steps[1:]] == ["applied"] * 3
    keeps_the_contract(polished.rig.skin_VJ, 4)


def test_a_seam_does_not_tear():
    tube = u_shape()
    corners = tube.faces_F3.reshape(-1)     # each face with its own three vertices, as flat-shaded files have them
    loose = replace(tube.rig, skin_VJ=tube.rig.skin_VJ[corners])
    torn = polish(tube.vertices_V3[corners], np.arange(len(corners)).reshape(-1, 3), loose)
    whole = polish(tube.vertices_V3, tube.faces_F3, tube.rig)
    np.testing.assert_allclose(torn.rig.skin_VJ, whole.rig.skin_VJ[corners], atol=1e-6)
