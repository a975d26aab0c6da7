"""The folder of one fit: the character brought into its pose, what was turned, and a picture of silhouettes before and after.

Letters: J joints, T frames, N views, H rows, W columns.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset.asset import Asset, network_rotation
from dataset.exporter import replace_folder
from dataset.format import BODY_NAMES
from dataset.poses import T_AIMS
from dataset.sources.files import GLTF
from dataset.sources.gltf_scene import Scene
from geometry.kinematics import matrix_to_rotvec, rest_alignment, rotvec_to_matrix
from geometry.similarity import Y_UP_TO_Z_UP
from launch.pose_figure import Figure, Pose, Target, shrunk, silhouette_of, skinned
from launch.pose_fit import Found
from launch.rig_folder import as_json, rounded
from rigging.animation import Clip, bake, leg_length
from rigging.gltf_file import GltfFile
from rigging.rig import CharacterRig
from rigging.scene_binding import RiggedScene
from rigging.scene_fresh import fresh_scene
from rigging.scene_own_skeleton import own_joints

FPS, FRAMES = 30.0, 31      # of the way from rest to the pose, which takes a second
TALL, GAP, TOP = 300, 14, 46    # pixels of the picture: a silhouette's height, between two, above the first
PAPER, INK, BOTH, MISSING, TOO_MUCH = (250, 250, 252), (40, 45, 56), (188, 194, 204), (226, 92, 52), (36, 120, 196)


def write_fit(folder: Path, source: Path, asset: Asset, figure: Figure, found: Found, names: Sequence[str]) -> dict:
    """posed.glb, fit.json and fit.png, all or nothing; an older folder is replaced. names: of the views. Returns what fit.json says.

    asset: as read from source; figure: the same in the network's frame with 22 joints. Raises: AssetError or ValueError where the file
    cannot take a motion; WriteError.
    """
    scene = posed_scene(source, asset, figure, found.pose)
    report = as_report(source, asset, found, names)

    def fill(fresh: Path) -> None:
        scene.file.write(fresh / "posed.glb")
        (fresh / "fit.json").write_bytes(as_json(rounded(report)))
        overlay(figure, found, names).save(fresh / "fit.png", format="PNG")
    replace_folder(folder, fill)
    return report


def clip_of(figure: Figure, pose: Pose) -> Clip:
    """From rest to the pose, slow at both ends: each joint by the shortest way."""
    done_T = np.linspace(0, 1, FRAMES)
    done_T = done_T * done_T * (3 - 2 * done_T)
    turn_TJ33 = rotvec_to_matrix(done_T[:, None, None] * matrix_to_rotvec(pose.turn_J33))
    transforms_TJ34 = figure.transforms(turn_TJ33, done_T[:, None] * pose.offset_3)
    from_rest_J33 = rest_alignment(figure.joints_J3, T_AIMS[22])
    ideal_TJ33 = Y_UP_TO_Z_UP.T @ transforms_TJ34[..., :3] @ np.swapaxes(from_rest_J33, -1, -2) @ Y_UP_TO_Z_UP
    offset_T3 = done_T[:, None] * pose.offset_3 @ Y_UP_TO_Z_UP / leg_length(figure.joints_J3)
    return Clip(ideal_TJ33, offset_T3, FPS, "fit")


def posed_scene(source: Path, asset: Asset, figure: Figure, pose: Pose) -> RiggedScene:
    """The character's own file with the way into the pose as an animation; of another format a new glTF."""
    rig = CharacterRig(np.float64(asset.joints_J3), asset.parents, asset.names, asset.skin_VJ, network_rotation(asset).rotation_33)
    if source.suffix.lower() in GLTF:
        file = GltfFile.read(source)
        with file.container.guard():
            scene = RiggedScene(file, tuple(own_joints(file.container, Scene(file.container), rig)))
    else:
        scene = fresh_scene(asset.vertices_V3, asset.faces_F3, asset.normals_V3, rig, asset.up)
    bake(scene, rig, clip_of(figure, pose))
    return scene


