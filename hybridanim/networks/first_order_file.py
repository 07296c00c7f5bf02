"""Weights file of the first-order motion model: sizes, names and shapes of tensors, and the header.

A file is safetensors with the metadata ``format`` (the version of this layout) and ``sizes``, the
fields of ``FirstOrderSizes`` as JSON. Tensors are float32, named as in the published checkpoints
after ``generator.`` and ``kp_detector.``. Architecture: Siarohin et al., First Order Motion Model
for Image Animation, NeurIPS 2019, and the sizes of its five published settings, which differ in the
Jacobian maps alone (one for all keypoints in that of moving gifs). Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.types import Array

from . import size_limits

Shapes = dict[str, tuple[int, ...]]
FORMAT = "first-order-1"
DETECTOR, GENERATOR = "kp_detector", "generator"
VARIANCE = 0.01
"""Of the Gaussians that the motion network is given, squared units of the corner grid."""
KERNEL = 7
"""Side of the heads' kernels."""
_COUNTER = "num_batches_tracked"
_NORM = ("weight", "bias", "running_mean", "running_var")
_MOST_VALUE = 1e6  # of a weight; trained ones stay below 1000


@dataclass(frozen=True)
class FirstOrderSizes:
    """Sizes of detector and generator; the defaults are those of the published checkpoints."""

    picture_px: int = 256
    """Side of the networks' input and output pictures."""
    count: int = 10
    """Number of keypoints."""
    jacobians: int = 10
    """Jacobian maps: one for each keypoint, 1 for all of them, or 0 (translations)."""
    detector_base: int = 32
    """Channels of the detector's last map; its encoder has twice as many, doubling with depth."""
    detector_most: int = 1024
    """Largest number of its channels."""
    detector_depth: int = 5
    """Halvings in it."""
    detector_step: int = 4
    """Pixels of the picture to one of the detector's."""
    motion_base: int = 64
    """Likewise of the motion network."""
    motion_most: int = 1024
    motion_depth: int = 5
    motion_step: int = 4
    """Pixels of the picture to a cell of the flow."""
    generator_base: int = 64
    """Channels of the generator at full size."""
    generator_most: int = 512
    halvings: int = 2
    """Halvings of the generator; 2 ** halvings is ``motion_step``."""
    blocks: int = 6
    """Residual blocks of the generator."""
    occlusion: bool = True
    """Whether there is an occlusion map."""
    align_corners: bool = True
    """How the flow is read when sampling: True, as the published weights were trained (torch before
    1.3): -1 and 1 are the centres of the outer cells; False: their outer edges."""

    @property
    def cells(self) -> int:
        """Side of the flow grid."""
        return self.picture_px // self.motion_step

    @property
    def unit(self) -> float:
        """Normalised units of this program to one unit of the model's corner grid."""
        return (self.cells - 1) / self.cells


PUBLISHED = FirstOrderSizes()
_LIMITS = {
    "picture_px": (32, 1024), "count": (1, size_limits.MOST_KEYPOINTS), "detector_base": (1, 256),
    "jacobians": (0, size_limits.MOST_KEYPOINTS), "detector_most": (1, 4096),
    "detector_depth": (1, 8), "detector_step": (1, 16), "motion_base": (1, 256),
    "motion_most": (1, 4096), "motion_depth": (1, 8), "motion_step": (1, 16),
    "generator_base": (1, 256), "generator_most": (1, 4096), "halvings": (0, 4), "blocks": (0, 32),
}  # fmt: skip


def check_sizes(table: Any) -> FirstOrderSizes:
    """Sizes from a header's table; ValueError for impossible ones."""
    if not isinstance(table, dict) or table.keys() != asdict(PUBLISHED).keys():
        raise ValueError("sizes of another model")
    for name, value in table.items():
        if name in _LIMITS:
            size_limits.expect_within(name, value, *_LIMITS[name])
        elif not isinstance(value, bool):
            raise ValueError(f"{name} {str(value)[:40]}")
    sizes = FirstOrderSizes(**table)
    if sizes.jacobians not in (0, 1, sizes.count):
        raise ValueError(f"{sizes.jacobians} Jacobian maps of {sizes.count} keypoints")
    if sizes.motion_step != 2**sizes.halvings:
        raise ValueError(f"a flow at 1/{sizes.motion_step} of features at 1/{2**sizes.halvings}")
    for step, depth in (
        (sizes.detector_step, sizes.detector_depth),
        (sizes.motion_step, sizes.motion_depth),
    ):
        if sizes.picture_px % (step * 2**depth):
            raise ValueError(f"pictures of {sizes.picture_px} pixels, not a multiple of {step}")
    if sizes.picture_px // sizes.detector_step < KERNEL:
        raise ValueError(f"pictures of {sizes.picture_px} pixels")
    return sizes


