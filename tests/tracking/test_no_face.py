"""No head without a face: textures that corners love, and a fitter that knows where faces are."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from hybridanim.config import TrackConfig
from hybridanim.face import head_box
from hybridanim.face.aligner import MEAN_SHAPE, box_from_landmarks
from hybridanim.tracking import classical, learned
from hybridanim.types import HEAD, Blob, FaceBox, Frame, HeadBox, SkinMask
from tests import synthetic
from tests.oracle_detector import Oracle, face_points, under

SIZE, SIDE, RATE_HZ = 240, 64, 20
WALL = synthetic.textured(SIZE, SIZE, seed=1)
PATCH = cv2.resize(synthetic.photograph(256)[30:130, 76:176], (SIDE, SIDE))


@dataclass(frozen=True)
class Fit:
    xy_px: np.ndarray
    confidence: float


@dataclass
class Fitter:
    """Finds a face only in a box that agrees with a true one."""

    faces: list[tuple[HeadBox, float]] = field(default_factory=list)  # and how sure it is of it

    def fit(self, grey, face):
        near = head_box.from_face(face)
        for head, sure in self.faces:
            if head_box.agrees(near, head):
                xy = head.size_px * MEAN_SHAPE + np.array(head.center_xy_px)
                return Fit(xy.astype(np.float32), sure)
        (x, y), side = near.center_xy_px, near.size_px
        return Fit((side * MEAN_SHAPE + np.array((x, y))).astype(np.float32), 0.0)

    def track(self, grey, previous_xy_px):
        return self.fit(grey, box_from_landmarks(previous_xy_px)[0])


def head_at(x, y=120.0):
    return HeadBox((float(x), float(y)), float(SIDE))


def box(head):
    (x, y), side = head.center_xy_px, head.size_px
    return FaceBox(x - side / 2, y - side / 2, side, side)


def picture(*heads):
    """The wall with a patch at each head, which may reach beyond the picture."""
    image = WALL.copy()
    for head in heads:
        x, y = head.center_xy_px
        moved = np.array([[1.0, 0, x - SIDE / 2], [0, 1, y - SIDE / 2]])
        on = cv2.warpAffine(np.full((SIDE, SIDE), 255, np.uint8), moved, (SIZE, SIZE)) > 128
        image[on] = cv2.warpAffine(PATCH, moved, (SIZE, SIZE))[on]
    return image


def mask_of(head=None, face=None):
    """Stage 1's view: a head-shaped skin region, and a hit of the cascade."""
    skin, blobs = np.zeros((SIZE, SIZE), np.uint8), ()
    if head is not None:
        centre = tuple(round(v) for v in head.center_xy_px)
        cv2.ellipse(skin, centre, (30, 40), 0, 0, 360, 255, -1)
        x, y, w, h = cv2.boundingRect(skin)
        blobs = (Blob(HEAD, (x, y, w, h), head.center_xy_px, 1.0),)
    return SkinMask(skin, blobs, face=face, lost="" if blobs or face else "no skin")


def follow(shots):
    """Tracks of (true heads with their confidence, picture, mask) of every frame."""
    fitter, state, found = Fitter(), classical.initial_state(), []
    for index, (faces, image, mask) in enumerate(shots):
        fitter.faces = faces
        frame = Frame(image, index, index / RATE_HZ)
        state, tracks = classical.step(state, frame, mask, TrackConfig(), aligner=fitter)
        found.append(tracks)
    return found


def test_a_head_of_corners_alone_is_never_made():
    cabinet = head_at(90)
    shots = [([], picture(), mask_of(cabinet, box(cabinet) if i % 4 == 0 else None))
             for i in range(12)]  # fmt: skip
    found = follow(shots)
    assert not any(found) and all(tracks.head is None for tracks in found)
    assert {tracks.lost for tracks in found} == {"no face in the picture"}


def test_the_cabinet_is_passed_over_for_the_face():
    cabinet, face = head_at(60), head_at(170)
    shots = [([(face, 0.9)], picture(face), mask_of(face, box(cabinet))) for _ in range(4)]
    for tracks in follow(shots):
        assert tracks and head_box.agrees(tracks.head, face)
        assert tracks.face_confidence == pytest.approx(0.9)


