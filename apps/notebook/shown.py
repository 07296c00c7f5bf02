"""Pictures, clips and texts as widgets: arrays and files in, values of ipywidgets out."""

# pyright: reportMissingImports=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import ipywidgets as widgets

from apps.studio import messages
from hybridanim.types import Array

PLAYED = {".mp4": "mp4", ".m4v": "mp4", ".webm": "webm"}  # ending -> kind, by every browser
MOST_SHOWN_MB = 40  # a clip is sent to the browser as a whole
STYLE = "<style>.error-line {color: #b3261e; font-weight: 600} .note-line {opacity: .8}</style>"
_JPEG_QUALITY = 92
_WIDE = {"description_width": "initial"}


def still(width_px: int) -> Any:
    """A picture's place; hidden until ``put`` gives it one."""
    layout = widgets.Layout(width=f"{width_px}px", max_width="100%", display="none")
    return widgets.Image(format="jpeg", layout=layout)


def put(place: Any, picture: Array | None) -> None:
    """Show a picture, (H, W, 3) uint8 RGB; None hides the place."""
    if picture is not None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        done, data = cv2.imencode(".jpg", picture[..., ::-1], quality)
        assert done
        place.value = data.tobytes()
    visible(place, picture is not None)


def visible(widget: Any, is_shown: bool) -> None:
    """Show or hide a widget."""
    widget.layout.display = None if is_shown else "none"


def player(path: Path, title: str, width_px: int = 320) -> Any:
    """A clip that plays in a loop, below its title; a sentence where browsers do not play it."""
    about = widgets.HTML(messages.note(f"{title}: {path.name}"))
    size_mb = path.stat().st_size / 1e6 if path.is_file() else 0.0
    layout = widgets.Layout(width=f"{width_px}px", max_width="100%")
    suffix = path.suffix.lower()
    if not path.is_file() or size_mb > MOST_SHOWN_MB:
        why = f"{path} is not shown here (a folder, or larger than {MOST_SHOWN_MB} MB)."
        return widgets.VBox([about, widgets.HTML(messages.note(why))])
    if suffix == ".gif":
        clip: Any = widgets.Image(value=path.read_bytes(), format="gif", layout=layout)
    elif suffix in PLAYED:
        clip = widgets.Video(
            value=path.read_bytes(), format=PLAYED[suffix], autoplay=True, loop=True, layout=layout
        )
    else:
        clip = widgets.HTML(messages.note(f"Browsers do not play {suffix} files: {path}"))
    return widgets.VBox([about, clip])


def wrapped() -> Any:
    """The layout of a row that goes on below where the page is narrow."""
    return widgets.Layout(flex_flow="row wrap", align_items="flex-start")


def labelled(kind: Any, label: str, **settings: Any) -> Any:
    """A widget with a label that is not cut off."""
    return kind(description=label, style=_WIDE, **settings)
