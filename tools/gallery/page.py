"""rows.toml -> the rows of the gallery, and the text of its page."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("rows.toml")
PAGE = Path("results/gallery.md")  # below the folder of the gallery
PICTURES = Path("pictures/gallery")  # likewise


class Entry(NamedTuple):
    """One row of the gallery."""

    name: str
    group: str  # a key of the table's groups
    title: str
    source: str  # a name of portraits.py
    driver: str  # a name of drivers.py, or a file
    times_s: tuple[float, ...]  # none: spread over the clip
    text: str  # what it shows, in a sentence or two


def entries(table: Path = TABLE) -> list[Entry]:
    """All rows, in the order of the page."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["row"]
    return [Entry(**{**row, "times_s": tuple(row["times_s"])}) for row in rows]


def entries_of_driver(driver: Path, sources: Sequence[str]) -> list[Entry]:
    """Each source once, animated by the user's clip."""
    return [
        Entry(name, "own", name.replace("_", " "), name, str(driver), (), "") for name in sources
    ]


def text(chosen: Sequence[Entry], pictures: Mapping[str, Path]) -> str:
    """The page as Markdown; rows without a picture are left out."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    parts = [table["head"].strip()]
    for group in dict.fromkeys(entry.group for entry in chosen):
        about = table["groups"][group]
        parts += [f"## {about['title']}", about["text"].strip()]
        for entry in chosen:
            if entry.group == group and entry.name in pictures:
                place = (Path("..") / PICTURES / pictures[entry.name].name).as_posix()
                parts += [f"### {entry.title}", f"![{entry.title}]({place})", entry.text.strip()]
    return "\n\n".join(part for part in (*parts, table["foot"].strip()) if part) + "\n"
