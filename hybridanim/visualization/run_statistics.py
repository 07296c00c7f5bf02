"""One row of numbers a frame, and statistics of any number of rows in bounded memory.

Results -> ``frame_row`` (a flat mapping, the columns of frames.csv) -> ``RunStatistics``: totals,
histograms of times, the longest losses, and a series of at most ``2 * Series.HALF`` bins that
halves itself when full. Memory does not grow with the length of the video.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridanim.face.face_model import AXES
from hybridanim.types import (
    HEAD,
    LEFT_HAND,
    RIGHT_HAND,
    Array,
    DenseMotion,
    FaceFit,
    Results,
    SkinMask,
    Tracks,
)

from . import visibility

IMPLAUSIBLE = "the face is covered or distorted"  # why motion is held while a head is followed
Row = dict[str, float | int | str | bool]
QUANTITIES = {  # column -> quantity of the fitted face
    "mouth_opening": "jaw_open",
    "mouth_width": "mouth_wide",
    "left_eye_opening": "left_lid_open",
    "right_eye_opening": "right_lid_open",
    "gaze_x": "gaze_x",
    "gaze_y": "gaze_y",
}
NUMBERS = (
    "total_ms",
    "skin_share",
    "tracks_alive",
    "tracks_new",
    "tracks_dropped",
    "tracks_confidence",
    "face_confidence",
    "rotation_confidence",
    "landmarks_confidence",
    "keypoints_confidence",
    "yaw_deg",
    "pitch_deg",
    "roll_deg",
    *QUANTITIES,
    "is_fitted",
    "is_hand_before_face",
    "is_cloud_frozen",
    "is_confirmed",
    "is_held",
    "is_face_held",
    "occluded_share",
    *(f"{reason.name.lower()}_share" for reason in visibility.COLOURS),
)


def columns(stage_names: Sequence[str]) -> tuple[str, ...]:
    """Header of frames.csv for stages of these names."""
    times = tuple(f"{name}_ms" for name in stage_names)
    return ("index", "time_s", *times, *NUMBERS, "lost", "held")


def frame_row(results: Results, stage_names: Sequence[str]) -> Row:
    """The numbers of one frame, by column; a stage that was not timed counts 0 ms."""
    mask, tracks, points = results.mask, results.tracks, results.points
    yaw, pitch, roll = tracks.rotation_deg
    confidence = points.driving.confidence
    occluded = 1 - results.motion.occlusion
    row: Row = {"index": results.frame.index, "time_s": round(results.frame.time_s, 4)}
    row |= {f"{name}_ms": round(results.times_ms.get(name, 0.0), 3) for name in stage_names}
    row |= {
        "total_ms": round(sum(results.times_ms.values()), 3),
        "skin_share": round(float((mask.mask > 0).mean()) if mask.mask.size else 0.0, 5),
        "tracks_alive": len(tracks.ids),
        "tracks_new": tracks.new,
        "tracks_dropped": tracks.dropped,
        "tracks_confidence": round(tracks.confidence_overall, 3),
        "face_confidence": round(tracks.face_confidence, 3),
        "rotation_confidence": round(tracks.rotation_confidence, 3),
        "landmarks_confidence": round(tracks.landmarks_confidence, 3),
        "keypoints_confidence": round(float(confidence.mean()) if confidence.size else 0.0, 3),
        "yaw_deg": round(yaw, 2),
        "pitch_deg": round(pitch, 2),
        "roll_deg": round(roll, 2),
        **_fitted(tracks.face),
        "is_hand_before_face": int(is_hand_before_face(mask, tracks)),
        "is_cloud_frozen": int(mask.is_frozen),
        "is_confirmed": int(bool(tracks) and tracks.face_confidence > 0),
        "is_held": int(points.is_frozen),
        "is_face_held": int(bool(points.held_face)),
        "occluded_share": round(float(np.nanmean(occluded)) if occluded.size else 0.0, 5),
        **_hidden(results.motion),
        "lost": (mask.lost or tracks.lost) if tracks.lost else "",
        "held": (tracks.lost or IMPLAUSIBLE) if points.is_frozen else points.held_face,
    }
    return row


def _hidden(motion: DenseMotion) -> Row:
    """Shares of the cells that the source does not show, by reason."""
    shares = visibility.shares(motion)
    return {f"{reason.name.lower()}_share": round(share, 5) for reason, share in shares.items()}


def _fitted(face: FaceFit | None) -> Row:
    """Quantities of the fitted face and whether there is one; 0 without."""
    if face is None or len(face.quantities) != len(AXES):
        return {**dict.fromkeys(QUANTITIES, 0.0), "is_fitted": 0}
    found = np.nan_to_num(face.quantities)
    row = {column: round(float(found[AXES.index(name)]), 4) for column, name in QUANTITIES.items()}
    return {**row, "is_fitted": 1}


def is_hand_before_face(mask: SkinMask, tracks: Tracks, share: float = 0.3) -> bool:
    """Whether a hand covers a part of the face, or of its box at least that share is on the head's.

    The first is known where a face is fitted, with any tracker; the second where skin is looked at.
    """
    if tracks.covered > 0:
        return True
    head = mask.blob(HEAD)
    hands = [blob for label in (LEFT_HAND, RIGHT_HAND) if (blob := mask.blob(label))]
    if head is None:
        return False
    x, y, w, h = head.box_px
    for hand in hands:
        hx, hy, hw, hh = hand.box_px
        wide = min(x + w, hx + hw) - max(x, hx)
        high = min(y + h, hy + hh) - max(y, hy)
        if min(wide, high) > 0 and wide * high >= share * hw * hh:
            return True
    return False


class Series:
    """Means over equal spans of frames; the spans double when there are too many of them."""

    HALF = 300

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.stride = 1  # frames a bin
        self._bins = np.zeros((2 * self.HALF, len(self.names)))
        self._counts = np.zeros(2 * self.HALF)
        self._frames = 0

    def add(self, row: Mapping[str, float | int | str | bool]) -> None:
        """Take in the next frame."""
        at = self._frames // self.stride
        if at == len(self._bins):
            self._bins[: self.HALF] = self._bins[0::2] + self._bins[1::2]
            self._counts[: self.HALF] = self._counts[0::2] + self._counts[1::2]
            self._bins[self.HALF :] = 0
            self._counts[self.HALF :] = 0
            self.stride *= 2
            at = self.HALF
        values = np.array([float(row[name]) for name in self.names])
        self._bins[at] += np.nan_to_num(values)
        self._counts[at] += 1
        self._frames += 1

    def __getitem__(self, name: str) -> Array:
        """(bins,) float64 means of one column."""
        used = self._counts > 0
        return self._bins[used, self.names.index(name)] / self._counts[used]


class TimeHistogram:
    """Quantiles of durations within 3 %, whatever their number: bins evenly spaced in the log."""

    EDGES_MS = np.geomspace(0.01, 100_000, 560)

    def __init__(self) -> None:
        self._counts = np.zeros(len(self.EDGES_MS) + 1, np.int64)
        self.sum_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Count one duration."""
        self._counts[int(np.searchsorted(self.EDGES_MS, value_ms))] += 1
        self.sum_ms += value_ms

    def quantile_ms(self, share: float) -> float:
        """The duration that this share of all stays below; 0 without any."""
        total = np.cumsum(self._counts)
        if not total[-1] or total[-1] == self._counts[0]:
            return 0.0
        at = int(np.searchsorted(total, max(share * total[-1], 1)))
        low, high = self.EDGES_MS[max(at - 1, 0)], self.EDGES_MS[min(at, len(self.EDGES_MS) - 1)]
        return float(np.sqrt(low * high))


