"""Motion file: what stage 3 has seen of a driver, without pictures, for any source.

A safetensors file holds, for each frame, the keypoints in the fixed driving crop, the fitted face's
pose and expression, and the background's affine, all before smoothing and transfer; for each
stretch of frames the first frame that they refer to; and faces of the preview scan, from which the
reference frame is chosen for a source. ``MotionWriter`` writes it, ``Motion.load`` reads it,
``replay`` animates by it. Identity coefficients, landmarks and pictures are not in it.

Memory does not grow with the length: rows go to a file without a name until the end, and are read
in blocks. A file is checked when it is opened: tensors, shapes, ranges, finite numbers.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.types import Array, Crop, HeadBox, HeadPose, Keypoints

from .head_transfer import DriverFace
from .reference import Reference
from .sparse import Seen

FORMAT = "motion-1"
MOST_FRAMES = 10_000_000  # 92 hours at 30 frames per second
MOST_STRETCHES = 100_000
MOST_FACES, MOST_FACE_STRETCHES = 1000, 16
MOST_KEYPOINTS, MOST_EXPRESSION = 1024, 256
_MOST_HEADER = 64 << 10  # bytes
_MOST_TEXT = 16 << 10  # characters of an entry of the metadata
_BLOCK = 1024  # rows that are read or written at a time
_MOST_VIEW_PX = 4096
_LARGEST_NORM, _LARGEST_PX = 1e3, 1e6
_DTYPES = {"f8": "F64", "f4": "F32", "i8": "I64", "i4": "I32", "u1": "U8"}
_FIX = "give one that --save-motion wrote"


@dataclass(frozen=True)
class MotionRow:
    """One frame of a motion file."""

    index: int  # 0 is the first frame of the file
    time_s: float  # in the video that it is of
    stretch: int  # index of ``Motion.stretches``; -1: before the first head
    seen: Seen | None  # None: nothing was tracked


@dataclass(frozen=True)
class Stretch:
    """Frames that refer to one first frame."""

    row: int  # of the first one
    first: Reference  # its crop is the fixed driving crop
    face: DriverFace | None  # of the first frame, in the crop


@dataclass(frozen=True)
class ScannedFace:
    """A face of the preview scan: a possible reference frame."""

    row: int
    time_s: float
    rotation_deg: tuple[float, float, float]
    openings: Array | None  # (3,) of left eye, right eye, mouth; None = unknown
    is_whole: bool  # whether the picture's edge does not cut it off
    has_keypoints: bool  # whether the keypoints are of a learned detector
    head: HeadBox
    face: DriverFace | None  # in the first stretch's crop
    poses: tuple[tuple[Keypoints, Array | None], ...]
    """For each of the first stretches: keypoints in its crop, with the body's, and the background's
    affine (2, 3), reference <- first frame."""


@dataclass(frozen=True)
class MotionHeader:
    """What is said once of a motion file."""

    fps: Fraction
    time_base: Fraction  # seconds; every frame time is a whole number of it
    view: tuple[int, int]  # width and height of the driving frames at working resolution
    tracker: str = "classical"
    weights: str = ""  # SHA-256 of a detector of one's own, or ""
    settings: str = "{}"  # JSON: the options that the motion depends on

    def table(self) -> dict[str, str]:
        """The metadata of the file."""
        width, height = self.view
        return {
            "format": FORMAT,
            "fps": str(self.fps),
            "time_base": str(self.time_base),
            "view": f"{width}x{height}",
            "tracker": self.tracker,
            "weights": self.weights,
            "settings": self.settings,
        }

    @classmethod
    def of(cls, table: Mapping[str, str]) -> MotionHeader:
        """Raises ValueError or KeyError for another program's metadata."""
        if table.get("format") != FORMAT:
            raise ValueError(f"format {table.get('format')!r}")
        if max(map(len, table.values())) > _MOST_TEXT:
            raise ValueError("a long text in its header")
        fps, base = (_fraction(table[name]) for name in ("fps", "time_base"))
        if not (0 < fps <= 1000 and 0 < base <= 10):
            raise ValueError(f"{fps} frames per second of a time base of {base} s")
        width, height = (int(side) for side in table["view"].split("x"))
        if not (0 < width <= _MOST_VIEW_PX and 0 < height <= _MOST_VIEW_PX):
            raise ValueError(f"a view of {width}x{height}")
        if not isinstance(json.loads(table["settings"]), dict):
            raise ValueError("settings that are no table")
        return cls(
            fps, base, (width, height), table["tracker"], table["weights"], table["settings"]
        )


