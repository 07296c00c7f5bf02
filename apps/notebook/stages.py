"""The tab Stages: the debug pictures of any frame of a result, and why its motion was held."""

# pyright: reportMissingImports=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets

from apps.studio import messages, stage_files
from apps.studio.context import Context
from apps.studio.stage_files import StageFiles
from hybridanim.errors import InputError

from . import shown

TITLE = "Stages"
_NONE = "No result with pictures of its stages yet: tick “Pictures of the stages” in Animate."


class Stages:
    """Widgets of the tab; ``refresh`` looks for new results."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.found: StageFiles | None = None  # the result that is shown
        self.run = shown.labelled(widgets.Dropdown, "Result", options=[])
        self.stage = shown.labelled(widgets.Dropdown, "Stage", options=[])
        self.frame = shown.labelled(
            widgets.IntSlider, "Frame", max=1, layout=widgets.Layout(width="90%")
        )
        self.held = shown.labelled(widgets.Dropdown, "Motion was held", options=[])
        self.about, self.line = widgets.HTML(messages.note(_NONE)), widgets.HTML()
        self.picture = shown.still(720)
        self._is_setting = False
        self.run.observe(lambda _: self._open(), "value")
        self.stage.observe(lambda _: self._draw(), "value")
        self.frame.observe(lambda _: self._draw(), "value")
        self.held.observe(self._go, "value")
        parts = [self.run, self.stage, self.frame, self.held, self.about, self.line, self.picture]
        self.widget = widgets.VBox(parts)
        self.refresh()

    def refresh(self) -> None:
        """List the results that are there; the newest is shown where there are new ones."""
        folders = stage_files.found_in(self._context.results)
        names = [(folder.name, folder) for folder in folders]
        if list(self.run.options) != names:
            self.run.options = names
            if names:
                self.run.value = folders[0]
        for one in (self.run, self.stage, self.frame):
            shown.visible(one, bool(names))
        if not names:
            self.about.value = messages.note(_NONE)

    def _open(self) -> None:
        """Stages, frames and held stretches of the chosen result."""
        folder: Path | None = self.run.value
        self.found = None
        if folder is None:
            return
        try:
            found = StageFiles.read(folder)
        except InputError as error:
            self.about.value = messages.error(str(error))
            shown.put(self.picture, None)
            return
        self._is_setting = True
        self.frame.max, self.frame.value = max(1, len(found.rows) - 1), 0
        kept = self.stage.value
        self.stage.options = found.labels
        self.stage.value = kept if kept in found.labels else found.labels[0]
        stretches = [(str(stretch), number) for number, stretch in found.stretches()]
        self.held.options = [("choose a stretch to see it", None), *stretches]
        shown.visible(self.held, bool(stretches))
        self.about.value = messages.note("" if stretches else "Motion was held nowhere.")
        self.found, self._is_setting = found, False
        self._draw()

    def _draw(self) -> None:
        """The picture of the stage at the frame, and the frame's numbers."""
        if self.found is None or self._is_setting or self.stage.value is None:
            return
        number = min(self.frame.value, len(self.found.rows) - 1)
        self.line.value = messages.note(str(self.found.rows[number]))
        try:
            shown.put(self.picture, self.found.picture(self.stage.value, number))
        except InputError as error:
            self.line.value = messages.error(str(error))
            shown.put(self.picture, None)

    def _go(self, change: Any) -> None:
        if change["new"] is not None and not self._is_setting:
            self.frame.value = change["new"]
