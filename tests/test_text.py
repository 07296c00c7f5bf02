"""Consoles of any code page, and names whose bytes are no text."""

import io
import json
import os
import sys
import tomllib
from dataclasses import replace

import pytest

from hybridanim import command_line, text
from hybridanim.io import provenance
from hybridanim.profiles import Origin, TrackerProfile, load_profiles, save_profile

LATIN = os.fsdecode(b"caf\xe9.png") if os.fsdecode(b"\xe9") == "\udce9" else "caf\udce9.png"
NAMES = {  # name -> how ASCII shows it
    "plain.png": "plain.png",
    "café.png": r"caf\xe9.png",
    LATIN: r"caf\xe9.png",
    "\u732b.png": r"\u732b.png",
    "\U0001f431.png": r"\U0001f431.png",
    "a\ud800b.png": r"a\ud800b.png",
    "\udce7\udc8c\udcab.png": r"\u732b.png",  # UTF-8 in a locale of ASCII
}


@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=ascii)
@pytest.mark.parametrize("code_page", ["ascii", "cp1252", "cp932", "utf-8"])
def test_a_console_shows_what_it_lacks_as_escapes(name, shown, code_page):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=code_page, newline="\n")
    text.escape(stream)
    stream.write(f"<{name}>")
    stream.flush()
    got = raw.getvalue().decode(code_page)
    assert got.startswith("<") and got.endswith(">")
    if code_page == "ascii":
        assert got == f"<{shown}>"
    else:  # each character is itself or its escape
        if "\udce7" in name:  # ends as an escape, since the handler's answer is ASCII
            assert got == f"<{shown}>"
        else:
            assert got[1:-1] == "".join(c if can(c, code_page) else escape(c) for c in name)


def can(character: str, code_page: str) -> bool:
    try:
        return character.encode(code_page).decode(code_page) == character
    except UnicodeError:
        return False


def escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code & 0xFF:02x}"
    return ascii(character)[1:-1]


def test_both_streams_of_a_program_escape_until_it_ends(monkeypatch):
    raws = [io.BytesIO(), io.BytesIO()]
    streams = [io.TextIOWrapper(raw, encoding="cp1252", errors="strict") for raw in raws]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])

    def action() -> int:
        print(LATIN, "\u732b")
        print(LATIN, "\u732b", file=sys.stderr)
        return 0

    assert command_line.run("program", action) == 0
    for stream, raw in zip(streams, raws, strict=True):
        stream.flush()
        assert raw.getvalue().decode("cp1252").strip() == r"caf\xe9.png \u732b"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_printable_text_has_an_encoding_and_other_text_stays(name):
    assert text.encoded(name).decode("utf-8") == text.printable(name)
    if not any("\ud800" <= c <= "\udfff" for c in name):
        assert text.printable(name) == name


def test_the_record_of_a_name_that_is_no_text_is_known_again(tmp_path):
    record = {"is_generated": True, "source": {"name": LATIN}}
    output = tmp_path / os.fsdecode(b"out\xe9.mp4")
    first = provenance.write_sidecar(output, record)
    assert provenance.write_sidecar(output, record) == first, "the same run twice, one record"
    saved = json.loads(first.read_bytes().decode("utf-8"))
    assert saved["output"] == r"out\xe9.mp4" and saved["source"]["name"] == r"caf\xe9.png"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", [*NAMES, "a\\xb.png", 'a"b\x7f\n.png'], ids=ascii)
def test_profiles_keep_the_name_of_their_origin(name, tmp_path):
    profile = replace(TrackerProfile("harris", 120, 15, 3, 1.0), origin=Origin(source=name))
    path = save_profile(profile, tmp_path / "p.toml")
    assert tomllib.loads(path.read_text("utf-8"))["origin"]["source"] == text.printable(name)
    loaded = load_profiles((path,)).tracker
    assert loaded is not None and loaded.origin.source == text.printable(name)
