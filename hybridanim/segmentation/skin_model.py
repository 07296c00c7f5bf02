"""Skin colour model: histograms in YUV, and the probability that a colour is skin.

YUV pixels -> Cloud (two 3-D histograms, of skin and of everything else) -> table of
P(skin | colour) by Bayes' rule (Jones and Rehg 2002) -> probability map. The Y bins are coarse and
heavily blurred; they only separate hair and shade from skin of the same chroma. A generic model,
learned from many people under many lights with all skin tones weighted alike, is used where no
person was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from safetensors.numpy import load as load_tensors

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.profiles import SkinProfile, symmetric_3x3
from hybridanim.types import Array, FaceBox

BINS = (16, 32, 32)  # of Y, U, V
RANGES = [0, 256, 40, 168, 96, 224]
GENERIC_PATH = files.WEIGHTS / "skin_prior.safetensors"
GENERIC_SHA256 = "19ae895fdb8b8ed271a1b18aa5594db5396f9c7ac558e08e82b05d1214981c1e"
_SKIN_SHARE = 0.3  # prior P(skin) near people
# Shaded skin keeps its hue: (gain, weight) of copies of the observed skin pixels.
_SHADES = ((1.08, 0.5), (1.0, 1.0), (0.88, 0.5), (0.76, 0.25), (0.64, 0.12), (0.52, 0.06))


@dataclass(frozen=True)
class Cloud:
    """Colour histograms of a person's skin and of everything else."""

    skin: Array  # BINS float32, sum 1
    other: Array  # BINS float32, sum 1
    person_weight: float = 0.0  # 0 = generic only, 1 = learned from many pixels of the person

    def table(self, skin_share: float = _SKIN_SHARE) -> Array:
        """P(skin | colour), BINS float32 in [0, 1]; the generic model fills unobserved colours.

        skin_share: prior P(skin).
        """
        generic = generic_cloud()
        skin = 0.92 * self.skin + 0.08 * generic.skin
        other = 0.7 * self.other + 0.3 * generic.other
        odds = skin_share * skin
        return (odds / (odds + (1 - skin_share) * other + 2e-7)).astype(np.float32)


@cache
def generic_cloud() -> Cloud:
    """Generic skin colour model, packaged; read once.

    Raises InputError when its file is missing, or another than that of this version.
    """
    if not paths.is_file(GENERIC_PATH):
        raise InputError(
            f"skin colour model: expected its file at {GENERIC_PATH}, found nothing; reinstall"
        )
    files.expect_sha256("skin colour model", GENERIC_PATH, GENERIC_SHA256)
    stored = load_tensors(GENERIC_PATH.read_bytes())
    skin, other = (_unpack(stored[name]) for name in ("skin", "other"))
    return Cloud(skin, other)


def pack(histogram: Array) -> Array:
    """BINS float32 as uint8 on a fourth-root scale, which keeps rare colours distinct."""
    root = np.power(histogram / histogram.max(), 0.25)
    return np.round(255 * root).astype(np.uint8)


def _unpack(packed: Array) -> Array:
    histogram = np.power(packed.astype(np.float32) / 255, 4)
    return histogram / histogram.sum()


def histogram(
    yuv: Array, mask: Array | None = None, blur: tuple[float, float] = (1.5, 0.7)
) -> Array:
    """Smoothed colour histogram of (H, W, 3) uint8 YUV pixels, BINS float32, sum 1 (or all 0).

    mask: (H, W) uint8, 0 = ignore the pixel. blur: standard deviations in bins, of Y and of U, V.
    """
    counts = cv2.calcHist([yuv], [0, 1, 2], mask, list(BINS), RANGES)
    return smooth(counts, blur)


def shaded_histogram(yuv: Array, mask: Array) -> Array:
    """Histogram of the masked skin and of copies of it in more and less light, see _SHADES.

    yuv: (H, W, 3) uint8; mask: (H, W) uint8. Returns BINS float32, sum 1.
    """
    pixels = yuv[mask > 0][None].astype(np.float32)
    grey = np.array([0, 128, 128], np.float32)  # black
    counts = np.zeros(BINS, np.float32)
    for gain, weight in _SHADES:
        lit = np.clip(gain * (pixels - grey) + grey + 0.5, 0, 255).astype(np.uint8)
        counts += weight * cv2.calcHist([lit], [0, 1, 2], None, list(BINS), RANGES)
    return smooth(counts, (1.5, 0.7))