def shapes(sizes: FirstOrderSizes) -> Shapes:
    """Names and shapes of all tensors, without the norms' counters."""
    s = sizes
    out: Shapes = {}
    _hourglass(out, f"{DETECTOR}.predictor", s.detector_base, 3, s.detector_depth, s.detector_most)
    width = s.detector_base + 3
    _convolution(out, f"{DETECTOR}.kp", width, s.count, KERNEL)
    if s.jacobians:
        _convolution(out, f"{DETECTOR}.jacobian", width, 4 * s.jacobians, KERNEL)
    _anti_alias(out, f"{DETECTOR}.down", s.detector_step)
    motion, inputs = f"{GENERATOR}.dense_motion_network", 4 * (s.count + 1)
    _hourglass(out, f"{motion}.hourglass", s.motion_base, inputs, s.motion_depth, s.motion_most)
    _convolution(out, f"{motion}.mask", s.motion_base + inputs, s.count + 1, KERNEL)
    if s.occlusion:
        _convolution(out, f"{motion}.occlusion", s.motion_base + inputs, 1, KERNEL)
    _anti_alias(out, f"{motion}.down", s.motion_step)
    widths = generator_widths(s)
    _block(out, f"{GENERATOR}.first", 3, s.generator_base, KERNEL)
    for i in range(s.halvings):
        _block(out, f"{GENERATOR}.down_blocks.{i}", widths[i], widths[i + 1])
        _block(out, f"{GENERATOR}.up_blocks.{i}", widths[-1 - i], widths[-2 - i])
    for i in range(s.blocks):
        name = f"{GENERATOR}.bottleneck.r{i}"
        for part in ("1", "2"):
            _convolution(out, f"{name}.conv{part}", widths[-1], widths[-1])
            _norm(out, f"{name}.norm{part}", widths[-1])
    _convolution(out, f"{GENERATOR}.final", s.generator_base, 3, KERNEL)
    return out


def generator_widths(sizes: FirstOrderSizes) -> list[int]:
    """Channels of the generator at each halving, from full size on."""
    base, most = sizes.generator_base, sizes.generator_most
    return [base, *(min(most, base * 2 ** (i + 1)) for i in range(sizes.halvings))]


def sizes_of(found: Mapping[str, tuple[int, ...]], **options: Any) -> FirstOrderSizes:
    """Sizes that tensors of these names and shapes have; options: fields that shapes do not tell.

    Raises ValueError, KeyError or IndexError where they are no first-order model's. ``shapes`` of
    the result is still to be compared with the tensors' own.
    """
    motion = f"{GENERATOR}.dense_motion_network"
    found_jacobian = found.get(f"{DETECTOR}.jacobian.weight", (0,))[0]
    base, most, depth = _hourglass_sizes(found, f"{DETECTOR}.predictor")
    motion_base, motion_most, motion_depth = _hourglass_sizes(found, f"{motion}.hourglass")
    halvings = _numbered(found, f"{GENERATOR}.down_blocks.{{}}.conv.weight")
    deepest = f"{GENERATOR}.down_blocks.{halvings - 1}" if halvings else f"{GENERATOR}.first"
    table = asdict(
        FirstOrderSizes(
            count=found[f"{DETECTOR}.kp.weight"][0],
            jacobians=found_jacobian // 4,
            detector_base=base,
            detector_most=most,
            detector_depth=depth,
            detector_step=_step(found, f"{DETECTOR}.down.weight"),
            motion_base=motion_base,
            motion_most=motion_most,
            motion_depth=motion_depth,
            motion_step=_step(found, f"{motion}.down.weight"),
            generator_base=found[f"{GENERATOR}.first.conv.weight"][0],
            generator_most=found[f"{deepest}.conv.weight"][0],
            halvings=halvings,
            blocks=_numbered(found, f"{GENERATOR}.bottleneck.r{{}}.conv1.weight"),
            occlusion=f"{motion}.occlusion.weight" in found,
        )
    )
    return check_sizes(table | options)


