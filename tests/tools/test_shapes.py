"""The drawn creatures, and the command that learns them."""

from pathlib import Path

import av
import numpy as np
import pytest
import tyro

from benchmarks import ablations
from hybridanim.training.job import TrainJob
from tools import make_shapes, train_shapes


def frames(seed: int, count: int = 3) -> np.ndarray:
    return np.array(list(make_shapes.clip_frames(seed, 0, count=count, size=64)))


def test_one_number_one_creature() -> None:
    first = frames(3)
    assert first.shape == (3, 64, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, frames(3))
    assert np.abs(first.astype(int) - frames(4)).mean() > 10


def test_it_moves_before_a_background_that_stands() -> None:
    creature = make_shapes.make_creature(5, 64)
    images = frames(5, 30).astype(int)
    changed = np.abs(images - images[0]).max((0, 3)) > 8
    assert 0.1 < changed.mean() < 0.9
    corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    background = creature.background[::4, ::4].astype(int)
    for row, column in corners:
        assert np.ptp(images[:, row, column], axis=0).max() == 0
        assert np.abs(images[0, row, column] - background[row, column]).max() < 40


def test_limbs_pass_before_and_behind_the_body() -> None:
    """A limb laid across the middle is seen when it is before the body, hidden when behind."""
    creature = make_shapes.make_creature(0, 128)
    still = {"body": np.zeros(5), "limbs": np.zeros((4, 3))}
    middle = make_shapes.draw(creature, still)[66, 64]
    seen = {}
    for i, limb in enumerate(creature.limbs):
        if abs(limb.rest_deg) < 30:  # a leg
            continue
        across = {"body": np.zeros(5), "limbs": np.zeros((4, 3))}
        inward = -np.sign(limb.joint[0]) * 35
        across["limbs"][i, 0] = inward - limb.rest_deg
        changed = np.abs(make_shapes.draw(creature, across)[56:80, 58:70].astype(int) - middle)
        plain = np.abs(make_shapes.draw(creature, still)[56:80, 58:70].astype(int) - middle)
        seen[limb.is_before] = np.abs(changed - plain).max()
    assert seen[True] > 30 and seen[False] == 0


def test_both_sets_are_written_and_share_no_creature(tmp_path: Path) -> None:
    make_shapes.make(tmp_path, clips=1, unseen=1, count=2, size=64)
    names = {part: [p.name for p in (tmp_path / part).iterdir()] for part in ("clips", "unseen")}
    assert not set(names["clips"]) & set(names["unseen"])
    path = tmp_path / "clips" / names["clips"][0]
    with av.open(str(path)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(images) == 2
    assert np.abs(images[0].astype(int) - frames(0)[0]).mean() < 6  # colours are halved in a video


def test_a_size_that_does_not_fit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_shapes.main(["/nowhere", "--size", "100"])
    assert "multiple of 32" in capsys.readouterr().err


def test_the_training_s_words_are_understood(tmp_path: Path) -> None:
    words = train_shapes.words(tmp_path / "s", tmp_path / "r", "15m", ["--steps", "5"])
    assert words[0] == "train"
    job = tyro.cli(TrainJob, args=words[1:])
    assert (job.kind, job.size, job.time_budget, job.steps) == ("object", 128, "15m", 5)
    assert job.validation == tmp_path / "s" / "unseen"


def test_every_ablation_leaves_out_one_thing(tmp_path: Path) -> None:
    budget = ablations.Budget(2, 2, 64)
    for changes, maker in (
        (ablations.FACES, ablations.face_config),
        (ablations.SHAPES, ablations.shape_config),
    ):
        whole = maker(tmp_path, tmp_path, budget)
        others = [change(whole) for change in changes.values()]
        assert others[0] == whole
        assert len({repr(config) for config in others}) == len(others)
        for config in others:
            assert (config.steps, config.phases, config.seed) == (2, whole.phases, whole.seed)


def test_the_table_has_every_run_and_the_baselines() -> None:
    row = {
        f"reconstruction_64_learned_{method}_{metric}": 0.1
        for method in ("copy", "warp", "net")
        for metric in ("l1", "psnr", "ssim")
    }
    text = ablations.table({"runs": {"shapes_all": row, "shapes_no_jacobians": row}})
    for name in ("shapes_all: copy", "shapes_all: warp", "| shapes_all |", "shapes_no_jacobians"):
        assert name in text
