"""Source, DenseMotion -> Picture.  Moves the source's own pixels (docs/rendering.md)."""

from hybridanim import draw, rendering
from hybridanim.config import RenderConfig
from hybridanim.types import Array, DenseMotion, Picture, Source

from .base import Stage


class Generate(Stage):
    """Stage 5."""

    name = "render"

    def __init__(self, config: RenderConfig) -> None:
        self._config = config
        self._source: Source | None = None

    def __call__(self, source: Source, motion: DenseMotion) -> Picture:
        """Render one frame; a new source is prepared when it first comes."""
        if source is not self._source:
            self._source, self._prepared = source, rendering.prepare(source, self._config)
        return Picture(rendering.render(self._prepared, motion))

    def draw(self, canvas: Array, output: Picture) -> Array:
        """The result itself."""
        return draw.picture(canvas, output)
