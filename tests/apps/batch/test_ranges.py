"""Long clips in ranges: where they are cut, who renders what, and that no seam is left."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from apps.batch import stretch
from apps.batch.plan import Planned
from apps.batch.ranges import Cut, Cutting, Stretch, cut_of, stretches
from apps.batch.work import Message, Task, perform
from apps.render import render
from apps.terminal import example_source
from hybridanim import io
from hybridanim.config import RenderJob
from hybridanim.config import pipeline_config as pipeline
from hybridanim.errors import InputError

SMALL = pipeline({"size": 64, "threads": 1, "avatar": "off"})


def test_frames_belong_to_the_range_that_their_time_is_in():
    cut = Cut((1.0, 2.0))
    assert cut.count == 3
    assert [cut.index(t) for t in (0.0, 0.999, 1.0, 1.0 - 1e-9, 1.5, 2.0, 9.0)] == [
        *(0, 0, 1, 1, 1, 2, 2)
    ]
    assert [cut.start_s(n) for n in range(3)] == [None, 1.0, 2.0]


def test_ranges_that_are_done_are_not_rendered_again():
    cut = Cut((1.0, 2.0, 3.0))
    assert stretches(cut, (), Cutting()) == [Stretch((0, 1, 2, 3), None)]
    assert stretches(cut, (0, 2), Cutting()) == [Stretch((1, 3), None)]
    assert stretches(cut, (), Cutting(spread=2)) == [Stretch((0, 1), None), Stretch((2, 3), None)]
    assert stretches(cut, (1,), Cutting(warm_up_s=5)) == [Stretch((n,), 5) for n in (0, 2, 3)]
    assert stretches(cut, range(4), Cutting()) == []


def test_only_long_clips_are_cut(long_clip, tmp_path):
    job = RenderJob(output=tmp_path / "o.mp4")
    assert cut_of(job, long_clip, Cutting()) == (None, "")  # 4 s
    assert cut_of(job, long_clip, Cutting(1.0)) == (Cut((1.0, 2.0, 3.0)), "")
    assert cut_of(replace(job, start=1.0), long_clip, Cutting(1.0)) == (Cut((2.0, 3.0)), "")
    assert cut_of(replace(job, end=2.4), long_clip, Cutting(1.0)) == (Cut((1.0,)), "")
    assert cut_of(job, long_clip, Cutting(3.0)) == (None, "")  # a second range of 1 s
    assert cut_of(job, long_clip, Cutting(0)) == (None, "")
    cut, note = cut_of(replace(job, output=tmp_path / "o.gif"), long_clip, Cutting(1.0))
    assert cut is None and "joined without encoding anew" in note
    cut, note = cut_of(replace(job, debug=tmp_path / "seen"), long_clip, Cutting(1.0))
    assert cut is None and "--debug" in note


@pytest.mark.parametrize(
    ("options", "word"),
    [({"segment_s": 0.5}, "segment-s"), ({"warm_up_s": -1}, "warm-up"), ({"spread": 0}, "spread")],
)
def test_lengths_have_limits(options, word):
    with pytest.raises(InputError, match=word):
        Cutting(**options)


def done(task: Task) -> list[Message]:
    """All messages of a task, which must not fail."""
    told: list[Message] = []
    last = perform(task, 1.0, told.append)
    assert last.kind == "done", last.text
    return [*told, last]


def pictures(folder: Path) -> list[np.ndarray]:
    return [io.read_picture(path) for path in sorted(folder.glob("frame_*.png"))]


@pytest.fixture(scope="module")
def whole(long_clip, tmp_path_factory):
    """The pictures of the whole clip in one run."""
    folder = tmp_path_factory.mktemp("whole") / "o"
    render(RenderJob(output=folder, pipeline=SMALL), example_source(), long_clip, share=1.0)
    return pictures(folder)


def in_ranges(long_clip: Path, out: Path, parts: list[Stretch]) -> list[np.ndarray]:
    """The pictures of the clip, rendered stretch by stretch and joined."""
    planned = Planned("o", example_source(), long_clip, RenderJob(output=out, pipeline=SMALL))
    cut, folder = Cut((1.0, 2.0, 3.0)), out.with_name(out.name + ".ranges")
    for part in parts:
        done(Task(planned, cut, part, folder))
    figures = done(Task(planned, cut, None, folder))[-1].figures
    assert figures is not None and figures.frames == 40
    return pictures(out)


@pytest.mark.slow
def test_ranges_give_the_pictures_of_the_whole_clip(long_clip, whole, tmp_path):
    """Carried state, in any order and by several workers: the same pictures, from the first on."""
    parts = [Stretch((2, 3), None), Stretch((0, 1), None)]
    got = in_ranges(long_clip, tmp_path / "o", parts)
    assert len(got) == len(whole) == 40
    assert all((a == b).all() for a, b in zip(got, whole, strict=True))


@pytest.mark.slow
def test_a_range_between_others_is_made_alone(long_clip, whole, tmp_path):
    """As after a run that was killed: ranges 0 and 2 are there, 1 and 3 are missing."""
    parts = [Stretch((0, 2), None), Stretch((1, 3), None)]
    got = in_ranges(long_clip, tmp_path / "o", parts)
    assert all((a == b).all() for a, b in zip(got, whole, strict=True))


@pytest.mark.slow
def test_a_short_warm_up_is_near_the_whole(long_clip, whole, tmp_path):
    """The mean difference is below one grey level (docs/guide/batch.md has the measurements)."""
    parts = [Stretch((n,), 0.8) for n in range(4)]
    got = in_ranges(long_clip, tmp_path / "o", parts)
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(got, whole, strict=True)]
    assert max(apart[:10]) == 0
    assert np.median(apart) < 1 and max(apart) < 5


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_film_in_ranges_keeps_times_and_sound(long_clip, tmp_path, ending):
    planned = Planned("o", example_source(), long_clip, RenderJob(tmp_path / f"o{ending}"))
    planned = replace(planned, job=replace(planned.job, pipeline=SMALL))
    cut, folder = Cut((2.0,)), tmp_path / "ranges"
    told = done(Task(planned, cut, Stretch((0, 1), None), folder))
    assert [m.range for m in told if m.kind == "range"] == [0, 1]
    done(Task(planned, cut, None, folder))
    with io.open_source(planned.job.output) as reader:
        times_s = [frame.time_s for frame in reader]
        assert reader.fps == Fraction(10) and reader.has_audio
    assert times_s == [n / 10 for n in range(40)]
    assert planned.job.output.with_suffix(".json").is_file()


def test_a_range_counts_only_with_its_times(tmp_path):
    cut = Cut((1.0,))
    (tmp_path / "00000.mp4").write_bytes(b"part of a film")
    (tmp_path / "00001.json").write_text("{")
    assert stretch.done_ranges(tmp_path, cut) == {}
    with pytest.raises(InputError, match="expected 2 ranges"):
        stretch.join_ranges(RenderJob(tmp_path / "o.mp4"), Path(), Path(), cut, tmp_path)
    shutil.rmtree(tmp_path)
