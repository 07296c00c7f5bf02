"""Results of one frame -> a picture per stage, and all of them side by side under a title bar.

``panels`` draws; ``Overview`` fixes the layout once, so that every frame of the video has one size.
Driver pictures are drawn with the longer side at ``DRIVER_PX``, squares at ``SQUARE_PX``: large
enough to read in the stage videos, small enough to draw in a fraction of a frame's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hybridanim.geometry import crop_image, px_from_norm, whole
from hybridanim.resampling import resized
from hybridanim.types import Array, Crop, Keypoints, Results, Source, SparseMotion

from . import drawing, fitted_face, flow, primitives, sheet, visibility

DRIVER_PX, SQUARE_PX = 640, 448
WIDTH_PX, MOST_PX = 1920, 470
MOMENT_PX = 220
LABELS = {  # panel -> its label, and the stage whose time stands next to it
    "source": ("source", None),
    "driving": ("driving", None),
    "skin": ("1  skin", 0),
    "tracks": ("2  head and features", 1),
    "keypoints_driving": ("3  keypoints measured", 2),
    "keypoints_source": ("3  keypoints, target", None),
    "flow": ("4  motion", 3),
    "grid": ("4  motion as a bent grid", None),
    "occlusion": ("4  hidden places", None),
    "depth": ("4  depth", None),
    "mesh": ("4  mesh over the result", None),
    "result": ("5  result", 4),
}
IN_ROW = ("driving", "skin", "tracks", "keypoints_source", "occlusion", "mesh", "result")
ROW_PX = 230
STAGE_COLOURS = (
    primitives.GREEN,
    primitives.SKY,
    primitives.ORANGE,
    primitives.PINK,
    primitives.YELLOW,
)


def panels(
    results: Results, source: Source, trails: drawing.Trails | None = None
) -> dict[str, Array]:
    """Every panel of ``LABELS``, by name, in that order."""
    frame, points = results.frame.image, results.points
    scale = DRIVER_PX / max(frame.shape[:2])
    driving = resized(frame, round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    still = resized(source.image, SQUARE_PX, SQUARE_PX)
    result = resized(results.picture.image, SQUARE_PX, SQUARE_PX)
    face = None
    if points.head is not None:
        face = fitted_face.points_of_target(source, points.head, SQUARE_PX)
    return {
        "source": drawing.source(still, source),
        "driving": driving,
        "skin": drawing.skin(driving, results.mask),
        "tracks": drawing.tracks(driving, results.tracks, trails, scale=scale),
        "keypoints_driving": driver_keypoints(frame, points),
        "keypoints_source": drawing.keypoints(
            still, points.target, whole(still), before=source.keypoints, face=face
        ),
        "flow": flow.flow(still, results.motion),
        "grid": flow.grid(result, results.motion),
        "occlusion": visibility.occlusion(result, results.motion),
        "depth": visibility.depth(result, results.motion),
        "mesh": drawing.moved_face(result, source, points.head),
        "result": result,
    }


def driver_keypoints(image: Array, points: SparseMotion) -> Array:
    """The driver's keypoints in a square of the frame (H, W, 3) that holds them all."""
    view = view_of(points.driving, points.driving_crop)
    crop = points.driving_crop
    inside = Crop(crop.x_px - view.x_px, crop.y_px - view.y_px, crop.side_px)
    canvas = crop_image(image, view, SQUARE_PX)
    scale = SQUARE_PX / view.side_px
    return drawing.keypoints(
        canvas, points.driving, inside, scale=scale, is_frozen=points.is_frozen
    )


def moment(results: Results) -> Array:
    """A small picture of the frame: the driver's head close up, next to the result."""
    image, head = results.frame.image, results.tracks.head
    short = min(image.shape[:2])
    side, middle = float(short), (image.shape[1] / 2, image.shape[0] / 2)
    if head is not None and np.isfinite([head.size_px, *head.center_xy_px]).all():
        side, middle = float(np.clip(2.4 * head.size_px, 0.2 * short, short)), head.center_xy_px
    x, y = (
        float(np.clip(center - side / 2, 0, size - side))  # stays inside the picture
        for center, size in zip(middle, image.shape[1::-1], strict=True)
    )
    near = crop_image(image, Crop(x, y, side), MOMENT_PX)
    return sheet.row([near, results.picture.image], height_px=MOMENT_PX)


def stages_row(pictures: Mapping[str, Array]) -> Array:
    """What every stage saw of a frame, in a row: some of the panels with their labels."""
    labels = [LABELS[name][0] for name in IN_ROW]
    return sheet.row([pictures[name] for name in IN_ROW], labels, height_px=ROW_PX)


def view_of(points: Keypoints, crop: Crop, margin: float = 0.06) -> Crop:
    """The crop, moved as little as it takes to show nearly all points, larger only if it must."""
    good = points.xy_norm[np.isfinite(points.xy_norm).all(1)]
    if not len(good):
        return crop
    xy = np.clip(px_from_norm(good, crop) + 0.5, -2e4, 2e4)
    low, high = np.quantile(xy, (0.1, 0.9), axis=0)  # a stray point shall not move the view
    edge = margin * crop.side_px
    side = max(crop.side_px, float((high - low).max()) + 2 * edge)
    corner = np.array([crop.x_px, crop.y_px])
    corner = np.minimum(np.maximum(corner, high + edge - side), low - edge)
    return Crop(float(corner[0]), float(corner[1]), side)


class Cell(NamedTuple):
    """Where a picture goes, and the row of its label above it; whole pixels."""

    x: int
    y: int
    width: int
    height: int


