"""Inputs of the notebook's studio: a source with its faces, framing and consent; a driving video.

Each is a box of widgets that keeps itself up to date; errors are shown in it.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from apps.studio import consent, messages, work
from apps.studio.context import Context
from apps.studio.work import Looked
from hybridanim.errors import InputError

from . import shown


class FileField:
    """A file: its path where the kernel runs, or a small one that the browser sends."""

    def __init__(self, label: str, folder: Path, accept: str, changed: Callable[[], None]) -> None:
        """folder: for files that are sent; changed: called with each new file."""
        self._folder, self._changed = folder, changed
        self.path = shown.labelled(
            widgets.Text,
            label,
            placeholder="path of a file; Enter",
            continuous_update=False,
            layout=widgets.Layout(width="100%"),
        )
        self.upload = widgets.FileUpload(
            accept=accept,
            multiple=False,
            description="Send a file",
            tooltip=f"{label}: send a file",
        )
        self.path.observe(lambda _: self._changed(), "value")
        self.upload.observe(lambda _: self._receive(), "value")
        self.widget = widgets.VBox([self.path, self.upload])

    @property
    def file(self) -> Path | None:
        """The file that is chosen."""
        text = self.path.value.strip()
        return Path(text).expanduser() if text else None

    def use(self, path: Path | None) -> None:
        """Choose a file."""
        self.path.value = "" if path is None else str(path)

    def _receive(self) -> None:
        """Write a file that was sent into the folder, and choose it."""
        for sent in self.upload.value:
            name = Path(str(sent["name"])).name
            stem = work.safe_stem(Path(name).stem) or "file"
            content = bytes(sent["content"])
            path = self._folder / f"{stem}{Path(name).suffix.lower()}"
            number = 1
            while path.exists() and path.read_bytes() != content:
                number += 1
                path = self._folder / f"{stem}.{number}{path.suffix}"
            path.write_bytes(content)
            self.use(path)


class SourceInput:
    """A source: file, its faces to choose from, what is animated, consent."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.looked: Looked | None = None
        self.field = FileField(
            "Picture to animate", context.uploads, "image/*,video/*", self._changed
        )
        self.error = widgets.HTML()
        self.view, self.framing = shown.still(280), shown.still(140)
        self.face = shown.labelled(widgets.Dropdown, "Face to animate", options=[("1", 0)])
        self.crop = shown.labelled(
            widgets.Text,
            "Framing: auto, none, or X,Y,W,H",
            value=context.animation.pipeline.crop,
            continuous_update=False,
        )
        self.agreed = widgets.Checkbox(
            description=consent.TEXT, indent=False, layout=widgets.Layout(width="100%")
        )
        for one in (self.face, self.agreed):
            shown.visible(one, False)
        self.face.observe(lambda _: self._draw(), "value")
        self.crop.observe(lambda _: self._draw(), "value")
        pictures = widgets.HBox([self.view, self.framing], layout=shown.wrapped())
        parts = [self.field.widget, self.error, pictures, self.face, self.crop, self.agreed]
        self.widget = widgets.VBox(parts)

    def expect(self) -> Looked:
        """The picture; InputError where there is none, or no consent to animate it."""
        if self.looked is None:
            raise InputError("source: expected a picture, got none; choose one, or the example")
        if self.agreed.value:
            self._context.consent.give(self.looked.path)
        self._context.consent.expect(self.looked.path)
        return self.looked

    def _changed(self) -> None:
        """A new file: its faces, and whether consent is to be asked for."""
        self.looked, self.error.value, self.agreed.value = None, "", False
        path = self.field.file
        try:
            self.looked = None if path is None else self._context.looker.source(path)
        except InputError as error:
            self.error.value = messages.error(str(error))
        is_asked = self.looked is not None and not self._context.consent.is_given(self.looked.path)
        shown.visible(self.agreed, is_asked)
        _offer_faces(self.face, self.looked)
        self._draw()

    def _draw(self) -> None:
        """Faces and framing of the present choices."""
        looked, number = self.looked, self.face.value or 0
        if looked is None:
            shown.put(self.view, None)
            shown.put(self.framing, None)
            return
        config = self._context.animation.pipeline
        try:
            config = replace(config, face=number, crop=self.crop.value.strip())
            picture, crop = self._context.looker.framing(looked.picture, config)
        except InputError as error:
            self.error.value = messages.error(str(error))
            shown.put(self.view, work.shown_faces(looked, number))
            shown.put(self.framing, None)
            return
        self.error.value = ""
        if picture is not looked.picture:  # turned upright
            looked = replace(looked, picture=picture, faces=())
        shown.put(self.view, work.shown_faces(looked, number, crop))
        shown.put(self.framing, work.framed(picture, crop))


class DrivingInput:
    """A driving video or motion file, its faces to choose from."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.looked: Looked | None = None
        label = "Video that it moves like (or a motion file)"
        self.field = FileField(label, context.uploads, "video/*,.safetensors", self._changed)
        self.error = widgets.HTML()
        self.view = shown.still(280)
        self.face = shown.labelled(widgets.Dropdown, "Face that drives", options=[("1", 0)])
        shown.visible(self.face, False)
        self.face.observe(lambda _: self._draw(), "value")
        self.widget = widgets.VBox([self.field.widget, self.error, self.view, self.face])

    def _changed(self) -> None:
        self.looked, self.error.value = None, ""
        path = self.field.file
        try:
            self.looked = None if path is None else self._context.looker.driving(path)
        except InputError as error:
            self.error.value = messages.error(str(error))
        looked = self.looked
        if looked is not None:
            lacks = "No face found at the beginning; the run searches further."
            self.error.value = messages.note(looked.note or ("" if looked.faces else lacks))
        _offer_faces(self.face, looked)
        self._draw()

    def _draw(self) -> None:
        looked = self.looked
        is_shown = looked is not None and not looked.note  # a motion file has no picture
        number = self.face.value or 0
        shown.put(self.view, work.shown_faces(looked, number) if looked and is_shown else None)


def _offer_faces(choice: Any, looked: Looked | None) -> None:
    """The choice among the faces; hidden where there is none to make."""
    count = 0 if looked is None else len(looked.faces)
    choice.options = [(str(index + 1), index) for index in range(max(1, count))]
    choice.value = 0
    shown.visible(choice, count > 1)
