"""Frame and tracked head box -> a face cascade hit or none.

Searching a window of twice the head's size costs about a millisecond; a full search of 640x480
costs several times as much as all of stage 1 may, so it is used only when no head is known.
"""

from __future__ import annotations

from dataclasses import replace

from hybridanim.face.cascade import detect_faces
from hybridanim.types import Array, FaceBox


def scaled(face: FaceBox, scale: float) -> FaceBox:
    """The box on a picture ``scale`` times as large."""
    x_px, y_px = scale * face.x_px, scale * face.y_px
    return FaceBox(x_px, y_px, scale * face.width_px, scale * face.height_px, face.score)


def overlap(a: FaceBox, b: FaceBox) -> float:
    """Intersection over union of two boxes."""
    w = min(a.x_px + a.width_px, b.x_px + b.width_px) - max(a.x_px, b.x_px)
    h = min(a.y_px + a.height_px, b.y_px + b.height_px) - max(a.y_px, b.y_px)
    both = max(w, 0.0) * max(h, 0.0)
    return both / (a.width_px * a.height_px + b.width_px * b.height_px - both)


def blend(old: FaceBox, new: FaceBox) -> FaceBox:
    """The new box with its size low-passed, because the cascade's box sizes jitter."""
    if overlap(old, new) < 0.3:
        return new
    width = 0.6 * old.width_px + 0.4 * new.width_px
    height = 0.6 * old.height_px + 0.4 * new.height_px
    x, y = new.center_xy_px
    return FaceBox(x - width / 2, y - height / 2, width, height, new.score)


def detect_near(image: Array, face: FaceBox) -> FaceBox | None:
    """The hit that overlaps ``face`` most, searched in a window of twice its size.

    The window is downscaled so that the face is 40 pixels wide. Boxes are pixels of ``image``.
    """
    height, width = image.shape[:2]
    x, y = face.center_xy_px
    reach = max(face.width_px, face.height_px)
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    x1, y1 = min(width, int(x + reach) + 1), min(height, int(y + reach) + 1)
    if x1 - x0 < 12 or y1 - y0 < 12:
        return None
    window = image[y0:y1, x0:x1]
    side = max(32, round(40 * max(window.shape[:2]) / face.width_px))
    least = 0.7 * face.width_px / min(window.shape[:2])
    found = detect_faces(window, min_frac=least, max_side_px=side)
    shifted = [replace(f, x_px=f.x_px + x0, y_px=f.y_px + y0) for f in found]
    near = [f for f in shifted if overlap(f, face) > 0.25]
    return max(near, key=lambda f: overlap(f, face)) if near else None


def detect_anywhere(image: Array, *, max_side_px: int, near: FaceBox | None) -> FaceBox | None:
    """The face with the highest score in the whole picture, or the one nearest to box ``near``."""
    found = [f for f in detect_faces(image, min_frac=0.1, max_side_px=max_side_px) if f.score > 0.5]
    if not found:
        return None
    if near is None:
        return found[0]
    x, y = near.center_xy_px
    return min(found, key=lambda f: abs(f.center_xy_px[0] - x) + abs(f.center_xy_px[1] - y))
