"""Names of the models that a weights file can hold."""

from __future__ import annotations

FAST = "fast"
"""The networks of this program."""
FIRST_ORDER = "first-order"
"""The published first-order motion model, converted."""
