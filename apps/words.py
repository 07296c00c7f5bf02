"""Words of the command line that nothing can be made of, refused before options are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hybridanim import paths
from hybridanim.errors import InputError

_ADDRESS = re.compile(r"(?:--[\w-]+=)?([A-Za-z][A-Za-z0-9+.-]+://.*)", re.DOTALL)
_NEAR = 0.75  # likeness of words: "trian" and "train" have 0.8, "portrait" and "train" 0.62
_WITH_ADDRESSES = "--camera"  # the option that takes them


def refuse_addresses(argv: Sequence[str]) -> None:
    """Raise InputError for a URL where a file is wanted: paths would take two slashes for one."""
    for before, word in pairwise(("", *argv)):
        found = _ADDRESS.fullmatch(word)
        if found is None or _WITH_ADDRESSES in (before, word.partition("=")[0]):
            continue
        parts = urlsplit(found[1])
        if parts.scheme == "file":
            hint = f"give {unquote(parts.path)}"
        else:
            hint = "download it first: nothing is fetched from a network"
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no password
        raise InputError(
            f"expected a file or folder of this machine, got the address {address}; {hint}"
        )


def refuse_unknown_command(argv: Sequence[str], commands: Iterable[str], program: str) -> None:
    """Raise InputError for a first word that is neither a file nor one of the commands.

    A word with an ending or a folder is taken for a file; so is one that another word follows,
    unless it is nearly a command.
    """
    word = argv[0] if argv else "-"
    is_name = re.fullmatch(r"\w[\w-]*", word) is not None
    if not is_name or paths.look(Path(word)) is not None:
        return
    commands = list(commands)
    plain = word.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, [*commands, "help"], 1, _NEAR)
    is_tool = plain.isascii() and find_spec(f"calibration.{plain}") is not None
    is_alone = len(argv) == 1 or argv[1].startswith("-")
    if not (near or is_tool or is_alone):
        return
    if is_tool:
        hint = f"calibration has a command line of its own: python -m calibration.{plain}"
    elif near:
        hint = f"did you mean {program} {'--help' if near[0] == 'help' else near[0]}?"
    else:
        hint = f"{program} --help lists them"
    raise InputError(
        f"expected files, or one of the commands {', '.join(commands)}, got the unknown command"
        f" {word!r}; {hint}"
    )
