"""The script's syllables -> a synthetic voice: harmonics shaped by moving formants.

The mouth decides the vowel (open: a, wide: i, round: u), and its opening the loudness, so sound and
picture agree. Additive synthesis with resonance curves over the harmonics (after Klatt 1980).
"""

from __future__ import annotations

import numpy as np

from .raster import Array
from .script import DURATION_S, speech

RATE_HZ = 44100
# first three formants and their widths, Hz
_OPEN, _WIDE, _ROUND = (780, 1250, 2550), (300, 2250, 3000), (330, 800, 2300)
_WIDTHS = (90, 120, 180)
_GAINS = (1.0, 0.55, 0.25)


def _formants(jaw: float, wide: float) -> Array:
    vowel = max(wide, 0.0) * np.array(_WIDE, float) + max(-wide, 0.0) * np.array(_ROUND, float)
    return vowel + (1 - abs(wide)) * np.array(_OPEN, float)


def synthesise(seconds: float, seed: int = 0) -> Array:
    """(N,) int16 mono at ``RATE_HZ``, as long as the clip."""
    step = np.arange(0, seconds, 0.01)
    mouth = [speech(t * DURATION_S / seconds) for t in step]
    pitch = 118 + 14 * np.sin(2 * np.pi * 0.55 * step) + 8 * np.sin(2 * np.pi * 1.7 * step)
    loud = np.array([min(1.0, 2.2 * max(jaw - 0.06, 0.0)) for jaw, _ in mouth])
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(np.interp(time, step, pitch)) / RATE_HZ
    centres = np.array([_formants(jaw, wide) for jaw, wide in mouth])
    total = np.zeros(len(time))
    for k in range(1, 31):
        away = (k * pitch[:, None] - centres) / np.array(_WIDTHS)
        level = ((1 / (1 + away**2)) * np.array(_GAINS)).sum(axis=1) / k**0.35
        total += np.interp(time, step, level * loud) * np.sin(k * phase)
    breath = np.random.default_rng(seed).normal(0, 0.012, len(time))
    total = total / max(float(np.abs(total).max()), 1e-9) * 0.55
    total += breath * np.interp(time, step, loud)
    return np.round(32767 * np.clip(total, -1, 1)).astype(np.int16)
