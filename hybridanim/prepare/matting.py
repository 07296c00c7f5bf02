"""Soft mask of the person: source crop and head box -> alpha.

A network (runtime/matte.py) finds the mask at low resolution. Without it several GrabCuts (Rother
et al. 2004), each with another assumption about the hair's extent, vote; where these are
implausible a wide soft shape replaces them: a little background moved along is hardly visible, hair
left behind is. At full resolution colour unmixing and a guided filter (He et al. 2013) place the
edge, so hair keeps a soft one.
Units here: u, v = offset from the head box's centre in head-box widths, v down.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from hybridanim.errors import InputError
from hybridanim.face import matte_window
from hybridanim.resampling import disc, masked_blur, smoothstep
from hybridanim.runtime.matte import PersonMatte
from hybridanim.types import Array, FaceBox, HeadBox

from .background import inpaint_background

__all__ = ["inpaint_background", "subject_mask"]

_CUT_PX = 192  # more gains no IoU, and the time grows with the square
_SMALL_HOLE = 0.012  # share of the crop; a gap beneath a raised arm is larger
_HAIR = (0.85, 1.05, 1.4)  # assumed extents of the hair, in multiples of the usual one
_NOBODY, _PERSON = 0.12, 0.68  # network's masks that count as 0 and as 1; the edge lies at 0.4, as
# missing hair is worse than moved background
_LEAST_FACE = 0.6  # mean of the network's mask on the face; below, it has not seen the person
_REFINE_PX = 640  # largest side of the guided filter's picture


def subject_mask(
    image: Array,
    face: FaceBox | HeadBox,
    landmarks_xy_px: Array | None = None,
    network: PersonMatte | None = None,
) -> Array:
    """Soft mask of the person whose head is at ``face``: head, hair, neck and what is below.

    image: (S, S, 3) uint8 RGB. face: brows to chin, pixels of ``image``.
    landmarks_xy_px: (L, 2) points of the same face, all of which will be inside the mask.
    network: finds the mask; None, or where it misses the face: GrabCut does.
    Returns (S, S) float32 in [0, 1]. Raises InputError if the box is empty or outside.
    """
    u, v = _head_units(image, face, _CUT_PX)
    small = cv2.resize(image, (_CUT_PX, _CUT_PX), interpolation=cv2.INTER_AREA)
    sure = _sure_shape(u, v)
    hull = np.zeros(sure.shape, bool)
    if landmarks_xy_px is not None and len(landmarks_xy_px) >= 3:
        points = np.rint(np.asarray(landmarks_xy_px) * (_CUT_PX / image.shape[0]))
        face_map = np.zeros(sure.shape, np.uint8)
        cv2.fillConvexPoly(face_map, cv2.convexHull(points.astype(np.int32)), 1)
        hull = face_map > 0
    if network is not None:
        found = _by_network(image, face, landmarks_xy_px, network)
        skin = hull if hull.any() else _ellipse(u, v, 0.0, 0.35, 0.45) > 0
        if found[skin].mean() > _LEAST_FACE:
            found = np.maximum(np.clip((found - _NOBODY) / (_PERSON - _NOBODY), 0, 1), hull)
            return _refine(image, found, found * (found <= 0.5))
    sure |= hull
    lab = cv2.bilateralFilter(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), 5, 18, 3)
    vote, trust = _vote(lab, u, v, sure)
    soft = _wide_shape(u, v)
    alike, overlap = _ambiguous(lab, vote > 0.5, _possible_shape(u, v) & (v < 0.8))
    trust *= float(np.clip((0.97 - overlap) / 0.08, 0, 1))  # photographs: up to 0.85; noise: 1
    doubt = soft * np.maximum(np.clip(2 - 2 * trust, 0, 1), alike)
    if trust < 0.5:  # no cut at all, or its edges show
        return _refine(image, sure.astype(np.float32), doubt.astype(np.float32))
    doubt = np.maximum(doubt, vote * (vote <= 0.5))
    return _refine(image, vote, doubt.astype(np.float32))


def _by_network(
    image: Array, face: FaceBox | HeadBox, landmarks_xy_px: Array | None, network: PersonMatte
) -> Array:
    """(n, n) float32 mask in [0, 1] by the network; n: _CUT_PX."""
    center = np.array(face.center_xy_px)
    side = face.size_px if isinstance(face, HeadBox) else (face.width_px + face.height_px) / 2
    outline = landmarks_xy_px
    if outline is None or len(outline) < 3:
        outline = matte_window.ellipse(face.center_xy_px, side / 2)
    found = network(image, center, side, outline)
    found = cv2.resize(found, (_CUT_PX, _CUT_PX), interpolation=cv2.INTER_AREA)
    parts = cv2.connectedComponents((found > 0.5).astype(np.uint8), connectivity=4)[1]
    x, y = np.clip(np.rint(center * (_CUT_PX / image.shape[0])), 0, _CUT_PX - 1).astype(int)
    if parts[y, x] > 0:  # the person alone, without what the network takes for another one
        other = ((parts > 0) & (parts != parts[y, x])).astype(np.uint8)
        found = np.where(cv2.dilate(other, disc(2)) > 0, np.minimum(found, 0), found)
    return found.astype(np.float32)


def _head_units(image: Array, face: FaceBox | HeadBox, size: int) -> tuple[Array, Array]:
    """u, v at the pixels of a (size, size) copy of the picture, turned with the head's roll."""
    (center_x, center_y), roll = face.center_xy_px, 0.0
    if isinstance(face, HeadBox):
        width, roll = face.size_px, np.deg2rad(face.roll_deg)
    else:
        width = face.width_px
    s = image.shape[0]
    if not (width > 1 and 0 <= center_x < s and 0 <= center_y < s):
        raise InputError(
            f"subject_mask: expected a head box with its centre in the {s}x{s} crop, got centre "
            f"({center_x:.0f}, {center_y:.0f}) and width {width:.0f}; choose another crop or face"
        )
    at = ((np.arange(size, dtype=np.float32) + 0.5) * (s / size)) - 0.5
    x, y = np.meshgrid((at - center_x) / width, (at - center_y) / width)
    turned = np.cos(roll) * x + np.sin(roll) * y, -np.sin(roll) * x + np.cos(roll) * y
    near = np.clip((0.9 - y) / 0.4, 0, 1)  # the shoulders do not turn with the head
    return near * turned[0] + (1 - near) * x, near * turned[1] + (1 - near) * y


