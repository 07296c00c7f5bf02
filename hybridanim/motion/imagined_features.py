"""Rows of a track <-> normalised features of the network of imagined motion."""

from __future__ import annotations

import numpy as np

from hybridanim.networks.imagined_motion_file import Tables
from hybridanim.types import Array

from .motion_track import EXPRESSION

FIRST_POSE_DEG = 20.0  # angle of the first pose that is a condition of 1


def encoded(values: Array, tables: Tables) -> Array:
    """(T, F) float32 features of rows (T, WIDTH)."""
    parts = (values[:, EXPRESSION] - tables.basis_mean) @ tables.basis.T
    plain = np.concatenate([values[:, : EXPRESSION.start], parts], 1)
    return ((plain - tables.feature_mean) / tables.feature_deviation).astype(np.float32)


def decoded(features: Array, tables: Tables) -> Array:
    """(T, WIDTH) float32 rows of features (T, F)."""
    plain = features * tables.feature_deviation + tables.feature_mean
    expression = plain[:, EXPRESSION.start :] @ tables.basis + tables.basis_mean
    return np.concatenate([plain[:, : EXPRESSION.start], expression], 1).astype(np.float32)


def conditions(statistics: Array, first_deg: Array | tuple[float, float, float]) -> Array:
    """(C,) float32 of standardised statistics (S,) and the first pose, yaw, pitch and roll."""
    angles = np.clip(np.asarray(first_deg) / FIRST_POSE_DEG, -2, 2)
    return np.concatenate([statistics, angles]).astype(np.float32)
