"""Hotkeys."""

import pytest

from hybridanim.live import keys


@pytest.mark.parametrize(
    ("key", "verb"),
    [
        *[("r", "reference"), ("R", "reference"), ("n", "next"), ("d", "debug"), ("m", "mirror")],
        *[("+", "stronger"), ("=", "stronger"), ("-", "weaker"), ("p", "pause"), (" ", "pause")],
        *[("h", "help"), ("q", "quit"), ("\x1b", "quit")],
    ],
)
def test_keys_ask_for_their_action(key, verb):
    assert keys.parse_key(ord(key)) == keys.Action(verb)


def test_numbers_choose_sources_and_others_mean_nothing():
    assert keys.parse_key(ord("1")) == keys.Action("source", 0)
    assert keys.parse_key(ord("9")) == keys.Action("source", 8)
    assert keys.parse_key(-1) is None
    assert keys.parse_key(ord("0")) is None
    assert keys.parse_key(0x100000 | ord("q")) == keys.Action("quit")  # with num lock's bit
    assert {letter for word, _ in keys.HELP for letter in word.split()} >= set("rnmdphq+-")