def _fraction(text: str) -> Fraction:
    top, _, bottom = text.partition("/")
    if len(text) > 40 or not (top.isdecimal() and (bottom or "1").isdecimal()):
        raise ValueError(f"the number {text[:40]!r}")
    return Fraction(int(top), int(bottom or "1"))  # ZeroDivisionError is an ArithmeticError


# Layout: fields of a row, (name, type, shape), of which each becomes one tensor. Types are those
# that stage 3 computes in: with half precision, single pixels at the head's edge differ by up to 65
# grey levels from those of the run from the video

_Layout = list[tuple[str, str, tuple[int, ...]]]


def _points_layout(keypoints: int) -> _Layout:
    return [
        ("xy", "f4", (keypoints, 2)),
        ("jacobian", "f4", (keypoints, 2, 2)),
        ("confidence", "f4", (keypoints,)),
    ]


_HEAD_LAYOUT: _Layout = [("head", "f8", (4,))]  # x, y, size, roll; size 0: none
_FACE_LAYOUT: _Layout = [
    ("has_face", "u1", ()),
    ("rotation", "f8", (3, 3)),
    ("face_scale", "f8", ()),
    ("face_shift", "f8", (2,)),
]
_BACKGROUND_LAYOUT: _Layout = [("has_background", "u1", ()), ("background", "f4", (2, 3))]


def _row_layout(keypoints: int, expression: int) -> _Layout:
    return [
        ("time_s", "f8", ()),
        ("stretch", "i4", ()),
        ("is_seen", "u1", ()),
        ("has_body", "u1", ()),
        ("trust", "f8", ()),
        ("sure", "f8", (2,)),
        *_HEAD_LAYOUT,
        *_points_layout(keypoints),
        *_BACKGROUND_LAYOUT,
        *_FACE_LAYOUT,
        ("expression", "f4", (expression,)),
        ("lids", "f4", (2,)),
        ("mouth", "f8", ()),
    ]


def _stretch_layout(keypoints: int) -> _Layout:
    return [
        ("row", "i8", ()),
        ("crop", "f8", (3,)),
        *_HEAD_LAYOUT,
        *_points_layout(keypoints),
        *_FACE_LAYOUT,
    ]


def _scan_layout(keypoints: int, stretches: int) -> _Layout:
    poses = [*_points_layout(keypoints), *_BACKGROUND_LAYOUT]
    return [
        ("row", "i8", ()),
        ("time_s", "f8", ()),
        ("rotation_deg", "f8", (3,)),
        ("has_openings", "u1", ()),
        ("openings", "f8", (3,)),
        ("is_whole", "u1", ()),
        ("has_keypoints", "u1", ()),
        *_HEAD_LAYOUT,
        *_FACE_LAYOUT,
        *((name, kind, (stretches, *shape)) for name, kind, shape in poses),
    ]


_PARTS = ("frames", "stretches", "scan")  # in the file's order


def _dtype(layout: _Layout) -> np.dtype[Any]:
    return np.dtype([(name, f"<{kind}" if kind != "u1" else kind, s) for name, kind, s in layout])


# Values <-> rows


def _put_points(row: Any, points: Keypoints) -> None:
    row["xy"], row["jacobian"] = points.xy_norm, points.jacobian
    row["confidence"] = points.confidence


def _points(row: Any) -> Keypoints:
    return Keypoints(*(np.asarray(row[n], np.float32) for n in ("xy", "jacobian", "confidence")))


def _put_head(row: Any, head: HeadBox | None) -> None:
    if head is not None:
        row["head"] = *head.center_xy_px, head.size_px, head.roll_deg


