"""What measuring a clip and a pair share: their frames, which are measured, the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hybridanim import io
from hybridanim.evaluation.face_evaluator import Seen
from hybridanim.evaluation.scores import Judges, Score
from hybridanim.evaluation.strip import Gallery
from hybridanim.types import Array, Frame

from .job import EvaluateJob

_THREES = 3  # jitter: the frames beside every so-manieth measured one are looked at too


@dataclass
class ClipResult:
    """What a worker sends back of one clip or pair."""

    name: str
    frames: int = 0  # measured
    scores: dict[str, Score] = field(default_factory=dict)
    gallery: Gallery = field(default_factory=Gallery)
    source: Array | None = None  # as the results show it
    source_seen: Seen | None = None
    failure: str = ""  # why it was left out, or ""

    def look(self, picture: Array, judges: Judges) -> Seen | None:
        """The face of a result; that of the source itself is known."""
        return self.source_seen if picture is self.source else judges.look(picture)

    def put_times(self, times_ms: dict[str, dict[str, float]]) -> None:
        """How long each method took for this frame."""
        for name, times in times_ms.items():
            self.scores[name].put(times)

    def closed(self) -> ClipResult:
        """The same without what only running clips need; small enough to send."""
        self.scores = {name: score.closed() for name, score in self.scores.items()}
        self.source = self.source_seen = None
        return self


def frames_of(clip: Path, job: EvaluateJob) -> Iterator[Frame]:
    """The frames of a clip, as many as the job wants."""
    with io.open_source(clip) as reader:
        for frame in reader:
            if frame.index >= job.frames:
                return
            yield frame


def wanted(index: int, every: int) -> tuple[bool, bool]:
    """Whether a frame is measured, and whether only its landmarks are, for the jitter."""
    if index % every == 0:
        return True, False
    step = every * _THREES if every > 2 else every
    return False, (index + 1) % step == 0 or (index - 1) % step == 0


def beside(
    result: ClipResult,
    index: int,
    driver: Seen | None,
    pictures: dict[str, Array],
    judges: Judges,
    scale: float = 1.0,
) -> None:
    """Follow the faces of a frame of which nothing else is measured."""
    for name, picture in pictures.items():
        result.scores[name].follow(index, result.look(picture, judges), driver, scale)