def _ellipse(u: Array, v: Array, center_v: float, radius_u: float, radius_v: float) -> Array:
    """Approximate signed distance, in head widths, to an ellipse on the head's axis; > 0 inside."""
    return (1 - np.hypot(u / radius_u, (v - center_v) / radius_v)) * min(radius_u, radius_v)


def _sure_shape(u: Array, v: Array) -> Array:
    """Bool: certainly the person: face, hairline, the middle of neck and chest."""
    neck = np.minimum(0.16 - np.abs(u), np.minimum(v - 0.3, 1.1 - v))
    chest = np.minimum(0.25 + 0.6 * (v - 0.95) - np.abs(u), v - 0.95)
    return np.maximum.reduce([_ellipse(u, v, -0.06, 0.41, 0.55), neck, chest]) > 0


def _likely_shape(u: Array, v: Array, hair: float) -> Array:
    """Signed distance of a usual head, neck and shoulders, in head widths; > 0 inside."""
    head = _ellipse(u, v, -0.12, 0.62 * hair, 0.8 * (0.5 + 0.5 * hair))
    neck = np.minimum(0.34 * hair - np.abs(u), np.minimum(v - 0.3, 1.2 - v))
    shoulders = 0.9 * (v - 0.72 - 0.28 * np.abs(u))
    return np.maximum.reduce([head, neck, shoulders])


