"""One person moved by another: choice of the pairs, and metrics without a truth.

Identity and background are compared with the source; eyes, mouth and head pose with the driver.
Motion is relative, so poses are compared as changes: of the driver since its reference frame, of
the result since the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np

from hybridanim.types import Array, Source

from . import metrics
from .face_evaluator import FaceMeasurement
from .scores import LEAST_SHARE, Evaluators, pose_errors

S = TypeVar("S")
D = TypeVar("D")
_MARGIN_HEADS = 0.35  # background begins this far from the person, in sides of the head box


def draw_pairs(
    sources: Sequence[S], drivers: Sequence[D], count: int, seed: int
) -> list[tuple[S, D]]:
    """``count`` different pairs (all, if there are fewer), the same for one seed.

    Each source and each driver is used about equally often: every round takes each source once,
    with one of the least used drivers that it was not paired with yet. A source and a driver that
    are equal (a clip by itself) are never paired.
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
    """(S, S) bool: the pixels of the source picture that are certainly not the person."""
    reach = _MARGIN_HEADS * source.head.size_px / source.crop.side_px * len(source.image)
    side = 2 * round(reach) + 1
    person = (source.subject > 0.02).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(person, disc) == 0


def compare_identity(
    source_embedding: Array,
    result: Array,
    result_face: FaceMeasurement | None,
    evaluators: Evaluators,
) -> dict[str, float]:
    """Csim and aed of the result with the source, each aligned by its own five points."""
    if result_face is None or evaluators.face is None:
        return {}
    embedding = evaluators.face.embedding(result, result_face.five_xy_px)
    if embedding is None:
        return {}
    return {
        "csim": metrics.cosine(source_embedding, embedding),
        "aed": metrics.embedding_distance(source_embedding, embedding),
    }


def compare_background(image: Array, result: Array, still: Array) -> dict[str, float]:
    """background_psnr of the result with the source picture; {} where the background is small."""
    if still.sum() <= LEAST_SHARE * still.size:
        return {}
    return {"background_psnr": metrics.psnr(image, result, still)}


def compare_pose(
    source: FaceMeasurement,
    result_face: FaceMeasurement | None,
    reference: FaceMeasurement,
    driver: FaceMeasurement,
) -> dict[str, float]:
    """Errors of the change of yaw, pitch and roll: result since source, driver since reference."""
    changes = [_change(source, result_face), _change(reference, driver)]
    return pose_errors(changes[1], changes[0])


def _change(
    before: FaceMeasurement, after: FaceMeasurement | None
) -> tuple[float, float, float] | None:
    if after is None or before.angles_deg is None or after.angles_deg is None:
        return None
    yaw, pitch, roll = (a - b for a, b in zip(after.angles_deg, before.angles_deg, strict=True))
    return yaw, pitch, roll
