"""Text that goes out: to consoles of any code page, and into files in UTF-8.

Python keeps bytes of file names that are no text as lone surrogates (PEP 383), and no encoding
takes those. They are shown as backslash escapes, as a console shows characters that it lacks.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

ESCAPES = "hybridanim.escapes"  # name of the error handler
_LONE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text without lone surrogates, as every encoding of Unicode takes it.

    The byte 0xE9 of a file name becomes ``\xe9``, another surrogate ``\udNNN``.
    """
    return _LONE.sub(lambda found: _escaped(found[0]), text)


def encoded(text: str) -> bytes:
    """The text in UTF-8, ``printable``."""
    return printable(text).encode("utf-8")


def escape(stream: Any) -> None:
    """Let a text stream show what its encoding lacks as escapes, instead of raising.

    Streams without an encoding, as those that keep text, need none.
    """
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=ESCAPES)


def _escaped(character: str) -> str:
    code = ord(character)
    is_byte = 0xDC80 <= code <= 0xDCFF
    return f"\\x{code - 0xDC00:02x}" if is_byte else f"\\u{code:04x}"


def _handle(error: UnicodeError) -> tuple[str | bytes, int]:
    """Error handler of codecs: escapes for what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    shown = "".join(_escaped(c) if _LONE.match(c) else _named(c) for c in part)
    return shown, error.end


def _named(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(ESCAPES, _handle)
