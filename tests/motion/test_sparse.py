"""Stage 3 over time: a head that no head can look like is not passed on."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hybridanim.config import KeypointsConfig
from hybridanim.motion import sparse
from hybridanim.types import Frame
from tests.tracking.test_scene import CROP, SIZE, keypoints, source, tracks_of

__all__ = ["source"]  # the fixture


def step_with(source, wide: float, tall: float, confidence: float):
    """The motion of a head that has become so much wider and taller since the first frame."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    config, state = KeypointsConfig(smooth=0), sparse.SparseState(crop=CROP)
    state, _ = sparse.step(state, Frame(image), tracks_of(keypoints(), None), source, config, None)
    stretched = np.array([[wide, 0, 160 * (1 - wide)], [0, tall, 120 * (1 - tall)]])
    tracks = tracks_of(keypoints(stretched.astype(np.float32)), None)
    tracks = replace(tracks, confidence_overall=confidence)
    return sparse.step(state, Frame(image, 1, 0.04), tracks, source, config, None)[1]


@pytest.mark.parametrize(
    ("wide", "tall", "confidence", "is_frozen"),
    [
        (1.0, 0.5, 0.5, True),  # crushed behind a hand
        (1.0, 2.0, 0.9, True),
        (1.0, 1.3, 0.1, True),
        (0.72, 1.0, 0.8, False),  # turned by 45 degrees
        (1.6, 1.6, 0.3, False),  # came nearer
    ],
)
def test_a_crushed_head_is_held(source, wide, tall, confidence, is_frozen):
    motion = step_with(source, wide, tall, confidence)
    assert motion.is_frozen == is_frozen
    if is_frozen:
        np.testing.assert_allclose(motion.target.xy_norm, source.keypoints.xy_norm, atol=0.02)


def test_a_new_reference_frame_is_no_motion_and_causes_no_jump(source):
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    config, state = KeypointsConfig(smooth=0), sparse.SparseState(crop=CROP)
    wrong = tracks_of(keypoints(), None)
    moved = keypoints(np.array([[1.0, 0, 30], [0, 1, 0]], np.float32))
    targets, firsts = [], []
    for index in range(40):
        tracks = wrong if index == 0 else replace(tracks_of(moved, None), confidence_overall=0.9)
        if index == 5:  # the place where the head is from now on is where it has always been
            tracks = replace(tracks, is_new_reference=True)
        frame = Frame(image, index, index / 25)
        state, motion = sparse.step(state, frame, tracks, source, config, None)
        targets.append(motion.target.xy_norm)
        firsts.append(state.first)
    assert firsts[4] is firsts[0] and firsts[5] is not firsts[0] and firsts[39] is firsts[5]
    assert np.abs(targets[4] - source.keypoints.xy_norm).max() > 0.1
    steps = [np.abs(b - a).max() for a, b in itertools.pairwise(targets[4:])]
    assert max(steps) < 0.5 * np.abs(targets[4] - source.keypoints.xy_norm).max()
    np.testing.assert_allclose(targets[39], source.keypoints.xy_norm, atol=0.02)