def test_a_followed_head_outlives_its_face_by_the_patience_alone():
    head = head_at(120)
    seen = [([(head, 0.9)], picture(head), mask_of(head, box(head))) for _ in range(6)]
    blind = [([], picture(head), mask_of(head)) for _ in range(3 * RATE_HZ)]
    found = follow(seen + blind)
    tracked = [bool(tracks) for tracks in found]
    last_s = max(i for i, ok in enumerate(tracked) if ok) / RATE_HZ
    assert all(tracked[: 6 + RATE_HZ // 2])  # a hand, a profile
    assert 0.9 <= last_s - 5 / RATE_HZ <= 1.4  # landmarks fade for some frames first
    carried = [t for t in found[6:] if t and t.face_confidence == 0]
    assert carried and all(tracks.new == 0 for tracks in carried)


def test_a_face_that_comes_back_is_followed_again_with_its_reference():
    head = head_at(120)
    seen = [([(head, 0.9)], picture(head), mask_of(head, box(head))) for _ in range(6)]
    gone = [([], picture(), mask_of()) for _ in range(2 * RATE_HZ)]
    found = follow(seen + gone + seen)
    assert not found[-7] and found[-1] and not any(t.is_new_reference for t in found)


def test_a_better_confirmed_face_corrects_place_size_and_reference():
    mouth = HeadBox((120.0, 140.0), 34.0)
    face = head_at(120)
    first = [([(mouth, 0.55)], picture(face), mask_of(None, box(mouth))) for _ in range(5)]
    later = [([(face, 0.95), (mouth, 0.55)], picture(face), mask_of(None, box(face)))
             for _ in range(3)]  # fmt: skip
    found = follow(first + later)
    assert found[4].head.size_px == pytest.approx(34, rel=0.15)
    assert found[5].is_new_reference and not any(t.is_new_reference for t in found[:5])
    for tracks in found[5:]:
        assert tracks.head.size_px == pytest.approx(SIDE, rel=0.05)
    np.testing.assert_allclose(found[5].xy_px, found[5].reference_xy_px, atol=0.1)


def test_a_second_face_that_is_no_better_changes_nothing():
    own, other = head_at(70), head_at(180)
    faces = [(own, 0.9), (other, 0.95)]
    image = picture(own, other)
    shots = [(faces, image, mask_of(own, box(own if i < 3 else other))) for i in range(8)]
    for tracks in follow(shots):
        assert head_box.agrees(tracks.head, own) and not tracks.is_new_reference


def test_half_a_face_is_no_start_and_a_leaving_one_ends():
    path = [head_at(x) for x in (2, 2, 2, 40, 80, 120, 160, 200, 230, 245, 260)]
    shots = [([(head, 1.0)], picture(head), mask_of(head, box(head))) for head in path]
    tracked = [bool(tracks) for tracks in follow(shots)]
    assert tracked[:3] == [False] * 3 and all(tracked[3:8]) and not any(tracked[-2:])


@pytest.fixture(scope="module")
def photographs():
    """Pictures with a face at two places, and the keypoints of each."""
    image = synthetic.photograph(256)
    points = face_points(image)
    shifts = [np.array([[1.0, 0, x], [0, 1, 0]]) for x in (0.0, -135.0)]
    moved = [cv2.warpAffine(image, shift, (256, 256)) for shift in shifts]
    return moved, [under(points, shift) for shift in shifts]


def run_learned(images, detector, faces):
    state, found = learned.initial_state(), []
    for index, (image, face) in enumerate(zip(images, faces, strict=True)):
        state, tracks = learned.step(state, Frame(image, index, index / 25), detector, None, face)
        found.append(tracks)
    return found


def test_a_detection_half_outside_the_picture_is_no_head(photographs):
    images, points = photographs
    detector = Oracle().tell(images, points)
    heads = [head_box.from_anchors(one.xy_px) for one in points]
    found = run_learned(images, detector, [box(head) for head in heads])
    assert found[0] and found[0].face_confidence > 0.5
    assert head_box.share_inside(heads[1], 256, 256) < 0.5 and not found[1]


def test_a_known_face_starts_the_learned_tracker_where_the_cascade_finds_none(photographs):
    images, points = photographs
    noise = np.random.default_rng(0).integers(0, 255, images[0].shape, np.uint8)
    detector = Oracle().tell([noise], points[:1])  # nothing that the cascade would find
    face = box(head_box.from_anchors(points[0].xy_px))
    assert not run_learned([noise], detector, [None])[0]
    assert run_learned([noise], detector, [face])[0]
