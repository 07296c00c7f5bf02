"""Rendered picture and its motion -> picture with transparency, or before another background.

The alpha of the source is a picture of its own: it is moved by the same two layers as the colours
(``warp``), so both fit each other to the pixel. It is the file's own, or, where the background is
to be taken away, the person's mask. What the old background adds to a pixel is subtracted (Porter
and Duff 1984), so that no rim of it remains round hair.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from hybridanim import io
from hybridanim.config import RenderConfig, background_color, replaces_background
from hybridanim.types import Array, DenseMotion, Picture, Source

from . import warp

_WHITE = 255.0  # what a transparent source lies on
_CUT_OUT = 0.5  # mean alpha beside the person, below which the file's maker has cut the person out
# Person's mask that becomes 0 and 1: it says more than there is where it is unsure, which is right
# for what moves, but would be a haze of the old background
_FAINT, _FIRM = 0.12, 0.92


class Backdrop:
    """The background that an option asks for: none, a colour, or a picture.

    Raises InputError for a picture that cannot be read.
    """

    def __init__(self, background: str) -> None:
        self.is_replaced = replaces_background(background)
        self.is_transparent = background == "transparent"
        self._color = background_color(background) if self.is_replaced else None
        is_picture = self.is_replaced and not self.is_transparent and self._color is None
        self._picture = io.read_picture(Path(background)) if is_picture else None

    def filled(self, size: int) -> Array | None:
        """The background, (size, size, 3) float32; None where there is none to be put in."""
        if self._picture is not None:
            return _covering(self._picture, size).astype(np.float32)
        if self._color is not None:
            return np.full((size, size, 3), self._color, np.float32)
        return None


class Transparency:
    """Gives the pictures of one source its transparency, or the background that is asked for."""

    def __init__(self, source: Source, config: RenderConfig, backdrop: Backdrop) -> None:
        size = len(source.image)
        self._is_opaque = source.alpha is None and not backdrop.is_replaced
        self._new = backdrop.filled(size)
        if self._is_opaque:
            return
        if source.alpha is not None and (not backdrop.is_replaced or _is_cut_out(source)):
            alpha = source.alpha
            behind = source.inpainted_alpha
            self._old: Array | float = _WHITE
        else:
            share = np.clip((source.subject - _FAINT) / (_FIRM - _FAINT), 0, 1)
            share = share if source.alpha is None else share * source.alpha / 255
            alpha = np.rint(share * 255).astype(np.uint8)
            behind = np.zeros_like(alpha)
            self._old = warp.prepare(source, config).background
        assert behind is not None
        shown = replace(source, image=_grey(alpha), inpainted_background=_grey(behind))
        # the inside of a mouth is painted in colours, not in alpha
        self._prepared = replace(warp.prepare(shown, config), mouth=None)

    def __call__(self, image: Array, motion: DenseMotion) -> Picture:
        """The picture of one frame.

        image: (S, S, 3) uint8 RGB, as rendered before the source's own background.
        """
        if self._is_opaque:
            return Picture(image)
        alpha = warp.render(self._prepared, motion)[..., 0]
        share = alpha.astype(np.float32)[..., None] / 255
        own = np.clip(image - (1 - share) * self._old, 0, 255 * share)
        if self._new is None:
            return Picture(_rounded(own + (1 - share) * _WHITE), alpha)
        return Picture(_rounded(own + (1 - share) * self._new))


def straight(image: Array, alpha: Array) -> Array:
    """A picture on white (H, W, 3) and its alpha (H, W) -> (H, W, 4) RGBA, all uint8.

    Colours are not multiplied by alpha, as files hold them.
    """
    share = np.maximum(alpha.astype(np.float32)[..., None] / 255, 1e-6)
    color = np.clip((image - (1 - share) * _WHITE) / share, 0, 255)
    return np.dstack([np.where(alpha[..., None] > 0, np.rint(color), 0).astype(np.uint8), alpha])


def _is_cut_out(source: Source) -> bool:
    """Whether the file shows the person alone, so that its alpha is the better mask."""
    beside = source.subject < 0.1
    return source.alpha is not None and (
        not beside.any() or float(source.alpha[beside].mean()) < 255 * _CUT_OUT
    )


def _covering(picture: Array, size: int) -> Array:
    """The middle of a picture, as large as fits, as a square (size, size, 3)."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = np.ascontiguousarray(picture[top : top + side, left : left + side])
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(middle, (size, size), interpolation=method)


def _grey(alpha: Array) -> Array:
    return np.repeat(alpha[..., None], 3, axis=2)


def _rounded(picture: Array) -> Array:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
