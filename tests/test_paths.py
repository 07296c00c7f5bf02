"""Nothing that exists is replaced without being asked, and never an input."""

import os

import pytest

from hybridanim import files, paths
from hybridanim.errors import InputError


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
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for name in ("a.json", "nowhere"):
        outputs = [("--json", tmp_path / name)]
        with pytest.raises(InputError, match="--overwrite"):
            paths.refuse_replacing(outputs, [], overwrite=False)
        paths.refuse_replacing(outputs, [], overwrite=True)
        paths.refuse_replacing([], [], overwrite=False, records=outputs)


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
