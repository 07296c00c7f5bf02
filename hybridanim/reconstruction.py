"""Scores of one way to animate, gathered frame by frame: reconstruction of a clip from its frame 0.

Each frame of a clip is the truth for the result that it drives (source = frame 0, absolute motion),
as in Siarohin et al. 2019. A Score keeps sums only, except for the landmarks that jitter needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import metrics
from .judges import Judge, landmarks
from .landmarks.points import eye_opening, mouth_opening
from .landmarks.teacher import Mesh
from .types import Array


@dataclass
class Truth:
    """What judges say of the true frame, once for all ways."""

    image: Array
    mesh: Mesh | None = None
    embedding: Array | None = None


@dataclass
class Score:
    """Sums over frames; ``summary`` gives means."""

    values: dict[str, list[float]] = field(default_factory=dict)
    missing: int = 0  # frames in which the truth shows a face and the result none
    judged: int = 0
    openings: list[tuple[float, ...]] = field(default_factory=list)  # eyes, mouth: result, truth
    _points: list[Array] = field(default_factory=list)  # of the current clip
    _true_points: list[Array] = field(default_factory=list)

    def add(self, truth: Truth, result: Array, background: Array, judge: Judge | None) -> None:
        """One frame of the current clip; background: (H, W) bool."""
        self._put("l1", metrics.l1(truth.image, result))
        self._put("psnr", metrics.psnr(truth.image, result))
        self._put("ssim", metrics.ssim(truth.image, result))
        if background.sum() > 0.02 * background.size:
            self._put("background_psnr", metrics.psnr(truth.image, result, background))
        if judge is None or truth.mesh is None:
            return
        self.judged += 1
        mesh = judge.mesh(result)
        if mesh is None:
            self.missing += 1
            return
        self._put("akd", metrics.keypoint_distance(truth.mesh.xyz_px[:, :2], mesh.xyz_px[:, :2]))
        if truth.embedding is not None:  # both aligned by the truth's own points
            self._put("csim", metrics.cosine(truth.embedding, judge.embedding(result, truth.mesh)))
        now, true = landmarks(mesh), landmarks(truth.mesh)
        self._points.append(mesh.xyz_px[:, :2])
        self._true_points.append(truth.mesh.xyz_px[:, :2])
        opened = [(float(eye_opening(p).mean()), float(mouth_opening(p))) for p in (now, true)]
        self.openings.append((*opened[0], *opened[1]))

    def end_clip(self) -> None:
        """Close the current clip: jitter is a clip's own."""
        if len(self._points) > 2:
            own, drivers = metrics.jitter(np.array(self._points)), np.array(self._true_points)
            self._put("jitter", own / max(1e-6, metrics.jitter(drivers)))
        if len(self.openings) > 5:
            opened = np.array(self.openings)
            for name, a, b in (("eyes", 0, 2), ("mouth", 1, 3)):
                # a face that holds still says nothing
                if np.std(opened[:, b]) > 0.02 and np.std(opened[:, a]) > 0:
                    both = np.corrcoef(opened[:, a], opened[:, b])[0, 1]
                    self._put(f"{name}_correlation", float(both))
        self._points, self._true_points, self.openings = [], [], []

    def summary(self) -> dict[str, float]:
        """Means over frames (over clips for jitter and correlations), and the missing rate."""
        means = {name: round(float(np.nanmean(v)), 5) for name, v in self.values.items()}
        if self.judged:
            means["mkr"] = round(self.missing / self.judged, 5)
        return means

    def _put(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)
