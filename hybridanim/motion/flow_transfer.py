"""Driving frames -> OpticalFlow: how all of the driver has moved since rest, in the source's place.

The flow between the driver at rest and now (optical_flow) lies in the driver's pictures. Keypoints
say which place of the driver stands for which of the source (dense_motion's closed form, across the
two people): an output cell is looked up in the driver now, followed back to the driver at rest, and
from there to the source. Where the two faces are far apart the flow is trusted less, and at lids
and lips of another face hardly at all: keypoints know these better than so coarse a flow; nor is it
where it says quite another motion than they do, as when a head turns far. Where the faces are the
same, as in reconstruction, it is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from hybridanim import geometry
from hybridanim.face.anchors import PINNED, REACH_BOX, WATCHED
from hybridanim.types import Array, Crop, Frame, Keypoints, OpticalFlow, Source, SparseMotion

from . import dense, optical_flow, transfer

if TYPE_CHECKING:
    from .reference import Reference

_SIDE_PX = 256  # of the driver's square that is searched
_CELLS = _SIDE_PX // optical_flow.CELL_PX
_MARKED = 1.6  # sigmas of lids and lips that their keypoints know better
_FADE_S = 0.3  # time constant of the last flow once the head is lost
_SAME_NORM = 2e-3  # keypoints nearer than this are the same face


@dataclass(frozen=True)
class Rest:
    """The driver at rest beside the source; made once."""

    grey: Array  # (S, S) uint8, the driving crop
    places: Array  # (h, w, 2) float32, source place of every cell of it, normalised
    agreement: Array  # (h, w) float32 in [0, 1]
    subject: Array  # (h, w) float32 in [0, 1], the person in the source
    is_other: bool  # whether the source is another picture than the driver's at rest


class Follower:
    """Adds the flow to one frame's motion after another; remembers the driver at rest."""

    def __init__(self) -> None:
        self._search = optical_flow.matcher()
        self._of: tuple[Reference, Source, Crop] | None = None
        self._rest: Rest | None = None
        self._last: tuple[OpticalFlow, float] | None = None  # and its time

    def __call__(
        self,
        frame: Frame,
        motion: SparseMotion,
        reference: Reference,
        resting: Keypoints,
        source: Source,
        *,
        has_behind: bool,
        share: float = 1.0,
    ) -> SparseMotion:
        """The motion with its optical flow, where there is a head and a picture of it at rest.

        resting: the reference's keypoints in the driving crop. has_behind: see ``seen``. share: of
        the trust, while keypoints ease back from having been lost. While they are, the last flow
        fades.
        """
        if motion.is_frozen:
            return replace(motion, optical=self._fading(frame.time_s))
        if reference.picture is None or len(resting.xy_norm) != len(REACH_BOX):
            return motion
        crop, of = motion.driving_crop, self._of
        if of is None or of[0] is not reference or of[1] is not source or of[2] != crop:
            grey = _moved_crop(reference.picture, reference.crop, crop)
            self._of, self._rest = (reference, source, crop), at_rest(grey, resting, source)
        assert self._rest is not None
        found = between(self._rest.grey, grey_of(frame.image, crop), self._search)
        flow = seen(self._rest, found, motion, source, has_behind=has_behind)
        flow = OpticalFlow(flow.grid_norm, flow.trust * np.float32(share))
        self._last = flow, frame.time_s
        return replace(motion, optical=flow)

    def _fading(self, time_s: float) -> OpticalFlow | None:
        if self._last is None:
            return None
        flow, last_s = self._last
        share = float(np.exp(-max(0.0, time_s - last_s) / _FADE_S))
        return None if share < 0.01 else replace(flow, trust=flow.trust * np.float32(share))


def _moved_crop(grey: Array, crop: Crop, wanted: Crop) -> Array:
    """The picture of one square seen in another square of the same frame."""
    if crop == wanted:
        return grey
    scale = len(grey) / crop.side_px
    x_px, y_px = (wanted.x_px - crop.x_px) * scale, (wanted.y_px - crop.y_px) * scale
    return geometry.crop_image(grey, Crop(x_px, y_px, wanted.side_px * scale), _SIDE_PX)