def _head(row: Any) -> HeadBox | None:
    x, y, size, roll = (float(value) for value in row["head"])
    return HeadBox((x, y), size, roll) if size > 0 else None


def _put_face(row: Any, face: DriverFace | None) -> None:
    if face is not None:
        row["has_face"], row["rotation"] = 1, face.pose.rotation
        row["face_scale"], row["face_shift"] = face.pose.scale_px, face.pose.shift_px


def _pose(row: Any) -> HeadPose:
    shift = np.asarray(row["face_shift"], np.float64)
    return HeadPose(np.asarray(row["rotation"], np.float64), float(row["face_scale"]), shift)


def _posed(row: Any) -> DriverFace | None:
    """The face of a reference frame, of which only the pose counts."""
    if not row["has_face"]:
        return None
    return DriverFace(_pose(row), np.zeros(0, np.float32), np.ones(2), 0.0)


def _put_background(row: Any, background: Array | None) -> None:
    row["background"] = np.eye(2, 3)
    if background is not None:
        row["has_background"], row["background"] = 1, background


def _background(row: Any) -> Array | None:
    return np.asarray(row["background"], np.float32) if row["has_background"] else None


def _seen(row: Any) -> Seen | None:
    if not row["is_seen"]:
        return None
    face = None
    if row["has_face"]:
        expression = np.asarray(row["expression"], np.float32)
        lids = np.asarray(row["lids"], np.float32)
        face = DriverFace(_pose(row), expression, lids, float(row["mouth"]))
    return Seen(
        _points(row),
        _background(row),
        bool(row["has_body"]),
        face,
        float(row["trust"]),
        _head(row),
        (float(row["sure"][0]), float(row["sure"][1])),
    )


