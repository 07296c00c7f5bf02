"""Texture synthesis: the unknown part of a canvas is covered by patches of a texture.

Patches are placed row by row; each is one of those that fit best to what is known under it, and is
blended with it where they overlap (image quilting, Efros and Freeman 2001, with a soft seam). The
patches may differ between columns, for example by their rotation.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hybridanim.resampling import smoothstep
from hybridanim.types import Array

_NEAR_BEST = 1.3  # one of the patches within this factor of the smallest error is taken
_STEP = 0.65  # between patches, of their side
_SAMPLES = 12  # along a patch's side, at which it is compared
_SEED = 7


def patches(image: Array, centres_xy_px: Array, degrees: float, side_px: int) -> Array:
    """(n, p, p, 3) patches of a picture (h, w, 3) round centres (n, 2).

    degrees: the direction of the picture, anticlockwise from downwards, that is down in a patch.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (side_px - 1) / 2)
    found = []
    for centre in centres_xy_px:
        matrix = np.column_stack([turn, centre - turn @ middle])
        found.append(
            cv2.warpAffine(
                image, matrix, (side_px, side_px),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT,
            )
        )  # fmt: skip
    return np.stack(found)


def cover(canvas: Array, known: Array, textures: Sequence[Array], which: Array) -> Array:
    """Cover the unknown part of a canvas: (H, W, 3) float32.

    canvas: (H, W, 3) float32. known: (H, W) bool. textures: patches (n, p, p, 3) each, of the same
    places in other rotations. which: (W,) int, the texture of each column.
    """
    side = textures[0].shape[1]
    step, stride = max(1, round(_STEP * side)), max(1, side // _SAMPLES)
    coarse = [
        one[:, ::stride, ::stride].astype(np.float32).reshape(len(one), -1) for one in textures
    ]
    squares = [one**2 for one in coarse]
    rng, ramp = np.random.default_rng(_SEED), _ramp(side)
    height, width = known.shape
    pad = ((0, side), (0, side))
    fixed = np.pad(known, pad)
    out = np.where(fixed[..., None], np.pad(canvas, (*pad, (0, 0))), 0).astype(np.float32)
    done = fixed.copy()
    last: Array = np.full(len(textures[0]), -len(textures[0]))  # when each was placed
    placed = 0
    for y in range(0, height, step):
        for x in range(0, width, step):
            part = slice(y, y + side), slice(x, x + side)
            if done[part][: height - y, : width - x].all():
                continue
            number = int(which[min(x + side // 2, width - 1)])
            thin = slice(y, y + side, stride), slice(x, x + side, stride)
            free = last < placed - len(last) // 2  # one patch again and again makes a pattern
            chosen = _fitting(coarse[number], squares[number], out[thin], done[thin], free, rng)
            last[chosen], placed = placed, placed + 1
            new = np.where(done[part], ramp, 1) * ~fixed[part]
            out[part] += new[..., None] * (textures[number][chosen] - out[part])
            done[part] = True
    return out[:height, :width]


def _ramp(side: int) -> Array:
    """(p, p) float32 share of a new patch where there is another: 0 at its upper and left edge."""
    along = smoothstep(np.clip((np.arange(side) + 0.5) / ((1 - _STEP) * side), 0, 1))
    return np.minimum(along, along[:, None]).astype(np.float32)


def _fitting(
    texture: Array,
    squares: Array,
    under: Array,
    done: Array,
    free: Array,
    rng: np.random.Generator,
) -> int:
    """Number of a free patch that fits to what is done.

    texture, squares: (n, D) patches and their squares. under: (q, q, 3), done: (q, q) bool. free:
    (n,) bool.
    """
    numbers = np.flatnonzero(free)
    if not done.any():
        return int(rng.choice(numbers))
    mask = np.repeat(done[..., None], 3, 2).astype(np.float32).ravel()
    known = under.ravel() * mask
    error = squares @ mask - 2 * (texture @ known) + known @ known
    error = np.maximum(error, 0)[numbers] + mask.sum()  # one grey level does not matter
    return int(rng.choice(numbers[error <= _NEAR_BEST * error.min()]))
