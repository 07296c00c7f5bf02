"""What a result does of its driver's motion: meshes that were moved by known amounts."""

import numpy as np
import pytest

from hybridanim.evaluation import judge
from hybridanim.evaluation.face_evaluator import attention_layout, measure_attention
from hybridanim.evaluation.judge import PairRecord, face_sharpness, figures
from hybridanim.evaluation.scores import Score, pooled
from hybridanim.face.landmarks import GROUPS
from hybridanim.face.mesh_network import LIDS, Mesh, points_from_mesh
from tests import synthetic
from tests.evaluation.test_mesh_signals import drawn, turned

RNG = np.random.default_rng(11)
N = 50
TIME = np.arange(N)


def acted(mouth=0.08, eyes=0.1, width=0.1, yaw=0.0, pitch=0.0, scale=1.0):
    """(N, 478, 3) of one person: openings and angles swing by these amounts."""
    base = RNG.normal(0, 40, (478, 3))
    found = []
    for t in TIME:
        mesh = drawn(
            0.1 + mouth * np.sin(t), 0.3 + eyes * np.sin(0.7 * t), 0.6 + width * np.sin(1.3 * t)
        )
        # openings are measured in the picture plane: the drawn ones are those of a face from ahead
        fixed = [10, 152, 13, 14, 33, 133, 159, 145, 263, 362, 386, 374, 61, 291]
        base[fixed] = mesh[fixed]
        found.append(turned(base, yaw * np.sin(0.2 * t), pitch * np.sin(0.3 * t), scale=scale))
    return np.array(found)


def test_a_result_that_does_the_same_follows_fully():
    driver = acted()
    found = figures(driver, 1.7 * driver + 30)
    for name in ("mouth", "eyes", "width"):
        assert found[f"{name}_correlation"] == pytest.approx(1)
        assert found[f"{name}_gain"] == pytest.approx(1)
    assert found["pose_deg"] == pytest.approx(0, abs=1e-6) and found["jitter"] == pytest.approx(1)
    assert "yaw_gain" not in found  # the driver does not turn


def test_another_face_that_does_half_has_half_the_gain():
    found = figures(acted(0.08, 0.1, 0.1), acted(0.04, 0.05, 0.05, scale=0.6))
    for name in ("mouth", "eyes", "width"):
        assert found[f"{name}_gain"] == pytest.approx(0.5), name
        assert found[f"{name}_correlation"] == pytest.approx(1)


def test_what_the_driver_does_not_do_is_not_measured():
    found = figures(acted(mouth=0.01, eyes=0.1, width=0.0), acted())
    assert "mouth_gain" not in found and "width_gain" not in found and "eyes_gain" in found


def test_turns_are_compared_as_changes():
    driver, result = acted(0, 0, 0, yaw=20), acted(0, 0, 0, yaw=10)
    found = figures(driver, np.array([turned(m, roll=15) for m in result]))
    # angles are about the camera's axes: the axis of a head that leans is not the vertical one
    assert found["yaw_gain"] == pytest.approx(0.5 * np.cos(np.radians(15)), abs=0.003)
    whole = 20 * np.sin(0.2 * TIME)
    plain = figures(driver, result)
    assert plain["pose_deg"] == pytest.approx(np.abs(whole / 2).mean() / 3, rel=1e-6)


def test_a_shuffled_result_follows_nothing():
    many = np.concatenate([acted() for _ in range(8)])
    found = figures(many, many[RNG.permutation(len(many))])
    for name in ("mouth", "eyes", "width"):
        assert abs(found[f"{name}_correlation"]) < 0.2 and abs(found[f"{name}_gain"]) < 0.2
    assert found["jitter"] > 1.2


def test_jitter_is_numpys_second_difference_over_the_height_of_the_face():
    driver = acted()
    result = 2 * driver + RNG.normal(0, 1, driver.shape)
    sizes = [np.linalg.norm(m[:, 10] - m[:, 152], axis=-1).mean() for m in (driver, result)]
    shakes = [np.abs(m[:-2] - 2 * m[1:-1] + m[2:])[:, :468, :2].mean() for m in (driver, result)]
    expected = shakes[1] / sizes[1] / (shakes[0] / sizes[0])
    assert figures(driver, result)["jitter"] == pytest.approx(expected)


