"""Texts of the page as HTML: errors beside their input, progress, what a run said at its end."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Literal

from .jobs import Animation

Place = Literal["source", "driving", "run"]
_OF_SOURCE = ("source", "picture:", "--crop", "--face", "--source-time")
_OF_DRIVING = ("driving", "SOURCE and DRIVING", "--start", "--end", "--reference", "motion")


def place_of(error: str) -> Place:
    """Beside which input an error belongs."""
    if error.startswith(_OF_SOURCE):
        return "source"
    return "driving" if error.startswith(_OF_DRIVING) else "run"


def error(text: str) -> str:
    """An error, read aloud at once by screen readers; "" for none."""
    return f'<p class="error-line" role="alert">{escape(text)}</p>' if text else ""


def note(text: str) -> str:
    """A sentence."""
    return f'<p class="note-line">{escape(text)}</p>' if text else ""


def notes(texts: Iterable[str]) -> str:
    """A list of sentences; "" for none."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="notes">{items}</ul>' if items else ""


def progress(animation: Animation, place: int) -> str:
    """How far an animation is, with a bar; place: how many come before it."""
    match animation.state:
        case "waiting":
            text, value = f"waiting: {place} before this one", ""
        case "running":
            text = str(animation.progress)
            share = animation.progress.share
            value = f' value="{share:.3f}"' if animation.progress.step == "animate" else ""
        case _:
            return ending(animation)
    bar = f'<progress max="1"{value} aria-label="share of the frames"></progress>'
    return f'<div class="run-state">{bar}<p role="status">{escape(text)}</p></div>'


def ending(animation: Animation) -> str:
    """How an animation ended, in one sentence."""
    summary = animation.summary
    if animation.state == "failed" or summary is None:
        text = {"failed": "failed", "cancelled": "cancelled; nothing was written"}
        return f'<p role="status">{escape(text.get(animation.state, animation.state))}</p>'
    figures = f"{summary.frames} frames in {summary.took_s:.1f} s, {summary.fps:.1f} a second"
    start = "done"
    if animation.state == "cancelled":
        start = "stopped at the time limit" if animation.is_late else "cancelled"
        start += ", as far as it went"
    return f'<p role="status">{start}: {figures}, <code>{escape(summary.output.name)}</code></p>'
