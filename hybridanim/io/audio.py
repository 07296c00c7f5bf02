"""The sound of the driving video, carried over to the output.

Sound file + the moment that becomes time 0 -> packets for the output, in sync to the sample. They
are copied untouched when the container takes the codec, nothing is cut off at the start, and no
sound is missing in between. Otherwise the track is decoded and encoded again (AAC, or Opus for
WebM) as the pictures come, by the times of its packets: where packets are missing there is silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags2
from av.error import FFmpegError

from hybridanim.types import Array

from .timing import OPEN_OPTIONS, audio_stream, scan, video_stream

# codecs that players expect in each container; anything else is re-encoded
COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3"},
    ".m4v": {"aac", "mp3", "ac3", "eac3"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "alac", "pcm_s16le"},
    ".webm": {"opus", "vorbis"},
}
NEGLIGIBLE_S = 0.002  # cutting less than this from the start is not worth re-encoding
PRIMING_S = 0.05  # this much of early packets is copied, for the decoder, and hidden
_WITH_EDIT_LIST = (".mp4", ".m4v", ".mov")
JITTER_S = 0.01  # rounded times of packets differ by less; more is missing or doubled sound
# samples by which encoder and decoder of a codec delay the sound, of the usual encoders; files that
# store no times (AVI) do not tell it. LAME: http://lame.sf.net/tech-FAQ.txt
DELAYS = {"mp3": 1105, "aac": 1024, "mp2": 481, "ac3": 256, "wmav1": 2048, "wmav2": 2048}
LATE_S = 0.05  # a later beginning is silence that not every player makes from a time stamp
SEEK_FROM_S = 30.0  # cuts before this are reached by decoding from the start, which is exact
EARLIER_S = 5.0  # what is decoded before a cut further on
LONGEST_GAP_S = 3600.0  # a longer one is a damaged time stamp, as between pictures
_PIECE = 4096  # samples of silence at a time
# formats whose times after a jump are guesses
_WITHOUT_INDEX = ("avi", "mp3", "aac", "flac", "wav", "mpeg")


class Sound:
    """Carries one sound track into an output that is being written.

    Output time 0 is ``start_s``, counted from the first video frame of ``path`` (from its beginning
    when it has no video). ``end_s`` is counted the same way; None = as long as the video.
    ``suffix`` is the output's ending.
    Raises FFmpegError or OSError when the track cannot be read; ValueError when there is none, or
    none at or after the start.
    """

    def __init__(self, path: Path, start_s: float, end_s: float | None, suffix: str) -> None:
        self._suffix = suffix
        self._input: Any = av.open(str(path.absolute()), options=OPEN_OPTIONS)
        try:
            self._open(path, start_s, end_s)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, start_s: float, end_s: float | None) -> None:
        stream = audio_stream(self._input)
        if stream is None:
            raise ValueError("it has no sound")
        if stream.codec_context is None:
            raise ValueError("its sound is in a format that cannot be decoded")
        self._source = stream
        self._zero_s = _video_start_s(path, self._input) + start_s  # on the file's own clock
        self._length_s = float("inf") if end_s is None else end_s - start_s
        decoder = stream.codec_context.codec
        codec = getattr(decoder, "canonical_name", decoder.name)  # mp3, not the decoder's mp3float
        if self._input.format.name == "avi":
            self._zero_s += DELAYS.get(codec, 0) / stream.codec_context.rate
        if codec.startswith("wma"):  # else its first two frames are left out, whatever is in them
            stream.codec_context.flags2 |= Flags2.skip_manual
        track = _Track(path, stream.index, self._zero_s, self._length_s)
        if track.last_s <= self._zero_s:
            raise ValueError("it ends before the part that was asked for")
        is_cut = start_s > NEGLIGIBLE_S
        is_kept = codec in COPIED[self._suffix] and self._keeps_start(track.first_s - self._zero_s)
        self._is_copied = not is_cut and is_kept and not track.has_gaps
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        self._output: Any = None

    def _keeps_start(self, first_s: float) -> bool:
        """Whether the output takes a copy whose first packet lies here, from time 0.

        Packets before it, which the decoder needs, are hidden by an edit list of mp4 and mov; in
        Matroska by the delay of its header, which comes along from another such file only.
        """
        if self._suffix in _WITH_EDIT_LIST or first_s > -NEGLIGIBLE_S:
            return True
        is_alike = "matroska" in self._input.format.name
        return is_alike and abs(self._zero_s) < NEGLIGIBLE_S

    def add_stream(self, container: Any) -> None:
        """Announce the track to the output, before its first packet."""
        if self._is_copied:
            self._output = container.add_stream_from_template(self._source)
            self._packets = self._copied()
            return
        given = self._source.codec_context.rate
        is_opus = self._suffix == ".webm"
        rate = 48_000 if is_opus or given not in (32_000, 44_100, 48_000) else given
        self._output = container.add_stream("libopus" if is_opus else "aac", rate=rate)
        is_mono = self._source.codec_context.channels == 1
        self._output.codec_context.layout = "mono" if is_mono else "stereo"
        self._output.codec_context.bit_rate = 160_000 if is_opus else 192_000
        self._packets = self._encoded(rate)

    def until(self, time_s: float) -> Iterator[Any]:
        """Packets, stamped for the output, that start before ``time_s`` seconds of it."""
        limit_s = min(time_s, self._length_s)
        while True:
            packet = self._next or next(self._packets, None)
            if packet is None:
                return
            if packet.pts * float(packet.time_base) >= limit_s:
                self._next = packet
                return
            self._next = None
            packet.stream = self._output
            yield packet

    def _copied(self) -> Iterator[Any]:
        """Packets that are heard after time 0, untouched, on the output's clock."""
        for packet in _demuxed(self._input, self._source):
            if packet.pts is None:
                continue
            packet.pts -= round(self._zero_s / packet.time_base)
            packet.dts = packet.pts
            if (packet.pts + (packet.duration or 0)) * packet.time_base > -PRIMING_S:
                yield packet

    def _encoded(self, rate: int) -> Iterator[Any]:
        """Packets of the decoded sound."""
        context = self._output.codec_context
        tick_s, done = Fraction(1, rate), 0
        for samples in self._samples(rate, context.layout.name):
            frame = av.AudioFrame.from_ndarray(samples, "fltp", context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate, done, tick_s
            done += samples.shape[1]
            yield from self._output.encode(frame)
        yield from self._output.encode(None)

    def _samples(self, rate: int, layout: str) -> Iterator[Array]:
        """(channels, n) float32 pieces from time 0 on without a hole, to the length at most."""
        channels = 1 if layout == "mono" else 2
        most = None if self._length_s == float("inf") else round(self._length_s * rate)
        done = 0
        for at_s, samples in self._pieces(rate, layout):
            skip = done - round(at_s * rate)  # > 0: heard already, or before time 0
            if done and abs(skip) <= JITTER_S * rate:
                skip = 0
            for _ in range(0, -skip, _PIECE):
                size = min(_PIECE, -skip)
                skip += size
                yield np.zeros((channels, size), np.float32)
                done += size
            samples = samples[:, max(0, skip) :]
            if most is not None:
                samples = samples[:, : max(0, most - done)]
            if samples.shape[1]:
                yield np.ascontiguousarray(samples)
                done += samples.shape[1]
            if most is not None and done >= most:
                return

    def _pieces(self, rate: int, layout: str) -> Iterator[tuple[float, Array]]:
        """Decoded pieces and their times on the output's clock; jumps of the clock are undone."""
        shift_s, end_s = 0.0, None
        for frame in self._frames():
            tick_s = float(frame.time_base or self._source.time_base)
            at_s = end_s if frame.pts is None else frame.pts * tick_s - self._zero_s + shift_s
            at_s = at_s or 0.0
            if end_s is not None and not -1.0 <= at_s - end_s <= LONGEST_GAP_S:
                shift_s += end_s - at_s  # glued files, damaged time stamps
                at_s = end_s
            end_s = at_s + frame.samples / frame.sample_rate
            pieces = self._resampled(frame, rate, layout)
            if pieces:
                yield at_s, np.concatenate(pieces, axis=1)

    def _resampled(self, frame: Any, rate: int, layout: str) -> list[Array]:
        """A decoded frame as float32 at this rate and layout; the kind of frames may change."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if getattr(self, "_kind", None) != kind:
            self._kind = kind
            self._resampler = av.AudioResampler("fltp", layout, rate)
        frame.pts = None
        return [piece.to_ndarray() for piece in self._resampler.resample(frame)]

    def _frames(self) -> Iterator[Any]:
        """Decoded frames from some time before time 0 on; damaged packets are passed over."""
        name = self._input.format.name
        if self._zero_s > SEEK_FROM_S and not any(kind in name for kind in _WITHOUT_INDEX):
            target = round((self._zero_s - EARLIER_S) / self._source.time_base)
            self._input.seek(target, stream=self._source)
        for packet in _demuxed(self._input, self._source):
            try:
                yield from packet.decode()
            except FFmpegError:
                continue
        try:
            yield from self._source.codec_context.decode(None)
        except FFmpegError:
            return

    def close(self) -> None:
        """Close the file."""
        self._input.close()


class _Track:
    """What the times of a track's packets say.

    first_s: the time of the first packet that is heard from ``zero_s`` on.
    has_gaps: whether sound is missing, or doubled, between ``zero_s`` and ``length_s`` later.
    last_s: the end of the last packet. Times on the file's own clock.
    """

    def __init__(self, path: Path, index: int, zero_s: float, length_s: float) -> None:
        self.has_gaps = False
        self.first_s, self.last_s = float("inf"), float("-inf")
        end_s: float | None = None
        with av.open(str(path.absolute()), options=OPEN_OPTIONS) as container:
            stream = container.streams[index]
            for packet in _demuxed(container, stream):
                stamp = packet.pts if packet.pts is not None else packet.dts
                if stamp is None:
                    continue
                at_s = float(stamp * packet.time_base)
                if at_s > zero_s + length_s + EARLIER_S:
                    return
                is_heard = zero_s - JITTER_S < at_s < zero_s + length_s
                is_first = self.last_s == float("-inf")
                if is_first and at_s > zero_s + LATE_S:
                    self.has_gaps = True
                if is_heard and end_s is not None and abs(at_s - end_s) > JITTER_S:
                    self.has_gaps = True
                duration_s = float((packet.duration or 0) * packet.time_base)
                if at_s + duration_s > zero_s - PRIMING_S:
                    self.first_s = min(self.first_s, at_s)
                end_s = at_s + duration_s if duration_s else None
                self.last_s = max(self.last_s, at_s + duration_s)


def _demuxed(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of one stream that hold something; a track that breaks off ends there."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (FFmpegError, OSError):
        return


def _video_start_s(path: Path, container: Any) -> float:
    """When the first video frame is shown on the file's own clock, in seconds."""
    stream = video_stream(container)
    timing = scan(path) if stream is not None else None
    if timing is None or stream is None:
        return float(container.start_time or 0) / av.time_base
    return float(timing.first_pts * stream.time_base)
