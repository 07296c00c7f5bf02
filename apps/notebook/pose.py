"""The tab Pose: the source posed by sliders, each picture by ``Pipeline.pose``."""

# pyright: reportMissingImports=false
from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from apps.studio import messages, work
from apps.studio.context import Context
from apps.studio.posing import PARTS_SHOWN, Posed, Poser
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.motion.by_hand import RANGES, Controls
from hybridanim.types import Array

from . import shown
from .inputs import FileField, SourceInput

TITLE = "Pose"


class Pose:
    """Widgets of the tab; ``load`` is what its button does."""

    def __init__(self, context: Context, source: SourceInput) -> None:
        self._context, self._source = context, source
        self._poser = Poser(context.animation.pipeline, mark=context.animation.mark)
        self._posed: Posed | None = None  # the source that is posed
        self.button = widgets.Button(description="Pose this picture", button_style="primary")
        self.error, self.call = widgets.HTML(), widgets.HTML()
        self.picture = shown.still(300)
        self.sliders = {name: _slider(name) for part in PARTS_SHOWN.values() for name in part}
        self.copied = FileField(
            "Copy pose and expression of a picture", context.uploads, "image/*", self._copy
        )
        self.reset = widgets.Button(description="As in the picture", disabled=True)
        self.save = widgets.Button(description="Save this pose", disabled=True)
        self.button.on_click(lambda _: self._try(self.load))
        self.reset.on_click(lambda _: self.set())
        self.save.on_click(lambda _: self._try(self.write))
        for slider in self.sliders.values():
            slider.observe(lambda _: self._try(self._draw), "value")
        self._is_setting = False
        side = widgets.VBox(
            [*self.sliders.values(), widgets.HBox([self.reset, self.save]), self.copied.widget]
        )
        shown_here = widgets.HBox([self.picture, side], layout=shown.wrapped())
        self.widget = widgets.VBox([self.button, self.error, shown_here, self.call])

    @property
    def amounts(self) -> dict[str, float]:
        """What differs from the picture, as keywords of ``Pipeline.pose``."""
        return {name: one.value for name, one in self.sliders.items() if one.value}

    def load(self) -> None:
        """Prepare the source for poses; InputError without one, a consent, or a fitted face."""
        self._posed = None
        path, crop = self._source.expect().path, self._source.crop.value.strip()
        self._posed = self._poser.load(path, face=self._source.face.value or 0, crop=crop)
        self.reset.disabled = self.save.disabled = False
        self._draw()

    def set(self, **amounts: float) -> None:
        """Move the sliders; those that are not named go to 0."""
        self._is_setting = True
        for name, slider in self.sliders.items():
            slider.value = round(amounts.get(name, 0.0), 3)
        self._is_setting = False
        self._try(self._draw)

    def write(self) -> Path:
        """Write the picture of this pose, marked, with its record beside it; returns its path."""
        posed, picture = self._posed, self._picture()
        if posed is None or picture is None:
            raise InputError("pose: expected a source, got none; press the button above first")
        record = provenance.describe(posed.path, "pose by hand", {"pose": self.amounts})
        stem = work.safe_stem(f"{posed.path.stem}-pose") or "pose"
        output = self._context.new_output(stem, ".png")
        io.write_picture(output, picture, metadata=provenance.container_tags(record))
        provenance.write_sidecar(output, record)
        self.call.value += messages.note(f"Saved as {output}")
        return output

    def _picture(self) -> Array | None:
        """(S, S, 3) uint8 RGB, marked as results are; None before a source is loaded."""
        if self._posed is None:
            return None
        return self._poser.picture(self._posed, Controls(**self.amounts))

    def _copy(self) -> None:
        """Take pose and expression from the picture that was chosen."""
        path = self.copied.file
        if path is None:
            return
        if self._posed is None:
            self.error.value = messages.error(
                "pose: expected a source, got none; press the button above first"
            )
            return
        posed = self._posed
        self._try(lambda: self.set(**vars(self._poser.copied(posed, path))))

    def _draw(self) -> None:
        if self._is_setting:
            return
        shown.put(self.picture, self._picture())
        words = ", ".join(f"{name}={value:.3g}" for name, value in self.amounts.items())
        self.call.value = f"<code>pipeline.pose({escape(words)})</code>"

    def _try(self, do: Any) -> None:
        """Do it, and show an error."""
        self.error.value = ""
        try:
            do()
        except InputError as error:
            self.error.value = messages.error(str(error))


def _slider(name: str) -> Any:
    """The slider of a control."""
    least, most = RANGES[name]
    unit = " (degrees)" if most > 1 else ""
    label = name.replace("_", " ").capitalize() + unit
    step = 1.0 if most > 1 else 0.02
    layout = widgets.Layout(width="310px", max_width="100%")
    return shown.labelled(
        widgets.FloatSlider, label, value=0.0, min=least, max=most, step=step, layout=layout
    )
