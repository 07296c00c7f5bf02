"""The preview: the result with rate, latency, hints, notices, help and the tracker's picture.

Pure functions: the result and an OverlayText in, a new (H, W, 3) uint8 RGB picture out. The window
alone shows the overlay; all other outputs get the result without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from hybridanim.types import Array, Results
from hybridanim.visualization import drawing, primitives, sheet
from hybridanim.visualization.primitives import Line

from .keys import HELP
from .latency import RecentLatency
from .reference import Hint

AMBER = (166, 108, 0)
_BRIGHT_GREEN = (30, 200, 140)
_SIDE_PX = 480  # a small result is shown at least this large


@dataclass(frozen=True, slots=True)
class OverlayText:
    """The texts to draw; empty ones are omitted."""

    figures: str = ""  # rate and latency
    level: str = ""  # what is lowered; "; " begins another line
    hint: Hint | None = None
    notice: str = ""  # of the camera or an output
    has_help: bool = False
    is_paused: bool = False


def draw_overlay(result: Array, text: OverlayText, inset: Array | None = None) -> Array:
    """The preview, (H, W, 3), at least 480 pixels a side; inset: the tracker's picture, or None."""
    out = _enlarged(result)
    if inset is not None:
        _put_inset(out, inset)
    rows = [Line(line) for line in (text.figures, *text.level.split("; ")) if line]
    if text.hint is not None and text.hint.is_good:
        rows.insert(0, Line(text.hint.text, _BRIGHT_GREEN))
    primitives.put_note(out, rows)
    if text.has_help:
        _put_help(out)
    if text.notice:
        primitives.put_banner(out, text.notice, AMBER)
    elif text.is_paused:
        primitives.put_banner(out, "paused: p continues", primitives.BLUE)
    elif text.hint is not None and not text.hint.is_good:
        primitives.put_banner(out, text.hint.text, AMBER)
    return out


def _put_help(out: Array) -> None:
    """Draw the keys in two columns, in the middle, clear of banner and figures."""
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


def draw_inset(results: Results) -> Array:
    """The driving frame with skin, head and features, and each stage's time; (H, W, 3)."""
    image = drawing.tracks(results.frame.image, results.tracks)
    times = [Line(f"{name} {value:.1f} ms") for name, value in results.times_ms.items()]
    primitives.put_note(image, times, top=True)
    return image


def latency_text(recent: RecentLatency) -> str:
    """Rate and latency as text; "" before there are any."""
    if not recent.rate_hz:
        return ""
    return f"{recent.rate_hz:.0f} fps   {recent.median_ms:.0f} ms (95 %: {recent.p95_ms:.0f})"


def _enlarged(result: Array) -> Array:
    height, width = result.shape[:2]
    scale = _SIDE_PX / min(height, width)
    if scale <= 1:
        return primitives.copied(result)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(result, size, interpolation=cv2.INTER_CUBIC)


def _put_inset(out: Array, inset: Array) -> None:
    """Put the inset at the upper right, below the banner, so that the mark stays visible."""
    top, width = round(2.0 * primitives.text_px(out)), max(64, round(0.42 * out.shape[1]))
    height = min(out.shape[0] - top, round(width * inset.shape[0] / inset.shape[1]))
    out[top : top + height, out.shape[1] - width :] = sheet.fit(inset, width, height)


def to_status(text: OverlayText) -> dict[str, object]:
    """The same texts for the browser's page, ready for JSON."""
    return {
        "figures": "   ".join(line for line in (text.figures, text.level) if line),
        "notice": "paused" if text.is_paused and not text.notice else text.notice,
        "hint": text.hint.text if text.hint else "",
        "is_good": bool(text.hint and text.hint.is_good),
    }
