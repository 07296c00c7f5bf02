"""The tab Animate: options, run with progress and cancel, the result beside the driver."""

# pyright: reportMissingImports=false
from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from apps.studio import messages, submission, work
from apps.studio.context import Context
from apps.studio.jobs import Animation
from apps.studio.submission import Asked
from hybridanim.errors import InputError

from . import shown
from .inputs import DrivingInput, SourceInput
from .option_fields import OptionFields

TITLE = "Animate"
_EVERY_S = 0.5  # between two looks at an animation that runs


class Animate:
    """Widgets of the tab; ``start`` is what its button does."""

    def __init__(
        self,
        context: Context,
        source: SourceInput,
        driving: DrivingInput,
        at_end: Callable[[], None],
    ) -> None:
        """at_end: called after each animation, from another thread."""
        self._context, self._source, self._driving = context, source, driving
        self._at_end = at_end
        self.animation: Animation | None = None  # the last one that was started
        self._shown: Animation | None = None  # the one whose result is shown
        self._mine: dict[str, Animation] = {}
        self._followed: dict[str, threading.Thread] = {}
        self.options = OptionFields(context.animation)
        self.kind = shown.labelled(
            widgets.Dropdown, "Kind of file", options=list(work.FORMATS), value="mp4"
        )
        self.run = widgets.Button(description="Animate", button_style="primary")
        self.cancel = widgets.Button(description="Cancel", button_style="danger", disabled=True)
        self.error, self.status, self.notes = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.clips = widgets.HBox([], layout=shown.wrapped())
        self.command = widgets.HTML()
        self.history = shown.labelled(widgets.Dropdown, "History", options=[])
        shown.visible(self.history, False)
        self.run.on_click(lambda _: self._clicked())
        self.cancel.on_click(lambda _: self.stop())
        self.history.observe(self._chosen, "value")
        buttons = widgets.HBox([self.run, self.cancel])
        ended = [self.clips, self.notes, self.command, self.history]
        parts = [self.options.widget, self.kind, buttons, self.error, self.status, *ended]
        self.widget = widgets.VBox(parts)

    def start(self) -> Animation:
        """Start an animation of what is shown; InputError where it cannot be."""
        looked = self._source.looked
        asked = Asked(
            source=None if looked is None else looked.path,
            face=self._source.face.value or 0,
            crop=self._source.crop.value,
            is_agreed=self._source.agreed.value,
            driving=self._driving.looked,
            driving_face=self._driving.face.value or 0,
            kind=self.kind.value,
        )
        animation = submission.submit(self._context, asked, self.options.job)
        self.animation = self._mine[animation.id] = animation
        self.cancel.disabled = False
        # the thread's messages belong to the cell that shows the widgets
        run = contextvars.copy_context().run
        follow = threading.Thread(target=run, args=(self._follow, animation), daemon=True)
        self._followed[animation.id] = follow
        follow.start()
        return animation

    def stop(self) -> None:
        """Cancel the last animation; frames that are done are kept."""
        if self.animation is not None:
            self._context.queue.cancel(self.animation)

    def wait(self, timeout_s: float | None = None) -> Animation | None:
        """Wait until the last animation has ended and its result is shown; it, or None."""
        if self.animation is None:
            return None
        self._followed[self.animation.id].join(timeout_s)
        return self.animation

    def _clicked(self) -> None:
        """Start, or show why not beside the input that is at fault."""
        self.error.value = ""
        try:
            self.start()
        except InputError as error:
            places = {"source": self._source.error, "driving": self._driving.error}
            place = places.get(messages.place_of(str(error)), self.error)
            place.value = messages.error(str(error))

    def _follow(self, animation: Animation) -> None:
        """Show how far it is until it has ended, then what it gave."""
        while not animation.wait(_EVERY_S):
            if animation is self.animation:
                place = self._context.queue.place(animation)
                self.status.value = messages.progress(animation, place)
        if animation is self.animation:
            self.cancel.disabled = True
            self._show(animation)
        self._list(animation)
        self._at_end()

    def _show(self, animation: Animation) -> None:
        """An animation that has ended."""
        self._shown = animation
        self.status.value = messages.ending(animation)
        self.error.value = messages.error(animation.error)
        command = work.command_line(animation.job, animation.source, animation.driving)
        opened = f"<summary>As a command</summary><pre>{escape(command)}</pre>"
        self.command.value = f"<details>{opened}</details>"
        summary = animation.summary
        if summary is None:
            self.clips.children, self.notes.value = (), ""
            return
        driver = shown.player(animation.driving, "Driver")
        self.clips.children = (driver, shown.player(summary.output, "Result"))
        self.notes.value = messages.notes([*summary.about, *summary.notes])

    def _list(self, animation: Animation) -> None:
        """Bring the history up to date; newest first."""
        ended = [one for one in self._mine.values() if one.wait(0)]
        choices = [(submission.line(one), one.id) for one in reversed(ended)]
        self.history.options = choices
        self.history.value = choices[0][1]
        shown.visible(self.history, len(choices) > 1)

    def _chosen(self, change: Any) -> None:
        """Show another animation of the history."""
        chosen = self._mine.get(change["new"] or "")
        if chosen is not None and chosen is not self._shown and chosen.wait(0):
            self._show(chosen)
