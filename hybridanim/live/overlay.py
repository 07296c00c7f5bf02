"""What stands on the preview besides the result: rate, latency, hints, notices, help, the tracker.

Pure: the result and a Screen of words in, a new (H, W, 3) uint8 RGB picture out. Outputs for other
people get the result without any of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from hybridanim.types import Array, Results
from hybridanim.visualization import primitives, sheet, stages
from hybridanim.visualization.primitives import Line

from .keys import HELP
from .latency import Recent
from .reference import Hint

AMBER = (166, 108, 0)
_BRIGHT_GREEN = (30, 200, 140)
_SIDE_PX = 480  # a small result is shown at least this large


@dataclass(frozen=True, slots=True)
class Screen:
    """The words of one moment; empty ones are left out."""

    figures: str = ""  # rate and latency
    level: str = ""  # what was lowered
    hint: Hint | None = None
    notice: str = ""  # of the camera
    has_help: bool = False
    is_paused: bool = False


def view(result: Array, screen: Screen, inset: Array | None = None) -> Array:
    """The preview, (H, W, 3); inset: a picture of the tracker's, or None."""
    out = _enlarged(result)
    if inset is not None:
        _put_inset(out, inset)
    rows = [Line(text) for text in (screen.figures, screen.level) if text]
    if screen.hint is not None and screen.hint.is_good:
        rows.insert(0, Line(screen.hint.words, _BRIGHT_GREEN))
    primitives.put_note(out, rows)
    if screen.has_help:
        _put_help(out)
    if screen.notice:
        primitives.put_banner(out, screen.notice, AMBER)
    elif screen.is_paused:
        primitives.put_banner(out, "paused: p goes on", primitives.BLUE)
    elif screen.hint is not None and not screen.hint.is_good:
        primitives.put_banner(out, screen.hint.words, AMBER)
    return out


def _put_help(out: Array) -> None:
    """The keys in two columns, in the middle, where neither banner nor figures stand."""
    size = primitives.text_px(out, 0.95)
    step, pad = primitives.line_height(size), size // 2
    first = max(primitives.text_width(key, size) for key, _ in HELP) + 2 * pad
    width = first + max(primitives.text_width(what, size) for _, what in HELP) + 2 * pad
    height = step * len(HELP) + 2 * pad
    x, y = (out.shape[1] - width) // 2, (out.shape[0] - height) // 2
    primitives.shade(out, (x, y, width, height), primitives.DARK, 0.75)
    for row, (key, what) in enumerate(HELP):
        top = y + pad + row * step
        primitives.put_text(out, key, (x + pad, top), primitives.YELLOW, size_px=size)
        primitives.put_text(out, what, (x + pad + first, top), size_px=size)


def inset_of(results: Results) -> Array:
    """What the tracker sees: the driving frame with skin, head and features, and the times."""
    image = stages.tracks(results.frame.image, results.tracks)
    times = [Line(f"{name} {value:.1f} ms") for name, value in results.times_ms.items()]
    primitives.put_note(image, times, top=True)
    return image


def figures_of(recent: Recent) -> str:
    """Rate and latency in words; none before there are any."""
    if not recent.rate_hz:
        return ""
    return f"{recent.rate_hz:.0f} fps   {recent.median_ms:.0f} ms (95 %: {recent.p95_ms:.0f})"


def _enlarged(result: Array) -> Array:
    height, width = result.shape[:2]
    scale = _SIDE_PX / min(height, width)
    if scale <= 1:
        return primitives.own(result)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(result, size, interpolation=cv2.INTER_CUBIC)


def _put_inset(out: Array, inset: Array) -> None:
    """The inset at the upper right, below the banner: the mark stays visible."""
    top, width = round(2.0 * primitives.text_px(out)), max(64, round(0.42 * out.shape[1]))
    height = min(out.shape[0] - top, round(width * inset.shape[0] / inset.shape[1]))
    out[top : top + height, out.shape[1] - width :] = sheet.fit(inset, width, height)


def status_of(screen: Screen) -> dict[str, object]:
    """The same words for the browser's page."""
    return {
        "figures": "   ".join(text for text in (screen.figures, screen.level) if text),
        "notice": "paused" if screen.is_paused and not screen.notice else screen.notice,
        "hint": screen.hint.words if screen.hint else "",
        "is_good": bool(screen.hint and screen.hint.is_good),
    }