class MotionWriter:
    """Writes a motion file, which is there whole or not at all: ``close`` or ``discard`` ends it.

    ``count`` is the number of frames.
    """

    def __init__(self, path: str | Path, expression: int, *, overwrite: bool = False) -> None:
        """expression: number of coefficients. Raises InputError where the place is unfit."""
        self.path, self.count = Path(path), 0
        paths.refuse_replacing([("--save-motion", self.path)], (), overwrite=overwrite)
        if paths.is_folder(self.path):
            raise InputError(
                f"--save-motion {self.path}: expected a file, got a folder; choose another name"
            )
        self._expression, self._overwrite = expression, overwrite
        self._times: list[float] = []  # of frames before the first with keypoints
        self._layout: _Layout = []
        self._keypoints = 0  # 0 = unknown as yet
        self._stretches: list[Stretch] = []
        self._is_open, self._last_s = True, -math.inf
        self._spool: IO[bytes] = self._try(self._open)

    def begin(self, first: Reference, face: DriverFace | None) -> None:
        """Begin a stretch with the next frame; first: the frame that tracks refer to from here."""
        count = len(first.keypoints.xy_norm)
        if not self._keypoints:
            self._keypoints = count
            self._layout = _row_layout(count, self._expression)
        if count != self._keypoints:
            raise TypeError(f"begin: expected {self._keypoints} keypoints, got {count}; use one K")
        self._stretches.append(Stretch(self.count, first, face))

    def add(self, time_s: float, seen: Seen | None) -> None:
        """Add the next frame; None: nothing is tracked in it.

        Times must grow. What a reader would refuse is written as a frame without tracks. Raises
        InputError when the disk is full.
        """
        if not time_s > self._last_s:
            raise InputError(
                f"--save-motion: expected times that grow, got {time_s} s after {self._last_s} s;"
                " give each frame its own time"
            )
        self._last_s = time_s
        self.count += 1
        if not self._layout:
            self._times.append(time_s)
            return
        rows = np.zeros(len(self._times) + 1, _dtype(self._layout))
        rows["time_s"] = [*self._times, time_s]
        rows["stretch"], rows["background"] = -1, np.eye(2, 3)
        self._times = []
        rows["stretch"][-1] = len(self._stretches) - 1
        if seen is not None and len(seen.keypoints.xy_norm) == self._keypoints:
            self._put(rows[-1:], seen)
        self._try(lambda: self._spool.write(rows.tobytes()))

    def _put(self, rows: Array, seen: Seen) -> None:
        """Fill one row, unless a reader would refuse it."""
        filled = rows.copy()
        row = filled[0]
        row["is_seen"], row["has_body"] = 1, seen.has_body
        row["trust"], row["sure"] = np.clip(seen.trust, 0, 1), np.clip(seen.sure, 0, 1)
        _put_head(row, seen.head)
        _put_points(row, seen.keypoints)
        _put_background(row, seen.background)
        _put_face(row, seen.face)
        if seen.face is not None:
            row["expression"], row["lids"] = seen.face.expression, seen.face.lids
            row["mouth"] = seen.face.mouth
        with contextlib.suppress(ValueError):
            _check_rows(filled)
            rows[:] = filled

    def close(self, header: MotionHeader, scan: Sequence[ScannedFace] = ()) -> bool:
        """Complete the file; False, and no file, when no frame has keypoints.

        scan: possible reference frames. Raises InputError where the file cannot be written.
        """
        if not self._is_open:
            return True
        self._is_open = False
        with self._spool:
            if not self._layout:
                return False
            self._try(lambda: self._write(header, scan))
        return True

    def discard(self) -> None:
        """Leave no file."""
        if self._is_open:
            self._is_open = False
            self._spool.close()

    def _write(self, header: MotionHeader, scan: Sequence[ScannedFace]) -> None:
        self._spool.flush()
        small = {
            "stretches": self._stretch_rows(),
            "scan": self._scan_rows(scan),
        }
        layouts = {"frames": self._layout}
        counts = {"frames": self.count, **{name: len(rows) for name, rows in small.items()}}
        layouts["stretches"] = _stretch_layout(self._keypoints)
        layouts["scan"] = _scan_layout(self._keypoints, _kept(self._stretches))
        with files.atomic_write(self.path, overwrite=self._overwrite) as file:
            file.write(_header_bytes(header.table(), layouts, counts))
            for name, _, _ in self._layout:
                for rows in self._blocks():
                    file.write(np.ascontiguousarray(rows[name]).tobytes())
            for part, rows in small.items():
                for name, _, _ in layouts[part]:
                    file.write(np.ascontiguousarray(rows[name]).tobytes())

    def _blocks(self) -> Iterator[Array]:
        dtype = _dtype(self._layout)
        self._spool.seek(0)
        while data := self._spool.read(_BLOCK * dtype.itemsize):
            yield np.frombuffer(data, dtype)

    def _stretch_rows(self) -> Array:
        rows = np.zeros(len(self._stretches), _dtype(_stretch_layout(self._keypoints)))
        for row, stretch in zip(rows, self._stretches, strict=True):
            first = stretch.first
            row["row"] = stretch.row
            row["crop"] = first.crop.x_px, first.crop.y_px, first.crop.side_px
            _put_head(row, first.head)
            _put_points(row, first.keypoints)
            _put_face(row, stretch.face)
        return rows

    def _scan_rows(self, scan: Sequence[ScannedFace]) -> Array:
        kept = _kept(self._stretches)
        usable = [face for face in scan if len(face.poses) >= kept]
        rows = np.zeros(len(usable), _dtype(_scan_layout(self._keypoints, kept)))
        for row, face in zip(rows, usable, strict=True):
            row["row"], row["time_s"], row["rotation_deg"] = (
                face.row,
                face.time_s,
                face.rotation_deg,
            )
            if face.openings is not None:
                row["has_openings"], row["openings"] = 1, face.openings
            row["is_whole"], row["has_keypoints"] = face.is_whole, face.has_keypoints
            _put_head(row, face.head)
            _put_face(row, face.face)
            row["background"] = np.eye(2, 3)
            for number, (points, background) in enumerate(face.poses[:kept]):
                row["xy"][number], row["jacobian"][number] = points.xy_norm, points.jacobian
                row["confidence"][number] = points.confidence
                if background is not None:
                    row["has_background"][number], row["background"][number] = 1, background
        return np.array([row for row in rows if _is_fit(row)], rows.dtype)

    def _open(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self.path.absolute().parent)

    def _try(self, action: Any) -> Any:
        """Run one step; what the disk refuses becomes InputError, and no file is left."""
        try:
            return action()
        except (OSError, ValueError) as error:
            self._is_open = False
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"--save-motion: expected to write {self.path}, got '{reason}'; free some space,"
                " check the permissions, or choose another place"
            ) from error


