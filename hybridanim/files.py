"""Where this package's own files lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
WEIGHTS = PACKAGE / "weights"
EXAMPLE_DRIVING = PACKAGE / "assets" / "driving.mp4"
