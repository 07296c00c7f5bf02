"""A batch in the test's own process: what is done, what is left alone, what fails."""

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from apps.batch import manifest
from apps.batch.lock import locked
from apps.batch.plan import Plan, plan
from apps.batch.run import Change, Settings, run
from apps.batch.work import Message
from apps.main import main
from hybridanim import io
from hybridanim.config import RenderJob
from hybridanim.config import pipeline_config as pipeline
from hybridanim.errors import InputError

from .conftest import InPlace, Pretended

SMALL = RenderJob(
    pipeline=pipeline({"size": 64, "avatar": "off", "threads": 1, "renderer": "warp"})
)


def planned(inputs: Path, out: Path, count: int = 2, common: RenderJob = SMALL) -> Plan:
    """The first jobs of all pairs."""
    whole = plan(out=out, sources=inputs / "sources", drivers=inputs / "drivers", common=common)
    assert len(whole.jobs) == 12
    return replace(whole, jobs=whole.jobs[:count])


def test_jobs_become_files_and_a_second_run_does_nothing(inputs, tmp_path):
    changes: list[Change] = []
    found = run(planned(inputs, tmp_path), report=changes.append, pool=InPlace)
    assert [(e.name, e.state, e.frames) for e in found.listed] == [
        ("p0-v0.mp4", "done", 8),
        ("p1-v0.mp4", "done", 8),
    ]
    names = {"p0-v0.mp4", "p0-v0.json", "p1-v0.mp4", "p1-v0.json", "batch.json", ".batch"}
    assert {p.name for p in tmp_path.iterdir()} == names
    states = [c.entry.state for c in changes if c.entry.name == "p0-v0.mp4" and not c.step]
    assert states == ["waiting", "running", "done"]
    with io.open_source(tmp_path / "p0-v0.mp4") as reader:
        assert (reader.width, reader.height) == (64, 64) and len(list(reader)) == 8

    def refuse(count):
        raise AssertionError("nothing is left to do")

    again = run(planned(inputs, tmp_path), pool=refuse)
    assert again.counts()["done"] == 2 and again.entries == found.entries


def test_the_manifest_can_be_read_by_others(inputs, tmp_path):
    run(planned(inputs, tmp_path, 1), pool=Pretended)
    table = json.loads((tmp_path / "batch.json").read_text())
    (job,) = table["jobs"]
    assert table["counts"]["done"] == 1 and table["is_running"] is False
    assert job["state"] == "done" and job["frames"] == 12 and job["seconds"] > 0
    assert job["source"] == "p0.png" and str(inputs) not in json.dumps(table)
    read = manifest.read(tmp_path)
    assert read.entries["p0-v0.mp4"].frames == 12 and not read.is_running


