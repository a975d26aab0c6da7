"""BVH: angles by hand, the T pose carried to any rest, and the CMU bank as an independent twin."""

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.format import BODY_NAMES, BODY_PARENTS, DIALECTS
from dataset.sources.bvh import axis_rotation, load_bvh, read_bvh, remove_heading
from dataset.sources.npz import read_npz
from geometry.kinematics import quaternion_to_matrix

J = {name: j for j, name in enumerate(BODY_NAMES)}
SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Arm
  {
    OFFSET 1 0 0
    CHANNELS 3 Yrotation Xrotation Zrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 90 0 0
"""
T_OFFSET = {"shoulder": (.1, 0, 0), "upper_arm": (.1, 0, 0), "lower_arm": (.3, 0, 0), "hand": (.3, 0, 0), "upper_leg": (.1, 0, 0),
            "lower_leg": (0, -.4, 0), "foot": (0, -.4, 0), "toe_base": (0, 0, .1)}


def person(frames_TJ3, skip=(), turn=None) -> str:
    """A mixamo BVH of the 22 joints in T pose offsets; frames: degrees about Z, X, Y. turn: name -> 3x3 on its children's offsets."""
    def body(j):
        name = BODY_NAMES[j]
        part = T_OFFSET.get(name[2:], (0, .1, 0)) if name[1] == "_" else (0, .1, 0)
        offset = np.array(part) * ((-1 if name[0] == "r" and name[1] == "_" else 1), 1, 1)
        for above, matrix in (turn or {}).items():
            ancestor = BODY_PARENTS[j]
            while ancestor is not None:
                offset = matrix @ offset if BODY_NAMES[ancestor] == above else offset
                ancestor = BODY_PARENTS[ancestor]
        inner = "".join(body(c) for c, p in enumerate(BODY_PARENTS) if p == j and BODY_NAMES[c] not in skip) or "End Site { OFFSET 0 1 0 }\n"
        channels = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation" if j == 0 else "3 Zrotation Xrotation Yrotation"
        kind = "ROOT" if j == 0 else "JOINT"
        return f"{kind} {DIALECTS['mixamo'][name]} {{ OFFSET {offset[0]} {offset[1]} {offset[2]} CHANNELS {channels}\n{inner}}}\n"
    text = body(0)
    # channels come in the order of the joints' opening words: depth first
    opening = [BODY_NAMES.index(n) for n in _opening(text)]
    rows = "\n".join("0 0 0 " + " ".join(str(v) for j in opening for v in frame[j]) for frame in frames_TJ3)
    return f"HIERARCHY\n{text}MOTION\nFrames: {len(frames_TJ3)}\nFrame Time: 0.04\n{rows}\n"


def _opening(text: str) -> list[str]:
    words, back = text.split(), {v: k for k, v in DIALECTS["mixamo"].items()}
    return [back[words[i + 1]] for i, word in enumerate(words) if word in ("ROOT", "JOINT")]


def write(path, text: str):
    path.write_text(text)
    return path


def degrees_between(a_33, b_33):
    cosine = (np.einsum("...ij,...ij->...", np.asarray(a_33, float), b_33) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_by_hand(tmp_path):
    bvh = read_bvh(write(tmp_path / "s.bvh", SMALL))
    assert bvh.names == ("Hips", "Arm") and bvh.parents == (-1, 0) and bvh.fps == 20
    assert bvh.offsets_B3.tolist() == [[0, 0, 0], [1, 0, 0]] and bvh.root_T3.tolist() == [[0, 0, 0], [1, 2, 3]]
    np.testing.assert_allclose(bvh.rotations_TB33[0], [np.eye(3)] * 2)
    # hips: a quarter about z takes x to y; the arm's own quarter about y first takes z to x, so z ends at y
    np.testing.assert_allclose(bvh.rotations_TB33[1, 0] @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(bvh.rotations_TB33[1, 1] @ [0, 0, 1], [0, 1, 0], atol=1e-12)


def test_channels_multiply_in_the_order_listed(tmp_path):
    rows = SMALL.replace("1 2 3 90 0 0 90 0 0", "0 0 0 10 20 30 40 50 60")
    bvh = read_bvh(write(tmp_path / "s.bvh", rows))
    turn = {axis: lambda degrees, k=k: axis_rotation(k, np.array([degrees]))[0] for k, axis in enumerate("xyz")}
    hips = turn["z"](10) @ turn["x"](20) @ turn["y"](30)
    np.testing.assert_allclose(bvh.rotations_TB33[1, 0], hips, atol=1e-12)
    np.testing.assert_allclose(bvh.rotations_TB33[1, 1], hips @ turn["y"](40) @ turn["x"](50) @ turn["z"](60), atol=1e-12)


def test_first_frame_is_the_t_pose(tmp_path):
    frames = np.zeros((3, 22, 3))
    frames[2, J["l_lower_arm"]] = [0, 0, 90]  # about y: the forearm points along -z
    motion = load_bvh(write(tmp_path / "p.bvh", person(frames)))
    assert motion.rotations_TJ33.shape == (2, 22, 3, 3) and motion.fps == pytest.approx(25) and motion.names == BODY_NAMES
    np.testing.assert_allclose(motion.rotations_TJ33[0], np.tile(np.eye(3), (22, 1, 1)), atol=1e-6)
    for name in BODY_NAMES:
        moved = name in ("l_lower_arm", "l_hand")
        got = motion.rotations_TJ33[1, J[name]] @ [1, 0, 0]
        np.testing.assert_allclose(got, [0, 0, -1] if moved else [1, 0, 0], atol=1e-6)


def test_a_first_frame_that_is_nearly_a_t_pose_is_brought_to_it(tmp_path):
    """Legs apart by 20 degrees in frame 0: where the thigh points straight down, it is unturned."""
    frames = np.zeros((2, 22, 3))
    frames[0, J["l_upper_leg"]] = [20, 0, 0]
    motion = load_bvh(write(tmp_path / "p.bvh", person(frames)))
    np.testing.assert_allclose(motion.rotations_TJ33[0, J["l_upper_leg"]], np.eye(3), atol=1e-6)


def test_a_pose_offsets(tmp_path):
    """Arms hang 45 degrees in the offsets: with all angles zero the arm is turned by 45 from the T pose."""
    down = axis_rotation(2, np.array([-45.]))[0]
    text = person(np.zeros((1, 22, 3)), turn={"l_upper_arm": down})
    motion = load_bvh(write(tmp_path / "a.bvh", text), t_pose="offsets")
    assert motion.rotations_TJ33.shape[0] == 1
    np.testing.assert_allclose(motion.rotations_TJ33[0, J["l_upper_arm"]], down, atol=1e-6)
    np.testing.assert_allclose(motion.rotations_TJ33[0, J["r_upper_arm"]], np.eye(3), atol=1e-6)


def test_a_missing_joint_turns_with_its_parent(tmp_path):
    frames = np.zeros((2, 22, 3))
    frames[1, J["l_foot"]] = [0, 30, 0]
    motion = load_bvh(write(tmp_path / "p.bvh", person(frames, skip=("l_toe_base", "r_toe_base"))))
    np.testing.assert_array_equal(motion.rotations_TJ33[:, J["l_toe_base"]], motion.rotations_TJ33[:, J["l_foot"]])


def test_remove_heading():
    turn = axis_rotation(1, np.array([130., -20]))
    lean = axis_rotation(0, np.array([15.]))[0]
    rotations = np.stack([turn @ lean, turn], 1)
    want = np.tile(np.stack([lean, np.eye(3)]), (2, 1, 1, 1))
    np.testing.assert_allclose(remove_heading(rotations), want, atol=1e-6)


@pytest.mark.parametrize("old, new, message", [
    ("HIERARCHY", "SOMETHING", "not a BVH file"), ("MOTION", "", "not a BVH file"), ("Frames: 2", "Frames: 3", "18 numbers for 3 frames"),
    ("Frames: 2", "Frames: -2", "for -2 frames"), ("0.05", "0", "frame time"), ("1 2 3 90", "1 2 3 nan", "not finite"), ("1 2 3 90", "1 2 3 x", "broken BVH"),
    ("Yrotation X", "Wrotation X", "unknown channels Wrotation"), ("OFFSET 1 0 0", "OFSET 1 0 0", "unknown word 'OFSET'"),
    ("    }\n  }\n}\n", "    }\n  }\n", "brace"), ("    }\n  }\n}\n", "", "ends too early|brace|broken"), ("}\nMOTION", "}\n}\nMOTION", "broken BVH"),
    ("CHANNELS 3 Y", "CHANNELS 999 Y", "999 channels of one bone"), ("CHANNELS 3 Y", "CHANNELS 12 Y", "brace|unknown")])
def test_refuses_broken_files(tmp_path, old, new, message):
    with pytest.raises(AssetError, match=f"b.bvh: .*({message})"):
        read_bvh(write(tmp_path / "b.bvh", SMALL.replace(old, new, 1)))


def test_refuses_what_is_no_human_or_has_no_motion(tmp_path):
    with pytest.raises(AssetError, match="s.bvh: no bone found for l_lower_arm"):
        load_bvh(write(tmp_path / "s.bvh", SMALL))
    with pytest.raises(AssetError, match="1 frames; at least 2"):
        load_bvh(write(tmp_path / "p.bvh", person(np.zeros((1, 22, 3)))))
    with pytest.raises(AssetError, match="gone.bvh: cannot be read"):
        read_bvh(tmp_path / "gone.bvh")
    with pytest.raises(ValueError, match="first or offsets"):
        load_bvh(tmp_path / "p.bvh", t_pose="last")


def test_agrees_with_the_bank_made_from_amc(shared_data):
    """The same clip through CMU's own format: every twelfth frame, within a degree; feet 3 and hands 25 apart by convention."""
    motion = load_bvh(shared_data / "mocap" / "cmu_01_01.bvh")
    bank = read_npz(shared_data / "mocap" / "cmu_pose_bank.npz")
    want = quaternion_to_matrix(bank["quat_xyzw"][bank["clip"] == list(bank["clip_names"]).index("01_01")].astype(float))
    error_TJ = degrees_between(remove_heading(motion.rotations_TJ33)[::12], want)
    loose = [j for j, name in enumerate(BODY_NAMES) if name[2:] in ("hand", "foot", "toe_base")]
    assert np.delete(error_TJ, loose, axis=1).max() < 0.1
    assert error_TJ[:, [J["l_foot"], J["r_foot"], J["l_toe_base"], J["r_toe_base"]]].max() < 3.1
    assert np.median(error_TJ[:, [J["l_hand"], J["r_hand"]]]) < 27


def test_auto_finds_the_t_pose_and_the_leg(tmp_path):
    bent = np.zeros((3, 22, 3))
    bent[1:, BODY_NAMES.index("l_upper_arm"), 0] = 40
    motion = load_bvh(write(tmp_path / "t.bvh", person(bent)), "auto")         # frame 0 stands in T, so it is left out
    assert len(motion.rotations_TJ33) == 2 and motion.leg == pytest.approx(0.8)
    bent[0] = bent[1]
    assert len(load_bvh(write(tmp_path / "moving.bvh", person(bent)), "auto").rotations_TJ33) == 3
    assert len(load_bvh(write(tmp_path / "pose.bvh", person(bent[:1] * 0)), "auto").rotations_TJ33) == 1   # a T pose and nothing else