@dataclass(frozen=True)
class Span:
    """Frames in a row without a head, or with held motion."""

    start_s: float
    end_s: float
    frames: int
    reason: str


@dataclass(frozen=True)
class Summary:
    """Statistics of a whole run; its series and thumbnails are kept elsewhere."""

    frames: int = 0
    duration_s: float = 0.0
    driving_fps: float = 0.0
    stages: tuple[str, ...] = ()
    median_ms: Mapping[str, float] = field(default_factory=dict)  # stage or "total" -> ms
    slow_ms: Mapping[str, float] = field(default_factory=dict)  # 95 % are faster
    sums_ms: Mapping[str, float] = field(default_factory=dict)
    lost_frames: int = 0
    losses: int = 0  # how many times the head was lost
    lost_reasons: Mapping[str, int] = field(default_factory=dict)  # reason -> frames
    longest_losses: tuple[Span, ...] = ()  # in time order
    held_frames: int = 0
    holds: int = 0  # how many times the motion was held
    held_reasons: Mapping[str, int] = field(default_factory=dict)
    longest_holds: tuple[Span, ...] = ()
    face_held_frames: int = 0  # those in which only pose or expression were held, at least in part
    face_held_reasons: Mapping[str, int] = field(default_factory=dict)
    longest_face_holds: tuple[Span, ...] = ()
    largest_turn: tuple[str, float, float] = ("yaw", 0.0, 0.0)  # axis, degrees, time in s
    mean: Mapping[str, float] = field(default_factory=dict)  # column -> mean over all frames
    stopped: str = ""  # why the run ended early, or ""
    has_source_face: bool = True  # whether the face model was fitted to the source

    @property
    def stage_fps(self) -> float:
        """Frames a second that the stages alone would reach, drawing and coding left out."""
        total_ms = self.sums_ms.get("total", 0.0)
        return 1000 * self.frames / total_ms if total_ms > 0 else 0.0


