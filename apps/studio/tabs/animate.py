"""The tab Animate: a picture and a video -> an animation, with progress, cancel and history."""

# pyright: reportMissingImports=false
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from apps.studio import forms, messages, submission, work
from apps.studio.context import Context
from apps.studio.inputs import SECRET, DrivingInput, SourceInput
from apps.studio.jobs import ENDED, Animation
from apps.studio.submission import Asked
from hybridanim.config import RenderJob
from hybridanim.errors import InputError

TITLE = "Animate"
_PLAYED = (".mp4", ".webm", ".m4v")  # by every browser
_EVERY_S = 0.5  # between two looks at an animation that runs


@dataclass(frozen=True)
class _Outcome:
    """Components of a run: its state, and what it gives."""

    current: Any  # id of the animation that is shown
    mine: Any  # ids of this session
    status: Any
    timer: Any
    cancel: Any
    driver: Any
    result: Any
    picture: Any
    files: Any
    command: Any
    notes: Any
    history: Any


def build(context: Context) -> None:
    """Make the tab."""
    with gr.Row():
        with gr.Column(min_width=300):
            source = SourceInput(context)
        with gr.Column(min_width=300):
            driving = DrivingInput(context)
    with gr.Row():
        for number, example in enumerate(context.examples):
            button = gr.Button(f"Example: {example.name}", size="sm", elem_id=f"example-{number}")
            pair = [str(example.source), str(example.driving)]
            button.click(_values(pair), None, [source.file, driving.file], **SECRET)
    fields = forms.build(context.animation)
    kind = gr.Dropdown(
        list(work.FORMATS),
        value="mp4",
        label="Kind of file",
        filterable=False,
        elem_id="kind",
    )
    with gr.Row():
        run = gr.Button("Animate", variant="primary", elem_id="run")
        cancel = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
    error = gr.HTML(elem_id="run-error", elem_classes="message")
    outcome = _outcome(cancel)
    errors = [source.error, driving.error, error]
    asked = [source.file, source.face, source.crop, source.agreed, driving.looked, driving.face]
    asked += [kind, outcome.current, outcome.mine, *(field.component for field in fields)]
    started = [outcome.current, outcome.mine, outcome.timer, outcome.status, outcome.cancel]

    def submit(*values: Any) -> list[Any]:
        return _submit(context, fields, *values)

    run.click(submit, asked, [*started, *errors], **SECRET)
    shown = list(vars(outcome).values())[2:]
    follow: dict[str, Any] = {"show_progress": "hidden"} | SECRET

    def look(current: str, mine: list[str]) -> list[Any]:
        return _look(context, current, mine)

    outcome.timer.tick(look, [outcome.current, outcome.mine], [*shown, error], **follow)
    outcome.history.input(look, [outcome.history, outcome.mine], [*shown, error], **follow)
    cancel.click(lambda current: _cancel(context, current), outcome.current, None, **follow)


def _outcome(cancel: Any) -> _Outcome:
    """Make the components of a run."""
    status = gr.HTML(elem_id="status", elem_classes="message")
    with gr.Row():
        driver = gr.Video(label="Driver", interactive=False, elem_id="driver-video", height=320)
        result = gr.Video(
            label="Result",
            interactive=False,
            elem_id="result-video",
            height=320,
            autoplay=True,
            loop=True,
            buttons=["download"],
        )
        picture = gr.Image(
            label="Result",
            interactive=False,
            visible=False,
            type="filepath",
            elem_id="result-picture",
            alt_text="the animation",
        )
    notes = gr.HTML(elem_id="notes", elem_classes="message")
    files = gr.File(
        label="Files: result, record, and what was asked for",
        file_count="multiple",
        interactive=False,
        visible=False,
        elem_id="result-files",
    )
    command = gr.Textbox(
        label="The same as a command",
        buttons=["copy"],
        interactive=False,
        visible=False,
        elem_id="command",
    )
    history = gr.Radio([], label="History of this page", visible=False, elem_id="history")
    return _Outcome(
        current=gr.State(""),
        mine=gr.State([]),
        status=status,
        timer=gr.Timer(_EVERY_S, active=False),
        cancel=cancel,
        driver=driver,
        result=result,
        picture=picture,
        files=files,
        command=command,
        notes=notes,
        history=history,
    )


