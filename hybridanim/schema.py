"""Tables (TOML, keywords) <-> dataclasses, with errors that name the user's own options.

Used by config.py for settings and by anything else that reads a dataclass from a file.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from .errors import InputError

T = TypeVar("T")


def from_flat(cls: type[T], options: Mapping[str, Any], where: str) -> T:
    """Build a dataclass of dataclasses from one flat table of option names.

    A nested table named like a field fills that part. Unknown names raise InputError and suggest
    the nearest; values are checked against the field's type.
    """
    built, rest = {}, dict(options)
    hints = typing.get_type_hints(cls)
    for name, hint in hints.items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            own = dict(rest.pop(name, {})) if isinstance(rest.get(name, {}), Mapping) else {}
            inside = [*all_names(hint), *_parts(hint)]
            own |= {n: rest.pop(n) for n in inside if n in rest}
            built[name] = from_flat(hint, own, where)
        elif name in rest:
            key = name.replace("_", "-")
            built[name] = fit(rest.pop(name), hint, f"{where}: {key}")
    if rest:
        refuse_unknown(next(iter(rest)), all_names(cls), where)
    return cls(**built)


def flat(settings: Any) -> dict[str, Any]:
    """Every option of a dataclass of dataclasses: its name, without that of its part -> value."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        found |= flat(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return found


def flat_options(cls: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options, of which some are in sections (tables named like a part of ``cls``), side by side.

    An option that stands outside a section wins over one of its name inside.
    """
    inside: dict[str, Any] = {}
    outside = dict(options)
    for name, hint in typing.get_type_hints(cls).items():
        if not (isinstance(hint, type) and dataclasses.is_dataclass(hint)):
            continue
        if isinstance(section := outside.get(name), Mapping):
            inside |= flat_options(hint, section)
            del outside[name]
        outside = flat_options(hint, outside)
    return inside | outside


def flat_hints(cls: type) -> dict[str, Any]:
    """Every option of a dataclass of dataclasses: its name -> its type."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(cls).items():
        is_part = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        found |= flat_hints(hint) if is_part else {name: hint}
    return found


def from_text(text: str, hint: Any, where: str) -> Any:
    """The value of a type that a text means, as in a table of texts; InputError as ``fit``.

    true, false, yes and no are truth values; several values are separated by spaces or commas.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return fit([_plain(part, inner[0]) for part in text.replace(",", " ").split()], hint, where)
    hints = inner if origin in (types.UnionType, typing.Union) else (hint,)
    for one in hints:
        value = _plain(text, one)
        if not isinstance(value, str):
            return fit(value, hint, where)
    return fit(text, hint, where)


def _plain(text: str, hint: Any) -> Any:
    """A text as the number or truth value that the type asks for, or as it is."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    if hint is bool:
        return words.get(text.lower(), text)
    try:
        return hint(text) if hint in (int, float) else text
    except ValueError:
        return text


def replaced(config: T, settings: Mapping[str, Any], where: str) -> T:
    """The dataclass with other values of its fields, checked as ``from_flat`` does."""
    hints = typing.get_type_hints(type(config))
    for name in settings:
        if name not in hints:
            refuse_unknown(name, list(hints), where)
    checked = {
        name: fit(value, hints[name], f"{where}: {name}") for name, value in settings.items()
    }
    return dataclasses.replace(config, **checked)  # type: ignore[type-var]


def exactly(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a table with just its keys; those with a default may be left out.

    A nested table builds a nested dataclass. Raises InputError for unknown or missing keys.
    """
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    unknown, missing = sorted(set(table) - set(hints)), sorted(needed - set(table))
    if unknown or missing:
        raise InputError(
            f"{where}: expected the keys {', '.join(hints)}, got unknown {unknown or 'none'} and"
            f" missing {missing or 'none'}; correct the spelling or make it anew"
        )
    return cls(
        **{name: fit(value, hints[name], f"{where}, {name}") for name, value in table.items()}
    )


def all_names(cls: type) -> list[str]:
    """Every option name of a dataclass, nested ones without their prefix."""
    names: list[str] = []
    for name, hint in typing.get_type_hints(cls).items():
        is_part = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        names += all_names(hint) if is_part else [name]
    return names


def refuse_unknown(name: str, known: list[str], where: str) -> typing.NoReturn:
    """Raise InputError for an unknown option, suggesting the nearest known one."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(sorted(known))}"
    raise InputError(f"{where}: expected a known option, got {name!r}; {hint}")


def fit(value: Any, hint: Any, where: str) -> Any:
    """``value`` converted to the annotation ``hint``; numpy's numbers count as numbers.

    Raises InputError when it does not fit.
    """
    value = value.item() if isinstance(value, np.generic) else value
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return exactly(hint, value, where)
    if origin in (types.UnionType, typing.Union):
        return _fit_any(value, inner, hint, where)
    if origin is tuple and isinstance(value, list | tuple):
        return _fit_tuple(tuple(value), hint, where)
    if origin is Literal and value in inner:
        return value
    if hint is float and is_number(value):
        return float(value)
    if hint is Path and isinstance(value, str | Path) and "\0" not in str(value):
        return Path(value)
    if hint is type(None) and value is None:
        return None
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, str) and isinstance(value, hint) and not isinstance(value, bool):
        return value
    raise InputError(f"{where}: expected {describe(hint)}, got {value!r}; correct the value")


def _fit_tuple(values: tuple[Any, ...], hint: Any, where: str) -> tuple[Any, ...]:
    inner = typing.get_args(hint)
    hints = [inner[0]] * len(values) if inner[-1] is ... else list(inner)
    if len(hints) != len(values):
        raise InputError(f"{where}: expected {len(hints)} values, got {values}; correct the value")
    return tuple(fit(v, h, where) for v, h in zip(values, hints, strict=True))


def is_number(value: Any) -> bool:
    """Whether it is a finite real number (bool is not)."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return is_real and math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def describe(hint: Any) -> str:
    """A type annotation as text for an error message."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, str(hint).replace("hybridanim.", ""))


def _parts(cls: type) -> list[str]:
    """Names of the fields that are dataclasses themselves: the sections of a table."""
    hints = typing.get_type_hints(cls)
    return [name for name, hint in hints.items() if dataclasses.is_dataclass(hint)]


def _fit_any(value: Any, hints: tuple[Any, ...], hint: Any, where: str) -> Any:
    for one in hints:
        try:
            return fit(value, one, where)
        except InputError:
            continue
    raise InputError(f"{where}: expected {describe(hint)}, got {value!r}; correct the value")
