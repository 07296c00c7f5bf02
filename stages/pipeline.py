"""The order of the pipeline: source and driving frames in, animated pictures out.

pipeline = Pipeline.load(tracker="classical")
pipeline.set_source(picture)           # (H, W, 3) uint8 RGB, once
picture = pipeline.animate(frame)      # (H, W, 3) uint8 RGB, for each driving frame
pipeline.last                          # the typed result of each stage for the last frame
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from hybridanim import schema
from hybridanim.config import PipelineConfig, pipeline_config
from hybridanim.errors import InputError
from hybridanim.face import aligner
from hybridanim.motion import by_hand, posing
from hybridanim.motion.by_hand import Controls
from hybridanim.motion.imagined_motion import ImaginedMotion, Wish, expect_length
from hybridanim.motion.keyframes import Keyframes
from hybridanim.motion.motion_file import Motion
from hybridanim.motion.posing import Posing
from hybridanim.motion.reference import Reference, with_picture
from hybridanim.motion.replay import Replay
from hybridanim.prepare import driver_scan, face_of, source, view
from hybridanim.prepare.driver_scan import Observation
from hybridanim.prepare.motion_recorder import MotionRecorder
from hybridanim.profiles import Profiles
from hybridanim.runtime.base import RuntimeInfo
from hybridanim.runtime.detector import LearnedDetector
from hybridanim.tracking.detection import Detector
from hybridanim.types import (
    Array,
    Crop,
    Frame,
    Picture,
    Results,
    SkinMask,
    Source,
    SparseMotion,
    Tracks,
)

from .base import Run, Stage
from .build import Builder, Renderer, detector_sha256, expect_same_tracker
from .s3_keypoints import model_of

__all__ = ["Followed", "Motion", "Pipeline", "build"]


def build(
    config: PipelineConfig,
    profiles: Profiles | None = None,
    detector: Detector | None = None,
    run: Run | None = None,
) -> Pipeline:
    """Build the pipeline of a config; profiles: from calibration.

    detector: replaces the keypoint detector that the config chooses.
    """
    return Pipeline(config, profiles or Profiles(), detector, run)


class Followed(NamedTuple):
    """Results of stages 1 to 3 for one frame, the input of ``Pipeline.render``."""

    source: Source
    frame: Frame
    mask: SkinMask
    tracks: Tracks
    points: SparseMotion
    times_ms: dict[str, float]


_NEAR_PROFILE_DEG = 35.0  # yaw from which a source is told to be turned far


class Pipeline:
    """The five stages in order.

    Not thread-safe, with one exception: while one thread is in ``render``, another may ``follow``
    the next frame.
    """

    def __init__(
        self,
        config: PipelineConfig,
        profiles: Profiles,
        detector: Detector | None = None,
        run: Run | None = None,
    ) -> None:
        """See ``build``."""
        builder = Builder(config)
        self.config, self.profiles = config, profiles
        self.aligner = aligner.load()
        self.detector = detector or builder.detector()
        self.finder = builder.finder(self.detector)
        self._matte = builder.matte(self.detector)
        self.segment, self.track = builder.front(profiles, self.aligner, self.detector, self.finder)
        self._builder, self._renderer = builder, builder.renderer()
        self.keypoints = builder.keypoints(self._renderer.dense)
        self.last: Results | None = None
        self._source: Source | None = None
        self._view: view.View | None = None  # None: to be chosen from the first frame
        self._reference: tuple[Observation, Array] | None = None  # until the view is known
        self._observations: Sequence[Observation] = ()  # of ``use_scan``
        self._recorder: MotionRecorder | None = None
        self._run, self._index = run or Run(), 0
        self._shape: tuple[int, ...] = ()  # of the first frame; () before it

    @classmethod
    def load(cls, profiles: Profiles | None = None, **options: Any) -> Pipeline:
        """Build a pipeline with the command line's options as keywords.

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
        """All five stages, in order."""
        return self.segment, self.track, self.keypoints, *self._renderer

    @property
    def renderer(self) -> Renderer:
        """Stages 4 and 5."""
        return self._renderer

    @property
    def source(self) -> Source | None:
        """The prepared source; None before ``set_source``."""
        return self._source

    @property
    def view(self) -> view.View | None:
        """Part of the driving frames that stages 1 to 3 process; None before the first frame."""
        return self._view

    @property
    def runtime_info(self) -> list[RuntimeInfo]:
        """Runtime of each learned network, with notes."""
        detector = self.detector
        found = [detector.runtime_info] if isinstance(detector, LearnedDetector) else []
        found.append(self._renderer.generate.runtime_info)
        return [info for info in found if info is not None]

    def set_source(self, picture: Array, *, crop: str | None = None) -> Source:
        """Prepare the picture to animate, (H, W, 3) uint8 RGB; InputError when it has no face.

        (H, W, 4) RGBA, colours not multiplied by alpha, is a source with transparency.
        crop: replaces the option of that name.
        """
        _expect_picture("source", picture, channels=(3, 4))
        config = self.config
        if crop is not None:
            config = schema.replaced(config, {"crop": crop}, "set_source")
        self._source = source.prepare(
            picture, config, self.profiles, self.aligner, self.detector, self.finder, self._matte
        )
        return self._source

    def use_source(self, prepared: Source) -> None:
        """Use a source that ``set_source`` of this or another pipeline has prepared."""
        _expect_type("use_source", prepared, Source, "set_source() prepares one")
        self._source = prepared

    def set_view(self, chosen: view.View | None) -> None:
        """Process only this part of the driving frames; call before the first. None = all."""
        if chosen is not None:
            makers = "prepare.view.whole_view and view_around_faces make one"
            _expect_type("set_view", chosen, view.View, makers)
        self._view = chosen

    def use_scan(self, observations: Sequence[Observation], height: int, width: int) -> None:
        """Use what ``detect`` found in frames of the video that follows; call before the first.

        The view is chosen round the faces, and tracking starts with, and is corrected by, faces
        that are confirmed. height, width: of the driving frames.
        """
        faces = [one.face for one in driver_scan.surest_faces(observations)]
        self._view = view.view_around_faces(faces, height, width)
        self._observations = tuple(observations)
        self.track.expect_faces(driver_scan.faces_by_time(observations, self._view))

    def set_driving_crop(self, crop: Crop) -> None:
        """Fix the driving crop, in pixels of the view; call before the first frame.

        Without it, the crop lies around the head of the first frame.
        """
        self.keypoints.set_crop(crop)

    def use_renderer(self, renderer: Renderer) -> None:
        """Render later frames by these stages 4 and 5, as from ``new_renderer``."""
        _expect_type("use_renderer", renderer, Renderer, "new_renderer() builds one")
        self._renderer = renderer
        self.follow_optical_flow(renderer.dense.uses_optical_flow)

    def follow_optical_flow(self, is_used: bool) -> None:
        """Switch the driver's optical flow on or off for later frames.

        No effect if the config's ``optical_flow`` is off.
        """
        if self.config.keypoints.optical_flow == "auto":
            self.keypoints.adjust(optical_flow="auto" if is_used else "off")

    def new_renderer(self, threads: int | None = None) -> Renderer:
        """Build further stages 4 and 5 of this pipeline's config, for another thread.

        threads: of each network, in place of the config's; 0 = all.
        """
        return self._builder.renderer(threads)

    def animate(self, image: Array, time_s: float | None = None) -> Array:
        """Animate the source by this driving frame: (S, S, 3) uint8 RGB.

        image: (H, W, 3) uint8 RGB, all of one size. time_s: its time in the video; None: frames
        are 1/30 s apart. The first frame with a head is the reference, unless
        ``set_reference`` gave another.
        """
        self._ready()
        return self.step(self.frame(image, time_s)).image

    def frame(self, image: Array, time_s: float | None = None) -> Frame:
        """Next driving frame at the trackers' working resolution; InputError for unfit pictures."""
        _expect_picture("frame", image)
        self._expect_size("frame", image)
        if time_s is not None and not schema.is_number(time_s):
            raise InputError(f"time_s: expected seconds, got {time_s!r}; leave it out if unknown")
        self._shape = image.shape
        if self._view is None:
            self._view = view.whole_view(*image.shape[:2])
        if not self._index:
            self._apply_driving_crop(image)
        self._apply_reference()
        index, self._index = self._index, self._index + 1
        return Frame(self._view(image), index, index / 30 if time_s is None else time_s)

    def step(self, frame: Frame) -> Picture:
        """Run the five stages on one frame."""
        self.last = self.render(self.follow(frame))
        return self.last.picture

    def follow(self, frame: Frame) -> Followed:
        """Run stages 1 to 3: track the driver and compute the source's target keypoints."""
        source, go = self._ready(), self._run
        mask = go(self.segment, frame)
        tracks = go(self.track, frame, mask)
        points = go(self.keypoints, frame, tracks, source)
        if self._recorder is not None and self._recorder.is_open:
            first, seen = self.keypoints.first, self.keypoints.seen
            self._recorder.add(frame, tracks, first, seen, self.track.scene, self._view)
        return Followed(source, frame, mask, tracks, points, go.times_of(*self.stages[:3]))

    def render(self, followed: Followed, renderer: Renderer | None = None) -> Results:
        """Run stages 4 and 5 of a followed frame; renderer: those of another thread or None."""
        source, frame, mask, tracks, points, times_ms = followed
        dense, generate = renderer or self._renderer
        go = self._run if renderer is None else Run()
        motion = go(dense, source, points)
        picture = go(generate, source, motion)
        times_ms = times_ms | go.times_of(dense, generate)
        return Results(frame, mask, tracks, points, motion, picture, times_ms)

    def record(
        self,
        path: str | Path,
        fps: Fraction | int = 30,
        *,
        time_base: Fraction | None = None,
        overwrite: bool = False,
    ) -> MotionRecorder:
        """Write the driver's motion in later frames to a motion file; call before the first frame.

        The recorder is a context manager, whose end completes the file. fps, time_base: of the
        driving video. Raises InputError where the file cannot be written, or is there and
        ``overwrite`` is off.
        """
        if self._index:
            raise InputError(
                f"record: expected a new or reset pipeline, got one after {self._index} frames;"
                " call it before the first frame"
            )
        self._recorder = MotionRecorder(
            path,
            self.config,
            detector_sha256(self.config),
            Fraction(fps),
            time_base,
            self._observations,
            overwrite=overwrite,
        )
        self.track.follow_background()
        return self._recorder

    def replay(
        self,
        motion: Motion | Keyframes,
        reference: str = "auto",
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> Iterator[Array]:
        """Animate the source by a motion file or key frames: yields pictures (S, S, 3) uint8 RGB.

        The motion options of this pipeline apply as with a video. reference: auto, first, or the
        number of a frame. start_s, end_s: cut in seconds from the first frame, end excluded.
        Raises InputError for a motion of another tracker's keypoints, or an unfit reference. Key
        frames (``motion.keyframes``) give what ``pose`` gives at each time, times the strengths of
        ``drive`` and ``scale``; they need a fitted face, and take no reference.
        """
        for followed in self.followed(self.replaying(motion, reference, start_s, end_s)):
            self.last = self.render(followed)
            yield self.last.picture.image

    def imagine(
        self, mood: str = "talking", seconds: float | None = None, seed: int = 0
    ) -> Iterator[Array]:
        """Animate the source without a driver: yields pictures (S, S, 3) uint8 RGB, 25 a second.

        mood: talking, listening, nodding, laughing, idle or looking. seconds: None = without end.
        Equal seeds give equal pictures. Raises InputError for an unknown mood, and unfit numbers.
        """
        motion = self.imagined(Wish(mood, seed))
        if seconds is not None:
            expect_length(seconds)
        for followed in self.followed(self.replaying(motion, "first", 0.0, seconds)):
            self.last = self.render(followed)
            yield self.last.picture.image

    def imagined(self, wish: Wish) -> ImaginedMotion:
        """Imagined motion that begins with the source's pose."""
        return ImaginedMotion(wish, self._ready("imagine").rotation_deg)

    def replaying(
        self,
        motion: Motion | Keyframes | ImaginedMotion,
        reference: str = "auto",
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> Replay | Posing:
        """Stage 3 of a motion file, its reference chosen, or of key frames; see ``replay``."""
        source = self._ready()
        _expect_type(
            "replay", motion, Motion | Keyframes | ImaginedMotion, "Motion.load(path) reads one"
        )
        if isinstance(motion, Keyframes):
            return Posing(motion, source, self.config.keypoints, start_s, end_s)
        expect_same_tracker(self.config, motion.header)
        config = self.config.keypoints
        model = model_of(config)
        return Replay(
            motion, source, config, model, reference=reference, start_s=start_s, end_s=end_s
        )

    def followed(self, replay: Replay | Posing) -> Iterator[Followed]:
        """Yield the input of ``render`` for each frame of a motion file, or of key frames."""
        source = self._ready()
        first, second, third = (stage.name for stage in self.stages[:3])
        start = time.perf_counter()
        for frame, mask, tracks, points in replay:
            times_ms = {first: 0.0, second: 0.0, third: 1000 * (time.perf_counter() - start)}
            yield Followed(source, frame, mask, tracks, points, times_ms)
            start = time.perf_counter()

    def pose(self, **amounts: float) -> Array:
        """Pose the source by hand, without a driver: (S, S, 3) uint8 RGB by the renderer.

        Each amount is a change from the picture, 0 = the source's own. Degrees: ``yaw`` -60 to 60
        (> 0 turns the face to the picture's right), ``pitch`` -45 to 45 (> 0 looks up), ``roll``
        -60 to 60 (> 0 clockwise). Heads: ``shift_x``, ``shift_y`` -1 to 1 (right, down). ``zoom``
        -1 to 1: half to twice the size. From -1 to 1: ``jaw`` (1 opens the mouth wide, by 0.18
        heights of the face; -1 shuts it), ``smile``, ``brows`` (1 = raised), ``blink_left`` and
        ``blink_right`` (1 = shut, -1 = wide open; left and right as seen in the picture),
        ``gaze_x`` and ``gaze_y`` (> 0: to the picture's right, up).

        The state of a driver that is running is left alone; without amounts the warp renderer gives
        ``source.image``. Raises InputError before ``set_source``, for a source without a fitted
        face, unknown names, and values that are no numbers or out of range.
        """
        source = self._ready("pose")
        points = posing.posed(source, by_hand.controls(amounts))
        return self._renderer.generate(source, self._renderer.dense(source, points)).image

    def copy_pose(self, picture: Array) -> Controls:
        """The amounts of ``pose`` that give the source the pose and expression of another picture.

        picture: (H, W, 3) uint8 RGB, any person. The expression is that person's difference from
        their own neutral face, on the source's neutral face. Raises InputError for a picture
        without a face that can be fitted, or without a source with one.
        """
        source = self._ready("copy_pose")
        posing.posed(source, Controls())  # refuses a source without a fitted face
        _expect_picture("copy_pose", picture)
        face = face_of.face_of(picture, self.aligner, self.finder)
        return by_hand.copied(face, source.face)

    @property
    def notes(self) -> list[str]:
        """What the user should know about the source and the frames so far, as sentences."""
        return [*self._notes_of_turn(), *self._notes_of_profile(), *self._notes_of_parts()]

    def _notes_of_profile(self) -> list[str]:
        if self._source is None or abs(self._source.rotation_deg[0]) < _NEAR_PROFILE_DEG:
            return []
        return [
            f"The source looks {abs(self._source.rotation_deg[0]):.0f} degrees aside: the half of"
            " its face that is hidden is a guess. A picture from the front gives a better result."
        ]

    def _notes_of_turn(self) -> list[str]:
        if self._source is None or not self._source.turn_deg:
            return []
        lies = "upside down" if self._source.turn_deg == 180 else "on its side"
        return [
            f"The source picture was turned by {self._source.turn_deg} degrees clockwise: as it is,"
            f" its face is {lies}."
        ]

    def _notes_of_parts(self) -> list[str]:
        if self._source is None or self.config.keypoints.strengths.is_uniform:
            return []
        lacks = "source" if self._source.face is None else "driver"
        if lacks == "driver" and (not self._index or self.keypoints.has_seen_a_face):
            return []
        effect = {"source": "all parts move together", "driver": "the head rests"}[lacks]
        drive = self.config.keypoints.drive
        return [f"--drive {drive}: the face model fits no face in the {lacks}, so {effect}."]

    def observe(self, image: Array, time_s: float | None = None) -> Tracks:
        """Run stages 1 and 2 alone: track the driver without animating."""
        frame = self.frame(image, time_s)
        return self.track(frame, self.segment(frame))

    def detect(self, image: Array, index: int = 0, time_s: float = 0.0) -> Observation | None:
        """Detect the face, or object, of one driving picture; None when there is none.

        Independent of the frames that the pipeline has processed.
        """
        _expect_picture("detect", image)
        if self.detector is not None and self.detector.window != "head":
            return driver_scan.detect_object(image, index, time_s, self.detector)
        return driver_scan.detect(image, index, time_s, self.aligner, self.detector, self.finder)

    def set_reference(
        self, image: Array | None, observation: Observation | Reference | None = None
    ) -> bool:
        """Choose the reference frame, whose pose means "no motion"; return whether that worked.

        Call at any time before or between frames. image: the driving picture, (H, W, 3) uint8 RGB
        of the frames' size. observation: result of ``detect`` for it, if known; or, without an
        image, a Reference from this pipeline's tracks. Both None: the first frame is the reference
        again. Returns False, and changes nothing, when the picture shows no clear face.
        """
        if image is None and isinstance(observation, Reference | None):
            self._reference = None
            self.keypoints.set_reference(observation)
            return True
        _expect_picture("reference", image)
        assert image is not None
        self._expect_size("reference", image)
        if observation is None:
            observation = self.detect(image)
        else:
            _expect_type("set_reference", observation, Observation, "detect() of it gives one")
        assert not isinstance(observation, Reference)
        if observation is None or not observation.is_clear:
            return False
        self._reference = observation, image
        self._apply_reference()
        return True

    def reset(self) -> None:
        """Discard all state of the driver; the source is kept."""
        for stage in self.stages:
            stage.reset()
        self._index, self.last, self._view, self._shape = 0, None, None, ()
        self._reference, self._observations = None, ()

    def _apply_driving_crop(self, image: Array) -> None:
        """Fix the driving crop that the option of that name asks for."""
        option = self.config.driving_crop
        source.refuse_far_crop(image, option, "--driving-crop")
        crop = source.wanted_crop(image.shape[0], image.shape[1], option)
        if crop is not None and self._view is not None:
            self.set_driving_crop(self._view.crop_inside(crop))

    def _apply_reference(self) -> None:
        """Pass a chosen reference to the stages, in pixels of the view, once the view is known."""
        if self._reference is None or self._view is None or not self._shape:
            return
        (observation, image), self._reference = self._reference, None
        self._expect_size("reference", image)
        small = self._view(image)
        reference = driver_scan.as_reference(observation, self._view)
        self.keypoints.set_reference(with_picture(reference, small))
        if reference.head is not None:
            self.track.set_reference_image(small, reference.head)

    def _expect_size(self, what: str, image: Array) -> None:
        if self._shape not in ((), image.shape):
            raise InputError(
                f"{what}: expected the first frame's size {self._shape}, got {image.shape};"
                " call reset() before another video"
            )

    def _ready(self, what: str = "animate") -> Source:
        if self._source is None:
            raise InputError(
                f"{what}: expected a source first, got none; call set_source(picture) before"
            )
        return self._source


def _expect_type(what: str, value: Any, wanted: Any, fix: str) -> None:
    """Raise InputError unless the value is of that type, or of one of a union."""
    if not isinstance(value, wanted):
        names = " or ".join(one.__name__ for one in get_args(wanted) or (wanted,))
        raise InputError(f"{what}: expected a {names}, got a {type(value).__name__}; {fix}")


def _expect_picture(what: str, picture: Any, channels: tuple[int, ...] = (3,)) -> None:
    """Raise InputError unless it is a non-empty array (H, W, 3) uint8, or of these channels."""
    is_array = isinstance(picture, np.ndarray)
    is_image = is_array and picture.ndim == 3 and picture.shape[2] in channels and picture.size
    if is_image and picture.dtype == np.uint8:
        return
    got = f"{picture.shape} {picture.dtype}" if is_array else type(picture).__name__
    raise InputError(
        f"{what}: expected an array (H, W, 3) uint8 RGB, got {got}; hybridanim.io.to_rgb8 converts"
        " arrays and Pillow's pictures, hybridanim.io.read_picture reads files"
    )