def as_report(source: Path, asset: Asset, found: Found, names: Sequence[str]) -> dict:
    """Turns: rotation vectors in degrees against the parent, along the file's axes, joint at rest. offset and gaps: in the file's units."""
    to_file = network_rotation(asset)
    turn_J3 = np.degrees(to_file.undo_vectors(matrix_to_rotvec(found.pose.turn_J33)))
    joints = [{"name": name, "degrees": float(np.linalg.norm(turn_3)), "rotation_vector": [float(x) for x in turn_3]}
              for name, turn_3 in zip(BODY_NAMES, turn_J3)]
    views = [{"view": name, "iou_at_rest": float(before), "iou": float(after), "camera": _camera(target, to_file.rotation_33)}
             for name, before, after, target in zip(names, found.rest_iou_N, found.iou_N, found.targets)]
    scan = {} if found.gap is None else {"scan_gap_at_rest": found.rest_gap, "scan_gap": found.gap}
    return {"input": source.name, "iou_at_rest": float(found.rest_iou_N.mean()), "iou": float(found.iou_N.mean()), **scan, "views": views,
            "offset": [float(x) for x in to_file.undo_vectors(found.pose.offset_3)], "joints": joints}


def _camera(target: Target, turn_33: np.ndarray) -> dict:
    """In the file's axes: rows right, up and into the picture; the eye; the zoom (geometry/camera.py)."""
    camera = target.camera
    return {"rotation": (camera.rotation_33 @ turn_33).tolist(), "eye": (camera.eye_3 @ turn_33).tolist(), "zoom": camera.zoom,
            "perspective": camera.perspective}


def overlay(figure: Figure, found: Found, names: Sequence[str]) -> Image.Image:
    """Views from left to right, above at rest, below in the pose. Grey: both agree; orange: the picture alone; blue: the figure alone."""
    rows = [_drawn(figure, figure.rest, found), _drawn(figure, found.pose, found)]
    widths = [panel.width for panel in rows[0]]
    sheet = Image.new("RGB", (max(sum(widths) + GAP * (len(widths) + 1), 480), TOP + 2 * (TALL + GAP + 24)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    at = GAP
    for text, colour in (("both", BOTH), ("the picture alone", MISSING), ("the figure alone", TOO_MUCH)):
        draw.rectangle([at, 16, at + 14, 30], fill=colour)
        draw.text((at + 20, 23), text, fill=INK, font=font, anchor="lm")
        at += 44 + round(draw.textlength(text, font=font))
    for row, (panels, shares, word) in enumerate(zip(rows, (found.rest_iou_N, found.iou_N), ("at rest", "fitted"))):
        left, top = GAP, TOP + row * (TALL + GAP + 24)
        for panel, share, name in zip(panels, shares, names):
            sheet.paste(panel, (left, top))
            draw.rectangle([left, top, left + panel.width - 1, top + TALL - 1], outline=(214, 218, 226))
            draw.text((left + 4, top + TALL + 12), _short(draw, f"{name} {word}: {share:.0%}", panel.width, font), fill=INK, font=font, anchor="lm")
            left += panel.width + GAP
    return sheet


def _short(draw: ImageDraw.ImageDraw, text: str, width: int, font) -> str:
    while len(text) > 8 and draw.textlength(text, font=font) > width:
        text = "…" + text[2:]
    return text


def _drawn(figure: Figure, pose: Pose, found: Found) -> list[Image.Image]:
    vertices_V3 = skinned(np.float64(figure.vertices_V3), np.float64(figure.skin_VJ), figure.transforms(*pose))
    panels = []
    for camera, mask_HW in found.targets:
        wide = max(1, round(mask_HW.shape[1] * TALL / mask_HW.shape[0]))
        figure_HW = shrunk(silhouette_of(vertices_V3, figure.faces_F3, camera, 2 * TALL, 2 * wide).astype(float), TALL)
        wanted = Image.fromarray(np.uint8(np.rint(mask_HW * 255))).resize((wide, TALL), Image.Resampling.BICUBIC)
        wanted_HW = np.asarray(wanted, np.float64) / 255
        both_HW = np.minimum(figure_HW, wanted_HW)
        parts = (both_HW, wanted_HW - both_HW, figure_HW - both_HW)
        colour_HW3 = sum(part[..., None] * np.float64(colour) for part, colour in zip(parts, (BOTH, MISSING, TOO_MUCH)))
        panels.append(Image.fromarray(np.uint8(np.rint(colour_HW3 + (1 - sum(parts))[..., None] * 255).clip(0, 255))))
    return panels
