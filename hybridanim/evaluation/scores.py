"""Metric values of one method over one clip, and of many clips together.

Reconstruction: every frame of a clip is the truth for the result that it drives (source = frame 0,
absolute motion), as in Siarohin et al. 2019. Cross-identity animation has no truth: identity is
compared with the source, motion with the driver (cross_identity.py). Both fill a Score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hybridanim.types import Array

from . import body_pose, metrics, regions
from .body_pose import BodyEvaluator
from .face_evaluator import FaceEvaluator, FaceMeasurement
from .perceptual import Perceptual

LEAST_SHARE = 0.02  # of the picture: a smaller background is not measured
REGIONS = ("eyes", "mouth", "face", "around")


@dataclass(frozen=True)
class Evaluators:
    """The networks that measure; either may be missing."""

    face: FaceEvaluator | None = None
    perceptual: Perceptual = field(default_factory=Perceptual)
    body: BodyEvaluator | None = None

    def detect(self, image: Array, stream: str = "") -> FaceMeasurement | None:
        """The face of a picture, (H, W, 3) uint8 RGB; None without a face or without networks.

        stream: see FaceEvaluator.detect.
        """
        return None if self.face is None else self.face.detect(image, stream)


@dataclass(frozen=True)
class Truth:
    """What is measured of a true frame, once for all methods."""

    image: Array  # (H, W, 3) uint8
    masks: dict[str, Array]  # see regions.parts; without a face the background alone
    face: FaceMeasurement | None = None
    embedding: Array | None = None
    features: Array | None = None  # of the Frechet distance's network
    joints: Array | None = None  # of a person, see body_pose; where bodies are measured


@dataclass
class Score:
    """Lists over the measured frames of one clip; plain values that processes can exchange."""

    values: dict[str, list[float]] = field(default_factory=dict)
    driver_faces: int = 0  # frames whose driver shows a face
    missing_faces: int = 0  # of these, the result shows none
    openings: list[tuple[float, float, float, float]] = field(default_factory=list)
    features: list[tuple[Array, Array]] = field(default_factory=list)  # truth's, result's
    judged: dict[str, float] = field(default_factory=dict)  # of a pair, see judge.PairRecord
    _points: dict[int, tuple[Array, Array]] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        """Add one frame's metric values by name."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(float(value))

    def add_faces(
        self,
        index: int,
        result_face: FaceMeasurement | None,
        driver: FaceMeasurement | None,
        scale: float = 1,
    ) -> None:
        """Add the faces of frame ``index``; scale: pixels of the result per pixel of the driver."""
        if driver is None:
            return
        self.driver_faces += 1
        if result_face is None:
            self.missing_faces += 1
            return
        self.openings.append((result_face.eyes, driver.eyes, result_face.mouth, driver.mouth))
        self._points[index] = (result_face.mesh_xy_px, scale * driver.mesh_xy_px)

    def second_differences(self) -> list[tuple[float, float]]:
        """Mean second differences (result, driver) in pixels, of frames with both neighbours."""
        found = []
        for index in sorted(self._points):
            if index - 1 in self._points and index + 1 in self._points:
                three = [self._points[i] for i in (index - 1, index, index + 1)]
                result_face, driver = (
                    metrics.second_difference(np.array(p))[0] for p in zip(*three, strict=True)
                )
                found.append((float(result_face), float(driver)))
        return found

    def finished(self) -> Score:
        """The same with second differences in place of landmarks; small enough to send."""
        self.values["_shake"], self.values["_driver_shake"] = (
            [pair[side] for pair in self.second_differences()] for side in (0, 1)
        )
        self._points = {}
        return self


