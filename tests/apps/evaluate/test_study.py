"""evaluate study and tally: from pictures and clips to a page, and from votes to a table."""

import json
import re
from fractions import Fraction

import av
import numpy as np
import pytest

from apps.evaluate import study
from apps.evaluate.study_job import StudyJob
from apps.main import main
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.io import provenance
from tests import synthetic

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 160, 30)


def film(path, colour, *, source="a.png", driving="d.mp4", frames=4, side=64):
    """A finished clip of one colour with its record."""
    with io.open_sink(path, Fraction(25), (side, side)) as sink:
        for index in range(frames):
            sink.write(np.full((side, side, 3), colour, np.uint8), index / 25)
    record = {"is_generated": True, "source": {"name": source}, "driving": {"name": driving}}
    provenance.write_sidecar(path, record)


@pytest.fixture
def finished(tmp_path):
    """Folders: red clips, blue clips, pictures, drivers."""
    for name in ("red", "blue", "pictures", "drivers"):
        (tmp_path / name).mkdir()
    for name in ("p", "q", "r"):
        io.write_picture(tmp_path / "pictures" / f"{name}.png", synthetic.textured(64, 64))
        film(tmp_path / "drivers" / f"{name}.mp4", GREEN)
        for folder, colour in (("red", RED), ("blue", BLUE)):
            film(
                tmp_path / folder / f"{name}.mp4", colour,
                source=f"{name}.png", driving=f"{name}.mp4", frames=3 + (folder == "red"),
            )  # fmt: skip
    film(tmp_path / "red" / "alone.mp4", RED)
    return tmp_path


def words(folder, *more):
    return [
        *("evaluate", "study", str(folder / "out"), "--clips", str(folder / "red")),
        *(str(folder / "blue"), "--sources", str(folder / "pictures")),
        *("--drivers", str(folder / "drivers"), "--size", "64", *more),
    ]


def page_data(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])


def colour_of(path):
    with io.open_source(path) as reader:
        frames = [frame.image for frame in reader]
    return np.mean(frames, axis=(0, 1, 2)), len(frames)


def test_the_key_says_which_clip_is_whose(finished, capsys):
    assert main(words(finished)) == 0
    out = finished / "out"
    assert "3 comparisons" in capsys.readouterr().out
    key = json.loads((finished / "out.key.json").read_text())
    data = page_data(out)
    assert {trial["pair"] for trial in key["trials"]} == {"p.mp4", "q.mp4", "r.mp4"}
    colours = {"red": RED, "blue": BLUE}
    for trial, shown in zip(key["trials"], data["trials"], strict=True):
        assert shown["trial"] == trial["name"]
        for side in ("left", "right"):
            colour, frames = colour_of(out / shown[side])
            np.testing.assert_allclose(colour, colours[trial[side]], atol=12)
            assert frames == 3, "as long as the shorter one"
        np.testing.assert_allclose(colour_of(out / shown["driver"])[0], GREEN, atol=12)
        assert io.read_picture(out / shown["source"]).shape == (320, 320, 3)


def test_nothing_in_the_folder_names_a_method(finished):
    assert main(words(finished)) == 0
    for path in (finished / "out").rglob("*"):
        assert not re.search("red|blue", path.name)
        if path.suffix == ".mp4":
            with av.open(str(path)) as container:
                assert not re.search("red|blue|p.png", str(container.metadata))
        elif path.is_file() and path.suffix == ".html":
            assert not re.search(r"\b(red|blue)\b", page := path.read_text()), page[:200]
    files = [p for p in (finished / "out").rglob("*") if p.is_file()]
    assert len(files) == 1 + 3 * 4, "page, and of each pair driver, still and two clips"


def test_what_is_there_is_not_replaced_and_nothing_half_made_is_left(finished, capsys):
    before = set(finished.iterdir())
    (finished / "red" / "q.json").unlink()
    assert main(words(finished)) == 2
    assert "q.json" in capsys.readouterr().err and set(finished.iterdir()) == before
    (finished / "out").mkdir()
    assert main(words(finished)) == 2
    assert "new folder" in capsys.readouterr().err
    (finished / "out").rmdir()
    (finished / "out.key.json").write_text("mine")
    assert main(words(finished)) == 2
    assert (finished / "out.key.json").read_text() == "mine" and not (finished / "out").exists()


