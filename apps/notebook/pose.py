"""The tab Pose: the source posed by sliders, each picture by ``Pipeline.pose``."""

# pyright: reportMissingImports=false
from __future__ import annotations

import dataclasses
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from apps.sources import source_picture
from apps.studio import messages, work
from apps.studio.context import Context
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.motion.by_hand import Controls
from hybridanim.types import Array
from stages.pipeline import Pipeline, build

from . import shown
from .inputs import SourceInput

TITLE = "Pose"
SHOWN_PX = 384  # side of the picture, unless the option size says otherwise


class Pose:
    """Widgets of the tab; ``load`` is what its button does."""

    def __init__(self, context: Context, source: SourceInput) -> None:
        self._context, self._source = context, source
        self._pipeline: Pipeline | None = None
        self._path: Path | None = None  # of the source that is posed
        self.button = widgets.Button(description="Pose this picture", button_style="primary")
        self.error, self.call = widgets.HTML(), widgets.HTML()
        self.picture = shown.still(SHOWN_PX)
        self.sliders = {one.name: _slider(one) for one in dataclasses.fields(Controls)}
        self.reset = widgets.Button(description="As in the picture", disabled=True)
        self.save = widgets.Button(description="Save this pose", disabled=True)
        self.button.on_click(lambda _: self._try(self.load))
        self.reset.on_click(lambda _: self.set())
        self.save.on_click(lambda _: self._try(self.write))
        for slider in self.sliders.values():
            slider.observe(lambda _: self._try(self._draw), "value")
        self._is_setting = False
        side = widgets.VBox([*self.sliders.values(), widgets.HBox([self.reset, self.save])])
        shown_here = widgets.HBox([self.picture, side], layout=_wrapped())
        self.widget = widgets.VBox([self.button, self.error, shown_here, self.call])

    @property
    def amounts(self) -> dict[str, float]:
        """What differs from the picture, as keywords of ``Pipeline.pose``."""
        return {name: one.value for name, one in self.sliders.items() if one.value}

    def load(self) -> None:
        """Prepare the source for poses; InputError without one, a consent, or a fitted face."""
        self._path = None
        looked = self._source.expect()
        crop, face = self._source.crop.value.strip(), self._source.face.value or 0
        config = self._context.animation.pipeline
        render = replace(config.render, paste_back=False)
        dense = replace(config.dense, explain=False)
        size = config.size or SHOWN_PX
        config = replace(config, size=size, crop=crop, face=face, render=render, dense=dense)
        if self._pipeline is None or self._pipeline.config != config:
            self._pipeline = build(config)
        self._pipeline.set_source(source_picture(looked.path, looked.time_s, alpha=True))
        self._pipeline.pose()  # refuses a source without a fitted face
        self._path = looked.path
        self.reset.disabled = self.save.disabled = False
        self._draw()

    def set(self, **amounts: float) -> None:
        """Move the sliders; those that are not named go to 0."""
        self._is_setting = True
        for name, slider in self.sliders.items():
            slider.value = amounts.get(name, 0.0)
        self._is_setting = False
        self._try(self._draw)

    def write(self) -> Path:
        """Write the picture of this pose, marked, with its record beside it; returns its path."""
        picture = self._posed()
        if picture is None or self._path is None:
            raise InputError("pose: expected a source, got none; press the button above first")
        record = provenance.describe(self._path, "pose by hand", {"pose": self.amounts})
        stem = work.safe_stem(f"{self._path.stem}-pose") or "pose"
        output = self._context.new_output(stem, ".png")
        io.write_picture(output, picture, metadata=provenance.container_tags(record))
        provenance.write_sidecar(output, record)
        self.call.value += messages.note(f"Saved as {output}")
        return output

    def _posed(self) -> Array | None:
        """(S, S, 3) uint8 RGB with the mark that results have; None before a source is loaded."""
        if self._pipeline is None or self._path is None:
            return None
        found = self._pipeline.pose(**self.amounts)
        return provenance.draw_mark(found) if self._context.animation.mark else found

    def _draw(self) -> None:
        if self._is_setting:
            return
        shown.put(self.picture, self._posed())
        words = ", ".join(f"{name}={value:.3g}" for name, value in self.amounts.items())
        self.call.value = f"<code>pipeline.pose({escape(words)})</code>"

    def _try(self, do: Any) -> None:
        """Do it, and show an error."""
        self.error.value = ""
        try:
            do()
        except InputError as error:
            self.error.value = messages.error(str(error))


def _slider(control: Any) -> Any:
    """The slider of a field of ``Controls``."""
    least, most = control.metadata["range"]
    unit = " (degrees)" if most > 1 else ""
    label = control.name.replace("_", " ").capitalize() + unit
    step = 1.0 if most > 1 else 0.02
    layout = widgets.Layout(width="340px", max_width="100%")
    return shown.labelled(
        widgets.FloatSlider, label, value=0.0, min=least, max=most, step=step, layout=layout
    )


def _wrapped() -> Any:
    return widgets.Layout(flex_flow="row wrap")
