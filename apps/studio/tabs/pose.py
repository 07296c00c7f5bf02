"""The tab Pose: a source posed by sliders or by dragging its head; key frames that make a clip."""

# pyright: reportMissingImports=false
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gradio as gr

from apps.studio import consent, head_view, messages, timeline
from apps.studio.context import Context
from apps.studio.inputs import SECRET
from apps.studio.jobs import Animation
from apps.studio.posing import (
    PARTS_SHOWN,
    Edit,
    Posed,
    Poser,
    without_head,
)
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.motion import keyframes
from hybridanim.motion.by_hand import RANGES, Controls, controls
from hybridanim.motion.keyframes import Key, Keyframes
from hybridanim.prepare.hand_driver import save_motion

TITLE = "Pose"
LABELS = {
    "yaw": "Yaw: turn left and right (degrees)",
    "pitch": "Pitch: look down and up (degrees)",
    "roll": "Roll: tilt (degrees)",
    "shift_x": "Move left and right (heads)",
    "shift_y": "Move up and down (heads)",
    "zoom": "Size (-1 half, 1 twice)",
    "jaw": "Jaw: shut and open",
    "smile": "Smile: corners down and up",
    "brows": "Brows: lower and raise",
    "blink_left": "Lids of the left eye: wide and shut",
    "blink_right": "Lids of the right eye: wide and shut",
    "gaze_x": "Gaze left and right",
    "gaze_y": "Gaze down and up",
}
"""Left and right are as seen in the picture."""
_NAMES = tuple(RANGES)
_KEYED = ("everything", *(name.lower() for name in PARTS_SHOWN))
_NO_PICTURE = "source: expected a picture first, got none; choose one"
_RATES = (24, 25, 30, 50, 60)
_EVERY_S = 0.3  # between two looks at an animation that runs
_PLAYED_FPS = 20.0  # pictures a second of the preview, at most
_AT_ONCE: Any = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last"} | SECRET


def build(context: Context) -> None:
    """Make the tab."""
    _Tab(context)


