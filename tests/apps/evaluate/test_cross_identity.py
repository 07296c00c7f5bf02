"""Cross-identity evaluation: the pairs, figures without a truth, and a run on drawn clips."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from apps.evaluate.command import _tasks, evaluate
from apps.evaluate.job import EvaluateJob
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.evaluation import cross_identity
from hybridanim.evaluation.face_evaluator import FaceMeasurement
from hybridanim.types import Crop, HeadBox, Keypoints, Source
from tests import synthetic

ANGLES = (0.0, 0.0, 0.0)


def test_one_seed_draws_the_same_pairs_and_another_others():
    names = list("abcdefgh")
    first = cross_identity.draw_pairs(names, names, 12, 5)
    assert first == cross_identity.draw_pairs(names, names, 12, 5)
    assert first != cross_identity.draw_pairs(names, names, 12, 6)


def test_pairs_are_different_people_each_once_and_used_evenly():
    sources, drivers = list("abcdef"), list("defgh")
    pairs = cross_identity.draw_pairs(sources, drivers, 18, 0)
    assert len(set(pairs)) == 18 and all(s != d for s, d in pairs)
    for side, count in ((0, 6), (1, 5)):
        used = Counter(pair[side] for pair in pairs)
        assert len(used) == count and max(used.values()) - min(used.values()) <= 2


def test_all_pairs_are_drawn_where_there_are_fewer():
    pairs = cross_identity.draw_pairs("abc", "abc", 99, 0)
    assert sorted(pairs) == [(a, b) for a in "abc" for b in "abc" if a != b]
    assert cross_identity.draw_pairs("a", "a", 3, 0) == []


def seen(angles=ANGLES, eyes=0.3, mouth=0.1, shift=0.0):
    points = np.zeros((468, 2), np.float32) + shift
    return FaceMeasurement(points, points[:70], points[:5], angles, eyes, mouth)


def test_poses_are_compared_as_changes():
    # the source looks 20 degrees aside and turns 5 more; the driver turns 8 from the front
    found = cross_identity.compare_pose(
        seen((20.0, 0.0, 3.0)), seen((25.0, 0.0, 3.0)), seen(), seen((8.0, 0.0, -3.0))
    )
    assert found == pytest.approx({"pose_deg": 2, "yaw_deg": 3, "pitch_deg": 0, "roll_deg": 3})
    assert cross_identity.compare_pose(seen(), None, seen(), seen()) == {}


def test_the_background_is_far_from_the_person():
    size = 100
    subject = np.zeros((size, size), np.float32)
    subject[40:60, 40:60] = 1
    blank = np.zeros((size, size, 3), np.uint8)
    points = Keypoints(
        np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32)[None], np.ones(1, np.float32)
    )
    head = HeadBox((50.0, 50.0), 40.0)
    source = Source(blank, Crop(0.0, 0.0, 100.0), blank, points, head, subject, blank)
    mask = cross_identity.background(source)
    assert not mask[50, 27:73].any() and mask[50, :25].all() and mask[50, 75:].all()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    sources, drivers = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("drivers")
    picture = synthetic.photograph(160)
    io.write_picture(sources / "one.png", synthetic.photograph(200))
    io.write_picture(sources / "two.png", np.ascontiguousarray(picture[:, ::-1]))
    affines = synthetic.wandering_affines(8, 160, seed=3)
    with io.open_sink(drivers / "moving.mp4", Fraction(25), (160, 160)) as sink:
        for index, image in enumerate(synthetic.moved_picture(picture, affines).frames):
            sink.write(image, index / 25)
    return sources, drivers


def test_pictures_are_animated_by_other_clips(folders, tmp_path):
    sources, drivers = folders
    job = EvaluateJob(
        cross=True,
        sources=sources,
        drivers=drivers,
        methods=("copy", "classical+warp"),
        every=3,
        size=128,
        strip=tmp_path / "strip.png",
    )
    result = evaluate(job)
    assert result["kind"] == "cross-identity" and result["clips"] == 2 and result["frames"] == 6
    assert list(result["per_clip"]) == ["one < moving", "two < moving"]
    assert result["methods"]["copy"]["sharpness"] == 1
    assert 0.5 < result["methods"]["classical+warp"]["sharpness"] < 1.2
    assert io.read_picture(job.strip).shape[0] > 192


def test_a_driver_without_a_face_is_listed(folders, tmp_path):
    sources, _ = folders
    with io.open_sink(tmp_path / "wall.mp4", Fraction(25), (160, 160)) as sink:
        sink.write(synthetic.textured(160, 160), 0.0)
        sink.write(synthetic.textured(160, 160), 0.04)
    job = EvaluateJob(cross=True, sources=sources, drivers=tmp_path, methods=("copy", "warp"))
    result = evaluate(job)
    assert result["clips"] == 0 and all("expected a face" in line for line in result["skipped"])


def test_clips_of_one_folder_move_each_other(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    job = EvaluateJob(tmp_path, cross=True, pairs=7, seed=2)
    scratch = tmp_path / "scratch"
    tasks = _tasks(job, scratch)
    assert len(tasks) == 7 and all(task.source != task.driver for task in tasks)
    assert tasks == _tasks(job, scratch)
    other = EvaluateJob(tmp_path, cross=True, pairs=7, seed=3)
    assert tasks != _tasks(other, scratch)


def test_sources_need_cross(tmp_path):
    with pytest.raises(InputError, match="--cross"):
        EvaluateJob(tmp_path, sources=tmp_path)
