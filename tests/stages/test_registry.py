"""A new tracker is its own class and a line in the registry; nothing else knows its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from hybridanim.config import TrackConfig
from hybridanim.errors import InputError
from hybridanim.face.anchors import PINNED
from hybridanim.networks.models import FAST
from hybridanim.tracking.base import TrackerParts
from hybridanim.tracking.registry import TRACKERS
from hybridanim.types import Frame, HeadBox, SkinMask, Tracks
from stages.build import RENDERERS, RendererEntry, warp_renderer
from stages.pipeline import Pipeline
from tests import synthetic

STEP_PX = 3.0


@dataclass(frozen=True)
class Toy:
    """A head that moves to the right by so many pixels a frame, whatever the picture shows."""

    uses_skin: ClassVar[bool] = False
    uses_detector: ClassVar[bool] = False
    uses_anchors: ClassVar[bool] = False
    model: ClassVar[str] = FAST
    config: TrackConfig

    @classmethod
    def build(cls, parts: TrackerParts) -> Toy:
        return cls(parts.config)

    def initial_state(self) -> int:
        return 0

    def step(self, state: int, frame: Frame, mask: SkinMask) -> tuple[int, Tracks]:
        corners = np.array([[90, 90], [160, 90], [90, 160], [160, 160], [125, 70]], np.float32)
        shift = np.array([STEP_PX * state, 0], np.float32)
        ids = np.arange(5, dtype=np.int64)
        head = HeadBox((125 + STEP_PX * state, 125), 90)
        tracks = Tracks(
            *(corners + shift, corners, ids, np.full(5, state), np.ones(5, np.float32)),
            head=head,
            confidence_overall=1.0,
        )
        return state + 1, tracks

    def adjusted(self, **settings: Any) -> Toy:
        return replace(self, config=replace(self.config, **settings))


def test_a_registered_tracker_drives_the_pipeline(monkeypatch):
    monkeypatch.setitem(TRACKERS, "toy", Toy)
    pipeline = Pipeline.load(tracker="toy", size=128, smooth=0.0)
    source = pipeline.set_source(synthetic.photograph(256))
    for _ in range(3):
        picture = pipeline.animate(np.zeros((256, 256, 3), np.uint8))
    last = pipeline.last
    assert last is not None and not last.mask.unused and not last.points.is_frozen
    moved = last.points.target.xy_norm - source.keypoints.xy_norm
    assert (moved[PINNED, 0] > 0.03).all() and np.abs(moved[:, 1]).max() < 0.005
    assert np.abs(picture.astype(int) - source.image).mean() > 1
    pipeline.track.adjust(anchor_every=2)


def test_a_registered_renderer_renders(monkeypatch):
    monkeypatch.setitem(RENDERERS, "plain", RendererEntry(warp_renderer))
    pipeline = Pipeline.load(renderer="plain", size=128)
    pipeline.set_source(synthetic.photograph(256))
    assert pipeline.animate(synthetic.photograph(256)).shape == (128, 128, 3)


@pytest.mark.parametrize("option", ["tracker", "renderer"])
def test_unknown_names_are_refused_with_the_known_ones(option):
    with pytest.raises(
        InputError, match=rf"--{option}.*(classical|warp, painted), learned.*'nonsense'"
    ):
        Pipeline.load(**{option: "nonsense"})
