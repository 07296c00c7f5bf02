"""The tab Animate: a picture and a video -> an animation."""

# pyright: reportMissingImports=false
from __future__ import annotations

import gradio as gr

from apps.studio.context import Context

TITLE = "Animate"


def build(context: Context) -> None:
    """Make the tab."""
    gr.Markdown(f"Results go to {context.results}.")
