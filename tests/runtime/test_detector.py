"""The learned keypoint detector behind its window: exact mapping, honest errors, real faces."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from hybridanim import geometry
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.face import aligner
from hybridanim.face.anchors import HAS_LANDMARKS, landmark_average
from hybridanim.motion import keypoints
from hybridanim.networks.weights import DETECTOR, RENDERER
from hybridanim.runtime import detector, networks
from hybridanim.runtime.detector import LearnedDetector, window_image
from hybridanim.training.data.batch import anchor_layout
from hybridanim.types import Array, Crop, FaceBox, HeadBox, Keypoints

TORCH = RuntimeConfig("torch", "f32")
ASTRONAUT_FACE = FaceBox(175, 77, 95, 95)


@pytest.fixture(scope="module")
def shipped() -> LearnedDetector:
    torch.set_num_threads(1)
    return networks.detector(None, TORCH)


@pytest.fixture(scope="module")
def portrait() -> tuple[Array, Array, Crop]:
    """The astronaut, her landmarks by the classical cascade, and the window round her head."""
    image = data.astronaut()
    landmarks = aligner.load().fit(image[..., 1].copy(), ASTRONAUT_FACE)
    box, roll_deg = aligner.box_from_landmarks(landmarks.xy_px)
    head = HeadBox(box.center_xy_px, box.width_px, roll_deg)
    return image, landmarks.xy_px, keypoints.crop_around(head)


@pytest.mark.parametrize(
    "window",
    [
        Crop(10.0, 20.0, 64.0),  # whole pixels, its own size
        Crop(11.3, 17.8, 90.0),
        Crop(0.2, 1.7, 117.5),
        Crop(40.6, 50.1, 20.0),  # enlarged
    ],
)
def test_window_shows_what_its_coordinates_say(window: Crop) -> None:
    y, x = np.mgrid[:120, :120].astype(np.float32)
    image = np.stack([2 * x, 2 * y, 255 - x], -1).astype(np.uint8)  # each pixel holds its place
    for size in (64, 32):  # half: averaged first
        small = window_image(image, window, size).astype(float)[..., :2] / 2
        places = geometry.px_from_norm(geometry.grid_norm(size), window)
        off = (small - places)[3:-3, 3:-3]
        assert np.abs(off).max() <= 0.6 and np.abs(off.mean((0, 1))).max() < 0.1


def test_window_beyond_the_picture_repeats_its_border() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, -2:] = 200  # both, since it is halved first
    small = window_image(image, Crop(40.0, -30.0, 100.0), 50)
    assert (small[:, 12:] == 200).all() and (small[:, :5] == 0).all()
    assert window_image(image, Crop(500.0, 500.0, 30.0), 16).shape == (16, 16, 3)


def test_window_of_a_checkerboard_does_not_alias() -> None:
    y, x = np.mgrid[:256, :256]
    board = np.where((x + y) % 2, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)
    small = window_image(board, Crop(3.0, 5.0, 200.0), 64)
    assert np.abs(small.astype(float) - 127.5).max() < 12


def test_confidence_halves_at_four_percent_of_the_face() -> None:
    jacobian = np.repeat(0.8 * np.eye(2)[None], 4, 0)
    narrowest = detector.CELLS_BASE * 2 / 64
    spread = narrowest + np.array([-0.01, 0, 0.04 * 0.8, 10])
    found = detector.confidence(spread, jacobian, 64)
    np.testing.assert_allclose(found, [1, 1, 0.5, 0], atol=1e-4)
    assert found.dtype == np.float32


def test_detector_hands_the_network_the_window_and_its_answer_back() -> None:
    seen: list[Array] = []

    def network(picture: Array) -> tuple[Array, Array, Array]:
        seen.append(picture)
        return np.full((1, 3, 2), 0.25), np.eye(2)[None, None].repeat(3, 1), np.zeros((1, 3))

    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    found = LearnedDetector(network, count=3, size=32, window="frame")(image, Crop(0, 0, 32))
    np.testing.assert_array_equal(seen[0], image.transpose(2, 0, 1)[None] / np.float32(255))
    assert isinstance(found, Keypoints) and found.xy_norm.shape == (3, 2)
    np.testing.assert_array_equal(found.confidence, 1)


def test_detector_refuses_other_pictures() -> None:
    one = LearnedDetector(
        lambda picture: (picture, picture, picture), count=1, size=32, window="head"
    )
    with pytest.raises(InputError, match=r"expected \(H, W, 3\) uint8 RGB, got .* float64"):
        one(np.zeros((9, 9, 3)), Crop(0, 0, 9))


def test_weights_are_refused_when_missing_damaged_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="found nothing"):
        networks.detector(tmp_path / "none.safetensors")
    short = tmp_path / "short.safetensors"
    short.write_bytes(DETECTOR.path.read_bytes()[:-100])
    with pytest.raises(InputError):
        networks.detector(short, TORCH)
    with pytest.raises(InputError, match="which has none"):
        networks.detector(RENDERER.path)
    monkeypatch.setattr(networks, "DETECTOR", replace(DETECTOR, sha256="0" * 64))
    with pytest.raises(InputError, match="of another version"):
        networks.detector()


def test_shipped_weights_are_small_and_those_of_their_card() -> None:
    found = hashlib.sha256(DETECTOR.path.read_bytes()).hexdigest()
    card = DETECTOR.path.with_suffix(".md").read_text()
    assert found == DETECTOR.sha256 == re.findall(r"[0-9a-f]{64}", card)[0]
    assert DETECTOR.path.stat().st_size < 4e6


def test_shipped_detector_finds_a_face_where_landmarks_do(
    shipped: LearnedDetector, portrait: tuple[Array, Array, Crop]
) -> None:
    image, landmarks, window = portrait
    found = shipped(image, window)
    assert shipped.count == 38 and shipped.window == "head"
    places = geometry.px_from_norm(found.xy_norm, window)[HAS_LANDMARKS]
    theirs = (landmark_average() @ landmarks)[HAS_LANDMARKS]
    between_eyes = np.linalg.norm(theirs[4:6].mean(0) - theirs[6:8].mean(0))
    off = np.linalg.norm(places - theirs, axis=1)
    assert off.mean() < 3.0, f"{off.mean():.2f} px, eyes {between_eyes:.0f} px apart"
    assert (np.linalg.det(found.jacobian) > 0).all()
    assert found.confidence.mean() > 0.8


def test_a_window_that_is_off_finds_the_same_places(
    shipped: LearnedDetector, portrait: tuple[Array, Array, Crop]
) -> None:
    image, _, window = portrait
    side = 1.15 * window.side_px
    other = Crop(window.x_px - 0.03 * side, window.y_px - 0.1 * side, side)
    here = geometry.px_from_norm(shipped(image, window).xy_norm, window)
    there = geometry.px_from_norm(shipped(image, other).xy_norm, other)
    off = np.linalg.norm(here - there, axis=1)[HAS_LANDMARKS] / (window.side_px / 2.5)
    assert off.mean() < 0.025, f"{off.mean():.1%} of the head"


def test_a_mirrored_picture_has_mirrored_keypoints(
    shipped: LearnedDetector, portrait: tuple[Array, Array, Crop]
) -> None:
    image, _, window = portrait
    x = image.shape[1] - window.x_px - window.side_px
    turned = shipped(np.ascontiguousarray(image[:, ::-1]), Crop(x, window.y_px, window.side_px))
    here = shipped(image, window).xy_norm[anchor_layout().mirror] * [-1, 1]
    off = np.linalg.norm(turned.xy_norm - here, axis=1)[HAS_LANDMARKS] * window.side_px / 2
    assert off.mean() < 0.02 * window.side_px / 2.5, f"{off.mean():.2f} px"


def test_no_face_no_confidence(shipped: LearnedDetector) -> None:
    for image in (data.coffee(), np.full((300, 300, 3), 127, np.uint8)):
        found = shipped(image, Crop(0.0, 0.0, 300.0))
        assert found.confidence.mean() < 0.35
