"""Pictures into one output file, each kind of file by its own encoder.

Upright (H, W, 3) uint8 RGB pictures with their times -> a temporary file or folder that
``writer`` renames when it is whole. An encoder is made with the temporary path, gets ``add`` for
each picture and ``finish`` once; all calls come from one thread.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
from av.video.reformatter import VideoReformatter

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.types import Array

from .audio import Sound
from .gif import TICK_S, Palette, PaletteChooser, Spool, insert_comment
from .images import save_picture
from .timing import rounded_up_to_even

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
BT709 = 1  # the number of BT.709 for matrix, primaries and transfer alike
LIMITED_RANGE = 1
LARGE_PX = 1280 * 720
# endings whose files hold transparency; of the films, .mov as ProRes 4444, .webm as VP9
WITH_ALPHA = frozenset([".mov", ".webm", ".gif", ".png", ".webp", ".tif", ".tiff", ""])


@dataclass(frozen=True)
class SinkPlan:
    """What an output is to be."""

    target: Path
    fps: Fraction
    size: tuple[int, int]  # width, height in pixels
    time_base: Fraction
    audio_from: Path | None = None
    audio_start_s: float | None = None  # None = the time of the first picture
    audio_end_s: float | None = None  # None = the end of the pictures
    metadata: dict[str, str] = field(default_factory=dict)
    has_alpha: bool = False  # pictures are (H, W, 4) RGBA, colours not multiplied by alpha
    crf: int = 17  # constant quality of H.264: 0 lossless, 17 hardly visible, 51 worst

    @property
    def tags(self) -> dict[str, str]:
        """The metadata as text: names of files may hold bytes that are none."""
        return {
            key: value.encode("utf-8", "replace").decode("utf-8")
            for key, value in self.metadata.items()
        }


class Encoder(Protocol):
    """Interface of the encoders."""

    warning: str

    def add(self, image: Array, time_s: float) -> None:
        """Take one picture."""

    def finish(self) -> None:
        """Complete the temporary file."""

    def discard(self) -> None:
        """Close what is open; the caller removes the temporary file."""


def film_container(plan: SinkPlan, part: Path) -> Any:
    """The container of a film, opened for writing, with its tags."""
    suffix = plan.target.suffix.lower()
    options = {}
    if FORMATS[suffix] in ("mp4", "mov"):
        # with the usual 1 ms, the edit list would cut a piece off the last frame
        options["movie_timescale"] = str(plan.time_base.denominator)
        options["movflags"] = "+faststart"
        if suffix == ".mov":  # QuickTime's own tags have none for a description
            options["movflags"] += "+use_metadata_tags"
    container = av.open(str(part), "w", format=FORMATS[suffix], options=options)
    container.metadata.update(plan.tags)
    return container


def opened_sound(plan: SinkPlan, origin_s: float, container: Any) -> tuple[Sound | None, str]:
    """The plan's sound, announced to the container, or None and a sentence about why not, or "".

    origin_s: the time of the first picture.
    """
    if plan.audio_from is None:
        return None, ""
    start_s = origin_s if plan.audio_start_s is None else plan.audio_start_s
    sound = None
    try:
        sound = Sound(plan.audio_from, start_s, plan.audio_end_s, plan.target.suffix.lower())
        sound.add_stream(container)
    except Exception as error:  # ffmpeg's errors are of many kinds; a video without its
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        if sound is not None:
            sound.close()  # sound is better than none
        return None, f"the sound of {plan.audio_from.name} was left out: {reason}"
    return sound, ""


class FilmEncoder:
    """H.264 (VP9 in WebM) with the presentation times kept, and the driving sound.

    Transparent pictures become ProRes 4444 in .mov, and VP9 with alpha in WebM.
    """

    def __init__(self, plan: SinkPlan, part: Path) -> None:
        self.warning = ""
        self._plan, self._part = plan, part
        self._suffix = plan.target.suffix.lower()
        self._size = tuple(rounded_up_to_even(side) for side in plan.size)
        self._container: Any = film_container(plan, part)
        self._stream = self._add_stream()
        self._reformatter: Any = VideoReformatter()
        self._sound: Sound | None = None
        self._origin_s: float | None = None
        self._last_tick = -1
        self._frame_ticks = max(1, round(1 / plan.fps / plan.time_base))

    def _add_stream(self) -> Any:
        has_alpha = self._plan.has_alpha
        codec, layout = "libx264", "yuv420p"
        if self._suffix == ".webm":
            codec, layout = "libvpx-vp9", "yuva420p" if has_alpha else "yuv420p"
            options = {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "7"}
            options |= {"row-mt": "1"} | ({"auto-alt-ref": "0"} if has_alpha else {})
        elif has_alpha:
            codec, layout = "prores_ks", "yuva444p10le"
            options = {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}
        else:
            # at 1080p: 23 against 32 ms of processor time a frame, for twice the bytes
            is_large = self._size[0] * self._size[1] > LARGE_PX
            preset = "superfast" if is_large else "veryfast"
            options = {"preset": preset, "crf": str(self._plan.crf)}
        stream: Any = self._container.add_stream(codec, rate=self._plan.fps, options=options)
        stream.width, stream.height = self._size
        stream.pix_fmt = layout
        context = stream.codec_context
        context.time_base = self._plan.time_base
        stream.time_base = self._plan.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        return stream

    def add(self, image: Array, time_s: float) -> None:
        """Encode one picture; the first one's time becomes time 0 of the output."""
        if self._origin_s is None:
            self._origin_s = time_s
            self._open_sound(time_s)
        tick = round((time_s - self._origin_s) / float(self._plan.time_base))
        tick = max(tick, self._last_tick + 1)
        self._last_tick = tick
        self._encode(self._to_video(image, tick))
        self._mux_sound(float(tick * self._plan.time_base))

    def _open_sound(self, origin_s: float) -> None:
        """Find and announce the sound; an unusable track is left out with a warning."""
        self._sound, self.warning = opened_sound(self._plan, origin_s, self._container)

    def _to_video(self, image: Any, tick: int) -> Any:
        """RGB(A) -> BT.709 with even sides, the last row and column repeated."""
        right, below = self._size[0] - image.shape[1], self._size[1] - image.shape[0]
        if right or below:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
        layout = "rgba" if self._plan.has_alpha else "rgb24"
        rgb = av.VideoFrame.from_ndarray(image, format=layout)
        picture = self._reformatter.reformat(
            rgb,
            format=self._stream.pix_fmt,
            dst_colorspace="ITU709",
            dst_color_range="MPEG",
        )
        picture.pts, picture.time_base = tick, self._plan.time_base
        with contextlib.suppress(AttributeError):  # read-only before PyAV 15
            picture.duration = self._frame_ticks
        return picture

    def _encode(self, picture: Any) -> None:
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def _mux_sound(self, until_s: float) -> None:
        if self._sound is not None:
            for packet in self._sound.until(until_s):
                self._container.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds, the rest of the sound, and the index."""
        self._encode(None)
        self._mux_sound(float((self._last_tick + self._frame_ticks) * self._plan.time_base))
        self._close_sound()
        self._container.close()

    def discard(self) -> None:
        """Close everything; what is in the file does not matter any more."""
        self._close_sound()
        with contextlib.suppress(Exception):
            self._container.close()

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()
        self._sound = None


class GifEncoder:
    """An endless GIF with one palette of all pictures, which nothing makes flicker."""

    def __init__(self, plan: SinkPlan, part: Path) -> None:
        self.warning = ""
        self._plan, self._part = plan, part
        self._container: Any = av.open(str(part), "w", format="gif", options={"loop": "0"})
        self._stream: Any = self._container.add_stream("gif", rate=100)
        self._stream.width, self._stream.height = plan.size
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = TICK_S
        self._spool: Spool | None = None
        self._chooser: PaletteChooser | None = None
        self._origin_s = 0.0
        self._last_tick = -1

    def add(self, image: Array, time_s: float) -> None:
        """Take one picture, its time rounded to the format's hundredths of a second."""
        if self._spool is None or self._chooser is None:
            self._spool = Spool(files.part_file(self._plan.target), image)
            self._chooser, self._origin_s = PaletteChooser(image), time_s
        tick = max(round((time_s - self._origin_s) / float(TICK_S)), self._last_tick + 1)
        self._last_tick = tick
        self._chooser.add(image)
        self._spool.add(image, tick)

    def _encode(self, pictures: list[Any]) -> None:
        for picture in pictures:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)

    def finish(self) -> None:
        """Choose the palette, encode all pictures, and put the metadata into a comment block."""
        palette: Palette | None = None
        if self._spool is not None and self._chooser is not None:
            for image, tick in self._spool.pictures():
                palette = palette or Palette(image, self._chooser.chosen())
                self._encode(palette(image, tick))
            self._spool.remove()
        self._encode([*(palette.rest() if palette else []), None])
        self._container.close()
        insert_comment(self._part, "; ".join(self._plan.tags.values()))

    def discard(self) -> None:
        """Close the file, and remove the pictures that wait."""
        if self._spool is not None:
            self._spool.remove()
        with contextlib.suppress(Exception):
            self._container.close()


