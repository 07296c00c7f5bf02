"""Gradio's inputs for the options, made from the settings' dataclasses: fields, types, help.

Options -> components, and the components' values -> a job, checked by the settings themselves.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from apps import options
from apps.options import Option
from hybridanim import schema
from hybridanim.config import RenderJob

from . import messages

MAIN = ("size", "renderer", "tracker", "paste_back", "debug")  # shown first
ELSEWHERE = ("output", "overwrite", "face", "crop", "cache")  # the tab's own, or the server's
OUTPUTS = ("debug", "save_motion")  # ticked here; the tab names their files
_LABELS = {"debug": "Pictures of the stages", "save_motion": "Save the motion"}
_TITLES = {"run": "Cut, sound, mark", "": "Options"}


@dataclass(frozen=True)
class Field:
    """An option and its component."""

    option: Option
    component: Any

    def value_of(self, shown: Any) -> Any:
        """What the component shows -> the option's value; InputError where it does not fit."""
        option, flag = self.option, "--" + self.option.name.replace("_", "-")
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


def build(job: RenderJob) -> list[Field]:
    """Make the components inside of the present Blocks: the main ones, the rest in an accordion."""
    groups = options.groups(job, MAIN)
    fields: list[Field] = []
    with gr.Row(elem_classes="main-options"):
        fields += [_field(option) for option in groups.pop("")]
    with gr.Accordion("More options", open=False, elem_id="more-options"):
        for title, found in groups.items():
            shown = [option for option in found if option.name not in ELSEWHERE]
            with gr.Accordion(_TITLES.get(title, title.capitalize()), open=False):
                fields += [_field(option) for option in shown]
    return fields


def job_of(
    usual: RenderJob, fields: Sequence[Field], shown: Sequence[Any], **own: Any
) -> RenderJob:
    """The job of the components' values; own: fields that the tab sets, ``OUTPUTS`` as paths.

    Raises InputError in the settings' own words.
    """
    values = {f.option.name: f.value_of(one) for f, one in zip(fields, shown, strict=True)}
    for name in OUTPUTS:
        path = own.pop(name)
        values[name] = path if values[name] else None
    return options.filled(usual, values | own)


def _field(option: Option) -> Field:
    """The component for an option's type."""
    about: dict[str, Any] = {
        "label": _LABELS.get(option.name, option.name.replace("_", " ").capitalize()),
        "elem_id": f"option-{option.name}",
        "interactive": True,
    }
    kinds = typing.get_args(option.hint)
    if kinds[:1] == (Path,) and option.name not in OUTPUTS:
        count = "multiple" if Ellipsis in kinds else "single"
        gr.HTML(messages.note(f"{about['label']}: {option.text}"), elem_classes="message")
        return Field(option, gr.File(file_count=count, height=110, **about))
    about["info"] = option.text
    choices = options.entries(option) or (
        kinds if typing.get_origin(option.hint) is typing.Literal else ()
    )
    value = option.value
    if option.hint is bool or option.name in OUTPUTS:
        component: Any = gr.Checkbox(value=bool(value), **about)
    elif choices:
        component = gr.Dropdown(list(choices), value=value, filterable=False, **about)
    elif option.hint in (int, float) or float in kinds:
        precision = 0 if option.hint is int else None
        component = gr.Number(value=value, precision=precision, **about)
    else:
        text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        component = gr.Textbox(value=text, max_lines=1, **about)
    return Field(option, component)
