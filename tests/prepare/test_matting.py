"""The person's mask on drawn scenes whose mask is known, and the painted background."""

import cv2
import numpy as np
import pytest
from skimage import data

from hybridanim.errors import InputError
from hybridanim.prepare import background, matting
from hybridanim.runtime.matte import PersonMatte
from hybridanim.types import FaceBox, HeadBox

cv2.setRNGSeed(1)


def _person(size: int, seed: int, contrast: float = 1.0):
    """A drawn head with hair, neck and shoulders on a textured wall: image, true mask, face."""
    rng = np.random.default_rng(seed)
    s = size / 256
    y, x = np.mgrid[:size, :size] / s
    cx, cy = 128 + rng.uniform(-6, 6), 118 + rng.uniform(-6, 6)
    hair = np.hypot((x - cx) / 60, (y - cy + 12) / 78) < 1
    face = np.hypot((x - cx) / 44, (y - cy - 4) / 58) < 1
    neck = (abs(x - cx) < 24) & (y > cy)
    torso = (y > cy + 82 + 0.3 * abs(x - cx)) & (abs(x - cx) < 110)
    tones = rng.uniform(40, 220, (2, 3))
    wall = tones[0] + (tones[1] - tones[0]) * (x / 256)[..., None]
    wall = wall + 18 * np.sin(x / 9)[..., None] * np.sin(y / 7)[..., None]
    image = wall.copy()
    far = 255 - tones.mean(0)
    for area, colour in (
        (torso, far),
        (hair, 0.35 * far),
        (neck, (205, 150, 125)),
        (face, (215, 165, 140)),
    ):
        image[area] = (1 - contrast) * wall[area] + contrast * np.array(colour)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    return image, hair | face | neck | torso, FaceBox((cx - 46) * s, (cy - 46) * s, 92 * s, 92 * s)


@pytest.mark.parametrize("seed", range(6))
def test_mask_of_a_drawn_person_is_found(seed):
    image, truth, face = _person(256, seed)
    mask = matting.subject_mask(image, face)
    assert mask.dtype == np.float32 and mask.shape == (256, 256)
    assert mask.min() >= 0 and mask.max() <= 1
    found = mask > 0.5
    overlap = (found & truth).sum() / (found | truth).sum()
    assert overlap > 0.93