def _submit(
    context: Context,
    fields: list[forms.Field],
    source: str | None,
    face: int | None,
    crop: str,
    is_agreed: bool,
    looked: work.Looked | None,
    driving_number: int | None,
    kind: str,
    current: str,
    mine: list[str],
    *values: Any,
) -> list[Any]:
    """Start an animation, or show why not beside the input that is at fault."""
    asked = Asked(
        source=None if source is None else Path(source),
        face=face or 0,
        crop=crop,
        is_agreed=is_agreed,
        driving=looked,
        driving_face=driving_number or 0,
        kind=kind,
    )
    try:
        animation = submission.submit(context, asked, partial(_job, context, fields, values))
    except InputError as error:
        places = [messages.place_of(str(error)) == name for name in ("source", "driving", "run")]
        errors = [messages.error(str(error)) if is_here else "" for is_here in places]
        return [current, mine, gr.skip(), gr.skip(), gr.skip(), *errors]
    status = messages.progress(animation, context.queue.place(animation))
    started = [animation.id, [*mine, animation.id], gr.Timer(active=True), status]
    return [*started, gr.Button(interactive=True), "", "", ""]


def _job(
    context: Context, fields: list[forms.Field], values: tuple[Any, ...], **own: Any
) -> RenderJob:
    """The job of what the page shows; own: what ``submission`` chooses."""
    job = forms.job_of(context.animation, fields, values, **own)
    work.refuse_files_of_the_server(job)
    return job


def _cancel(context: Context, current: str) -> None:
    animation = context.queue.get(current)
    if animation is not None:
        context.queue.cancel(animation)


def _look(context: Context, current: str | None, mine: list[str]) -> list[Any]:
    """State of an animation, and what it gave once it has ended; for ``_Outcome`` from status."""
    animation = context.queue.get(current or "")
    count = 10  # components of ``_Outcome`` from status on
    if animation is None:
        return [gr.skip(), gr.Timer(active=False), *[gr.skip()] * (count - 2), gr.skip()]
    status = messages.progress(animation, context.queue.place(animation))
    history = _history(context, mine, animation)
    if animation.state not in ENDED:
        cancel = gr.Button(interactive=True)
        return [status, gr.Timer(active=True), cancel, *[gr.skip()] * 6, history, gr.skip()]
    ended = [status, gr.Timer(active=False), gr.Button(interactive=False), *_result(animation)]
    return [*ended, history, messages.error(animation.error)]


def _result(animation: Animation) -> list[Any]:
    """Values for driver, result, picture, files, command and notes."""
    command = work.command_line(animation.job, animation.source, animation.driving)
    command = gr.update(value=command, visible=True)
    driver = str(animation.driving) if animation.driving.suffix.lower() in _PLAYED else None
    summary = animation.summary
    if summary is None:
        hidden = gr.update(value=None, visible=False)
        return [driver, gr.update(value=None, visible=True), hidden, hidden, command, ""]
    path, job = summary.output, animation.job
    is_played = path.suffix in _PLAYED
    result = gr.update(value=str(path) if is_played else None, visible=path.suffix != ".gif")
    picture = gr.update(value=str(path), visible=True) if path.suffix == ".gif" else None
    found = [path, summary.record, job.save_motion]
    if job.debug is not None and summary.has_debug:
        found.append(job.debug / "report.html")
    files = [str(one) for one in found if one is not None and one.is_file()]
    notes = messages.notes([*summary.about, *summary.notes])
    if not is_played and path.suffix != ".gif":
        notes += messages.note(f"Browsers do not play {path.suffix} files; download it.")
    shown = picture or gr.update(value=None, visible=False)
    return [driver, result, shown, gr.update(value=files, visible=True), command, notes]


def _history(context: Context, mine: list[str], shown: Animation) -> Any:
    """The choice among the animations of this session, newest first."""
    found = [one for one in map(context.queue.get, reversed(mine)) if one is not None]
    choices = [(submission.line(one), one.id) for one in found]
    return gr.update(choices=choices, value=shown.id, visible=bool(choices))


def _values(pair: list[str]) -> Any:
    return lambda: pair
