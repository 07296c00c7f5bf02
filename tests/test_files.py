"""Files that appear whole or not at all."""

import hashlib
import os
import sys
import time

import pytest

from hybridanim import files


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "a.bin"
    with files.atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert files.sha256(path) == hashlib.sha256(b"new").hexdigest()


def test_a_digest_of_several_files_is_that_of_their_bytes_in_order(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert files.sha256(tmp_path / "a", tmp_path / "b") == hashlib.sha256(b"ab").hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have folders of their own")
def test_the_cache_folder_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "hybridanim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / ".cache" / "hybridanim"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.atomic_write(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_parts_are_new_and_named_at_random(tmp_path):
    name = "n" * 250  # the longest that file systems take is 255 bytes
    parts = {files.part_file(tmp_path / name) for _ in range(3)}
    parts |= {files.part_folder(tmp_path / name) for _ in range(3)}
    assert len(parts) == 6 and all(part.parent == tmp_path for part in parts)


def aged(path, days):
    then = time.time() - 86400 * days
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("name", ["o.mp4", "n" * 250, "a[1]*.mp4", "é.mp4"])
def test_parts_of_writers_that_were_killed_are_found(name, tmp_path):
    target = tmp_path / name
    file, folder = files.part_file(target), files.part_folder(target, ".partial")
    (folder / "frames.csv").write_text("half")
    assert files.remains(target) == []  # new: their writers may be at work
    aged(file, 1.1)
    aged(folder, 1.1)
    assert files.remains(target) == [file]  # what is in the folder is new
    aged(folder / "frames.csv", 1.1)
    aged(folder, 1.1)
    assert files.remains(target) == sorted([file, folder])
    for foreign in (".other.mp4.abcdefgh.part", f".{name[:32]}.part", f".{name[:32]}.abc.part",
                    f"{name[:32]}.abcdefgh.part", f".{name[:32]}.abcdefgh.mp4"):  # fmt: skip
        (tmp_path / foreign).touch()
        aged(tmp_path / foreign, 9)
    assert files.remains(target) == sorted([file, folder])
    assert file.exists() and folder.exists()  # found, not removed


def test_where_nothing_can_be_read_there_are_no_remains(tmp_path):
    assert files.remains(tmp_path / "none" / "o.mp4") == []
    assert files.remains("a\0b") == []


def test_permissions_are_the_usual_ones(tmp_path):
    before = os.umask(0o027)
    try:
        with files.atomic_write(tmp_path / "a") as file:
            file.write(b"")
        folder = files.part_folder(tmp_path / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o777 == 0o750


def test_the_packages_own_files_are_there():
    assert files.EXAMPLE_DRIVING.is_file()
    assert len(list(files.WEIGHTS.glob("*.safetensors"))) >= 4
