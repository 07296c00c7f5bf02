"""Landmark aligner: contract, confidence, oracles (similarities, mirror, normal equations)."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from skimage import data

from hybridanim.errors import InputError
from hybridanim.face import aligner as alignment
from hybridanim.face.cascade import detect_faces
from hybridanim.face.landmarks import (
    GROUPS,
    MESH,
    MIRROR,
    POINTS,
    eye_centers,
    eye_opening,
    interocular,
    mouth_opening,
)
from hybridanim.geometry import apply_affine
from hybridanim.training.landmarks import mean as alignment_mean
from hybridanim.training.landmarks import solve as alignment_solve
from hybridanim.types import FaceBox

L = len(POINTS)
# read off an enlargement of the photograph by hand, x and y in pixels
ASTRONAUT = {
    "left_eye_outer": (195.0, 100.3),
    "left_eye_inner": (211.0, 103.6),
    "left_iris": (202.8, 101.2),
    "right_iris": (247.0, 103.4),
    "left_mouth_corner": (203.5, 140.0),
    "right_mouth_corner": (246.5, 140.0),
    "lower_lip": (225.0, 154.0),
    "nose_base": (224.0, 131.5),
    "chin": (224.5, 178.0),
}
ROWS = {
    "left_eye_outer": GROUPS["left_eye"][0],
    "left_eye_inner": GROUPS["left_eye"][4],
    "left_iris": GROUPS["left_iris"][0],
    "right_iris": GROUPS["right_iris"][0],
    "left_mouth_corner": GROUPS["outer_lips"][0],
    "right_mouth_corner": GROUPS["outer_lips"][6],
    "lower_lip": GROUPS["outer_lips"][9],
    "nose_base": GROUPS["nose"][5],
    "chin": GROUPS["jaw"][5],
}


@pytest.fixture(scope="module")
def aligner() -> alignment.Aligner:
    return alignment.load()


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)


@pytest.fixture(scope="module")
def astronaut(aligner, grey) -> alignment.Landmarks:
    return aligner.fit(grey, detect_faces(grey)[0])


def _error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth, axis=1).mean() / interocular(truth))


def test_tables_agree():
    assert len(set(POINTS)) == L == len(MESH) == len(MIRROR)
    assert sorted(i for rows in GROUPS.values() for i in rows) == list(range(L))
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(L))
    for row, other in enumerate(MIRROR):
        swapped = POINTS[row].replace("left", "?").replace("right", "left").replace("?", "right")
        if POINTS[row].startswith(("left", "right")):
            assert POINTS[other] == swapped


@pytest.mark.parametrize("shape", [alignment.MEAN_SHAPE, alignment.MEAN_SHAPE_3D])
def test_mean_shapes_are_symmetric_faces(shape):
    assert shape.dtype == np.float32 and len(shape) == L
    flipped = shape[MIRROR] * np.array([-1, 1, 1][: shape.shape[1]])
    np.testing.assert_allclose(shape, flipped, atol=2e-4)
    left, right = eye_centers(shape[:, :2])
    assert left[0] < 0 < right[0]
    assert shape[ROWS["nose_base"], 1] > left[1]
    assert shape[ROWS["chin"], 1] > shape[ROWS["lower_lip"], 1] > shape[ROWS["nose_base"], 1]


def test_depth_points_away_from_the_camera():
    z = alignment.MEAN_SHAPE_3D[:, 2]
    assert z[GROUPS["nose"][4]] == z.min()  # the tip is nearest
    assert z[[GROUPS["jaw"][0], GROUPS["jaw"][-1]]].min() > np.median(z)  # the ears are far


def test_fit_obeys_the_contract_and_leaves_the_picture_alone(aligner, grey):
    before = grey.copy()
    found = aligner.fit(grey, detect_faces(grey)[0])
    assert found.xy_px.shape == (L, 2) and found.xy_px.dtype == np.float32
    assert 0 <= found.confidence <= 1
    np.testing.assert_array_equal(grey, before)
    again = aligner.fit(grey, detect_faces(grey)[0])
    np.testing.assert_array_equal(found.xy_px, again.xy_px)


@pytest.mark.parametrize("wrong", [np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.float32)])
def test_wrong_picture_is_refused_with_advice(aligner, wrong):
    with pytest.raises(InputError, match=r"expected .* got .*; convert"):
        aligner.track(wrong, alignment.MEAN_SHAPE)


def test_damaged_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected .*found nothing"):
        alignment.load(tmp_path / "none.safetensors")
    whole = alignment.WEIGHTS.read_bytes()
    for content in (b"", b"text", whole[:9000], whole[:-1]):
        (tmp_path / "damaged.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"landmark weights: expected .* got"):
            alignment.load.__wrapped__(tmp_path / "damaged.safetensors")


def test_weights_are_small_and_the_ones_named_in_the_code():
    assert alignment.WEIGHTS.stat().st_size <= 6e6
    alignment.load()  # checks the hash


@pytest.mark.parametrize("name", ASTRONAUT)
def test_astronaut_lies_where_a_person_puts_the_points(astronaut, name):
    off = np.hypot(*(astronaut.xy_px[ROWS[name]] - ASTRONAUT[name]))
    assert off < (6 if name == "chin" else 5)  # the eyes are 45 px apart


def test_astronaut_smiles_with_open_eyes(astronaut):
    assert astronaut.confidence > 0.8
    assert mouth_opening(astronaut.xy_px) > 0.08
    assert (eye_opening(astronaut.xy_px) > 0.2).all()


def test_tracking_is_a_fixed_point_on_a_still_picture(aligner, grey, astronaut):
    xy = astronaut.xy_px
    for _ in range(40):
        xy = aligner.track(grey, xy).xy_px
    assert _error(xy, astronaut.xy_px) < 0.02  # no drift


@pytest.mark.parametrize(
    ("turn_deg", "scale", "limit"),
    [(0, 1.6, 0.03), (0, 0.7, 0.04), (15, 1.0, 0.035), (-30, 1.0, 0.05), (30, 1.3, 0.05)],
)
def test_known_similarity_moves_the_points_with_it(
    aligner, grey, astronaut, turn_deg, scale, limit
):
    matrix = cv2.getRotationMatrix2D((224, 120), -turn_deg, scale)
    matrix[:, 2] += 20
    picture = cv2.warpAffine(grey, matrix, (560, 512), flags=cv2.INTER_AREA)
    truth = apply_affine(matrix, astronaut.xy_px)
    face, roll_deg = alignment.box_from_landmarks(truth)
    assert roll_deg == pytest.approx(
        turn_deg + alignment.box_from_landmarks(astronaut.xy_px)[1], abs=0.1
    )
    assert _error(aligner.fit(picture, face).xy_px, truth) < limit
    start = alignment.box_shape(face, roll_deg)
    assert _error(aligner.track(picture, start).xy_px, truth) < limit + 0.02


def test_mirrored_picture_gives_mirrored_points(aligner, grey, astronaut):
    picture = np.ascontiguousarray(grey[:, ::-1])
    found = aligner.fit(picture, detect_faces(picture)[0]).xy_px[MIRROR]
    found[:, 0] = picture.shape[1] - 1 - found[:, 0]
    assert _error(found, astronaut.xy_px) < 0.03


def test_a_hand_before_the_face_lowers_the_confidence(aligner, grey, astronaut):
    covered = grey.copy()
    fingers = [(x, 60) for x in (185, 203, 221, 239)]
    for x, y in fingers:
        cv2.ellipse(covered, (x, y + 50), (8, 60), 5, 0, 360, 170, -1)
        cv2.ellipse(covered, (x, y + 50), (8, 60), 5, 0, 360, 120, 1)
    cv2.ellipse(covered, (215, 150), (42, 38), 0, 0, 360, 165, -1)
    covered = cv2.GaussianBlur(covered, (0, 0), 1)
    found = aligner.track(covered, astronaut.xy_px)
    assert found.confidence < min(0.5, astronaut.confidence - 0.3)


def _textures() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (480, 640), np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 8)
    return {
        "noise": noise,
        "soft noise": cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX),
        "flat": np.full((480, 640), 128, np.uint8),
        "brick": cv2.resize(data.brick(), (640, 480)),
        "grass": cv2.resize(data.grass(), (640, 480)),
        "coins": cv2.resize(data.coins(), (640, 480)),
    }


@pytest.mark.parametrize("name", _textures())
def test_no_confidence_where_no_face_is(aligner, name):
    picture = _textures()[name]
    for center in ((200, 200), (320, 260), (450, 220)):
        face = FaceBox(center[0] - 70, center[1] - 70, 140, 140)
        assert aligner.fit(picture, face).confidence < 0.5


def test_confidence_falls_beside_the_face(aligner, grey, astronaut):
    eyes = float(interocular(astronaut.xy_px))
    beside = aligner.track(grey, astronaut.xy_px + np.array([3.5 * eyes, eyes]))
    assert beside.confidence < 0.5


def test_box_from_landmarks_undoes_box_shape():
    face = FaceBox(40.0, 60.0, 120.0, 120.0)
    for roll_deg in (-35.0, 0.0, 20.0):
        found, turn = alignment.box_from_landmarks(alignment.box_shape(face, roll_deg))
        assert turn == pytest.approx(roll_deg, abs=1e-3)
        assert found.center_xy_px == pytest.approx(face.center_xy_px, abs=1e-3)
        assert found.width_px == pytest.approx(face.width_px, rel=1e-4)


def test_ridge_agrees_with_stacked_least_squares():
    random = np.random.default_rng(0)
    features = np.column_stack([random.normal(size=(300, 12)), np.ones(300)])
    targets = random.normal(size=(300, 4))
    strength = 0.1
    found = alignment_solve.ridge(features, targets, strength)
    # the same optimum as ordinary least squares with one extra row per shrunk weight
    root = np.sqrt(strength * (features[:, :-1] ** 2).sum() / 12)
    extra = root * np.eye(12, 13)
    oracle, *_ = np.linalg.lstsq(
        np.vstack([features, extra]), np.vstack([targets, np.zeros((12, 4))]), rcond=None
    )
    np.testing.assert_allclose(found, oracle, atol=1e-8)


def test_components_find_the_planted_direction():
    random = np.random.default_rng(0)
    direction = np.array([3.0, 4.0, 0.0]) / 5
    found = random.normal(size=(500, 1, 1)) * direction + 0.01 * random.normal(size=(500, 2, 3))
    mean, basis = alignment_solve.components(found + 7, 1)
    np.testing.assert_allclose(mean, 7, atol=0.2)
    np.testing.assert_allclose(np.abs(basis[:, :, 0] @ direction), 1, atol=1e-3)


def test_reduced_rank_keeps_what_is_predicted():
    random = np.random.default_rng(1)
    features = np.column_stack([random.normal(size=(90, 10)), np.ones(90)])
    weights = random.normal(size=(11, 2)) @ random.normal(size=(2, 6))  # two ways to move
    halves = alignment_solve.reduce_rank(weights, features @ weights, 2)
    np.testing.assert_allclose(halves[0] @ halves[1], weights, atol=1e-4)
    assert halves[0].shape == (11, 2) and halves[1].shape == (2, 6)


def test_judge_gives_calibrated_odds():
    random = np.random.default_rng(2)
    good = random.random(4000) < 0.5
    seen = random.normal(size=(4000, 3))
    seen[:, 0] += np.where(good, 1.0, -1.0)
    features = np.column_stack([seen, np.ones(4000)]).astype(np.float32)
    judge = alignment_solve.fit_judge(features, good, np.arange(4000) % 2 == 0)
    # the log odds of two unit normals at +1 and -1 are 2 x
    np.testing.assert_allclose(judge, [2, 0, 0, 0], atol=0.25)


def test_mean_shape_undoes_similarities():
    random = np.random.default_rng(3)
    shapes = []
    for _ in range(30):
        turn = random.normal(0, 0.2)
        a, b = np.cos(turn), np.sin(turn)
        shapes.append(alignment.MEAN_SHAPE @ np.array([[a, b], [-b, a]]))
    found = alignment_mean.mean_shape(shapes)
    shift = found.mean(0) - alignment.MEAN_SHAPE.mean(0)  # only the box's place is averaged
    np.testing.assert_allclose(found - shift, alignment.MEAN_SHAPE, atol=0.01)


def test_shrinking_a_large_picture_keeps_the_place(aligner, grey, astronaut):
    errors = []
    for scale in (1.0, 2.0, 4.0):
        large = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        truth = (astronaut.xy_px + 0.5) * scale - 0.5
        errors.append(_error(aligner.track(large, truth).xy_px, truth))
    assert max(errors) < 0.03
    assert all(abs(a - b) < 0.02 for a, b in pairwise(errors))
