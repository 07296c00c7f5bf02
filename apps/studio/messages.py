"""Texts of the page as HTML: errors beside their input."""

from __future__ import annotations

from html import escape


def error(text: str) -> str:
    """An error, read aloud at once by screen readers; "" for none."""
    return f'<p class="error-line" role="alert">{escape(text)}</p>' if text else ""
