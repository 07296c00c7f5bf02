"""The tab Calibrate: a profile of a person's skin by clicks, and of a head by dragged points."""

# pyright: reportMissingImports=false
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from apps.sources import source_picture
from apps.studio import messages, points_view, texturing
from apps.studio.context import Context
from apps.studio.inputs import SECRET
from apps.studio.texturing import Fitted
from calibration import skin
from hybridanim.errors import InputError
from hybridanim.face.named_points import NAMES
from hybridanim.profiles import Origin, SkinProfile, save_profile
from hybridanim.types import Array
from hybridanim.visualization import primitives

TITLE = "Calibrate"
_POINT = re.compile(r"\s*([0-9]{1,5}(?:\.[0-9]{0,3})?)\s*,\s*([0-9]{1,5}(?:\.[0-9]{0,3})?)\s*")
_NO_PICTURE = "skin: expected a picture first, got none; choose one"
_TINT = np.array([0, 120, 70], np.uint8)
_QUIET: Any = {"show_progress": "hidden"} | SECRET


def build(context: Context) -> None:
    """Make the tab."""
    with gr.Tab("Skin colours"):
        _Skin(context)
    with gr.Tab("Points of the head"):
        _Texture(context)


def _shown(caption: str, elem_id: str) -> gr.Image:
    """A picture with a caption above it; its places can be clicked."""
    gr.Markdown(caption)
    return gr.Image(
        label=caption,
        show_label=False,
        interactive=False,
        format="jpeg",
        buttons=[],
        elem_id=elem_id,
    )


class _Skin:
    """Clicks on a picture -> the colours of that person's skin."""

    def __init__(self, context: Context) -> None:
        self._context = context
        gr.Markdown(
            "Click on skin: forehead, cheeks, nose, neck; in light and in shade. What is taken is"
            " tinted green. Without a click, the largest face that is found gives its colours."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=240):
                self.file = gr.File(label="Picture of the person", height=120, elem_id="skin-file")
                self.points = gr.Textbox(
                    "", label="Points x,y in pixels, separated by semicolons", elem_id="skin-points"
                )
                with gr.Row():
                    self.undo = gr.Button("Undo", min_width=80, elem_id="skin-undo")
                    self.clear = gr.Button("Clear", min_width=80, elem_id="skin-clear")
                self.learn = gr.Button("Save profile", variant="primary", elem_id="skin-save")
                self.error = gr.HTML(elem_id="skin-error", elem_classes="message")
                self.saved = gr.File(label="Profile", interactive=False, elem_id="skin-saved")
            with gr.Column(scale=3, min_width=320):
                self.view = _shown("The picture; click on skin", "skin-view")
                self.preview = _shown(
                    "The picture; skin by the generic colours; skin by the profile", "skin-preview"
                )
        self.picture = gr.State(None)
        self._wire()

    def _wire(self) -> None:
        drawn = [self.view, self.points, self.error]
        state = [self.picture, self.points]
        self.file.change(self._load, self.file, [self.picture, *drawn], **SECRET)
        self.view.select(self._click, state, drawn, **_QUIET)
        self.points.submit(self._draw, state, drawn, **SECRET)
        self.undo.click(self._undo, state, drawn, **_QUIET)
        self.clear.click(lambda picture: self._draw(picture, ""), self.picture, drawn, **_QUIET)
        made = [self.saved, self.preview, self.error]
        self.learn.click(self._save, [self.file, *state], made, **SECRET)

    def _load(self, path: str | None) -> tuple[Any, ...]:
        if path is None:
            return None, None, "", ""
        try:
            picture = source_picture(Path(path))
        except InputError as error:
            return None, None, "", messages.error(str(error))
        return picture, picture, "", ""

    def _click(self, picture: Array | None, text: str, event: gr.SelectData) -> tuple[Any, ...]:
        x, y = event.index[:2]
        return self._draw(picture, f"{text}; {x},{y}" if text.strip() else f"{x},{y}")

    def _undo(self, picture: Array | None, text: str) -> tuple[Any, ...]:
        return self._draw(picture, text.rpartition(";")[0].strip())

    def _draw(self, picture: Array | None, text: str) -> tuple[Any, ...]:
        """The picture with the skin of the points tinted."""
        if picture is None:
            return (
                None,
                text,
                messages.error("skin: expected a picture first, got none; choose one"),
            )
        try:
            points = points_of(text)
            shown = picture.copy()
            inside = skin.picked(picture, points) > 0
        except InputError as error:
            return gr.skip(), text, messages.error(str(error))
        shown[inside] = shown[inside] // 2 + _TINT
        for point in points:
            primitives.put_dots(shown, np.array(point), 4.0, [primitives.ORANGE])
        return shown, text, ""

    def _save(self, path: str | None, picture: Array | None, text: str) -> tuple[Any, ...]:
        try:
            if picture is None or path is None:
                raise InputError(_NO_PICTURE)
            profile = replace(self._learned(picture, text), origin=Origin.of(path))
            output = self._context.new_output(f"{Path(path).stem[:60]}-skin", ".toml")
            save_profile(profile, output, overwrite=False)
        except InputError as error:
            return gr.skip(), gr.skip(), messages.error(str(error))
        return str(output), skin.preview(picture, profile), ""

    def _learned(self, picture: Array, text: str) -> SkinProfile:
        points = points_of(text)
        return skin.learn_at(picture, points) if points else skin.learn([picture])


