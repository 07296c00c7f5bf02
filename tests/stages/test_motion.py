"""Stage 4 with a head mesh: what the learned renderer gets, and how often the mesh is moved."""

from dataclasses import replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.config import DenseConfig
from hybridanim.face.anchors import ANCHORS
from hybridanim.motion import head_mesh, head_transfer
from hybridanim.types import DenseMotion, Keypoints, LearnedFeatures
from stages.s4_motion import Dense, LearnedDense
from tests.made_results import made_results, made_source


class Renderer:
    """Networks that do not move anything; keeps what it was given."""

    uses_optical_flow = False

    def __init__(self):
        self.target = None

    def move(self, source, target, background, optical):
        self.target = target
        still = geometry.grid_norm(64)
        features = LearnedFeatures({}, {"flow": still[None]})
        return DenseMotion(still, np.ones((64, 64), np.float32), features=features)


def scene():
    """A source with the face's anchors, and one frame with a moved head."""
    count = len(ANCHORS)
    eye = np.repeat(np.eye(2, dtype=np.float32)[None], count, 0)
    places = np.random.default_rng(0).uniform(-0.3, 0.3, (count, 2)).astype(np.float32)
    points = Keypoints(places, eye, np.ones(count, np.float32))
    source = made_source(128)
    moved = replace(made_results(3, source).points, target=points)
    return replace(source, keypoints=points), moved


def test_the_mesh_is_moved_once_a_frame(monkeypatch):
    calls, move = [], head_mesh.moved
    monkeypatch.setattr(head_mesh, "moved", lambda *given: calls.append(1) or move(*given))
    source, points = scene()
    stage = LearnedDense(DenseConfig(), Renderer())  # type: ignore[arg-type]
    motion = stage(source, points)
    assert len(calls) == 1
    assert motion.reasons is not None and motion.depth is not None
    assert np.isfinite(motion.depth).any()


def test_both_renderers_get_the_same_mesh():
    source, points = scene()
    learned = LearnedDense(DenseConfig(), Renderer())  # type: ignore[arg-type]
    shown, whole = learned(source, points), Dense(DenseConfig())(source, points)
    assert shown.grid_norm.shape == whole.grid_norm.shape
    assert shown.reasons is not None and whole.reasons is not None
    np.testing.assert_array_equal(shown.reasons, whole.reasons)
    is_person = np.isfinite(whole.depth)
    apart = np.abs(shown.grid_norm - whole.grid_norm)[is_person]
    assert np.median(apart) < 1e-3


def test_the_networks_run_only_where_a_turn_uncovers_something():
    source, points = scene()
    assert points.head is not None
    source = replace(source, subject=np.ones_like(source.subject))  # hair round the face, too
    nets = Renderer()
    stage = LearnedDense(DenseConfig(), nets)  # type: ignore[arg-type]
    own = head_transfer.own_target(source)
    motion = stage(source, replace(points, head=own))
    assert motion.features is None and nets.target is None
    turn = cv2.Rodrigues(np.deg2rad([0.0, 40.0, 0.0]))[0]
    turned = replace(own, pose=replace(own.pose, rotation=turn @ own.pose.rotation))
    assert stage(source, replace(points, head=turned)).features is not None
    assert nets.target is not None