def test_frames_without_a_face_are_left_out():
    driver = acted(yaw=20)
    result, kept = driver.copy(), np.ones(N, bool)
    driver[0] = np.nan  # the first frame with both is frame 1
    result[20:25] = np.nan
    kept[[0, *range(20, 25)]] = False
    found = figures(driver, result)
    assert found["pose_deg"] == pytest.approx(0, abs=1e-6)
    assert found["yaw_gain"] == found["mouth_gain"] == pytest.approx(1)
    assert figures(driver, np.full_like(driver, np.nan)) == {}
    assert figures(driver[:1], driver[:1]) == {}


def test_a_record_fills_the_gaps_between_measured_frames():
    driver = acted().astype(np.float32)
    record = PairRecord(source_sharpness=50.0, csim=[0.4, 0.6], sharpness=[10.0, 20.0, 90.0])
    rows = [i for i in range(N) if i % 3]
    for index in rows:
        record.add(index, driver[index], None if index == 7 else driver[index])
    found = record.figures()
    assert found["miss"] == pytest.approx(1 / len(rows))
    assert found["csim"] == pytest.approx(0.5) and found["face_sharpness"] == pytest.approx(0.4)
    assert found["mouth_gain"] == pytest.approx(1)
    assert "jitter" not in found  # no three frames follow each other
    faceless = PairRecord()
    faceless.add(0, None, driver[0])
    assert faceless.figures() == {}


def test_pairs_count_the_same_whatever_their_length():
    scores = [Score(judged={"mouth_gain": 1.0, "miss": 0.0}), Score(judged={"miss": 0.5})]
    found = pooled([score.finished() for score in scores])
    assert found["mouth_gain"] == 1 and found["miss"] == 0.25


def test_sharpness_is_that_of_the_face_alone():
    image = synthetic.textured(200, 200)
    points = np.array([[60.0, 50.0], [140.0, 150.0]])
    around = image.copy()
    around[:40], around[160:], around[:, :50], around[:, 150:] = 0, 0, 0, 0
    assert face_sharpness(around, points) == pytest.approx(face_sharpness(image, points))
    soft = judge.cv2.GaussianBlur(image, (0, 0), 2)
    assert face_sharpness(soft, points) < 0.5 * face_sharpness(image, points)
    assert np.isnan(face_sharpness(image, points + 300))
    assert face_sharpness(image, points - 100) > 0  # half of it is in the picture


def test_the_plain_mesh_is_laid_out_as_the_attention_mesh():
    xyz = RNG.uniform(0, 100, (468, 3)).astype(np.float32)
    lids = RNG.uniform(0, 100, (2, 16, 2)).astype(np.float32)
    iris = RNG.uniform(0, 100, (2, 5, 2)).astype(np.float32)
    found = attention_layout(Mesh(xyz, lids, iris, 1.0))
    assert found.shape == (478, 3) and found.dtype == np.float32
    moved = sorted({*LIDS[0], *LIDS[1]})
    others = [i for i in range(468) if i not in moved]
    np.testing.assert_array_equal(found[others], xyz[others])
    np.testing.assert_array_equal(found[list(LIDS[1]), :2], lids[1])
    np.testing.assert_array_equal(found[[468, 473], :2], iris[:, 0])
    image = np.zeros((100, 100, 3), np.uint8)
    edge = found + np.array([0.5, 0.5, 0], np.float32)
    seen = measure_attention(edge, image)
    expected = points_from_mesh(xyz, lids, iris)
    np.testing.assert_allclose(seen.landmarks_xy_px, expected, atol=1e-4)
    assert seen.mesh_xyz_px is not None and len(GROUPS) and seen.mesh_xyz_px.shape == (478, 3)
