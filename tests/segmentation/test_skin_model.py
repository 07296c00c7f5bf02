"""The cloud against independent arithmetic, known mixtures and skin of every tone and light."""

import cv2
import numpy as np
import pytest

from hybridanim.segmentation import skin_model, still
from hybridanim.types import FaceBox

TONES = {  # RGB of lit skin, from very light to dark
    "light": (236, 200, 180),
    "tan": (196, 148, 118),
    "brown": (140, 92, 66),
    "dark": (92, 58, 44),
}


def yuv_of(rgb):
    return cv2.cvtColor(np.array([[rgb]], np.uint8), cv2.COLOR_RGB2YUV)


def test_probability_is_the_table_looked_up():
    generator = np.random.default_rng(0)
    table = generator.random(skin_model.BINS, np.float32)
    yuv = generator.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    got = skin_model.probability(yuv, table)
    y, u, v = (yuv[..., k].astype(int) for k in range(3))
    (_, _, u0, u1, v0, v1) = skin_model.RANGES
    inside = (u >= u0) & (u < u1) & (v >= v0) & (v < v1)
    want = table[y // 16, np.clip((u - u0) // 4, 0, 31), np.clip((v - v0) // 4, 0, 31)] * 255
    np.testing.assert_allclose(got[inside], want[inside], atol=0.51)
    assert not got[~inside].any()


@pytest.mark.parametrize("rgb", TONES.values(), ids=TONES)
def test_generic_cloud_knows_every_tone_and_not_sky_or_grass(rgb):
    table = skin_model.generic_cloud().table(0.5)
    assert skin_model.probability(yuv_of(rgb), table)[0, 0] > 127
    for other in ((110, 150, 220), (60, 140, 50), (128, 128, 128), (250, 250, 250)):
        assert skin_model.probability(yuv_of(other), table)[0, 0] < 100


def test_histogram_counts_masked_pixels_only():
    yuv = np.concatenate(
        [np.tile(yuv_of(TONES["tan"]), (4, 4, 1)), np.full((4, 4, 3), 128, np.uint8)]
    )
    mask = np.zeros((8, 4), np.uint8)
    mask[:4] = 255
    counts = skin_model.histogram(yuv, mask, (0.0, 0.0))
    assert counts.max() == pytest.approx(1.0)
    blurred = skin_model.histogram(yuv, mask)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-4)
    assert np.argmax(blurred) == np.argmax(counts)


def test_shade_keeps_the_hue():
    yuv = np.tile(yuv_of(TONES["tan"]), (6, 6, 1))
    mask = np.full((6, 6), 255, np.uint8)
    dark = yuv_of(tuple(int(0.55 * v) for v in TONES["tan"]))
    grey = yuv_of((90, 90, 90))
    cloud = skin_model.Cloud(
        skin_model.shaded_histogram(yuv, mask), skin_model.generic_cloud().other
    )
    assert skin_model.probability(dark, cloud.table())[0, 0] > 60
    assert skin_model.probability(grey, cloud.table())[0, 0] < 10


def test_mixture_finds_known_gaussians():
    generator = np.random.default_rng(1)
    means = np.array([[180, 110, 150], [110, 112, 148], [60, 118, 140]], float)
    pixels = np.concatenate([generator.normal(m, (6, 2, 2), (800, 3)) for m in means])
    profile = skin_model.fit_mixture(pixels)
    found = np.array(sorted(profile.means_yuv, reverse=True))
    np.testing.assert_allclose(found, means, atol=1.0)
    np.testing.assert_allclose(profile.weights, 1 / 3, atol=0.03)
    histogram = skin_model.profile_histogram(profile)
    assert histogram.sum() == pytest.approx(1.0, abs=1e-3)
    y, u, v = np.unravel_index(np.argmax(histogram), skin_model.BINS)
    centre = (16 * y + 7.5, 40 + 4 * u + 1.5, 96 + 4 * v + 1.5)
    assert np.abs(means - centre).max(1).min() < 12


def test_face_pixels_leave_eyes_out():
    yuv = np.tile(yuv_of(TONES["light"]), (100, 100, 1))
    cv2.circle(yuv, (40, 45), 4, (20, 128, 128), -1)
    noise = np.random.default_rng(0).normal(0, 3, (100, 100))
    yuv[..., 0] = np.clip(yuv[..., 0] + noise, 0, 255)
    mask = skin_model.face_pixels(yuv, FaceBox(20, 20, 60, 60))
    assert mask[45, 40] == 0
    assert 0.5 < np.count_nonzero(mask) / (np.pi * 20.4 * 24) < 0.9
    assert not skin_model.face_pixels(yuv, FaceBox(-80, -80, 30, 30)).any()


def test_packing_keeps_the_shape():
    cloud = skin_model.generic_cloud()
    packed = skin_model.pack(cloud.skin)
    assert packed.dtype == np.uint8
    assert packed.max() == 255


def test_regions_of_impossible_thickness_go():
    mask = np.zeros((240, 320), np.uint8)
    cv2.ellipse(mask, ((60, 60), (40, 52), 0.0), 255, -1)  # the head
    cv2.line(mask, (110, 60), (110, 160), 255, 20)  # an arm
    cv2.rectangle(mask, (180, 120), (310, 230), 255, -1)  # a table
    cv2.line(mask, (150, 20), (300, 20), 255, 3)  # its edge
    got = still.remove_non_body(mask, [FaceBox(40, 38, 40, 44)])
    want = mask.copy()
    want[100:, 170:], want[:40, 140:] = 0, 0
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(still.remove_non_body(mask, []), mask)


def test_small_faces_are_found_and_a_skin_coloured_wall_is_none():
    data = pytest.importorskip("skimage.data")
    head = cv2.resize(data.astronaut()[:260, 100:360], (52, 52), interpolation=cv2.INTER_AREA)
    image = np.full((300, 440, 3), (70, 90, 80), np.uint8)
    places = [(40, 60), (180, 60), (320, 60)]
    for x, y in places:
        image[y : y + 52, x : x + 52] = head
    found = still.find_faces(image, cv2.cvtColor(image, cv2.COLOR_RGB2YUV))
    assert len(found) == 3
    for face, (x, y) in zip(sorted(found, key=lambda f: f.x_px), places, strict=True):
        assert x < face.center_xy_px[0] < x + 52
        assert y < face.center_xy_px[1] < y + 52
    wall = np.full((300, 440, 3), TONES["tan"], np.uint8)
    assert not still.find_faces(wall, cv2.cvtColor(wall, cv2.COLOR_RGB2YUV))