def _is_fit(row: Any) -> bool:
    """Whether a reader accepts a row."""
    with contextlib.suppress(ValueError):
        _check_rows(np.array([row]))
        return True
    return False


def _kept(stretches: Sequence[Stretch]) -> int:
    """Number of stretches for which possible reference frames are kept."""
    return min(len(stretches), MOST_FACE_STRETCHES)


def _header_bytes(
    table: Mapping[str, str], layouts: Mapping[str, _Layout], counts: Mapping[str, int]
) -> bytes:
    """The length and the JSON with which a safetensors file begins; tensors in the layout's order.

    Written here because the library's own writer takes whole tensors in memory.
    """
    entries: dict[str, Any] = {"__metadata__": dict(table)}
    offset = 0
    for part in _PARTS:
        for name, kind, shape in layouts[part]:
            whole = (counts[part], *shape)
            end = offset + int(np.prod(whole)) * int(kind[1])
            entries[f"{part}.{name}"] = {
                "dtype": _DTYPES[kind],
                "shape": whole,
                "data_offsets": (offset, end),
            }
            offset = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # as the library aligns it
    return struct.pack("<Q", len(text)) + text


# Reading


@dataclass(frozen=True)
class Motion:
    """An opened and checked motion file; its frames are read as they are needed."""

    path: Path
    header: MotionHeader
    count: int  # of frames, at least 1
    keypoints: int
    expression: int
    stretches: tuple[Stretch, ...]
    scan: tuple[ScannedFace, ...]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    @classmethod
    def load(cls, path: str | Path) -> Motion:
        """Open a motion file and check all of it.

        Raises InputError when it is missing, damaged, or no motion file of this version.
        """
        file = Path(path)
        paths.expect_readable("motion", file)
        if not paths.is_file(file):
            raise InputError(f"motion: expected a file at {file}, found nothing; {_FIX}")
        try:
            _expect_small_header(file)
            with safe_open(file, "numpy") as opened:
                header = MotionHeader.of(opened.metadata() or {})
                shapes = _checked_shapes(opened)
                count, points, expression = _sizes(shapes)
                for start in range(0, count, _BLOCK):
                    _check_rows(_read(opened, "frames", start, start + _BLOCK))
                _check_order(opened, count)
                stretches = _stretches(_read(opened, "stretches", 0, MOST_STRETCHES))
                scan = _scanned(_read(opened, "scan", 0, MOST_FACES))
        except (
            SafetensorError,
            OSError,
            KeyError,
            ValueError,
            TypeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            line = next(iter(str(error).splitlines()), "")[:120] or type(error).__name__
            raise InputError(
                f"motion: expected a motion file of this version in {file}, got another or a"
                f" damaged one ({line}); {_FIX}"
            ) from error
        return cls(file, header, count, points, expression, stretches, scan)

    def rows(self, start_s: float = 0.0, end_s: float | None = None) -> Iterator[MotionRow]:
        """The frames in order; start_s, end_s: cut in seconds from the first frame, end excluded.

        Raises InputError where the file has changed since it was opened.
        """
        first_s = None
        for start in range(0, self.count, _BLOCK):
            for offset, row in enumerate(self._block(start, start + _BLOCK)):
                time_s = float(row["time_s"])
                first_s = time_s if first_s is None else first_s
                if end_s is not None and time_s - first_s >= end_s:
                    return
                if time_s - first_s >= start_s:
                    yield MotionRow(start + offset, time_s, int(row["stretch"]), _seen(row))

    def row(self, index: int) -> MotionRow:
        """The frame of this index, 0 to ``count`` - 1."""
        (row,) = self._block(index, index + 1)
        return MotionRow(index, float(row["time_s"]), int(row["stretch"]), _seen(row))

    def _block(self, start: int, end: int) -> Array:
        try:
            with safe_open(self.path, "numpy") as opened:
                rows = _read(opened, "frames", start, min(end, self.count))
            _check_rows(rows)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"motion: expected {self.path.name} to stay as it was, got another file meanwhile;"
                " run again"
            ) from error
        return rows


