"""Gradio's inputs for the options, made from the settings' dataclasses: fields, types, help.

Options -> components, and the components' values -> a job, checked by the settings themselves.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from apps.options import Option
from hybridanim.config import RenderJob

from . import messages, option_values
from .option_values import ELSEWHERE as ELSEWHERE
from .option_values import MAIN as MAIN


@dataclass(frozen=True)
class Field:
    """An option and its component."""

    option: Option
    component: Any


def build(job: RenderJob) -> list[Field]:
    """Make the components inside of the present Blocks: the main ones, the rest in an accordion."""
    (_, first), *others = option_values.groups(job).items()
    fields: list[Field] = []
    with gr.Row(elem_classes="main-options"):
        fields += [_field(option) for option in first]
    with gr.Accordion("More options", open=False, elem_id="more-options"):
        for title, found in others:
            with gr.Accordion(title, open=False):
                fields += [_field(option) for option in found]
    return fields


def job_of(
    usual: RenderJob, fields: Sequence[Field], shown: Sequence[Any], **own: Any
) -> RenderJob:
    """The job of the components' values, see ``option_values.job_of``."""
    return option_values.job_of(usual, [field.option for field in fields], shown, **own)


def _field(option: Option) -> Field:
    """The component for an option's type."""
    about: dict[str, Any] = {
        "label": option_values.label(option),
        "elem_id": f"option-{option.name}",
        "interactive": True,
    }
    kind, value = option_values.kind(option), option_values.shown(option)
    if kind in ("file", "files"):
        count = "multiple" if kind == "files" else "single"
        gr.HTML(messages.note(f"{about['label']}: {option.text}"), elem_classes="message")
        return Field(option, gr.File(file_count=count, height=110, **about))
    about["info"] = option.text
    if kind == "flag":
        component: Any = gr.Checkbox(value=value, **about)
    elif kind == "choice":
        component = gr.Dropdown(
            option_values.choices(option), value=value, filterable=False, **about
        )
    elif kind == "number":
        precision = 0 if option.hint is int else None
        component = gr.Number(value=value, precision=precision, **about)
    else:
        component = gr.Textbox(value=value, max_lines=1, **about)
    return Field(option, component)
