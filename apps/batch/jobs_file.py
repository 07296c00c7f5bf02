"""A list of jobs, TOML or CSV -> options for all jobs and options of each, names not yet checked.

TOML: options for all jobs, in sections or not, then one ``[[job]]`` each. CSV: one row each; the
first row names the columns, an empty cell leaves the option as it is for all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridanim import paths, schema
from hybridanim.config import RenderJob
from hybridanim.errors import InputError

FILES = ("source", "driving")
_MOST_BYTES = 16 << 20
_HINTS = schema.flat_hints(RenderJob)
_GUIDE = "see docs/guide/batch.md"


@dataclass(frozen=True)
class Row:
    """One job as the file has it."""

    where: str  # how a message names it
    options: dict[str, Any]  # with source and driving


@dataclass(frozen=True)
class Listing:
    """A file of jobs."""

    folder: Path  # that relative names of inputs are of
    common: dict[str, Any] = field(default_factory=dict)  # options for all jobs
    rows: tuple[Row, ...] = ()


def read(path: Path) -> Listing:
    """The jobs of a file; raises InputError for one that holds none or has another form."""
    if path.suffix.lower() == ".csv":
        common, rows = {}, _from_csv(path)
    elif path.suffix.lower() == ".toml":
        common, rows = _from_toml(path)
    else:
        raise InputError(
            f"batch {path}: expected a list of jobs named .toml or .csv, got"
            f" {path.suffix or 'no ending'}; {_GUIDE}"
        )
    if not rows:
        raise InputError(f"batch {path.name}: expected at least one job, got none; {_GUIDE}")
    return Listing(path.absolute().parent, common, tuple(rows))


def _from_toml(path: Path) -> tuple[dict[str, Any], list[Row]]:
    want = "a TOML file of jobs"
    table = _named(paths.read_toml(f"batch {path}", path, want, _GUIDE, _MOST_BYTES))
    rows = table.pop("job", [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(
            f"batch {path.name}: expected each job below a line [[job]], got job ="
            f" {str(rows)[:40]}; {_GUIDE}"
        )
    for name in FILES:
        if name in table:
            raise InputError(
                f"batch {path.name}: expected {name} in each [[job]], got it for all; move it"
            )
    return table, [Row(f"{path.name}, job {n}", _named(row)) for n, row in enumerate(rows, 1)]


def _from_csv(path: Path) -> list[Row]:
    try:
        text = paths.read_text(path, _MOST_BYTES).removeprefix("\ufeff")
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except InputError as error:
        raise InputError(f"batch {path}: {error}") from error
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"batch {path}: expected a CSV file, got {reason}; {_GUIDE}") from error
    table = [row for row in table if any(cell.strip() for cell in row)]
    if not table:
        return []
    names = [name.strip().replace("-", "_") for name in table[0]]
    if len(set(names)) < len(names):
        raise InputError(f"batch {path.name}: expected each column once, got {', '.join(names)}")
    return [_row(path, number, names, cells) for number, cells in enumerate(table[1:], 1)]


def _row(path: Path, number: int, names: list[str], cells: list[str]) -> Row:
    where = f"{path.name}, job {number}"
    if len(cells) != len(names):
        raise InputError(
            f"{where}: expected {len(names)} cells, as in the first row, got {len(cells)}; put"
            " cells with commas in quotes"
        )
    found = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}
    typed = {
        name: schema.from_text(cell, _HINTS[name], f"{where}: {name}") if name in _HINTS else cell
        for name, cell in found.items()
    }
    return Row(where, typed)


def _named(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with names as the settings have them."""
    return {name.replace("-", "_"): _renamed(value) for name, value in table.items()}


def _renamed(value: Any) -> Any:
    return _named(value) if isinstance(value, Mapping) else value