def _expect_small_header(file: Path) -> None:
    """Raise ValueError before the library reads a header of an absurd length."""
    with open(file, "rb") as opened:
        start = opened.read(8)
    if len(start) < 8 or struct.unpack("<Q", start)[0] > _MOST_HEADER:
        raise ValueError("no header of a motion file")


def _checked_shapes(opened: Any) -> dict[str, tuple[int, ...]]:
    """Shapes by the names of the tensors; ValueError for other names, types or shapes."""
    names = set(opened.keys())
    slices = {name: opened.get_slice(name) for name in names}
    shapes = {name: tuple(one.get_shape()) for name, one in slices.items()}
    counts = {part: shapes[f"{part}.{name}"][0] for part, name in
              (("frames", "time_s"), ("stretches", "row"), ("scan", "row"))}  # fmt: skip
    points, expression = shapes["frames.xy"][1], shapes["frames.expression"][1]
    kept = shapes["scan.xy"][1]
    layouts = {
        "frames": _row_layout(points, expression),
        "stretches": _stretch_layout(points),
        "scan": _scan_layout(points, kept),
    }
    expected = {
        f"{part}.{name}": ((counts[part], *shape), _DTYPES[kind])
        for part, layout in layouts.items()
        for name, kind, shape in layout
    }
    found = {name: (shapes[name], slices[name].get_dtype()) for name in names}
    if found != expected:
        odd = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise ValueError(f"tensor {odd[:60]!r} is missing, unknown, or of another shape or type")
    if kept != min(counts["stretches"], MOST_FACE_STRETCHES):
        raise ValueError(f"faces of {kept} stretches")
    return shapes


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int, int]:
    """Number of frames, keypoints and coefficients; ValueError where one is out of bounds."""
    frames, points = shapes["frames.xy"][:2]
    expression = shapes["frames.expression"][1]
    bounds = (
        (frames, 1, MOST_FRAMES),
        (points, 1, MOST_KEYPOINTS),
        (expression, 0, MOST_EXPRESSION),
        (shapes["stretches.row"][0], 1, MOST_STRETCHES),
        (shapes["scan.row"][0], 0, MOST_FACES),
    )
    if not all(least <= value <= most for value, least, most in bounds):
        raise ValueError(f"{frames} frames of {points} keypoints")
    return frames, points, expression


def _sliced(opened: Any, name: str, start: int, end: int) -> Array:
    """Rows of a tensor, as many as there are; the library refuses to slice beyond its end."""
    one = opened.get_slice(name)
    count = one.get_shape()[0]
    return one[start : min(end, count)] if count else opened.get_tensor(name)


def _read(opened: Any, part: str, start: int, end: int) -> Array:
    """Rows of one part as a structured array."""
    names = [name for name in opened.keys() if name.startswith(f"{part}.")]  # noqa: SIM118
    arrays = {name.partition(".")[2]: _sliced(opened, name, start, end) for name in names}
    count = min(map(len, arrays.values()))
    rows = np.zeros(count, [(name, a.dtype, a.shape[1:]) for name, a in arrays.items()])
    for name, array in arrays.items():
        rows[name] = array
    return rows


