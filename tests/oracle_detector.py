"""A detector that knows: exact keypoints of pictures it was told of, nothing of any other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridanim.face import aligner, cascade
from hybridanim.motion import keypoints
from hybridanim.prepare.source_head import landmark_head
from hybridanim.tracking.detection import KeypointsPx, to_pixels
from hybridanim.types import Array, Crop, Keypoints


class Oracle:
    """Knows pictures by their bytes; noise_px shakes what it says, the same way for each call."""

    def __init__(self, window: str = "head", count: int = 38, noise_px: float = 0.0) -> None:
        self.window, self.count, self.calls = window, count, 0
        self.windows: list[Crop] = []
        self._known: dict[bytes, KeypointsPx] = {}
        self._noise_px, self._rng = noise_px, np.random.default_rng(0)

    def tell(self, pictures: Sequence[Array], points: Sequence[KeypointsPx]) -> Oracle:
        """Remember the keypoints of some pictures."""
        for picture, known in zip(pictures, points, strict=True):
            self._known[picture.tobytes()] = known
        return self

    def __call__(self, image: Array, window: Crop) -> Keypoints:
        """The known keypoints; unsure ones in the middle for a picture that it was not told of."""
        self.calls += 1
        self.windows.append(window)
        known = self._known.get(image.tobytes())
        if known is None:
            none = np.zeros((self.count, 2), np.float32)
            turns = np.repeat(np.eye(2, dtype=np.float32)[None], self.count, 0)
            return Keypoints(none, turns, np.zeros(self.count, np.float32))
        shake = self._rng.normal(0, self._noise_px, known.xy_px.shape)
        return KeypointsPx(known.xy_px + shake, known.linear_px, known.confidence).in_crop(window)


def face_points(picture: Array) -> KeypointsPx:
    """The anchors of a photograph by the aligner, taken for the truth; every one sure."""
    grey = picture.mean(-1).astype(np.uint8)
    found = aligner.load().fit(grey, cascade.detect_faces(picture)[0])
    head = landmark_head(found.xy_px)
    crop = keypoints.crop_around(head)
    points = to_pixels(keypoints.place_anchors(head, found.xy_px, aligner.MEAN_SHAPE, crop), crop)
    return KeypointsPx(points.xy_px, points.linear_px, np.ones(len(points.xy_px)))


def under(points: KeypointsPx, affine: Array) -> KeypointsPx:
    """Keypoints after a 2x3 affine of their picture."""
    linear = affine[:, :2]
    return KeypointsPx(
        points.xy_px @ linear.T + affine[:, 2], linear @ points.linear_px, points.confidence
    )
