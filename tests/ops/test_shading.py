"""The light's kernel against its plain twin, samples counted by hand, and its refusals."""

import jittor as jt
import numpy as np
import pytest

from geometry import shading as plain
from geometry.shading import Studio
from ops.raster import rasterize
from ops.shading import shade
from tests.ops.test_raster import drawn_faces

STUDIO = Studio(key_rgb=(.5, .3, .4), rim=.4, gloss=.2)


def values_of(batch, vertices):
    rng = np.random.default_rng(5)
    normals = rng.normal(size=(batch, vertices, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.concatenate([normals, rng.uniform(size=(batch, vertices, 4))], -1).astype("float32")


def test_agrees_with_the_plain_twin():
    (points, faces), values = drawn_faces(0, 2, 40, 60), values_of(2, 40)
    face, bary, _ = rasterize(jt.array(points), jt.array(faces), 36, 44)
    got = shade(face, bary, jt.array(faces), jt.array(values), STUDIO).numpy()
    covered = face.numpy() >= 0
    for k in range(2):
        corners = values[k][faces[face.numpy()[k][covered[k]]]]
        mixed = np.einsum("pk,pkc->pc", bary.numpy()[k][covered[k]], corners)
        want = plain.shade(mixed[:, :3], mixed[:, 3:6], mixed[:, 6], plain.seen_from_behind(corners[:, :, :3]), STUDIO)
        assert abs(got[k][covered[k]][:, :3] - 255 * want).max() < .51
    assert (got[covered][:, 3] == 255).all() and not got[~covered].any() and got[covered][:, :3].std() > 30


def test_samples_by_hand():
    # one pixel of four samples, of which one shows a face: its colour is not mixed with nothing, its share is a quarter
    face, bary = np.int32([[[-1, -1], [-1, 0]]]), np.float32([[[[0, 0, 0]] * 2, [[0, 0, 0], [1, 0, 0]]]])
    values = np.zeros((1, 3, 7), "float32")
    values[0, 0] = [0, 0, 1, .2, .4, 1, 1]
    studio = Studio(key_3=(0, 0, 1), key_rgb=(1, 1, 1), sky_rgb=(0, 0, 0), ground_rgb=(0, 0, 0), shade=0, rim=0, gloss=0)
    picture = shade(jt.array(face), jt.array(bary), jt.array(np.int32([[0, 1, 2]])), jt.array(values), studio, 2).numpy()
    assert picture.tolist() == [[[[51, 102, 255, 64]]]]


@pytest.mark.parametrize("change, complaint", [
    ({"samples": 3}, "3 samples"), ({"values": np.zeros((2, 4, 7))}, "values must have shape"), ({"values": np.zeros((1, 4, 6))}, "values must have"),
    ({"bary": np.zeros((1, 4, 5, 3))}, "bary must have shape"), ({"face": np.zeros((4, 4), "int32")}, "face must have shape")])
def test_refusals(change, complaint):
    given = {"face": np.zeros((1, 4, 4), "int32"), "bary": np.zeros((1, 4, 4, 3)), "values": np.zeros((1, 4, 7)), "samples": 2} | change
    with pytest.raises(ValueError, match=complaint):
        shade(jt.array(given["face"]), jt.array(np.float32(given["bary"])), jt.array(np.int32([[0, 1, 2]])), jt.array(np.float32(given["values"])),
              Studio(), given["samples"])
