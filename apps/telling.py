"""What the command line says of a finished run: notes, the last line, figures for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridanim.config import RenderJob

from .events import Events

if TYPE_CHECKING:
    from .render import Summary


def tell(summary: Summary, job: RenderJob, told: Events) -> int:
    """Tell of a run; returns the exit code."""
    for text in summary.about:
        told.note(text)
    for text in summary.notes:
        told.warning(text)
    has_debug = job.debug is not None and summary.has_debug
    if job.debug is not None and has_debug:
        told.note(f"What every stage saw: {job.debug / 'report.html'}")
    told.result(_ending(summary), summary.figures(job.debug if has_debug else None))
    return 130 if summary.is_interrupted else 0


def _ending(summary: Summary) -> str:
    """The last line of a run: what there is now, and how long it took."""
    ending = " (interrupted: as far as it went)" if summary.is_interrupted else ""
    return (
        f"{summary.frames} frames in {summary.output}{ending}: {summary.took_s:.1f} s, of which"
        f" {summary.animating_s:.1f} s animating, {summary.fps:.1f} frames/s"
    )
