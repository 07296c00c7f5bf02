"""Compiled networks in the cache folder."""

import hashlib

import pytest

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
