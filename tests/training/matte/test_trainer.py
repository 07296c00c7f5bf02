"""Training of the matting network: it learns, resumes and exports; its figures."""

import cv2
import numpy as np
import pytest

from hybridanim.networks import matte_file
from hybridanim.networks.matte import MatteSizes
from hybridanim.training.matte import samples, validation
from hybridanim.training.matte.trainer import MatteConfig, MatteTrainer
from tests.training.matte.test_samples import people

SIZES = MatteSizes(window_px=32, channels=(8, 8), last=4)


@pytest.fixture(scope="module")
def data():
    return people(8)


def config(out, **more):
    settings = {"batch": 4, "time_budget_s": 0.0, "warmup_steps": 2, "steps": 4, "first_px": 16}
    return MatteConfig(out=out, checkpoint_s=0.0, **{**settings, **more})


def test_the_person_is_learned_and_the_network_exported(tmp_path, data, monkeypatch):
    monkeypatch.setattr(samples, "_looking", lambda window, rng: window)
    monkeypatch.setattr(samples, "_MOVED", 0.0)
    monkeypatch.setattr(samples, "_DOLLS", 0.0)
    settings = config(tmp_path, steps=60, learning_rate=1e-2, ema=0.9, first_px=32)
    run = MatteTrainer(settings, data, data, sizes=SIZES)
    run.run()
    assert run.validate()["iou_percent"] > 85
    found = matte_file.read(run.export())
    assert found.sizes == SIZES


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path, data):
    whole = MatteTrainer(config(tmp_path / "whole"), data, data, sizes=SIZES)
    whole.run()
    first = MatteTrainer(config(tmp_path / "parts"), data, data, sizes=SIZES)
    for step in range(2):
        first._learn(first._prepare(step))
    first.save()
    second = MatteTrainer(config(tmp_path / "parts"), data, data, sizes=SIZES)
    assert second.step == 2
    second.run()
    one, two = (dict(run.average.named_parameters()) for run in (whole, second))
    for name, value in one.items():
        np.testing.assert_allclose(value.numpy(), two[name].numpy(), atol=1e-6)


def test_windows_grow_in_the_second_part_of_the_run(tmp_path, data):
    run = MatteTrainer(config(tmp_path, steps=10, first_share=0.5), data, data, sizes=SIZES)
    assert run._prepare(0).windows.shape[-1] == 16 and run._prepare(9).windows.shape[-1] == 32


def test_a_run_starts_from_weights(tmp_path, data):
    first = MatteTrainer(config(tmp_path / "a", steps=1), data, data, sizes=SIZES)
    second = MatteTrainer(config(tmp_path / "b", start_from=first.export()), data, data)
    wanted = matte_file.read(tmp_path / "a" / "matte.safetensors").state_dict()
    for name, value in second.net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), wanted[name].numpy())


def test_overlap_and_edge_of_discs():
    y, x = np.mgrid[:64, :64]
    known = np.ones((64, 64), np.float32)
    disc = (np.hypot(x - 32, y - 32) < 20).astype(np.float32)
    moved = (np.hypot(x - 38, y - 32) < 20).astype(np.float32)
    assert validation.overlap(disc, disc, known) == 1
    assert validation.edge_score(disc, disc, known) == 1
    wanted = ((disc > 0) & (moved > 0)).sum() / ((disc > 0) | (moved > 0)).sum()
    assert validation.overlap(moved, disc, known) == pytest.approx(wanted)
    assert validation.edge_score(moved, disc, known) < 0.7
    near = cv2.erode(disc, np.ones((3, 3), np.uint8))
    assert validation.edge_score(near, disc, known) == 1  # within the tolerance
    known[:, :31] = 0  # half of it alone counts
    half = disc.copy()
    half[:, :31] = 0
    assert validation.overlap(half, disc, known) == 1
