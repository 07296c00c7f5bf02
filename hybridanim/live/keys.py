"""Hotkeys: a key's code -> the action that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verb = Literal[
    "reference", "source", "next", "debug", "mirror", "stronger", "weaker", "pause", "help", "quit"
]
_ESCAPE = 27
_VERBS: dict[str, Verb] = {
    "r": "reference",
    "n": "next",
    "d": "debug",
    "m": "mirror",
    "+": "stronger",
    "=": "stronger",  # the same key without shift
    "-": "weaker",
    "_": "weaker",
    "p": "pause",
    " ": "pause",
    "h": "help",
    "?": "help",
    "q": "quit",
    chr(_ESCAPE): "quit",
}
HELP = (
    ("r", "take this pose as the reference"),
    ("n", "next source, 1 to 9: that one"),
    ("+ -", "stronger or weaker motion"),
    ("m", "mirror the camera"),
    ("d", "what the tracker sees"),
    ("p", "pause"),
    ("h", "this help"),
    ("q", "quit"),
)


@dataclass(frozen=True, slots=True)
class Action:
    """What a key asks for; ``number`` counts sources from 0."""

    verb: Verb
    number: int = 0


def parse_key(code: int) -> Action | None:
    """The action of a key; None when it has none. code: of OpenCV's waitKey, -1 = no key."""
    if code < 0:
        return None
    letter = chr(code & 0xFF).lower()
    if letter in "123456789":
        return Action("source", int(letter) - 1)
    verb = _VERBS.get(letter)
    return Action(verb) if verb else None
