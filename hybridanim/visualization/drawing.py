"""Drawings of the stages' outputs: canvas and value in, new canvas out; one function per type.

A canvas is (H, W, 3) uint8 RGB and shows the picture that the value belongs to, at any size. Where
the value does not know the size of that picture, ``scale`` gives canvas pixels per picture pixel.
Empty, lost and degenerate values are drawn as such; no function raises an error for them. flow.py
draws dense motion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from hybridanim.face.head_pose import rotation_matrix
from hybridanim.geometry import px_from_norm
from hybridanim.types import (
    HEAD,
    LEFT_HAND,
    RIGHT_HAND,
    Array,
    Blob,
    Crop,
    HeadBox,
    HeadPose,
    HeadTarget,
    Keypoints,
    SkinMask,
    Source,
)
from hybridanim.types import Picture as PictureType
from hybridanim.types import Tracks as TracksType

from . import fitted_face, primitives
from .primitives import Colour, Line
from .sheet import fit

Trails = Mapping[int, Array]  # feature id -> (T, 2) float32 positions, oldest first
BLOB_COLOURS = {HEAD: primitives.SKY, LEFT_HAND: primitives.ORANGE, RIGHT_HAND: primitives.PINK}
AXES: tuple[tuple[str, Colour], ...] = (
    ("yaw", primitives.SKY),
    ("pitch", primitives.ORANGE),
    ("roll", primitives.PINK),
)
_AXES = np.array([[0, -1, 0], [1, 0, 0], [0, 0, -1]])  # of an upright head that faces the camera
OLD_FRAMES = 60  # features of this age and older share one colour
_ANGLES = np.linspace(0, 2 * np.pi, 25)[:-1]
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)


def skin(canvas: Array, mask: SkinMask) -> Array:
    """Skin tinted and outlined, the rest dimmed; blob boxes with labels, predicted ones dashed.

    The canvas may have another size than the mask. A chip shows the head's median colour at
    middle brightness, and the dotted white box is the face that the cascade saw.
    """
    out = primitives.copied(canvas)
    is_skin = cv2.resize(mask.mask, out.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    tint = primitives.solid(out.shape[0], out.shape[1], primitives.GREEN)
    lit = cv2.addWeighted(out, 0.88, tint, 0.12, 0)
    grey = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
    grey = cv2.convertScaleAbs(grey, alpha=0.65 if not mask else 0.4)
    out = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    cv2.copyTo(lit, is_skin, dst=out)
    unit = primitives.unit(out)
    outlines, _ = cv2.findContours(is_skin, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    primitives.put_paths(out, [path[:, 0] for path in outlines], (94, 224, 178), unit, closed=True)
    per_px = out.shape[1] / mask.mask.shape[1]
    for blob in mask.blobs:
        _put_blob(out, blob, per_px)
    if mask.face:
        seen = mask.face
        box = primitives.box_path(seen.x_px, seen.y_px, seen.width_px, seen.height_px)
        primitives.put_dashes(
            out, (box + 0.5) * per_px - 0.5, primitives.TEXT, unit, dash_px=3 * unit
        )
    if mask.unused:
        primitives.put_banner(out, f"skin is not used: {mask.unused}", (70, 76, 86))
        return out
    primitives.put_note(out, _skin_lines(mask, is_skin))
    if mask.lost:
        primitives.put_banner(out, f"no skin: {mask.lost}")
    return out


def _skin_lines(mask: SkinMask, is_skin: Array) -> list[Line]:
    lines = [Line(f"skin {100 * (is_skin > 0).mean():.1f} % of the picture")]
    if mask.median_uv is not None:
        u, v = mask.median_uv
        yuv = np.clip([[[150, u, v]]], 0, 255).astype(np.uint8)
        red, green, blue = (int(c) for c in cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB)[0, 0])
        lines.append(Line(f"median U {u:.0f}, V {v:.0f}", (red, green, blue)))
    if mask.is_frozen:
        lines.append(Line("learning paused", primitives.YELLOW))
    return lines


def _put_blob(out: Array, blob: Blob, per_px: float) -> None:
    unit = primitives.unit(out)
    colour = BLOB_COLOURS.get(blob.label, primitives.YELLOW)
    path = (primitives.box_path(*blob.box_px) + 0.5) * per_px - 0.5
    text = blob.label.replace("_", " ")
    if blob.is_predicted:
        primitives.put_dashes(out, path, colour, 1.6 * unit, dash_px=8 * unit)
        text += " (predicted)"
    else:
        primitives.put_paths(out, [path], colour, 1.8 * unit, closed=True)
        middle = (np.asarray(blob.centroid_xy_px) + 0.5) * per_px - 0.5
        primitives.put_dots(out, middle, 3 * unit, [colour])
    size = primitives.text_px(out, 0.85)
    if np.isfinite(path).all():
        x = np.clip(path[0, 0], 2, max(2, out.shape[1] - primitives.text_width(text, size) - 2))
        y = path[0, 1] - size * 1.4 if path[0, 1] > 1.6 * size else path[0, 1] + 0.2 * size
        primitives.put_text(out, text, (float(x) + 2, y), colour, size_px=size)


def extend_trails(trails: Trails, now: TracksType, length: int = 14) -> dict[int, Array]:
    """The trails with this frame's positions added: at most ``length`` points, only live ids."""
    return {
        int(key): np.vstack([trails[int(key)][1 - length :], [xy]])
        if int(key) in trails
        else xy[None]
        for key, xy in zip(now.ids, now.xy_px, strict=True)
    }


