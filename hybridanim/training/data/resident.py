"""Cached clips on the device, and pairs of their frames that are chosen once: no data loader.

The frames of all clips are held on the device as uint8. A pool of pairs is chosen before the
training, as ``pairs`` chooses them (people evenly, opposite openings, the keypoints of run time),
with the optical flow of each where it is needed: what is slow or belongs to the processor is done
once. A batch is drawn from the pool and augmented by torch on the device. It depends on the seed,
the step and the kind of device alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.motion import optical_flow
from hybridanim.training import device as devices
from hybridanim.types import Array

from . import device_augment
from .augment import Augment
from .batch import Batch, Layout
from .cache import Clip
from .device_augment import Transforms
from .pairs import Pairs, background_motion, pair_keypoints

_POOL, _BATCH = 0x706F6F6C, 0x62617463  # keep the pool's random numbers apart from the batches'
_CHUNK = 64  # pairs that a thread chooses at once


class Pool(NamedTuple):
    """P pairs; frames are numbers in ``Resident``'s frames; without keypoints, no points."""

    numbers: Tensor  # (P, 2) int64, source and driving frame
    points: Tensor | None  # (P, 2, K, 6) float32
    background: Tensor | None  # (P, 2, 3) float32
    flow: Tensor | None  # (P, 3, h, w) float16: source places, normalised, and trust


class ResidentBatch(NamedTuple):
    """A batch on the device, and the optical flow of its pairs."""

    batch: Batch
    flow: Tensor | None  # (B, h, w, 2) float32 absolute source places, normalised
    trust: Tensor | None  # (B, h, w) float32 in [0, 1]


class Resident:
    """Frames and pool on a device; makes batches."""

    def __init__(
        self,
        clips: list[Clip],
        pairs: Pairs,
        layout: Layout | None,
        augment: Augment,
        *,
        seed: int,
        count: int,
        has_flow: bool,
        device: torch.device,
        threads: int = 1,
    ) -> None:
        """pairs: chooses among the same clips; count: pairs of the pool; threads: that make it."""
        self._layout, self._augment, self._seed, self._device = layout, augment, seed, device
        starts = np.cumsum([0, *(len(clip.frames) for clip in clips)])
        stacked = np.concatenate([np.asarray(clip.frames) for clip in clips])
        self._frames = torch.from_numpy(stacked).to(device)  # (N, S, S, 3) uint8
        self._watched = None
        if layout is not None:
            self._watched = torch.from_numpy(layout.watched).to(device)
        known = {id(clip): int(start) for clip, start in zip(clips, starts, strict=False)}

        def part(first: int) -> list[tuple[Array | None, ...]]:
            search = optical_flow.matcher() if has_flow else None
            rows = range(first, min(first + _CHUNK, count))
            return list(_chosen(pairs, known, rows, seed, layout, search))

        with ThreadPoolExecutor(max(1, threads)) as workers:
            found = [row for rows in workers.map(part, range(0, count, _CHUNK)) for row in rows]
        frames, *rest = (_stacked(column, device) for column in zip(*found, strict=True))
        assert frames is not None
        self._pool = Pool(frames, *rest)

    def __len__(self) -> int:
        return len(self._pool.numbers)

    @property
    def bytes(self) -> int:
        """Memory on the device."""
        held = [self._frames, *(part for part in self._pool if part is not None)]
        return sum(part.numel() * part.element_size() for part in held)

    def batch(self, step: int, count: int, size: int, rank: int = 0) -> ResidentBatch:
        """Pairs at size x size pixels."""
        draw = devices.generator(self._device, [self._seed, _BATCH, step, rank])
        numbers = torch.randint(len(self), (count,), generator=draw, device=self._device)
        pool = _rows(self._pool, numbers)
        side, layout, augment = self._frames.shape[1], self._layout, self._augment
        transforms = device_augment.draw_transforms(augment, count, draw)
        near = 0
        if pool.points is not None and size < side:
            near = round(augment.close_up * count)
            transforms = self._with_close_ups(transforms, pool.points, near, size, draw)
        images = [
            self._pictures(pool.numbers[:, i], near, transforms, size, draw) for i in range(2)
        ]
        points: list = [None, None]
        background = None
        if pool.points is not None and layout is not None and pool.background is not None:
            points = [
                device_augment.keypoints(pool.points[:, i], transforms, layout, augment, draw)
                for i in range(2)
            ]
            view = transforms.view
            background = device_augment.composed(view, pool.background)
            background = device_augment.composed(background, device_augment.inverse(view))
        made = Batch(images[0], images[1], points[0], points[1], background)
        if pool.flow is None:
            return ResidentBatch(made, None, None)
        return ResidentBatch(made, *_flow_in_view(pool.flow, transforms.view, size))

    def _with_close_ups(
        self, transforms: Transforms, points: Tensor, near: int, size: int, draw: torch.Generator
    ) -> Transforms:
        """The first ``near`` rows as windows round the driver's lids and lips."""
        about = points[:near, 1, self._watched, :2]
        first, rest = (Transforms(*(x[part] for x in transforms)) for part in _parts(near))
        side = self._frames.shape[1]
        return device_augment.joined(
            [device_augment.close_ups(first, about, size, side, draw), rest]
        )

    def _pictures(
        self, numbers: Tensor, near: int, transforms: Transforms, size: int, draw: torch.Generator
    ) -> Tensor:
        """(B, 3, size, size): the first ``near`` rows from frames of their own size."""
        found = []
        for part, is_near in zip(_parts(near), (True, False), strict=True):
            if not len(numbers[part]):
                continue
            frames = self._frames[numbers[part]].permute(0, 3, 1, 2).float()
            if size < frames.shape[-1] and not is_near:
                frames = functional.interpolate(frames, (size, size), mode="area")
            rows = Transforms(*(x[part] for x in transforms))
            found.append(device_augment.pictures(frames, rows, size, draw, self._augment))
        return torch.cat(found).contiguous(memory_format=torch.channels_last)


