"""Frame, SkinMask -> Tracks.  Follows the head and its features (docs/tracking.md)."""

from hybridanim import draw, hybrid_tracking, learned_tracking, tracking
from hybridanim.alignment import Aligner
from hybridanim.config import TrackConfig
from hybridanim.profiles import Profiles
from hybridanim.tracks.detection import Detector
from hybridanim.types import Array, Frame, SkinMask, Tracks

from .base import Stage


class Track(Stage):
    """Stage 2."""

    name = "tracks"

    def __init__(self, config: TrackConfig, profiles: Profiles, aligner: Aligner | None) -> None:
        self._config, self._profiles, self._aligner = config, profiles, aligner
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Track the next frame of the driving video."""
        profiles = self._profiles
        self._state, tracks = tracking.step(
            self._state,
            frame,
            mask,
            self._config,
            profiles.tracker,
            camera=profiles.camera,
            aligner=self._aligner,
        )
        return tracks

    def draw(self, canvas: Array, output: Tracks) -> Array:
        """Head box, axes, landmarks and features with trails, on the driving frame."""
        self._trails = draw.extend_trails(self._trails, output)
        return draw.tracks(canvas, output, self._trails)

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        self._state = tracking.initial_state()
        self._trails: dict = {}


class LearnedTrack(Stage):
    """Stage 2 by a detector's keypoints in every frame."""

    name = "tracks"

    def __init__(self, detector: Detector, profiles: Profiles) -> None:
        self._detector, self._profiles = detector, profiles
        self.reset()

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Find the keypoints of the next frame of the driving video."""
        self._state, tracks = learned_tracking.step(
            self._state, frame, self._detector, self._profiles.camera
        )
        return tracks

    def draw(self, canvas: Array, output: Tracks) -> Array:
        """Head box, axes and keypoints with trails, on the driving frame."""
        self._trails = draw.extend_trails(self._trails, output)
        return draw.tracks(canvas, output, self._trails)

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        self._state = learned_tracking.initial_state()
        self._trails: dict = {}


class HybridTrack(LearnedTrack):
    """Stage 2 by a detector's keypoints now and then, carried by optical flow in between."""

    def __init__(self, detector: Detector, config: TrackConfig, profiles: Profiles) -> None:
        self._config = config
        super().__init__(detector, profiles)

    def __call__(self, frame: Frame, mask: SkinMask) -> Tracks:
        """Find or carry the keypoints of the next frame of the driving video."""
        self._state, tracks = hybrid_tracking.step(
            self._state, frame, self._detector, self._config, self._profiles.camera
        )
        return tracks

    def reset(self) -> None:
        """Forget the head; the next frame is the reference."""
        self._state = hybrid_tracking.initial_state()
        self._trails = {}