def tracks(
    canvas: Array, tracks: TracksType, trails: Trails | None = None, *, scale: float = 1.0
) -> Array:
    """Features (dark blue = new to yellow = old; sure ones opaque) with trails, head and rotation.

    ``trails`` come from ``extend_trails``. ``scale``: canvas pixels per pixel of the tracks. The
    three arrows are the head's axes: yaw turns about the blue one, pitch about the orange one, roll
    about the pink one, which points out of the face. A fitted face is drawn as its mesh, in place
    of the landmarks, with a panel of bars of its expression; the axes are then those of the fit.
    """
    out = cv2.convertScaleAbs(primitives.copied(canvas), alpha=0.72)
    points = fitted_face.points_of(tracks.face, scale) if tracks.face else None
    if points is not None:
        fitted_face.put_face(out, points)
    _put_features(out, tracks, trails or {}, scale)
    if points is None and tracks.landmarks_xy_px is not None:
        radius_px = 0.55 * _dot_px(out, tracks, scale)
        primitives.put_dots(
            out, (tracks.landmarks_xy_px + 0.5) * scale - 0.5, radius_px, [primitives.TEXT]
        )
    if tracks.head:
        _put_head(out, tracks.head, scale)
    if tracks.face and points is not None:
        _put_fitted_axes(out, tracks.face.pose, scale)
    elif tracks.head and not tracks.lost:
        _put_axes(out, tracks.head, tracks.rotation_deg, scale)
    primitives.put_note(out, _track_lines(tracks))
    if tracks.lost:
        primitives.put_banner(out, f"head lost: {tracks.lost}")
    else:
        primitives.put_note(out, _angle_lines(tracks), right=True)
        if tracks.face:
            fitted_face.put_bars(out, tracks.face)
    return out


def _track_lines(tracks: TracksType) -> list[Line]:
    counts = f"{len(tracks.ids)} features, {tracks.new} new, {tracks.dropped} dropped"
    sure = f"confidence {tracks.confidence_overall:.2f}"
    if tracks.face:
        sure += f", fitted face {tracks.face.confidence:.2f}"
    return [Line(counts), Line(sure)]


def _angle_lines(tracks: TracksType) -> list[Line]:
    return [
        Line(f"{name} {angle:+.0f}°", colour)
        for (name, colour), angle in zip(AXES, tracks.rotation_deg, strict=True)
    ]


def _dot_px(out: Array, tracks: TracksType, scale: float) -> float:
    """Radius of a feature: smaller on a small head, so that the face stays visible."""
    most = 2.2 * primitives.unit(out)
    size_px = tracks.head.size_px * scale if tracks.head else np.inf
    return float(np.clip(0.012 * size_px, 0.45 * most, most)) if size_px > 0 else most


