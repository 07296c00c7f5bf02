"""A few small pictures of a run of any length: evenly spaced ones, and notable moments.

A row of numbers of every frame in; at most ``MOST`` spaced JPEGs and one per kind of moment kept,
those with the pictures of all stages. A picture is asked for only when it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2

from hybridanim.types import Array

from .run_statistics import IMPLAUSIBLE, Row


@dataclass(frozen=True)
class Thumbnail:
    """One moment: driver and result side by side, or all stages in a row."""

    caption: str  # what it shows
    time_s: float
    index: int
    jpeg: bytes
    shows_stages: bool = False


class Thumbnails:
    """Keeps pictures as JPEG; when there are too many spaced ones, every second goes."""

    MOST = 8

    def __init__(self) -> None:
        self._spaced: list[Thumbnail] = []
        self._stride = 1
        self._moments: dict[str, tuple[float, Thumbnail]] = {}
        self._frames = 0

    def add(
        self, row: Row, picture: Callable[[], Array], stages: Callable[[], Array] | None = None
    ) -> None:
        """Keep a frame if it is one of the spaced ones or the most notable of its kind.

        picture: driver and result; stages: all stages, for the notable ones.
        """
        kinds = list(self._notable(row))
        is_spaced = self._frames % self._stride == 0
        self._frames += 1
        if not kinds and not is_spaced:
            return
        time_s, index = float(row["time_s"]), int(row["index"])
        if kinds:
            made = jpeg((stages or picture)())
            for kind, worth, text in kinds:
                moment = Thumbnail(text, time_s, index, made, shows_stages=stages is not None)
                self._moments[kind] = (worth, moment)
        if is_spaced:
            self._spaced.append(Thumbnail("", time_s, index, jpeg(picture())))
        if len(self._spaced) > self.MOST:
            self._spaced = self._spaced[::2]
            self._stride *= 2

    def _notable(self, row: Row) -> Iterator[tuple[str, float, str]]:
        """(kind, score, caption) of each kind of moment for which this frame is the best so far."""
        turn = max(("yaw", "pitch", "roll"), key=lambda axis: abs(float(row[f"{axis}_deg"])))
        angle = float(row[f"{turn}_deg"])
        if row["lost"]:
            yield from self._better("lost", 1, f"first loss: {row['lost']}")
            return
        if row["is_held"]:
            yield from self._better("held", 1, f"first held motion: {IMPLAUSIBLE}")
        if row["is_fitted"]:  # as the turn, by steps
            opening = float(row["mouth_opening"])
            text = f"widest open mouth: {opening:.2f} of the face"
            yield from self._better("mouth", opening // 0.02, text)
        # a record counts from the next quarter of a degree: a slow turn is not coded every frame
        yield from self._better(
            "turn", float(int(abs(angle))), f"largest turn: {turn} {angle:+.0f}°"
        )
        if row["is_hand_before_face"]:
            yield from self._better("hand", 1, "first hand before the face")
        doubt = 1 - float(row["tracks_confidence"])
        yield from self._better("doubt", doubt // 0.1, f"least confidence: {1 - doubt:.2f}")

    def _better(self, kind: str, worth: float, text: str) -> Iterator[tuple[str, float, str]]:
        if worth > self._moments.get(kind, (0.0, None))[0]:
            yield kind, worth, text

    @property
    def pictures(self) -> list[Thumbnail]:
        """Thumbnails in order of time; a moment replaces the spaced one of the same frame.

        What is notable about one frame for several reasons is one moment.
        """
        moments: dict[int, Thumbnail] = {}
        for _, one in self._moments.values():
            before = moments.get(one.index)
            text = one.caption if before is None else f"{before.caption}; {one.caption}"
            moments[one.index] = replace(one, caption=text)
        rest = [one for one in self._spaced if one.index not in moments or self._has_stages]
        return sorted([*moments.values(), *rest], key=lambda one: one.index)

    @property
    def _has_stages(self) -> bool:
        return any(one.shows_stages for _, one in self._moments.values())


def jpeg(image: Array) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG file."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
