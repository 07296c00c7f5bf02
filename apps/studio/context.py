"""What every tab is built with: settings, examples, where results go, consent, the queue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.terminal import example_source
from hybridanim import paths
from hybridanim.config import RenderJob
from hybridanim.files import EXAMPLE_DRIVING

from .config import StudioJob
from .consent import Consent
from .jobs import Queue


@dataclass(frozen=True)
class Example:
    """A pair that the package brings."""

    name: str
    source: Path
    driving: Path


@dataclass(frozen=True)
class Context:
    """Shared by the tabs and the request API; ``tabs/NAME.py`` has ``build(context)``."""

    studio: StudioJob
    animation: RenderJob  # what an animation has unless its user chooses otherwise
    results: Path  # folder, absolute
    examples: tuple[Example, ...]
    consent: Consent
    queue: Queue

    def new_output(self, stem: str, suffix: str = ".mp4") -> Path:
        """A path in the folder for results with nothing there."""
        return paths.free_name(self.results / f"{stem}{suffix}")


def make(studio: StudioJob) -> Context:
    """The context of a studio with these settings; makes the folder for its results."""
    results = studio.results.absolute()
    results.mkdir(parents=True, exist_ok=True)
    example = Example("Astronaut, driven by a drawn head", example_source(), EXAMPLE_DRIVING)
    return Context(
        studio=studio,
        animation=studio.animation,
        results=results,
        examples=(example,),
        consent=Consent(example.source),
        queue=Queue(studio.most_waiting),
    )
