"""The options of an animation as fields of a form, for any kit of components.

Options -> title, label, kind and choices of each field; what the fields show -> a job, checked by
the settings themselves. Gradio's page and the notebook share it.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from apps import options
from apps.options import Option
from hybridanim import schema
from hybridanim.config import RenderJob

MAIN = ("size", "renderer", "tracker", "paste_back", "debug")  # shown first
ELSEWHERE = ("output", "overwrite", "face", "crop", "cache")  # the tab's own, or the server's
OUTPUTS = ("debug", "save_motion")  # ticked here; the tab names their files
_LABELS = {"debug": "Pictures of the stages", "save_motion": "Save the motion"}
_TITLES = {"run": "Cut, sound, mark", "": "Options"}
Kind = Literal["file", "files", "flag", "choice", "number", "text"]


def groups(job: RenderJob) -> dict[str, list[Option]]:
    """Title -> options that a form shows; the main ones come first, under "Options"."""
    found = options.groups(job, MAIN, ELSEWHERE)
    return {_TITLES.get(title, title.capitalize()): some for title, some in found.items() if some}


def label(option: Option) -> str:
    """The words beside the field."""
    return _LABELS.get(option.name, option.name.replace("_", " ").capitalize())


def kind(option: Option) -> Kind:
    """What the field is."""
    kinds = typing.get_args(option.hint)
    if option.hint is bool or option.name in OUTPUTS:
        return "flag"
    if kinds[:1] == (Path,):
        return "files" if Ellipsis in kinds else "file"
    if choices(option):
        return "choice"
    return "number" if option.hint in (int, float) or float in kinds else "text"


def choices(option: Option) -> list[Any]:
    """What an option can be, where that is a list; [] for others."""
    is_literal = typing.get_origin(option.hint) is Literal
    return list(options.entries(option) or (typing.get_args(option.hint) if is_literal else ()))


def shown(option: Option) -> Any:
    """What the field shows at first."""
    value = option.value
    match kind(option):
        case "flag":
            return bool(value)
        case "text":
            return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        case _:
            return value


def value_of(option: Option, shown: Any) -> Any:
    """What the field shows -> the option's value; InputError where it does not fit."""
    flag = "--" + option.name.replace("_", "-")
    kinds = typing.get_args(option.hint)
    if option.name in OUTPUTS:
        return bool(shown)  # the tab replaces it by a path
    if kinds[:1] == (Path,):
        many = shown if isinstance(shown, list) else [shown] if shown else []
        found = tuple(Path(one) for one in many)
        return found if Ellipsis in kinds else (found[0] if found else None)
    if typing.get_origin(option.hint) is tuple:
        shown = [int(word) if word.isdecimal() else word for word in str(shown).split()]
    if shown is None and type(None) not in kinds:
        return option.value
    if option.hint is int and isinstance(shown, float) and shown.is_integer():
        shown = int(shown)
    return schema.fit(shown, option.hint, flag)


def job_of(
    usual: RenderJob, fields: Sequence[Option], shown: Sequence[Any], **own: Any
) -> RenderJob:
    """The job of what the fields show; own: fields that the tab sets, ``OUTPUTS`` as paths.

    Raises InputError in the settings' own words.
    """
    values = {option.name: value_of(option, one) for option, one in zip(fields, shown, strict=True)}
    for name in OUTPUTS:
        path = own.pop(name)
        values[name] = path if values[name] else None
    return options.filled(usual, values | own)