def _check_rows(rows: Array) -> None:
    """Raise ValueError for numbers that are not finite, or out of the range of their meaning."""
    for name in rows.dtype.names or ():
        values = rows[name]
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"inf or not-a-number in {name}")
        if values.dtype.kind == "u" and (values > 1).any():
            raise ValueError(f"{name} that is neither 0 nor 1")
    _within(rows, "xy", -_LARGEST_NORM, _LARGEST_NORM)
    _within(rows, "jacobian", -_LARGEST_NORM, _LARGEST_NORM)
    _within(rows, "confidence", 0, 1)
    _within(rows, "trust", 0, 1)
    _within(rows, "sure", 0, 1)
    _within(rows, "head", -_LARGEST_PX, _LARGEST_PX)
    _within(rows, "background", -_LARGEST_NORM, _LARGEST_NORM)
    _within(rows, "expression", -100, 100)
    _within(rows, "lids", 0, 100)
    _within(rows, "mouth", -100, 100)
    _within(rows, "openings", 0, 100)
    _within(rows, "rotation_deg", -360, 360)
    faces = rows[rows["has_face"] == 1]
    _within(faces, "face_scale", 1e-3, _LARGEST_NORM)
    _within(faces, "face_shift", -_LARGEST_NORM, _LARGEST_NORM)
    turned = faces["rotation"] @ np.swapaxes(faces["rotation"], -1, -2)
    if (np.abs(turned - np.eye(3)) > 1e-3).any() or (np.linalg.det(faces["rotation"]) < 0).any():
        raise ValueError("a matrix that is no rotation")
    if "background" in (rows.dtype.names or ()):
        linear = rows["background"][..., :2].astype(np.float64)
        if (np.linalg.det(linear) < 1e-6).any():
            raise ValueError("a background that is turned over")


def _within(rows: Array, name: str, least: float, most: float) -> None:
    if name in (rows.dtype.names or ()):
        values = rows[name]
        if (values < least).any() or (values > most).any():
            raise ValueError(f"{name} that is not of {least:g} to {most:g}")


def _check_order(opened: Any, count: int) -> None:
    """Raise ValueError unless times grow and stretches follow each other, each where it says."""
    begins = _sliced(opened, "stretches.row", 0, MOST_STRETCHES)
    if (np.diff(begins) <= 0).any() or begins[0] < 0 or begins[-1] >= count:
        raise ValueError("stretches that do not follow each other")
    last_s = -np.inf
    for start in range(0, count, _BLOCK):
        times = _sliced(opened, "frames.time_s", start, start + _BLOCK)
        if (np.diff(times, prepend=last_s) <= 0).any() or np.abs(times).max() > 1e9:
            raise ValueError("times that do not grow")
        last_s = times[-1]
        rows = np.arange(start, start + len(times))
        expected = np.searchsorted(begins, rows, "right") - 1
        if (_sliced(opened, "frames.stretch", start, start + _BLOCK) != expected).any():
            raise ValueError("frames of another stretch")
        is_seen = _sliced(opened, "frames.is_seen", start, start + _BLOCK)
        if (is_seen[expected < 0] != 0).any():
            raise ValueError("a frame before the first one")


def _stretches(rows: Array) -> tuple[Stretch, ...]:
    _check_rows(rows)
    _within(rows, "crop", -_LARGEST_PX, _LARGEST_PX)
    if (rows["crop"][:, 2] < 1).any():
        raise ValueError("a crop without a side")
    found = []
    for row in rows:
        head, crop = _head(row), Crop(*(float(value) for value in row["crop"]))
        found.append(Stretch(int(row["row"]), Reference(_points(row), head, crop), _posed(row)))
    return tuple(found)


def _scanned(rows: Array) -> tuple[ScannedFace, ...]:
    _check_rows(rows)
    found = []
    for row in rows:
        head = _head(row)
        if head is None:
            raise ValueError("a face without a head")
        poses = tuple(
            (
                Keypoints(
                    *(np.asarray(row[n][i], np.float32) for n in ("xy", "jacobian", "confidence"))
                ),
                np.asarray(row["background"][i], np.float32) if row["has_background"][i] else None,
            )
            for i in range(len(row["xy"]))
        )
        a, b, c = (float(angle) for angle in row["rotation_deg"])
        openings = np.asarray(row["openings"]) if row["has_openings"] else None
        found.append(
            ScannedFace(
                int(row["row"]), float(row["time_s"]), (a, b, c), openings,
                bool(row["is_whole"]), bool(row["has_keypoints"]), head, _posed(row), poses,
            )
        )  # fmt: skip
    return tuple(found)
