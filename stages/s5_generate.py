"""Source, DenseMotion -> Picture.  Warps the source's pixels (docs/guide/rendering.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hybridanim.config import RenderConfig
from hybridanim.face import face_model
from hybridanim.rendering import painters, warp
from hybridanim.rendering.transparency import Backdrop, Transparency
from hybridanim.runtime.painters import Painter
from hybridanim.types import Array, DenseMotion, Picture, Source
from hybridanim.visualization import drawing

from .base import Stage

if TYPE_CHECKING:
    from hybridanim.rendering.learned import LearnedRenderer
    from hybridanim.runtime.base import RuntimeInfo


class Generate(Stage):
    """Stage 5 by the warp renderer."""

    name = "render"

    def __init__(self, config: RenderConfig, background: str = "auto") -> None:
        """background: the option of that name."""
        super().__init__(config)
        self._source: Source | None = None
        self._backdrop = Backdrop(background)
        self._seen: tuple[Source, Transparency] | None = None  # of the last source

    def __call__(self, source: Source, motion: DenseMotion) -> Picture:
        """Render one frame; each new source is prepared once."""
        image = self._rendered(source, motion)
        if self._seen is None or self._seen[0] is not source:
            self._seen = source, Transparency(source, self._config, self._backdrop)
        return self._seen[1](image, motion)

    def _rendered(self, source: Source, motion: DenseMotion) -> Array:
        """(S, S, 3) uint8 RGB before the source's own background."""
        if source is not self._source:
            self._source, self._prepared = source, warp.prepare(source, self._config)
        return warp.render(self._prepared, motion)

    def draw(self, canvas: Array, output: Picture) -> Array:
        """Return the result itself."""
        return drawing.picture(canvas, output)

    def adjust(self, **settings: object) -> None:
        """Change settings between two frames; the source is prepared again."""
        super().adjust(**settings)
        self._source = self._seen = None


class PaintedGenerate(Generate):
    """Stage 5 by the warp renderer, with mouth and eyes painted by small networks."""

    def __init__(
        self, config: RenderConfig, networks: Mapping[str, Painter], background: str = "auto"
    ) -> None:
        super().__init__(config, background)
        self._networks = networks
        self._own: tuple[Source, painters.OwnWindows | None] | None = None  # of the last source

    def _rendered(self, source: Source, motion: DenseMotion) -> Array:
        """The warp renderer's picture, and where a face is fitted, mouth and eyes painted."""
        picture = super()._rendered(source, motion)
        if self._own is None or self._own[0] is not source:
            self._own = source, painters.prepare(source, face_model.load())
        if motion.face is None or self._own[1] is None:
            return picture
        return painters.paint(picture, motion.face, self._own[1], self._networks)


class LearnedGenerate(PaintedGenerate):
    """Stage 5 by the generator.

    Of a fitted face it paints what a turn of the head shows and the source does not; mouth and eyes
    are the painters'. Without a face it paints wherever its alpha says so.
    """

    def __init__(
        self,
        config: RenderConfig,
        networks: Mapping[str, Painter],
        renderer: LearnedRenderer,
        background: str = "auto",
    ) -> None:
        super().__init__(config, networks, background)
        self._renderer = renderer

    @property
    def runtime_info(self) -> RuntimeInfo:
        """Runtime of the networks."""
        return self._renderer.runtime_info

    def _rendered(self, source: Source, motion: DenseMotion) -> Array:
        """The generator's picture, from the motion of a learned stage 4."""
        if motion.face is not None:
            picture = super()._rendered(source, motion)
            if motion.features is None:
                return picture
            return self._renderer.paint_hidden(picture, motion)
        pin_border = self._config.pin_border if self._config.paste_back else 0.0
        return self._renderer.paint(source, motion, pin_border)