def test_a_folder_that_appears_meanwhile_is_kept(finished, capsys, monkeypatch):
    write_page = study._write_page

    def and_another(*given):
        write_page(*given)
        (finished / "out").mkdir()
        (finished / "out" / "mine").write_text("mine")

    monkeypatch.setattr(study, "_write_page", and_another)
    before = set(finished.iterdir())
    assert main(words(finished)) == 2 and "expected" in capsys.readouterr().err
    assert set(finished.iterdir()) - before == {finished / "out"}
    assert [p.name for p in (finished / "out").iterdir()] == ["mine"]


def test_pairs_that_cannot_be_shown_are_left_out(finished, capsys):
    (finished / "pictures" / "q.png").write_text("text")
    assert main(words(finished)) == 0
    said = capsys.readouterr().out
    assert "left out: q.mp4" in said and "2 comparisons" in said
    names = {p.name for p in (finished / "out" / "clips").iterdir()}
    assert len(names) == 2 * 4, "nothing of it is left"


def test_pictures_are_animated_by_each_method(tmp_path):
    for name in ("pictures", "drivers"):
        (tmp_path / name).mkdir()
    picture = synthetic.photograph(160)
    io.write_picture(tmp_path / "pictures" / "one.png", synthetic.photograph(200))
    affines = synthetic.wandering_affines(4, 160, seed=3)
    with io.open_sink(tmp_path / "drivers" / "moving.mp4", Fraction(25), (160, 160)) as sink:
        for index, image in enumerate(synthetic.moved_picture(picture, affines).frames):
            sink.write(image, index / 25)
    job = StudyJob(
        tmp_path / "out", ("copy,classical+warp",), (), tmp_path / "pictures", tmp_path / "drivers",
        key=tmp_path / "k.json", size=128,
    )  # fmt: skip
    made = study.make(job)
    assert made.trials == 1 and made.left_out == []
    (trial,) = json.loads(made.key.read_text())["trials"]
    (shown,) = page_data(job.out)["trials"]
    assert {trial["left"], trial["right"]} == {"copy", "classical+warp"}
    moved = {}
    for side in ("left", "right"):
        with io.open_source(job.out / shown[side]) as reader:
            assert reader.fps == 25
            frames = np.array([frame.image for frame in reader], np.int16)
        assert frames.shape == (4, 128, 128, 3)
        moved[trial[side]] = np.abs(frames[-1] - frames[0]).mean()
    assert moved["classical+warp"] > 2 * moved["copy"]


@pytest.mark.parametrize(
    "more",
    [
        {"methods": ("classical+warp",)},
        {},
        {"methods": ("copy", "magic")},
        {"methods": ("copy", "copy")},
        {"methods": ("copy", "warp"), "sources": None},
        {"methods": ("copy", "warp"), "pairs": 0},
        {"methods": ("copy", "warp"), "drivers": "none"},
    ],
)
def test_wrong_options_are_refused(more, tmp_path):
    given = {"sources": tmp_path, "drivers": tmp_path} | more
    with pytest.raises(InputError, match="expected"):
        StudyJob(tmp_path / "out", **given)


def test_votes_become_a_table(finished, capsys):
    assert main(words(finished)) == 0
    key = json.loads((finished / "out.key.json").read_text())
    votes = []
    for trial in key["trials"]:  # red is always chosen for motion, nothing for quality
        side = "left" if trial["left"] == "red" else "right"
        votes.append({"trial": trial["name"], "question": "motion", "choice": side})
        votes.append({"trial": trial["name"], "question": "quality", "choice": "equal"})
    for voter in ("a", "b"):
        table = {"schema": 1, "study": key["study"], "voter": voter, "votes": votes}
        (finished / f"{voter}.json").write_text(json.dumps(table))
    capsys.readouterr()
    files = [str(finished / f"{voter}.json") for voter in "ab"]
    told = ["evaluate", "tally", *files, "--key", str(finished / "out.key.json")]
    assert main([*told, "--json", str(finished / "t.json"), "--markdown"]) == 0
    said = capsys.readouterr().out
    assert "12 votes of 2 voters" in said
    assert "| motion | red | blue | 6 | 0 | 0 | 100 % | 54 to 100 % | 0.031 |" in said
    assert "| quality | red | blue | 0 | 6 | 0 | - | 0 to 100 % | 1.000 |" in said
    table = json.loads((finished / "t.json").read_text())
    assert table["voters"] == 2 and table["comparisons"][0]["wins"] == 6
    assert main([*told, "--json", str(finished / "t.json")]) == 2, "not replaced unasked"
    assert main([*told[:-1], str(finished / "a.json")]) == 2
    assert "--key" in capsys.readouterr().err
