"""Training of a landmark network: it learns, goes on where it was stopped, exports."""

import numpy as np
import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.networks import face_points_file
from hybridanim.runtime.face_points import WEIGHTS
from hybridanim.training.face_points import samples, trainer
from hybridanim.training.face_points.samples import Footage
from hybridanim.training.face_points.trainer import PointsConfig, PointsTrainer
from tests.training.face_points.test_samples import marked, pose_of

MODEL = face_model.load()


@pytest.fixture(scope="module")
def data():
    """Faces as spots on some of their points, at several poses."""
    rng = np.random.default_rng(0)
    greys, points = [], []
    for _ in range(12):
        pose = pose_of(rng.uniform(-20, 20), rng.uniform(-10, 10), rng.uniform(115, 140, 2))
        mesh = pose.project(MODEL.mean)
        greys.append(np.max([marked(mesh, row) for row in (33, 133, 159, 145, 61, 291, 13, 14)], 0))
        points.append(mesh)
    stacked = np.array(points, np.float32)
    clips = np.repeat([0, 1], 6)
    return Footage(greys, stacked, samples.poses_of(stacked, MODEL), clips, np.ones(12) / 12)


def config(out, **more):
    settings = {"kind": "eye", "batch": 8, "time_budget_s": 0.0, "warmup_steps": 2, "steps": 6}
    return PointsConfig(out=out, checkpoint_s=0.0, **{**settings, **more})


def test_the_loss_falls_and_the_network_is_exported(tmp_path, data, monkeypatch):
    monkeypatch.setattr(trainer, "_SHAPE_SAMPLES", 200)
    lines = []
    run = PointsTrainer(config(tmp_path, steps=400), data, data, MODEL, lines.append)
    before = run.validate()["error_percent"]
    run.run()
    assert run.validate()["error_percent"] < 0.8 * before
    found = face_points_file.read(run.export())
    assert list(found) == ["eye"]


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path, data, monkeypatch):
    monkeypatch.setattr(trainer, "_SHAPE_SAMPLES", 100)
    whole = PointsTrainer(config(tmp_path / "whole"), data, data, MODEL)
    whole.run()
    first = PointsTrainer(config(tmp_path / "parts"), data, data, MODEL)
    for step in range(3):
        first._learn(first._prepare(step))
    first.save()
    second = PointsTrainer(config(tmp_path / "parts"), data, data, MODEL)
    assert second.step == 3
    second.run()
    one, two = (dict(run.average.named_parameters()) for run in (whole, second))
    for name, value in one.items():
        np.testing.assert_allclose(value.numpy(), two[name].numpy(), atol=1e-6)


def test_a_run_starts_from_weights_that_exist(tmp_path, data):
    packaged = config(tmp_path / "more", steps=1, start_from=WEIGHTS)
    run = PointsTrainer(packaged, data, data, MODEL)
    found = face_points_file.read(WEIGHTS)["eye"].state_dict()
    for name, value in run.net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), found[name].numpy())
    only_eyes = tmp_path / "eyes.safetensors"
    face_points_file.write({"eye": face_points_file.read(WEIGHTS)["eye"]}, only_eyes)
    with pytest.raises(InputError, match="mouth"):
        PointsTrainer(config(tmp_path, kind="mouth", start_from=only_eyes), data, data, MODEL)


def test_a_constant_error_is_no_change():
    errors = torch.tensor([[0.1, 0.0], [0.1, 0.0], [0.0, 0.2], [0.3, 0.2], [9.0, 9.0]])
    found = trainer._change(errors)  # the last row has no partner
    np.testing.assert_allclose(found.numpy(), [[0, 0], [0.3, 0]], atol=1e-6)


def test_the_gain_is_the_slope_of_the_changes():
    true = torch.tensor(np.random.default_rng(0).normal(0, 0.1, (50, 2)), dtype=torch.float32)
    found = trainer._gain(true * torch.tensor([0.7, 1.2]), true)
    np.testing.assert_allclose(found.numpy(), [0.7, 1.2], atol=1e-5)
    assert trainer._gain(true, 0 * true).tolist() == [1, 1]
