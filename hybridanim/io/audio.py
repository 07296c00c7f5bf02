"""The sound of the driving video, carried over to the output.

Sound file + the moment that becomes time 0 -> packets for the output, in sync to the sample. They
are copied untouched when the container takes the codec and nothing is cut off at the start;
otherwise MoviePy cuts and re-encodes the track (AAC, or Opus for WebM) into a temporary file first,
whose packets are then copied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from hybridanim import files

from .timing import OPEN_OPTIONS, scan, video_stream

# codecs that players expect in each container; anything else is re-encoded
COPIED = {
    ".mp4": {"aac", "mp3", "ac3", "eac3"},
    ".m4v": {"aac", "mp3", "ac3", "eac3"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"},
    ".mkv": {"aac", "mp3", "ac3", "eac3", "opus", "vorbis", "flac", "alac", "pcm_s16le"},
    ".webm": {"opus", "vorbis"},
}
NEGLIGIBLE_S = 0.002  # cutting less than this from the start is not worth re-encoding
PRIMING_S = 0.05  # mp4 and mov hide this much of early packets behind an edit list
SKIP_STEP_S = 10  # MoviePy seeks, and then loses exactness, in jumps of more than about 20 s


class Sound:
    """Copies one sound track into an output that is being written.

    Output time 0 is ``start_s``, counted from the first video frame of ``path`` (from its beginning
    when it has no video). ``end_s`` is counted the same way; None = as long as the video.
    ``suffix`` is the output's ending, ``part`` its temporary path, in whose folder a temporary
    sound file is made.
    Raises FFmpegError or OSError when the track cannot be read; ValueError when there is none.
    """

    def __init__(
        self, path: Path, start_s: float, end_s: float | None, suffix: str, part: Path
    ) -> None:
        self._suffix, self._part = suffix, part
        self._cut_path: Path | None = None
        self._input: Any = av.open(str(path.absolute()), options=OPEN_OPTIONS)
        try:
            self._open(path, start_s, end_s)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, start_s: float, end_s: float | None) -> None:
        stream = next(iter(self._input.streams.audio), None)
        if stream is None:
            raise ValueError("it has no sound")
        zero_s = _video_start_s(path, self._input) + start_s  # on the file's own clock
        length_s = None if end_s is None else end_s - start_s
        codec = stream.codec_context.name
        self._offset_s = -zero_s
        if start_s > NEGLIGIBLE_S or codec not in COPIED[self._suffix]:
            late_s = self._cut(path, stream, zero_s, length_s)
            self._input.close()
            self._input = av.open(str(self._cut_path))
            stream, self._offset_s = self._input.streams.audio[0], late_s
        self._length_s = float("inf") if length_s is None else length_s
        self._source = stream
        self._packets = self._input.demux(stream)
        self._next: Any = None
        self._output: Any = None

    def _cut(self, path: Path, stream: Any, zero_s: float, length_s: float | None) -> float:
        """Re-encode the part from ``zero_s`` on; returns by how much it starts late."""
        from moviepy import AudioFileClip  # 0.3 s to import, seldom needed

        # a negative start is the encoder's priming, which is not heard
        first_s = float(max(0, stream.start_time or 0) * stream.time_base)
        begin_s, late_s = max(0.0, zero_s - first_s), max(0.0, first_s - zero_s)
        is_opus = self._suffix == ".webm"
        rate = 48_000 if is_opus or stream.rate not in (32_000, 44_100, 48_000) else stream.rate
        with AudioFileClip(str(path), fps=rate) as whole:
            end_s = float(whole.duration)
            if length_s is not None:
                end_s = min(end_s, begin_s + length_s - late_s)
            if end_s <= begin_s:
                raise ValueError("it ends before the part that was asked for")
            for second in range(0, int(begin_s), SKIP_STEP_S):
                whole.get_frame(second)
            self._cut_path = files.part_file(self._part, ".webm" if is_opus else ".m4a")
            whole.subclipped(begin_s, end_s).write_audiofile(
                str(self._cut_path),
                fps=rate,
                codec="libopus" if is_opus else "aac",
                bitrate="160k" if is_opus else "192k",
                logger=None,
            )
        return late_s

    def add_stream(self, container: Any) -> None:
        """Announce the track to the output, before its first packet."""
        self._output = container.add_stream_from_template(self._source)

    def until(self, time_s: float) -> Iterator[Any]:
        """Packets, stamped for the output, that start before ``time_s`` seconds of it."""
        limit_s = min(time_s, self._length_s)
        while True:
            packet = self._next or self._take()
            if packet is None:
                return
            tick_s = float(packet.time_base)
            if packet.pts * tick_s >= limit_s:
                self._next = packet
                return
            self._next = None
            packet.stream = self._output
            yield packet

    def _take(self) -> Any:
        """The next packet that is heard after time 0, on the output's clock; None at the end."""
        early_s = -PRIMING_S if self._suffix in (".mp4", ".m4v", ".mov") else 0.0
        while True:
            try:
                packet = next(self._packets, None)
            except (FFmpegError, OSError):
                return None  # a track that breaks off ends here
            if packet is None or packet.size == 0:
                return None
            if packet.pts is None:
                continue
            shift = round(self._offset_s / packet.time_base)
            packet.pts += shift
            packet.dts = packet.pts
            if (packet.pts + (packet.duration or 0)) * packet.time_base > early_s:
                return packet

    def close(self) -> None:
        """Close the file and remove the temporary track."""
        self._input.close()
        if self._cut_path is not None:
            with contextlib.suppress(OSError):
                self._cut_path.unlink(missing_ok=True)


def _video_start_s(path: Path, container: Any) -> float:
    """When the first video frame is shown on the file's own clock, in seconds."""
    stream = video_stream(container)
    timing = scan(path) if stream is not None else None
    if timing is None or stream is None:
        return float(container.start_time or 0) / av.time_base
    return float(timing.first_pts * stream.time_base)