def test_mask_scales_with_the_picture():
    small, _, small_face = _person(256, 3)
    large = cv2.resize(small, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    face = FaceBox(*(4 * value for value in (small_face.x_px, small_face.y_px, 92, 92)))
    coarse = matting.subject_mask(small, small_face)
    fine = matting.subject_mask(large, face)
    fine = cv2.resize(fine, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(fine - coarse).mean() < 0.02


def test_photograph_face_and_hair_inside_wall_outside():
    image = data.astronaut()
    mask = matting.subject_mask(image, HeadBox((221, 120), 105, 0.0))
    assert mask[60:150, 190:250].min() > 0.95  # face
    assert mask[28:40, 205:240].mean() > 0.95  # hair above the forehead
    assert mask[:200, 440:].max() == 0 and mask[:60, :100].max() == 0  # far from the head


def test_mask_is_the_same_every_time():
    image, _, face = _person(256, 1)
    first = matting.subject_mask(image, face)
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(first, matting.subject_mask(image, face))


def _fallback_is_sane(image, face):
    mask = matting.subject_mask(image, face)
    cx, cy = (int(value) for value in face.center_xy_px)
    half = int(face.width_px / 3)
    assert mask[cy - half : cy + half, cx - half : cx + half].min() > 0.9
    assert mask[0, 0] < 0.1 and mask[0, -1] < 0.1
    assert 0.2 < mask.mean() < 0.8
    return mask


def test_noise_and_no_contrast_get_the_wide_soft_shape():
    face = FaceBox(80, 80, 92, 92)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for image in (noise, np.full((256, 256, 3), 127, np.uint8)):
        mask = _fallback_is_sane(image, face)
        head = mask[: int(face.y_px + 92)]
        step = max(np.abs(np.diff(head, axis=0)).max(), np.abs(np.diff(head, axis=1)).max())
        assert step < 0.15  # no cut edge where none is seen


@pytest.mark.parametrize("trust", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_face_is_never_see_through(monkeypatch, trust):
    image, _, face = _person(256, 5)
    wrong = np.zeros((192, 192), np.float32)
    monkeypatch.setattr(matting, "_vote", lambda lab, u, v, sure: (np.maximum(wrong, sure), trust))
    mask = matting.subject_mask(image, face)
    cx, cy = (int(value) for value in face.center_xy_px)
    assert mask[cy - 22 : cy + 22, cx - 22 : cx + 22].min() > 0.98


def test_landmarks_are_inside_the_mask():
    image, _, face = _person(256, 2)
    turn = np.linspace(0, 2 * np.pi, 12)[:, None]
    circle = np.hstack([np.cos(turn), np.sin(turn)])
    points = np.array(face.center_xy_px) + 80 * circle  # wider than any head
    mask = matting.subject_mask(image, face, points.astype(np.float32))
    inner = (np.array(face.center_xy_px) + 70 * circle).astype(int)
    assert mask[inner[:, 1], inner[:, 0]].min() > 0.9


@pytest.mark.parametrize("face", [FaceBox(300, 300, 50, 50), FaceBox(10, 10, 0, 0)])
def test_a_box_beside_the_picture_is_refused(face):
    with pytest.raises(InputError, match="choose another crop or face"):
        matting.subject_mask(np.zeros((256, 256, 3), np.uint8), face)


def _stand_in(mask, size=160):
    """A network that gives this mask (n, n) for every window; the mirror image for the second."""
    small = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return PersonMatte(lambda windows: np.stack([small, small[:, ::-1]]), size)


@pytest.mark.parametrize("seed", range(3))
def test_the_network_s_mask_gets_the_picture_s_edge(seed):
    image, truth, face = _person(256, seed)
    blurred = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 2.5)
    mask = matting.subject_mask(image, face, network=_stand_in(blurred))
    assert mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    assert np.abs(mask - truth).mean() < 0.6 * np.abs(blurred - truth).mean()
    found = mask > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.97


def test_where_the_network_misses_the_face_grab_cut_finds_the_person():
    image, _, face = _person(256, 1)
    wanted = matting.subject_mask(image, face)
    found = matting.subject_mask(image, face, network=_stand_in(np.zeros((256, 256))))
    np.testing.assert_array_equal(found, wanted)


def test_another_person_in_the_network_s_mask_is_left_out():
    image, truth, face = _person(256, 4)
    both = truth.astype(np.float32)
    both[20:60, 6:36] = 1
    image[20:60, 6:36] = (215, 165, 140)
    mask = matting.subject_mask(image, face, network=_stand_in(both))
    assert mask[24:56, 10:32].max() < 0.05


def test_landmarks_are_inside_the_network_s_mask():
    image, truth, face = _person(256, 2)
    x, y = face.center_xy_px
    points = np.array([(x - 80, y), (x, y - 40), (x, y + 40)], np.float32)  # beside the head, too
    mask = matting.subject_mask(image, face, points, _stand_in(truth))
    assert mask[round(y), round(x - 60)] > 0.9


def test_plate_keeps_the_wall_and_forgets_the_person():
    size = 256
    y, x = np.mgrid[:size, :size]
    wall = np.stack([x * 0.6 + 40, np.full_like(x, 90.0), 200 - y * 0.5], -1)
    disc = np.hypot(x - 128, y - 128) < 50
    image = np.where(disc[..., None], (255, 0, 0), wall).astype(np.uint8)
    painted = matting.inpaint_background(image, disc.astype(np.float32))
    away = np.hypot(x - 128, y - 128) > 60
    np.testing.assert_array_equal(painted[away], image[away])
    near = disc & (np.hypot(x - 128, y - 128) > 35)
    assert np.abs(painted[near] - wall[near]).mean() < 6
    assert np.abs(painted[disc] - wall[disc]).max() < 30


def test_plate_carries_the_wall_s_grain():
    rng = np.random.default_rng(4)
    image = np.clip(128 + rng.normal(0, 5, (256, 256, 3)), 0, 255).astype(np.uint8)
    disc = np.hypot(*(np.mgrid[:256, :256] - 128.0)) < 50
    image[disc] = 20
    painted = matting.inpaint_background(image, disc.astype(np.float32)).astype(float)
    rim = disc & (np.hypot(*(np.mgrid[:256, :256] - 128.0)) > 40)
    assert 0.5 < painted[rim].std() / image[~disc].std() < 1.5


def test_plate_without_a_person_is_the_picture():
    image = data.astronaut()[:256, :256]
    np.testing.assert_array_equal(
        background.inpaint_background(image, np.zeros((256, 256), np.float32)), image
    )
    painted = background.inpaint_background(image, np.ones((256, 256), np.float32))
    assert painted.shape == image.shape  # nothing known: still a picture
