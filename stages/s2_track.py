"""Frame, SkinMask -> Tracks.  Tracks head, features, body, background (docs/guide/tracking.md)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from hybridanim.face import head_box
from hybridanim.tracking import face_cover, face_tracking, scene
from hybridanim.tracking.base import Tracker
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import Array, FaceBox, Frame, HeadBox, SceneTracks, SkinMask, Tracks
from hybridanim.visualization import drawing

from .base import Stage

_SAME_S = 0.002  # difference of the time stamps of one frame, read twice
_MUCH_LARGER = 1.25  # of faces, by which a known one is the driver's
_NEAR_S = 0.25  # within which a known face is searched while no head is tracked


class Track(Stage):
    """Stage 2: any tracker of the registry, plus tracks of body and background."""

    name = "tracks"

    def __init__(
        self,
        tracker: Tracker,
        *,
        face_every: int = 1,
        track_background: bool = True,
        finder: PointFinder | None = None,
    ) -> None:
        """track_background: track corners of the background in addition to the body's.

        finder: finds mesh points, to which the face model is fitted; None: no face is fitted.
        face_every: the whole face is looked at every so many frames.
        """
        self._tracker, self._track_background = tracker, track_background
        self._face_every, self._finder = face_every, finder
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Track the next frame of the driving video."""
        hit = mask.face if self._tracker.uses_skin else None
        face = self._expected(frame.time_s) or hit  # the cascade also finds cabinets
        self._state, tracks = self._tracker.step(self._state, frame, replace(mask, face=face))
        if tracks and self._is_beside(tracks.head, frame.time_s):
            # a face on a poster, or another person's, was there before the driver came
            begun = self._tracker.initial_state()
            self._state, tracks = self._tracker.step(begun, frame, replace(mask, face=face))
            self._face, self._cover = face_tracking.FaceState(), face_cover.CoverState()
            self._is_other = True
        if tracks and self._is_other:
            tracks, self._is_other = replace(tracks, is_new_reference=True), False
        self._is_lost = not tracks
        return self._with_scene(frame, self._with_face(frame, tracks))

    def _with_face(self, frame: Frame, tracks: Tracks) -> Tracks:
        """Add the fitted face, and take landmarks and rotation from it."""
        if self._finder is None:
            return tracks
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        head = tracks.head if tracks else None
        self._face, found = face_tracking.step(
            self._face, grey, head, self._finder, self._face_every
        )
        if tracks.is_new_reference:
            self._reference_landmarks = None
        self._cover, covered = face_cover.step(
            self._cover, frame.image, found and found.face, self._finder.model
        )
        tracks = replace(tracks, covered=covered)
        if found is None:
            return tracks
        if self._reference_landmarks is None and face_tracking.is_reference(tracks):
            self._reference_landmarks = found.landmarks_xy_px
        return face_tracking.with_face(tracks, found, self._reference_landmarks)

    def draw(self, canvas: Array, output: Tracks) -> Array:
        """Draw head box, axes, landmarks and features with trails on the driving frame."""
        self._trails = drawing.extend_trails(self._trails, output)
        return drawing.tracks(canvas, output, self._trails)

    def reset(self) -> None:
        """Discard all tracks; the next frame is the reference."""
        self._state = self._tracker.initial_state()
        self._scene = scene.SceneState()
        self._face = face_tracking.FaceState()
        self._cover = face_cover.CoverState()
        self._reference_landmarks: Array | None = None  # (L, 2), in the reference frame
        self._reference_image: tuple[Array, HeadBox] | None = None
        self._is_searched = False  # whether its scene corners were searched
        self._faces: dict[float, FaceBox] = {}  # known before the run, by time in s
        self._is_lost = True
        self._is_other = False  # another head is followed than in the last frame with one
        self._reference_scene: SceneTracks | None = None
        self._trails: dict = {}

    def adjust(self, **settings: Any) -> None:
        """Change settings of the tracker between two frames; its tracks are kept."""
        self._tracker = self._tracker.adjusted(**settings)
        self._face_every = settings.get("face_every") or self._face_every

    @property
    def scene(self) -> scene.SceneState:
        """State of the corners of body and background."""
        return self._scene

    def follow_background(self) -> None:
        """Track corners of the background, too; call before the first frame."""
        self._track_background = True

    def set_reference_image(self, image: Array, head: HeadBox) -> None:
        """Set the reference picture, in which body and background corners are located.

        image: (H, W, 3) uint8 RGB, of the size of the frames; head: head box in its pixels.
        """
        self._reference_image, self._is_searched = (image, head), False

    def expect_faces(self, faces: Mapping[float, FaceBox]) -> None:
        """Set where faces are known to be: time in s -> box in pixels of the frames.

        A tracker takes such a box like a hit of stage 1's cascade: as something to confirm.
        """
        self._faces = dict(faces)

    def _expected(self, time_s: float) -> FaceBox | None:
        """The known face of this time; while no head is tracked, also that of a time near it."""
        return self._known_at(time_s, _NEAR_S if self._is_lost else _SAME_S)

    def _known_at(self, time_s: float, within_s: float) -> FaceBox | None:
        if not self._faces:
            return None
        near_s = min(self._faces, key=lambda known_s: abs(known_s - time_s))
        return self._faces[near_s] if abs(near_s - time_s) <= within_s else None

    def _is_beside(self, head: HeadBox | None, time_s: float) -> bool:
        """Whether the known face of this time is elsewhere, and much larger than the head."""
        known = self._known_at(time_s, _SAME_S)
        if head is None or known is None or head_box.agrees(head, head_box.from_face(known)):
            return False
        apart = np.hypot(*np.subtract(head.center_xy_px, known.center_xy_px))
        return apart > known.width_px / 2 and known.width_px > _MUCH_LARGER * head.size_px

    def _with_scene(self, frame: Frame, tracks: Tracks) -> Tracks:
        self._scene, tracks = scene.observed(
            self._scene, frame, tracks, track_background=self._track_background
        )
        is_due = not self._is_searched or tracks.is_new_reference
        if self._reference_image is not None and is_due and tracks.scene and tracks.head:
            self._reference_scene = scene.elsewhere(
                self._scene, *self._reference_image, tracks.head
            )
            self._is_searched = True
        return replace(tracks, reference_scene=self._reference_scene)
