"""What every tab is built with: settings, examples, where results go, consent, the queue."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from apps.terminal import example_source, make_folder
from hybridanim import paths
from hybridanim.config import RenderJob
from hybridanim.files import EXAMPLE_DRIVING

from .config import StudioJob
from .consent import Consent
from .jobs import Queue
from .work import Looker


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
    looker: Looker
    uploads: Path  # folder for files that were sent here, emptied at the end
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _taken: set[Path] = field(default_factory=set)

    def new_output(self, stem: str, suffix: str = ".mp4") -> Path:
        """A path in the folder for results that nothing has and no animation will write."""
        with self._lock:
            path = self.results / f"{stem}{suffix}"
            number = 1
            while path in self._taken or paths.look(path) is not None:
                number += 1
                path = self.results / f"{stem}.{number}{suffix}"
            self._taken.add(path)
            return path


def make(studio: StudioJob, uploads: Path) -> Context:
    """The context of a studio with these settings; makes the folder for its results.

    Raises InputError where that is not possible.
    """
    results = studio.results.absolute()
    make_folder(results.parent)
    make_folder(results)
    example = Example("Astronaut, driven by a drawn head", example_source(), EXAMPLE_DRIVING)
    return Context(
        studio=studio,
        animation=studio.animation,
        results=results,
        examples=(example,),
        consent=Consent(example.source),
        queue=Queue(studio.most_waiting),
        looker=Looker(),
        uploads=uploads,
    )
