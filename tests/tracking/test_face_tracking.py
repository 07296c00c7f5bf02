"""The face over a video, with a finder that knows the truth."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from hybridanim.face import face_model, head_pose
from hybridanim.face.face_fit import Observation
from hybridanim.face.landmarks import MESH
from hybridanim.tracking import face_tracking
from hybridanim.tracking.face_tracking import FaceState
from hybridanim.types import HeadBox, HeadPose

MODEL = face_model.load()
GREY = np.random.default_rng(0).integers(0, 255, (200, 240), np.uint8)
HEAD = HeadBox((120.0, 100.0), 90.0)


@dataclass
class Finder:
    """Returns the points of a known pose, and counts its calls."""

    pose: HeadPose
    model: object = MODEL
    is_there: bool = True
    calls: list = field(default_factory=list)

    def _seen(self, name, is_coarse=True):
        self.calls.append(name)
        return Observation(self.pose.project(MODEL.mean), 0.9, is_coarse) if self.is_there else None

    def glance(self, grey, head):
        return 1.0

    def start(self, grey, head):
        return self._seen("start")

    def track(self, grey, expected):
        self.expected = expected
        return self._seen("track")

    def refine(self, grey, expected):
        return self._seen("refine", is_coarse=False)


def pose(yaw=0.0, shift=(120.0, 100.0), scale_px=90.0):
    return HeadPose(head_pose.rotation_matrix((yaw, 0, 0)), scale_px, np.array(shift))


def test_a_face_is_searched_once_and_then_tracked():
    finder, state = Finder(pose(20)), FaceState()
    for _ in range(4):
        state, found = face_tracking.step(state, GREY, HEAD, finder)
    assert finder.calls == ["start", "track", "track", "track"]
    assert head_pose.angles_deg(found.face.pose.rotation)[0] == pytest.approx(20, abs=1)


def test_the_whole_face_is_looked_at_now_and_then():
    finder, state = Finder(pose()), FaceState()
    for _ in range(7):
        state, _ = face_tracking.step(state, GREY, HEAD, finder, every=3)
    assert finder.calls == ["start", "refine", "refine", "track", "refine", "refine", "track"]


def test_the_expected_pose_moves_with_the_head_box():
    finder, state = Finder(pose()), FaceState()
    state, _ = face_tracking.step(state, GREY, HEAD, finder)
    moved = HeadBox((135.0, 100.0), 99.0, 10.0)
    face_tracking.step(state, GREY, moved, finder)
    assert finder.expected.scale_px == pytest.approx(1.1 * state.fit.pose.scale_px)
    assert finder.expected.roll_rad == pytest.approx(np.deg2rad(10), abs=1e-6)
    np.testing.assert_allclose(finder.expected.shift_px, (135, 100), atol=1.5)


def test_without_head_or_face_there_is_no_fit():
    finder, state = Finder(pose(), is_there=False), FaceState()
    state, found = face_tracking.step(state, GREY, HEAD, finder)
    assert found is None
    state, found = face_tracking.step(state, GREY, None, finder)
    assert found is None and state.lost == 2


def test_the_same_person_is_known_again_and_after_long_is_forgotten():
    finder, state = Finder(pose()), FaceState()
    for _ in range(10):
        state, _ = face_tracking.step(state, GREY, HEAD, finder)
    frames = state.fit.frames
    state, _ = face_tracking.step(state, GREY, None, finder)
    finder.pose = pose(shift=(60.0, 90.0))
    again, found = face_tracking.step(state, GREY, HeadBox((60.0, 90.0), 90.0), finder)
    assert again.fit.frames == frames + 1
    np.testing.assert_allclose(found.face.pose.shift_px, (60, 90), atol=1)
    for _ in range(50):
        state, _ = face_tracking.step(state, GREY, None, finder)
    assert state.fit is None


def test_a_lost_face_is_searched_in_the_head_box():
    finder, state = Finder(pose()), FaceState()
    state, _ = face_tracking.step(state, GREY, HEAD, finder)
    finder.is_there = False
    face_tracking.step(state, GREY, HEAD, finder)
    assert finder.calls == ["start", "track", "start"]


def test_landmarks_are_the_models_points():
    _, found = face_tracking.step(FaceState(), GREY, HEAD, Finder(pose()))
    truth = pose().project(MODEL.mean)
    rows = MESH >= 0
    apart = np.linalg.norm(found.landmarks_xy_px[rows] - truth[MESH[rows], :2], axis=1)
    assert apart.max() < 1.5


def test_flow_needs_windows_of_one_size():
    finder, state = Finder(pose()), FaceState()
    state, _ = face_tracking.step(state, GREY, HEAD, finder)
    large = replace(HEAD, size_px=180.0)
    _, found = face_tracking.step(state, GREY, large, finder)
    assert found is not None
