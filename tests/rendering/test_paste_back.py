"""Pasting the animated square back into the whole picture."""

import cv2
import numpy as np
import pytest
from skimage import data

from hybridanim.errors import InputError
from hybridanim.geometry import crop_image
from hybridanim.rendering import paste_back
from hybridanim.types import Crop

PICTURE = data.astronaut()


def _smooth_picture(height=300, width=400):
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / a + y / b) for a, b in ((19, 31), (23, -17), (-29, 13))]
    return np.rint(np.stack(waves, -1)).astype(np.uint8)


@pytest.mark.parametrize("crop", [Crop(60, 40, 256), Crop(60.3, 41.7, 220.4), Crop(-50, 200, 256)])
def test_outside_of_the_crop_nothing_changes(crop):
    pasted = paste_back.paste_back(PICTURE, crop, np.zeros((256, 256, 3), np.uint8), 0.05)
    y, x = np.mgrid[:512, :512] + 0.5
    inside = (abs(x - crop.x_px - crop.side_px / 2) < crop.side_px / 2) & (
        abs(y - crop.y_px - crop.side_px / 2) < crop.side_px / 2
    )
    np.testing.assert_array_equal(pasted[~inside], PICTURE[~inside])
    deep = (abs(x - crop.x_px - crop.side_px / 2) < crop.side_px * 0.44) & (
        abs(y - crop.y_px - crop.side_px / 2) < crop.side_px * 0.44
    )
    assert (pasted[deep] == 0).all()


@pytest.mark.parametrize("size", [128, 256, 512])
@pytest.mark.parametrize("crop", [Crop(50, 30, 200), Crop(33.25, 20.5, 217.7), Crop(-40, -30, 260)])
def test_an_unchanged_square_leaves_the_picture_as_it_was(size, crop):
    picture = _smooth_picture()
    pasted = paste_back.paste_back(picture, crop, crop_image(picture, crop, size), 0.02)
    y, x = np.mgrid[:300, :400]
    # the very edge of a crop that leaves the picture holds repeated pixels
    error = np.abs(pasted.astype(int) - picture)[(y > 2) & (x > 2)]
    assert error.mean() < 0.7 and error.max() < 12


def test_whole_pixels_are_exact():
    crop = Crop(100, 50, 256)
    square = crop_image(PICTURE, crop, 256)
    np.testing.assert_array_equal(paste_back.paste_back(PICTURE, crop, square), PICTURE)


def test_no_step_at_the_crop_s_border():
    grey = np.full((300, 300, 3), 100, np.uint8)
    pasted = paste_back.paste_back(
        grey, Crop(50, 50, 200), np.full((200, 200, 3), 200, np.uint8), 0.1
    )
    assert np.abs(np.diff(pasted[150, :, 0].astype(int))).max() <= 9


def test_a_side_beyond_the_picture_does_not_fade():
    grey = np.full((300, 300, 3), 100, np.uint8)
    pasted = paste_back.paste_back(
        grey, Crop(50, -20, 200), np.full((64, 64, 3), 200, np.uint8), 0.1
    )
    assert (pasted[0, 100:200] == 200).all()


def test_kept_place_gives_the_same():
    crop, square = Crop(60.5, 70.25, 180), np.full((90, 90, 3), 7, np.uint8)
    where = paste_back.place(PICTURE, crop, 90, 0.05)
    first = paste_back.paste(where, square)
    paste_back.paste(where, 255 - square)
    np.testing.assert_array_equal(first, paste_back.paste(where, square))
    np.testing.assert_array_equal(first, paste_back.paste_back(PICTURE, crop, square, 0.05))


def test_a_crop_beside_the_picture_is_refused():
    with pytest.raises(InputError, match="choose another crop"):
        paste_back.place(PICTURE, Crop(600, 0, 50), 64)


def _plain(picture, crop, square, feather):
    """The definition, pixel by pixel in floating point: no strips, no short cuts."""
    height, width = picture.shape[:2]
    if len(square) > crop.side_px:
        side = round(crop.side_px)
        square = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y - crop.y_px, x - crop.x_px
    scale = len(square) / crop.side_px
    at_x, at_y = (x * scale - 0.5).astype(np.float32), (y * scale - 0.5).astype(np.float32)
    moved = cv2.remap(square, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weight = np.ones((height, width))
    for at, start, length in ((x, crop.x_px, width), (y, crop.y_px, height)):
        inside = (at >= 0) & (at < crop.side_px)
        near = at if start >= 0 else np.inf
        far = crop.side_px - at if start + crop.side_px <= length else np.inf
        t = np.clip(np.minimum(near, far) / (feather * crop.side_px), 0, 1)
        weight *= inside * t * t * (3 - 2 * t)
    return picture + weight[..., None] * (moved.astype(float) - picture)


@pytest.mark.parametrize("size", [90, 180, 256])
@pytest.mark.parametrize(
    "crop", [Crop(60, 40, 180), Crop(-30, 200, 160), Crop(60.3, 41.7, 180.4), Crop(-60, -60, 700)]
)
def test_it_is_the_definition_within_rounding(crop, size):
    square = cv2.resize(PICTURE[:400, 100:500], (size, size), interpolation=cv2.INTER_AREA)
    found = paste_back.paste(paste_back.place(PICTURE, crop, size, 0.1), square).astype(float)
    error = np.abs(found - _plain(PICTURE, crop, square, 0.1))
    assert error.mean() < 0.1 and np.quantile(error, 0.999) <= 2.5  # remap takes 1/32 pixel steps
