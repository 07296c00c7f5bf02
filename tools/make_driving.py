"""Draw the example's driving clip: a talking head that turns, nods, blinks, speaks and waves.

Options -> frames with truth (head angles, landmarks, skin labels, optical flow), or an mp4 with
sound. ``python tools/make_driving.py --output hybridanim/assets/driving.mp4``. Deterministic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

if __package__ in (None, ""):  # run as a script: the repository's root is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hybridanim import command_line, files, paths

from .driving_head import film
from .driving_head.looks import Looks
from .driving_head.paint import TONES, paint_atlas
from .driving_head.raster import Array, Visible, rasterise
from .driving_head.room import paint_room, paint_wall
from .driving_head.scene import MATERIALS, Posed, Scene
from .driving_head.script import DURATION_S, Pose, pose_at
from .driving_head.shading import Light, shade
from .driving_head.surfaces import look_up
from .driving_head.truth import LANDMARK_NAMES, LANDMARKS, RenderedFrame
from .driving_head.voice import synthesise

__all__ = [
    "LANDMARK_NAMES",
    "Light",
    "Looks",
    "Options",
    "Pose",
    "RenderedFrame",
    "frames",
    "render",
]


@dataclass(frozen=True)
class Options:
    """How the clip is drawn; equal options give equal pixels."""

    width: int = 640
    height: int = 480
    fps: int = 30
    seconds: float = DURATION_S  # the performance is stretched to this length
    tone: str = "medium"  # skin: light, medium or dark
    seed: int = 0  # of every texture
    samples: int = 2  # per pixel side
    hands: bool = True
    zoom: float = 1.0  # above 1 = the head is larger
    light: Light = field(default_factory=Light)
    looks: Looks = field(default_factory=Looks)


@cache
def _scene(looks: Looks) -> Scene:
    return Scene(looks)


@cache
def _paint(tone: str, seed: int, looks: Looks) -> tuple[Array, Array]:
    return paint_atlas(tone, seed, looks)


@cache
def _atlas(tone: str, seed: int, looks: Looks, blur_px: float) -> Array:
    atlas, _ = _paint(tone, seed, looks)
    return cv2.GaussianBlur(atlas, (0, 0), blur_px) if blur_px > 0.35 else atlas


@cache
def _room(width: int, height: int, seed: int, wall_rgb: tuple[int, int, int] | None) -> Array:
    if wall_rgb is None:
        return paint_room(width, height, seed)
    return paint_wall(width, height, seed, wall_rgb)


def camera_matrix(options: Options) -> Array:
    """3x3 pinhole matrix: the head's origin projects to the middle, a little above half height."""
    focal = options.height * 2.0 * options.zoom
    x, y = (options.width - 1) / 2, 0.44 * options.height - 0.5
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]])


def project(xyz_cm: Array, camera: Array) -> Array:
    """Camera coordinates (..., 3) to pixels (..., 2)."""
    return xyz_cm[..., :2] / xyz_cm[..., 2:] * camera[0, 0] + camera[:2, 2]


def render(
    time_s: float, options: Options | None = None, pose: Pose | None = None
) -> RenderedFrame:
    """Draw one moment of the performance, or any ``pose`` of your own.

    Takes some 0.1 to 0.2 s at 640x480; the first call also builds meshes and textures.
    """
    options = options or Options()
    scene = _scene(options.looks)
    pose = pose or pose_at(time_s, options.seconds)
    if not options.hands:
        pose = Pose(pose.yaw_deg, pose.pitch_deg, pose.roll_deg, pose.shift_cm, pose.face)
    posed = scene.pose(pose)
    camera = camera_matrix(options)
    n, shape = options.samples, (options.height * options.samples, options.width * options.samples)
    xy_px = project(posed.xyz, camera)
    depth = posed.xyz[:, 2]
    near = depth > 5.0  # a hidden hand is put behind the camera
    inverse = np.where(near, 1 / np.where(near, depth, 1.0), 0.0)
    triangles = scene.triangles
    shown = near[triangles].all(axis=1)
    order = np.flatnonzero(shown)
    seen = rasterise((xy_px + 0.5) * n - 0.5, inverse, triangles[order], shape)
    seen = Visible(seen.sample, order[seen.triangle], seen.weights, seen.inverse_depth)
    colour, texel = _light(scene, posed, seen, options)
    labels, parts = _labels(scene, seen, texel, options)
    points, visible, model = _landmarks(scene, posed, seen, camera, options)
    return RenderedFrame(
        image=_compose(colour, seen, options),
        index=round(time_s * options.fps),
        time_s=time_s,
        pose=pose,
        labels=labels,
        parts=parts,
        landmarks_xy_px=points,
        landmarks_visible=visible,
        landmarks_xyz_cm=model,
        camera=camera,
        surface=seen,
        vertices_xy_px=xy_px,
        triangles=triangles,
        samples=n,
    )


def frames(options: Options | None = None) -> Iterator[RenderedFrame]:
    """All frames of the clip in order."""
    options = options or Options()
    for index in range(round(options.seconds * options.fps)):
        yield render(index / options.fps, options)


