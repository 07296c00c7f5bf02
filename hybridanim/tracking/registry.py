"""The trackers by the names that ``--tracker`` takes: a new one is its own file and a line here."""

from __future__ import annotations

from .base import Tracker
from .classical import ClassicalTracker
from .hybrid import HybridTracker
from .learned import LearnedTracker
from .reference import ReferenceTracker

TRACKERS: dict[str, type[Tracker]] = {
    "classical": ClassicalTracker,
    "learned": LearnedTracker,
    "hybrid": HybridTracker,
    "reference": ReferenceTracker,
}
