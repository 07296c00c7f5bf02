"""The tab Stages: the debug pictures of any frame of a result, and why its motion was held."""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from apps.studio import messages, stage_files
from apps.studio.context import Context
from apps.studio.inputs import SECRET
from apps.studio.stage_files import StageFiles
from hybridanim.errors import InputError

TITLE = "Stages"
_NONE = (
    "No result with pictures of its stages yet: tick “Pictures of the stages” in the tab Animate."
)


def build(context: Context) -> tuple[Callable[[], Any], list[Any]]:
    """Make the tab; returns what has to be brought up to date when it is opened."""
    run = gr.Dropdown([], label="Result", filterable=False, elem_id="stages-run")
    about = gr.HTML(messages.note(_NONE), elem_id="stages-about", elem_classes="message")
    stage = gr.Radio(list(stage_files.SHOWN)[:1], label="Stage", elem_id="stages-stage")
    frame = gr.Slider(0, 1, value=0, step=1, label="Frame", elem_id="stages-frame")
    line = gr.HTML(elem_id="stages-line", elem_classes="message")
    picture = gr.Image(
        label="What the stage saw",
        interactive=False,
        buttons=["fullscreen", "download"],
        format="jpeg",
        elem_id="stages-picture",
        elem_classes="still",
        alt_text="what the stage saw of this frame",
    )
    held = gr.Radio([], label="Motion was held; choose a stretch to see it", visible=False)
    held.elem_id = "stages-held"
    read = _reader(context)
    shown: dict[str, Any] = {"show_progress": "hidden"} | SECRET
    seen = [run, stage, frame]

    def opened() -> Any:
        names = [folder.name for folder in stage_files.found_in(context.results)]
        value = names[0] if names else None
        return gr.update(choices=names, value=value), "" if names else messages.note(_NONE)

    def chosen(name: str | None) -> list[Any]:
        return _choices(read, name)

    def show(name: str | None, label: str | None, number: float) -> tuple[Any, str]:
        return _shown(read, name, label, number)

    run.change(chosen, run, [stage, frame, held, about], **SECRET).then(
        show, seen, [picture, line], **shown
    )
    for event in (frame.change, stage.change):
        event(show, seen, [picture, line], trigger_mode="always_last", **shown)
    held.input(lambda number: number, held, frame, **SECRET)
    return opened, [run, about]


def _reader(context: Context) -> Callable[[str], StageFiles]:
    """Reads a folder of debug outputs by its name among those in the folder for results."""

    def read(name: str) -> StageFiles:
        for folder in stage_files.found_in(context.results):
            if folder.name == name:
                return StageFiles.read(folder)
        raise InputError(f"stages: expected a result that is there, got {name}; choose another")

    return read


def _choices(read: Callable[[str], StageFiles], name: str | None) -> list[Any]:
    """Stages, frames and held stretches of a run, and an error."""
    hidden = gr.update(choices=[], value=None, visible=False)
    if name is None:
        return [gr.skip(), gr.skip(), hidden, messages.note(_NONE)]
    try:
        found = read(name)
    except InputError as error:
        return [gr.skip(), gr.skip(), hidden, messages.error(str(error))]
    stretches = [(str(stretch), number) for number, stretch in found.stretches()]
    stage = gr.update(choices=found.labels, value=found.labels[0])
    frame = gr.update(maximum=max(1, len(found.rows) - 1), value=0)
    held = gr.update(choices=stretches, value=None, visible=bool(stretches))
    is_whole = messages.note("" if stretches else "Motion was held nowhere.")
    return [stage, frame, held, is_whole]


def _shown(
    read: Callable[[str], StageFiles], name: str | None, label: str | None, number: float
) -> tuple[Any, str]:
    """The picture of a stage at a frame, and the frame's numbers."""
    if name is None or label is None:
        return None, ""
    try:
        found = read(name)
        row = found.rows[min(int(number), len(found.rows) - 1)]
        label = label if label in found.labels else found.labels[0]
        return found.picture(label, int(number)), messages.note(str(row))
    except InputError as error:
        return None, messages.error(str(error))
