"""One row of numbers a frame, and statistics of any number of rows in bounded memory.

Results -> ``frame_row`` (a flat mapping, the columns of frames.csv) -> ``RunStatistics``: totals,
histograms of times, the longest losses, and a series of at most ``2 * Series.HALF`` bins that
halves itself when full. Memory does not grow with the length of the video.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridanim.face.face_model import AXES
from hybridanim.types import (
    HEAD,
    LEFT_HAND,
    RIGHT_HAND,
    DenseMotion,
    FaceFit,
    Results,
    SkinMask,
    Tracks,
)

from . import visibility

Row = dict[str, float | int | str | bool]
QUANTITIES = {  # column -> quantity of the fitted face
    "mouth_opening": "jaw_open",
    "mouth_width": "mouth_wide",
    "left_eye_opening": "left_lid_open",
    "right_eye_opening": "right_lid_open",
    "gaze_x": "gaze_x",
    "gaze_y": "gaze_y",
}
NUMBERS = (
    "total_ms",
    "skin_share",
    "tracks_alive",
    "tracks_new",
    "tracks_dropped",
    "tracks_confidence",
    "face_confidence",
    "rotation_confidence",
    "landmarks_confidence",
    "keypoints_confidence",
    "yaw_deg",
    "pitch_deg",
    "roll_deg",
    *QUANTITIES,
    "is_fitted",
    "is_hand_before_face",
    "is_cloud_frozen",
    "is_confirmed",
    "is_held",
    "occluded_share",
    *(f"{reason.name.lower()}_share" for reason in visibility.COLOURS),
)


def columns(stage_names: Sequence[str]) -> tuple[str, ...]:
    """Header of frames.csv for stages of these names."""
    times = tuple(f"{name}_ms" for name in stage_names)
    return ("index", "time_s", *times, *NUMBERS, "lost")


def frame_row(results: Results, stage_names: Sequence[str]) -> Row:
    """The numbers of one frame, by column; a stage that was not timed counts 0 ms."""
    mask, tracks, points = results.mask, results.tracks, results.points
    yaw, pitch, roll = tracks.rotation_deg
    confidence = points.driving.confidence
    occluded = 1 - results.motion.occlusion
    row: Row = {"index": results.frame.index, "time_s": round(results.frame.time_s, 4)}
    row |= {f"{name}_ms": round(results.times_ms.get(name, 0.0), 3) for name in stage_names}
    row |= {
        "total_ms": round(sum(results.times_ms.values()), 3),
        "skin_share": round(float((mask.mask > 0).mean()) if mask.mask.size else 0.0, 5),
        "tracks_alive": len(tracks.ids),
        "tracks_new": tracks.new,
        "tracks_dropped": tracks.dropped,
        "tracks_confidence": round(tracks.confidence_overall, 3),
        "face_confidence": round(tracks.face_confidence, 3),
        "rotation_confidence": round(tracks.rotation_confidence, 3),
        "landmarks_confidence": round(tracks.landmarks_confidence, 3),
        "keypoints_confidence": round(float(confidence.mean()) if confidence.size else 0.0, 3),
        "yaw_deg": round(yaw, 2),
        "pitch_deg": round(pitch, 2),
        "roll_deg": round(roll, 2),
        **_fitted(tracks.face),
        "is_hand_before_face": int(is_hand_before_face(mask, tracks)),
        "is_cloud_frozen": int(mask.is_frozen),
        "is_confirmed": int(bool(tracks) and tracks.face_confidence > 0),
        "is_held": int(points.is_frozen),
        "occluded_share": round(float(np.nanmean(occluded)) if occluded.size else 0.0, 5),
        **_hidden(results.motion),
        "lost": (mask.lost or tracks.lost) if tracks.lost else "",
    }
    return row


def _hidden(motion: DenseMotion) -> Row:
    """Shares of the cells that the source does not show, by reason."""
    shares = visibility.shares(motion)
    return {f"{reason.name.lower()}_share": round(share, 5) for reason, share in shares.items()}


def _fitted(face: FaceFit | None) -> Row:
    """Quantities of the fitted face and whether there is one; 0 without."""
    if face is None or len(face.quantities) != len(AXES):
        return {**dict.fromkeys(QUANTITIES, 0.0), "is_fitted": 0}
    found = np.nan_to_num(face.quantities)
    row = {column: round(float(found[AXES.index(name)]), 4) for column, name in QUANTITIES.items()}
    return {**row, "is_fitted": 1}


def is_hand_before_face(mask: SkinMask, tracks: Tracks, share: float = 0.3) -> bool:
    """Whether a hand covers a part of the face, or of its box at least that share is on the head's.

    The first is known where a face is fitted, with any tracker; the second where skin is looked at.
    """
    if tracks.covered > 0:
        return True
    head = mask.blob(HEAD)
    hands = [blob for label in (LEFT_HAND, RIGHT_HAND) if (blob := mask.blob(label))]
    if head is None:
        return False
    x, y, w, h = head.box_px
    for hand in hands:
        hx, hy, hw, hh = hand.box_px
        wide = min(x + w, hx + hw) - max(x, hx)
        high = min(y + h, hy + hh) - max(y, hy)
        if min(wide, high) > 0 and wide * high >= share * hw * hh:
            return True
    return False
