"""What a fit is given: silhouettes out of pictures, the cameras that took them, and a scan, each checked before anything is computed.

Frames: files speak of the character's own axes and units; cameras leave in the network's frame. Letters: H rows, W columns, P points.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.asset import Asset, AssetError, network_rotation
from dataset.sources.limits import read_file
from geometry.camera import Camera, around, look_at
from geometry.sampling import sample_surface
from launch.pose_figure import Target, shrunk, silhouette_of

MOST_BYTES, MOST_PIXELS = 256 << 20, 64 << 20       # of a picture
ROWS = 128                  # to which larger silhouettes are shrunk
VIEWS = {"front": 0.0, "left": 90.0, "back": 180.0, "right": 270.0}     # degrees to the figure's left: what side of it is seen
PLAIN = 30                  # of 255: a picture that differs less from its border shows nothing
BETWEEN = 0.15              # share of pixels that may be neither figure nor ground: edges, not a photograph's greys
PLACE, LENS = {"eye", "from", "elevation", "target", "distance", "up"}, {"field_of_view", "height"}
SCAN_POINTS, SCAN_ANGLES = 20_000, (0, 36, 72, 108, 144)


def read_silhouette(path: Path) -> np.ndarray:
    """(H, W) in [0, 1] of a picture: its transparency, or how far a pixel is from the border's brightness.

    Raises: AssetError naming the file: no picture, too large, nothing or everything shown, a photograph without silhouette.
    """
    data = read_file(path, MOST_BYTES)
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise AssetError(f"{path.name}: {picture.width} x {picture.height} pixels, more than are read: make it smaller")
            clear = "A" in picture.getbands() or "transparency" in picture.info
            pixels_HWC = np.asarray(picture.convert("RGBA" if clear else "L"), np.float64)
    except AssetError:
        raise
    except Exception as error:      # a broken picture makes Pillow raise anything
        raise AssetError(f"{path.name}: is no picture that can be read ({type(error).__name__}): give a PNG or JPEG") from None
    if clear and pixels_HWC[..., 3].min() < 255:
        mask_HW = pixels_HWC[..., 3] / 255
    else:
        mask_HW = _from_ground(path.name, pixels_HWC @ [0.299, 0.587, 0.114, 0] if clear else pixels_HWC)
    covered = (mask_HW > 0.5).mean()
    if not 0 < covered < 0.95:
        raise AssetError(f"{path.name}: {'shows nothing' if not covered else 'is covered whole'}: give a silhouette with ground round it")
    return mask_HW


def _from_ground(name: str, bright_HW: np.ndarray) -> np.ndarray:
    ground = np.median(np.concatenate([bright_HW[0], bright_HW[-1], bright_HW[:, 0], bright_HW[:, -1]]))
    apart_HW = np.abs(bright_HW - ground)
    if apart_HW.max() < PLAIN:
        raise AssetError(f"{name}: shows nothing: give a figure that is darker or lighter than the ground, or a transparent ground")
    mask_HW = apart_HW / apart_HW.max()
    if ((mask_HW > 0.25) & (mask_HW < 0.75)).mean() > BETWEEN:
        raise AssetError(f"{name}: is no silhouette: cut the figure out (transparent ground), or paint it dark on light")
    return mask_HW


def read_targets(images: Sequence[Path], cameras: Path | None, rest: Asset) -> tuple[list[Target], bool]:
    """The targets in the network's frame, and whether their cameras are loose: known only by the views that the files' names say.

    rest: as read from its file. Raises: AssetError for pictures and cameras that do not fit.
    """
    masks = [read_silhouette(path) for path in images]
    if cameras is not None:
        eyes = read_cameras(cameras, images, rest)
    else:
        if len({mask.shape for mask in masks}) > 1:
            sizes = ", ".join(f"{path.name} {mask.shape[1]} x {mask.shape[0]}" for path, mask in zip(images, masks))
            raise AssetError(f"pictures without --cameras must have one scale and size, these have not: {sizes}")
        eyes = [named_view(path, rest) for path in images]
    return [Target(eye, shrunk(mask, ROWS)) for eye, mask in zip(eyes, masks)], cameras is None


def named_view(path: Path, rest: Asset) -> Camera:
    """A parallel view from the side that the file's name says. Raises: AssetError where it says none, or several."""
    said = [view for view in VIEWS if view in path.stem.lower()]
    if len(said) != 1:
        raise AssetError(f"{path.name}: the name says no one view: call it {', '.join(VIEWS)}, or describe the cameras with --cameras")
    return _camera(path.name, {"from": said[0], "height": 1.3 * float(np.ptp(rest.vertices_V3, axis=0).max())}, rest)


