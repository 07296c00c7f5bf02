"""The closely fitted face: its vertices lie where lids, lips and irises are seen."""

from dataclasses import dataclass, field, replace

import numpy as np

from hybridanim.face import face_fit, face_model, mesh
from hybridanim.face.face_fit import Observation
from hybridanim.face.face_model import FaceModel, measure
from hybridanim.prepare import source_face
from hybridanim.types import HeadPose

MODEL = face_model.load()
GREY = np.zeros((300, 300), np.uint8)
POSE = HeadPose(np.eye(3), 120.0, np.array([150.0, 150.0]))
RNG = np.random.default_rng(3)
CLOSE = np.array([*mesh.EYES[0], *mesh.EYES[1], *mesh.OUTER_LIPS, *mesh.INNER_LIPS])
TRUTH = POSE.project(MODEL.vertices(None, MODEL.along(jaw_open=0.05)))
TRUTH[CLOSE, :2] += RNG.normal(0, 1.0, (len(CLOSE), 2))  # what no coefficients say


@dataclass
class Finder:
    """Sees the truth with noise of its own at each look."""

    model: FaceModel = MODEL
    noise_px: float = 0.5
    misses: int = 0
    looks: list = field(default_factory=list)

    def track(self, grey, expected):
        self.looks.append(expected)
        if len(self.looks) <= self.misses:
            return None
        return Observation(TRUTH + RNG.normal(0, self.noise_px, TRUTH.shape), 1.0)


def first_fit():
    return face_fit.fit(MODEL, Observation(TRUTH + RNG.normal(0, 1, TRUTH.shape), 1.0))[1]


def away_px(face, rows):
    shown = face.pose.project(MODEL.vertices_of(face))
    return np.linalg.norm((shown - TRUTH)[rows, :2], axis=1).mean()


def test_lids_and_lips_lie_where_they_are_seen():
    before = first_fit()
    after = source_face.looked_closely(GREY, before, Finder())
    assert away_px(after, CLOSE) < 0.35 < 0.6 < away_px(before, CLOSE)
    others = np.setdiff1d(np.arange(468), CLOSE)
    assert away_px(after, others) < away_px(before, others)
    person = MODEL.shaped(after.offset)
    shown = measure(person.vertices(after.identity, after.expression))
    np.testing.assert_allclose(after.quantities, shown, atol=1e-6)


def test_looks_differ_and_are_the_same_every_time():
    one, two = Finder(), Finder()
    face = first_fit()
    for finder in (one, two):
        source_face.looked_closely(GREY, face, finder)
    scales = [pose.scale_px for pose in one.looks]
    assert len(set(scales)) == len(scales) > 8
    assert scales == [pose.scale_px for pose in two.looks]


def test_a_face_that_most_looks_miss_stays_as_it_was():
    face = first_fit()
    assert source_face.looked_closely(GREY, face, Finder(misses=9)) is face


def test_an_offset_has_a_bound():
    face = first_fit()
    wild = replace(face, pose=replace(face.pose, shift_px=face.pose.shift_px))
    finder = Finder(noise_px=0.0)
    finder.track = lambda grey, expected: Observation(TRUTH * [1.6, 1, 1], 1.0)
    found = source_face.looked_closely(GREY, wild, finder)
    assert np.linalg.norm(found.offset, axis=1).max() < 0.0501