class _Tab:
    """The components of the tab, and what their events do."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._poser = Poser(context.studio.pipeline, mark=context.studio.mark)
        self.posed, self.edit = gr.State(None), gr.State(Edit())
        self.animation = gr.State(None)
        with gr.Row():
            with gr.Column(scale=2, min_width=220):
                self._make_inputs()
                self._make_outputs()
            with gr.Column(scale=5, min_width=320):
                self.view = gr.HTML(
                    head_view.EMPTY,
                    js_on_load=head_view.SCRIPT,
                    css_template=head_view.CSS,
                    elem_id="pose-view",
                )
                self.error = gr.HTML(elem_id="pose-error", elem_classes="message")
                self._make_time_line()
            with gr.Column(scale=3, min_width=260):
                self.sliders = self._make_sliders()
                self.reset = gr.Button("As in the picture", elem_id="pose-reset")
        self._wire_pose()
        self._wire_keys()
        self._wire_outputs()

    # Components

    def _make_inputs(self) -> None:
        self.file = gr.File(label="Picture to pose", height=120, elem_id="pose-file")
        self.example = gr.Button("Take the example", elem_id="pose-example")
        self.agreed = gr.Checkbox(False, label=consent.TEXT, visible=False, elem_id="pose-consent")
        with gr.Accordion("Copy expression from a picture", open=False):
            self.model = gr.File(
                label="Picture of any person", height=120, elem_id="pose-copy-file"
            )
            self.with_head = gr.Checkbox(True, label="The turn of the head, too")
            self.copy = gr.Button("Copy expression", elem_id="pose-copy")
            self.copy_error = gr.HTML(elem_id="pose-copy-error", elem_classes="message")

    def _make_sliders(self) -> list[gr.Slider]:
        found = {}
        for number, (group, names) in enumerate(PARTS_SHOWN.items()):
            with gr.Accordion(group, open=number < 2 or group == "Eyes"):
                for name in names:
                    least, most = RANGES[name]
                    step = 0.5 if most > 1 else 0.01
                    found[name] = gr.Slider(
                        least, most, 0, step=step, label=LABELS[name], elem_id=f"pose-{name}"
                    )
        return [found[name] for name in _NAMES]

    def _make_time_line(self) -> None:
        self.line = gr.HTML(
            timeline.html_of(Edit(), 0.0),
            js_on_load=timeline.SCRIPT,
            css_template=timeline.CSS,
            elem_id="pose-line",
        )
        with gr.Row():
            self.time = gr.Number(
                0, label="Time (s)", minimum=0, step=0.1, min_width=100, elem_id="pose-time"
            )
            self.keyed = gr.Dropdown(
                list(_KEYED), value=_KEYED[0], label="A key holds", min_width=120,
                elem_id="pose-keyed",
            )  # fmt: skip
            self.rate = gr.Dropdown(
                list(_RATES), value=30, label="Frames a second", min_width=120, elem_id="pose-rate"
            )
        with gr.Row():
            small: Any = {"min_width": 90}
            self.set_key = gr.Button("Set key", variant="primary", elem_id="pose-set-key", **small)
            self.move_key = gr.Button("Move key here", elem_id="pose-move-key", **small)
            self.remove_key = gr.Button("Delete key", elem_id="pose-remove-key", **small)
            self.play = gr.Button("Play", elem_id="pose-play", **small)
            self.stop = gr.Button("Stop", elem_id="pose-stop", **small)
        self.key_error = gr.HTML(elem_id="pose-key-error", elem_classes="message")
        self.table = gr.Dataframe(
            [],
            headers=["key", "time (s)", "pose"],
            interactive=False,
            label="Key frames",
            wrap=True,
            elem_id="pose-table",
        )

    def _make_outputs(self) -> None:
        self.clip = gr.Button("Make clip", variant="primary", elem_id="pose-clip")
        with gr.Row():
            small: Any = {"min_width": 90}
            self.still = gr.Button("Save picture", elem_id="pose-still", **small)
            self.cancel = gr.Button("Cancel", elem_id="pose-cancel", **small)
        self.progress = gr.HTML(elem_id="pose-progress", elem_classes="message")
        self.output_error = gr.HTML(elem_id="pose-output-error", elem_classes="message")
        self.video = gr.Video(label="Clip", interactive=False, elem_id="pose-video")
        self.save_keys = gr.Button("Save key frames", elem_id="pose-save-keys")
        self.load_keys = gr.UploadButton(
            "Load key frames", file_types=[".toml"], elem_id="pose-load-keys"
        )
        self.save_motion = gr.Button("Save motion for any source", elem_id="pose-save-motion")
        self.files = gr.File(
            label="Saved", interactive=False, file_count="multiple", elem_id="pose-saved"
        )

    # Events

    def _wire_pose(self) -> None:
        state = [self.posed, *self.sliders]
        loaded = [self.posed, self.agreed, self.view, self.error, *self.sliders]
        self.file.change(self._load, self.file, loaded, **SECRET)
        self.example.click(lambda: str(self._context.examples[0].source), None, self.file, **SECRET)
        self.agreed.input(self._agree, [self.posed, self.agreed, *self.sliders],
                          [self.view, self.error], **SECRET)  # fmt: skip
        for slider in self.sliders:
            slider.input(self._show, state, [self.view, self.error], **_AT_ONCE)
        turned = [self.sliders[_NAMES.index(name)] for name in ("yaw", "pitch")]
        one_by_one = _AT_ONCE | {"trigger_mode": "multiple"}  # the page sends the newest
        self.view.turn(self._turn, state, [self.view, self.error, *turned], **one_by_one)
        self.reset.click(self._reset, self.posed, [self.view, self.error, *self.sliders], **SECRET)
        self.copy.click(
            self._copy,
            [self.posed, self.model, self.with_head, *self.sliders],
            [self.view, self.copy_error, *self.sliders],
            **SECRET,
        )

    def _wire_keys(self) -> None:
        shown = [self.edit, self.line, self.table, self.key_error]
        posed = [self.view, self.time, *self.sliders]
        state = [self.edit, self.time]
        self.set_key.click(self._set_key, [*state, self.keyed, *self.sliders], shown, **SECRET)
        self.move_key.click(
            self._changed(lambda edit, time_s: edit.with_moved(time_s)), state, shown, **SECRET
        )
        self.remove_key.click(
            self._changed(lambda edit, time_s: edit.without_chosen()), state, shown, **SECRET
        )
        self.rate.input(self._set_rate, [*state, self.rate], shown, **SECRET)
        choose = [self.posed, self.edit]
        self.line.choose(self._choose_on_line, choose, [*shown, *posed], **SECRET)
        self.table.select(self._choose_in_table, choose, [*shown, *posed], **SECRET)
        self.line.shift(self._shift, state, [*shown, self.time], **SECRET)
        self.line.remove(self._remove, state, shown, **SECRET)
        self.line.seek(self._seek, choose, [self.line, *posed], **_AT_ONCE)
        self.time.submit(self._go_to, [*choose, self.time], [self.line, *posed], **SECRET)
        playing = self.play.click(
            self._play, [self.posed, self.edit], [self.view, self.line, self.key_error],
            show_progress="hidden", **SECRET,
        )  # fmt: skip
        self.stop.click(None, None, None, cancels=[playing], **SECRET)

    def _wire_outputs(self) -> None:
        made = [self.animation, self.progress, self.video, self.files, self.output_error]
        self.clip.click(self._make_clip, [self.posed, self.edit], made, **SECRET)
        self.still.click(self._make_still, [self.posed, *self.sliders], made, **SECRET)
        self.cancel.click(self._cancel, self.animation, None, queue=False, **SECRET)
        saved = [self.files, self.output_error]
        self.save_keys.click(self._save_keys, [self.posed, self.edit], saved, **SECRET)
        self.save_motion.click(self._save_motion, [self.posed, self.edit], saved, **SECRET)
        self.load_keys.upload(
            self._load_keys, [self.edit, self.load_keys],
            [self.edit, self.line, self.table, self.key_error, self.rate], **SECRET,
        )  # fmt: skip

    # The pose

    def _load(self, path: str | None) -> tuple[Any, ...]:
        zeros = [0] * len(_NAMES)
        if path is None:
            return None, gr.update(visible=False, value=False), head_view.EMPTY, "", *zeros
        try:
            posed = self._poser.load(Path(path))
        except InputError as error:
            hidden = gr.update(visible=False, value=False)
            return None, hidden, head_view.EMPTY, messages.error(str(error)), *zeros
        is_asked = not self._context.consent.is_given(posed.path)
        view, said = self._show(posed, *zeros)
        return posed, gr.update(visible=is_asked, value=False), view, said, *zeros

    def _agree(self, posed: Posed | None, agreed: bool, *values: float) -> tuple[Any, str]:
        if posed is not None and agreed:
            self._context.consent.give(posed.path)
        return self._show(posed, *values)

    def _show(self, posed: Posed | None, *values: float) -> tuple[Any, str]:
        """The picture of the sliders' values, and an error."""
        if posed is None:
            return gr.skip(), messages.error(
                "source: expected a picture first, got none; choose one"
            )
        try:
            self._context.consent.expect(posed.path)
            by = _controls(values)
            return head_view.html_of(self._poser.picture(posed, by), by), ""
        except InputError as error:
            return gr.skip(), messages.error(str(error))

    def _turn(self, event: gr.EventData, posed: Posed | None, *values: float) -> tuple[Any, ...]:
        """Where the head has been dragged to."""
        now = dict(zip(_NAMES, values, strict=True))
        now |= {"yaw": float(event.yaw), "pitch": float(event.pitch)}
        view, said = self._show(posed, *now.values())
        return view, said, round(now["yaw"], 1), round(now["pitch"], 1)

    def _reset(self, posed: Posed | None) -> tuple[Any, ...]:
        zeros = [0] * len(_NAMES)
        return *self._show(posed, *zeros), *zeros

    def _copy(
        self, posed: Posed | None, path: str | None, with_head: bool, *values: float
    ) -> tuple[Any, ...]:
        kept = [gr.skip()] * len(_NAMES)
        if posed is None or path is None:
            lacks = "picture to pose" if posed is None else "picture to copy from"
            said = messages.error(f"copy: expected a {lacks} first, got none; choose one")
            return gr.skip(), said, *kept
        try:
            self._context.consent.expect(posed.path)
            found = self._poser.copied(posed, Path(path))
        except InputError as error:
            return gr.skip(), messages.error(str(error)), *kept
        if not with_head:
            found = without_head(found, _controls(values))
        amounts = [_rounded(value) for value in asdict(found).values()]
        return *self._show(posed, *amounts), *amounts

    # Key frames

    def _drawn(self, edit: Edit, time_s: float, said: str = "") -> tuple[Any, ...]:
        return edit, timeline.html_of(edit, time_s), edit.rows(), messages.error(said)

    def _refused(self, error: InputError) -> tuple[Any, ...]:
        return gr.skip(), gr.skip(), gr.skip(), messages.error(str(error))

    def _changed(self, change: Callable[[Edit, float], Edit]) -> Callable[..., tuple[Any, ...]]:
        def handler(edit: Edit, time_s: float | None) -> tuple[Any, ...]:
            try:
                return self._drawn(change(edit, _seconds(time_s)), _seconds(time_s))
            except InputError as error:
                return self._refused(error)

        return handler

    def _set_key(
        self, edit: Edit, time_s: float | None, keyed: str, *values: float
    ) -> tuple[Any, ...]:
        names = PARTS_SHOWN.get(keyed.capitalize(), ())
        by = _controls(values)
        return self._changed(lambda e, t: e.with_set(t, by, names))(edit, time_s)

    def _set_rate(self, edit: Edit, time_s: float | None, fps: float) -> tuple[Any, ...]:
        return self._changed(lambda e, _: e.with_rate(fps))(edit, time_s)

    def _choose_on_line(self, posed: Posed | None, edit: Edit, event: gr.EventData) -> Any:
        return self._choose(posed, edit, int(event.index))

    def _choose_in_table(self, posed: Posed | None, edit: Edit, event: gr.SelectData) -> Any:
        return self._choose(posed, edit, int(event.index[0]))

    def _choose(self, posed: Posed | None, edit: Edit, index: int) -> tuple[Any, ...]:
        if edit.keys is None or not 0 <= index < len(edit.keys.keys):
            return (gr.skip(),) * (6 + len(_NAMES))
        time_s = edit.keys.keys[index].time_s
        edit = replace(edit, chosen=index)
        return *self._drawn(edit, time_s), *self._posed_at(posed, edit, time_s)

    def _posed_at(self, posed: Posed | None, edit: Edit, time_s: float) -> tuple[Any, ...]:
        """View, time and sliders of a time."""
        amounts = [_rounded(value) for value in asdict(edit.at(time_s)).values()]
        view = gr.skip() if posed is None else self._show(posed, *amounts)[0]
        return view, round(time_s, 3), *amounts

    def _shift(self, edit: Edit, time_s: float | None, event: gr.EventData) -> tuple[Any, ...]:
        edit, to_s = replace(edit, chosen=int(event.index)), float(event.time_s)
        moved = self._changed(lambda e, t: e.with_moved(t))(edit, to_s)
        if isinstance(moved[0], Edit):
            return *moved, round(to_s, 3)
        back = timeline.html_of(edit, _seconds(time_s))
        return edit, back, gr.skip(), moved[3], gr.skip()

    def _remove(self, edit: Edit, time_s: float | None, event: gr.EventData) -> tuple[Any, ...]:
        edit = replace(edit, chosen=int(event.index))
        return self._changed(lambda e, _: e.without_chosen())(edit, time_s)

    def _seek(self, posed: Posed | None, edit: Edit, event: gr.EventData) -> tuple[Any, ...]:
        return self._go_to(posed, edit, float(event.time_s))

    def _go_to(self, posed: Posed | None, edit: Edit, time_s: float | None) -> tuple[Any, ...]:
        at_s = _seconds(time_s)
        line = timeline.html_of(edit, at_s)
        if edit.keys is None:  # the sliders' pose is not keyed yet, and stays
            kept = [gr.skip()] * len(_NAMES)
            return line, gr.skip(), round(at_s, 3), *kept
        return line, *self._posed_at(posed, edit, at_s)

    def _play(self, posed: Posed | None, edit: Edit) -> Iterator[tuple[Any, ...]]:
        """The key frames in real time; pictures that come too late are left out."""
        try:
            keys = edit.expect_keys()
        except InputError as error:
            yield gr.skip(), gr.skip(), messages.error(str(error))
            return
        start_s, at_s = time.monotonic(), 0.0
        while True:
            view, said = self._show(posed, *asdict(keys.at(at_s)).values())
            yield view, timeline.html_of(edit, at_s), said
            if said or at_s >= keys.duration_s:
                return
            time.sleep(max(0.0, at_s + 1 / _PLAYED_FPS - (time.monotonic() - start_s)))
            at_s = min(time.monotonic() - start_s, keys.duration_s)

    # Results

    def _make_clip(self, posed: Posed | None, edit: Edit) -> Iterator[tuple[Any, ...]]:
        yield from self._made(posed, edit.expect_keys, ".mp4")

    def _make_still(self, posed: Posed | None, *values: float) -> Iterator[tuple[Any, ...]]:
        yield from self._made(posed, Keyframes((Key.of(0.0, _controls(values)),)), ".png")

    def _made(
        self, posed: Posed | None, keys: Keyframes | Callable[[], Keyframes], suffix: str
    ) -> Iterator[tuple[Any, ...]]:
        """Run an animation by key frames to its end, and show how far it is."""
        kept = gr.skip()
        try:
            keys = keys() if callable(keys) else keys
            animation = self._submitted(posed, keys, suffix)
        except InputError as error:
            yield None, "", kept, kept, messages.error(str(error))
            return
        while not animation.wait(_EVERY_S):
            place = self._context.queue.place(animation)
            yield animation, messages.progress(animation, place), kept, kept, ""
        said = messages.ending(animation)
        if animation.summary is None:
            yield None, said, kept, kept, messages.error(animation.error)
            return
        output = str(animation.summary.output)
        yield None, said, output if suffix == ".mp4" else kept, [output], ""

    def _submitted(self, posed: Posed | None, keys: Keyframes, suffix: str) -> Animation:
        posed = _expect(posed)
        context = self._context
        context.consent.expect(posed.path)
        written = self._written(posed, keys)
        job = replace(context.animation, output=context.new_output(f"{_stem(posed)}", suffix))
        most_s = context.studio.most_seconds
        return context.queue.submit(Animation(job, posed.path, written, most_s))

    def _written(self, posed: Posed | None, keys: Keyframes) -> Path:
        path = self._context.new_output(f"{_stem(posed)}-keys", ".toml")
        return keyframes.save(keys, path)

    def _cancel(self, animation: Animation | None) -> None:
        if animation is not None:
            self._context.queue.cancel(animation)

    def _save_keys(self, posed: Posed | None, edit: Edit) -> tuple[Any, str]:
        try:
            return [str(self._written(posed, edit.expect_keys()))], ""
        except InputError as error:
            return gr.skip(), messages.error(str(error))

    def _save_motion(self, posed: Posed | None, edit: Edit) -> tuple[Any, str]:
        try:
            keys = edit.expect_keys()
            path = self._context.new_output(_stem(posed), ".safetensors")
            return [str(save_motion(keys, path, face_model.load()))], ""
        except InputError as error:
            return gr.skip(), messages.error(str(error))

    def _load_keys(self, edit: Edit, path: str) -> tuple[Any, ...]:
        try:
            edit = edit.with_loaded(keyframes.load(path))
        except InputError as error:
            return *self._refused(error), gr.skip()
        shown = self._drawn(edit, 0.0)
        return *shown, int(edit.fps) if edit.fps in _RATES else gr.skip()


def _controls(values: Any) -> Controls:
    """The sliders' values as controls."""
    return controls(dict(zip(_NAMES, map(float, values), strict=True)))


def _rounded(value: float) -> float:
    return round(value, 3)


def _seconds(value: float | None) -> float:
    return max(0.0, float(value or 0.0))


def _expect(posed: Posed | None) -> Posed:
    if posed is None:
        raise InputError(_NO_PICTURE)
    return posed


def _stem(posed: Posed | None) -> str:
    """How the names of results begin."""
    return "posed" if posed is None else f"{posed.path.stem[:60]}-posed"