def smooth(counts: Array, blur: tuple[float, float]) -> Array:
    """Blur BINS counts along Y, then along U and V; normalise to sum 1 (zeros stay zeros)."""
    flat = counts.reshape(BINS[0], -1).astype(np.float32)
    flat = cv2.GaussianBlur(flat, (1, 0), sigmaX=1e-3, sigmaY=blur[0]) if blur[0] else flat
    planes = np.ascontiguousarray(np.moveaxis(flat.reshape(BINS), 0, -1))  # U, V, Y as channels
    planes = cv2.GaussianBlur(planes, (0, 0), blur[1]) if blur[1] else planes
    out = np.moveaxis(planes, -1, 0)
    return np.ascontiguousarray(out / max(float(out.sum()), 1e-9), np.float32)


def probability(yuv: Array, table: Array) -> Array:
    """(H, W, 3) uint8 YUV -> (H, W) uint8, 255 x P(skin | colour)."""
    volume = cv2.Mat(table, wrap_channels=False)  # else the last axis is taken for channels
    return cv2.calcBackProject([yuv], [0, 1, 2], volume, RANGES, 255)


def fixed_mask(yuv: Array, u_range: tuple[int, int], v_range: tuple[int, int]) -> Array:
    """(H, W) uint8, 255 where U and V are both in range (inclusive): Chai and Ngan 1999's box."""
    low, high = (0, u_range[0], v_range[0]), (255, u_range[1], v_range[1])
    return cv2.inRange(yuv, low, high)


def face_pixels(yuv: Array, face: FaceBox) -> Array:
    """(H, W) uint8, 255 on pixels that are almost certainly the face's skin.

    An ellipse in the middle of the box, without its darkest quarter (eyes, brows, nostrils, beard)
    and without highlights. All 0 when fewer than 12 pixels are inside the picture.
    """
    height, width = yuv.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    x, y = face.center_xy_px
    center = (round(x), round(y + 0.02 * face.height_px))
    axes = (max(1, round(0.34 * face.width_px)), max(1, round(0.40 * face.height_px)))
    cv2.ellipse(mask, center, axes, 0, 0, 360, 255, -1)
    luma = yuv[..., 0][mask > 0]
    if len(luma) < 12:
        return np.zeros_like(mask)
    low, high = np.percentile(luma, (25, 98.5))
    mask[(yuv[..., 0] < low) | (yuv[..., 0] > high)] = 0
    return mask


def fit_mixture(yuv: Array, count: int = 3, rounds: int = 30) -> SkinProfile:
    """Gaussian mixture over (N, 3) YUV pixels by expectation maximisation (Dempster et al. 1977).

    Starts from slices of equal counts by luma, so it is deterministic. The covariances are at
    least the spread of 8-bit rounding and sensor noise.
    """
    x = np.asarray(yuv, np.float64)
    slices = np.array_split(x[np.argsort(x[:, 0], kind="stable")], count)
    means = np.array([s.mean(0) for s in slices])
    floor = np.diag([16.0, 2.0, 2.0])
    covariances = np.array([np.cov(s.T) + floor for s in slices])
    weights = np.full(count, 1 / count)
    for _ in range(rounds):
        logs = _log_densities(x, weights, means, covariances)
        shares = np.exp(logs - logs.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        total = shares.sum(0) + 1e-9
        weights, means = total / total.sum(), (shares.T @ x) / total[:, None]
        for k in range(count):
            centred = x - means[k]
            covariances[k] = (shares[:, k, None] * centred).T @ centred / total[k] + floor
    upper = [tuple(float(v) for v in c[np.triu_indices(3)]) for c in covariances]
    return SkinProfile(
        weights=tuple(float(w) for w in weights),
        means_yuv=tuple(tuple(float(v) for v in m) for m in means),  # type: ignore[misc]
        covariances_yuv=tuple(upper),  # type: ignore[arg-type]
    )


def _log_densities(x: Array, weights: Array, means: Array, covariances: Array) -> Array:
    """(N, K) log of weight times Gaussian density."""
    logs = []
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        white = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T)
        half_log_det = 0.5 * np.linalg.slogdet(covariance)[1]
        logs.append(np.log(weight + 1e-12) - 0.5 * (white**2).sum(0) - half_log_det)
    return np.stack(logs, 1)


def profile_histogram(profile: SkinProfile) -> Array:
    """The profile's mixture as a histogram: BINS float32, sum 1."""
    steps = [np.arange(n) for n in BINS]
    y, u, v = np.meshgrid(
        16 * steps[0] + 7.5, 40 + 4 * steps[1] + 1.5, 96 + 4 * steps[2] + 1.5, indexing="ij"
    )
    centres = np.stack([y, u, v], -1).reshape(-1, 3)
    covariances = np.array([symmetric_3x3(c) for c in profile.covariances_yuv])
    covariances += np.diag([21.0, 1.3, 1.3])  # variance of a uniform distribution within a bin
    logs = _log_densities(
        centres, np.array(profile.weights), np.array(profile.means_yuv), covariances
    )
    return smooth(np.exp(logs).sum(1).reshape(BINS), (1.5, 0.0))
