"""Drawings of what the source shows of the head's mesh: occlusion by its reasons, and depth.

Canvas and DenseMotion in, new canvas out; the square of the motion fills the whole canvas. A motion
without a mesh has neither, and is drawn with a note.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.types import Array, DenseMotion, Reason

from . import flow, primitives
from .primitives import Colour, Line

COLOURS: dict[Reason, Colour] = {
    Reason.UNCOVERED: primitives.SKY,
    Reason.SELF_OCCLUDED: primitives.ORANGE,
    Reason.OPENED: primitives.PINK,
    Reason.OUTSIDE: primitives.YELLOW,
}
_OPACITY = 0.8  # of a reason where the source shows nothing
_STEP = 0.1  # norm; the range of depths is a multiple, so that it rarely jumps


def shares(motion: DenseMotion) -> dict[Reason, float]:
    """Share of the cells that are not visible, by reason; 0 for a motion without reasons."""
    if motion.reasons is None or not motion.reasons.size:
        return dict.fromkeys(COLOURS, 0.0)
    counts = np.bincount(motion.reasons.ravel(), minlength=len(Reason))
    return {reason: float(counts[reason]) / motion.reasons.size for reason in COLOURS}


def occlusion(canvas: Array, motion: DenseMotion) -> Array:
    """What the source does not show over the grey picture, one colour a reason, with a legend.

    The less the source shows of a place, the stronger the colour; what it shows at a grazing angle
    is faintly white. A motion without reasons is drawn by ``flow.occlusion``.
    """
    if motion.reasons is None:
        return flow.occlusion(canvas, motion)
    out = primitives.copied(canvas)
    grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    colours = np.zeros((256, 3), np.uint8)
    colours[:] = primitives.TEXT
    for reason, colour in COLOURS.items():
        colours[reason] = colour
    size = out.shape[1::-1]
    over = cv2.resize(colours[motion.reasons], size, interpolation=cv2.INTER_NEAREST)
    hidden = np.clip(1 - np.nan_to_num(motion.occlusion), 0, 1)
    opacity = cv2.resize(_OPACITY * hidden, size, interpolation=cv2.INTER_LINEAR)
    out = flow.tinted(cv2.convertScaleAbs(grey, alpha=0.6), opacity.astype(np.float32), over)
    lines = [Line(f"to paint: {100 * hidden.mean():.1f} % of the square")]
    lines += [
        Line(f"{reason.name.lower().replace('_', '-')} {100 * share:.1f} %", COLOURS[reason])
        for reason, share in shares(motion).items()
    ]
    primitives.put_note(out, lines)
    return out


def depth(canvas: Array, motion: DenseMotion) -> Array:
    """Depth of the person's mesh in colour, near = bright; dark where the cell shows none of it.

    The colours span the depths of the middle 98 % of the cells, rounded to tenths of half a width;
    the note gives them.
    """
    known = np.isfinite(np.nan if motion.depth is None else motion.depth)
    if motion.depth is None or not known.any():
        out = cv2.convertScaleAbs(primitives.copied(canvas), alpha=0.55)
        primitives.put_note(out, [Line("this motion has no depth")])
        return out
    near, far = np.quantile(motion.depth[known], (0.01, 0.99))
    near, far = _STEP * np.floor(near / _STEP), _STEP * np.ceil(far / _STEP)
    level = np.clip((far - np.where(known, motion.depth, far)) / max(far - near, _STEP), 0, 1)
    # below a tenth the colours are as dark as what is unknown
    heat = cv2.applyColorMap((25 + 230 * level).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    heat = np.where(known[..., None], heat, np.array(primitives.DARK, np.uint8))
    out = cv2.resize(
        np.ascontiguousarray(heat), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST
    )
    chips = [_viridis(level) for level in (255, 25)]
    names = (f"near, {near:+.1f}", f"far, {far:+.1f}")
    lines = [Line(name, chip) for name, chip in zip(names, chips, strict=True)]
    primitives.put_note(out, lines)
    return out


def _viridis(level: int) -> Colour:
    one = np.array([[level]], np.uint8)
    blue, green, red = cv2.applyColorMap(one, cv2.COLORMAP_VIRIDIS)[0, 0].tolist()
    return red, green, blue
