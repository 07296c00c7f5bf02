"""Avatar -> picture: what is painted for turns of the head, and where it comes from."""

from __future__ import annotations

import numpy as np

from hybridanim.resampling import resized
from hybridanim.types import Array, Avatar

from . import primitives
from .primitives import Line

_WIDTH_PX = 1024
_CONTINUED, _PAINTED, _OWN = (80, 220, 120), (255, 150, 40), (90, 140, 255)
_TINT = 0.35


def picture(avatar: Avatar) -> Array:
    """(H, W, 3) uint8: the atlas of what is behind, by origin too, and the head's other half."""
    behind, is_painted = avatar.behind, avatar.is_painted
    origin = np.where(
        is_painted[..., None], np.array(_PAINTED, np.uint8), np.array(_CONTINUED, np.uint8)
    )
    height = max(1, round(_WIDTH_PX * behind.shape[0] / behind.shape[1]))
    rows = [resized(one, _WIDTH_PX, height) for one in (behind.copy(), _tinted(behind, origin))]
    primitives.put_note(rows[0], [Line("atlas of what is behind: right neck, crown, left neck")])
    names = (("mirrored at the outline", _CONTINUED), ("painted from patches of hair", _PAINTED))
    primitives.put_note(rows[1], [Line(name, colour) for name, colour in names])
    side = _WIDTH_PX // 2
    other = resized(avatar.other.copy(), side, side)
    share = resized(
        np.rint(np.repeat(avatar.symmetry[..., None], 3, 2) * 255).astype(np.uint8), side, side
    )
    tinted = np.where(
        share > 127, other, _tinted(other, np.broadcast_to(np.array(_OWN, np.uint8), other.shape))
    )
    primitives.put_note(other, [Line("in the light of the other half")])
    primitives.put_note(tinted, [Line("not symmetric: never mirrored", _OWN)])
    return np.concatenate([*rows, np.concatenate([other, tinted], 1)])


def _tinted(image: Array, colour: Array) -> Array:
    """The image (h, w, 3) with a share of a colour (h, w, 3), both uint8."""
    return np.rint((1 - _TINT) * image + _TINT * colour).astype(np.uint8)
