"""The subcommand studio: serves the page and the request API until Ctrl-C."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from apps import options
from apps.terminal import PROGRAM, listen
from hybridanim import extras
from hybridanim.live import access

from . import context
from .config import StudioJob, read_studio_job

MAIN = ("port", "address", "results", "browser", "size", "renderer", "tracker", "paste_back")


@dataclass(frozen=True)
class Files:
    """What belongs to the command line alone."""

    config: Path | None = None
    """Read options from this TOML file; options given here win."""


def command(argv: list[str]) -> int:
    """Run the subcommand studio with these arguments; returns the exit code."""
    listen()
    path = options.config_path(argv)
    job = read_studio_job(path) if path else StudioJob()
    text = (
        "Animate in a page of your browser: http://127.0.0.1:7860/. Nothing leaves this machine."
        ' The page needs the extra ui: pip install "hybridanim[ui]".'
    )
    _, job = options.parse(argv, Files(), job, MAIN, f"{PROGRAM} studio", text)
    extras.expect_ui("studio")
    access.bound_address(job.address)  # before seconds of loading
    with tempfile.TemporaryDirectory(prefix="hybridanim-studio-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # what is sent here is gone at the end
        from .server import serve  # with Gradio, which --help does without

        serve(context.make(job, Path(uploads)))
    return 0
