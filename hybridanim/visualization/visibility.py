"""Drawings of what the source shows of the head's mesh: occlusion by its reasons, and depth.

Canvas and DenseMotion in, new canvas out; the square of the motion fills the whole canvas. A motion
without a mesh has neither, and is drawn with a note.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array, DenseMotion, Reason

from . import primitives
from .flow import tinted
from .primitives import Colour, Line

COLOURS: dict[Reason, Colour] = {
    Reason.UNCOVERED: primitives.SKY,
    Reason.SELF_OCCLUDED: primitives.ORANGE,
    Reason.OPENED: primitives.PINK,
    Reason.OUTSIDE: primitives.YELLOW,
}
NAMES = {
    Reason.UNCOVERED: "uncovered",
    Reason.SELF_OCCLUDED: "self-occluded",
    Reason.OPENED: "opened",
    Reason.OUTSIDE: "outside the picture",
}
_OPACITY = 0.75  # of a reason where the source shows nothing
_STEP = 0.1  # norm; the range of depths is a multiple, so that it rarely jumps


def shares(motion: DenseMotion) -> dict[Reason, float]:
    """Share of the cells that are not visible, by reason; 0 for a motion without reasons."""
    if motion.reasons is None or not motion.reasons.size:
        return dict.fromkeys(COLOURS, 0.0)
    counts = np.bincount(motion.reasons.ravel(), minlength=len(Reason))
    return {reason: float(counts[reason]) / motion.reasons.size for reason in COLOURS}


def reasons(canvas: Array, motion: DenseMotion) -> Array:
    """One colour a reason over the grey picture, with a legend of names and shares."""
    out = primitives.copied(canvas)
    grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out = cv2.convertScaleAbs(grey, alpha=0.6)
    if motion.reasons is None:
        primitives.put_note(out, [Line("this motion gives no reasons")])
        return out
    colours = np.zeros((256, 3), np.uint8)
    for reason, colour in COLOURS.items():
        colours[reason] = colour
    size = out.shape[1::-1]
    over = cv2.resize(colours[motion.reasons], size, interpolation=cv2.INTER_NEAREST)
    is_hidden = (motion.reasons != Reason.VISIBLE).astype(np.float32)
    opacity = cv2.resize(is_hidden, size, interpolation=cv2.INTER_NEAREST) * _OPACITY
    out = tinted(out, opacity.astype(np.float32), over)
    found = shares(motion)
    lines = [
        Line(f"{NAMES[reason]} {100 * share:.1f} %", COLOURS[reason])
        for reason, share in found.items()
    ]
    primitives.put_note(out, lines)
    return out


def depth(canvas: Array, motion: DenseMotion) -> Array:
    """Depth of the head's mesh in colour, near = bright; dark where the cell shows no surface.

    The colours span the depths of the middle 98 % of the cells, rounded to tenths of half a width;
    the note gives them.
    """
    out = primitives.copied(canvas)
    out[:] = primitives.DARK
    known = None if motion.depth is None else np.isfinite(motion.depth)
    if motion.depth is None or known is None or not known.any():
        primitives.put_note(out, [Line("this motion has no depth")])
        return out
    near, far = np.quantile(motion.depth[known], (0.01, 0.99))
    near, far = _STEP * np.floor(near / _STEP), _STEP * np.ceil(far / _STEP)
    level = np.clip((far - np.where(known, motion.depth, far)) / max(far - near, _STEP), 0, 1)
    # below a tenth the colours are as dark as what is unknown
    heat = cv2.applyColorMap((25 + 230 * level).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    heat = np.where(known[..., None], heat, np.array(primitives.DARK, np.uint8))
    out = cv2.resize(np.ascontiguousarray(heat), out.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    chips = [tuple(int(c) for c in _viridis(v)) for v in (255, 25)]
    lines = [Line(f"{z:+.1f}", (c[0], c[1], c[2])) for z, c in zip((near, far), chips, strict=True)]
    primitives.put_note(out, lines)
    return out


def _viridis(level: int) -> Array:
    return cv2.applyColorMap(np.array([[level]], np.uint8), cv2.COLORMAP_VIRIDIS)[0, 0, ::-1]
