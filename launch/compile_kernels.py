"""Compile the released network's kernels before the first file needs them: launch/setup.sh calls this once.

    python -m launch.compile_kernels

Jittor compiles each operation at its first use and keeps it. Its kernels depend on types, numbers of axes and which axes have length
1, never on other sizes, and on what is computed together; so a few figures made here, rigged and forgotten, compile what every later
file needs: meshes and clouds, with normals and without, each decoded in a first piece, a further one, and one of a single vertex; and the
pictures.
Letters: V vertices, F faces.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset.asset import Asset
from launch.runtime import SetupError, say, start_jittor

CHECKPOINT = Path("output/TransRefiner-finetune")


def figure(count: int) -> Asset:
    """A standing ellipsoid of exactly ``count`` >= 2 vertices: points on a spiral, a band of triangles between neighbours, normals."""
    height_V = np.linspace(-1, 1, count + 2)[1:-1]
    angle_V = np.arange(count) * np.pi * (3 - 5 ** 0.5)
    radius_V = np.sqrt(1 - height_V ** 2)
    ball_V3 = np.stack([radius_V * np.cos(angle_V), radius_V * np.sin(angle_V), height_V], 1)
    faces_F3 = np.arange(max(count - 2, 0))[:, None] + np.arange(3)
    return Asset(cls="other", id="figure", source="a figure", vertices_V3=np.float32(ball_V3 * (0.3, 0.2, 1)),
                 normals_V3=np.float32(ball_V3), faces_F3=faces_F3)


def loaded_kernels() -> set[Path]:
    """The compiled operations that this process has loaded from Jittor's cache."""
    folder = os.path.join(sys.modules["jittor"].flags.cache_path, "jit", "")
    words = (line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines())
    return {Path(word) for word in words if word.startswith(folder)}


def compiled_since(moment: float) -> set[Path]:
    """Those of loaded_kernels that were written after ``moment`` (time.time()); what other processes compile for themselves is not."""
    return {path for path in loaded_kernels() if path.stat().st_mtime >= moment}


def compile_all(checkpoint: Path) -> None:
    """Rig the figures with a checkpoint, as the predict door would, and keep nothing. Jittor has been started.

    Each figure meets a network of its own, as a user's first file does: what is not computed yet when it comes is computed with it.
    Raises: FileNotFoundError or ValueError for a checkpoint that cannot be used.
    """
    from launch.predictor import Predictor, PredictorOptions
    from pictures.preview import draw_preview
    for looks in (1, 2):  # more than two are computed like two
        options = PredictorOptions(looks=looks)
        mesh = figure(2 * options.query_chunk + 1)
        cloud = replace(mesh, faces_F3=None)  # a mesh whose hands are not looked for is computed like it
        for asset in (mesh, cloud, replace(cloud, normals_V3=None)):
            rig = Predictor(checkpoint, options).predict(asset)
    with tempfile.TemporaryDirectory() as folder:
        draw_preview(Path(folder) / "preview.png", mesh.vertices_V3, mesh.faces_F3, rig.joints_J3, rig.parents, "z")


def main() -> int:
    if not (CHECKPOINT / "model.safetensors").exists():
        say(f"{CHECKPOINT} is not here; a network's kernels will be compiled at its first use.")
        return 0
    began = time.time()
    try:
        start_jittor()
        compile_all(CHECKPOINT)
    except (SetupError, ValueError, OSError) as error:
        say(f"compile_kernels: {error}")
        return 2
    say(f"[setup] {len(compiled_since(began))} kernels compiled in {time.time() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
