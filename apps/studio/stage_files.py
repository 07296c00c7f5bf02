"""A folder of debug outputs, read again: the picture of a stage at a frame, and why it was held.

The videos have one picture a frame, at the frame's own time, as ``frames.csv`` lists them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from apps.held import Stretch, clock
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.types import Array
from hybridanim.visualization.debug_writer import AVATAR, OVERVIEW, TABLE, VIDEOS
from hybridanim.visualization.report.page import OPTICAL, PICTURE

SHOWN = {  # label -> file
    "All stages": OVERVIEW,
    "1 Skin": "1_skin.mp4",
    "2 Head and features": "2_tracks.mp4",
    "3 Keypoints": "3_keypoints.mp4",
    "3 Optical flow": OPTICAL,
    "4 Motion": "4_flow.mp4",
    "4 Grid": "4_grid.mp4",
    "4 Hidden places": "4_occlusion.mp4",
    "4 Depth": "4_depth.mp4",
    "4 Head mesh": "4_mesh.mp4",
    "5 Driver and result": "5_result.mp4",
    "Source": PICTURE,
    "Avatar": AVATAR,
}
_STILL = (PICTURE, AVATAR)
assert set(VIDEOS) <= set(SHOWN.values())


@dataclass(frozen=True)
class Row:
    """One frame of ``frames.csv``, as far as it is shown."""

    index: int
    time_s: float
    held: str  # why its motion was held, or ""
    confidence: float  # of the tracks, in [0, 1]
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    total_ms: float

    def __str__(self) -> str:
        state = f"held: {self.held}" if self.held else f"confidence {self.confidence:.2f}"
        yaw, pitch, roll = (round(a) for a in (self.yaw_deg, self.pitch_deg, self.roll_deg))
        angles = f"yaw {yaw}°, pitch {pitch}°, roll {roll}°"
        return (
            f"Frame {self.index}, {clock(self.time_s)} s: {state}; {angles};"
            f" {self.total_ms:.0f} ms in the stages"
        )


@dataclass(frozen=True)
class StageFiles:
    """The debug outputs of a finished run."""

    folder: Path
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, folder: Path) -> StageFiles:
        """Read the table; InputError where it is missing or damaged."""
        try:
            with (folder / TABLE).open(newline="", encoding="utf-8") as file:
                rows = tuple(_row(values) for values in csv.DictReader(file))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"stages: expected {TABLE} of a finished run in {folder.name}, got {error}; animate"
                " again with the pictures of the stages"
            ) from error
        if not rows:
            raise InputError(f"stages: expected frames in {folder.name}/{TABLE}, found none")
        return cls(folder, rows)

    @property
    def labels(self) -> list[str]:
        """Keys of ``SHOWN`` whose file this run has."""
        return [label for label, name in SHOWN.items() if (self.folder / name).is_file()]

    def picture(self, label: str, number: int) -> Array:
        """The picture of a stage at frame ``number``, (H, W, 3) uint8 RGB."""
        path = self.folder / SHOWN[label]
        if path.name in _STILL:
            return io.read_picture(path)
        return _picture(path, path.stat().st_mtime_ns, self._start_s(number))

    def stretches(self) -> list[tuple[int, Stretch]]:
        """Stretches of held motion in the order of time, with the number of their first row."""
        found: list[tuple[int, Stretch]] = []
        is_open = False
        for number, row in enumerate(self.rows):
            if is_open:
                found[-1][1].end_s = row.time_s
            if row.held and not is_open:
                found.append((number, Stretch(row.time_s, row.time_s)))
            if row.held:
                found[-1][1].reasons[row.held] += 1
            is_open = bool(row.held)
        return found

    def _start_s(self, number: int) -> float:
        """A time between the row before and this one, from the first row on."""
        number = min(max(0, number), len(self.rows) - 1)
        here = self.rows[number].time_s - self.rows[0].time_s
        before = self.rows[max(0, number - 1)].time_s - self.rows[0].time_s
        return max(0.0, (here + before) / 2)


@lru_cache(maxsize=32)
def _picture(path: Path, changed_ns: int, start_s: float) -> Array:
    """The first picture of a video from that second on; changed_ns: of the file, for the cache."""
    with io.open_source(path, start_s, threads="NONE") as reader:
        frame = next(reader, None)
    if frame is None:
        raise InputError(f"stages: expected a picture at {start_s:.2f} s of {path.name}, got none")
    return frame.image


def found_in(results: Path) -> list[Path]:
    """Folders of debug outputs in the folder for results, newest first."""
    tables = sorted(results.glob(f"*/{TABLE}"), key=lambda path: -path.stat().st_mtime)
    return [path.parent for path in tables]


def _row(values: dict[str, str]) -> Row:
    return Row(
        index=int(values["index"]),
        time_s=float(values["time_s"]),
        held=values["held"],
        confidence=float(values["tracks_confidence"]),
        yaw_deg=float(values["yaw_deg"]),
        pitch_deg=float(values["pitch_deg"]),
        roll_deg=float(values["roll_deg"]),
        total_ms=float(values["total_ms"]),
    )
