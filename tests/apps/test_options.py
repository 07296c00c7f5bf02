"""The options of the command line: their groups, order and names, and the way back to settings."""

import dataclasses
import re
from pathlib import Path

import pytest

from apps import main, options
from apps.live import command as live
from hybridanim import schema
from hybridanim.config import PipelineConfig, RenderConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.live.config import LiveJob

STAGES = ["skin", "tracks", "keypoints", "dense motion", "render", "networks"]


def helped(words, capsys, monkeypatch) -> dict[str, list[str]]:
    """Title of each box of --help -> the options in it, in order."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main.main([*words, "--help"])
    boxes: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        if title := re.fullmatch(r" ([a-z ]* ?(?:options|arguments)) *", line):
            boxes[title[1]] = []
        elif flag := re.match(r"  (--[a-z][a-z-]+)", line):
            list(boxes.values())[-1].append(flag[1])
    return boxes


def test_what_people_need_comes_first_then_the_run_then_the_stages(capsys, monkeypatch):
    boxes = helped([], capsys, monkeypatch)
    titles = ["positional arguments", "options", "run options"]
    assert list(boxes) == [*titles, *(f"{stage} options" for stage in STAGES)]
    first = ["--output", "--size", "--renderer", "--tracker", "--paste-back", "--debug"]
    assert boxes["options"] == [*first, "--config", "--quiet", "--progress"]
    assert {"--start", "--end", "--face", "--crop", "--overwrite"} <= set(boxes["run options"])
    assert {"--motion", "--scale", "--smooth"} <= set(boxes["keypoints options"])


def test_live_is_in_the_same_order(capsys, monkeypatch):
    boxes = helped(["live"], capsys, monkeypatch)
    assert list(boxes)[1:] == ["options", "run options", *(f"{stage} options" for stage in STAGES)]
    assert boxes["options"][0] == "--camera" and "--renderer" in boxes["options"]


@pytest.mark.parametrize(("words", "cls"), [([], RenderJob), (["live"], LiveJob)])
def test_every_setting_is_one_option(words, cls, capsys, monkeypatch):
    shown = [flag for box in helped(words, capsys, monkeypatch).values() for flag in box]
    own = ["config"] if words else ["config", "quiet", "progress"]  # of the command line alone
    names = ["--" + name.replace("_", "-") for name in [*schema.all_names(cls), *own]]
    assert sorted(shown) == sorted(names)


def test_values_find_their_settings():
    words = ["a.png", "b.mp4", "--renderer=learned", "--u-range", "3", "9", "--no-mark"]
    files, job = main.parse([*words, "--threads", "2", "--weights", "w", "--size", "96"])
    assert (files.source, files.driving) == (Path("a.png"), Path("b.mp4"))
    pipeline = job.pipeline
    assert pipeline.render == RenderConfig(renderer="learned", weights=Path("w"))
    assert pipeline.segment.u_range == (3, 9) and pipeline.networks.threads == 2
    assert (job.mark, pipeline.size) == (False, 96)
    assert main.parse([])[1] == RenderJob()


def test_defaults_are_those_that_were_given():
    job = RenderJob(end=3.0, pipeline=PipelineConfig(size=128, tracker="hybrid"))
    _, same = options.parse([], main.Files(), job, main.MAIN, "x", "")
    assert same == job
    _, other = options.parse(["--end", "4"], main.Files(), job, main.MAIN, "x", "")
    assert other == dataclasses.replace(job, end=4.0)
    _, lively = options.parse([], live.Files(), LiveJob(), live.MAIN, "x", "")
    assert lively == LiveJob()


def test_settings_refuse_values_in_their_own_words():
    with pytest.raises(InputError, match="--end: expected more than --start 2, got 1"):
        main.parse(["a.png", "b.mp4", "--start", "2", "--end", "1"])


def test_words_of_settings_give_them_again():
    """Parsing is the oracle: every kind of value, negations and tuples among them."""
    words = ["--u-range", "3", "9", "--no-mark", "--paste-back", "--end", "2.5", "--size", "96"]
    words += ["--weights", "w x", "--profile", "a", "--profile", "b"]
    words += ["--renderer", "warp", "--no-face-fit", "--crop", "1,2,30,40"]
    _, job = main.parse(words)
    found = options.words(job, RenderJob())
    assert main.parse(found)[1] == job
    assert len(found) == len(words) and options.words(job, job) == []
