"""One person moved by another: which pairs, and figures without a truth.

The source says who it must stay and what its background is; the driver says how eyes, mouth and
head must move. Motion is relative, so poses are compared as changes since the driver's reference
frame and since the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

from hybridanim.types import Array, Source

from . import metrics
from .face_evaluator import Seen
from .scores import LEAST_SHARE, Judges, pose_errors

S = TypeVar("S")
D = TypeVar("D")
_ROOM_HEADS = 0.35  # background begins this far from the person, in head boxes


def draw_pairs(
    sources: Sequence[S], drivers: Sequence[D], count: int, seed: int
) -> list[tuple[S, D]]:
    """``count`` pairs of unequal members (all, if fewer), the same for one seed.

    Each source and each driver is used about equally often: round after round takes every source
    once, with a driver that it has not had, among those the ones used least. Sources and drivers
    that are equal (a clip by itself) are never paired.
    """
    random = np.random.default_rng(seed)
    used = dict.fromkeys(range(len(drivers)), 0)
    had: set[tuple[int, int]] = set()
    pairs: list[tuple[S, D]] = []
    while len(pairs) < count:
        before = len(pairs)
        for s in random.permutation(len(sources)).tolist():
            open_to = [d for d in used if (s, d) not in had and not bool(sources[s] == drivers[d])]
            if not open_to or len(pairs) == count:
                continue
            least = min(used[d] for d in open_to)
            d = int(random.choice([d for d in open_to if used[d] == least]))
            used[d] += 1
            had.add((s, d))
            pairs.append((sources[s], drivers[d]))
        if len(pairs) == before:
            break
    return pairs


def background(source: Source) -> Array:
    """(S, S) bool: what of the source picture is surely not the person."""
    reach = _ROOM_HEADS * source.head.size_px / source.crop.side_px * len(source.image)
    side = 2 * round(reach) + 1
    person = (source.subject > 0.02).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(person, disc) == 0


def compare(
    source_embedding: Array,
    result: Array,
    own: Seen | None,
    judges: Judges,
) -> dict[str, float]:
    """Identity: csim and aed of the result with the source, each aligned by its own five points."""
    if own is None or judges.face is None:
        return {}
    embedding = judges.face.embedding(result, own.five_xy_px)
    return {
        "csim": metrics.cosine(source_embedding, embedding),
        "aed": metrics.embedding_distance(source_embedding, embedding),
    }


def compare_background(image: Array, result: Array, still: Array) -> dict[str, float]:
    """background_psnr of the result with the source's own picture, where there is enough of it."""
    if still.sum() <= LEAST_SHARE * still.size:
        return {}
    return {"background_psnr": metrics.psnr(image, result, still)}


def compare_pose(source: Seen, own: Seen | None, reference: Seen, driver: Seen) -> dict[str, float]:
    """Errors of the change of yaw, pitch and roll: result since source, driver since reference."""
    changes = [_change(source, own), _change(reference, driver)]
    return pose_errors(changes[1], changes[0])


def _change(before: Seen, after: Seen | None) -> tuple[float, float, float] | None:
    if after is None or before.angles_deg is None or after.angles_deg is None:
        return None
    yaw, pitch, roll = (a - b for a, b in zip(after.angles_deg, before.angles_deg, strict=True))
    return yaw, pitch, roll
