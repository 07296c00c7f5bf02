"""Numbers of the networks that are not trained; torch's modules and the graphs share them."""

from __future__ import annotations

from hybridanim.face.anchors import ANCHORS

OPTICAL_INPUTS = 6
"""Channels of the motion network's input for the optical flow."""
SHOWN_BIAS = 3.0
"""Logit of the initial occlusion map: sigmoid(3) = 0.95, almost all is visible."""
LEAST_INPUT_SIGMA = 0.08
"""Least sigma of the Gaussians given to the motion network, in units of the canonical face."""
RESIDUAL = 0.1
"""Normalised units of flow per unit of the motion network's residual output."""
TEMPERATURE = 0.1
"""Of the softmax over a heatmap's cells."""
NORM_EPSILON = 1e-5
"""Added to the variances of torch's batch norms."""
LEAST_DETERMINANT = 1e-4
"""Jacobians whose determinant is nearer zero are inverted as if it were this."""

HEAT_MEAN = 0.01
"""Of Monkey-Net: mean of a heatmap over the picture."""
LEAST_VARIANCE = 0.001
"""Of Monkey-Net: smallest eigenvalue of a heatmap's covariance, normalised units squared."""
FIXED_VARIANCE = 0.01
"""Of Monkey-Net without covariances: the variance of every heatmap."""
STILL_BIAS = 2.0
"""Of Monkey-Net: initial logit of the mask that stands still; a keypoint's is 0."""

OPENINGS = 3
"""Masks of openings: mouth, left eye, right eye."""
SOFT_FACE = 0.012
"""Width of an opening's soft border in face boxes; a shut mouth gives an empty mask."""
OPENING_REACH = 0.92
"""Half length of an opening over that between its corners' keypoints."""
_NAMES = (
    ("left_mouth_corner", "right_mouth_corner", "upper_lip_inside", "lower_lip_inside"),
    ("left_outer_eye", "left_inner_eye", "left_upper_lid", "left_lower_lid"),
    ("right_inner_eye", "right_outer_eye", "right_upper_lid", "right_lower_lid"),
)


def opening_rows() -> list[list[int]]:
    """Keypoint indices of each opening: left corner, right corner, above, below."""
    names = [anchor.name for anchor in ANCHORS]
    return [[names.index(name) for name in four] for four in _NAMES]