def _put_features(out: Array, tracks: TracksType, trails: Trails, scale: float) -> None:
    """Three layers of opacity by confidence, the lowest first, so that sure features lie on top."""
    if not len(tracks.ids):
        return
    unit, radius_px = primitives.unit(out), _dot_px(out, tracks, scale)
    shade = np.clip(255 * tracks.age / OLD_FRAMES, 40, 255).astype(np.uint8)
    colours = cv2.applyColorMap(shade[:, None], cv2.COLORMAP_CIVIDIS)[:, 0, ::-1].tolist()
    level = np.digitize(np.nan_to_num(tracks.confidence), (0.34, 0.67))

    def paint(layer: Array, rows: Array) -> None:
        for row in rows:
            trail = trails.get(int(tracks.ids[row]))
            if trail is not None and len(trail) > 1:
                primitives.put_paths(layer, [(trail + 0.5) * scale - 0.5], colours[row], unit)
        xy = (tracks.xy_px[rows] + 0.5) * scale - 0.5
        primitives.put_dots(layer, xy, radius_px, [colours[row] for row in rows])

    for step, opacity in enumerate((0.35, 0.65, 1.0)):
        rows = np.flatnonzero(level == step)
        if len(rows):
            primitives.blended(out, opacity, lambda layer, rows=rows: paint(layer, rows))


