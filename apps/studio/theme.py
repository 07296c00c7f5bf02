"""How the page looks: Gradio's base theme with the system's fonts, and a few rules of CSS."""

# pyright: reportMissingImports=false
from __future__ import annotations

import gradio as gr

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "Consolas", "Menlo", "monospace")

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.emerald,
    neutral_hue=gr.themes.colors.slate,
    font=[gr.themes.Font(name) for name in _SANS],
    font_mono=[gr.themes.Font(name) for name in _MONO],
)
CSS = """
.error-line { color: var(--error-text-color, #b91c1c); font-weight: 600; }
"""
