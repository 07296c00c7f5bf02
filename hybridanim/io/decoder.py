"""The frames of a video file, decoded one after another.

Path -> (SourceInfo, iterator of Frame), upright, square-pixelled, RGB, in presentation order and
with constant memory. A file that breaks off ends the iteration and leaves a sentence in
``Decoder.warning``; ``convert`` makes the pictures upright and RGB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from hybridanim.errors import InputError
from hybridanim.types import Frame

from .convert import Converter, Deinterlacer
from .timing import OPEN_OPTIONS, Timing, scan, video_stream

NOT_VIDEOS = frozenset({"tty", "image2", "image2pipe", "concat", "hls", "dash", "lavfi"})
MOST_PIXELS = 200_000_000  # of a frame
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
LONGEST_GAP_S = 3600.0  # between two frames; a longer one is a damaged time stamp
ANSWER = "give an mp4, mov, avi, mkv, webm or gif file, or a folder of pictures"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a driving video before its frames are read."""

    path: Path
    width: int  # native size in pixels, upright
    height: int
    fps: Fraction  # exact; of a variable rate the average
    is_variable_rate: bool
    time_base: Fraction  # seconds; every frame time is a whole number of it
    frame_count: int | None  # from start to end of the file, an estimate; None = unknown
    duration_s: float | None
    has_audio: bool = False
    rotation: int = 0  # degrees clockwise that the stored pictures were turned to stand upright
    notes: tuple[str, ...] = ()  # what was changed to show the pictures, as sentences


def open_container(path: Path) -> Any:
    """Open a video file with PyAV; raises InputError in place of the library's own errors."""
    try:
        container = av.open(str(path.absolute()), options=OPEN_OPTIONS)
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"driving video: expected a video, got {path.name} which cannot be opened "
            f"({reason}; it is damaged, incomplete, or no video); {ANSWER}"
        ) from error
    if container.format.name in NOT_VIDEOS or video_stream(container) is None:
        sound = "sound only" if container.streams.audio else "no video in it"
        container.close()
        raise InputError(f"driving video: expected a video, got {path.name} with {sound}; {ANSWER}")
    stream = video_stream(container)
    if not hasattr(stream, "width"):  # a format without a decoder, such as a vector drawing
        container.close()
        raise InputError(
            f"driving video: expected a video, got {path.name} in a format that cannot be decoded;"
            f" {ANSWER}"
        )
    width, height = stream.width, stream.height
    if width * height > MOST_PIXELS:
        container.close()
        raise InputError(
            f"driving video: expected at most {MOST_PIXELS // 10**6} million pixels, got"
            f" {width}x{height} in {path.name}; make it smaller first"
        )
    return container


