"""The order of the pipeline: source and driving frames in, animated pictures out.

pipeline = Pipeline.load(tracker="classical")
pipeline.set_source(picture)           # (H, W, 3) uint8 RGB, once
picture = pipeline.animate(frame)      # (H, W, 3) uint8 RGB, as often as you like
pipeline.last                          # the typed result of each stage for the last frame
"""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from hybridanim.config import PipelineConfig, pipeline_config
from hybridanim.errors import InputError
from hybridanim.face import aligner
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.motion import reference
from hybridanim.prepare import driver_scan, source, view
from hybridanim.profiles import Profiles
from hybridanim.tracking.detection import Detector
from hybridanim.types import Array, Frame, Picture, Results, SkinMask, Source, SparseMotion, Tracks

from . import build as parts
from .base import Run, Stage
from .s3_keypoints import Keypoints

__all__ = ["Followed", "Pipeline", "Run", "Stage", "build"]


def build(
    config: PipelineConfig, profiles: Profiles | None = None, detector: Detector | None = None
) -> Pipeline:
    """The pipeline for a config; profiles are those made by calibration.

    detector: a keypoint detector of one's own, in place of the one that the config names.
    """
    return Pipeline(config, profiles or Profiles(), detector)


class Followed(NamedTuple):
    """What stages 1 to 3 say of one frame, for ``Pipeline.render`` to go on from."""

    source: Source
    frame: Frame
    mask: SkinMask
    tracks: Tracks
    points: SparseMotion
    times_ms: dict[str, float]


class Pipeline:
    """Five stages in a row.

    Not safe for use from several threads at once, but for one: while one thread is in ``render``,
    another may ``follow`` the next frame.
    """

    def __init__(
        self, config: PipelineConfig, profiles: Profiles, detector: Detector | None = None
    ) -> None:
        """See ``build``."""
        self.config, self.profiles = config, profiles
        self.aligner = aligner.load()
        self.detector = detector or parts.detector_of(config)
        self.segment, self.track = parts.trackers(config, profiles, self.aligner, self.detector)
        self.keypoints = Keypoints(config.keypoints)
        self.dense, self.generate = parts.renderers(config)
        self.keypoints.has_optical = parts.sees_optical(config, self.dense)
        self.source: Source | None = None
        self.view: view.View | None = None  # None: chosen from the first frame
        self.last: Results | None = None
        self._run, self._index = Run(), 0
        self._shape: tuple[int, ...] = ()  # of the first frame; () before it

    @classmethod
    def load(cls, profiles: Profiles | None = None, **options: Any) -> Pipeline:
        """A pipeline with the command line's options as keywords.

        For example ``Pipeline.load(motion="absolute", size=256)``. Unknown ones raise InputError.
        """
        if not isinstance(profiles, Profiles | None):
            raise InputError(
                f"Pipeline.load: expected options as keywords, got a {type(profiles).__name__};"
                " write Pipeline.load(size=256), or Pipeline.load(**options)"
            )
        return build(pipeline_config(options), profiles)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All five, in order."""
        return self.segment, self.track, self.keypoints, self.dense, self.generate

    def set_source(self, picture: Array) -> Source:
        """Prepare the picture to animate, (H, W, 3) uint8 RGB; InputError when it has no face."""
        _expect_picture("source", picture)
        self.source = source.prepare(
            picture, self.config, self.profiles, self.aligner, self.detector
        )
        return self.source

    def animate(self, image: Array, time_s: float | None = None) -> Array:
        """The source moved like this driving frame, (S, S, 3) uint8 RGB.

        image: (H, W, 3) uint8 RGB, all of one size. time_s: its time in the video; without it
        frames count as 1/30 s apart. The first frame with a head is the reference.
        """
        return self.step(self.frame(image, time_s)).image

    def frame(self, image: Array, time_s: float | None = None) -> Frame:
        """The next driving picture at the size that the trackers work on; InputError if unfit."""
        _expect_picture("frame", image)
        if self._shape not in ((), image.shape):
            raise InputError(
                f"frame: expected the first one's size {self._shape}, got {image.shape};"
                " call reset() before another video"
            )
        if time_s is not None and not isfinite(time_s):
            raise InputError(f"time_s: expected seconds, got {time_s}; leave it out if unknown")
        self._shape = image.shape
        if self.view is None:
            self.view = view.whole_view(*image.shape[:2])
        index, self._index = self._index, self._index + 1
        return Frame(self.view(image), index, index / 30 if time_s is None else time_s)

    def step(self, frame: Frame) -> Picture:
        """Run the five stages on one frame."""
        self.last = self.render(self.follow(frame))
        return self.last.picture

    def follow(self, frame: Frame) -> Followed:
        """Stages 1 to 3: what the driver does, and where that puts the source's keypoints."""
        source, go = self._ready(), self._run
        mask = go(self.segment, frame)
        tracks = go(self.track, frame, mask)
        points = go(self.keypoints, frame, tracks, source)
        return Followed(source, frame, mask, tracks, points, go.times_of(*self.stages[:3]))

    def render(self, followed: Followed, by: tuple[Stage, Stage] | None = None) -> Results:
        """Stages 4 and 5 of a followed frame; by: others than the pipeline's, for a 2nd thread."""
        source, frame, mask, tracks, points, times_ms = followed
        dense, generate = by or (self.dense, self.generate)
        go = self._run if by is None else Run()
        motion = go(dense, source, points)
        picture = go(generate, source, motion)
        times_ms = times_ms | go.times_of(dense, generate)
        return Results(frame, mask, tracks, points, motion, picture, times_ms)

    def observe(self, image: Array, time_s: float | None = None) -> Tracks:
        """Stages 1 and 2 alone: what the driver does, without animating anything."""
        frame = self.frame(image, time_s)
        return self.track(frame, self.segment(frame))

    def glance(
        self, image: Array, index: int, time_s: float
    ) -> driver_scan.Glance | driver_scan.ObjectGlance | None:
        """What one picture of the driver shows, before the run; None when there is no face."""
        if self.detector is not None and self.detector.window != "head":
            return driver_scan.glance_at_object(image, index, time_s, self.detector)
        return driver_scan.glance(image, index, time_s, self.aligner, self.detector)

    def set_reference(self, tracks: Tracks | None) -> None:
        """Measure relative motion from these tracks (without flow); None = from the first frame."""
        found = None if tracks is None else reference.reference_of(tracks, MEAN_SHAPE)
        self.keypoints.set_reference(found)

    def reset(self) -> None:
        """Forget the driver; the source stays."""
        for stage in self.stages:
            stage.reset()
        self._index, self.last, self.view, self._shape = 0, None, None, ()

    def _ready(self) -> Source:
        if self.source is None:
            raise InputError(
                "animate: expected a source first, got none; call set_source(picture) before"
            )
        return self.source


def _expect_picture(what: str, picture: Any) -> None:
    """InputError unless it is (H, W, 3) uint8 RGB with something in it."""
    is_array = isinstance(picture, np.ndarray)
    if is_array and picture.dtype == np.uint8 and picture.shape[2:] == (3,) and picture.size:
        return
    got = f"{picture.shape} {picture.dtype}" if is_array else type(picture).__name__
    raise InputError(
        f"{what}: expected an array (H, W, 3) uint8 RGB, got {got}; hybridanim.io.to_rgb8 converts"
        " arrays and Pillow's pictures, hybridanim.io.read_picture reads files"
    )
