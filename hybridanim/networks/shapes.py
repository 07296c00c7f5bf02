"""Names and shapes of the tensors of animator and detector, from the sizes in a weights file.

Those of ``build.fast`` and ``build.detector``, so that a file is checked, and read, without torch.
"""

from __future__ import annotations

from itertools import pairwise

from .constants import OPENINGS, OPTICAL_INPUTS
from .sizes import DetectorSizes, FastSizes, MonkeyNetSizes

Shapes = dict[str, tuple[int, ...]]


def animator(sizes: FastSizes, count: int) -> Shapes:
    """Tensors of ``build.Animator``; count: number of keypoints."""
    widths, deep, fine, half = sizes.motion_widths, sizes.deep, sizes.fine, sizes.half
    hints = 2 * OPENINGS if sizes.openings else 0
    more = hints + (OPTICAL_INPUTS if sizes.optical else 0)
    out: Shapes = {"motion.log_reach": (count,), "motion.loud": (count + 1,)}
    out |= _block("motion.stem", count + 3 * (count + 1) + 5 + more, widths[0])
    out |= _unet("motion.body", widths)
    out |= _convolution("motion.head", widths[0], count + 4 + sizes.optical)
    out |= _convolution("motion.features", widths[0], sizes.motion_features, 1)
    out |= _block("generator.outer", 12, fine, 5) | _block("generator.inner", fine, deep)
    for part, number in (("encoder", sizes.encoder_blocks), ("bottleneck", sizes.blocks)):
        for i in range(number):
            out |= _residual(f"generator.{part}.{i}", deep)
    motion = sizes.motion_features + count + 4 * hints
    out |= _block("generator.enter", deep + motion + 1, deep)
    out |= _block("generator.up", deep, half)
    out |= _block("generator.join", half + fine + 12 + hints, half)
    out |= _block("generator.refine", half, half)
    return out | _convolution("generator.last", half, 16)


def detector(sizes: DetectorSizes) -> Shapes:
    """Tensors of ``build.detector``."""
    count, widths, seen = sizes.count, sizes.widths, sizes.seen
    out = _block("stem", 12, widths[0]) | _unet("body", widths)
    out |= _convolution("heat", widths[0], seen or count)
    if seen:
        return out | {"places": (count, seen), "affines": (count, 2, seen)}
    out |= _block("turn", widths[0], widths[1])
    return out | _convolution("affine", widths[1], 4 * count, 1)


def monkeynet(sizes: MonkeyNetSizes) -> Shapes:
    """Tensors of ``monkeynet.MonkeyNet`` without its detector's."""
    count, widths, motion = sizes.count, sizes.widths, sizes.motion_widths
    out = _block("motion.stem", count + (3 * (count + 1) if sizes.source else 0), motion[0])
    out |= _unet("motion.body", motion) | _convolution("motion.head", motion[0], count + 3)
    out |= _block("generator.first", 3, widths[0])
    pairs = list(pairwise(widths))
    for i, (a, b) in enumerate(pairs):
        out |= _block(f"generator.down.{i}", a, b)
    out |= _block("generator.enter", widths[-1] + count, widths[-1])
    out |= _residual("generator.middle", widths[-1])
    for i, (a, b) in enumerate(reversed(pairs)):
        side = sizes.picture_px >> (len(pairs) - 1 - i)
        more = count if side <= sizes.motion_px else 0
        out |= _block(f"generator.up.{i}", b, a) | _block(f"generator.join.{i}", 2 * a + more, a)
    for i in range(sizes.blocks):
        out |= _residual(f"generator.refine.{i}", widths[0])
    return out | _convolution("generator.last", widths[0], 3, 1)


def monkeynet_detector(sizes: MonkeyNetSizes) -> Shapes:
    """Tensors of ``monkeynet.CovarianceDetector``."""
    widths = sizes.detector_widths
    out = _block("stem", 12, widths[0]) | _unet("body", widths)
    return out | _convolution("heat", widths[0], sizes.count)


def _convolution(name: str, inputs: int, outputs: int, side: int = 3) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}


def _norm(name: str, channels: int) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def _block(name: str, inputs: int, outputs: int, side: int = 3) -> Shapes:
    return _convolution(f"{name}.conv", inputs, outputs, side) | _norm(f"{name}.norm", outputs)


def _residual(name: str, channels: int) -> Shapes:
    inner = _convolution(f"{name}.conv", channels, channels) | _norm(f"{name}.norm", channels)
    return _block(f"{name}.first", channels, channels) | inner


def _unet(name: str, widths: tuple[int, ...]) -> Shapes:
    out = _residual(f"{name}.middle", widths[-1])
    pairs = list(pairwise(widths))
    for i, (a, b) in enumerate(pairs):
        out |= _block(f"{name}.down.{i}", a, b)
    for i, (a, b) in enumerate(reversed(pairs)):
        out |= _block(f"{name}.up.{i}", b, a) | _block(f"{name}.join.{i}", 2 * a, a)
    return out
