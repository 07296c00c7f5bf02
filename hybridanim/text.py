"""Text that goes out: to consoles of any code page, and into files in UTF-8.

Python keeps bytes of file names that are no text as lone surrogates (PEP 383), and no encoding
takes those. They are shown as backslash escapes, as a console shows characters that it lacks.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

ESCAPES = "hybridanim.escapes"  # name of the error handler
_BYTES = re.compile("[\udc80-\udcff]+")
_LONE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text without lone surrogates, as every encoding of Unicode takes it.

    The byte 0xE9 of a file name becomes ``\xe9``, another surrogate ``\udNNN``. Bytes that are
    UTF-8, as in a locale of ASCII, become their characters.
    """
    text = _BYTES.sub(lambda found: _decoded(found[0]), text)
    return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def encoded(text: str) -> bytes:
    """The text in UTF-8, ``printable``."""
    return printable(text).encode("utf-8")


def escape(stream: Any) -> None:
    """Let a text stream show what its encoding lacks as escapes, instead of raising.

    Streams without an encoding, as those that keep text, need none.
    """
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=ESCAPES)


def _decoded(surrogates: str) -> str:
    raw = bytes(ord(one) - 0xDC00 for one in surrogates)
    return raw.decode("utf-8", "backslashreplace")


def _handle(error: UnicodeError) -> tuple[str | bytes, int]:
    """Error handler of codecs: escapes for what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    together = _BYTES.match(error.object, error.start)  # some codecs ask for each alone
    end = max(error.end, together.end() if together else 0)
    part = printable(error.object[error.start : end])
    return part.encode("ascii", "backslashreplace").decode("ascii"), end


codecs.register_error(ESCAPES, _handle)
