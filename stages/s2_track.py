"""Frame, SkinMask -> Tracks.  Follows head, features, body and background (docs/tracking.md)."""

from dataclasses import replace

from hybridanim.config import TrackConfig
from hybridanim.face.aligner import Aligner
from hybridanim.profiles import Profiles
from hybridanim.tracking import classical, hybrid, learned, scene
from hybridanim.tracking.detection import Detector
from hybridanim.types import Array, Frame, HeadBox, SkinMask, Surroundings, Tracks
from hybridanim.visualization import stages as draw

from .base import Stage


class HeadTrack(Stage):
    """What every tracker has: trails to draw, and what is beside the head."""

    name = "tracks"
    has_behind = True  # whether the background is followed as well

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        self._around = scene.AroundState()
        self._resting: tuple[Array, HeadBox] | None = None  # the driver at rest
        self._rests: Surroundings | None = None  # body and background there
        self._trails: dict = {}

    def draw(self, canvas: Array, output: Tracks) -> Array:
        """Head box, axes, landmarks and features with trails, on the driving frame."""
        self._trails = draw.extend_trails(self._trails, output)
        return draw.tracks(canvas, output, self._trails)

    def set_resting(self, image: Array, head: HeadBox | None) -> None:
        """The driver at rest, (H, W, 3) uint8 RGB as frames are; before the first frame."""
        self._resting = None if head is None else (image, head)

    def _beside(self, frame: Frame, tracks: Tracks) -> Tracks:
        self._around, tracks = scene.observed(
            self._around, frame, tracks, has_behind=self.has_behind
        )
        if self._resting is not None and tracks.around is not None and tracks.head is not None:
            self._rests = scene.elsewhere(self._around, *self._resting, tracks.head)
            self._resting = None
        return replace(tracks, resting=self._rests)


class Track(HeadTrack):
    """Stage 2."""

    def __init__(self, config: TrackConfig, profiles: Profiles, aligner: Aligner | None) -> None:
        self._config, self._profiles, self._aligner = config, profiles, aligner
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Track the next frame of the driving video."""
        profiles = self._profiles
        self._state, tracks = classical.step(
            self._state,
            frame,
            mask,
            self._config,
            profiles.tracker,
            camera=profiles.camera,
            aligner=self._aligner,
        )
        return self._beside(frame, tracks)

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        super().reset()
        self._state = classical.initial_state()


class LearnedTrack(HeadTrack):
    """Stage 2 by a detector's keypoints in every frame."""

    def __init__(self, detector: Detector, profiles: Profiles) -> None:
        self._detector, self._profiles = detector, profiles
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Find the keypoints of the next frame of the driving video."""
        self._state, tracks = learned.step(
            self._state, frame, self._detector, self._profiles.camera
        )
        return self._beside(frame, tracks)

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        super().reset()
        self._state = learned.initial_state()


class HybridTrack(HeadTrack):
    """Stage 2 by a detector's keypoints now and then, carried by optical flow in between."""

    def __init__(self, detector: Detector, config: TrackConfig, profiles: Profiles) -> None:
        self._detector, self._config, self._profiles = detector, config, profiles
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Find or carry the keypoints of the next frame of the driving video."""
        self._state, tracks = hybrid.step(
            self._state, frame, self._detector, self._config, self._profiles.camera
        )
        return self._beside(frame, tracks)

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        super().reset()
        self._state = hybrid.initial_state()
