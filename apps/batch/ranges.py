"""Where a long clip is cut into ranges of time, and who renders which of them.

Each range is a file of its own until all are there, so that a run that is killed loses one range
at most. The state of stages 1 to 3 is carried into a range from the one before it, or by a warm-up:
frames that are followed without being rendered.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from hybridanim import files, io, paths
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.io import joining

AUTO_S = 60.0  # length of a range
LONG_S = 120.0  # clips from this length on are cut where nothing else is said
_TOLERANCE_S = 1e-6
LEAD_S = 1.0  # of the clip's beginning, followed first: it holds what the tracks refer to


@dataclass(frozen=True)
class Cutting:
    """How clips are cut."""

    segment_s: float | None = None  # length of a range; None = 60 s of clips over two minutes; 0
    #                                 = no clip is cut
    warm_up_s: float | None = None  # before each range; None = all that comes before it
    spread: int = 1  # workers that one clip is given to at the same time

    def __post_init__(self) -> None:
        if self.segment_s is not None and not (self.segment_s == 0 or 1 <= self.segment_s <= 86400):
            raise InputError(
                f"--segment-s: expected 0 (no ranges), or 1 to 86400, got {self.segment_s:g};"
                " choose within"
            )
        if self.warm_up_s is not None and not 0 <= self.warm_up_s <= 86400:
            raise InputError(
                f"--warm-up-s: expected all, or 0 to 86400, got {self.warm_up_s:g}; choose within"
            )
        if not 1 <= self.spread <= 4096:
            raise InputError(f"--spread: expected 1 to 4096, got {self.spread}; choose within")


@dataclass(frozen=True)
class Cut:
    """A clip cut into ranges."""

    inner_s: tuple[float, ...]  # times between two ranges, on the driving video's clock

    @property
    def count(self) -> int:
        """How many ranges there are."""
        return len(self.inner_s) + 1

    def index(self, time_s: float) -> int:
        """The range that a frame of this time is in."""
        return bisect_right(self.inner_s, time_s + _TOLERANCE_S)

    def start_s(self, index: int) -> float | None:
        """When a range begins; None for the first."""
        return self.inner_s[index - 1] if index else None


@dataclass(frozen=True)
class Stretch:
    """Ranges in a row that one worker renders, and what it follows before."""

    ranges: tuple[int, ...]  # growing; those between the first and the last that are done are not
    #                          among them, and are followed without being rendered
    warm_up_s: float | None  # None = from the beginning of the clip


def cut_of(job: RenderJob, driving: Path, cutting: Cutting) -> tuple[Cut | None, str]:
    """How a clip is cut, or None, and a sentence where a long one cannot be cut, or "".

    Raises InputError for a driving video that cannot be read.
    """
    if cutting.segment_s == 0 or (paths.is_file(driving) and files.is_safetensors(driving)):
        return None, ""
    with io.open_source(driving, job.start, job.end) as reader:
        duration_s = reader.duration_s
    end_s = min(s for s in (job.end, duration_s, 1e9) if s is not None)
    length_s = end_s - job.start
    segment_s = cutting.segment_s or AUTO_S
    if length_s < (LONG_S if cutting.segment_s is None else 1.5 * segment_s) or end_s >= 1e9:
        return None, ""
    if why := _why_whole(job):
        return None, f"Not cut into ranges: {why}."
    count = max(1, round(length_s / segment_s))
    return Cut(tuple(job.start + segment_s * n for n in range(1, count))), ""


def _why_whole(job: RenderJob) -> str:
    """Why outputs of this job cannot be joined from ranges, or ""."""
    if joining.part_suffix(job.output) is None:
        return f"{job.output.name} is of a kind that cannot be joined without encoding anew"
    if job.debug is not None or job.save_motion is not None:
        return "--debug and --save-motion are of a whole clip"
    return ""


def stretches(cut: Cut, done: Collection[int], cutting: Cutting) -> list[Stretch]:
    """Who renders the ranges that are not done yet.

    With a warm-up of its own each range stands alone, so that a run that was killed and resumed
    gives the same pictures as another. Otherwise the state is carried from range to range, and
    several workers each follow all that comes before their first one.
    """
    missing = [index for index in range(cut.count) if index not in done]
    if cutting.warm_up_s is not None:
        return [Stretch((index,), cutting.warm_up_s) for index in missing]
    most = min(cutting.spread, len(missing))
    edges = [round(len(missing) * n / most) for n in range(most + 1)] if most else []
    return [Stretch(tuple(missing[first:last]), None) for first, last in itertools.pairwise(edges)]
