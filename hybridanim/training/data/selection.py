"""Clips that are used, by columns of their table: ``action=talking|nodding``, ``label!=calm``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hybridanim.errors import InputError

from .dataset_index import DatasetEntry

Condition = tuple[str, bool, frozenset[str]]
"""Column, whether it must (or must not) be one of the values, and these."""


def parse(text: str) -> Condition:
    """One condition; InputError for a text that is none."""
    found = re.fullmatch(r"\s*([^=!|]+?)\s*(!?=)\s*(.*?)\s*", text)
    if found is None:
        raise InputError(
            f"--select {text}: expected COLUMN=VALUE, COLUMN=VALUE|VALUE or COLUMN!=VALUE, got"
            " another text; for example action=talking"
        )
    values = frozenset(value.strip() for value in found[3].split("|"))
    return found[1], found[2] == "=", values


def selected(
    entries: Sequence[DatasetEntry], conditions: Sequence[str]
) -> tuple[list[DatasetEntry], list[DatasetEntry]]:
    """The clips for which all conditions hold, and the others.

    A clip without a value has the value "". Raises InputError where none is left, with the values
    that there are, or for a column that no clip has.
    """
    parsed = [parse(text) for text in conditions]
    for text, (column, _, _) in zip(conditions, parsed, strict=True):
        if not any(one.value(column) for one in entries):
            known = sorted({name for one in entries for name, _ in one.about})
            raise InputError(
                f"--select {text}: expected a column of the table with values, got {column!r};"
                f" known are {', '.join(known) or 'none: give --table'}"
            )
    kept, others = [], []
    for one in entries:
        fits = all((one.value(column) in values) is wanted for column, wanted, values in parsed)
        (kept if fits else others).append(one)
    if not kept:
        column = parsed[0][0]
        values = sorted({one.value(column) for one in entries})
        raise InputError(
            f"--select {' '.join(conditions)}: expected clips that fit, found none; values of"
            f" {column} are {', '.join(map(repr, values[:12]))}"
        )
    return kept, others
