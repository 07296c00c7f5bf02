"""Tracker of the first-order model (stage 2): its own keypoints of the whole square frame.

Like ``learned`` for objects, by the detector of a converted checkpoint; ``--renderer reference`` is
the generator that understands these keypoints.
"""

from __future__ import annotations

from typing import ClassVar

from hybridanim.networks.models import FIRST_ORDER

from .learned import LearnedTracker


class ReferenceTracker(LearnedTracker):
    """``base.Tracker`` by the first-order model's detector."""

    model: ClassVar[str] = FIRST_ORDER
