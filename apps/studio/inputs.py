"""Inputs of a tab: a source picture with its faces, framing and consent; a driving video.

Each is a small group of components that keeps itself up to date; a tab reads ``file`` and the
others as inputs of its own events, and shows errors in ``error``.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from hybridanim.errors import InputError

from . import consent, messages, work
from .context import Context
from .work import Looked

SECRET: Any = {"api_visibility": "private"}  # events are no part of the request API


class SourceInput:
    """A source: file or webcam, its faces to choose from, what is animated, consent."""

    def __init__(self, context: Context) -> None:
        """Make the components inside of the present Blocks."""
        self._context = context
        self.file = gr.File(
            label="Picture to animate (or a video, of which one frame is taken)",
            height=120,
            elem_id="source-file",
        )
        with gr.Accordion("Take a picture by the webcam", open=False):
            self.webcam = gr.Image(
                sources=["webcam"],
                type="filepath",
                format="png",
                label="Webcam",
                elem_id="source-webcam",
                webcam_options=gr.WebcamOptions(mirror=False),
            )
        self.error = gr.HTML(elem_id="source-error", elem_classes="message")
        self.looked = gr.State(None)
        with gr.Row():
            self.view = _still("Faces found; click the one to animate", "source-view", 2)
            self.framing = _still("What is animated", "source-framing", 1)
        self.face = gr.Radio([], label="Face to animate", visible=False, elem_id="source-face")
        self.crop = gr.Textbox(
            context.animation.pipeline.crop,
            label="Framing: auto, none, or X,Y,W,H in pixels",
            info="auto: around the head; none: the whole picture",
            max_lines=1,
            elem_id="source-crop",
        )
        self.agreed = gr.Checkbox(
            False, label=consent.TEXT, visible=False, elem_id="source-consent"
        )
        self._wire()

    def _wire(self) -> None:
        shown = [self.looked, self.face, self.agreed, self.error]
        pictures = [self.view, self.framing, self.error]
        looked_at: Any = {"show_progress_on": self.view} | SECRET
        self.webcam.change(_same, self.webcam, self.file, **SECRET)
        self.file.change(self._look, self.file, shown, **looked_at).then(
            self._draw, [self.looked, self.face, self.crop], pictures, **looked_at
        )
        again = [self.looked, self.face, self.crop]
        self.face.input(self._draw, again, pictures, **looked_at)
        self.crop.submit(self._draw, again, pictures, **looked_at)
        self.crop.blur(self._draw, again, pictures, **looked_at)
        self.view.select(self._choose, [self.looked, self.face], self.face, **SECRET).then(
            self._draw, again, pictures, **looked_at
        )

    def _look(self, path: str | None) -> tuple[Any, ...]:
        """A new file: its faces, whether consent is to be asked for, an error."""
        hidden = gr.update(visible=False, value=False)
        if path is None:
            return None, gr.update(choices=[], value=0, visible=False), hidden, ""
        try:
            looked = self._context.looker.source(Path(path))
        except InputError as error:
            none = gr.update(choices=[], value=0, visible=False)
            return None, none, hidden, messages.error(str(error))
        is_asked = not self._context.consent.is_given(Path(path))
        agreed = gr.update(visible=is_asked, value=False)
        return looked, _faces_update(looked), agreed, ""

    def _draw(self, looked: Looked | None, face: int | None, crop: str) -> tuple[Any, Any, Any]:
        """Faces and framing of the present choices."""
        if looked is None:
            return None, None, gr.skip()
        config = self._context.animation.pipeline
        try:
            config = replace(config, face=face or 0, crop=crop.strip())
            picture, found = self._context.looker.framing(looked.picture, config)
        except InputError as error:
            return work.shown_faces(looked, face or 0), None, messages.error(str(error))
        is_turned = picture.shape != looked.picture.shape or picture is not looked.picture
        upright = replace(looked, picture=picture, faces=()) if is_turned else looked
        shown = work.shown_faces(upright, face or 0, found)
        return shown, work.framed(picture, found), ""

    def _choose(self, looked: Looked | None, face: int | None, event: gr.SelectData) -> Any:
        """The face at a click."""
        found = None if looked is None else work.face_at(looked, *event.index[:2])
        return face if found is None else found


class DrivingInput:
    """A driving video: file or webcam, its faces to choose from."""

    def __init__(self, context: Context) -> None:
        """Make the components inside of the present Blocks."""
        self._context = context
        self.file = gr.File(
            label="Video that it moves like (or a motion file, .safetensors)",
            height=120,
            elem_id="driving-file",
        )
        with gr.Accordion("Record by the webcam", open=False):
            self.webcam = gr.Video(
                sources=["webcam"],
                include_audio=True,
                label="Webcam",
                elem_id="driving-webcam",
                webcam_options=gr.WebcamOptions(mirror=False),
            )
        self.error = gr.HTML(elem_id="driving-error", elem_classes="message")
        self.looked = gr.State(None)
        self.view = _still("Faces found; click the one that drives", "driving-view", 1)
        self.face = gr.Radio([], label="Face that drives", visible=False, elem_id="driving-face")
        looked_at: Any = {"show_progress_on": self.view} | SECRET
        outputs = [self.looked, self.view, self.face, self.error]
        self.webcam.change(_same, self.webcam, self.file, **SECRET)
        self.file.change(self._look, self.file, outputs, **looked_at)
        self.face.input(self._draw, [self.looked, self.face], self.view, **looked_at)
        self.view.select(self._choose, [self.looked, self.face], self.face, **SECRET).then(
            self._draw, [self.looked, self.face], self.view, **looked_at
        )

    def _look(self, path: str | None) -> tuple[Any, ...]:
        none = gr.update(choices=[], value=0, visible=False)
        if path is None:
            return None, None, none, ""
        try:
            looked = self._context.looker.driving(Path(path))
        except InputError as error:
            return None, None, none, messages.error(str(error))
        if looked.note:
            return looked, None, none, messages.note(looked.note)
        lacks = "" if looked.faces else "No face found at the beginning; the run searches further."
        return looked, work.shown_faces(looked, 0), _faces_update(looked), messages.note(lacks)

    def _draw(self, looked: Looked | None, face: int | None) -> Any:
        return None if looked is None else work.shown_faces(looked, face or 0)

    def _choose(self, looked: Looked | None, face: int | None, event: gr.SelectData) -> Any:
        found = None if looked is None else work.face_at(looked, *event.index[:2])
        return face if found is None else found


def _still(label: str, name: str, scale: int) -> Any:
    """A picture that shows, and takes no file."""
    return gr.Image(
        label=label,
        interactive=False,
        buttons=[],
        height=280,
        scale=scale,
        min_width=120,
        elem_id=name,
        elem_classes="still",
        format="jpeg",
        alt_text=label,
    )


def _faces_update(looked: Looked) -> Any:
    """The choice among the faces; hidden where there is none."""
    choices = [(f"{index + 1}", index) for index in range(len(looked.faces))]
    return gr.update(choices=choices, value=0, visible=len(choices) > 1)


def _same(value: Any) -> Any:
    return gr.skip() if value is None else value
