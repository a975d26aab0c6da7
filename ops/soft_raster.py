"""Soft rasterisation with gradients: soft silhouettes, and pictures mixed by coverage and nearness. Plain twin: geometry/soft_raster.py.

Liu, Li, Chen, Li, "Soft Rasterizer: A Differentiable Renderer for Image-based 3D Reasoning", 2019, equations 1 to 5.
Letters: B batch, F faces, H rows from the top, W columns from the left, C channels. float32; float64 too, by which gradients are checked.

The picture is cut into tiles. Each has the list of the faces that reach it, in their order, and is drawn by one thread. Gradients are kept
for each entry of these lists and then added up, tile by tile: the same bits with any number of threads. On CUDA: ops/soft_raster_cuda.py,
which has not yet run on a GPU.
"""

import math

import jittor as jt

from ops import soft_raster_cuda as cuda
from ops import soft_raster_kernels as cpu
from ops.kernels import require, require_real, require_shape

MOST_CHANNELS = 16


def _sources(name: str) -> dict[str, str]:
    return {"cpu_src": getattr(cpu, name), "cpu_header": cpu.HEADER, "cuda_src": getattr(cuda, name), "cuda_header": cuda.CUDA_HEADER}


class _Clearness(jt.Function):
    def execute(self, corners_BF33, numbers):
        shape = (corners_BF33.shape[0], int(numbers["height"]), int(numbers["width"]))
        self.numbers, self.corners = numbers, corners_BF33
        self.clear = jt.code(shape, corners_BF33.dtype, [corners_BF33], data=numbers, **_sources("CLEAR"))
        return self.clear

    def grad(self, grad_BHW):
        return jt.code(self.corners.shape, self.corners.dtype, [self.corners, self.clear, grad_BHW], data=self.numbers,
                       **_sources("CLEAR_BACK")), None


class _Mixture(jt.Function):
    def execute(self, corners_BF33, values_BF3C, background_C, numbers):
        pixels = (corners_BF33.shape[0], int(numbers["height"]), int(numbers["width"]))
        self.numbers = numbers
        image, top, total = jt.code([(*pixels, values_BF3C.shape[3]), pixels, pixels], [corners_BF33.dtype] * 3,
                                    [corners_BF33, values_BF3C, background_C], data=numbers, **_sources("MIX"))
        self.saved = corners_BF33, values_BF3C, image, top, total
        return image

    def grad(self, grad_BHWC):
        corners, values = self.saved[:2]
        return *jt.code([corners.shape, values.shape], [corners.dtype] * 2, [*self.saved, grad_BHWC], data=self.numbers,
                        **_sources("MIX_BACK")), None, None


def soft_silhouette(corners_BF33: jt.Var, height: int, width: int, soft) -> jt.Var:
    """How much each pixel is covered, (B, H, W) in [0, 1]: 1 - prod_j (1 - D_j) over the faces.

    corners_BF33: x, y on the picture (the origin in its middle, half its height is 1, y up) and z away from the eye. soft: the numbers of
    geometry.soft_raster.Softness. The gradient goes to x and y; z decides which faces are drawn at all.
    Raises: ValueError for other shapes, dtypes or numbers.
    """
    numbers = _numbers(corners_BF33, height, width, soft, False)
    return 1 - _Clearness()(corners_BF33, numbers)


def soft_render(corners_BF33: jt.Var, values_BF3C: jt.Var, background_C: jt.Var, height: int, width: int, soft,
                perspective: bool = True) -> jt.Var:
    """The picture (B, H, W, C), C <= 16: each pixel the mean of the faces' values and the background's, weighted by coverage and nearness.

    values_BF3C: at the faces' corners, blended over z where perspective is true. Gradients to corners (x, y, z) and values. The rest as
    soft_silhouette.
    """
    numbers = _numbers(corners_BF33, height, width, soft, perspective)
    batch, faces = corners_BF33.shape[:2]
    require_shape(values_BF3C, "BF3C", "values", B=batch, F=faces)
    channels = values_BF3C.shape[3]
    require_shape(background_C, "C", "background", C=channels)
    require(1 <= channels <= MOST_CHANNELS, f"{channels} channels; 1 to {MOST_CHANNELS} can be drawn at once")
    for value, name in ((values_BF3C, "values"), (background_C, "background")):
        require(value.dtype == corners_BF33.dtype, f"{name} must be {corners_BF33.dtype} as the corners; got {value.dtype}")
    return _Mixture()(corners_BF33, values_BF3C, background_C, numbers)


def _numbers(corners_BF33: jt.Var, height: int, width: int, soft, perspective: bool) -> dict[str, float]:
    require_shape(corners_BF33, "BF33", "corners")
    require_real(corners_BF33, "corners")
    require(corners_BF33.shape[1] > 0, "there are no faces")
    require(height > 0 and width > 0, f"a picture of {height} x {width} pixels")
    require(soft.sigma > 0 and soft.gamma > 0 and soft.near < soft.far, f"sigma and gamma must be positive and near below far; got {soft}")
    require(0 <= soft.cut < 0.5, f"cut must lie in [0, 0.5); got {soft.cut}")
    require(not perspective or soft.near > 0, f"with perspective, near must be positive; got {soft.near}")
    farthest = math.log(1 / soft.cut - 1) if soft.cut else 1e9
    return {"height": height, "width": width, "sigma": soft.sigma, "gamma": soft.gamma, "near": soft.near, "far": soft.far,
            "background": soft.background, "lowest": -farthest, "reach": math.sqrt(farthest * soft.sigma) if soft.cut else 1e9,
            "perspective": float(perspective)}
