"""Lists of jobs, good and broken, become plans."""

from pathlib import Path

import pytest

from apps.batch.command import parse
from apps.batch.plan import plan
from apps.main import main
from hybridanim.config import RenderJob
from hybridanim.errors import InputError


def write(folder: Path, text: str, name: str = "jobs.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


PAIR = 'source = "a.png"\ndriving = "b.mp4"\n'


def test_options_are_for_all_and_for_one(tmp_path):
    path = write(
        tmp_path,
        f"""size = 128
[keypoints]
motion = "absolute"
smooth = 0.5
[[job]]
{PAIR}
[[job]]
{PAIR}output = "two.webm"
smooth = 0.9
[job.render]
renderer = "warp"
""",
    )
    found = plan(path, out=tmp_path / "out")
    one, two = (job.job for job in found.jobs)
    assert [job.name for job in found.jobs] == ["a-b.mp4", "two.webm"]
    assert found.jobs[0].source == tmp_path / "a.png"  # of the list's own folder
    assert one.output == tmp_path / "out" / "a-b.mp4"
    assert one.pipeline.size == two.pipeline.size == 128
    assert (one.pipeline.keypoints.smooth, two.pipeline.keypoints.smooth) == (0.5, 0.9)
    assert two.pipeline.keypoints.motion == "absolute"
    assert (one.pipeline.render.renderer, two.pipeline.render.renderer) == ("painted", "warp")


def test_a_table_has_a_row_a_job(tmp_path):
    text = (
        "\ufeffsource,driving,output,size,paste-back,start,u-range,reference\n"
        "a.png,b.mp4,,64,yes,1.5,80 120,12\n"
        '\n"with, comma.png",b.mp4,x.mov,,,,,\n'
    )
    found = plan(write(tmp_path, text, "jobs.csv"), out=tmp_path)
    one, two = (job.job for job in found.jobs)
    assert one.pipeline.size == 64 and one.pipeline.render.paste_back and one.start == 1.5
    assert one.pipeline.segment.u_range == (80, 120) and one.reference == "12"
    assert found.jobs[1].source.name == "with, comma.png" and two.output.name == "x.mov"
    assert two.pipeline == RenderJob().pipeline


def test_arguments_win_over_the_list_and_its_jobs_over_both(tmp_path):
    path = write(tmp_path, f"size = 128\nsmooth = 0.5\n[[job]]\n{PAIR}[[job]]\n{PAIR}"
                 'size = 64\noutput = "x.mp4"\n')  # fmt: skip
    given, common = parse([str(path), "--out", "o", "--size", "256", "--workers", "3"])
    found = plan(given.jobs, out=tmp_path / "o", common=common)
    assert [job.job.pipeline.size for job in found.jobs] == [256, 64]
    assert found.jobs[0].job.pipeline.keypoints.smooth == 0.5
    assert given.settings.workers == 3


def test_every_source_meets_every_driver(inputs, tmp_path):
    folders = {"sources": inputs / "sources", "drivers": inputs / "drivers"}
    found = plan(out=tmp_path, **folders, ending=".webm")
    assert len({job.name for job in found.jobs}) == len(found.jobs) == 12
    assert {job.job.output.suffix for job in found.jobs} == {".webm"}


def test_files_of_one_stem_get_names_of_their_own(tmp_path):
    for name in ("a.png", "a.jpg", "b.mp4"):
        write(tmp_path, "x", name)
    found = plan(out=tmp_path / "o", sources=tmp_path, drivers=tmp_path)
    names = [job.name for job in found.jobs]
    assert names == ["a_jpg-b_mp4.mp4", "a_png-b_mp4.mp4", "b-b.mp4"]


def test_further_outputs_lie_beside_the_result(tmp_path):
    text = f'debug = "seen"\nsave-motion = "m.safetensors"\n[[job]]\n{PAIR}[[job]]\n{PAIR}'
    text += 'output = "x.mp4"\ndebug = "other"\n'
    one, two = (job.job for job in plan(write(tmp_path, text), out=tmp_path / "o").jobs)
    assert one.debug == tmp_path / "o" / "a-b.seen" and two.debug == tmp_path / "o" / "other"
    assert one.save_motion == tmp_path / "o" / "a-b.m.safetensors"


def test_files_that_options_name_lie_beside_the_list(tmp_path):
    for name in ("skin.toml", "wall.png"):
        write(tmp_path, "x", name)
    text = f'background = "wall.png"\n[[job]]\n{PAIR}profile = ["skin.toml"]\n'
    text += f'[[job]]\n{PAIR}output = "x.mp4"\nbackground = "green"\n'
    one, two = (job.job for job in plan(write(tmp_path, text), out=tmp_path / "o").jobs)
    assert one.profile == (tmp_path / "skin.toml",)
    assert one.pipeline.keypoints.background == str(tmp_path / "wall.png")
    assert two.pipeline.keypoints.background == "green"


BROKEN = {
    "no job": ("size = 64\n", "at least one job"),
    "a typing error": (f"[[job]]\n{PAIR}smoth = 1\n", "did you mean smooth"),
    "one for all": (f"sise = 64\n[[job]]\n{PAIR}", "did you mean size"),
    "one in a section": (f"[[job]]\n{PAIR}[job.render]\nrendrer = 'warp'\n", "did you mean render"),
    "a value": (f"[[job]]\n{PAIR}size = 'big'\n", "job 1.*size.*whole number"),
    "out of range": (f"[[job]]\n{PAIR}[[job]]\n{PAIR}output='x.mp4'\nsize = 7\n", "job 2"),
    "no driver": ("[[job]]\nsource = 'a.png'\n", "job 1: expected driving"),
    "a number": ("[[job]]\nsource = 3\ndriving = 'b.mp4'\n", "expected source = a file"),
    "for all": (f"source = 'a.png'\n[[job]]\n{PAIR}", "in each"),
    "one output for all": (f"output = 'x.mp4'\n[[job]]\n{PAIR}", "output in each job"),
    "twice": (f"[[job]]\n{PAIR}[[job]]\n{PAIR}", "an output of its own"),
    "elsewhere": (f"[[job]]\n{PAIR}output = '../x.mp4'\n", "folder of --out"),
    "absolute": (f"[[job]]\n{PAIR}output = '/tmp/x.mp4'\n", "folder of --out"),
    "its own folder": (f"[[job]]\n{PAIR}output = '.batch/x.mp4'\n", "folder of --out"),
    "an ending": (f"[[job]]\n{PAIR}output = 'x.doc'\n", "ends in"),
    "no table": ("job = 3\n", "job"),
    "a word for a section": (f"[[job]]\n{PAIR}render = 'warp'\n", "render"),
    "no TOML": ("[[job", "a TOML file of jobs"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lists_are_refused(case, tmp_path):
    text, said = BROKEN[case]
    with pytest.raises(InputError, match=f"(?s){said}"):
        plan(write(tmp_path, text), out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


TABLES = {
    "an unknown column": ("source,driving,smoth\na.png,b.mp4,1\n", "did you mean smooth"),
    "a short row": ("source,driving\na.png\n", "expected 2 cells"),
    "a column twice": ("source,source\na,b\n", "each column once"),
    "no rows": ("source,driving\n", "at least one job"),
    "nothing": ("", "at least one job"),
    "a quote": ('source,driving\n"a.png,b.mp4\n', "a CSV file"),
    "a value": ("source,driving,size\na.png,b.mp4,big\n", "size"),
    "a truth": ("source,driving,mark\na.png,b.mp4,perhaps\n", "mark"),
}


@pytest.mark.parametrize("case", TABLES)
def test_broken_tables_are_refused(case, tmp_path):
    text, said = TABLES[case]
    with pytest.raises(InputError, match=f"(?s){said}"):
        plan(write(tmp_path, text, "jobs.csv"), out=tmp_path / "o")


def test_other_kinds_of_lists_are_refused(inputs, tmp_path):
    with pytest.raises(InputError, match=r"named \.toml or \.csv"):
        plan(write(tmp_path, "", "jobs.txt"), out=tmp_path)
    with pytest.raises(InputError, match="missing"):
        plan(tmp_path / "missing.toml", out=tmp_path)
    with pytest.raises(InputError, match="a list of jobs, or --sources"):
        plan(out=tmp_path)
    with pytest.raises(InputError, match="got both"):
        plan(write(tmp_path, ""), out=tmp_path, sources=tmp_path, drivers=tmp_path)
    with pytest.raises(InputError, match="--drivers: expected a folder"):
        plan(out=tmp_path, sources=inputs / "sources", drivers=tmp_path / "none")
    with pytest.raises(InputError, match=r"--sources .*found none"):
        plan(out=tmp_path, sources=inputs, drivers=inputs / "drivers")


def test_the_command_says_so_in_one_line(tmp_path, capsys):
    path = write(tmp_path, BROKEN["a typing error"][0])
    assert main(["batch", str(path), "--out", str(tmp_path / "o")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["batch", str(path), "--out", str(tmp_path / "o"), "--progress", "json"]) == 2
    assert '"event": "error"' in capsys.readouterr().out
