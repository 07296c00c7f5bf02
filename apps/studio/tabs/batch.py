"""The tab Batch: pictures and videos -> a table of all pairs, their states and results."""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from apps.batch.plan import plan_pairs
from apps.batch.run import MOST_WORKERS, Settings, default_workers
from apps.studio import consent, messages
from apps.studio.batches import Batches
from apps.studio.context import Context
from apps.studio.inputs import SECRET
from hybridanim.errors import InputError

TITLE = "Batch"
COLUMNS = ["job", "picture", "driving video", "state", "frames", "seconds", "notes"]
_EVERY_S = 1.0  # between two looks at a batch that runs
_MOST_PAIRS = 1000
_ABOUT = (
    "Every picture is animated by every driving video. The same files and folder go on from where a"
    " batch was stopped; what is done is left alone."
)


def build(context: Context) -> tuple[Callable[[], Any], list[Any]]:
    """Make the tab; returns what has to be brought up to date when it is opened."""
    batches = Batches()
    gr.HTML(messages.note(_ABOUT))
    with gr.Row():
        sources = _files("Pictures to animate", "batch-sources")
        drivers = _files("Driving videos", "batch-drivers")
    agreed = gr.Checkbox(False, label=f"For each picture: {consent.TEXT}", elem_id="batch-consent")
    with gr.Row():
        folder = gr.Textbox("batch", label="Folder for the results", max_lines=1)
        folder.elem_id = "batch-folder"
        size = gr.Number(
            context.animation.pipeline.size,
            label="Size in pixels; 0: as the source",
            precision=0,
            elem_id="batch-size",
        )
        workers = gr.Number(
            default_workers(),
            label="Workers at the same time",
            precision=0,
            minimum=1,
            maximum=MOST_WORKERS,
            elem_id="batch-workers",
        )
    with gr.Row():
        start = gr.Button("Start", variant="primary", elem_id="batch-start")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="batch-stop")
    status = gr.HTML(elem_id="batch-status", elem_classes="message")
    table = gr.Dataframe(
        [], headers=COLUMNS, interactive=False, wrap=True, label="Jobs", elem_id="batch-table"
    )
    chosen = gr.Dropdown([], label="Result", filterable=False, elem_id="batch-result")
    video = gr.Video(label="Result", interactive=False, height=320, elem_id="batch-video")
    timer = gr.Timer(_EVERY_S, active=False)
    shown = [status, table, chosen, stop, timer]
    quiet: dict[str, Any] = {"show_progress": "hidden"} | SECRET

    def begin(*values: Any) -> list[Any]:
        try:
            _begin(context, batches, *values)
        except InputError as error:
            return [messages.error(str(error)), *[gr.skip()] * 4]
        return _state(batches)

    def end() -> list[Any]:
        batches.stop()
        return _state(batches)

    asked = [sources, drivers, agreed, folder, size, workers]
    start.click(begin, asked, shown, **SECRET)
    stop.click(end, None, shown, **SECRET)
    timer.tick(lambda: _state(batches), None, shown, **quiet)
    chosen.change(lambda name: _path(batches, name), chosen, video, **SECRET)
    return lambda: _state(batches), shown


def _files(label: str, name: str) -> Any:
    return gr.File(label=label, file_count="multiple", height=140, elem_id=name)


def _begin(
    context: Context,
    batches: Batches,
    sources: Sequence[str] | None,
    drivers: Sequence[str] | None,
    is_agreed: bool,
    folder: str,
    size: float | None,
    workers: float | None,
) -> None:
    """Start a batch of all pairs; InputError for what is missing."""
    pictures, videos = ([Path(one) for one in given or []] for given in (sources, drivers))
    if not pictures or not videos:
        raise InputError(
            f"batch: expected pictures and driving videos, got {len(pictures)} and {len(videos)};"
            " drop some of both"
        )
    if len(pictures) * len(videos) > _MOST_PAIRS:
        raise InputError(
            f"batch: expected at most {_MOST_PAIRS} pairs, got {len(pictures) * len(videos)};"
            " give fewer, or use the command line"
        )
    name = folder.strip()
    if Path(name).name != name or name.startswith("."):
        raise InputError(
            f"batch: expected the name of a folder, got {name!r}; leave slashes and dots out"
        )
    for path in pictures:
        if is_agreed:
            context.consent.give(path)
        context.consent.expect(path)
    job = context.animation
    job = replace(job, pipeline=replace(job.pipeline, size=int(size or 0)))
    plan = plan_pairs(pictures, videos, out=context.results / name, common=job)
    batches.start(plan, Settings(workers=int(workers or 0)))


def _state(batches: Batches) -> list[Any]:
    """Values for status, table, choice of results, stop and timer."""
    rows, is_running = batches.rows(), batches.is_running
    names = [path.name for path in batches.results()]
    counts = [sum(row[3].startswith(state) for row in rows) for state in ("done", "failed")]
    text = f"{counts[0]} of {len(rows)} done, {counts[1]} failed" if rows else ""
    text += "; running" if is_running else ""
    status = messages.error(batches.error) or f'<p role="status">{text}</p>'
    return [
        status,
        gr.update(value=rows),
        gr.update(choices=names),
        gr.Button(interactive=is_running),
        gr.Timer(active=is_running),
    ]


def _path(batches: Batches, name: str | None) -> str | None:
    """The file of a result's name; None for any that is none."""
    return next((str(path) for path in batches.results() if path.name == name), None)
