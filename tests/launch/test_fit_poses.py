"""The fit's own bank: as many limber poses as ruled ones, always the same, within what joints can do."""

import numpy as np

from dataset.format import BODY_NAMES
from dataset.poses import procedural_bank
from launch.fit_poses import COUNT, fit_bank, limber_poses

J = {name: j for j, name in enumerate(BODY_NAMES)}


def test_the_ruled_poses_and_the_limber_ones():
    bank = fit_bank()
    assert len(bank) == len(procedural_bank()) + COUNT and bank.up == "y"       # PoseBank has checked that all are rotations
    assert (bank.rotations_TJ33[:len(procedural_bank())] == procedural_bank().rotations_TJ33).all()
    assert (bank.rotations_TJ33[len(procedural_bank()):] == limber_poses(COUNT)).all()


def test_limbs_go_where_limbs_go():
    turn = limber_poses(400)
    thigh, shank = ((turn[:, J[f"l_{part}_leg"]] @ [0, -1, 0]) for part in ("upper", "lower"))      # where the bones point, Y up, facing +Z
    assert (thigh[:, 1] > 0).mean() < .35 and (thigh[:, 2] > .5).mean() > .15                       # forward often, above the hip seldom
    bend = np.degrees(np.arccos((thigh * shank).sum(1).clip(-1, 1)))
    assert bend.max() < 150 and (bend > 60).mean() > .15
    trunk = turn[:, J["hips"]]
    knee_back = (np.swapaxes(turn[:, J["l_upper_leg"]], 1, 2) @ shank[..., None])[:, 2, 0]          # the shank folds to the back of the thigh
    assert (knee_back < .35).all() and (trunk[:, 1, 1] > .7).mean() > .8                            # most stand
    for side, sign in (("l", 1), ("r", -1)):
        arm = np.swapaxes(trunk, 1, 2) @ turn[:, J[f"{side}_upper_arm"]] @ [sign, 0, 0]
        assert (arm[:, 1] > .5).any() and (arm[:, 1] < -.8).any() and (arm[:, 2] > .8).any() and (arm[:, 0] * sign > .9).any()
