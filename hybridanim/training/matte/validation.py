"""Matting network and labelled frames of other people -> overlap and accuracy of the edge."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from hybridanim.face import matte_window
from hybridanim.networks.matte import MatteNetwork
from hybridanim.resampling import disc
from hybridanim.types import Array

from . import samples
from .footage import Footage
from .samples import Window

_HEADS = 2.5  # side of the window, as of the source's crop
_EVERY = 4  # frames


def validate(net: MatteNetwork, held: Footage) -> dict[str, float]:
    """Mean IoU and edge F of the frames as they are, and changed as in training, in percent."""
    n, rows = net.sizes.window_px, range(0, len(held.images), _EVERY)
    plain = [plain_window(held, row, n) for row in rows]
    changed = [samples.variant(held, row, n, np.random.default_rng([7, row])) for row in rows]
    found = {}
    for name, windows in (("", plain), ("changed_", changed)):
        masks = predicted(net, windows)
        pairs = list(zip(masks, windows, strict=True))
        found[f"{name}iou_percent"] = 100 * float(
            np.mean([overlap(mask, one.mask, one.known) for mask, one in pairs])
        )
        found[f"{name}edge_percent"] = 100 * float(
            np.mean([edge_score(mask, one.mask, one.known) for mask, one in pairs])
        )
    return found


def plain_window(held: Footage, row: int, n: int) -> Window:
    """The window of a frame as at run time."""
    x, y, side = held.heads[row]
    return samples.cut(held, row, matte_window.window(np.array([x, y]), _HEADS * side, n), n)


def predicted(net: MatteNetwork, windows: list[Window]) -> Array:
    """(N, n, n) masks in [0, 1]."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(windows), 8):
            batch = samples.stacked(windows[start : start + 8])
            out.append(torch.sigmoid(net(torch.from_numpy(batch.windows)))[:, 0].numpy())
    return np.concatenate(out)


def overlap(mask: Array, truth: Array, known: Array) -> float:
    """Intersection over union of two masks where the truth is known."""
    one, two = (mask > 0.5) & (known > 0), (truth > 0.5) & (known > 0)
    union = (one | two).sum()
    return float((one & two).sum() / union) if union else 1.0


def edge_score(mask: Array, truth: Array, known: Array, tolerance_px: int = 2) -> float:
    """F-measure of the masks' edges, which agree within ``tolerance_px``; in [0, 1]."""
    one, two = _edge(mask > 0.5, known), _edge(truth > 0.5, known)
    if not one.any() or not two.any():
        return float(one.any() == two.any())
    near = disc(tolerance_px)
    precision = cv2.dilate(two.astype(np.uint8), near)[one].mean()
    recall = cv2.dilate(one.astype(np.uint8), near)[two].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-6))


def _edge(inside: Array, known: Array) -> Array:
    inner = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    certain = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return inside & ~inner & certain