def _sample(atlas: Array, uv: Array) -> Array:
    """Bilinear lookup of (N, 2) atlas pixels, (N, 4)."""
    rows = -(-len(uv) // 1024)
    padded = np.zeros((rows * 1024, 2), np.float32)
    padded[: len(uv)] = uv
    found = look_up(atlas, padded.reshape(rows, 1024, 2))
    return found.reshape(-1, 4)[: len(uv)]


def _light(scene: Scene, posed: Posed, seen: Visible, options: Options) -> tuple[Array, Array]:
    """Linear colour (N, 3) and atlas position (N, 2) of every covered sample."""
    place = posed.xyz * np.array([1, -1, -1])
    columns = [posed.uv, posed.normal, place, posed.shadow[:, None]]
    values = np.concatenate(columns, axis=1).astype(np.float32)
    values = seen.interpolate(values, scene.triangles)
    normal = values[:, 2:5]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    view = -values[:, 5:8]
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    blur = 0.5 * 720 / (options.height * options.samples * options.zoom)
    atlas = _atlas(options.tone, options.seed, options.looks, round(blur, 2))
    colour = _sample(atlas, values[:, :2])
    material = scene.triangle_material[seen.triangle]
    light = shade(colour, normal, view, material, MATERIALS, options.light)
    return light * values[:, 8:9], values[:, :2]


def _compose(colour: Array, seen: Visible, options: Options) -> Array:
    """Average the samples, put them over the room, encode as sRGB-like uint8."""
    n, height, width = options.samples, options.height, options.width
    canvas = np.zeros((height * n * width * n, 4), np.float32)
    canvas[seen.sample, :3] = np.minimum(colour, 1.0)
    canvas[seen.sample, 3] = 1
    canvas = canvas.reshape(height * n, width * n, 4)
    if n > 1:
        canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    room = _room(width, height, options.seed, options.looks.wall_rgb)
    room = np.power(room.astype(np.float32) / 255, 2.2)
    mixed = canvas[..., :3] + room * (1 - canvas[..., 3:])
    return np.round(255 * np.power(np.clip(mixed, 0, 1), 1 / 2.2)).astype(np.uint8)


def _labels(scene: Scene, seen: Visible, texel: Array, options: Options) -> tuple[Array, Array]:
    """Skin labels by the majority of a pixel's samples, and parts by its middle sample."""
    n, height, width = options.samples, options.height, options.width
    _, hair = _paint(options.tone, options.seed, options.looks)
    x, y = np.round(texel).astype(np.int64).T
    label = np.where(hair[y, x], 0, scene.triangle_label[seen.triangle])
    flat = np.zeros(height * n * width * n, np.uint8)
    flat[seen.sample] = label
    grid = flat.reshape(height * n, width * n)
    labels = np.zeros((height, width), np.uint8)
    for value in (1, 2, 3):
        one = (grid == value).astype(np.float32)
        share = cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) if n > 1 else one
        labels[share >= 0.5] = value
    flat[:] = 0
    flat[seen.sample] = 1 + scene.triangle_part[seen.triangle]
    parts = flat.reshape(height * n, width * n)[n // 2 :: n, n // 2 :: n]
    return labels, parts.copy()


def _landmarks(
    scene: Scene, posed: Posed, seen: Visible, camera: Array, options: Options
) -> tuple[Array, Array, Array]:
    """Positions (L, 2) in pixels, visibility (L,), and positions (L, 3) in head coordinates."""
    vertices = np.array([scene.head.vertex(*LANDMARKS[name]) for name in LANDMARK_NAMES])
    place = posed.xyz[vertices]
    points = project(place, camera)
    view = -place * np.array([1, -1, -1])
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    facing = (posed.normal[vertices] * view).sum(axis=1) > 0.05
    n, limit = options.samples, np.array(seen.inverse_depth.shape[::-1]) - 1
    sample = np.round((points + 0.5) * n - 0.5).astype(np.int64)
    inside = ((sample >= 0) & (sample <= limit)).all(axis=1)
    column, row = np.clip(sample, 0, limit).T
    front = 1 / np.maximum(seen.inverse_depth[row, column], 1e-6)
    visible = inside & facing & (place[:, 2] < front + 0.6)
    model = posed.head_rest[vertices]
    return points.astype(np.float32), visible, model.astype(np.float32)


def main(arguments: list[str] | None = None) -> int:
    """Command line: draw the clip and write it; the exit code."""
    return command_line.run("make_driving", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(description="Draw the example's driving clip.")
    default = files.EXAMPLE_DRIVING
    parser.add_argument("--output", type=Path, default=default, help="mp4 file to write")
    parser.add_argument("--seconds", type=float, default=DURATION_S)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT in pixels, even numbers")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--tone", choices=tuple(TONES), default="medium", help="skin tone")
    parser.add_argument("--seed", type=int, default=0, help="of every texture")
    parser.add_argument("--sound", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    given = parser.parse_args(arguments)
    try:
        width, height = (int(part) for part in given.size.lower().split("x"))
    except ValueError:
        parser.error(f"--size: expected WIDTHxHEIGHT, got {given.size!r}; try 640x480")
    if width % 2 or height % 2 or min(width, height) < 64:
        parser.error(f"--size: expected even numbers of 64 or more, got {given.size}; try 640x480")
    paths.refuse_replacing([("--output", given.output)], (), overwrite=given.overwrite)
    options = Options(width, height, given.fps, given.seconds, given.tone, given.seed)
    sound = synthesise(options.seconds, options.seed) if given.sound else None
    count = round(options.seconds * options.fps)
    images = (frame.image for frame in tqdm(frames(options), total=count, unit="frame"))
    film.write(given.output, images, options.fps, sound)
    print(f"{given.output}: {count} frames, {given.output.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
