"""Outputs that were written range by range, joined into one without encoding anew.

Parts of a film, each a film of its own that begins with a key frame and refers to nothing outside
itself (closed groups of pictures), and the times of their pictures -> one film with the sound of
the whole. Packets are copied; only their time stamps are made anew, from the pictures' times, so
that no container's rounding adds up. Folders of pictures are joined by counting on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from hybridanim.errors import InputError
from hybridanim.types import Array

from .encoders import FORMATS, SinkPlan, film_container, opened_sound
from .timing import OPEN_OPTIONS
from .writer import frames_in, make_part, move_whole, remove_part, write_error


@dataclass(frozen=True)
class Part:
    """One range of an output."""

    path: Path
    times_s: tuple[float, ...]  # of its pictures, as they were given to the writer


def part_suffix(target: str | Path) -> str | None:
    """Ending of the parts of this output ("" = folders); None where parts cannot be joined.

    A GIF has one palette of all pictures, and a single picture has no parts. Matroska counts in
    milliseconds, so that the parts of .mkv are mp4.
    """
    suffix = Path(target).suffix.lower()
    if suffix and suffix not in FORMATS:
        return None
    return {".mkv": ".mp4", ".m4v": ".mp4"}.get(suffix, suffix)


def join(parts: Sequence[Part], plan: SinkPlan, *, overwrite: bool = False) -> str:
    """Write the output of a plan from its parts; returns a sentence about lost sound, or "".

    The parts stay. Raises InputError where the output cannot be written, or is taken and
    ``overwrite`` is off, or where the parts were not made alike.
    """
    warning = ""
    made = make_part(plan.target)
    try:
        if made.is_dir():
            _number_on(parts, made)
        else:
            warning = _write_film(parts, plan, made)
        move_whole(made, plan.target, overwrite)
    except (OSError, FFmpegError) as error:
        raise write_error(plan.target, error) from error
    finally:
        remove_part(made)
    return warning


def _number_on(parts: Sequence[Part], made: Path) -> None:
    """The pictures of all parts in one folder, by links where the file system has them."""
    pictures = [picture for part in parts for picture in frames_in(part.path)]
    for index, picture in enumerate(pictures):
        name = made / f"frame_{index:06d}.png"
        try:
            os.link(picture, name)
        except OSError:
            shutil.copyfile(picture, name)


def _write_film(parts: Sequence[Part], plan: SinkPlan, made: Path) -> str:
    times_s = np.concatenate([part.times_s for part in parts])
    ticks = _ticks(times_s, float(plan.time_base))
    orders = [_order(part) for part in parts]
    ahead = max(int((np.arange(len(order)) - order).max()) for order in orders)
    frame_ticks = max(1, round(1 / plan.fps / plan.time_base))
    early = ticks[0] - frame_ticks * np.arange(ahead, 0, -1)
    decoded = np.concatenate([early, ticks])  # time stamps in order of decoding: shown, but earlier
    with ExitStack() as stack:
        container: Any = stack.enter_context(film_container(plan, made))
        stream = _like(parts, container, stack)
        stream.time_base = plan.time_base
        sound, warning = opened_sound(plan, float(times_s[0]), container)
        if sound is not None:
            stack.callback(sound.close)
        index = start = 0
        for part, order in zip(parts, orders, strict=True):
            for packet, rank in zip(_packets(part.path), order, strict=True):
                packet.pts, packet.dts = int(ticks[start + rank]), int(decoded[index])
                packet.time_base, packet.duration = plan.time_base, frame_ticks
                packet.stream = stream
                container.mux(packet)
                index += 1
                if sound is not None:
                    for heard in sound.until(float(decoded[index - 1] * plan.time_base)):
                        container.mux(heard)
            start += len(order)
        if sound is not None:
            for heard in sound.until(float((ticks[-1] + frame_ticks) * plan.time_base)):
                container.mux(heard)
    return warning


def _ticks(times_s: Array, tick_s: float) -> Array:
    """(N,) int64 times in ticks from the first on, growing, as ``FilmEncoder.add`` counts them."""
    ticks = np.round((times_s - times_s[0]) / tick_s).astype(np.int64)
    steps = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - steps) + steps


def _order(part: Part) -> Array:
    """(N,) int: for each packet of a part, in order of decoding, which of its pictures it shows.

    Raises InputError unless there is one packet a picture and the first is a key frame.
    """
    packets = [(packet.pts, packet.is_keyframe) for packet in _packets(part.path)]
    if len(packets) != len(part.times_s) or not packets[0][1]:
        raise InputError(
            f"{part.path.name}: expected a part of {len(part.times_s)} pictures that begins with a"
            f" key frame, got {len(packets)} packets; remove it, so that it is made anew"
        )
    return np.argsort(np.argsort([stamp for stamp, _ in packets]))


def _like(parts: Sequence[Part], container: Any, stack: ExitStack) -> Any:
    """A stream like those of the parts; InputError where they differ from each other."""
    opened = [stack.enter_context(_opened(part.path)) for part in parts[:1]]
    first = opened[0].streams.video[0]
    for part in parts[1:]:
        with _opened(part.path) as other:
            context = other.streams.video[0].codec_context
            if context.extradata != first.codec_context.extradata:
                raise InputError(
                    f"{part.path.name}: expected a part encoded as {parts[0].path.name}, got other"
                    " settings; remove both, so that they are made anew"
                )
    stream = container.add_stream_from_template(first)
    if "alpha_mode" in first.metadata:  # of VP9, whose alpha lies beside its packets
        stream.metadata["alpha_mode"] = first.metadata["alpha_mode"]
    return stream


def _opened(path: Path) -> Any:
    return av.open(str(path), options=OPEN_OPTIONS)


def _packets(path: Path) -> Iterator[Any]:
    """The packets of a part's film that hold a picture, in order of decoding."""
    with _opened(path) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                yield packet
