"""Training of imagined motion: data, resuming, the file that it writes; refusals of its command."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="trains networks")

import torch

from calibration import imagined_motion as command
from hybridanim.motion import (
    imagined_features,
    imagined_motion,
    imagined_network,
    motion_track,
)
from hybridanim.motion.imagined_motion import ImaginedMotion, Wish
from hybridanim.motion.moods import MOODS
from hybridanim.motion.motion_file import MotionWriter
from hybridanim.networks import imagined_motion_file
from hybridanim.networks.imagined_motion import State, bounded
from hybridanim.training.imagined import samples
from hybridanim.training.imagined.trainer import ImagineConfig, ImagineTrainer


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """A folder of motion files of all moods."""
    folder = tmp_path_factory.mktemp("motions")
    for number, mood in enumerate(MOODS):
        motion = ImaginedMotion(Wish(mood, number))
        writer = MotionWriter(folder / f"{mood}.safetensors", motion.expression)
        writer.begin(motion.stretches[0].first, None)
        for row in motion.rows(end_s=5.0):
            writer.add(row.time_s, row.seen)
        writer.close(motion.header)
    return folder


@pytest.fixture(scope="module")
def corpus(motions):
    tables = imagined_network.load().tables
    return samples.gather(samples.read(motions, lambda line: None), tables), tables


def trained(folder, corpus, steps):
    config = ImagineConfig(
        out=folder, steps=steps, time_budget_s=0, batch=4, adversary_from=0.3, warmup_steps=1
    )
    trainer = ImagineTrainer(config, corpus[0], corpus[0], corpus[1])
    trainer.run()
    return trainer


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path, corpus):
    whole = trained(tmp_path / "whole", corpus, 6)
    config = ImagineConfig(
        out=tmp_path / "parts",
        steps=6,
        time_budget_s=0,
        batch=4,
        adversary_from=0.3,
        warmup_steps=1,
    )
    part = ImagineTrainer(config, corpus[0], corpus[0], corpus[1])
    while part.step < 3:  # stops after three steps, as a limit of time would
        part._learn(part._prepare(part.step))
    part.save()
    part = ImagineTrainer(config, corpus[0], corpus[0], corpus[1])
    assert part.step == 3
    part.run()
    for one, other in zip(whole.net.parameters(), part.net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_it_writes_can_imagine(tmp_path, corpus):
    path = trained(tmp_path, corpus, 2).export()
    small = imagined_network.load(path)
    rows = [
        row
        for row, _ in zip(imagined_motion.values(Wish(), network=small), range(30), strict=False)
    ]
    assert np.isfinite(np.stack([values for values, _ in rows])).all()
    assert small.tables.moods.keys() == set(MOODS)


def test_batches_are_balanced_and_follow_each_other(corpus):
    rng = np.random.default_rng(0)
    batch = samples.batch(corpus[0], 60, 40, rng)
    assert batch.rows.shape == (60, 40, 25) and batch.conditions.shape == (60, 12)
    joint = np.abs(batch.rows[:, 0] - batch.first).mean()
    inside = np.abs(np.diff(batch.rows, axis=1)).mean()
    assert joint == pytest.approx(inside, rel=0.5)
    names = corpus[0].names
    assert len(set(names)) >= 3


def test_features_are_undone(corpus):
    values = corpus[0].tracks[0].values
    again = imagined_features.decoded(corpus[0].features[0], corpus[1])
    np.testing.assert_allclose(again[:, :9], values[:, :9], atol=2e-3)
    assert again.shape == (len(values), motion_track.WIDTH)
    whole = imagined_features.encoded(again, corpus[1])
    np.testing.assert_allclose(whole, corpus[0].features[0], atol=2e-2)  # a basis in half precision


def test_values_are_bounded_softly():
    limits = torch.tensor([1.0, 2.0])
    given = torch.tensor([[0.5, -1.0], [50.0, -50.0]])
    found = bounded(given, limits)
    assert torch.equal(found[0], given[0])
    assert (found.abs() <= limits).all()


def test_pieces_blend_the_last_ones_tail(corpus):
    net, _ = imagined_motion_file.read(imagined_network.WEIGHTS)
    given, first = torch.zeros(1, 12), torch.zeros(1, 25)
    state = net.begin(first, given)
    moved = State(state.hidden, state.last, state.tail + 1.0)
    noise = torch.zeros(1, 12)
    with torch.no_grad():
        shift = net(moved, given, noise, None).rows - net(state, given, noise, None).rows
    assert shift[0, 0].mean() > shift[0, 1].mean()  # 2/3 and 1/3 of the tail, and the network's own


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--minutes", "0"], "--minutes, --threads: expected a time above 0"),
        (["--seed", "-1"], "--seed, --steps: expected"),
        (["--validation", "none"], "none: expected a folder of motion files"),
    ],
)
def test_the_command_refuses(motions, tmp_path, capsys, more, message):
    given = ["--data", str(motions), "--validation", str(motions), "--out", str(tmp_path / "o")]
    assert command.main([*given, *more]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_folder_is_refused(tmp_path, capsys):
    (tmp_path / "e").mkdir()
    given = ["--data", str(tmp_path / "e"), "--validation", str(tmp_path / "e")]
    assert command.main([*given, "--out", str(tmp_path / "o")]) == 2
    assert "expected motion files with fitted faces" in capsys.readouterr().err
