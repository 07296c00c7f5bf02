"""Head boxes from what is known of a head."""

import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.face import aligner, head_box
from hybridanim.motion import keypoints
from hybridanim.types import Crop, HeadBox


def test_from_anchors_finds_the_head_that_placed_the_anchors() -> None:
    head = HeadBox((150.0, 120.0), 90.0, 17.0)
    turn = geometry.similarity(head.size_px, head.roll_deg)
    landmarks = aligner.MEAN_SHAPE @ turn.T + np.array(head.center_xy_px)
    window = Crop(20.0, 10.0, 260.0)
    points = keypoints.place_anchors(head, landmarks, aligner.MEAN_SHAPE, window)
    found = head_box.from_anchors(geometry.px_from_norm(points.xy_norm, window))
    np.testing.assert_allclose(found.center_xy_px, head.center_xy_px, atol=0.1)
    assert found.size_px == pytest.approx(90, abs=0.2)
    assert found.roll_deg == pytest.approx(17, abs=0.1)
