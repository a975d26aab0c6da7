"""The pictures of docs/geometry.md, section Rasteriser, and the README's.

    python -m benchmarks.raster_pictures edges docs/images/raster_edges.png           a figure with hard edges and with ever softer ones
    python -m benchmarks.raster_pictures preview docs/images/raster_preview.png       a preview as the predict door writes it
    python -m benchmarks.raster_pictures sheet docs/images/prediction.png preview.png ...    previews one below the other, as wide as asked
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIGMAS = (1e-6, 1e-4, 1e-3, 1e-2)
PIXELS, ZOOM = 96, 3
PREVIEW, WIDTH = 900, 1400     # pixels: of the preview and of the sheet


def edges() -> Image.Image:
    """From the left: the z-buffer's silhouette, then soft ones with sigma as in SIGMAS, their pixels enlarged."""
    import jittor as jt

    from dataset.sources.humans import generate
    from geometry.camera import around
    from geometry.soft_raster import Softness
    from ops.raster import rasterize
    from ops.soft_raster import soft_silhouette
    human = generate(0).in_network_frame()
    placed_V3 = around(np.float64(human.vertices_V3), 1, margin=1.02)[0].project(human.vertices_V3)
    pixels_V3 = np.float32(placed_V3 * (PIXELS / 2, -PIXELS / 2, 1) + (PIXELS / 2, PIXELS / 2, 0))
    face, _, _ = rasterize(jt.array(pixels_V3[None]), jt.array(np.int32(human.faces_F3)), PIXELS, PIXELS, True)
    corners = jt.array(np.float32(placed_V3[human.faces_F3][None]))
    covers = [face.numpy()[0] >= 0] + [soft_silhouette(corners, PIXELS, PIXELS, Softness(sigma, near=1e-3)).numpy()[0] for sigma in SIGMAS]
    row_HW = np.concatenate([np.pad(np.rint(255 * (1 - cover_HW)).astype(np.uint8)[:, 8:-8], 2, constant_values=255) for cover_HW in covers], 1)
    return Image.fromarray(row_HW).resize((row_HW.shape[1] * ZOOM, row_HW.shape[0] * ZOOM), Image.Resampling.NEAREST)


def preview() -> Image.Image:
    from dataset.sources.humans import generate
    from pictures.preview import draw_preview
    human = generate(3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preview.png"
        draw_preview(path, human.vertices_V3, human.faces_F3, human.joints_J3, human.parents, human.up, skin_VJ=human.skin_VJ)
        picture = Image.open(path)
        return picture.resize((PREVIEW, round(PREVIEW * picture.height / picture.width)), Image.Resampling.LANCZOS)


def sheet(paths: list[Path], columns: int = 2) -> Image.Image:
    """Rows of previews, all of one width; in each the previews are equally high."""
    pictures, top, rows = [Image.open(path).convert("RGB") for path in paths], 0, []
    for k in range(0, len(pictures), columns):
        row = pictures[k:k + columns]
        height = round(WIDTH / sum(picture.width / picture.height for picture in row))
        lefts = np.rint(np.cumsum([0.0, *(height * picture.width / picture.height for picture in row)])).astype(int)
        rows += [(picture.resize((right - left, height), Image.Resampling.LANCZOS), (left, top))
                 for picture, left, right in zip(row, lefts, lefts[1:])]
        top += height
    page = Image.new("RGB", (WIDTH, top), "white")
    for picture, at in rows:
        page.paste(picture, tuple(map(int, at)))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("edges", "preview", "sheet"))
    parser.add_argument("path", type=Path)
    parser.add_argument("previews", nargs="*", type=Path, help="for a sheet")
    args = parser.parse_args()
    if args.what != "sheet":
        from launch.runtime import start_jittor
        start_jittor()
    picture = sheet(args.previews) if args.what == "sheet" else {"edges": edges, "preview": preview}[args.what]()
    picture.save(args.path, format="PNG", optimize=True)
    print(f"{args.path}: {picture.width} x {picture.height}, {args.path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
