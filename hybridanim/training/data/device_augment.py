"""Augmentation of whole batches on the device: the same as ``augment``, drawn and done by torch.

Every row has a view, colours and noise of its own, which are the same for both frames of the pair;
see ``augment`` for what they are. Frames come as uint8 and leave as float32 in [0, 1].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.networks.blocks import Points

from .augment import OFF_CENTRE, Augment
from .batch import Layout

_LUMA = (0.299, 0.587, 0.114)
_KINDS = ("gaussian", "speckle", "salt_pepper")
_DISTURBED = 0.5  # share of the pictures whose keypoints have errors


class Transforms(NamedTuple):
    """A random view, colour and kind of noise for each of B pairs."""

    view: Tensor  # (B, 2, 3) float32, new place from old, normalised
    is_flipped: Tensor  # (B,) bool
    colour: Tensor  # (B, 3, 4) float32 on RGB in [0, 1]
    noise: Tensor  # (B, 3) float32, 0 or 1 for each of gaussian, speckle, salt_pepper
    zoom: Tensor  # (B,) float32, enlargement of a close-up; 1: none


def uniform(shape: tuple[int, ...], draw: torch.Generator, low: float, high: float) -> Tensor:
    """Random numbers between ``low`` and ``high``, on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=draw, device=draw.device)


def draw_transforms(augment: Augment, count: int, draw: torch.Generator) -> Transforms:
    """Random views, colours and noise, without close-ups."""
    device = draw.device
    is_flipped = uniform((count,), draw, 0, 1) < augment.flip
    angle = uniform((count,), draw, -1, 1) * math.radians(augment.turn_deg)
    grow = uniform((count,), draw, *(math.log(value) for value in augment.grow)).exp()
    kept = 1 - augment.crop * uniform((count,), draw, 0, 1)
    middle = uniform((count, 2), draw, -1, 1) * (1 - kept)[:, None]
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], -1).view(-1, 2, 2) * (grow / kept)[:, None, None]
    mirror = 1 - 2 * is_flipped.float()
    linear = turn * torch.stack([mirror, torch.ones_like(mirror)], -1)[:, None]
    shift = uniform((count, 2), draw, -1, 1) * augment.shift_norm
    shift = shift - (linear @ middle[..., None])[..., 0]
    view = torch.cat([linear, shift[..., None]], -1)
    most = (augment.brightness, augment.contrast, augment.saturation, augment.hue)
    change = uniform((count, 4), draw, -1, 1) * torch.tensor(most, device=device)
    noise = _draw_noise(augment, count, draw)
    return Transforms(
        view, is_flipped, colour_matrices(change), noise, torch.ones(count, device=device)
    )


def _draw_noise(augment: Augment, count: int, draw: torch.Generator) -> Tensor:
    used = [i for i, kind in enumerate(_KINDS) if getattr(augment, kind)]
    is_noisy = uniform((count,), draw, 0, 1) < augment.noisy
    chosen = (uniform((count,), draw, 0, 1) * max(1, len(used))).long()
    out = torch.zeros(count, len(_KINDS), device=draw.device)
    for place, kind in enumerate(used):
        out[:, kind] = is_noisy & (chosen == place)
    return out


def colour_matrices(change: Tensor) -> Tensor:
    """(B, 3, 4) float32 of (B, 4) changes: brightness, contrast, saturation, hue in radians."""
    bright, contrast, saturation, hue = change.unbind(-1)
    eye = torch.eye(3, device=change.device)
    grey = torch.tensor(_LUMA, device=change.device).expand(3, 3)
    axis = torch.full((3,), 1 / math.sqrt(3), device=change.device)
    cross = torch.linalg.cross(eye, axis.expand(3, 3))
    cos, sin = hue.cos()[:, None, None], hue.sin()[:, None, None]
    spin = cos * eye + sin * cross + (1 - cos) * torch.outer(axis, axis)
    saturated = grey + (1 + saturation)[:, None, None] * (eye - grey)
    matrix = (1 + contrast)[:, None, None] * (spin @ saturated)
    offset = (bright - 0.5 * contrast)[:, None, None].expand(-1, 3, 1)
    return torch.cat([matrix, offset], -1)


