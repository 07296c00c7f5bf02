"""The studio of a notebook: source and driver, and the tabs Animate, Pose and Stages.

    from hybridanim.notebook import Studio
    studio = Studio(size=256)      # options of the command line
    studio                         # shows it
    studio.use_example()
    studio.animate()               # as the button does
    studio.wait()                  # path of the result

Everything runs in the notebook's kernel; no file is sent anywhere but to the browser that shows it.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from apps.studio import context as contexts
from apps.studio.config import StudioJob
from apps.studio.jobs import Animation
from hybridanim import schema
from hybridanim.config import RenderJob
from hybridanim.errors import InputError

from . import animate, pose, shown, stages
from .inputs import DrivingInput, SourceInput

RESULTS = Path("out") / "notebook"


class Studio:
    """Widgets that animate a picture, pose it, and show the stages of a result.

    ``widget`` holds all of them; a cell whose last line is a Studio shows it.
    """

    def __init__(
        self,
        source: str | Path | None = None,
        driving: str | Path | None = None,
        *,
        results: str | Path = RESULTS,
        **options: Any,
    ) -> None:
        """source, driving: files that are chosen at first. results: folder, made if missing.

        options: of an animation, as on the command line, for example ``size=256`` or
        ``debug=True``, which ticks the pictures of the stages. Raises InputError for unknown
        options and unfit values.
        """
        folder = Path(results)
        options = _with_paths(options, folder)
        usual = schema.from_flat(RenderJob, options, "Studio")
        self._uploads = tempfile.TemporaryDirectory(prefix="hybridanim-notebook-")
        context = contexts.make(StudioJob(results=folder), Path(self._uploads.name))
        self._context = replace(context, animation=usual)
        self.source, self.driving = SourceInput(self._context), DrivingInput(self._context)
        self.stages = stages.Stages(self._context)
        self.animation = animate.Animate(
            self._context, self.source, self.driving, self.stages.refresh
        )
        self.pose = pose.Pose(self._context, self.source)
        self.example = widgets.Button(description="Use the example")
        self.example.on_click(lambda _: self.use_example())
        self.widget = self._arranged()
        for field, path in ((self.source.field, source), (self.driving.field, driving)):
            field.use(None if path is None else Path(path))

    def use_example(self) -> None:
        """Choose the pair that the package brings: the astronaut, and a drawn head."""
        example = self._context.examples[0]
        self.source.field.use(example.source)
        self.driving.field.use(example.driving)

    def animate(self) -> Animation:
        """Start an animation of what is shown, as the button does; InputError if it cannot be."""
        return self.animation.start()

    def wait(self, timeout_s: float | None = None) -> Path:
        """Wait for the last animation; the path of its result.

        Raises InputError where none was started, it failed, gave nothing, or takes longer.
        """
        found = self.animation.wait(timeout_s)
        if found is None:
            raise InputError("wait: expected an animation, got none; call animate() first")
        if found.summary is None:
            raise InputError(found.error or f"wait: expected a result, got none: {found.state}")
        return found.summary.output

    def close(self) -> None:
        """Cancel what runs, and remove files that the browser has sent."""
        self._context.queue.close()
        self._uploads.cleanup()

    def _arranged(self) -> Any:
        inputs = widgets.HBox(
            [_half(self.source.widget), _half(self.driving.widget)],
            layout=shown.wrapped(),
        )
        tabs = widgets.Tab(
            [self.animation.widget, self.pose.widget, self.stages.widget],
            titles=[animate.TITLE, pose.TITLE, stages.TITLE],
        )
        return widgets.VBox([widgets.HTML(shown.STYLE), inputs, self.example, tabs])

    def _repr_mimebundle_(self, **settings: Any) -> Any:
        return self.widget._repr_mimebundle_(**settings)


def _with_paths(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Options whose files the studio names itself: ticked by True."""
    names = {"debug": folder / "stages", "save_motion": folder / "motion.safetensors"}
    found = dict(options)
    for name, path in names.items():
        if isinstance(found.get(name), bool):
            found[name] = path if found[name] else None
    return found


def _half(widget: Any) -> Any:
    widget.layout.width, widget.layout.min_width, widget.layout.flex = "46%", "300px", "1 1 auto"
    return widget
