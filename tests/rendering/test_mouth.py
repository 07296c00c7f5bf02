"""The inside of an opened mouth: teeth in the light of the picture, nothing beyond the opening."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybridanim.face import face_model
from hybridanim.face.landmarks import GROUPS, MESH
from hybridanim.motion import teeth
from hybridanim.rendering import mouth
from hybridanim.types import Crop, HeadPose, MovedTeeth

MODEL = face_model.load()
NEUTRAL = np.zeros(len(MODEL.identity), np.float32)
SIZE = 256
POSE = HeadPose(np.eye(3), 0.8, np.zeros(2))


def source(colour, lips=(150, 70, 70), opening=0.0):
    vertices = POSE.project(MODEL.vertices(NEUTRAL, MODEL.along(jaw_open=0.03)))[:, :2]
    points = ((vertices[np.where(MESH >= 0, MESH, 0)] + 1) * (SIZE / 2) - 0.5).astype(np.float32)
    image = np.full((SIZE, SIZE, 3), colour, np.uint8)
    x, y = points[list(GROUPS["outer_lips"])].T
    image[int(y.min()) : int(y.max()) + 2, int(x.min()) : int(x.max()) + 2] = lips
    face = SimpleNamespace(quantities=np.array([opening]))
    crop = Crop(0.0, 0.0, float(SIZE))
    return SimpleNamespace(landmarks_xy_px=points, crop=crop, image=image, face=face)


def opened(amount=0.12):
    face = MODEL.vertices(NEUTRAL, MODEL.along(jaw_open=amount))
    own = teeth.build(MODEL, NEUTRAL)
    shown = MovedTeeth(teeth.moved(own, face, POSE), own.places_mm, own.triangles)
    xy = POSE.project(face)[:, :2]
    low, high = xy[[13, 78]].min(0), xy[[14, 308]].max(0)
    grid = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    inside = (grid > low[0]) & (grid < high[0])
    interior = (inside[None] & ((grid > low[1]) & (grid < high[1]))[:, None]).astype(np.float32)
    return interior, shown


def filled(one, shown=True, amount=0.12):
    interior, moved = opened(amount)
    out = one.image.copy()
    mouth.fill(out, interior, moved if shown else None, mouth.prepare(one))
    return out, interior > 0


def test_teeth_are_brighter_than_the_cavity_and_nothing_else_changes():
    one = source((200, 160, 140))
    dark, inside = filled(one, shown=False)
    out, _ = filled(one)
    assert dark[inside].max() < 60
    assert (out[inside].mean(-1) > 110).mean() > 0.1  # teeth
    assert (out[inside].mean(-1) < 60).mean() > 0.1  # and the dark between them
    np.testing.assert_array_equal(out[~inside], one.image[~inside])


@pytest.mark.parametrize("colour", [(90, 90, 90), (210, 210, 210)])
def test_a_grey_picture_stays_grey(colour):
    out, _ = filled(source(colour, lips=(60, 60, 60)))
    assert np.ptp(out.astype(int), axis=-1).max() <= 1


def test_teeth_follow_the_light():
    bright, inside = filled(source((220, 190, 170)))
    dim, _ = filled(source((60, 45, 40), lips=(50, 30, 30)))
    assert bright[inside].max() > 170
    assert dim[inside].max() < 90
    red, _, blue = bright[inside][bright[inside].mean(-1) > 130].mean(0)
    assert red > blue + 5  # warm light


def test_teeth_that_the_source_shows_are_not_drawn_a_second_time():
    shut, inside = filled(source((200, 160, 140)))
    own, _ = filled(source((200, 160, 140), opening=0.06))
    rows = np.flatnonzero(inside.any(1))
    upper = slice(rows[0], rows[0] + len(rows) // 4)
    assert shut[upper].mean() > own[upper].mean() + 5
    lower = slice(rows[-1] - len(rows) // 8, rows[-1])
    assert np.abs(shut[lower].astype(int) - own[lower]).mean() < 0.5


def test_a_picture_without_landmarks_has_no_colours():
    one = source((200, 160, 140))
    assert mouth.prepare(SimpleNamespace(**{**vars(one), "landmarks_xy_px": None})) is None