def test_what_has_changed_is_done_again(inputs, tmp_path):
    out, sources = tmp_path / "out", tmp_path / "sources"
    sources.mkdir()
    for name in ("p0.png", "p1.png"):
        (sources / name).write_bytes((inputs / "sources" / name).read_bytes())
    whole = plan(out=out, sources=sources, drivers=inputs / "drivers", common=SMALL)
    pair = replace(whole, jobs=whole.jobs[:2])
    before = run(pair, pool=Pretended).entries
    picture = io.read_picture(sources / "p0.png")
    io.write_picture(sources / "p0.png", 255 - picture // 2, overwrite=True)  # its content
    os.utime(sources / "p1.png")  # not its content
    pools = [Pretended(1)]
    after = run(pair, pool=lambda count: pools[0]).entries
    assert [task.planned.name for task in pools[0].done] == ["p0-v0.mp4"]
    assert after["p0-v0.mp4"].key != before["p0-v0.mp4"].key
    assert after["p1-v0.mp4"] == before["p1-v0.mp4"]
    (out / "p1-v0.mp4").write_bytes(b"damaged")
    other = replace(SMALL.pipeline, size=80)
    jobs = (replace(pair.jobs[0], job=replace(pair.jobs[0].job, pipeline=other)), pair.jobs[1])
    pools = [Pretended(1)]
    run(replace(pair, jobs=jobs), pool=lambda count: pools[0])
    assert [task.planned.name for task in pools[0].done] == ["p0-v0.mp4", "p1-v0.mp4"]


def test_a_bad_job_does_not_stop_the_others(inputs, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "jobs.toml").write_text(
        f"""size = 64
avatar = "off"
renderer = "warp"
[[job]]
source = "missing.png"
driving = "{inputs}/drivers/v0.mp4"
[[job]]
source = "text.png"
driving = "{inputs}/drivers/v0.mp4"
[[job]]
source = "{inputs}/sources/p0.png"
driving = "missing.mp4"
[[job]]
source = "{inputs}/sources/p0.png"
driving = "{inputs}/drivers/v0.mp4"
output = "good.mp4"
"""
    )
    out = tmp_path / "out"
    found = run(plan(tmp_path / "jobs.toml", out=out), pool=InPlace)
    assert [entry.state for entry in found.listed] == ["failed", "failed", "failed", "done"]
    errors = [entry.error for entry in found.listed]
    assert "missing.png" in errors[0] and "text file" in errors[1] and "missing.mp4" in errors[2]
    assert {p.name for p in out.iterdir()} == {"good.mp4", "good.json", "batch.json", ".batch"}


def test_files_of_others_are_left_alone(inputs, tmp_path):
    (tmp_path / "p0-v0.mp4").write_bytes(b"of the user")
    jobs = planned(inputs, tmp_path)
    found = run(jobs, pool=InPlace)
    assert [entry.state for entry in found.listed] == ["failed", "done"]
    assert "--overwrite" in found.listed[0].error
    assert (tmp_path / "p0-v0.mp4").read_bytes() == b"of the user"
    again = run(jobs, pool=InPlace)  # a second try is none of the user's consent
    assert again.listed[0].state == "failed"
    assert (tmp_path / "p0-v0.mp4").read_bytes() == b"of the user"
    agreed = planned(inputs, tmp_path, common=replace(SMALL, overwrite=True))
    assert run(agreed, pool=InPlace).counts()["done"] == 2


def test_a_worker_that_dies_costs_one_more_try(inputs, tmp_path):
    lives = {"p0-v0.mp4": 1, "p1-v0.mp4": 2}  # how often the worker of a job dies

    def fate(task):
        name = task.planned.name
        lives[name] = lives.get(name, 0) - 1
        return Message("died", text="its worker was ended by SIGKILL") if lives[name] >= 0 else None

    found = run(planned(inputs, tmp_path, 3), pool=lambda count: Pretended(count, fate))
    states = [(entry.state, entry.attempts) for entry in found.listed]
    assert states == [("done", 1), ("failed", 1), ("done", 1)]
    assert "SIGKILL; it was tried twice" in found.listed[1].error
    assert "Tried again" in found.listed[0].notes[0]


def test_an_unforeseen_error_is_one_of_its_job(inputs, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("apps.batch.work.render", broken)
    found = run(planned(inputs, tmp_path), pool=InPlace)
    assert [entry.error for entry in found.listed] == ["ZeroDivisionError: by zero"] * 2


def test_it_stops_when_it_is_told_to(inputs, tmp_path):
    stop = Event()

    def report(change: Change) -> None:
        if change.entry.state == "done":
            stop.set()

    found = run(planned(inputs, tmp_path, 3), report=report, stop=stop, pool=Pretended)
    assert found.counts() == {"waiting": 2, "running": 0, "done": 1, "failed": 0}
    assert manifest.read(tmp_path).counts() == found.counts()
    assert run(planned(inputs, tmp_path, 3), pool=Pretended).counts()["done"] == 3


def test_a_shorter_list_keeps_what_is_known_of_the_rest(inputs, tmp_path):
    run(planned(inputs, tmp_path), pool=Pretended)
    found = run(planned(inputs, tmp_path, 1), pool=Pretended)
    assert [entry.name for entry in found.listed] == ["p0-v0.mp4"]
    assert found.entries["p1-v0.mp4"].state == "done"


def test_two_batches_in_one_folder_are_refused(inputs, tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="no other batch runs"):
        run(planned(inputs, tmp_path), pool=Pretended)
    run(planned(inputs, tmp_path, 1), pool=Pretended)


def test_a_manifest_of_something_else_is_refused(inputs, tmp_path):
    (tmp_path / "batch.json").write_text('{"schema": 1, "jobs": [{"name": 3}]}')
    with pytest.raises(InputError, match=r"batch\.json"):
        run(planned(inputs, tmp_path), pool=Pretended)
    (tmp_path / "batch.json").write_text("[")
    with pytest.raises(InputError, match="the manifest of a batch"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("workers", [-1, 5000])
def test_workers_have_limits(workers):
    with pytest.raises(InputError, match="--workers"):
        Settings(workers=workers)


def test_the_command_needs_a_folder(capsys, inputs):
    words = ["batch", "--sources", str(inputs / "sources"), "--drivers", str(inputs / "drivers")]
    assert main(words) == 2
    assert "--out DIR" in capsys.readouterr().err
