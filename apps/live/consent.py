"""The sentence about consent, and whether this machine's user has read it before."""

from __future__ import annotations

import os
from pathlib import Path

WORDS = "Animate only people who have agreed to it, and let nobody take the result for a recording."


def is_first_time() -> bool:
    """True until it has been true once, as far as a file in the user's cache folder remembers."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    told = (Path(home) if home else Path.home() / ".cache") / "hybridanim" / "consent"
    if told.exists():
        return False
    try:
        told.parent.mkdir(parents=True, exist_ok=True)
        told.touch()
    except OSError:
        return True  # and again
    return True
