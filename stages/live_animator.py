"""Shots of a camera -> animated pictures, by the pipeline; keys and quality levels change it."""

from __future__ import annotations

from dataclasses import replace

import cv2

from hybridanim import faces, views
from hybridanim.composing import Composer
from hybridanim.live import screen
from hybridanim.live.camera import Shot
from hybridanim.live.config import LiveJob
from hybridanim.live.governor import Quality
from hybridanim.live.hints import Hint, hint
from hybridanim.live.keys import Action
from hybridanim.live.loop import Animated
from hybridanim.live.reference import ReferenceKeeper
from hybridanim.profiles import load_profiles
from hybridanim.types import Array

from . import Pipeline, build
from .live_levels import Levels

_STRENGTH_STEP, _MOST_STRENGTH = 0.1, 3.0


class Animator:
    """Animates one shot after the other."""

    def __init__(self, job: LiveJob, pictures: list[Array]) -> None:
        self._job = job
        self.pipeline: Pipeline = build(job.pipeline, load_profiles(job.profile))
        self._sources = [self.pipeline.set_source(picture) for picture in pictures]
        self._composers = [Composer(job.composing, source) for source in self._sources]
        self._levels = Levels(self.pipeline)
        self._keeper = ReferenceKeeper(job.reference == "auto")
        self._scale = 1.0  # of the working picture, before the level
        self._shape: tuple[int, ...] = ()
        self._hint: Hint | None = None
        self._start_s: float | None = None
        self.is_mirrored, self.has_inset = job.mirror, job.debug
        self.strength = job.pipeline.keypoints.scale
        self.use_source(0)

    def use_source(self, number: int) -> None:
        """Go on with another of the sources; those that are not there are left alone."""
        if 0 <= number < len(self._sources):
            self._number = number
            self.pipeline.source = self._sources[number]

    def still(self) -> Array:
        """What an output gets before the first shot: the source as it is."""
        blank = cv2.resize(self._sources[0].image, self._job.camera_size)
        return self._composers[self._number](self._sources[self._number].image, blank)

    def __call__(self, shot: Shot) -> Animated:
        """Animate the source by one shot."""
        image = cv2.flip(shot.image, 1) if self.is_mirrored else shot.image
        if image.shape != self._shape:
            self._begin(image)
        self._start_s = shot.time_s if self._start_s is None else self._start_s
        frame = self.pipeline.frame(image, shot.time_s - self._start_s)
        results = self.pipeline.render(self.pipeline.follow(frame))
        self.pipeline.last = results
        source = self._sources[self._number]
        found = self._keeper.look(results.tracks, source, frame.time_s)
        if found is not None:
            self.pipeline.keypoints.set_reference(found)
        self._hint = hint(results.tracks, source, self._hint)
        composed = self._composers[self._number](results.picture.image, image)
        inset = screen.inset_of(results) if self.has_inset else None
        return Animated(composed, shot, self._hint, inset, results.points.is_held)

    def act(self, action: Action) -> None:
        """Do what a key asks for; others are not for the animator."""
        if action.verb == "reference" and self.pipeline.last is not None:
            self._keeper.settle()
            if found := self._keeper.take(self.pipeline.last.tracks):
                self.pipeline.keypoints.set_reference(found)
        elif action.verb == "source":
            self.use_source(action.number)
        elif action.verb == "next":
            self.use_source((self._number + 1) % len(self._sources))
        elif action.verb == "debug":
            self.has_inset = not self.has_inset
        elif action.verb == "mirror":
            self.is_mirrored = not self.is_mirrored
            self._shape = ()  # the head jumps to the other side
        elif action.verb in ("stronger", "weaker"):
            step = _STRENGTH_STEP if action.verb == "stronger" else -_STRENGTH_STEP
            self.strength = round(min(_MOST_STRENGTH, max(0.0, self.strength + step)), 2)
            self.pipeline.keypoints.adjust(scale=self.strength)

    def set_quality(self, quality: Quality) -> None:
        """Make later pictures cheaper, or better; the reference stays the same pose."""
        before = self._levels.quality
        self._levels.use(quality)
        ratio = quality.view_scale / before.view_scale
        if ratio != 1 and self._shape:
            self._restart()
            self.pipeline.keypoints.set_reference(self._keeper.rescale(ratio))

    def _begin(self, image: Array) -> None:
        """A camera's first picture, or the first of another size."""
        self._shape = image.shape
        self._keeper.forget()
        found = faces.detect_faces(image)
        face_px = max((face.width_px for face in found), default=0.0)
        whole = views.whole_view(*image.shape[:2])
        self._scale = min(whole.scale, views.FACE_PX / face_px if face_px else 1.0)
        self._restart()

    def _restart(self) -> None:
        self.pipeline.reset()
        view = views.whole_view(*self._shape[:2])
        scale = self._scale * self._levels.quality.view_scale
        self.pipeline.view = replace(view, scale=scale)
