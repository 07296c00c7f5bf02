"""The matting network's window: its map, the face's shape in it, and its input."""

import numpy as np

from hybridanim.face import matte_window


def test_window_maps_the_square_onto_the_window():
    matrix = matte_window.window(np.array([100.0, 60.0]), 80.0, 160)
    corners = np.array([[60.0, 20.0], [140.0, 100.0]]) - 0.5  # outer edges of its corner pixels
    middle = np.array([100.0, 60.0])
    np.testing.assert_allclose(middle @ matrix[:, :2].T + matrix[:, 2], [79.5, 79.5])
    ends = (corners + 0.5) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(ends, [[-0.5, -0.5], [159.5, 159.5]])


def test_face_is_one_inside_its_outline_and_nothing_far_away():
    outline = np.array([[40, 40], [120, 40], [120, 130], [40, 130]])
    face = matte_window.face_shape(outline, 160)
    assert face.dtype == np.float32 and face.shape == (160, 160)
    assert face[60:110, 60:100].min() > 0.99 and face[:20].max() < 1e-3
    assert 0.4 < face[85, 40] < 0.6  # the outline itself


def test_outlines_beyond_the_window_are_no_error():
    assert matte_window.face_shape(np.array([[-1e9, 0], [1e9, 0], [0, 1e9]]), 32).shape == (32, 32)
    assert not matte_window.face_shape(np.array([[-90, -90], [-80, -90], [-80, -70]]), 32).any()


def test_ellipse_is_round_the_centre():
    points = matte_window.ellipse((50.0, 70.0), 20.0)
    np.testing.assert_allclose(points.mean(0), [50, 70], atol=1e-9)
    assert np.ptp(points[:, 0]) == 40 and np.ptp(points[:, 1]) > 40


def test_input_has_colours_and_face_in_one_range():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 255
    given = matte_window.network_input(image, np.ones((8, 8), np.float32))
    assert given.shape == (matte_window.CHANNELS, 8, 8) and given.dtype == np.float32
    np.testing.assert_allclose(given[:, 0, 0], [2, -2, -2, 2], atol=0.02)
