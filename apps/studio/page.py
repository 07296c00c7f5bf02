"""The page: gr.Blocks with a tab for each module of ``tabs``. Context -> Blocks.

A tab is a module with ``TITLE`` and ``build(context)``; to add one, import it and put it in
``TABS``.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gradio as gr

from .context import Context
from .inputs import SECRET
from .tabs import animate, batch, calibrate, pose, stages


class Tab(Protocol):
    """A module of ``tabs``."""

    TITLE: str

    def build(self, context: Context) -> tuple[Callable[[], Any], list[Any]] | None:
        """Make the tab's components; called inside of gr.Blocks and gr.Tab.

        Returns a function and the components that take its values when the tab is opened, or None.
        """
        ...


TABS: tuple[Tab, ...] = (animate, pose, stages, calibrate, batch)  # pyright: ignore[reportAssignmentType]


def make(context: Context) -> gr.Blocks:
    """The page of a studio."""
    with gr.Blocks(title="hybridanim studio", analytics_enabled=False) as page:
        gr.Markdown("# hybridanim studio")
        for tab in TABS:
            with gr.Tab(tab.TITLE) as opened:
                refreshed = tab.build(context)
            if refreshed is not None:
                opened.select(refreshed[0], None, refreshed[1], **SECRET)
    return page
