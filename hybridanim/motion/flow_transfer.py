"""Driving frames -> OpticalFlow: the driver's motion since the reference frame, for the source.

The optical flow between the reference frame and the current frame (``optical_flow``) is a field in
the driver's pictures. Keypoints give the correspondence between driver and source (the closed form
of ``dense``, across two people). An output cell is mapped to the driver's current frame, by the
flow to the reference frame, and from there to the source.

Confidence is lowered where the two faces differ in shape, at eyelids and lips of another face,
which keypoints describe better than so coarse a flow, and where the flow contradicts the keypoints,
as in large head turns. If source and driver are the same face, as in reconstruction, the flow is
used unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import PINNED, REACH_BOX, WATCHED
from hybridanim.types import Array, Crop, Frame, Keypoints, OpticalFlow, Source, SparseMotion

from . import dense, optical_flow, transfer
from .reference import PICTURE_PX, Reference, grey_of

_CELLS = PICTURE_PX // optical_flow.CELL_PX
_MARKED = 1.6  # sigmas around eyelids and lips within which keypoints replace the flow
_FADE_S = 0.3  # time constant by which the last flow fades after the head is lost
_SAME_NORM = 2e-3  # keypoints that differ by less than this belong to the same face


@dataclass(frozen=True)
class ReferenceFlow:
    """The driver's reference frame and its correspondence to the source; made by ``prepare``."""

    grey: Array  # (S, S) uint8, the driving crop of the reference frame
    places: Array  # (h, w, 2) float32, source position of each cell of that crop, normalised
    agreement: Array  # (h, w) float32 in [0, 1], how alike the two faces are in each cell
    subject: Array  # (h, w) float32 in [0, 1], mask of the person in the source
    is_other: bool  # whether the source shows another face, or pose, than the reference frame


class FlowTransfer:
    """Adds the transferred optical flow to each frame's motion; keeps the reference frame."""

    def __init__(self) -> None:
        self._search = optical_flow.matcher()
        self._prepared_for: tuple[Reference, Source, Crop] | None = None
        self._reference: ReferenceFlow | None = None
        self._last: tuple[OpticalFlow, float] | None = None  # the last flow and its time

    def __call__(
        self,
        frame: Frame,
        motion: SparseMotion,
        reference: Reference,
        reference_points: Keypoints,
        source: Source,
        *,
        moves_background: bool,
        share: float = 1.0,
    ) -> SparseMotion:
        """Return the motion with its optical flow, or unchanged if the reference has no picture.

        reference_points: keypoints of the reference in the driving crop. moves_background: see
        ``transfer_flow``. share: factor of the confidence in [0, 1], below 1 while keypoints are
        blended in after a loss. While the motion is frozen, the last flow fades out.
        """
        if motion.is_frozen:
            return replace(motion, optical=self._fading(frame.time_s))
        if reference.picture is None or len(reference_points.xy_norm) != len(REACH_BOX):
            return motion
        crop, known = motion.driving_crop, self._prepared_for
        if known is None or known[0] is not reference or known[1] is not source or known[2] != crop:
            grey = _in_crop(reference.picture, reference.crop, crop)
            self._reference = prepare(grey, reference_points, source)
            self._prepared_for = reference, source, crop
        assert self._reference is not None
        found = flow_with_trust(self._reference.grey, grey_of(frame.image, crop), self._search)
        flow = transfer_flow(
            self._reference, found, motion, source, moves_background=moves_background
        )
        flow = OpticalFlow(flow.grid_norm, flow.trust * np.float32(share))
        self._last = flow, frame.time_s
        return replace(motion, optical=flow)

    def _fading(self, time_s: float) -> OpticalFlow | None:
        if self._last is None:
            return None
        flow, last_s = self._last
        share = float(np.exp(-max(0.0, time_s - last_s) / _FADE_S))
        return None if share < 0.01 else replace(flow, trust=flow.trust * np.float32(share))


def _in_crop(grey: Array, crop: Crop, wanted: Crop) -> Array:
    """Resample the picture of one crop to another crop of the same frame, (S, S) uint8."""
    if crop == wanted:
        return grey
    scale = len(grey) / crop.side_px
    x_px, y_px = (wanted.x_px - crop.x_px) * scale, (wanted.y_px - crop.y_px) * scale
    return geometry.crop_image(grey, Crop(x_px, y_px, wanted.side_px * scale), PICTURE_PX)