def _possible_shape(u: Array, v: Array) -> Array:
    """Bool: possibly the person: big hair, wide shoulders."""
    return np.maximum(_ellipse(u, v, -0.15, 1.05, 1.12), v - 0.45) > 0


def _wide_shape(u: Array, v: Array) -> Array:
    """Float32 in [0, 1]: a wide soft shape for when the cuts fail."""
    t = np.clip(0.5 + _likely_shape(u, v, 1.15) / 0.4, 0, 1)
    return smoothstep(t).astype(np.float32)


def _vote(lab: Array, u: Array, v: Array, sure: Array) -> tuple[Array, float]:
    """Mean of the plausible cuts, (n, n) float32, and its confidence in [0, 1]."""
    possible = _possible_shape(u, v)
    cuts, weights = [], []
    for hair in _HAIR:
        likely = (_likely_shape(u, v, hair) > 0) & possible
        cut = _clean(_grab_cut(lab, sure, likely, possible), sure, possible)
        cuts.append(cut)
        weights.append(_plausibility(cut, u, v))
    total = sum(weights)
    if total < 0.05:
        return cuts[1].astype(np.float32), 0.0
    vote = sum(w * c.astype(np.float32) for w, c in zip(weights, cuts, strict=True)) / total
    certain = float(np.abs(2 * vote - 1)[possible & ~sure].mean())
    trust = float(np.clip((certain - 0.55) / 0.2, 0, 1)) * float(np.clip(max(weights) * 2, 0, 1))
    # missing hair is worse than moved background: half of the votes suffice for the person
    return np.clip(vote * 1.6, 0, 1).astype(np.float32), trust


