"""Small generated videos for the tests of the training data."""

from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np

from hybridanim.types import Array


def write(path: Path, frames: Iterable[Array], rate: int = 25) -> None:
    """(H, W, 3) uint8 RGB frames to a video, nearly without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        frames = list(frames)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def scene(seed: int, count: int = 12, size: tuple[int, int] = (64, 64)) -> list[Array]:
    """A disc that wanders over a smooth picture of its own."""
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.integers(30, 220, (4, 4, 3)).astype(np.uint8)
    still = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    colour = tuple(int(value) for value in rng.integers(0, 255, 3))
    frames = []
    for i in range(count):
        centre = (
            round(width / 2 + 0.25 * width * np.sin(0.5 * i + seed)),
            round(height / 2 + 0.2 * height * np.cos(0.4 * i)),
        )
        frames.append(cv2.circle(still.copy(), centre, height // 6, colour, -1))
    return frames