def _put_head(out: Array, head: HeadBox, scale: float) -> None:
    if not np.isfinite(head.roll_deg):
        return
    angle = np.deg2rad(head.roll_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    path = primitives.box_path(-0.5, -0.5, 1, 1) * head.size_px @ turn.T + head.center_xy_px
    primitives.put_paths(
        out, [(path + 0.5) * scale - 0.5], primitives.TEXT, 1.4 * primitives.unit(out), closed=True
    )


def _put_axes(out: Array, head: HeadBox, rotation_deg: Sequence[float], scale: float) -> None:
    if not np.isfinite(rotation_deg).all():
        return
    start = (np.asarray(head.center_xy_px) + 0.5) * scale - 0.5
    _put_arrows(out, start, 0.55 * head.size_px * scale * axes_on_screen(*rotation_deg))


def _put_fitted_axes(out: Array, pose: HeadPose, scale: float) -> None:
    """The axes of a fitted pose, from the origin of the face model."""
    start = (np.asarray(pose.shift_px) + 0.5) * scale - 0.5
    _put_arrows(out, start, 0.55 * pose.scale_px * scale * _AXES @ np.asarray(pose.rotation).T)


def _put_arrows(out: Array, start: Array, axes: Array) -> None:
    """Three arrows from a point (2,) along axes (3, 3), one a row, in the colours of ``AXES``."""
    order = np.argsort(-axes[:, 2])  # far ones first
    for index in order:
        tip = start + axes[index, :2]
        primitives.put_arrow(out, start, tip, AXES[index][1], 2.4 * primitives.unit(out))
    primitives.put_dots(out, start, 2.5 * primitives.unit(out), [primitives.TEXT])


def axes_on_screen(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Array:
    """The head's axes of yaw (out of the crown), pitch (to the side) and roll (out of the face).

    Returns (3, 3): per axis x right, y down, z away from the viewer, unit length. Zero is a head
    that looks into the camera, upright; the signs are those of face.head_pose.
    """
    return _AXES @ rotation_matrix((yaw_deg, pitch_deg, roll_deg)).T


def source(canvas: Array, source: Source) -> Array:
    """The source's crop, the canvas, with its fitted face, the head's axes and its expression.

    Unchanged where no face was fitted.
    """
    out = primitives.copied(canvas)
    scale = out.shape[1] / source.crop.side_px
    points = fitted_face.points_of_source(source, out.shape[1])
    if source.face is None or points is None:
        return out
    fitted_face.put_face(out, points)
    pose = source.face.pose
    place = np.asarray(pose.shift_px) - (source.crop.x_px, source.crop.y_px)
    _put_fitted_axes(out, HeadPose(pose.rotation, pose.scale_px, place), scale)
    primitives.put_note(out, [Line(f"fitted face {source.face.confidence:.2f}")])
    fitted_face.put_bars(out, source.face)
    return out


def moved_face(canvas: Array, source: Source, target: HeadTarget | None) -> Array:
    """The result, the canvas, with the source's face as it moves and the axes of its head.

    Has a note instead where no face moves the head.
    """
    out = primitives.copied(canvas)
    side = out.shape[1]
    points = fitted_face.points_of_target(source, target, side) if target else None
    if target is None or points is None:
        primitives.put_note(out, [Line("no mesh moves the head")])
        return out
    fitted_face.put_face(out, points)
    pose = target.pose
    place = (np.asarray(pose.shift_px) + 1) * (side / 2) - 0.5
    _put_fitted_axes(out, HeadPose(pose.rotation, pose.scale_px * side / 2, place), 1.0)
    return out


def keypoints(
    canvas: Array,
    points: Keypoints,
    crop: Crop,
    *,
    before: Keypoints | None = None,
    face: Array | None = None,
    radius: float = 0.06,
    scale: float = 1.0,
    is_frozen: bool = False,
) -> Array:
    """Numbered keypoints; each ellipse is a small circle of the canonical face under its Jacobian.

    crop: the square that the points are normalised to, in pixels of the canvas's picture.
    before: the same points before the motion, drawn as rings with a line to where they go.
    face: (478, 3) vertices of a moved face in pixels of the canvas, drawn below the points.
    radius: of the small circle; 1 is the side of the canonical face. The spoke is its x axis; a
    mirrored Jacobian is red. ``scale``: canvas pixels per picture pixel.
    """
    out = cv2.convertScaleAbs(primitives.copied(canvas), alpha=0.72)
    unit = primitives.unit(out)
    if face is not None:
        fitted_face.put_face(out, face)
    square = primitives.box_path(crop.x_px, crop.y_px, crop.side_px, crop.side_px)
    primitives.put_dashes(out, square * scale - 0.5, primitives.DIM, unit)
    xy = (px_from_norm(points.xy_norm, crop) + 0.5) * scale - 0.5
    if before is not None and len(before.xy_norm) == len(xy):
        start = (px_from_norm(before.xy_norm, crop) + 0.5) * scale - 0.5
        primitives.put_paths(out, list(np.stack([start, xy], 1)), primitives.TEXT, unit)
        primitives.put_dots(out, start, 2.5 * unit, [primitives.TEXT], ring=True)
    per_norm = crop.side_px / 2 * scale
    level = np.digitize(np.nan_to_num(points.confidence), (0.34, 0.67))
    for step, opacity in enumerate((0.35, 0.65, 1.0)):
        rows = np.flatnonzero(level == step)
        if len(rows):
            primitives.blended(
                out,
                opacity,
                lambda layer, rows=rows: _put_points(layer, points, xy, rows, radius * per_norm),
            )
    mean = float(np.nan_to_num(points.confidence).mean()) if len(xy) else 0.0
    primitives.put_note(out, [Line(f"{len(xy)} keypoints, confidence {mean:.2f}")])
    if is_frozen:
        primitives.put_banner(out, "held: the last good motion is shown", (140, 98, 0))
    return out


def _put_points(out: Array, points: Keypoints, xy: Array, rows: Array, radius_px: float) -> None:
    unit, size = primitives.unit(out), primitives.text_px(out, 0.62)
    longest = 0.35 * max(out.shape[:2])
    for row in rows:
        jacobian = points.jacobian[row].astype(np.float64)
        colour = point_colour(int(row))
        if np.isfinite(jacobian).all():
            spread = radius_px * jacobian
            most = np.linalg.norm(spread, 2)
            spread = spread * min(1.0, longest / most) if most > 0 else spread
            edge = primitives.RED if np.linalg.det(jacobian) < 0 else colour
            around = CIRCLE @ spread.T + xy[row]  # starts and ends at the x axis: the spoke
            primitives.put_paths(out, [np.vstack([xy[row], around, around[:1]])], edge, 1.3 * unit)
    primitives.put_dots(out, xy[rows], 2.0 * unit, [point_colour(int(row)) for row in rows])
    for row in rows:
        place = (float(xy[row, 0] + 3 * unit), float(xy[row, 1] - 2 * unit))
        primitives.put_text(out, str(row), place, size_px=size, align=(0, 1))


def point_colour(index: int) -> Colour:
    """A colour of the palette for keypoint ``index``, the same in every picture."""
    palette = (
        primitives.SKY,
        primitives.ORANGE,
        (64, 200, 150),
        primitives.YELLOW,
        primitives.PINK,
        (90, 150, 255),
    )
    return palette[index % len(palette)]


def picture(canvas: Array, picture: PictureType) -> Array:
    """The result, fitted into a picture of the canvas's size."""
    return fit(picture.image, canvas.shape[1], canvas.shape[0])