def prepare(grey: Array, keypoints: Keypoints, source: Source) -> ReferenceFlow:
    """Compute the correspondence between the reference frame and the source.

    grey: (S, S) uint8, the driving crop of the reference frame. keypoints: in that crop.
    """
    head_norm = geometry.head_norm(source.head, source.crop)
    subject = cv2.resize(source.subject, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    is_other = not _is_same(source.keypoints, keypoints)
    return ReferenceFlow(grey, *_across(source.keypoints, keypoints, head_norm), subject, is_other)


def flow_with_trust(before: Array, after: Array, search: cv2.DISOpticalFlow) -> Array:
    """Return (h, w, 3) float32: x, y displacement to ``before``, normalised, and trust in [0, 1].

    before, after: (S, S) uint8 grey; each cell belongs to ``after``.
    """
    flow, trust = optical_flow.between(before, after, search)
    return np.concatenate([flow - geometry.grid_norm(_CELLS), trust[..., None]], -1)


def transfer_flow(
    reference: ReferenceFlow,
    found: Array,
    motion: SparseMotion,
    source: Source,
    *,
    moves_background: bool,
) -> OpticalFlow:
    """Map the driver's flow to the source: for each output cell its source position and trust.

    found: (h, w, 3) of ``flow_with_trust`` from the reference frame to the current frame.
    moves_background: False sets the trust to zero outside the person.
    """
    head_norm = geometry.head_norm(source.head, source.crop)
    now, agreement = _across(motion.driving, motion.target, head_norm)
    still = geometry.grid_norm(_CELLS)
    both = geometry.warp(found, now, cv2.INTER_LINEAR)
    back = now + both[..., :2]  # positions in the reference frame
    context = np.concatenate([reference.places - still, reference.agreement[..., None]], -1)
    context = geometry.warp(context, back, cv2.INTER_LINEAR)
    trust = both[..., 2] * agreement * context[..., 2]
    places = back + context[..., :2]
    if reference.is_other:
        trust = trust * (1 - _marked(motion.target, head_norm))
        points = source.keypoints, motion.target
        expected = _mapped(*points, head_norm, motion.background)
        trust = trust * optical_flow.agreement(places - expected)
    if not moves_background:
        trust = trust * geometry.warp(reference.subject, places, cv2.INTER_LINEAR)
    return OpticalFlow(places, trust)


def _mapped(
    wanted: Keypoints, given: Keypoints, head_norm: float, background: Array | None = None
) -> Array:
    """(h, w, 2) float32, by keypoints alone: position in ``wanted`` of each cell of ``given``.

    background: (2, 3) affine wanted <- given of the background, None for the identity.
    """
    reach_norm = REACH_BOX * head_norm
    coarse = dense.combine(wanted, given, reach_norm, _CELLS // 2, None, background)
    return geometry.resize_grid(coarse.grid_norm, _CELLS)


def _marked(points: Keypoints, head_norm: float) -> Array:
    """(h, w) float32 in [0, 1]: 1 at eyelids and lips."""
    axis = geometry.grid_norm(1, _CELLS)[0, :, 0]
    reach = _MARKED * REACH_BOX[WATCHED, None, None] * head_norm
    gaussian = np.exp(-0.5 * ((axis - points.xy_norm[WATCHED][..., None]) / reach) ** 2)
    return (gaussian[:, 1, :, None] * gaussian[:, 0, None, :]).max(0).astype(np.float32)


def _is_same(one: Keypoints, other: Keypoints) -> bool:
    return bool(np.abs(one.xy_norm - other.xy_norm)[PINNED].max() < _SAME_NORM)


def _across(wanted: Keypoints, given: Keypoints, head_norm: float) -> tuple[Array, Array]:
    """Position in ``wanted`` of each cell of ``given`` (h, w, 2), by keypoints, and agreement.

    Agreement (h, w) in [0, 1] is high where the map is close to the head's affine or the identity.
    """
    still = geometry.grid_norm(_CELLS)
    if _is_same(wanted, given):
        return still, np.ones(still.shape[:2], np.float32)
    places = _mapped(wanted, given, head_norm)
    whole = transfer.head_affine(given, wanted, PINNED)
    apart = places - (still @ whole[:, :2].T + whole[:, 2])
    alike = np.maximum(optical_flow.agreement(apart), optical_flow.agreement(places - still))
    return places, alike.astype(np.float32)