def _ambiguous(lab: Array, cut: Array, near: Array) -> tuple[Array, float]:
    """(n, n) float32 in [0, 1]: background with the person's colours, which may be the person.

    Also the overlap of the two sides' colours, 0 to 1 (Bhattacharyya coefficient), from smoothed
    Lab histograms near the head. Dark hair before a dark wall has no edge to cut along, but moving
    a little of that wall with the hair is not visible either.
    """
    bins = 16
    place = np.ravel_multi_index(tuple((lab // (256 // bins)).reshape(-1, 3).T), (bins,) * 3)
    shares = []
    for side in (cut & near, ~cut & near):
        count = np.bincount(place[side.ravel()], minlength=bins**3).reshape((bins,) * 3)
        smooth = ndimage.gaussian_filter(count.astype(np.float32), 0.7)
        shares.append(smooth / max(smooth.sum(), 1e-6))
    person = (shares[0] / np.maximum(shares[0] + shares[1], 1e-9)).ravel()[place]
    alike = np.clip((person.reshape(cut.shape) - 0.12) / 0.2, 0, 1) * ~cut
    alike = cv2.morphologyEx(alike.astype(np.float32), cv2.MORPH_OPEN, disc(1))
    return cv2.GaussianBlur(alike, (0, 0), 2.0), float(np.sqrt(shares[0] * shares[1]).sum())


def _grab_cut(lab: Array, sure: Array, likely: Array, possible: Array) -> Array:
    """One GrabCut, bool; returns ``likely`` if there is nothing to cut between."""
    labels = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[~possible] = cv2.GC_BGD
    labels[sure] = cv2.GC_FGD
    if likely.all() or not (labels == cv2.GC_PR_BGD).any():
        return likely
    cv2.setRNGSeed(7)  # its k-means is random: make the mask reproducible
    cv2.grabCut(lab, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _clean(cut: Array, sure: Array, possible: Array) -> Array:
    """The component of the cut that contains the face, without specks and small holes."""
    cut = cv2.medianBlur(cut.astype(np.uint8), 5) > 0
    parts = cv2.connectedComponents((cut | sure).astype(np.uint8), connectivity=4)[1]
    kept = parts == parts[sure][0]
    holes = cv2.connectedComponents((~kept).astype(np.uint8), connectivity=4)[1]
    at_border = np.concatenate([holes[0], holes[:, 0], holes[:, -1], holes[-1]])
    for hole in range(1, int(holes.max()) + 1):
        if (holes == hole).sum() < _SMALL_HOLE * cut.size and not (at_border == hole).any():
            kept = kept | (holes == hole)
    return kept & (possible | sure)


def _plausibility(cut: Array, u: Array, v: Array) -> float:
    """Plausibility of a person's outline in [0, 1], by area, spill and smoothness."""
    inside = np.maximum(_likely_shape(u, v, 1.0), _ellipse(u, v, -0.12, 0.6, 0.8)) > 0
    above = v < 0.6
    share = cut[above & inside].mean() if (above & inside).any() else 1.0
    spill = cut[above & ~inside].mean() if (above & ~inside).any() else 0.0
    edge_px = float((cut != ndimage.binary_erosion(cut)).sum())
    ragged = edge_px / (4 * np.sqrt(cut.sum() + 1))  # 1 for a square, several for scattered noise
    score = np.clip((share - 0.45) / 0.25, 0, 1) * np.clip((0.75 - spill) / 0.25, 0, 1)
    return float(score * np.clip((2.4 - ragged) / 0.8, 0, 1))


def _refine(image: Array, vote: Array, doubt: Array) -> Array:
    """The low-resolution vote at full resolution, with its edge on the picture's edges.

    In a band around the edge alpha is the projection of the pixel's colour onto the line between
    the person's and the background's colour nearby; where these are alike, the guided filter's.
    """
    size = image.shape[0]
    n = min(size, _REFINE_PX)
    guide = image if n == size else cv2.resize(image, (n, n), interpolation=cv2.INTER_AREA)
    guide = guide.astype(np.float32)
    rough = np.clip(cv2.resize(vote, (n, n), interpolation=cv2.INTER_LINEAR), 0, 1)
    inside = (rough > 0.5).astype(np.uint8)
    width_px = max(3, n // 56)
    sure, maybe = cv2.erode(inside, disc(width_px)), cv2.dilate(inside, disc(width_px))
    fine = _unmixed(guide, sure > 0, maybe == 0, inside.astype(np.float32), width_px)
    fine = np.where(sure > 0, 1, np.where(maybe > 0, fine, 0)).astype(np.float32)
    doubt = cv2.resize(doubt, (n, n), interpolation=cv2.INTER_LINEAR)
    fine = np.maximum(fine, cv2.GaussianBlur(doubt, (0, 0), width_px))
    if n != size:
        fine = np.clip(cv2.resize(fine, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)
    fine[fine < 0.02] = 0
    return fine.astype(np.float32)


def _unmixed(guide: Array, sure: Array, away: Array, inside: Array, width_px: int) -> Array:
    """Alpha by colour unmixing in the band, (n, n) float32 in [0, 1].

    sure, away: (n, n) bool, certainly person and background. inside: (n, n) float32, 1 in the mask.
    """
    person = masked_blur(guide, sure.astype(np.float32), 1.2 * width_px)
    behind = masked_blur(guide, away.astype(np.float32), 1.2 * width_px)
    step = person - behind
    contrast = (step**2).sum(-1)
    share = np.clip(((guide - behind) * step).sum(-1) / np.maximum(contrast, 1), 0, 1)
    rest = ((guide - behind - share[..., None] * step) ** 2).sum(-1)
    trust = contrast / (contrast + 30.0**2) * np.clip(1.2 - rest / (contrast + 1), 0, 1)
    usual = np.clip(cv2.ximgproc.guidedFilter(guide, inside, width_px, 30.0), 0, 1)
    share = cv2.ximgproc.guidedFilter(guide, share.astype(np.float32), 2, 30.0)
    mixed = trust * share + (1 - trust) * usual
    return np.clip((mixed - 0.08) / 0.84, 0, 1)
