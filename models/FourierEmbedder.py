"""Fourier embedding of positions: octave sines and cosines beside the raw coordinates.

Paper: Mildenhall et al., "NeRF", arXiv:2003.08934, eq. 4 (positional encoding). Ours: the raw position stays in front, and
there is no factor pi, so that the lowest octave varies slowly over the whole [-1, 1] box.
Letters: B batch, N points, n octaves.
"""

import jittor as jt
from jittor import nn


class FourierEmbedder(nn.Module):
    """x -> [x, sin(2^0 x) .. sin(2^(n-1) x), cos(2^0 x) .. cos(2^(n-1) x)], each coordinate on its own.

    Shapes: (..., 3) float32 in [-1, 1] -> (..., 3 (2n + 1)). With octaves = 0 the position passes through unchanged.
    """

    def __init__(self, octaves: int):
        super().__init__()
        self.octaves = octaves
        self.width = 3 * (2 * octaves + 1)
        self._frequencies = jt.array([2.0 ** i for i in range(octaves)]).float32().stop_grad() if octaves else None

    def execute(self, x_N3: jt.Var) -> jt.Var:
        if not self.octaves:
            return x_N3
        angle_N3n = x_N3.unsqueeze(-1) * self._frequencies
        angle_NC = angle_N3n.reshape(*x_N3.shape[:-1], 3 * self.octaves)
        return jt.concat([x_N3, jt.sin(angle_NC), jt.cos(angle_NC)], dim=-1)