def expect_tensors(tensors: Mapping[str, Array], sizes: FirstOrderSizes) -> None:
    """Raise ValueError unless these are the model's tensors: names, shapes, kind, finite values."""
    wanted = shapes(sizes)
    for name in sorted(wanted.keys() | tensors.keys()):
        shape = tensors[name].shape if name in tensors else None
        if shape != wanted.get(name):
            raise ValueError(f"{name} of shape {shape} instead of {wanted.get(name)}")
        value = tensors[name]
        if value.dtype.kind != "f":
            raise ValueError(f"{name} of {value.dtype} numbers")
        if not (np.abs(value) <= _MOST_VALUE).all():
            raise ValueError(f"{name} with numbers beyond {_MOST_VALUE:g}, or not-a-number")
        if name.endswith("running_var") and (value < 0).any():
            raise ValueError(f"{name} with a negative variance")


def is_counter(name: str) -> bool:
    """Whether it names a norm's counter of batches, which nothing reads."""
    return name.endswith(f".{_COUNTER}")


def write(path: str | Path, tensors: Mapping[str, Array], sizes: FirstOrderSizes) -> str:
    """Write a file, atomically; returns its SHA-256. tensors: of ``expect_tensors``."""
    import hashlib

    own = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
    table = {"format": FORMAT, "sizes": json.dumps(asdict(sizes))}
    data = save(own, table)
    with files.atomic_write(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def read(path: str | Path, table: Any) -> tuple[FirstOrderSizes, dict[str, Array]]:
    """Sizes and float32 tensors of a file whose header's sizes are ``table``.

    Raises InputError for a damaged file, or one whose tensors are not those of the sizes.
    """
    try:
        sizes = check_sizes(table)
        tensors = load(Path(path).read_bytes())
        expect_tensors(tensors, sizes)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"weights: expected a whole file of the first-order model in {path}, got"
            f" {str(error).splitlines()[0][:120]}; convert the checkpoint again"
        ) from error
    return sizes, {name: value.astype(np.float32) for name, value in tensors.items()}


def part(tensors: Mapping[str, Array], name: str) -> dict[str, Array]:
    """Tensors of the detector or the generator, by their own names."""
    prefix = f"{name}."
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def anti_alias_side(step: int) -> int:
    """Side of the blur before every ``step``-th pixel is taken: sigma (step - 1) / 2."""
    return 2 * round(4 * (step - 1) / 2) + 1


def _step(found: Mapping[str, tuple[int, ...]], name: str) -> int:
    """Step of a blur of that shape; 1 where there is none."""
    if name not in found:
        return 1
    side = found[name][-1]
    steps = [step for step in range(2, 17) if anti_alias_side(step) == side]
    if not steps:
        raise ValueError(f"{name} with a side of {side}")
    return steps[0]


def _numbered(found: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    """How many names there are with 0, 1, 2, ... in the pattern."""
    count = 0
    while pattern.format(count) in found:
        count += 1
    return count


def _hourglass_sizes(found: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int, int]:
    """Base, largest number of channels, and depth."""
    depth = _numbered(found, f"{name}.encoder.down_blocks.{{}}.conv.weight")
    most = found[f"{name}.encoder.down_blocks.{depth - 1}.conv.weight"][0]
    base = found[f"{name}.decoder.up_blocks.{depth - 1}.conv.weight"][0]
    return base, most, depth


def _hourglass(out: Shapes, name: str, base: int, inputs: int, depth: int, most: int) -> None:
    widths = [inputs, *(min(most, base * 2 ** (i + 1)) for i in range(depth))]
    for i in range(depth):
        _block(out, f"{name}.encoder.down_blocks.{i}", widths[i], widths[i + 1])
    for at, i in enumerate(reversed(range(depth))):
        doubled = (1 if at == 0 else 2) * min(most, base * 2 ** (i + 1))
        _block(out, f"{name}.decoder.up_blocks.{at}", doubled, min(most, base * 2**i))


def _convolution(out: Shapes, name: str, inputs: int, outputs: int, side: int = 3) -> None:
    out[f"{name}.weight"], out[f"{name}.bias"] = (outputs, inputs, side, side), (outputs,)


def _norm(out: Shapes, name: str, channels: int) -> None:
    out |= {f"{name}.{kind}": (channels,) for kind in _NORM}


def _block(out: Shapes, name: str, inputs: int, outputs: int, side: int = 3) -> None:
    _convolution(out, f"{name}.conv", inputs, outputs, side)
    _norm(out, f"{name}.norm", outputs)


def _anti_alias(out: Shapes, name: str, step: int) -> None:
    if step > 1:
        out[f"{name}.weight"] = (3, 1, anti_alias_side(step), anti_alias_side(step))
