"""The reference of relative motion: how much a pose differs from the source's."""

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.face.landmarks import GROUPS, mouth_opening
from hybridanim.motion.reference import pose_distance
from tests.made_results import made_source


def test_pose_distance_counts_turns_and_openings_in_their_scales():
    source = replace(made_source(64), landmarks_xy_px=64 * MEAN_SHAPE + 32)
    assert source.landmarks_xy_px is not None
    yaw, pitch, roll = source.rotation_deg
    turned, xy = (yaw + 10, pitch - 15, roll), source.landmarks_xy_px.copy()
    scales = np.array([10.0, 15.0, 10.0])
    found = pose_distance(turned, None, source, scale_deg=scales, scale_opening=0.1)
    assert found == pytest.approx(np.sqrt(2))
    assert pose_distance(source.rotation_deg, xy, source, scale_deg=10, scale_opening=0.1) == 0
    xy[list(GROUPS["inner_lips"])[5:], 1] += 3  # the lower lip goes down
    change = abs(mouth_opening(xy) - mouth_opening(source.landmarks_xy_px))
    found = pose_distance(source.rotation_deg, xy, source, scale_deg=10, scale_opening=0.1)
    assert change > 0.01 and found == pytest.approx(2 * change / 0.1)
    bare = replace(source, landmarks_xy_px=None)
    assert pose_distance(source.rotation_deg, xy, bare, scale_deg=10, scale_opening=0.1) == 0
