"""The tab Stages: the debug pictures of any frame of a result."""

# pyright: reportMissingImports=false
from __future__ import annotations

import gradio as gr

from apps.studio.context import Context

TITLE = "Stages"


def build(context: Context) -> None:
    """Make the tab."""
    gr.Markdown(f"Results go to {context.results}.")