def close_ups(
    transforms: Transforms, about: Tensor, size: int, side: int, draw: torch.Generator
) -> Transforms:
    """The transforms with windows of size x size pixels out of frames of side x side.

    about: (B, P, 2) normalised; each window is centred on their bounding box, off by a random
    share, as far as it stays inside the frame, on whole pixels.
    """
    off = uniform((len(about), 2), draw, -1, 1) * OFF_CENTRE
    middle = (about.amin(1) + about.amax(1)) / 2
    corner_px = (middle + 1) * (side / 2) + (off - 0.5) * size
    corner_px = corner_px.round().clamp(0, side - size)
    middle = (2 * corner_px + size) / side - 1
    zoom = side / size
    linear = transforms.view[:, :, :2] * zoom
    shift = transforms.view[:, :, 2:] - linear @ middle[..., None]
    view = torch.cat([linear, shift], -1)
    return transforms._replace(view=view, zoom=transforms.zoom * zoom)


def joined(parts: list[Transforms]) -> Transforms:
    """The transforms of several batches in one."""
    return Transforms(*(torch.cat(rows) for rows in zip(*parts, strict=True)))


def inverse(affine: Tensor) -> Tensor:
    """(B, 2, 3): the inverse of affines."""
    linear = torch.linalg.inv(affine[:, :, :2])
    return torch.cat([linear, -linear @ affine[:, :, 2:]], -1)


def composed(after: Tensor, before: Tensor) -> Tensor:
    """(B, 2, 3): first the affine ``before``, then ``after``."""
    linear = after[:, :, :2] @ before[:, :, :2]
    return torch.cat([linear, after[:, :, :2] @ before[:, :, 2:] + after[:, :, 2:]], -1)


def pictures(frames: Tensor, transforms: Transforms, size: int, draw: torch.Generator,
             augment: Augment) -> Tensor:  # fmt: skip
    """(B, 3, size, size) float32 in [0, 1] of (B, 3, S, S) frames, float32 of 0 to 255."""
    theta = inverse(transforms.view)
    grid = functional.affine_grid(theta, [len(frames), 3, size, size], align_corners=False)
    seen = functional.grid_sample(
        frames, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    colour = transforms.colour
    seen = torch.einsum("bij,bjhw->bihw", colour[:, :, :3] / 255, seen)
    seen = seen + colour[:, :, 3, None, None]
    noise = transforms.noise[:, :, None, None, None].unbind(1)
    if augment.noisy:
        drawn = torch.randn(seen.shape, generator=draw, device=seen.device)
        seen = seen + drawn * (noise[0] * augment.gaussian + noise[1] * augment.speckle * seen)
        grain = torch.rand((len(seen), 1, size, size), generator=draw, device=seen.device)
        grain = torch.where(noise[2] > 0, grain, torch.full_like(grain, 0.5))
        seen = torch.where(grain < augment.salt_pepper / 2, torch.zeros_like(seen), seen)
        seen = torch.where(grain > 1 - augment.salt_pepper / 2, torch.ones_like(seen), seen)
    return seen.clamp(0, 1).contiguous(memory_format=torch.channels_last)


def keypoints(
    rows: Tensor, transforms: Transforms, layout: Layout, augment: Augment, draw: torch.Generator
) -> Points:
    """Keypoints (B, K, 6) in the views, in half of the pictures with errors of their own."""
    linear, shift = transforms.view[:, None, :, :2], transforms.view[:, None, :, 2]
    xy = (linear @ rows[..., :2, None])[..., 0] + shift
    jacobian = linear @ rows[..., 2:6].unflatten(-1, (2, 2))
    mirror = torch.from_numpy(layout.mirror).to(rows.device)
    flipped = jacobian[:, mirror] * torch.tensor([-1.0, 1.0], device=rows.device)
    chosen = transforms.is_flipped[:, None, None]
    xy = torch.where(chosen, xy[:, mirror], xy)
    jacobian = torch.where(chosen[..., None], flipped, jacobian)
    return _disturbed(xy, jacobian, transforms.zoom, layout, augment, draw)


def _disturbed(
    xy: Tensor, jacobian: Tensor, zoom: Tensor, layout: Layout, augment: Augment,
    draw: torch.Generator,
) -> Points:  # fmt: skip
    count, device = len(xy), xy.device

    def normal(*shape: int) -> Tensor:
        return torch.randn((count, *shape), generator=draw, device=device)

    is_off = (uniform((count,), draw, 0, 1) < _DISTURBED).float()[:, None, None]
    reach = torch.from_numpy(layout.reach).to(device)[:, None]
    size = torch.linalg.det(jacobian).abs().mean(1).sqrt()[:, None, None]
    shared = normal(1, 2) * (augment.offset_norm * zoom)[:, None, None]
    xy = xy + is_off * (normal(*xy.shape[1:]) * augment.point_noise * reach * size + shared)
    error = is_off[..., None] * normal(*jacobian.shape[1:]) * augment.jacobian_noise
    return Points(xy, (torch.eye(2, device=device) + error) @ jacobian)