class Decoder:
    """Reads one video file; ``frames()`` may be run once, in any thread.

    Raises InputError when not a single frame can be read, or none at or after ``start_s``.
    """

    def __init__(
        self, path: Path, start_s: float, end_s: float | None, max_side_px: int | None, threads: str
    ) -> None:
        self.warning = ""
        self._path, self._start_s, self._end_s = path, start_s, end_s
        self._threads = threads
        self._open()
        # AVI stores no presentation times: the n-th frame shown is in the n-th place that is filled
        self._counted = 0 if self._container.format.name == "avi" else None
        self._timing = self._scan()
        self._early_s = start_s - 0.5 * float(min(self._stream.time_base, Fraction(1, 2000)))
        self._pictures = self._decode()
        self._damaged = self._packets = 0
        # from the start on: packets that hold a picture, and decoded pictures
        self._shown = self._pictures_out = 0
        self._read_end_s = 0.0
        first = self._first()
        self._convert = Converter(self._stream, first, max_side_px)
        self._pending: Any = first
        self.info = self._info()

    def _open(self) -> None:
        self._container = open_container(self._path)
        self._stream = video_stream(self._container)
        self._context = _decoder_of(self._stream)
        self._context.thread_type = self._threads

    def _scan(self) -> Timing:
        """Timing of the file, with an InputError when it holds no frame."""
        try:
            timing = scan(self._path)
        except (FFmpegError, OSError):
            timing = None
        if timing is None:
            self.close()
            raise self._nothing_readable()
        return timing

    def _nothing_readable(self) -> InputError:
        return InputError(
            f"driving video: expected at least one frame, got {self._path.name} of which none can "
            "be read (it breaks off or is damaged); copy or download it again"
        )

    def _first(self) -> Any:
        """The first picture at or after the start, which also proves that there is one."""
        is_moved = self._start_s > 0 and self._counted is None
        if is_moved:
            self._seek()
        first = next(self._pictures, None)
        if is_moved and not self._is_near_start(first):
            # formats without an index lead into the middle of a group of pictures
            self.close()
            self._open()
            self._damaged = self._packets = self._shown = self._pictures_out = 0
            self._pictures = self._decode()
            first = next(self._pictures, None)
        if first is not None:
            return first
        end_s = self._timing.end_s
        self.close()
        if self._start_s >= end_s - float(1 / self._timing.fps) / 2:
            raise InputError(
                f"start: expected a time before the end of {self._path.name} at {end_s:.2f} s, got "
                f"{self._start_s:g} s; choose an earlier start"
            )
        raise self._nothing_readable()

    def _is_near_start(self, first: Any) -> bool:
        """Whether the first picture after a jump is the one at the start, by its time."""
        if first is None:
            return False
        late_s = self._time_s(first, fallback_s=self._start_s) - self._start_s
        return late_s < 1.5 / float(self._timing.fps)

    def _seek(self) -> None:
        """Jump to the key frame before the start; files without an index are read from the top."""
        tick_s = self._stream.time_base
        target = self._timing.first_pts + int(self._start_s / tick_s)
        try:
            self._container.seek(target, stream=self._stream)
        except (FFmpegError, OSError, OverflowError):
            self._container.seek(0)

    def _info(self) -> SourceInfo:
        timing = self._timing
        return SourceInfo(
            path=self._path,
            width=self._convert.native_size[0],
            height=self._convert.native_size[1],
            fps=timing.fps,
            is_variable_rate=timing.is_variable_rate,
            time_base=timing.time_base,
            frame_count=timing.frame_count,
            duration_s=timing.end_s,
            has_audio=bool(self._container.streams.audio),
            rotation=self._convert.orientation.rotation,
            notes=(f"{self._path.name} {note}",) if (note := self._convert.note) else (),
        )

    def frames(self) -> Iterator[Frame]:
        """Frames from start to end; ``time_s`` counts from the first frame of the file."""
        index, last_s, step_s = 0, -1.0, float(1 / self._timing.fps)
        picture = self._pending
        self._pending = None
        while picture is not None:
            time_s = self._time_s(picture, fallback_s=last_s + step_s if index else 0.0)
            if time_s <= last_s:  # clocks that jump back, as in glued files
                time_s = last_s + step_s
            if time_s > max(last_s, 0.0) + LONGEST_GAP_S:  # no container keeps such a time
                self._damaged += 1
                time_s = last_s + step_s if index else 0.0
            if self._end_s is not None and time_s >= self._end_s - 1e-6:
                return
            yield Frame(self._convert(picture), index, time_s)
            index, last_s = index + 1, time_s
            picture = next(self._pictures, None)
        self._note_the_end(last_s + step_s, index)

    def close(self) -> None:
        """Close the file; the decoder is of no use afterwards."""
        self._container.close()

    def _time_s(self, picture: Any, fallback_s: float) -> float:
        """Presentation time, exact on the grid of a constant rate."""
        stamp = picture.pts if picture.pts is not None else picture.dts
        if stamp is None:
            return fallback_s
        timing, tick_s = self._timing, Fraction(self._stream.time_base)
        # a filter counts in ticks of its own
        exact_s = stamp * Fraction(picture.time_base or tick_s) - timing.first_pts * tick_s
        if timing.time_base != self._stream.time_base or not timing.is_variable_rate:
            exact_s = Fraction(round(exact_s * timing.fps)) / timing.fps
        return float(exact_s)

    def _decode(self) -> Iterator[Any]:
        """Decoded pictures from the start on."""
        deinterlace = Deinterlacer(self._stream)
        for raw in self._stored_pictures():
            for picture in deinterlace(raw):
                if self._counted is not None:
                    picture.pts = self._place(self._counted)
                    picture.time_base = self._stream.time_base
                    self._counted += 1
                if self._time_s(picture, fallback_s=self._start_s) >= self._early_s:
                    yield picture

    def _place(self, number: int) -> int:
        """Time of the n-th frame of an AVI file, in ticks of the stream."""
        ticks = self._timing.ticks
        if ticks is None or not len(ticks):
            return self._timing.first_pts + number
        last = len(ticks) - 1
        return int(ticks[min(number, last)]) + max(0, number - last)

    def _stored_pictures(self) -> Iterator[Any]:
        """Pictures as stored, then None; damaged packets are counted and passed over."""
        for packet in self._demux():
            try:
                decoded = self._context.decode(packet if packet.size else None)
            except FFmpegError:
                self._damaged += 1
                continue
            whole = [raw for raw in decoded if not getattr(raw, "is_corrupt", False)]
            self._damaged += len(decoded) - len(whole)
            self._pictures_out += sum(self._is_late(raw) for raw in whole)
            yield from whole
        yield None

    def _demux(self) -> Iterator[Any]:
        """Packets of the video; the times of all streams are watched to notice a missing end."""
        packets = self._container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError):
                self._damaged += 1
                packet = None
            if packet is None:
                return
            if packet.pts is not None and packet.stream.time_base:
                end = packet.pts + (packet.duration or 0)
                self._read_end_s = max(self._read_end_s, float(end * packet.stream.time_base))
            if packet.stream is self._stream or packet.stream.index == self._stream.index:
                self._packets += packet.size > 0
                is_shown = packet.size > 0 and not getattr(packet, "is_discard", False)
                self._shown += is_shown and self._is_late(packet)
                yield packet

    def _is_late(self, item: Any) -> bool:
        """Whether a packet or picture is at or after the start; all are where nothing is cut."""
        if self._start_s <= 0 or item.pts is None:
            return True
        return self._time_s(item, fallback_s=0.0) >= self._early_s

    def _note_the_end(self, end_s: float, count: int) -> None:
        """Say so when the file promised more than could be read."""
        missing_s = self._promised_end_s() - self._read_end_s
        kept = f"the {count} frames up to {end_s:.2f} s were used"
        kind = self._container.format.name
        read = self._packets if self._start_s <= 0 else self._timing.packets
        has_index = kind.startswith(("mov", "avi"))
        if kind == "avi" and read is not None and self._timing.ticks is not None:
            read = int(self._timing.ticks[-1]) + 1  # frames that were not recorded are counted, too
        is_short = has_index and read is not None and read < self._stream.frames
        is_cut = kind == "gif" and not _has_gif_trailer(self._path)
        if is_short or is_cut or missing_s > max(0.1, 3 / float(self._timing.fps)):
            self.warning = f"{self._path.name} breaks off before its end; {kept}"
            return
        # decoders with several threads drop pictures after an error, without saying so
        lost = self._shown - self._pictures_out
        if kind.startswith(("mov", "gif")) and lost > self._damaged:
            self._damaged = lost
        if self._damaged:
            self.warning = f"{self._path.name} is damaged in {self._damaged} places; {kept}"

    def _promised_end_s(self) -> float:
        """The end that the file's header states; 0 for formats whose duration is a guess."""
        name, container = self._container.format.name, self._container
        if container.duration and "matroska" in name:
            return (container.duration + max(0, container.start_time or 0)) / av.time_base
        return 0.0


def _decoder_of(stream: Any) -> Any:
    """The decoder of a stream; of VP8 and VP9 with transparency, the one that knows it."""
    own, name = stream.codec_context, _WITH_ALPHA.get(stream.codec_context.name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}  # of a copy in capitals
    if name is None or str(tags.get("alpha_mode", "0")) != "1":
        return own
    try:
        context: Any = av.CodecContext.create(name, "r")
    except (FFmpegError, ValueError):  # not in this ffmpeg
        return own
    context.extradata = own.extradata
    return context


def _has_gif_trailer(path: Path) -> bool:
    """Whether a GIF file ends with its trailer, zeros after it left out."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        return file.read().rstrip(b"\0").endswith(b";")
