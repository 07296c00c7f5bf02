"""Paths that a user names: no file is lost, nothing is waited for, errors are one clear line."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hybridanim import config, files, io, paths, profiles
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.live.camera import make_camera
from hybridanim.live.config import read_live_job
from hybridanim.networks import weights
from hybridanim.training import plan
from hybridanim.training.data import dataset_index


def test_an_input_is_never_replaced_however_it_is_named(tmp_path):
    source = tmp_path / "source.png"
    source.write_text("mine")
    (tmp_path / "linked.png").symlink_to(source)
    os.link(source, tmp_path / "twin.png")
    for name in ("source.png", "linked.png", "twin.png", "../" + tmp_path.name + "/source.png"):
        with pytest.raises(InputError, match=r"expected .*same file; choose"):
            paths.refuse_replacing([("--output", tmp_path / name)], [source], overwrite=True)
    with pytest.raises(InputError, match="input folder"):
        paths.refuse_replacing([("--json", source)], [tmp_path], overwrite=True)
    paths.refuse_replacing([("--json", tmp_path / "new.json")], [tmp_path], overwrite=False)


def test_one_output_does_not_replace_another(tmp_path):
    outputs = [("--output", tmp_path / "a.mp4"), ("--report", tmp_path / "a.mp4")]
    with pytest.raises(InputError, match=r"--report .*that of --output"):
        paths.refuse_replacing(outputs, [], overwrite=True)


def test_files_that_exist_need_overwrite(tmp_path):
    (tmp_path / "a.json").write_text("mine")
    outputs = [("--json", tmp_path / "a.json")]
    with pytest.raises(InputError, match="--overwrite"):
        paths.refuse_replacing(outputs, [], overwrite=False)
    paths.refuse_replacing(outputs, [], overwrite=True)
    paths.refuse_replacing([], [], overwrite=False, records=outputs)


@pytest.mark.parametrize("target", ["a.json", "missing"])
def test_a_link_is_neither_replaced_nor_followed(tmp_path, target):
    (tmp_path / "a.json").write_text("mine")
    link = tmp_path / "link.png"
    link.symlink_to(target)
    for overwrite in (False, True):
        with pytest.raises(InputError, match=rf"link\.png: .*a link to .*{target}; name that"):
            paths.refuse_replacing([("--json", link)], [], overwrite=overwrite)
        with pytest.raises(InputError, match="a link to"):
            io.open_sink(link, Fraction(25), (64, 48), overwrite=overwrite)
        with pytest.raises(InputError, match="a link to"):
            io.write_picture(link, np.zeros((4, 4, 3), np.uint8), overwrite=overwrite)
    paths.refuse_replacing([], [], overwrite=False, records=[("record", link)])
    assert link.is_symlink() and (tmp_path / "a.json").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(FileExistsError), files.atomic_write(path, overwrite=False) as file:
        file.write(b"new")
        path.write_text("mine")
    assert path.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
    assert paths.free_name(path) == tmp_path / "a.2.json"
    with files.atomic_write(paths.free_name(path), overwrite=False) as file:
        file.write(b"new")
    assert paths.free_name(path) == tmp_path / "a.3.json"


def test_paths_that_cannot_be_used_are_one_clear_line(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for path in ("x" * 300, "a\0b", tmp_path / "circle"):
        with pytest.raises(InputError, match=r"expected .*got .*; check"):
            paths.look(path)


@pytest.fixture
def pipe(tmp_path):
    """A pipe that nobody writes to: whoever opens it waits for ever."""
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    return path


READERS = {
    "picture": io.read_picture,
    "source": io.read_source_picture,
    "driving": io.open_source,
    "config": config.read_job,
    "live config": read_live_job,
    "training config": plan.read_settings,
    "profile": profiles.load_profile,
    "weights": weights.read_header,
    "table": dataset_index.read_table,
}


@pytest.mark.parametrize("name", READERS)
def test_pipes_and_devices_are_refused_before_they_are_opened(name, pipe):
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(InputError, match=r"expected .*pipe or device; save"):
            READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_links_in_a_circle_and_long_names_are_refused(name, tmp_path):
    (tmp_path / "circle.png").symlink_to("circle.png")
    for path in (tmp_path / "circle.png", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=r"expected .*got"):
            READERS[name](path)


def test_a_pipe_in_place_of_a_record_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "o.json")
    assert provenance.sidecar_path(tmp_path / "o.mp4").name == "o.mp4.json"


@pytest.mark.parametrize("read", [config.read_job, plan.read_settings, profiles.load_profile])
def test_settings_are_bounded_in_size_and_depth(read, tmp_path):
    for text in (
        "a = 1 #" + "x" * (1 << 20),
        "a = " + "[" * 100_000,
        "a" + ".a" * 200_000 + " = 1",
    ):
        path = tmp_path / "settings.toml"
        path.write_text(text)
        with pytest.raises(InputError, match="expected"):
            read(path)


def test_values_of_settings_that_cannot_be_paths_or_kinds(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('output = "a\\u0000.mp4"\n')
    with pytest.raises(InputError, match=r"output: expected"):
        config.read_job(path)
    for kind in ("[1]", "{a = 1}", "1", '"none"'):
        path.write_text(f"kind = {kind}\nschema = 1\n")
        with pytest.raises(InputError, match="kind"):
            profiles.load_profile(path)


def test_a_huge_camera_number_is_refused():
    with pytest.raises(InputError, match="--camera"):
        make_camera("9" * 5000)


def test_an_output_takes_the_place_of_no_pipe_or_device(tmp_path):
    os.mkfifo(tmp_path / "o.mp4")
    (tmp_path / "link.mp4").symlink_to("o.mp4")
    for name in ("o.mp4", "link.mp4"):
        with pytest.raises(InputError, match="pipe or device"):
            paths.refuse_replacing([("--output", tmp_path / name)], [], overwrite=True)
    paths.refuse_replacing([], [], overwrite=False, records=[("record", tmp_path / "o.mp4")])


def test_an_output_takes_the_place_of_no_folder_unless_it_may_be_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "d")
    for name in ("d", "link"):
        outputs = [("--json", tmp_path / name)]
        for overwrite in (False, True):
            with pytest.raises(InputError, match=rf"--json .*{name}: expected .*, got a folder;"):
                paths.refuse_replacing(outputs, [], overwrite=overwrite)
        paths.refuse_replacing(outputs, [], overwrite=False, folders=[tmp_path / name])
    paths.refuse_replacing([], [], overwrite=False, records=[("record", tmp_path / "d")])
