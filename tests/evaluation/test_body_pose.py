"""Joints by the process of the mesh, with a pose network that is made up; AKD and MKR of bodies."""

import os

import numpy as np
import pytest

from apps.evaluate.command import evaluate
from apps.evaluate.job import EvaluateJob
from hybridanim.evaluation import body_pose
from hybridanim.evaluation.attention_mesh import MeshError
from hybridanim.evaluation.body_pose import BodyEvaluator, BodyPose, compare, present
from tests import data_clips
from tests.evaluation import test_attention_mesh as mesh

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the environment is a POSIX one")
FAKE = '''
"""Stands for mediapipe: all joints at the brightest column; the last three unseen."""
from types import SimpleNamespace as Bag

class Pose:
    def __init__(self, static_image_mode, model_complexity, min_detection_confidence):
        assert static_image_mode and model_complexity == 1

    def process(self, image):
        if image.max() < 9:
            return Bag(pose_landmarks=None)
        x = (int(image[..., 0].max(0).argmax()) + 0.5) / image.shape[1]
        joints = [Bag(x=x, y=0.25, visibility=0.9 if i < 30 else 0.1) for i in range(33)]
        return Bag(pose_landmarks=Bag(landmark=joints))

    def close(self):
        pass
'''


@pytest.fixture
def environment(tmp_path):
    folder = mesh.make_environment(tmp_path / "environment")
    place = folder / "lib" / "mediapipe" / "python" / "solutions" / "pose.py"
    place.write_text(FAKE)
    return folder


def line(x, side=64):
    picture = np.full((side, side, 3), 20, np.uint8)
    picture[:, x] = 200
    return picture


def test_joints_come_from_the_process(environment):
    found = BodyEvaluator(environment).detect(line(17))
    assert found.shape == (33, 2) and np.isfinite(found[:30]).all()
    np.testing.assert_allclose(found[:30], [[17.5, 16.0]] * 30, atol=1e-4)
    assert np.isnan(found[30:]).all()
    nobody = BodyEvaluator(environment).detect(np.zeros((32, 32, 3), np.uint8))
    assert np.isnan(nobody).all()


def test_an_environment_without_a_pose_network(tmp_path):
    folder = mesh.make_environment(tmp_path / "environment")  # the face mesh alone
    with pytest.raises(MeshError, match="mediapipe"):
        BodyPose(folder).wait()
    with pytest.raises(MeshError, match="--install"):
        BodyEvaluator(tmp_path)


def test_akd_and_mkr_by_hand():
    nan = np.nan
    truth = np.array([[0, 0], [10, 10], [20, 20], [nan, nan]], np.float32)
    result = np.array([[1, 3], [nan, nan], [20, 22], [5, 5]], np.float32)
    found = compare(truth, result)
    assert found == {"body_mkr": pytest.approx(1 / 3), "body_akd_px": pytest.approx(6 / 4)}
    assert compare(truth, truth) == {"body_mkr": 0.0, "body_akd_px": 0.0}
    assert compare(truth, np.full_like(truth, nan)) == {"body_mkr": 1.0}
    assert compare(np.full_like(truth, nan), truth) == {}


def test_joints_outside_or_unseen_are_not_present():
    found = np.array([[5, 5, 0.9], [5, 5, 0.4], [-1, 5, 0.9], [5, 20, 0.9]], np.float32)
    assert np.isfinite(present(found, 20, 20)).all(1).tolist() == [True, False, False, False]


def test_bodies_of_a_protocol(environment, tmp_path):
    """``copy`` of a line that moves a pixel a frame: at 256 pixels the joints move 4, x alone."""
    (tmp_path / "data" / "test").mkdir(parents=True)
    frames = [line(20 + i) for i in range(4)]
    data_clips.write(tmp_path / "data" / "test" / "abc#000001#000005.mp4", frames)
    job = EvaluateJob(
        tmp_path / "data", protocol="taichi", methods=("copy",), mesh_environment=environment
    )
    result = evaluate(job)
    row = result["methods"]["copy"]
    assert row["body_mkr"] == 0 and "akd_px" not in row
    assert row["body_akd_px"] == pytest.approx(np.mean([4, 8, 12]) / 2, abs=1.1)
    without = evaluate(EvaluateJob(tmp_path / "data", protocol="taichi", methods=("copy",)))
    assert "body_akd_px" not in without["methods"]["copy"]
    assert any("no pose network" in text for text in without["not_measured"])
    assert body_pose.POSE_POINTS == 33
