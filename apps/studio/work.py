"""What the studio does with its files, without a page: faces, framing, names, the command line.

Files in; pictures, jobs and texts out. A notebook shares it. Errors are InputErrors, as everywhere.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apps import options
from apps.sources import source_picture
from apps.terminal import COMMAND
from hybridanim import files, io, paths, schema
from hybridanim.config import PipelineConfig, RenderJob, replaces_background
from hybridanim.errors import InputError
from hybridanim.face import aligner
from hybridanim.geometry import crop_image, turned
from hybridanim.motion import keyframes
from hybridanim.motion.motion_file import Motion
from hybridanim.prepare import source, source_head
from hybridanim.profiles import Profiles
from hybridanim.resampling import resized
from hybridanim.types import Array, Crop, FaceBox
from hybridanim.visualization import primitives
from stages.build import Builder

VIEW_PX = 640  # longer side of the pictures that faces are shown on
FRAMING_PX = 256
FORMATS = ("mp4", "webm", "mov", "gif")
_SEARCHED = 12  # frames of a driving video in which a face is looked for
_EVERY_S = 0.5
_MOST_STEM = 60  # characters of a result's name


@dataclass(frozen=True)
class Looked:
    """A picture and the faces in it."""

    path: Path
    picture: Array  # (H, W, 3) uint8 RGB, upright
    faces: tuple[FaceBox, ...] = ()  # largest first, as ``--face`` numbers them
    time_s: float = 0.0  # of a video
    note: str = ""  # what to know of it


class Looker:
    """Finds faces; loads what it needs with the first picture. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @cached_property
    def _aligner(self) -> Any:
        return aligner.load()

    @cached_property
    def _finder(self) -> Any:
        return Builder(PipelineConfig()).finder(None)

    def faces(self, picture: Array, crop: str = "auto") -> tuple[FaceBox, ...]:
        """Faces of an upright picture, (H, W, 3) uint8 RGB, largest first."""
        with self._lock:
            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            return tuple(source_head.faces(picture, grey, crop, self._aligner))

    def source(self, path: Path, time_s: float = 0.0) -> Looked:
        """Read a source picture, or a video's frame at that time, and find its faces."""
        picture = source_picture(path, time_s)
        return Looked(path, picture, self.faces(picture), time_s)

    def driving(self, path: Path) -> Looked:
        """Read a driving video's first frame with a face, or its first; or a file of motion."""
        if paths.is_file(path) and files.is_safetensors(path):
            motion = Motion.load(path)
            note = f"A motion file: {motion.count} frames, {float(motion.header.fps):g} a second."
            return Looked(path, np.zeros((2, 2, 3), np.uint8), note=note)
        if paths.is_file(path) and path.suffix.lower() == ".toml":
            keys = keyframes.load(path)
            note = f"Key frames: {keys.count} frames, {float(keys.fps):g} a second."
            return Looked(path, np.zeros((2, 2, 3), np.uint8), note=note)
        first: Looked | None = None
        with io.open_source(path, max_side_px=1280) as reader:
            due_s, looks = 0.0, 0
            for frame in reader:
                if frame.time_s < due_s:
                    continue
                due_s, looks = frame.time_s + _EVERY_S, looks + 1
                found = Looked(path, frame.image, self.faces(frame.image), frame.time_s)
                first = first or found
                if found.faces or looks >= _SEARCHED:
                    return found if found.faces else first
        if first is None:
            raise InputError(f"driving video: expected frames, found none in {path.name}; try it")
        return first

    def framing(self, picture: Array, config: PipelineConfig) -> tuple[Array, Crop]:
        """The upright picture and the square of it that is animated; InputError without a face."""
        with self._lock:
            found = source_head.locate(picture, config, Profiles(), self._aligner, self._finder)
        upright = turned(picture, found.turn_deg)
        source.refuse_far_crop(upright, config.crop)
        return upright, source.source_crop(upright, found.head, config.crop)


def shown_faces(looked: Looked, chosen: int, crop: Crop | None = None) -> Array:
    """The picture with numbered boxes around its faces, and the square that is animated.

    Its longer side has ``VIEW_PX`` pixels.
    """
    height, width = looked.picture.shape[:2]
    scale = VIEW_PX / max(height, width)
    canvas = resized(looked.picture, round(width * scale), round(height * scale)).copy()
    for index, face in enumerate(looked.faces):
        colour = primitives.GREEN if index == chosen else primitives.SKY
        box = (value * scale for value in (face.x_px, face.y_px, face.width_px, face.height_px))
        x, y, box_width, box_height = box
        primitives.put_paths(
            canvas, [primitives.box_path(x, y, box_width, box_height)], colour, 3, closed=True
        )
        if len(looked.faces) > 1:
            primitives.put_text(canvas, str(index + 1), (x + 4, y + 14), colour, size_px=20)
    if crop is not None:
        x, y = crop.x_px * scale, crop.y_px * scale
        side = crop.side_px * scale
        primitives.put_dashes(canvas, primitives.box_path(x, y, side, side), primitives.YELLOW, 2)
    return canvas


def face_at(looked: Looked, x_px: float, y_px: float) -> int | None:
    """Number of the face nearest to a place in ``shown_faces``; None where no face is near."""
    scale = VIEW_PX / max(looked.picture.shape[:2])
    place = np.array([x_px, y_px]) / scale
    found = [
        (float(np.hypot(*(place - np.array(face.center_xy_px)))) / face.width_px, index)
        for index, face in enumerate(looked.faces)
    ]
    distance, index = min(found, default=(np.inf, 0))
    return index if distance < 1 else None


def framed(picture: Array, crop: Crop) -> Array:
    """What the animated square shows at rest, (FRAMING_PX, FRAMING_PX, 3) uint8 RGB."""
    return crop_image(picture, crop, FRAMING_PX)


def result_stem(source_path: Path, driving_path: Path) -> str:
    """A name for the result of two files, without an ending."""
    return safe_stem(f"{source_path.stem}-{driving_path.stem}") or "animation"


def safe_stem(text: str) -> str:
    """The text as a part of a file's name: letters, digits, dots, lines; may be empty."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._-")[:_MOST_STEM]


def with_options(usual: RenderJob, given: Mapping[str, Any], output: Path) -> RenderJob:
    """The usual job with options by their names, as from JSON; InputError for unfit values."""
    hints = {one.name: one.hint for one in options.flat(usual)}
    values = {
        name: schema.fit(value, hints[name], f"--{name.replace('_', '-')}")
        for name, value in given.items()
    }
    return options.filled(usual, {**values, "output": output})


def command_line(job: RenderJob, source_path: Path, driving_path: Path) -> str:
    """The command that makes the same animation, with the files' names alone."""
    named = replace(job, output=Path(job.output.name), overwrite=False)
    if named.debug is not None:
        named = replace(named, debug=Path(named.debug.name))
    if named.save_motion is not None:
        named = replace(named, save_motion=Path(named.save_motion.name))
    words = [source_path.name, driving_path.name, *options.words(named, RenderJob())]
    return f"{COMMAND} {shlex.join(words)}"


def refuse_files_of_the_server(job: RenderJob) -> None:
    """Raise InputError for options that would read a file that nobody has uploaded."""
    background = job.pipeline.keypoints.background
    if replaces_background(background) and paths.is_file(background):
        raise InputError(
            "--background: expected a word or a colour, got the name of a file, which the studio"
            " does not read; use the command line for a picture behind"
        )