def layout(
    shapes: Sequence[tuple[int, int]], width_px: int, *, gap_px: int, head_px: int, most_px: int
) -> tuple[list[Cell], int]:
    """Cells of pictures (height, width) in two rows of equal width, in order; the sheet's height.

    The break is where the rows come out most alike in height, so that phone and landscape video
    both fill the sheet. head_px: room for labels above each row; most_px: highest row.
    """
    ratios = np.array([w / h for h, w in shapes])
    breaks = range(1, len(ratios)) if len(ratios) > 1 else [len(ratios)]
    at = min(breaks, key=lambda i: abs(np.log(ratios[:i].sum() / max(ratios[i:].sum(), 1e-6))))
    cells, y = [], gap_px
    for row in (ratios[:at], ratios[at:]):
        if not len(row):
            continue
        room = width_px - gap_px * (len(row) + 1)
        height = min(int(room / row.sum()), most_px)
        widths = [int(height * ratio) for ratio in row]
        x = (width_px - sum(widths) - gap_px * (len(row) - 1)) // 2
        for width in widths:
            cells.append(Cell(x, y + head_px, max(1, width), max(1, height)))
            x += width + gap_px
        y += height + head_px + gap_px
    return cells, y


class Overview:
    """All panels on one sheet; the layout follows the first frame's shapes."""

    HEAD_PX, GAP_PX, TITLE_PX = 26, 10, 52

    def __init__(self, shapes: Sequence[tuple[int, int]], stage_names: Sequence[str]) -> None:
        self._stages = tuple(stage_names)
        self._cells, height = layout(
            shapes, WIDTH_PX, gap_px=self.GAP_PX, head_px=self.HEAD_PX, most_px=MOST_PX
        )
        self._cells = [cell._replace(y=cell.y + self.TITLE_PX) for cell in self._cells]
        self.size = (WIDTH_PX, (height + self.TITLE_PX + 1) // 2 * 2)  # width, height; even

    def __call__(self, results: Results, pictures: Mapping[str, Array]) -> Array:
        """One frame of the overview, (H, W, 3) uint8 RGB of ``self.size``."""
        out = primitives.solid(self.size[1], self.size[0])
        for cell, (name, (text, stage)) in zip(self._cells, LABELS.items(), strict=True):
            place = out[cell.y : cell.y + cell.height, cell.x : cell.x + cell.width]
            place[:] = sheet.fit(pictures[name], cell.width, cell.height)
            middle = cell.y - self.HEAD_PX / 2
            left = cell.x
            if stage is not None:  # the chip has the colour of the stage's share of the time bar
                primitives.shade(out, (left, round(middle) - 7, 6, 14), STAGE_COLOURS[stage], 1.0)
                left += 12
            text = primitives.shorten(text, 15, cell.x + cell.width - left)
            primitives.put_text(out, text, (left, middle), size_px=15, align=(0, 0.5))
            took = self._time_of(results, stage)
            if (
                took
                and primitives.text_width(text, 15) + primitives.text_width(took, 13) + 24
                < cell.width
            ):
                place_xy = (cell.x + cell.width, middle)
                primitives.put_text(out, took, place_xy, primitives.DIM, size_px=13, align=(1, 0.5))
        self._put_title(out, results)
        return out

    def _time_of(self, results: Results, stage: int | None) -> str:
        if stage is None or stage >= len(self._stages):
            return ""
        return f"{results.times_ms.get(self._stages[stage], 0.0):.1f} ms"

    def _put_title(self, out: Array, results: Results) -> None:
        middle, gap = self.TITLE_PX / 2, self.GAP_PX
        primitives.shade(out, (0, 0, out.shape[1], self.TITLE_PX), primitives.PANEL, 1.0)
        total = sum(results.times_ms.values())
        rate = f", {1000 / total:.0f} frames a second" if total > 0 else ""
        left = f"frame {results.frame.index}"
        primitives.put_text(out, left, (gap, middle), size_px=22, align=(0, 0.5))
        second = f"{results.frame.time_s:.2f} s"
        primitives.put_text(
            out, second, (gap + 170, middle), primitives.DIM, size_px=22, align=(0, 0.5)
        )
        self._put_times(out, results, gap + 320, 620)
        text = f"{total:.1f} ms{rate}"
        primitives.put_text(out, text, (gap + 960, middle), size_px=18, align=(0, 0.5))
        text, colour = state_of(results)
        right = out.shape[1] - gap
        text = primitives.shorten(text, 20, right - 1280)
        primitives.put_text(out, text, (right, middle), colour, size_px=20, align=(1, 0.5))

    def _put_times(self, out: Array, results: Results, x: int, width: int) -> None:
        """Stage times as one bar, full at 40 ms (25 frames a second) or at the total if longer."""
        times = np.array([max(0.0, results.times_ms.get(name, 0.0)) for name in self._stages])
        per_ms = width / max(40.0, float(times.sum()))
        y, height = self.TITLE_PX // 2 - 8, 16
        primitives.shade(out, (x, y, width, height), primitives.DARK, 1.0)
        ends = np.round(x + np.cumsum(times) * per_ms).astype(int)
        for index, (start, end) in enumerate(zip([x, *ends[:-1]], ends, strict=True)):
            colour = STAGE_COLOURS[index % len(STAGE_COLOURS)]
            primitives.shade(out, (int(start), y, int(end - start), height), colour, 1.0)


def state_of(results: Results) -> tuple[str, primitives.Colour]:
    """The state of the frame as a short text, and its colour."""
    if reason := results.mask.lost or results.tracks.lost:
        return f"lost: {reason}", (255, 140, 66)
    if results.points.is_frozen:
        return "motion held", primitives.YELLOW
    return f"confidence {results.tracks.confidence_overall:.2f}", (110, 214, 172)
