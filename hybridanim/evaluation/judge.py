"""Cross-identity animation: does the result do what the driver does? Figures of one pair.

Both are meshes (see mesh_signals), frame by frame, each compared with itself in the first frame in
which both show a face: a result need not look like the driver, only change as it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from hybridanim.types import Array

from . import mesh_signals
from .mesh_signals import LEAST_STD, SIGNALS

_SURFACE = 468  # points without the irises
_BLUR_PX = 0.7  # of the sharpness: noise of single pixels is no detail


@dataclass
class PairRecord:
    """What was measured of one pair of a source and a driver, by one method."""

    source_sharpness: float = float("nan")  # see face_sharpness, of the source crop
    csim: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)  # of the results
    _meshes: dict[int, tuple[Array | None, Array | None]] = field(default_factory=dict)

    def add(self, index: int, driver: Array | None, result: Array | None) -> None:
        """Add the meshes of frame ``index``, (478, 3); None = no face."""
        self._meshes[index] = (driver, result)

    def figures(self) -> dict[str, float]:
        """Values by name, see ``figures``; and csim, face_sharpness. {} where no driver's face."""
        if all(driver is None for driver, _ in self._meshes.values()):
            return {}
        count = max(self._meshes) + 1  # frames that were not measured are rows of NaN
        series = np.full((2, count, 478, 3), np.nan)
        for index, meshes in self._meshes.items():
            for side, mesh in enumerate(meshes):
                if mesh is not None:
                    series[side, index] = mesh
        found = figures(*series)
        found["miss"] = float(np.mean([result is None for _, result in self._meshes.values()]))
        if self.csim:
            found["csim"] = float(np.mean(self.csim))
        if self.sharpness and self.source_sharpness > 0:
            found["face_sharpness"] = float(np.median(self.sharpness)) / self.source_sharpness
        return found


def figures(driver: Array, result: Array) -> dict[str, float]:
    """How a result follows its driver; both (N, 478, 3), NaN rows for frames without a face.

    SIGNAL_correlation, SIGNAL_gain: of openings of mouth and eyes and the mouth's width, where the
    driver's varies enough (mesh_signals.follow). pose_deg: mean absolute error of yaw, pitch and
    roll since the first frame with both; yaw_gain: slope of the change of yaw. jitter: mean second
    difference of the points over the mean height of the face, the result's over the driver's. What
    cannot be measured is left out.
    """
    found: dict[str, float] = {}
    both = np.nonzero(np.isfinite(driver[:, 0, 0]) & np.isfinite(result[:, 0, 0]))[0]
    if not len(both):
        return found
    opened = [mesh_signals.openings(meshes) for meshes in (driver, result)]
    for i, name in enumerate(SIGNALS):
        if followed := mesh_signals.follow(opened[0][:, i], opened[1][:, i], LEAST_STD[name]):
            found[f"{name}_correlation"], found[f"{name}_gain"] = followed
    turns = [mesh_signals.turns_deg(meshes[both], meshes[both[0]]) for meshes in (driver, result)]
    found["pose_deg"] = float(np.abs(turns[1] - turns[0]).mean())
    if turned := mesh_signals.follow(turns[0][:, 0], turns[1][:, 0], LEAST_STD["yaw"]):
        found["yaw_gain"] = turned[1]
    shakes = [_shake(meshes) for meshes in (driver, result)]
    if np.isfinite(shakes).all():
        found["jitter"] = shakes[1] / max(shakes[0], 1e-9)
    return found


def _shake(meshes: Array) -> float:
    """Mean absolute second difference of the points over the face's mean height; nan without."""
    apart = np.abs(np.diff(meshes[:, :_SURFACE, :2], 2, axis=0))
    heights = np.linalg.norm(meshes[:, 10] - meshes[:, 152], axis=-1)
    if not np.isfinite(apart).any():
        return float("nan")
    return float(np.nanmean(apart) / np.nanmean(heights))


def face_sharpness(image: Array, points_xy_px: Array) -> float:
    """Variance of the Laplacian of grey in the box round the points; (H, W, 3) uint8, (P, 2).

    Parts of the box beyond the picture do not count; nan where nothing is left.
    """
    low = np.maximum(np.floor(points_xy_px.min(0)).astype(int), 0)
    high = np.ceil(points_xy_px.max(0)).astype(int) + 1
    part = image[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
    if not part.size:
        return float("nan")
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), _BLUR_PX), cv2.CV_32F).var())
