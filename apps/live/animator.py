"""Shots of a camera -> animated pictures, by the pipeline; keys and quality levels change it."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import cv2

from hybridanim.geometry import turned
from hybridanim.live import overlay
from hybridanim.live.camera import Shot
from hybridanim.live.config import LiveJob
from hybridanim.live.keys import Action
from hybridanim.live.loop import Animated
from hybridanim.live.quality import Quality
from hybridanim.live.reference import Hint, ReferenceKeeper, hint_for
from hybridanim.live.upright import UprightCheck
from hybridanim.live.working_view import WorkingView
from hybridanim.profiles import load_profiles
from hybridanim.rendering.output_frame import Composer
from hybridanim.types import Array, Tracks
from stages.pipeline import Pipeline, build

from .levels import Levels, halved, sized

_WARM_UP = 6  # pictures; the hybrid tracker's detector runs in the first and the fifth
_SLOW_S = 0.1  # of a picture: no more of them are needed
_STRENGTH_STEP, _MOST_STRENGTH = 0.1, 3.0


class Animator:
    """Animates one shot after the other; all calls come from one thread."""

    def __init__(
        self, job: LiveJob, pictures: list[Array], *, adapts_networks: bool = False
    ) -> None:
        """adapts_networks: see ``Levels``."""
        self._job = job
        dense = replace(job.pipeline.dense, explain=False)  # nothing shows it
        self.pipeline: Pipeline = build(
            replace(job.pipeline, dense=dense), load_profiles(job.profile)
        )
        self._sources = [self.pipeline.set_source(picture) for picture in pictures]
        self._halves = [halved(source) for source in self._sources]
        self._composers = [Composer(job.composing, source) for source in self._sources]
        self._levels = Levels(self.pipeline, adapts_networks=adapts_networks)
        self._keeper = ReferenceKeeper(job.reference == "auto")
        self._viewing, self._is_half = WorkingView(), False
        self._upright = UprightCheck(self.pipeline.aligner)
        self._hint: Hint | None = None
        self._start_s: float | None = None
        self.is_mirrored, self.has_inset = job.mirror, job.debug
        self.strength = job.pipeline.keypoints.scale
        self.use_source(0)

    def use_source(self, number: int) -> None:
        """Switch to another source; a number without a source is ignored."""
        if 0 <= number < len(self._sources):
            self._number = number
            prepared = self._halves if self._is_half else self._sources
            self.pipeline.use_source(prepared[number])

    def still(self) -> Array:
        """The picture before the first shot: the source, not animated; (h, w, 3) uint8 RGB."""
        blank = cv2.resize(self._sources[0].image, self._job.camera_size)
        return self._composers[self._number](self._sources[self._number].image, blank)

    def __call__(self, shot: Shot) -> Animated:
        """Animate the source by one shot."""
        image = turned(shot.image, self._upright.turn_deg)
        image = cv2.flip(image, 1) if self.is_mirrored else image
        if image.shape != self._viewing.shape:
            self._begin(image)
        self._levels.refresh()
        self._start_s = shot.time_s if self._start_s is None else self._start_s
        frame = self.pipeline.frame(image, shot.time_s - self._start_s)
        self.pipeline.step(frame)
        results = self.pipeline.last
        assert results is not None
        source = self._sources[self._number]
        if self._keeper.update(results.tracks, source, frame.time_s) is not None:
            self.pipeline.set_reference(None, self._keeper.with_picture(frame.image))
        self._hint = hint_for(results.tracks, source, self._hint)
        self._hint = self._upright.hint(shot.time_s) or self._hint
        composed = self._composers[self._number](sized(results.picture.image, source), image)
        self._rescale(self._viewing.update(results.tracks))
        self._turn(image, shot.time_s, results.tracks)
        inset = overlay.draw_inset(results) if self.has_inset else None
        return Animated(composed, shot, self._hint, inset, results.points.is_frozen)

    def act(self, action: Action) -> None:
        """Do what a key asks for; actions that do not concern the animator are ignored."""
        if action.verb == "reference" and self.pipeline.last is not None:
            self._keeper.stop_search()
            last = self.pipeline.last
            if self._keeper.take(last.tracks):
                self.pipeline.set_reference(None, self._keeper.with_picture(last.frame.image))
        elif action.verb == "source":
            self.use_source(action.number)
        elif action.verb == "next":
            self.use_source((self._number + 1) % len(self._sources))
        elif action.verb == "debug":
            self.has_inset = not self.has_inset
        elif action.verb == "mirror":
            self.is_mirrored = not self.is_mirrored
            self._viewing.shape = ()  # the head jumps to the other side
        elif action.verb in ("stronger", "weaker"):
            step = _STRENGTH_STEP if action.verb == "stronger" else -_STRENGTH_STEP
            self.strength = round(min(_MOST_STRENGTH, max(0.0, self.strength + step)), 2)
            self.pipeline.keypoints.adjust(scale=self.strength)

    def set_quality(self, quality: Quality) -> None:
        """Render later pictures at another quality level."""
        self._levels.use(quality)
        self._is_half = quality.is_half
        self.use_source(self._number)

    def warm_up(self, quality: Quality) -> float:
        """Animate the source by itself at a quality level; returns the seconds of a picture.

        Later shots then take no longer for being the first ones.
        """
        self.set_quality(quality)
        times_s = []
        for n in range(_WARM_UP):
            start_s = time.perf_counter()
            self(Shot(self._sources[self._number].picture, n / 30))
            times_s.append(time.perf_counter() - start_s)
            if n >= 2 and min(times_s[1:]) > _SLOW_S:
                break
        self.pipeline.reset()
        self._viewing, self._start_s, self._hint = WorkingView(), None, None
        self._upright = UprightCheck(self.pipeline.aligner)
        self._keeper.reset()
        return statistics.median(times_s[1:])  # the first one allocates and compiles

    def _turn(self, image: Array, time_s: float, tracks: Tracks) -> None:
        """Turn later shots where a face is seen in this one turned; objects have no upright."""
        detector = self.pipeline.detector
        if detector is not None and detector.window != "head":
            return
        upright = cv2.flip(image, 1) if self.is_mirrored else image  # as the camera gives it
        if self._upright.update(upright, time_s, is_seen=bool(tracks)):
            self._viewing.shape = ()

    def _begin(self, image: Array) -> None:
        """Start tracking anew: the camera's first picture, or the first of another size."""
        self._viewing.begin(image)
        self._keeper.reset()
        self.pipeline.reset()
        self.pipeline.set_view(self._viewing.view())

    def _rescale(self, ratio: float) -> None:
        """Continue in a working picture ``ratio`` times as large, with the same reference."""
        if ratio != 1:
            self.pipeline.reset()
            self.pipeline.set_view(self._viewing.view())
            self.pipeline.set_reference(None, self._keeper.rescale(ratio))
