"""Source, DenseMotion -> Picture.  Moves the source's own pixels (docs/rendering.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridanim.config import RenderConfig
from hybridanim.rendering import warp
from hybridanim.types import Array, DenseMotion, Picture, Source
from hybridanim.visualization import stages as draw

from .base import Stage

if TYPE_CHECKING:
    from hybridanim.rendering.learned import LearnedRenderer


class Generate(Stage):
    """Stage 5."""

    name = "render"

    def __init__(self, config: RenderConfig) -> None:
        self._config = config
        self._source: Source | None = None

    def __call__(self, source: Source, motion: DenseMotion) -> Picture:
        """Render one frame; a new source is prepared when it first comes."""
        if source is not self._source:
            self._source, self._prepared = source, warp.prepare(source, self._config)
        return Picture(warp.render(self._prepared, motion))

    def draw(self, canvas: Array, output: Picture) -> Array:
        """The result itself."""
        return draw.picture(canvas, output)


class LearnedGenerate(Stage):
    """Stage 5 by the generator: it paints mouth, lids and hidden places over the moved source."""

    name = "render"

    def __init__(self, renderer: LearnedRenderer) -> None:
        self._renderer, self.about = renderer, renderer.about

    def __call__(self, source: Source, motion: DenseMotion) -> Picture:
        """Render one frame of a motion that the learned stage 4 gave."""
        return Picture(self._renderer.paint(motion))

    def draw(self, canvas: Array, output: Picture) -> Array:
        """The result itself."""
        return draw.picture(canvas, output)
