"""A driver and several sources -> for each source, what both renderers made of some moments.

The driver is followed once, its motion is carried over to every source, and only the moments that
are shown are rendered. As in a usual run, the reference is the driving frame most like the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.motion.reference import with_picture
from hybridanim.prepare import driver_scan
from hybridanim.types import Crop, Keypoints, Source
from hybridanim.visualization import drawing, primitives, sheet
from stages.pipeline import Followed, Pipeline
from stages.s3_keypoints import Keypoints as KeypointsStage

from . import drivers

Array = NDArray[Any]
RENDERERS = ("warp", "painted")
GROUND = (96, 102, 112)  # below keypoints, which are drawn over 0.72 of it
_SCAN_EVERY_S = 0.4  # as often as a usual run looks for its reference
_GAP_PX = 4


@dataclass(frozen=True)
class Column:
    """One moment: the driver, and each renderer's result."""

    time_s: float
    driver: Array
    results: tuple[Array, ...]  # in the order of RENDERERS
    is_frozen: bool  # the head was not seen, the motion rests


@dataclass(frozen=True)
class Row:
    """One source and its moments; ``refusal`` says why there are none."""

    source: Array
    columns: tuple[Column, ...]
    refusal: str = ""


class Renderers:
    """A pipeline that follows, and the last two stages of each renderer."""

    def __init__(self, size: int = 256) -> None:
        """size: side of the results."""
        pipelines = [Pipeline.load(size=size, renderer=name) for name in RENDERERS]
        self.pipeline = pipelines[0]
        self.each = [one.renderer for one in pipelines]

    def __call__(self, followed: Followed) -> tuple[Array, ...]:
        """One picture a renderer."""
        return tuple(self.pipeline.render(followed, by).picture.image for by in self.each)


def rows(
    renderers: Renderers,
    driver: str,
    sources: Sequence[Array],
    times_s: Sequence[Sequence[float]],
    *,
    with_pixels: bool = True,
) -> list[Row]:
    """One row a source. times_s: the moments of each; none = five, spread over the clip.

    with_pixels: show the driver itself; otherwise only its keypoints, on a plain ground.
    """
    pipeline = renderers.pipeline
    observations, shape, end_s = _look_through(pipeline, driver)
    pipeline.reset()
    pipeline.use_scan([observation for observation, _ in observations], *shape)
    prepared = [_prepared(pipeline, picture) for picture in sources]
    followers = [_follower(renderers, observations, source) for source in prepared]
    wanted = [sorted(times or np.linspace(0.1, 0.95, 5) * end_s) for times in times_s]
    columns: list[list[Column]] = [[] for _ in sources]
    with drivers.opened(driver) as moments:
        for moment in moments:
            frame = pipeline.frame(moment.image, moment.time_s)
            mask = pipeline.segment(frame)
            tracks = pipeline.track(frame, mask)
            for index, source in enumerate(prepared):
                if not isinstance(source, Source):
                    continue
                points = followers[index](frame, tracks, source)
                done = columns[index]
                if len(done) == len(wanted[index]) or moment.time_s < wanted[index][len(done)]:
                    continue
                results = renderers(Followed(source, frame, mask, tracks, points, {}))
                shown = frame.image if with_pixels else None
                cell = _driver_cell(points.driving, points.driving_crop, shown)
                done.append(Column(moment.time_s, cell, results, points.is_frozen))
    return [
        Row(source.image, tuple(done))
        if isinstance(source, Source)
        else Row(picture, (), str(source))
        for source, picture, done in zip(prepared, sources, columns, strict=True)
    ]


def _look_through(
    pipeline: Pipeline, driver: str
) -> tuple[list[tuple[driver_scan.Observation, Array]], tuple[int, int], float]:
    """Observations of the driver with their pictures, its height and width, and its last time."""
    observations, due, shape, time_s = [], 0.0, (0, 0), 0.0
    with drivers.opened(driver) as moments:
        for index, (image, time_s) in enumerate(moments):
            shape = image.shape[:2]
            if time_s >= due:
                seen = pipeline.detect(image, index, time_s)
                observations += [(seen, image)] if seen else []
                due += _SCAN_EVERY_S
    return observations, shape, time_s


def _prepared(pipeline: Pipeline, picture: Array) -> Source | InputError:
    try:
        return pipeline.set_source(picture)
    except InputError as error:
        return error


def _follower(
    renderers: Renderers, observations: list, source: Source | InputError
) -> KeypointsStage:
    """A stage 3 of one source, with its reference."""
    pipeline = renderers.pipeline
    stage = KeypointsStage(replace(pipeline.config.keypoints, optical_flow="off"))
    seen = [observation for observation, _ in observations]
    chosen = driver_scan.nearest(seen, source) if isinstance(source, Source) else None
    if chosen is not None and chosen.is_clear and pipeline.view is not None:
        image = next(image for observation, image in observations if observation is chosen)
        reference = driver_scan.as_reference(chosen, pipeline.view)
        stage.set_reference(with_picture(reference, pipeline.view(image)))
    return stage


def _driver_cell(points: Keypoints, crop: Crop, image: Array | None, side_px: int = 384) -> Array:
    """The square round the driver's head: its pixels, or only its keypoints."""
    if image is not None:
        return geometry.crop_image(image, crop, side_px)
    side_px //= 2  # so that lines can still be seen in a small cell
    ground = primitives.solid(side_px + side_px // 4, side_px, GROUND)
    drawn = drawing.keypoints(ground, points, Crop(0, 0, side_px), radius=0.1)
    return drawn[:side_px]  # without the words at the bottom


def picture(row: Row, cell_px: int = 132) -> Array:
    """The row as one picture: source and names at the left, then a column a moment."""
    step, size = cell_px + _GAP_PX, max(9, cell_px // 9)
    head = primitives.line_height(size)
    count = max(1, len(row.columns))
    width, height = _GAP_PX + (1 + count) * step, head + 2 * _GAP_PX + 3 * step
    out = primitives.solid(height, width)
    put(out, row.source, 0, 0, cell_px)
    primitives.put_text(out, "source", (_GAP_PX, _GAP_PX), primitives.DIM, size_px=size)
    for line, name in enumerate(RENDERERS, 1):
        x, y = corner(0, line, cell_px)
        place = (x + cell_px - _GAP_PX, y + cell_px / 2)
        primitives.put_text(out, name, place, primitives.DIM, size_px=size, align=(1, 0.5))
    for index, column in enumerate(row.columns, 1):
        words = f"{column.time_s:.1f} s" + (", held" if column.is_frozen else "")
        primitives.put_text(
            out, words, (_GAP_PX + index * step, _GAP_PX), primitives.DIM, size_px=size
        )
        for line, cell in enumerate((column.driver, *column.results)):
            put(out, cell, index, line, cell_px)
    return out


def corner(column: int, line: int, cell_px: int) -> tuple[int, int]:
    """x, y of a cell of ``picture``."""
    head = primitives.line_height(max(9, cell_px // 9))
    step = cell_px + _GAP_PX
    return _GAP_PX + column * step, head + 2 * _GAP_PX + line * step


def put(out: Array, cell: Array, column: int, line: int, cell_px: int) -> None:
    """Put a picture into its cell."""
    x, y = corner(column, line, cell_px)
    out[y : y + cell_px, x : x + cell_px] = sheet.fit(cell, cell_px, cell_px)
