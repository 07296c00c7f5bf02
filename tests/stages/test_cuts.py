"""A driver that is cut to a shot of another size: the result's head keeps its size and place."""

import cv2
import numpy as np
import pytest

from hybridanim.face.anchors import PINNED
from hybridanim.motion import transfer
from stages.pipeline import Pipeline
from tests import synthetic

SIDE_PX, CUT, FRAMES, RATE = 320, 12, 32, 25
MIDDLE = SIDE_PX / 2


def shot(picture, zoom, shift_px, wall_rgb):
    """A picture that is enlarged about its middle and shifted, before another wall."""
    about = np.array([[zoom, 0, MIDDLE * (1 - zoom) + shift_px], [0, zoom, MIDDLE * (1 - zoom)]])
    image = cv2.warpAffine(picture, about, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    away_px = np.hypot(x - MIDDLE - shift_px, 0.7 * (y - MIDDLE - 20 * zoom))
    image[away_px > 0.36 * SIDE_PX * zoom] = wall_rgb
    return image


def motions(zooms, **settings):
    """The source, and the size of its head in each frame by keypoints and by the fitted face."""
    picture = synthetic.photograph(SIDE_PX)
    pipeline = Pipeline.load(size=128, avatar="off", **settings)
    source = pipeline.set_source(picture)
    by_points, by_face, shift = [], [], []
    for index in range(FRAMES):
        after = int(index >= CUT)
        wall = ((120, 140, 160), (30, 60, 40))[after]
        image = shot(picture, zooms[after], index % 3 + 40 * after, wall)
        points = pipeline.follow(pipeline.frame(image, index / RATE)).points
        whole = transfer.head_affine(source.keypoints, points.target, PINNED)
        by_points.append(np.sqrt(abs(np.linalg.det(whole[:, :2]))))
        if points.head is not None:
            by_face.append(points.head.pose.scale_px)
            shift.append(points.head.pose.shift_px)
    own = source.face.pose.scale_px * 2 / source.crop.side_px
    return np.array(by_points), np.array(by_face) / own, np.array(shift)


@pytest.mark.parametrize("zooms", [(1.0, 0.72), (0.72, 1.0), (0.8, 0.9)])
@pytest.mark.parametrize("tracker", ["classical", "learned", "hybrid"])
def test_a_head_keeps_its_size_and_place_over_a_cut(tracker, zooms):
    """It shrank to 72 % in the first of these."""
    by_points, by_face, shift = motions(zooms, tracker=tracker)
    np.testing.assert_allclose(by_points[-8:], 1, atol=0.05)
    np.testing.assert_allclose(by_face[-8:], 1, atol=0.05)
    assert np.abs(shift[-8:].mean(0) - shift[:CUT].mean(0)).max() < 0.05
    assert np.abs(by_face[1:] - by_face[:-1]).max() < 0.1  # and does not jump meanwhile


def test_in_two_dimensions_too():
    by_points, by_face, _ = motions((1.0, 0.72), head_motion="2d")
    assert len(by_face) == 0
    np.testing.assert_allclose(by_points[-8:], 1, atol=0.05)


def test_a_head_that_comes_nearer_without_a_cut_grows():
    picture = synthetic.photograph(SIDE_PX)
    pipeline = Pipeline.load(size=128, avatar="off")
    source = pipeline.set_source(picture)
    for index in range(20):
        image = shot(picture, 0.8 + 0.01 * index, 0, (120, 140, 160))
        points = pipeline.follow(pipeline.frame(image, index / RATE)).points
    own = source.face.pose.scale_px * 2 / source.crop.side_px
    assert points.head.pose.scale_px / own == pytest.approx(0.99 / 0.8, abs=0.05)


def test_absolute_motion_is_that_of_every_shot():
    _, by_face, _ = motions((1.0, 0.72), motion="absolute")
    assert by_face[-8:].mean() / by_face[:CUT].mean() == pytest.approx(0.72, abs=0.05)
