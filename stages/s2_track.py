"""Frame, SkinMask -> Tracks.  Tracks head, features, body, background (docs/guide/tracking.md)."""

from dataclasses import replace
from typing import Any

from hybridanim.tracking import scene
from hybridanim.tracking.base import Tracker
from hybridanim.types import Array, Frame, HeadBox, SceneTracks, SkinMask, Tracks
from hybridanim.visualization import drawing

from .base import Stage


class Track(Stage):
    """Stage 2: any tracker of the registry, plus tracks of body and background."""

    name = "tracks"

    def __init__(self, tracker: Tracker, *, track_background: bool = True) -> None:
        """track_background: track corners of the background in addition to the body's."""
        self._tracker, self._track_background = tracker, track_background
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Track the next frame of the driving video."""
        self._state, tracks = self._tracker.step(self._state, frame, mask)
        return self._with_scene(frame, tracks)

    def draw(self, canvas: Array, output: Tracks) -> Array:
        """Draw head box, axes, landmarks and features with trails on the driving frame."""
        self._trails = drawing.extend_trails(self._trails, output)
        return drawing.tracks(canvas, output, self._trails)

    def reset(self) -> None:
        """Discard all tracks; the next frame is the reference."""
        self._state = self._tracker.initial_state()
        self._scene = scene.SceneState()
        self._reference_image: tuple[Array, HeadBox] | None = (
            None  # until its scene corners are found
        )
        self._reference_scene: SceneTracks | None = None
        self._trails: dict = {}

    def adjust(self, **settings: Any) -> None:
        """Change settings of the tracker between two frames; its tracks are kept."""
        self._tracker = self._tracker.adjusted(**settings)

    def set_reference_image(self, image: Array, head: HeadBox) -> None:
        """Set the reference picture, in which body and background corners are located.

        image: (H, W, 3) uint8 RGB, of the size of the frames; head: head box in its pixels.
        """
        self._reference_image = image, head

    def _with_scene(self, frame: Frame, tracks: Tracks) -> Tracks:
        self._scene, tracks = scene.observed(
            self._scene, frame, tracks, track_background=self._track_background
        )
        if self._reference_image is not None and tracks.scene and tracks.head is not None:
            self._reference_scene = scene.elsewhere(
                self._scene, *self._reference_image, tracks.head
            )
            self._reference_image = None
        return replace(tracks, reference_scene=self._reference_scene)