def points_of(text: str) -> list[tuple[float, float]]:
    """Points of a text such as ``120,80; 140.5,92``; InputError for another."""
    found = []
    for one in filter(str.strip, text.split(";")):
        match = _POINT.fullmatch(one)
        if match is None:
            raise InputError(
                f"points: expected x,y in pixels, separated by semicolons, got"
                f" {one.strip()[:40]!r}; for example 120,80; 140,92"
            )
        found.append((float(match[1]), float(match[2])))
    return found


class _Texture:
    """Points of the head dragged to where the picture shows them -> a texture profile."""

    def __init__(self, context: Context) -> None:
        self._context = context
        gr.Markdown(
            "Where the mesh does not lie on the picture, drag its points to the right places: blue"
            " ones have names, every other crossing can be dragged, too. Few points are enough;"
            " their neighbours follow."
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=240):
                self._make_inputs()
            with gr.Column(scale=4, min_width=320):
                self.view = gr.HTML(
                    points_view.EMPTY,
                    js_on_load=points_view.SCRIPT,
                    css_template=points_view.CSS,
                    elem_id="texture-view",
                )
                self.error = gr.HTML(elem_id="texture-error", elem_classes="message")
                self.table = gr.Dataframe(
                    [], headers=["point", "automatic x, y", "given x, y", "left (px)"],
                    interactive=False, label="Points that were put right", elem_id="texture-table",
                )  # fmt: skip
            with gr.Column(scale=2, min_width=240):
                self._make_head()
        self.fitted = gr.State(None)
        self._wire()

    def _make_inputs(self) -> None:
        self.file = gr.File(label="Picture to animate", height=120, elem_id="texture-file")
        self.camera = gr.Radio(
            [("weak perspective", "weak"), ("perspective", "perspective")],
            value="weak",
            label="Projection",
            elem_id="texture-camera",
        )
        self.angle = gr.Slider(
            5, 100, 30, step=1, label="Field of view of the picture's width (degrees)",
            info="portraits have 10 to 40, selfies 60 to 80", visible=False, elem_id="texture-fov",
        )  # fmt: skip
        self.free = gr.Button("Leave the chosen point to the fit", elem_id="texture-free")
        self.clear = gr.Button("Leave all points to the fit", elem_id="texture-clear")
        self.load = gr.UploadButton("Load profile", file_types=[".toml"], elem_id="texture-load")
        self.turn = gr.Button("Show the head turned", elem_id="texture-turn")
        self.save = gr.Button("Save profile", variant="primary", elem_id="texture-save")
        self.saved = gr.File(label="Profile", interactive=False, elem_id="texture-saved")

    def _make_head(self) -> None:
        self.point = gr.Dropdown(
            list(NAMES), value=None, label="Point of the head", allow_custom_value=True,
            info="a name, or the number of a vertex", elem_id="texture-point",
        )  # fmt: skip
        self.head = _shown("The head in three dimensions; click a point", "texture-head")
        self.yaw = gr.Slider(-80, 80, 0, step=1, label="Turn this head", elem_id="texture-yaw")
        self.turned = _shown("Turned by the automatic and the corrected fit", "texture-turned")

    def _wire(self) -> None:
        chosen = [self.point, self.yaw]
        drawn = [self.fitted, self.view, self.head, self.table, self.error]
        state = [self.fitted, *chosen]
        self.file.change(self._load, self.file, [*drawn, self.camera, self.angle], **SECRET)
        self.view.put(self._put, state, [*drawn, self.point], **_QUIET)
        self.view.free(self._free_one, state, [*drawn, self.point], **_QUIET)
        marked = [self.view, self.head, self.point, self.error]
        self.view.choose(self._choose, state, marked, **_QUIET)
        self.head.select(self._choose_on_head, state, marked, **_QUIET)
        self.point.input(self._mark, state, marked, **_QUIET)
        self.yaw.input(self._show_head, state, self.head, queue=False, **_QUIET)
        camera = [*state, self.camera, self.angle]
        self.camera.input(self._set_camera, camera, [*drawn, self.angle], **_QUIET)
        self.angle.release(self._set_camera, camera, [*drawn, self.angle], **_QUIET)
        self.free.click(self._free_chosen, state, drawn, **_QUIET)
        self.clear.click(self._clear, state, drawn, **_QUIET)
        self.load.upload(
            self._load_profile, [*state, self.load], [*drawn, self.camera, self.angle], **SECRET
        )
        self.turn.click(self._turned, self.fitted, [self.turned, self.error], **SECRET)
        self.save.click(self._save, self.fitted, [self.saved, self.error], **SECRET)

    # State -> components

    def _drawn(self, now: Fitted, point: str | None, yaw: float) -> tuple[Any, ...]:
        view = points_view.html_of(now, point or "")
        return now, view, texturing.head_picture(now, yaw, point or ""), texturing.rows(now), ""

    def _changed(self, now: Fitted | None, point: str | None, yaw: float, change: Any) -> Any:
        """The components after a change; an error leaves them, and draws the view anew."""
        try:
            _expect_known(point)
            return self._drawn(change(_expect(now)), point, yaw)
        except InputError as error:
            again = gr.skip() if now is None else points_view.html_of(now)
            return gr.skip(), again, gr.skip(), gr.skip(), messages.error(str(error))

    # Events

    def _load(self, path: str | None) -> tuple[Any, ...]:
        camera, angle = gr.update(value="weak"), gr.update(value=30, visible=False)
        if path is None:
            return None, points_view.EMPTY, None, [], "", camera, angle
        try:
            now = texturing.load(Path(path))
        except InputError as error:
            return None, points_view.EMPTY, None, [], messages.error(str(error)), camera, angle
        return *self._drawn(now, None, 0.0), camera, angle

    def _put(
        self, now: Fitted | None, point: str | None, yaw: float, event: gr.EventData
    ) -> tuple[Any, ...]:
        name, place = _name_of(event.vertex), (float(event.x), float(event.y))
        shown = self._changed(now, name, yaw, lambda one: texturing.put(one, name, place))
        return *shown, name

    def _free_one(
        self, now: Fitted | None, point: str | None, yaw: float, event: gr.EventData
    ) -> tuple[Any, ...]:
        name = _name_of(event.vertex)
        return *self._changed(now, name, yaw, lambda one: texturing.put(one, name, None)), name

    def _free_chosen(self, now: Fitted | None, point: str | None, yaw: float) -> tuple[Any, ...]:
        if not point:
            said = messages.error("point: expected one that is chosen, got none; click it first")
            return *(gr.skip(),) * 4, said
        return self._changed(now, point, yaw, lambda one: texturing.put(one, point, None))

    def _clear(self, now: Fitted | None, point: str | None, yaw: float) -> tuple[Any, ...]:
        return self._changed(now, point, yaw, texturing.without_points)

    def _set_camera(
        self, now: Fitted | None, point: str | None, yaw: float, camera: Any, angle: float
    ) -> tuple[Any, ...]:
        shown = self._changed(
            now, point, yaw, lambda one: texturing.with_camera(one, camera, float(angle))
        )
        return *shown, gr.update(visible=camera == "perspective")

    def _choose(
        self, now: Fitted | None, point: str | None, yaw: float, event: gr.EventData
    ) -> tuple[Any, ...]:
        return self._mark(now, _name_of(event.vertex), yaw)

    def _choose_on_head(
        self, now: Fitted | None, point: str | None, yaw: float, event: gr.SelectData
    ) -> tuple[Any, ...]:
        if now is None:
            return (gr.skip(),) * 4
        x, y = event.index[:2]
        return self._mark(now, texturing.nearest(now, yaw, (x, y)), yaw)

    def _mark(self, now: Fitted | None, point: str | None, yaw: float) -> tuple[Any, ...]:
        try:
            _expect_known(point)
            _, view, head, _, _ = self._drawn(_expect(now), point, yaw)
        except InputError as error:
            return gr.skip(), gr.skip(), gr.skip(), messages.error(str(error))
        return view, head, point, ""

    def _show_head(self, now: Fitted | None, point: str | None, yaw: float) -> Any:
        return gr.skip() if now is None else texturing.head_picture(now, yaw, point or "")

    def _load_profile(
        self, now: Fitted | None, point: str | None, yaw: float, path: str
    ) -> tuple[Any, ...]:
        shown = self._changed(now, point, yaw, lambda one: texturing.with_profile(one, Path(path)))
        if not isinstance(shown[0], Fitted):
            return *shown, gr.skip(), gr.skip()
        angle = gr.update(value=shown[0].view_deg, visible=shown[0].camera == "perspective")
        return *shown, shown[0].camera, angle

    def _turned(self, now: Fitted | None) -> tuple[Any, str]:
        try:
            return texturing.turned(_expect(now)), ""
        except InputError as error:
            return gr.skip(), messages.error(str(error))

    def _save(self, now: Fitted | None) -> tuple[Any, str]:
        try:
            now = _expect(now)
            path = self._context.new_output(f"{now.path.stem[:60]}-texture", ".toml")
            return str(texturing.saved(now, path)), ""
        except InputError as error:
            return gr.skip(), messages.error(str(error))


def _expect(now: Fitted | None) -> Fitted:
    if now is None:
        raise InputError("texture: expected a picture first, got none; choose one")
    return now


def _expect_known(point: str | None) -> None:
    """Raise InputError for what is no point of the head."""
    if point:
        texturing.vertex_of(point)


def _name_of(vertex: Any) -> str:
    """The name of a vertex, or its number where it has none."""
    number = int(vertex)
    return next((name for name, one in NAMES.items() if one == number), str(number))
