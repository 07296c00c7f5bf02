"""What a user has chosen -> an animation in the queue, or an error that says what is missing.

Nothing here knows of a page: Gradio's and the notebook share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridanim.config import RenderJob
from hybridanim.errors import InputError

from . import driving_face, work
from .context import Context
from .jobs import Animation


@dataclass(frozen=True)
class Asked:
    """The inputs of an animation, as far as they are chosen."""

    source: Path | None = None
    face: int = 0  # of the source
    crop: str = "auto"
    is_agreed: bool = False  # the box of the consent is ticked
    driving: work.Looked | None = None
    driving_face: int = 0
    kind: str = "mp4"  # one of ``work.FORMATS``


def submit(context: Context, asked: Asked, job_of: Callable[..., RenderJob]) -> Animation:
    """Put an animation into the queue; InputError where something is missing or does not fit.

    job_of: gives the job of the form's options for fields that are chosen here, as keywords.
    """
    source, driving = _expect_files(asked)
    job = job_of(**_own(context, asked, source, driving.path))
    if asked.is_agreed:
        context.consent.give(source)
    context.consent.expect(source)
    path = _chosen_driving(context, driving, asked.driving_face)
    animation = Animation(job, source, path, context.studio.most_seconds)
    return context.queue.submit(animation)


def line(animation: Animation) -> str:
    """When it was started, its file, and how it ended, for a list."""
    at = time.strftime("%H:%M:%S", time.localtime(animation.created_s))
    summary = animation.summary
    frames = "" if summary is None else f", {summary.frames} frames"
    return f"{at}  {animation.job.output.name}: {animation.state}{frames}"


def _expect_files(asked: Asked) -> tuple[Path, work.Looked]:
    """The two inputs; InputError where one is missing."""
    if asked.source is None:
        raise InputError("source: expected a picture, got none; drop one here, or try the example")
    if asked.driving is None:
        raise InputError("driving video: expected one, got none; drop one here, or record it")
    return asked.source, asked.driving


def _own(context: Context, asked: Asked, source: Path, driving: Path) -> dict[str, Any]:
    """The fields of the job that are no options of the form."""
    output = context.new_output(work.result_stem(source, driving), f".{asked.kind}")
    return {
        "output": output,
        "face": asked.face,
        "crop": asked.crop.strip(),
        "debug": output.with_name(f"{output.stem}.stages"),
        "save_motion": output.with_name(f"{output.stem}.motion.safetensors"),
    }


def _chosen_driving(context: Context, looked: work.Looked, number: int) -> Path:
    """The driving file; the part around a face where another than the largest was chosen."""
    if number == 0:
        return looked.path
    name = f"{looked.path.stem}.face{number + 1}"
    output = context.new_output(name, ".mp4")
    return driving_face.cut_out(context.looker, looked, number, output)
