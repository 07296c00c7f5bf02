"""Poses by hand for a page: sources that are ready to be posed, and edited key frames.

Picture file -> ``Posed`` -> picture of a pose; ``Edit`` is the state of a user's time line. Nothing
here knows of Gradio: a notebook shares it. Errors are InputErrors, as everywhere.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2

from apps.sources import source_picture
from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.motion.by_hand import PARTS, RANGES, Controls, clipped
from hybridanim.motion.keyframes import Key, Keyframes
from hybridanim.types import Array, Source
from stages.pipeline import Pipeline, build

SHOWN_PX = 384  # side of the picture of a pose, unless --size says otherwise
PARTS_SHOWN = {
    "Head": ("yaw", "pitch", "roll", "shift_x", "shift_y", "zoom"),
    "Mouth": ("jaw", "smile"),
    "Brows": ("brows",),
    "Eyes": ("blink_left", "blink_right", "gaze_x", "gaze_y"),
}
"""Groups of controls, as they stand on the page."""
_JPEG_QUALITY = 90
_HEAD = tuple(name for name, part in PARTS.items() if part == "pose")


@dataclass(frozen=True)
class Posed:
    """A source that is ready to be posed."""

    path: Path
    source: Source


@dataclass(frozen=True)
class Edit:
    """A time line that is being edited; no keys before the first one is set."""

    keys: Keyframes | None = None
    fps: Fraction = Fraction(30)
    chosen: int | None = None  # index of the key that is shown

    def with_set(self, time_s: float, by: Controls, names: tuple[str, ...] = ()) -> Edit:
        """With a key at a time, of these controls, or of all; it is chosen."""
        own = asdict(by)
        key = Key(round(time_s, 3), {name: own[name] for name in names or RANGES})
        keys = Keyframes((key,), self.fps) if self.keys is None else self.keys.with_key(key)
        return self._at(keys, key.time_s)

    def without_chosen(self) -> Edit:
        """Without the chosen key; InputError where none is chosen."""
        keys, index = self._expect_chosen()
        left = None if len(keys.keys) == 1 else keys.without_key(index)
        return replace(self, keys=left, chosen=None)

    def with_moved(self, time_s: float) -> Edit:
        """With the chosen key at another time; InputError where none is chosen."""
        keys, index = self._expect_chosen()
        time_s = round(max(0.0, time_s), 3)
        return self._at(keys.with_key_moved(index, time_s), time_s)

    def with_rate(self, fps: float) -> Edit:
        """With another number of frames a second."""
        rate = Fraction(fps).limit_denominator(1001)
        keys = None if self.keys is None else replace(self.keys, fps=rate)
        return replace(self, keys=keys, fps=rate)

    def with_loaded(self, keys: Keyframes) -> Edit:
        """With the keys of a file."""
        return Edit(keys, keys.fps)

    def at(self, time_s: float) -> Controls:
        """The controls at a time; those of the picture without keys."""
        return Controls() if self.keys is None else self.keys.at(time_s)

    def expect_keys(self) -> Keyframes:
        """The key frames; InputError without any."""
        if self.keys is None:
            raise InputError(
                "key frames: expected at least one key, got none; choose a pose and a time, and set"
                " a key"
            )
        return self.keys

    def rows(self) -> list[list[object]]:
        """Number, time and what differs from the picture, for a table."""
        if self.keys is None:
            return []
        return [
            [number + 1, f"{key.time_s:.2f}", described(key.amounts)]
            for number, key in enumerate(self.keys.keys)
        ]

    def _expect_chosen(self) -> tuple[Keyframes, int]:
        if self.keys is None or self.chosen is None or self.chosen >= len(self.keys.keys):
            raise InputError(
                "key frames: expected a key that is chosen, got none; click one on the time line or"
                " in the table"
            )
        return self.keys, self.chosen

    def _at(self, keys: Keyframes, time_s: float) -> Edit:
        times = [key.time_s for key in keys.keys]
        return replace(self, keys=keys, chosen=times.index(time_s))


def described(amounts: Mapping[str, float]) -> str:
    """The amounts that differ from the picture's, as text."""
    changed = [f"{name} {value:.3g}" for name, value in amounts.items() if abs(value) >= 5e-4]
    return ", ".join(changed) or "as in the picture"


def without_head(found: Controls, now: Controls) -> Controls:
    """The face of one pose with the head's pose of another."""
    own = asdict(now)
    return clipped({**asdict(found), **{name: own[name] for name in _HEAD}})


class Poser:
    """One pipeline that poses sources of several users, one at a time."""

    def __init__(self, config: PipelineConfig, *, mark: bool = True) -> None:
        """config: of the studio; networks are loaded with the first source."""
        size = config.size or SHOWN_PX
        dense = replace(config.dense, explain=False)
        render = replace(config.render, paste_back=False)
        self._config = replace(config, size=size, dense=dense, render=render)
        self._mark, self._lock = mark, threading.Lock()
        self._pipeline: Pipeline | None = None

    def load(self, path: Path, *, face: int = 0, crop: str | None = None) -> Posed:
        """Prepare a picture (or a video's first frame); InputError without a fitted face.

        face, crop: the options of these names; None: the studio's.
        """
        picture = source_picture(path, alpha=True)
        config = replace(self._config, face=face, crop=crop or self._config.crop)
        with self._lock:
            if self._pipeline is None or self._pipeline.config != config:
                self._pipeline = build(config)
            source = self._pipeline.set_source(picture)
            self._pipeline.pose()  # refuses a source without a fitted face
        return Posed(path, source)

    def picture(self, posed: Posed, by: Controls) -> Array:
        """(S, S, 3) uint8 RGB: the source in a pose, with the mark that results have."""
        with self._lock:
            pipeline = self._ready(posed)
            found = pipeline.pose(**asdict(by))
        return provenance.draw_mark(found) if self._mark else found

    def copied(self, posed: Posed, path: Path) -> Controls:
        """The controls that give the source the pose and expression of a picture."""
        picture = source_picture(path)
        with self._lock:
            return self._ready(posed).copy_pose(picture)

    def _ready(self, posed: Posed) -> Pipeline:
        if self._pipeline is None:  # a source of an earlier studio
            self._pipeline = build(self._config)
        if self._pipeline.source is not posed.source:
            self._pipeline.use_source(posed.source)
        return self._pipeline


def data_uri(picture: Array) -> str:
    """A picture (H, W, 3) uint8 RGB as the address of an <img>, JPEG."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    done, data = cv2.imencode(".jpg", picture[..., ::-1], quality)
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
