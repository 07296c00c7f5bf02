"""Windows of the painters: places, masks, region, colours."""

import cv2
import numpy as np
import pytest

from hybridanim.face import face_model, mesh, paint_windows
from hybridanim.face.paint_windows import EYE, KINDS, MOUTH, Palette
from hybridanim.types import HeadPose

MODEL = face_model.load()
WINDOWS = [(MOUTH, 0), (EYE, 0), (EYE, 1)]


def placed(expression=None, yaw_deg=0.0, roll_deg=0.0, scale_px=110.0):
    turn = cv2.Rodrigues(np.deg2rad([0.0, yaw_deg, 0.0]))[0]
    roll = cv2.Rodrigues(np.deg2rad([0.0, 0.0, roll_deg]))[0]
    pose = HeadPose(roll @ turn, scale_px, np.array([120.0, 130.0]))
    return pose.project(MODEL.vertices(None, expression))[:, :2], pose


@pytest.mark.parametrize(("kind", "side"), WINDOWS)
def test_points_return_from_the_window(kind, side):
    xy, pose = placed(roll_deg=20)
    matrix = paint_windows.place(kind, xy, pose, side)
    inside = paint_windows.inside(kind, xy, matrix, side)
    back = cv2.invertAffineTransform(matrix)
    again = inside @ back[:, :2].T + back[:, 2]
    np.testing.assert_allclose(again, xy[paint_windows.rows(kind, side)], atol=1e-3)
    assert (inside > 0).all()
    assert (inside < [kind.width_px - 1, kind.height_px - 1]).all()


def test_windows_are_level_whatever_the_roll():
    for kind, side in WINDOWS:
        both = []
        for roll_deg in (0, 35):
            xy, pose = placed(roll_deg=roll_deg)
            matrix = paint_windows.place(kind, xy, pose, side)
            both.append(paint_windows.inside(kind, xy, matrix, side))
        np.testing.assert_allclose(*both, atol=0.01)


def test_the_right_eye_is_the_left_one_in_a_mirror():
    xy, pose = placed()
    left, right = (
        paint_windows.inside(EYE, xy, paint_windows.place(EYE, xy, pose, side), side)
        for side in (0, 1)
    )
    np.testing.assert_allclose(left[:17], right[:17], atol=0.3)
    assert left[0, 0] < left[8, 0]  # the outer corner is on the left


@pytest.mark.parametrize("name", sorted(KINDS))
def test_paint_ends_before_the_border_and_covers_lips_and_lids(name):
    kind = KINDS[name]
    xy, pose = placed(MODEL.along(jaw_open=0.15))
    points = paint_windows.inside(kind, xy, paint_windows.place(kind, xy, pose))
    region = paint_windows.region(kind, points, points)
    assert region.shape == (kind.height_px, kind.width_px)
    assert max(region[0].max(), region[-1].max(), region[:, 0].max(), region[:, -1].max()) == 0
    filled = paint_windows.masks(kind, points, points)[0] == 255
    assert region[filled].min() > 0.9
    assert 0.1 < (region > 0).mean() < 0.7
    assert region.max() <= 1


def test_masks_show_the_iris_in_the_lids_and_the_opening_in_the_lips():
    xy, pose = placed(MODEL.along(jaw_open=0.1))
    eye = paint_windows.inside(EYE, xy, paint_windows.place(EYE, xy, pose))
    lids, iris, _ = paint_windows.masks(EYE, eye, eye)
    assert 0 < iris.sum() < lids.sum()
    assert (iris <= lids).all()
    mouth = paint_windows.inside(MOUTH, xy, paint_windows.place(MOUTH, xy, pose))
    outer, inner, own = paint_windows.masks(MOUTH, mouth, mouth)
    assert 0 < inner.sum() < outer.sum()
    np.testing.assert_array_equal(inner, own)


def test_nothing_is_needed_without_change_and_everything_after_much():
    for kind, name in ((MOUTH, "jaw_open"), (EYE, "left_lid_open")):
        points = []
        for amount in (0.0, 0.002, 0.15):
            sign = 1 if kind is MOUTH else -1
            xy, pose = placed(MODEL.along(**{name: sign * amount}))
            points.append(paint_windows.inside(kind, xy, paint_windows.place(kind, xy, pose)))
        shares = [paint_windows.need(kind, now, points[0]) for now in points]
        assert shares == [0, 0, 1]


def test_need_rises_smoothly():
    first = None
    shares = []
    for amount in np.linspace(0, 0.1, 60):
        xy, pose = placed(MODEL.along(jaw_open=float(amount)))
        points = paint_windows.inside(MOUTH, xy, paint_windows.place(MOUTH, xy, pose))
        first = points if first is None else first
        shares.append(paint_windows.need(MOUTH, points, first))
    assert np.diff(shares).min() >= -1e-9
    assert np.diff(shares).max() < 0.25


def test_colours_return_from_the_palette():
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (2, 48, 64, 3), np.uint8)
    palette = Palette.of(picture)
    again = palette.colours(palette.normalised(picture))
    np.testing.assert_allclose(again, picture, atol=0.02)
    joined = Palette.joined([Palette.of(one[None]) for one in picture])
    np.testing.assert_allclose(joined.mean, palette.mean, rtol=1e-5)


def test_a_grey_source_gives_no_colour():
    rng = np.random.default_rng(2)
    grey = np.repeat(rng.integers(0, 256, (1, 48, 64, 1), np.uint8), 3, -1)
    painted = Palette.of(grey).colours(rng.standard_normal((1, 48, 64, 3)).astype(np.float32) * 3)
    assert np.ptp(painted, axis=-1).max() < 0.1


def test_a_head_in_a_mirror_turns_the_other_way():
    _, pose = placed(yaw_deg=20)
    own, mirrored = (paint_windows.turn_of(pose, is_mirrored=m) for m in (False, True))
    np.testing.assert_allclose(own, mirrored * [-1, 1])
    assert abs(own[0]) == pytest.approx(np.sin(np.deg2rad(20)))


def test_points_of_windows_are_those_of_the_mesh():
    assert paint_windows.rows(EYE, 1)[:16] == list(mesh.EYES[1])
    assert paint_windows.rows(MOUTH, 0) == list(MOUTH.points)
