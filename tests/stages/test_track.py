"""Stage 2: what is known of faces before the run reaches the tracker at the right time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from hybridanim.types import FaceBox, Frame, SkinMask, Tracks
from stages.s2_track import Track

FACE, OTHER = FaceBox(10, 10, 30, 30), FaceBox(60, 20, 28, 28)


@dataclass
class Tracker:
    """Notes the faces that it is given; loses the head as it is told."""

    lost: list[str]
    seen: list[FaceBox | None] = field(default_factory=list)

    uses_skin = True

    def initial_state(self):
        return None

    def step(self, state, frame, mask):
        self.seen.append(mask.face)
        none, ids = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
        lost = self.lost[len(self.seen) - 1]
        return state, Tracks(none, none, ids, ids, np.zeros(0, np.float32), lost=lost)


def faces_at(times, lost, hit=None):
    """The faces that a tracker is given, with FACE known at 1.0 s."""
    tracker = Tracker(list(lost))
    stage = Track(tracker)  # pyright: ignore[reportArgumentType]
    stage.expect_faces({1.0: FACE})
    mask = SkinMask(np.zeros((90, 120), np.uint8), face=hit)
    for index, time_s in enumerate(times):
        stage(Frame(np.zeros((90, 120, 3), np.uint8), index, time_s), mask)
    return tracker.seen


def test_while_nothing_is_tracked_a_face_near_in_time_is_tried():
    assert faces_at([0.5, 0.8, 1.0, 1.2, 1.4], ["no face"] * 5) == [None, FACE, FACE, FACE, None]


def test_a_followed_head_is_compared_with_the_face_of_its_own_frame_alone():
    assert faces_at([0.5, 0.96, 1.0, 1.04], [""] * 4) == [None, None, FACE, None]


@pytest.mark.parametrize(("time_s", "face"), [(0.2, OTHER), (1.0, FACE)])
def test_a_face_of_the_scan_goes_before_a_hit_of_the_cascade(time_s, face):
    assert faces_at([time_s], [""], OTHER) == [face]
