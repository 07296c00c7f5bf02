"""Corners against scikit-image and by hand; patches aligned against known warps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.feature import corner_harris, corner_moravec, corner_peaks, corner_shi_tomasi

from hybridanim.tracking import corners, templates
from hybridanim.tracking.lucas_kanade import Window

WHOLE = Window(0, 0, 200, 200, 1.0)


def squares():
    grey = np.full((120, 160), 40, np.uint8)
    grey[30:70, 30:80] = 200
    grey[60:100, 100:140] = 120
    return cv2.GaussianBlur(grey, (0, 0), 0.8)


CORNERS = np.array(
    [[30, 30], [79, 30], [30, 69], [79, 69], [100, 60], [139, 60], [100, 99], [139, 99]]
)


@pytest.mark.parametrize("measure", ["shi-tomasi", "harris", "moravec"])
def test_corners_of_squares_are_found_where_they_are(measure):
    allowed = np.full((120, 160), 255, np.uint8)
    found = corners.detect(squares(), allowed, 8, corners=measure)
    assert len(found) == 8
    distance = np.linalg.norm(found[:, None] - CORNERS, axis=2)
    # Moravec answers inside the corner, by about half its block
    assert distance.min(0).max() < (3.5 if measure == "moravec" else 2.5)
    assert sorted(distance.argmin(1).tolist()) == list(range(8))


def test_moravec_is_the_least_squared_change_over_shifts():
    grey = np.random.default_rng(3).integers(0, 255, (14, 15), np.uint8)
    found = corners.moravec(grey, block_px=3)
    wide = np.pad(grey.astype(float), 1, mode="edge")
    y, x = 7, 6
    changes = []
    for dx, dy in ((1, 0), (1, 1), (0, 1), (-1, 1)):
        block = [
            (wide[1 + y + j + dy, 1 + x + i + dx] - wide[1 + y + j, 1 + x + i]) ** 2
            for j in (-1, 0, 1)
            for i in (-1, 0, 1)
        ]
        changes.append(np.mean(block))
    assert found[y, x] == pytest.approx(min(changes), rel=1e-4)


@pytest.mark.parametrize(
    ("measure", "other"),
    [
        ("shi-tomasi", corner_shi_tomasi),
        ("harris", corner_harris),
        ("moravec", lambda grey: corner_moravec(grey, 2)),
    ],
)
def test_strong_corners_of_a_photograph_agree_with_scikit_image(measure, other):
    grey = cv2.cvtColor(data.astronaut()[0:200, 100:300], cv2.COLOR_RGB2GRAY)
    strength = corners.response(grey, measure)[12:-12, 12:-12]
    theirs = other(grey.astype(float))[12:-12, 12:-12]
    places = corner_peaks(theirs, min_distance=6, num_peaks=25, exclude_border=False)
    rank = np.searchsorted(
        np.sort(strength.ravel()), cv2.dilate(strength, np.ones((5, 5)))[tuple(places.T)]
    )
    assert np.median(rank / strength.size) > 0.97


def test_features_stay_in_the_allowed_place_apart_and_away_from_old_ones():
    grey = cv2.cvtColor(data.astronaut()[0:200, 100:300], cv2.COLOR_RGB2GRAY)
    allowed = np.zeros((200, 200), np.uint8)
    allowed[60:160, 50:150] = 255
    old = np.array([[100.0, 100.0]], np.float32)
    found = corners.detect(grey, allowed, 200, spacing_px=8, taken_xy=old)
    assert 20 < len(found) <= 200
    assert (found >= (49, 59)).all() and (found <= (151, 161)).all()
    apart = np.linalg.norm(found[:, None] - found, axis=2) + 99 * np.eye(len(found))
    assert apart.min() > 3.5
    assert np.linalg.norm(found - old, axis=1).min() > 7
    quarters = np.histogram2d(*found.T, bins=2, range=[[50, 150], [60, 160]])[0]
    assert quarters.min() >= 3


def test_flat_pictures_have_no_corners():
    flat = np.full((60, 60), 90, np.uint8)
    for measure in ("shi-tomasi", "harris", "moravec"):
        assert len(corners.detect(flat, flat, 10, corners=measure)) == 0


def picture():
    return cv2.cvtColor(data.astronaut()[0:200, 100:300], cv2.COLOR_RGB2GRAY)


def seen(xy):
    grey = picture().astype(np.float32)
    model = np.zeros((len(xy), 3), np.float32)
    return templates.first_seen(grey, WHOLE, np.array(xy, np.float32), xy, model, 7)


def test_patches_find_a_known_affine_and_ignore_gain_and_offset():
    xy = corners.detect(picture(), np.full((200, 200), 255, np.uint8), 60, spacing_px=9)
    xy = xy[((xy > 30) & (xy < 170)).all(1)]
    turn = np.array([[1.06, 0.07], [-0.05, 0.97]])
    middle = np.array([100.0, 100.0])
    shift = middle - turn @ middle + (1.1, -0.8)
    moved = cv2.warpAffine(
        picture(), np.column_stack([turn, shift]), (200, 200), flags=cv2.INTER_CUBIC
    )
    changed = np.clip(0.8 * moved.astype(np.float32) + 22, 0, 255)
    truth = xy @ turn.T + shift
    keep = ((truth > 15) & (truth < 185)).all(1)
    first = seen(xy[keep])
    near = truth[keep] + np.random.default_rng(0).uniform(-1, 1, truth[keep].shape)
    guessed = templates.Features(
        near.astype(np.float32), *(getattr(first, n) for n in list(first.__dataclass_fields__)[1:])
    )
    found = templates.align(changed, WHOLE, guessed, steps=8)
    error = np.linalg.norm(found.xy_px - truth[keep], axis=1)
    assert found.ids[0] == 7
    assert np.median(error) < 0.1
    assert np.mean(found.score > 0.95) > 0.85
    good = found.score > 0.97
    assert np.median(np.abs(found.warp[good] - turn)) < 0.04


def test_another_patch_is_unlike_the_first():
    xy = corners.detect(picture(), np.full((200, 200), 255, np.uint8), 40, spacing_px=9)
    first = seen(xy)
    other = np.random.default_rng(2).integers(0, 255, (200, 200)).astype(np.float32)
    found = templates.align(cv2.GaussianBlur(other, (0, 0), 1.5), WHOLE, first, steps=2)
    assert np.mean(found.score < 0.6) > 0.9
    flat = templates.align(np.full((200, 200), 80, np.float32), WHOLE, first, steps=2)
    assert flat.score.max() < 0.3
