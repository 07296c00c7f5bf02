"""Compiled networks in the cache folder."""

import hashlib
import os

import pytest

from hybridanim import files
from hybridanim.runtime import cache


def test_graphs_come_back(tmp_path):
    file = tmp_path / "a.networks"
    assert cache.write(file, {"paint": b"123", "still": b""})
    assert cache.read(file) == {"paint": b"123", "still": b""}


def test_a_failure_is_told_from_graphs(tmp_path):
    file = tmp_path / "a.networks"
    assert cache.write_failure(file, "too coarse")
    assert cache.failure(cache.read(file)) == "too coarse"
    assert cache.failure({"paint": b"123"}) is None
    assert cache.failure({}) is None


@pytest.mark.parametrize(
    "header", [b"[1]", b"{", b'{"a": "b"}', b'{"a": null}', b"[" * 50000, b"\xff"]
)
def test_nonsense_with_a_valid_checksum_is_no_cache(header, tmp_path):
    body = len(header).to_bytes(8, "little") + header + b"123"
    file = tmp_path / "a.networks"
    file.write_bytes(cache._MAGIC + hashlib.sha256(body).digest() + body)
    assert cache.read(file) is None


def test_parts_that_were_never_completed_are_removed_and_nothing_else(tmp_path):
    target = cache.file_for(tmp_path, "animator", ["a"])
    old, new = files.part_file(target), files.part_file(target)
    foreign = [tmp_path / name for name in (".mine.abcdefgh.part", "x.part", ".animator-0.part")]
    for path in foreign:
        path.touch()
    for path in (old, *foreign):
        os.utime(path, (1e9, 1e9))
    assert cache.write(target, {"a": b"1"})
    assert not old.exists()
    assert all(path.exists() for path in (new, target, *foreign))
