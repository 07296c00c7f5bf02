"""Figures of one way to animate over one clip, and of many clips together.

Reconstruction: every frame of a clip is the truth for the result that it drives (source = frame 0,
absolute motion), as in Siarohin et al. 2019. Cross-identity animation has no truth: there the
source says who it is, and the driver how it moves (cross_identity.py). Both fill a Score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridanim.types import Array

from . import metrics, regions
from .face_evaluator import Judge, Seen
from .perceptual import Perceptual

LEAST_SHARE = 0.02  # of the picture: a smaller background is not measured
REGIONS = ("eyes", "mouth", "face", "around")


@dataclass(frozen=True)
class Judges:
    """The networks that measure; each may be missing."""

    face: Judge | None = None
    perceptual: Perceptual = field(default_factory=Perceptual)

    def look(self, image: Array) -> Seen | None:
        """The face of a picture, or None."""
        return None if self.face is None else self.face.look(image)


@dataclass(frozen=True)
class Truth:
    """What is known of the true frame, once for all ways."""

    image: Array  # (H, W, 3) uint8
    masks: dict[str, Array]  # see regions.parts; without a face the background alone
    seen: Seen | None = None
    embedding: Array | None = None
    features: Array | None = None  # of the Frechet distance's network


@dataclass
class Score:
    """Lists over the measured frames of one clip; plain values, so that processes may send it."""

    values: dict[str, list[float]] = field(default_factory=dict)
    judged: int = 0  # frames whose driver shows a face
    missing: int = 0  # of these, the result shows none
    openings: list[tuple[float, float, float, float]] = field(default_factory=list)
    features: list[tuple[Array, Array]] = field(default_factory=list)  # truth's, result's
    _points: dict[int, tuple[Array, Array]] = field(default_factory=dict)

    def put(self, figures: dict[str, float]) -> None:
        """One frame's figures."""
        for name, value in figures.items():
            self.values.setdefault(name, []).append(float(value))

    def follow(self, index: int, own: Seen | None, driver: Seen | None, scale: float = 1) -> None:
        """How the faces of frame ``index`` move; scale: pixels of result per pixel of driver."""
        if driver is None:
            return
        self.judged += 1
        if own is None:
            self.missing += 1
            return
        self.openings.append((own.eyes, driver.eyes, own.mouth, driver.mouth))
        self._points[index] = (own.mesh_xy_px, scale * driver.mesh_xy_px)

    def shakes(self) -> list[tuple[float, float]]:
        """Second differences (result, driver) in pixels, where three frames follow each other."""
        found = []
        for index in sorted(self._points):
            if index - 1 in self._points and index + 1 in self._points:
                three = [self._points[i] for i in (index - 1, index, index + 1)]
                own, driver = (metrics.shake(np.array(p))[0] for p in zip(*three, strict=True))
                found.append((float(own), float(driver)))
        return found

    def closed(self) -> Score:
        """The same without what only open clips need: landmarks become second differences."""
        self.values["_shake"], self.values["_driver_shake"] = (
            [pair[side] for pair in self.shakes()] for side in (0, 1)
        )
        self._points = {}
        return self


def pooled(scores: Sequence[Score]) -> dict[str, float]:
    """Figures of closed scores together: means over all frames, as the field does.

    jitter is the result's mean second difference of landmarks over the driver's (1 = as steady),
    jitter_beyond_px what it has more, in pixels. mkr is the share of frames whose driver shows a
    face and whose result shows none. Correlations and gains of the openings: metrics.following.
    follow_ms and render_ms are medians.
    """
    names = dict.fromkeys(name for score in scores for name in score.values)
    lists = {n: [v for score in scores for v in score.values.get(n, [])] for n in names}
    found = {n: _mean(v) for n, v in lists.items() if not n.startswith("_")}
    for name in ("follow_ms", "render_ms"):
        if times := lists.get(f"_{name}"):
            found[name] = float(np.median(times))
    own, driver = _mean(lists.get("_shake", [])), _mean(lists.get("_driver_shake", []))
    found["jitter"], found["jitter_beyond_px"] = own / max(driver, 1e-6), own - driver
    openings = [np.array(score.openings).reshape(-1, 4).T for score in scores]
    for name, at in (("eyes", 0), ("mouth", 2)):
        followed = metrics.following([(clip[at], clip[at + 1]) for clip in openings])
        found[f"{name}_correlation"], found[f"{name}_gain"] = followed
    judged = sum(score.judged for score in scores)
    if judged:
        found["mkr"] = sum(score.missing for score in scores) / judged
    features = [pair for score in scores for pair in score.features]
    if len(features) > 1:
        true, own_features = (np.array(v) for v in zip(*features, strict=True))
        found["fid"] = metrics.frechet_distance(true, own_features)
    return {name: round(value, 5) for name, value in found.items() if np.isfinite(value)}


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def truth_of(image: Array, still: Array, judges: Judges) -> Truth:
    """Judge a true frame; still: (H, W) bool, the pixels that hardly change in its clip."""
    seen, masks, embedding = judges.look(image), {"background": still}, None
    if seen is not None and judges.face is not None:
        masks = regions.parts(seen.landmarks_xy_px, seen.mesh_xy_px, still)
        embedding = judges.face.embedding(image, seen.five_xy_px)
    return Truth(image, masks, seen, embedding, judges.perceptual.features(image))


def compare(truth: Truth, result: Array, own: Seen | None, judges: Judges) -> dict[str, float]:
    """A result against its truth: pictures, and faces where both show one.

    The identity network sees both aligned by the truth's five points.
    """
    found = compare_pictures(truth, result)
    distance = judges.perceptual.distance(truth.image, result)
    if distance is not None:
        found["lpips"] = distance
    if truth.seen is None or own is None or judges.face is None or truth.embedding is None:
        return found
    found["akd_px"] = metrics.keypoint_distance(truth.seen.mesh_xy_px, own.mesh_xy_px)
    embedding = judges.face.embedding(result, truth.seen.five_xy_px)
    found["csim"] = metrics.cosine(truth.embedding, embedding)
    found["aed"] = metrics.embedding_distance(truth.embedding, embedding)
    return found | pose_errors(truth.seen.angles_deg, own.angles_deg)


def compare_pictures(truth: Truth, result: Array) -> dict[str, float]:
    """What needs no network: L1, PSNR, SSIM, sharpness, parts of the picture, background."""
    found = {
        "l1": metrics.l1(truth.image, result),
        "psnr": metrics.psnr(truth.image, result),
        "ssim": metrics.ssim(truth.image, result),
        "sharpness": metrics.sharpness(truth.image, result),
    }
    for name in REGIONS:
        if name in truth.masks:
            found[f"{name}_l1"] = metrics.l1(truth.image, result, truth.masks[name])
    background = truth.masks["background"]
    if background.sum() > LEAST_SHARE * background.size:
        found["background_psnr"] = metrics.psnr(truth.image, result, background)
    return found


def pose_errors(
    truth_deg: tuple[float, float, float] | None, result_deg: tuple[float, float, float] | None
) -> dict[str, float]:
    """pose_deg, the mean absolute error of three angles, and each alone; {} where unknown."""
    if truth_deg is None or result_deg is None:
        return {}
    errors = metrics.angle_errors_deg(np.array(truth_deg), np.array(result_deg))
    names = ("yaw_deg", "pitch_deg", "roll_deg")
    return {"pose_deg": float(errors.mean())} | dict(zip(names, errors.tolist(), strict=True))
