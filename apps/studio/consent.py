"""Consent, asked once for each source: which files the people shown have agreed to.

Sources are known by the SHA-256 of their bytes, in memory only: nothing about anybody's picture is
kept when the studio ends.
"""

from __future__ import annotations

import threading
from pathlib import Path

from hybridanim.errors import InputError
from hybridanim.io import provenance

TEXT = (
    "The person in this picture has agreed to be animated, I may use the picture for it, and I will"
    " let nobody take the result for a recording."
)


class Consent:
    """The sources that consent was given for; used from several threads."""

    def __init__(self, *free: Path) -> None:
        """free: sources that need none, such as the example of the package."""
        self._given = {provenance.sha256(path) for path in free}
        self._lock = threading.Lock()

    def is_given(self, source: Path) -> bool:
        """Whether it was given for a file with these bytes."""
        digest = provenance.sha256(source)
        with self._lock:
            return digest in self._given

    def give(self, source: Path) -> None:
        """Remember that it was given."""
        digest = provenance.sha256(source)
        with self._lock:
            self._given.add(digest)

    def expect(self, source: Path) -> None:
        """Raise InputError unless it was given."""
        if not self.is_given(source):
            raise InputError(
                "source: expected the consent of the person shown, got none; tick the box below the"
                " picture if it is given (requests: consent=true)"
            )
