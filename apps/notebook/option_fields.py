"""The options of an animation as widgets, made from the settings' dataclasses: types, help.

Options -> widgets, and the widgets' values -> a job, checked by the settings themselves.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets as widgets

from apps.options import Option
from apps.studio import option_values
from hybridanim.config import RenderJob

from . import shown


class OptionFields:
    """All options: the main ones, the rest in an accordion."""

    def __init__(self, usual: RenderJob) -> None:
        self._usual = usual
        self._options: dict[str, Option] = {}
        self.fields: dict[str, Any] = {}  # name of an option -> its widget
        (_, first), *others = option_values.groups(usual).items()
        main = widgets.VBox([self._field(option) for option in first])
        boxes = [widgets.VBox([self._field(one) for one in found]) for _, found in others]
        more = widgets.Accordion(boxes, titles=[title for title, _ in others])
        outer = widgets.Accordion([more], titles=["More options"])
        self.widget = widgets.VBox([main, outer])

    def job(self, **own: Any) -> RenderJob:
        """The job of what is shown; own: see ``option_values.job_of``, which raises InputError."""
        values = [_value(self._options[name], field) for name, field in self.fields.items()]
        return option_values.job_of(self._usual, list(self._options.values()), values, **own)

    def _field(self, option: Option) -> Any:
        """The widget of an option above its help."""
        field = _widget(option)
        self._options[option.name], self.fields[option.name] = option, field
        text = widgets.HTML(f'<span style="opacity: .7">{escape(option.text)}</span>')
        return widgets.VBox([field, text])


def _widget(option: Option) -> Any:
    """The widget for an option's type; numbers are texts, since some may be empty or words."""
    label, value = option_values.label(option), option_values.shown(option)
    match option_values.kind(option):
        case "flag":
            return shown.labelled(widgets.Checkbox, label, value=value, indent=False)
        case "choice":
            choices = option_values.choices(option)
            return shown.labelled(widgets.Dropdown, label, options=choices, value=value)
        case "files":
            text = "\n".join(map(str, value))
            return shown.labelled(widgets.Textarea, f"{label} (a path on each line)", value=text)
        case _:
            text = "" if value is None else str(value)
            return shown.labelled(widgets.Text, label, value=text)


def _value(option: Option, field: Any) -> Any:
    """What a widget shows, as ``option_values.value_of`` takes it."""
    match option_values.kind(option):
        case "files":
            return [line.strip() for line in field.value.splitlines() if line.strip()]
        case "file":
            return field.value.strip() or None
        case "number":
            return _number(field.value.strip())
        case _:
            return field.value


def _number(text: str) -> Any:
    """A number; None for nothing, and text that is none as it is, for the settings to refuse."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