def read_cameras(path: Path, images: Sequence[Path], rest: Asset) -> list[Camera]:
    """cameras.json: an object with an entry for each picture's file name (docs/fit.md). Raises: AssetError naming file and entry."""
    try:
        entries = json.loads(read_file(path, 1 << 20))
    except (ValueError, RecursionError):
        raise AssetError(f"{path.name}: is no JSON: see docs/fit.md for what it holds") from None
    if not isinstance(entries, dict):
        raise AssetError(f"{path.name}: holds no object of picture names and cameras: see docs/fit.md")
    if missing := [image.name for image in images if image.name not in entries]:
        raise AssetError(f"{path.name}: has no camera for {', '.join(missing)}; it has {', '.join(map(str, list(entries)[:20])) or 'none'}")
    found = []
    for image in images:
        camera = _camera(f"{path.name}, {image.name}", entries[image.name], rest)
        seen_V3 = camera.project(network_rotation(rest).apply(rest.vertices_V3))
        if 0 < (seen_V3[:, 2] <= 0).sum() < len(seen_V3):
            raise AssetError(f"{path.name}, {image.name}: the eye stands inside the character at rest: move it away")
        shown_V = (seen_V3[:, 2] > 0) & (np.abs(seen_V3[:, :2]) < 1.5).all(1)
        if shown_V.mean() < 0.05:
            raise AssetError(f"{path.name}, {image.name}: this camera does not see where the character stands at rest: "
                             "check eye, target and units, which are the character file's own")
        found.append(camera)
    return found


def _camera(name: str, entry: object, rest: Asset) -> Camera:
    if not isinstance(entry, dict) or set(entry) - PLACE - LENS:
        unknown = ", ".join(sorted(set(entry) - PLACE - LENS)) if isinstance(entry, dict) else "no object"
        raise AssetError(f"{name}: {unknown}; a camera has {', '.join(sorted(PLACE | LENS))}")
    if len(LENS & set(entry)) != 1 or len({"eye", "from"} & set(entry)) != 1:
        raise AssetError(f"{name}: give either field_of_view or height, and either eye or from")
    turn, low_3, high_3 = network_rotation(rest), rest.vertices_V3.min(0), rest.vertices_V3.max(0)
    target_3 = turn.apply(_vector(name, entry, "target", (low_3 + high_3) / 2))
    up_3 = turn.apply_vectors(_vector(name, entry, "up", turn.rotation_33[2]))
    wide, tall = (_number(name, entry, key) if key in entry else None for key in ("field_of_view", "height"))
    if "eye" in entry:
        eye_3 = turn.apply(_vector(name, entry, "eye", None))
    else:
        if wide is not None and "distance" not in entry:
            raise AssetError(f"{name}: with from and field_of_view, give distance too")
        size = float((high_3 - low_3).max())
        eye_3 = target_3 + _way(name, entry) * (_number(name, entry, "distance") if "distance" in entry else 3 * size)
    if tall is not None and not tall > 0:
        raise AssetError(f"{name}: a height of {tall}: give what the picture's height shows, in the character's units")
    try:
        return look_at(eye_3, target_3, up_3, wide, zoom=1.0 if tall is None else 2 / tall)
    except ValueError as error:
        raise AssetError(f"{name}: {error}") from None


def _way(name: str, entry: dict) -> np.ndarray:
    """Unit vector, network's frame, from the target to the eye: `from` degrees to the figure's left of its front, `elevation` above."""
    if isinstance(entry["from"], str) and entry["from"] not in VIEWS:
        raise AssetError(f"{name}: from is {entry['from']!r}: give {', '.join(VIEWS)}, or degrees to the figure's left")
    angle = np.radians(VIEWS[entry["from"]] if isinstance(entry["from"], str) else _number(name, entry, "from"))
    rise = np.radians(_number(name, entry, "elevation") if "elevation" in entry else 0.0)
    return np.array([np.sin(angle) * np.cos(rise), -np.cos(angle) * np.cos(rise), np.sin(rise)])


def _number(name: str, entry: dict, key: str) -> float:
    value = entry[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise AssetError(f"{name}: {key} is {value!r}, must be a number")
    return float(value)


def _vector(name: str, entry: dict, key: str, default: np.ndarray | None) -> np.ndarray:
    if key not in entry:
        return np.asarray(default, np.float64)
    value = entry[key]
    if not isinstance(value, list) or len(value) != 3:
        raise AssetError(f"{name}: {key} is {value!r}, must be three numbers")
    return np.array([_number(name, {key: one}, key) for one in value])


def scan_targets(scan: Asset, rest: Asset) -> tuple[list[Target], np.ndarray]:
    """Five silhouettes of a posed scan of the same character, and points spread over it, (P, 3); network's frame.

    Raises: AssetError for a cloud of points, and for a scan of another size than the character.
    """
    if not scan.has_faces:
        raise AssetError(f"{scan.source}: is a cloud of points: give a mesh")
    scan = scan.in_network_frame()
    ratio = float(np.linalg.norm(np.ptp(scan.vertices_V3, axis=0)) / np.linalg.norm(np.ptp(rest.vertices_V3, axis=0)))
    if not 0.4 < ratio < 2.5:
        raise AssetError(f"{scan.source}: is {ratio:.3g} times as large as the character: bring both to one unit")
    cameras = [around(scan.vertices_V3, 1, elevation=10, start=angle)[0] for angle in SCAN_ANGLES]
    targets = [Target(c, silhouette_of(scan.vertices_V3, scan.faces_F3, c, ROWS, ROWS).astype(float)) for c in cameras]
    face_P, bary_P3 = sample_surface(scan.vertices_V3, scan.faces_F3, SCAN_POINTS, np.random.default_rng(0))
    return targets, np.einsum("pk,pkx->px", bary_P3, np.float64(scan.vertices_V3)[scan.faces_F3[face_P]])
