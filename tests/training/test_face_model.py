"""Learning a face model of clips that a known model has made."""

import numpy as np
import pytest

from calibration import face_model as command
from hybridanim.errors import InputError
from hybridanim.face import face_model, head_pose, mesh
from hybridanim.training import face_model as learning
from hybridanim.training.face_model import Clip
from hybridanim.types import HeadPose

TRUE = face_model.load()


def clips(people=14, frames=40):
    rng = np.random.default_rng(0)
    out = []
    for person in range(people):
        who = rng.standard_normal(len(TRUE.identity))
        points = []
        for i in range(frames):
            wave = 0.5 - 0.5 * np.cos(i / 3)
            shape = TRUE.along(jaw_open=0.1 * wave, left_lid_open=-0.2 * (i % 8 == 0),
                               right_lid_open=-0.2 * (i % 8 == 0))  # fmt: skip
            angles = rng.uniform(-12, 12), rng.uniform(-6, 6), rng.uniform(-8, 8)
            pose = HeadPose(head_pose.rotation_matrix(angles), 90.0, rng.uniform(100, 150, 2))
            points.append(pose.project(TRUE.vertices(who, shape)))
        out.append(Clip(f"person {person}", np.array(points, np.float32)))
    return out


@pytest.fixture(scope="module")
def learned():
    return learning.learn(clips(), identities=8, expressions=6, every=1)


def test_the_mean_is_found_again(learned):
    scale = np.linalg.norm(TRUE.mean[33] - TRUE.mean[263])
    apart = np.linalg.norm(learned.mean - TRUE.mean, axis=1)
    assert np.median(apart) < 0.08 * scale  # the mean of few people
    np.testing.assert_allclose(learned.mean[learned.mirror] * [-1, 1, 1], learned.mean, atol=1e-3)
    assert (learned.mirror == TRUE.mirror).mean() > 0.97


def test_expressions_are_spanned(learned):
    change = TRUE.vertices(None, TRUE.along(jaw_open=0.08)) - TRUE.mean
    flat = learned.expression.reshape(len(learned.expression), -1)
    rest = change.ravel() - flat.T @ np.linalg.lstsq(flat.T, change.ravel(), rcond=None)[0]
    assert np.linalg.norm(rest) < 0.35 * np.linalg.norm(change)


def test_rows_without_a_face_are_left_out():
    some = clips(12, 30)
    some[0].points[5] = np.nan
    assert np.isfinite(learning.learn(some, 8, 6, every=1).mean).all()


def test_too_few_people_are_refused():
    with pytest.raises(InputError, match="at least 30 people"):
        learning.learn(clips(3, 10))


def test_the_command_writes_a_model_and_replaces_nothing(tmp_path, capsys):
    labels, output = tmp_path / "labels", tmp_path / "model.safetensors"
    labels.mkdir()
    for one in clips(10, 30):
        np.save(labels / f"{one.who}.npy", one.points)
    given = ["--labels", str(labels), "--output", str(output),
             "--identities", "5", "--expressions", "4"]  # fmt: skip
    assert command.main(given) == 0
    assert face_model.load(output).identity.shape == (5, mesh.COUNT, 3)
    before = output.read_bytes()
    assert command.main(given) == 2
    assert output.read_bytes() == before
    np.save(labels / "bad.npy", np.zeros((3, 3)))
    assert command.main([*given, "--overwrite"]) == 2
    assert "bad.npy" in capsys.readouterr().err
