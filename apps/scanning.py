"""Preview scan of a driving video before it is animated: faces, reference frame, which side is up.

Where hardly a face is upright, the pictures are looked at turned: a camera that lay on its side, or
was held upside down, and left no tag in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hybridanim import io
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.io import VideoReader
from hybridanim.motion.reference import SEARCH_S
from hybridanim.prepare import driver_scan
from hybridanim.prepare.driver_scan import FaceObservation, Observation
from hybridanim.prepare.people import People, covered
from hybridanim.prepare.view import whole_view
from hybridanim.types import Array, FaceBox, Frame
from stages.pipeline import Pipeline

POSES = {90: "on their side", 180: "upside down", 270: "on their side"}
_EVERY_S = 0.4  # interval of the looks
_FEW = 0.25  # share of looks with a face below which turns are tried
_MUCH_LARGER = 1.25  # of two faces, by which the larger one is the driver's
_MOST_TURNED = 12  # pictures that are looked at in each turn


@dataclass
class Scan:
    """What was seen, by looks at intervals over the first minute of the cut."""

    turn_deg: int = 0  # clockwise, by which the pictures were turned
    observations: list[Observation] = field(default_factory=list)
    chosen: tuple[Observation, Array] | None = None  # reference and its picture; None: first frame
    is_complete: bool = False  # whether no frame comes after it
    looks: int = 0
    without: list[Array] = field(default_factory=list)  # small pictures without a face
    people: People = field(default_factory=People)
    covered: tuple[FaceBox, ...] = ()  # faces of pictures in the picture, which are left out

    @property
    def notes(self) -> list[str]:
        """Sentences about who is followed."""
        told = []
        if self.covered:
            (x, y) = self.covered[0].center_xy_px
            told.append(
                f"The face at {x:.0f},{y:.0f} of the driving video never moves and is taken as a"
                " picture: the one that moves is followed."
            )
        return told + self.people.sentences()

    @property
    def share(self) -> float:
        """Share of the looks that showed a face, in [0, 1]."""
        return sum(one.is_face for one in self.observations) / max(1, self.looks)

    @property
    def shows_nothing(self) -> bool:
        """Whether no tracker could start anywhere."""
        return not any(one.is_face or one.keypoints is not None for one in self.observations)


def upright(path: Path, job: RenderJob, pipeline: Pipeline) -> Scan:
    """Scan a driving video, turned so that its faces are upright.

    Raises InputError when it shows no face, whichever side is up.
    """
    scan = _scanned(path, job, pipeline, 0)
    pictures = tuple(scan.people.pictures())
    if pictures:
        scan = _scanned(path, job, pipeline, 0, pictures)
    if scan.share >= _FEW or not scan.without:
        return scan
    turn_deg, share = driver_scan.turn_of(scan.without[:_MOST_TURNED], pipeline.aligner)
    if share > scan.share:
        return _scanned(path, job, pipeline, turn_deg)
    if scan.shows_nothing and scan.is_complete:
        raise InputError(
            f"driving video: expected a face, found none in {path.name}, upright or turned; try one"
            " that shows it from the front, or cut it with --start and --end"
        )
    return scan


def _scanned(
    path: Path,
    job: RenderJob,
    pipeline: Pipeline,
    turn_deg: int,
    pictures: tuple[FaceBox, ...] = (),
) -> Scan:
    end_s = min(job.start + SEARCH_S, job.end or float("inf"))
    wanted = int(job.reference) if job.reference.isdecimal() else -1
    scan, due_s = Scan(turn_deg, covered=pictures), 0.0
    cut = job.start, None if wanted >= 0 else end_s
    with io.open_source(path, *cut, turn_deg=turn_deg) as reader:
        scan.is_complete = _ends_within(reader, job)
        first_s: float | None = None
        for frame in reader:
            first_s = frame.time_s if first_s is None else first_s
            passed_s = frame.time_s - first_s
            if passed_s >= due_s or frame.index == wanted:
                _look(scan, frame, job, pipeline)
                due_s = max(due_s, passed_s + _EVERY_S) if passed_s >= due_s else due_s
            if passed_s > SEARCH_S and frame.index >= wanted:
                break
    return scan


def _ends_within(reader: VideoReader, job: RenderJob) -> bool:
    """Whether the cut is no longer than the scan."""
    ends_s = [s for s in (job.end, reader.duration_s) if s is not None]
    return bool(ends_s) and min(ends_s) <= job.start + SEARCH_S


def _look(scan: Scan, frame: Frame, job: RenderJob, pipeline: Pipeline) -> None:
    image = covered(frame.image, scan.covered)
    observation = pipeline.detect(image, frame.index, frame.time_s)
    scan.looks += 1
    if isinstance(observation, FaceObservation):
        faces = [observation.face] if observation.is_face else []
        scan.people.add(image, frame.time_s, [*faces, *observation.others])
    if observation is None or not observation.is_face:
        scan.without.append(whole_view(*image.shape[:2])(image))
        if len(scan.without) >= 2 * _MOST_TURNED:
            scan.without = scan.without[::2]
    if observation is not None:
        scan.observations.append(observation)
        if job.reference == "auto" and scan.chosen and scan.people.is_other_shot:
            return  # sizes are those of the first shot
        if _is_reference(observation, scan.chosen and scan.chosen[0], job, pipeline):
            scan.chosen = observation, image


def _is_reference(
    observation: Observation, best: Observation | None, job: RenderJob, pipeline: Pipeline
) -> bool:
    """Whether this observation is a better reference frame than the best before it."""
    if job.reference == "first" or pipeline.source is None:
        return False
    if job.reference == "auto":
        if best is not None and _is_beside(best, observation):
            return True  # the larger face is the driver's, the other one a picture's
        if best is not None and _is_beside(observation, best):
            return False
        both = [observation] if best is None else [best, observation]
        return driver_scan.nearest(both, pipeline.source) is observation
    return observation.index == int(job.reference)


def _is_beside(one: Observation, other: Observation) -> bool:
    """Whether the other face is elsewhere, and much larger."""
    if not (isinstance(one, FaceObservation) and isinstance(other, FaceObservation)):
        return False
    apart = np.hypot(*np.subtract(one.head.center_xy_px, other.head.center_xy_px))
    size_px = other.head.size_px
    return bool(other.is_face and apart > size_px and size_px > _MUCH_LARGER * one.head.size_px)