class Spans:
    """Stretches of frames with a reason; keeps the longest ``MOST`` and as many reasons."""

    MOST = 10

    def __init__(self, fps: float) -> None:
        self._frame_s = 1 / fps if fps else 0.0
        self.frames, self.count = 0, 0
        self._reasons: dict[str, int] = {}
        self._kept: list[tuple[int, float, Span]] = []  # heap, shortest first
        self._open: Span | None = None

    def add(self, reason: str, time_s: float) -> None:
        """Take in the next frame; an empty reason ends a stretch."""
        span = self._open
        if span and not reason:
            heapq.heappush(self._kept, (span.frames, span.start_s, span))
            if len(self._kept) > self.MOST:
                heapq.heappop(self._kept)
            self._open = None
        if not reason:
            return
        self.frames += 1
        known = reason in self._reasons or len(self._reasons) < self.MOST
        key = reason if known else "another reason"
        self._reasons[key] = self._reasons.get(key, 0) + 1
        end_s = time_s + self._frame_s
        if span:
            self._open = Span(span.start_s, end_s, span.frames + 1, span.reason)
        else:
            self.count += 1
            self._open = Span(time_s, end_s, 1, reason)

    @property
    def longest(self) -> tuple[Span, ...]:
        """In the order of time; the one that has not ended is among them."""
        spans = [span for *_, span in self._kept] + ([self._open] if self._open else [])
        return tuple(sorted(spans, key=lambda span: span.start_s))

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> frames, the most frequent first."""
        return dict(sorted(self._reasons.items(), key=lambda item: -item[1]))


class RunStatistics:
    """Takes in rows, gives a Summary; memory does not grow with them."""

    MOST_LOSSES = Spans.MOST

    def __init__(self, stage_names: Sequence[str], driving_fps: float) -> None:
        self._stages, self._fps = tuple(stage_names), driving_fps
        times = [f"{name}_ms" for name in self._stages]
        self.series = Series(["time_s", *times, *NUMBERS, "is_lost"])
        self._times = {name: TimeHistogram() for name in (*self._stages, "total")}
        self._sums = dict.fromkeys(NUMBERS, 0.0)
        self._frames = 0
        self._lost, self._held, self._face = (Spans(driving_fps) for _ in range(3))
        self._turn = ("yaw", 0.0, 0.0)
        self._start_s, self._end_s = 0.0, 0.0

    def add(self, row: Row) -> None:
        """Take in the next frame's row."""
        time_s, lost = float(row["time_s"]), str(row["lost"])
        if not self._frames:
            self._start_s = time_s
        self._frames += 1
        self._end_s = time_s
        for name, histogram in self._times.items():
            histogram.add(float(row[f"{name}_ms"]))
        for name in NUMBERS:
            self._sums[name] += float(row[name])
        self.series.add({**row, "is_lost": int(bool(lost))})
        self._lost.add(lost, time_s)
        held, is_held = str(row.get("held", "")), bool(row["is_held"])
        self._held.add((held or lost or IMPLAUSIBLE) if is_held else "", time_s)
        self._face.add("" if is_held else held, time_s)
        for axis in ("yaw", "pitch", "roll"):
            angle = float(row[f"{axis}_deg"])
            if not lost and abs(angle) > abs(self._turn[1]):
                self._turn = (axis, angle, time_s)

    @property
    def largest_turn(self) -> tuple[str, float, float]:
        """Axis, degrees and time of the furthest head turn so far."""
        return self._turn

    def summary(self, stopped: str = "", *, has_source_face: bool = True) -> Summary:
        """Everything so far, as values, with what the rows do not tell."""
        frame_s = 1 / self._fps if self._fps else 0.0
        return Summary(
            frames=self._frames,
            duration_s=self._end_s - self._start_s + frame_s if self._frames else 0.0,
            driving_fps=self._fps,
            stages=self._stages,
            median_ms={name: h.quantile_ms(0.5) for name, h in self._times.items()},
            slow_ms={name: h.quantile_ms(0.95) for name, h in self._times.items()},
            sums_ms={name: h.sum_ms for name, h in self._times.items()},
            lost_frames=self._lost.frames,
            losses=self._lost.count,
            lost_reasons=self._lost.reasons,
            longest_losses=self._lost.longest,
            held_frames=self._held.frames,
            holds=self._held.count,
            held_reasons=self._held.reasons,
            longest_holds=self._held.longest,
            face_held_frames=self._face.frames,
            face_held_reasons=self._face.reasons,
            longest_face_holds=self._face.longest,
            largest_turn=self._turn,
            mean={name: total / max(self._frames, 1) for name, total in self._sums.items()},
            stopped=stopped,
            has_source_face=has_source_face,
        )