class FolderEncoder:
    """A folder of PNG pictures, frame_000000.png onwards; times are not kept."""

    def __init__(self, plan: SinkPlan, part: Path) -> None:
        self.warning = ""
        self._plan, self._part, self._count = plan, part, 0

    def add(self, image: Array, time_s: float) -> None:
        """Write the next picture."""
        path = self._part / f"frame_{self._count:06d}.png"
        with open(path, "wb") as file:
            save_picture(file, image, ".png", self._plan.tags)
        self._count += 1

    def finish(self) -> None:
        """Nothing is left to do."""

    def discard(self) -> None:
        """Nothing is open."""


class StillEncoder:
    """One single picture file."""

    def __init__(self, plan: SinkPlan, part: Path) -> None:
        self.warning = ""
        self._plan, self._part, self._count = plan, part, 0

    def add(self, image: Array, time_s: float) -> None:
        """Write the picture; a second one is an error."""
        if self._count:
            raise InputError(
                f"output: expected one picture for {self._plan.target.name}, got several; "
                "name an .mp4 file, or a folder for a sequence of pictures"
            )
        with open(self._part, "wb") as file:
            save_picture(file, image, self._plan.target.suffix.lower(), self._plan.tags)
        self._count += 1

    def finish(self) -> None:
        """Nothing is left to do."""

    def discard(self) -> None:
        """Nothing is open."""