def pooled(scores: Sequence[Score]) -> dict[str, float]:
    """Metric values of finished scores together: means over all frames, as the field does.

    jitter is the mean second difference of the result's landmarks divided by the driver's (1 = as
    steady), jitter_beyond_px their difference in pixels. mkr is the share of the frames with a face
    in the driver that have none in the result. metrics.opening_correlation defines correlations and
    gains of eyes and mouth. follow_ms and render_ms are medians. Values of pairs (judge.py) are
    means over the pairs that have them.
    """
    names = dict.fromkeys(name for score in scores for name in score.values)
    lists = {n: [v for score in scores for v in score.values.get(n, [])] for n in names}
    found = {n: _mean(v) for n, v in lists.items() if not n.startswith("_")}
    for name in ("follow_ms", "render_ms"):
        if times := lists.get(f"_{name}"):
            found[name] = float(np.median(times))
    result_face, driver = _mean(lists.get("_shake", [])), _mean(lists.get("_driver_shake", []))
    found["jitter"], found["jitter_beyond_px"] = (
        result_face / max(driver, 1e-6),
        result_face - driver,
    )
    openings = [np.array(score.openings).reshape(-1, 4).T for score in scores]
    for name, at in (("eyes", 0), ("mouth", 2)):
        followed = metrics.opening_correlation([(clip[at], clip[at + 1]) for clip in openings])
        found[f"{name}_correlation"], found[f"{name}_gain"] = followed
    judged = sum(score.driver_faces for score in scores)
    if judged:
        found["mkr"] = sum(score.missing_faces for score in scores) / judged
    features = [pair for score in scores for pair in score.features]
    if len(features) > 1:
        true, own_features = (np.array(v) for v in zip(*features, strict=True))
        found["fid"] = metrics.frechet_distance(true, own_features)
    for name in dict.fromkeys(name for score in scores for name in score.judged):
        found[name] = _mean(score.judged[name] for score in scores if name in score.judged)
    return {name: round(value, 5) for name, value in found.items() if np.isfinite(value)}


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def build_truth(image: Array, still: Array, evaluators: Evaluators) -> Truth:
    """Measure a true frame; still: (H, W) bool, the pixels that hardly change in its clip."""
    face, masks, embedding = evaluators.detect(image), {"background": still}, None
    if face is not None and evaluators.face is not None:
        masks = regions.parts(face.landmarks_xy_px, face.mesh_xy_px, still)
        embedding = evaluators.face.embedding(image, face.five_xy_px)
    joints = None if evaluators.body is None else evaluators.body.detect(image)
    features = evaluators.perceptual.features(image)
    return Truth(image, masks, face, embedding, features, joints)


def compare(
    truth: Truth, result: Array, result_face: FaceMeasurement | None, evaluators: Evaluators
) -> dict[str, float]:
    """Metric values of a result by its truth: of the pictures, and of faces where both show one.

    The identity network receives both aligned by the truth's five points.
    """
    found = compare_pictures(truth, result)
    distance = evaluators.perceptual.distance(truth.image, result)
    if distance is not None:
        found["lpips"] = distance
    if truth.joints is not None and evaluators.body is not None:
        found |= body_pose.compare(truth.joints, evaluators.body.detect(result))
    if truth.face is None or result_face is None or evaluators.face is None:
        return found
    found["akd_px"] = metrics.keypoint_distance(truth.face.mesh_xy_px, result_face.mesh_xy_px)
    embedding = evaluators.face.embedding(result, truth.face.five_xy_px)
    if truth.embedding is not None and embedding is not None:
        found["csim"] = metrics.cosine(truth.embedding, embedding)
        found["aed"] = metrics.embedding_distance(truth.embedding, embedding)
    return found | pose_errors(truth.face.angles_deg, result_face.angles_deg)


def compare_pictures(truth: Truth, result: Array) -> dict[str, float]:
    """Metrics without a network: L1, PSNR, SSIM, sharpness, L1 of regions, background PSNR."""
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
    """pose_deg, the mean absolute error of three angles, and the error of each; {} if unknown."""
    if truth_deg is None or result_deg is None:
        return {}
    errors = metrics.angle_errors_deg(np.array(truth_deg), np.array(result_deg))
    names = ("yaw_deg", "pitch_deg", "roll_deg")
    return {"pose_deg": float(errors.mean())} | dict(zip(names, errors.tolist(), strict=True))
