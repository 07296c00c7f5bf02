"""When the frames of a video are shown: exact rate, time base, count.

Reads the packets of a file without decoding them (some milliseconds) -> Timing. A rate is taken as
constant when every presentation time lies within one tick of an even grid, which undoes the
millisecond rounding of Matroska and the centisecond rounding of GIF; otherwise the times are kept
as they are in the file's own ticks.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

MOST_PACKETS = 200_000  # about two hours; later frames follow the rate found so far
FALLBACK_RATE = Fraction(25)
STANDARD_RATES = tuple(
    rate
    for whole in (24, 30, 60, 25, 50, 15, 12, 10, 20, 48, 120, 240)
    for rate in (Fraction(whole), Fraction(whole * 1000, 1001))
)
# pictures (cover art), playlists and text are no videos, and a file must not lead to other files
OPEN_OPTIONS = {"protocol_whitelist": "file"}


@dataclass(frozen=True, slots=True)
class Timing:
    """How the frames of one video stream follow each other."""

    fps: Fraction  # exact when constant, else the average
    is_variable_rate: bool
    time_base: Fraction  # ticks, in seconds, that every frame time is a whole number of
    frame_count: int | None  # None when the file was too long to be counted
    first_pts: int  # in the stream's own ticks; time 0 of the video
    end_s: float  # when the last packet that can be read ends, from first_pts
    packets: int | None = None  # in the whole file, hidden ones too; None when it was too long
    # (N,) int64 sorted times of the packets in the stream's ticks; of the first MOST_PACKETS
    ticks: NDArray[Any] | None = field(default=None, compare=False, repr=False)


def time_base_of(fps: Fraction) -> Fraction:
    """Ticks fine enough (at least 10,000 a second) that frame n is at a whole number of them."""
    fineness = 1
    while fps.numerator * fineness < 10_000:
        fineness *= 2
    return Fraction(1, fps.numerator * fineness)


def video_stream(container: Any) -> Any:
    """The video track that players show (no cover art) of an opened file, or None."""
    return _preferred([one for one in container.streams.video if not _is_cover_art(one)])


def audio_stream(container: Any) -> Any:
    """The sound track that players play of an opened file, or None."""
    return _preferred(list(container.streams.audio))


def _preferred(streams: list[Any]) -> Any:
    """The first stream that can be decoded and is marked as the default, else the first one."""
    known = [one for one in streams if getattr(one, "codec_context", None) is not None]
    default = [one for one in known if "default" in _disposition(one)]
    return next(iter([*default, *known, *streams]), None)


def _is_cover_art(stream: Any) -> bool:
    """True for a picture that comes along with a song, and for thumbnails."""
    return bool({"attached_pic", "timed_thumbnails"} & _disposition(stream))


def _disposition(stream: Any) -> set[str]:
    """Names of the flags of a stream."""
    return set(str(getattr(stream.disposition, "name", "") or "").lower().split("|"))


def scan(path: Path) -> Timing | None:
    """Timing of a video file; None when it holds no video packet. Raises FFmpegError."""
    with av.open(str(path), options=OPEN_OPTIONS) as container:
        stream = video_stream(container)
        if stream is None:
            return None
        ticks, packets = _presentation_ticks(container, stream)
        tick_s = stream.time_base or Fraction(1, 1000)
        rates = [getattr(stream, name) for name in ("average_rate", "guessed_rate", "base_rate")]
        declared = [Fraction(rate) for rate in rates if rate]
        frames = stream.frames
        duration = stream.duration
    if not ticks.size:
        return None
    timing = replace(timing_of(ticks, tick_s, declared), ticks=ticks)
    if packets is not None:
        return replace(timing, packets=packets)
    end_s = float(duration * tick_s) if duration else timing.end_s
    return replace(timing, frame_count=frames or None, end_s=end_s)


def _presentation_ticks(container: Any, stream: Any) -> tuple[NDArray[Any], int | None]:
    """Sorted presentation times of the shown packets, and the number of all packets.

    That is None where there are more than MOST_PACKETS, and the file's end was not reached.
    """
    ticks, packets = array("q"), 0
    try:
        for packet in container.demux(stream):
            packets += packet.size > 0
            stamp = packet.pts if packet.pts is not None else packet.dts
            # an empty one stands for a frame that was not recorded
            if stamp is None or not packet.size or getattr(packet, "is_discard", False):
                continue
            ticks.append(stamp)
            if len(ticks) >= MOST_PACKETS:
                return np.sort(np.array(ticks)), None
    except FFmpegError:
        pass  # a file that breaks off: what was read so far counts
    return np.sort(np.array(ticks, dtype=np.int64)), packets


def timing_of(ticks: NDArray[Any], tick_s: Fraction, declared: list[Fraction]) -> Timing:
    """Timing of sorted presentation times, given the rates that the file declares.

    ``ticks`` is (N,) int64, N >= 1, in units of ``tick_s`` seconds. A rate from which at most one
    frame in ten is missing keeps its nominal value, though it then counts as variable.
    """
    count, first = len(ticks), int(ticks[0])
    span_s = int(ticks[-1] - first) * tick_s
    average = (Fraction(count - 1) / span_s).limit_denominator(1001) if span_s else None
    usual = [rate for rate in declared if rate in STANDARD_RATES]
    candidates = [*usual, *STANDARD_RATES, *declared, *([average] if average else [])]
    relative_s = (ticks - first).astype(np.float64) * float(tick_s)
    for missing in (0, count // 10):
        for rate in candidates:
            slots = _slots(relative_s, rate, float(tick_s))
            if slots is not None and slots - count in range(missing + 1):
                return Timing(
                    rate, slots > count, time_base_of(rate), count, first, float(slots / rate)
                )
    fps = average or FALLBACK_RATE
    return Timing(fps, True, tick_s, count, first, float(span_s + 1 / fps))


def _slots(relative_s: NDArray[Any], rate: Fraction, tick_s: float) -> int | None:
    """How many frames of ``rate`` the times span, if all lie within a tick of its grid."""
    if not 0 < rate <= 1000:
        return None
    period_s = rate.denominator / rate.numerator
    slot = np.round(relative_s / period_s)
    # a tick coarser than a quarter of a frame would call anything even
    tolerance_s = 1.001 * min(
        tick_s, period_s / 2 if len(relative_s) == slot[-1] + 1 else period_s / 4
    )
    if len(relative_s) > 1 and np.diff(slot).min() < 1:
        return None
    is_even = np.abs(relative_s - slot * period_s).max() <= tolerance_s
    return int(slot[-1]) + 1 if is_even else None


def rounded_up_to_even(size_px: int) -> int:
    """The next even number, as 4:2:0 video needs it."""
    return 2 * ceil(size_px / 2)
