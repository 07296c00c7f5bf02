"""RenderedFrames -> an H.264 mp4 with AAC sound, whose metadata says that it is generated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np

from hybridanim import files

from .raster import Array
from .voice import RATE_HZ

COMMENT = "Computer-generated: drawn by tools/make_driving.py. Shows no real person."


def write(
    path: Path, images: Iterable[Array], fps: int, sound: Array | None = None, crf: int = 16
) -> None:
    """Encode (H, W, 3) uint8 RGB images, even sizes, and an optional int16 mono track.

    The file appears whole, and replaces another one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as file, _film(file) as container:
        container.metadata["title"] = "hybridanim example driving clip"
        container.metadata["comment"] = COMMENT
        video: Any = None
        audio: Any = container.add_stream("aac", rate=RATE_HZ) if sound is not None else None
        if audio is not None:
            audio.layout, audio.bit_rate = "mono", 64000
        for image in images:
            if video is None:
                video = _video_stream(container, image.shape, fps, crf)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode())
        if audio is not None and sound is not None:
            _write_sound(container, audio, sound)


def _film(file: Any) -> Any:
    return av.open(file, "w", format="mp4", options={"movflags": "+faststart"})


def _video_stream(container: Any, shape: tuple[int, ...], fps: int, crf: int) -> Any:
    stream = container.add_stream("libx264", rate=fps)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    # one thread: the same pictures always give the same file
    stream.options = {"crf": str(crf), "preset": "slow", "threads": "1"}
    return stream


def _write_sound(container: Any, stream: Any, sound: Array) -> None:
    for start in range(0, len(sound), 1024):
        block = np.ascontiguousarray(sound[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
