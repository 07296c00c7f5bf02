"""What every tracker offers to stage 2: frames in, ``Tracks`` out, its state kept by the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from hybridanim.config import TrackConfig
from hybridanim.profiles import Profiles
from hybridanim.types import Frame, SkinMask, Tracks

from .detection import Detector
from .landmark_filter import Fitter


@dataclass(frozen=True)
class TrackerParts:
    """What a tracker may be built from."""

    config: TrackConfig = field(default_factory=TrackConfig)
    profiles: Profiles = field(default_factory=Profiles)
    aligner: Fitter | None = None  # fits face landmarks
    detector: Detector | None = None  # only for a tracker that says ``uses_detector``


class Tracker(Protocol):
    """One way to track; frozen, so that one object serves many videos."""

    uses_skin: ClassVar[bool]  # whether it reads the mask of stage 1
    uses_detector: ClassVar[bool]  # whether it is built with a learned keypoint detector
    uses_anchors: ClassVar[bool]  # whether ``TrackConfig.anchor_every`` makes it cheaper
    model: ClassVar[str]  # ``networks.models``: of the weights that its detector is in

    @classmethod
    def build(cls, parts: TrackerParts) -> Self:
        """The tracker of these parts."""
        ...

    def initial_state(self) -> Any:
        """The state before the first frame."""
        ...

    def step(self, state: Any, frame: Frame, mask: SkinMask) -> tuple[Any, Tracks]:
        """Track the next frame of a video: the state for the frame after it, and the tracks.

        When nothing is tracked ``Tracks.lost`` says why.
        """
        ...

    def adjusted(self, **settings: Any) -> Self:
        """The same tracker with other settings of its ``TrackConfig``, for the same state."""
        ...