def grey_of(image: Array, crop: Crop) -> Array:
    """(S, S) uint8 of that square of an RGB picture."""
    return geometry.crop_image(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), crop, _SIDE_PX)


def at_rest(grey: Array, keypoints: Keypoints, source: Source) -> Rest:
    """grey: of the driver at rest, and where its keypoints are in that square."""
    head_norm = geometry.head_norm(source.head, source.crop)
    subject = cv2.resize(source.subject, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    is_other = not _is_same(source.keypoints, keypoints)
    return Rest(grey, *_across(source.keypoints, keypoints, head_norm), subject, is_other)


def between(before: Array, after: Array, search: cv2.DISOpticalFlow) -> Array:
    """(h, w, 3) float32 of two grey pictures: x and y back to the first, normalised, and trust."""
    flow, trust = optical_flow.between(before, after, search)
    return np.concatenate([flow - geometry.grid_norm(_CELLS), trust[..., None]], -1)


def seen(
    rest: Rest, found: Array, motion: SparseMotion, source: Source, *, has_behind: bool
) -> OpticalFlow:
    """For every output cell where in the source it comes from.

    found: of ``between`` the driver at rest and now. has_behind: whether it may move what is behind
    the person too, or is trusted on the person alone.
    """
    head_norm = geometry.head_norm(source.head, source.crop)
    now, agreement = _across(motion.driving, motion.target, head_norm)
    still = geometry.grid_norm(_CELLS)
    both = geometry.warp(found, now, cv2.INTER_LINEAR)
    back = now + both[..., :2]  # places in the driver at rest
    beside = np.concatenate([rest.places - still, rest.agreement[..., None]], -1)
    beside = geometry.warp(beside, back, cv2.INTER_LINEAR)
    trust = both[..., 2] * agreement * beside[..., 2]
    places = back + beside[..., :2]
    if rest.is_other:
        trust = trust * (1 - _marked(motion.target, head_norm))
        points = source.keypoints, motion.target
        expected = _moved(*points, head_norm, motion.background)
        trust = trust * optical_flow.agreement(places - expected)
    if not has_behind:
        trust = trust * geometry.warp(rest.subject, places, cv2.INTER_LINEAR)
    return OpticalFlow(places, trust)


def _moved(
    wanted: Keypoints, given: Keypoints, head_norm: float, background: Array | None = None
) -> Array:
    """(h, w, 2) by keypoints alone: the place in one picture of every cell of another one."""
    reach_norm = REACH_BOX * head_norm
    coarse = dense.combine(wanted, given, reach_norm, _CELLS // 2, None, background)
    return geometry.resize_grid(coarse.grid_norm, _CELLS)


def _marked(points: Keypoints, head_norm: float) -> Array:
    """(h, w) float32 in [0, 1], 1 at lids and lips."""
    axis = geometry.grid_norm(1, _CELLS)[0, :, 0]
    reach = _MARKED * REACH_BOX[WATCHED, None, None] * head_norm
    bell = np.exp(-0.5 * ((axis - points.xy_norm[WATCHED][..., None]) / reach) ** 2)
    return (bell[:, 1, :, None] * bell[:, 0, None, :]).max(0).astype(np.float32)


def _is_same(one: Keypoints, other: Keypoints) -> bool:
    return bool(np.abs(one.xy_norm - other.xy_norm)[PINNED].max() < _SAME_NORM)


def _across(wanted: Keypoints, given: Keypoints, head_norm: float) -> tuple[Array, Array]:
    """Place in one picture of every cell of another one, by keypoints; and how alike they are."""
    still = geometry.grid_norm(_CELLS)
    if _is_same(wanted, given):
        return still, np.ones(still.shape[:2], np.float32)
    places = _moved(wanted, given, head_norm)
    whole = transfer.head_affine(given, wanted, PINNED)
    apart = places - (still @ whole[:, :2].T + whole[:, 2])
    alike = np.maximum(optical_flow.agreement(apart), optical_flow.agreement(places - still))
    return places, alike.astype(np.float32)