def _parts(near: int) -> tuple[slice, slice]:
    return slice(0, near), slice(near, None)


def _chosen(
    pairs: Pairs,
    starts: dict[int, int],
    rows: range,
    seed: int,
    layout: Layout | None,
    search: cv2.DISOpticalFlow | None,
) -> Iterator[tuple[Array | None, ...]]:
    """The rows of the pool: numbers, keypoints, background, flow."""
    for row in rows:
        clip, name, numbers = pairs.choose(np.random.default_rng([seed, _POOL, row]))
        points = background = flow = None
        if name is not None and layout is not None:
            points = np.stack(pair_keypoints(clip, name, numbers, layout)).astype(np.float32)
            background = background_motion(clip, numbers)
        if search is not None:
            grey = [cv2.cvtColor(clip.frames[i], cv2.COLOR_RGB2GRAY) for i in numbers]
            flow = np.dstack(optical_flow.between(grey[0], grey[1], search))
            flow = np.moveaxis(flow, -1, 0).astype(np.float16)
        start = starts[id(clip)]
        yield np.array(numbers) + start, points, background, flow


def _rows(pool: Pool, numbers: Tensor) -> Pool:
    rest = (None if part is None else part[numbers] for part in pool[1:])
    return Pool(pool.numbers[numbers], *rest)


def _stacked(column: tuple[Array | None, ...], device: torch.device) -> Tensor | None:
    found = [row for row in column if row is not None]
    return torch.from_numpy(np.stack(found)).to(device) if found else None


def _flow_in_view(flow: Tensor, view: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Flow (B, 3, h, w) with both pictures in the view: places (B, h, w, 2), trust (B, h, w)."""
    cells = size // optical_flow.CELL_PX
    shape = [len(flow), 3, cells, cells]
    theta = device_augment.inverse(view)
    grid = functional.affine_grid(theta, shape, align_corners=False)
    # beyond the frame its border is repeated in both pictures, and nothing is known
    seen = functional.grid_sample(flow.float(), grid, padding_mode="border", align_corners=False)
    is_inside = (grid.abs() <= 1).all(-1).float()
    places = torch.einsum("bij,bjhw->bhwi", view[:, :, :2], seen[:, :2])
    return places + view[:, None, None, :, 2], seen[:, 2] * is_inside
