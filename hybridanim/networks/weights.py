"""Weights file <-> networks: one format for faces and for objects, for one network or both.

A file holds tensors named ``detector.*`` and ``animator.*``, either or both, and in its metadata
the sizes that they need, the kind of object and the window that the detector looks at. The older
format of a renderer alone (``fast-1``, names without a prefix) is read as well. Only safetensors:
a weights file cannot run code. Sizes are bounded, tensors must have the networks' shapes and finite
values, within their range where they have one. ``read_header`` needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from safetensors import SafetensorError, safe_open

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.face.anchors import ANCHORS
from hybridanim.types import Array

from . import size_limits

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .build import Animator, DetectorSizes, FastSizes
    from .keypoint_detector import KeypointDetector

    Net = TypeVar("Net", bound=nn.Module)

Kind = Literal["face", "object"]
Window = Literal["head", "frame"]
FORMAT = "weights-1"


@dataclass(frozen=True)
class Shipped:
    """A weights file of this package, and the SHA-256 of its bytes."""

    path: Path
    sha256: str

    def checked(self) -> Path:
        """Return the path; InputError when the file exists with another SHA-256."""
        if self.path.is_file():
            files.expect_sha256(self.path.name, self.path, self.sha256)
        return self.path


RENDERER = Shipped(
    files.WEIGHTS / "renderer_fast.safetensors",
    "ad0ba14101163321eb8e1418631c4ebfb1a1fd9b5c1fd8dccd236750d404b520",
)
DETECTOR = Shipped(
    files.WEIGHTS / "detector_fast.safetensors",
    "b965311c0d97299d72d3d9ae44fd9e18eaa55986c44195a030528c9d7a863bf8",
)
_RENDERER = "fast-1"  # a renderer for faces alone, names without a prefix
_DETECTOR, _ANIMATOR = "detector.", "animator."


@dataclass(frozen=True)
class Header:
    """Metadata of a weights file."""

    kind: Kind
    window: Window  # input of the detector: a square around the head, or the whole square frame
    sizes: dict[str, Any] | None  # of the animator, as ``build.FastSizes``; None: no animator
    detector: (
        dict[str, Any] | None
    )  # of the detector, as ``build.DetectorSizes``; None: no detector
    format: str = FORMAT


@dataclass(frozen=True)
class WeightsFile:
    """The networks of a file, in evaluation mode."""

    kind: Kind
    window: Window
    detector: KeypointDetector | None
    animator: Animator | None
    detector_sizes: DetectorSizes | None
    sizes: FastSizes | None  # of the animator, including its picture size
    sha256: str

    @property
    def reach(self) -> Array | None:
        """(K,) float32: one sigma of each keypoint in units of the canonical object."""
        if self.animator is None:
            return None
        return self.animator.motion.log_reach.detach().exp().numpy()


def read_header(path: str | Path) -> Header:
    """Read the header alone, without tensors or torch.

    Raises InputError when the file is missing, damaged, or not one of this program's.
    """
    file = Path(path)
    paths.expect_readable("weights", file)
    if not paths.is_file(file):
        raise InputError(
            f"weights: expected a file at {file}, found nothing; give the path of a weights file,"
            " or train one (docs/guide/training.md)"
        )
    if file.stat().st_size > size_limits.MOST_BYTES:
        raise InputError(
            f"weights: expected a file of at most {size_limits.MOST_BYTES >> 20} MB, got {file}"
            f" with {file.stat().st_size >> 20} MB; give another with --weights"
        )
    try:
        with safe_open(file, "numpy") as opened:
            table = opened.metadata() or {}
            names = list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise _damaged(file, error) from error
    try:
        return _header(table, names)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"weights: expected a file that this program's training wrote in {file}, got"
            f" another ({_first_line(error)}); give one of weights/, or one of your own training"
        ) from error


def _header(table: dict[str, str], names: list[str]) -> Header:
    if table["format"] == _RENDERER:
        sizes = json.loads(table["sizes"])
        size_limits.check_animator(sizes)
        return Header("face", "head", sizes, None, _RENDERER)
    if table["format"] != FORMAT:
        raise ValueError(f"format {table['format']!r}")
    kind, window = table["kind"], table["window"]
    if kind not in ("face", "object") or window not in ("head", "frame"):
        raise ValueError(f"kind {kind!r}, window {window!r}")
    parts = {
        prefix: json.loads(table[key]) if key in table else None
        for prefix, key in ((_ANIMATOR, "sizes"), (_DETECTOR, "detector"))
    }
    found = {prefix: sizes for prefix, sizes in parts.items() if sizes is not None}
    strange = [name for name in names if not name.startswith(tuple(found))]
    if strange or not found:
        raise ValueError(f"tensor {strange[0]!r}" if strange else "no network")
    if _ANIMATOR in found:
        size_limits.check_animator(found[_ANIMATOR])
    if _DETECTOR in found:
        size_limits.check_detector(found[_DETECTOR])
        if missing := {"count", "size"} - found[_DETECTOR].keys():
            raise ValueError(f"a detector without {min(missing)}")
    return Header(cast(Kind, kind), cast(Window, window), parts[_ANIMATOR], parts[_DETECTOR])


def read_weights(path: str | Path) -> WeightsFile:
    """Read the networks of a file; names and shapes of all tensors must match exactly.

    Raises InputError when the file is missing, damaged, or not one of this program's, or when a
    tensor has values that are not finite or out of its range.
    """
    from safetensors.torch import load as load_tensors

    from . import build

    header, data = read_header(path), Path(path).read_bytes()
    try:
        tensors = load_tensors(data)
        if header.format == _RENDERER:
            tensors = {_ANIMATOR + name: value for name, value in tensors.items()}
        sizes = detector_sizes = animator = detector = None
        if header.sizes is not None:
            sizes = build.read_sizes(header.sizes)
            animator = _filled(_animator_maker(sizes, tensors), tensors, _ANIMATOR, path)
        if header.detector is not None:
            detector_sizes = build.read_detector_sizes(header.detector)
            make = partial(build.detector, detector_sizes)
            detector = _filled(make, tensors, _DETECTOR, path)
    except InputError:  # a ValueError that says more
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(Path(path), error) from error
    return WeightsFile(
        header.kind,
        header.window,
        detector,
        animator,
        detector_sizes,
        sizes,
        hashlib.sha256(data).hexdigest(),
    )


def read_animator(path: str | Path | None = None) -> Animator:
    """Read dense motion network and generator of a weights file, or the shipped ones.

    Raises InputError when the file is missing, damaged, or has none.
    """
    file = RENDERER.checked() if path is None else Path(path)
    found = read_weights(file)
    if found.animator is None:
        raise InputError(
            f"renderer weights: expected an animator in {file}, got a file without one; give one"
            " that the trainer exported"
        )
    return found.animator


def write_weights(
    path: str | Path,
    *,
    animator: Animator | None = None,
    detector: KeypointDetector | None = None,
    detector_sizes: DetectorSizes | None = None,
    kind: Kind = "face",
    window: Window = "head",
) -> str:
    """Write one network or both; returns the file's sha256.

    detector_sizes: sizes that the detector was built with; required with a detector. Raises
    InputError when there is nothing to write.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    table = {"format": FORMAT, "kind": kind, "window": window}
    if animator is not None:
        tensors |= _named(animator, _ANIMATOR)
        table["sizes"] = json.dumps(asdict(animator.sizes))
    if detector is not None and detector_sizes is not None:
        tensors |= _named(detector, _DETECTOR)
        table["detector"] = json.dumps(asdict(detector_sizes))
    if not tensors:
        raise InputError(
            "weights: expected an animator, or a detector with its sizes, got neither; give one"
        )
    data = save(tensors, table)
    with files.atomic_write(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _named(net: nn.Module, prefix: str) -> dict[str, Tensor]:
    """State of a network with prefixed names; 4-D weights in half precision, others unchanged."""
    return {
        prefix + name: (value.half() if value.ndim == 4 else value).cpu().contiguous()
        for name, value in net.state_dict().items()
    }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _animator_maker(sizes: FastSizes, tensors: dict[str, Tensor]) -> Callable[[], Animator]:
    """Build an animator of those sizes for as many keypoints as the tensors are for."""
    import torch

    from . import build

    shape = tensors[f"{_ANIMATOR}motion.log_reach"].shape
    if len(shape) != 1 or not 1 <= shape[0] <= size_limits.MOST_KEYPOINTS:
        raise ValueError(f"motion.log_reach of shape {tuple(shape)}")
    if sizes.openings and shape[0] != len(ANCHORS):
        raise ValueError(f"openings of a face with {shape[0]} keypoints, not {len(ANCHORS)}")
    return lambda: build.fast(sizes, torch.ones(shape[0]))  # the file's own values follow


def _filled(
    make: Callable[[], Net], tensors: dict[str, Tensor], prefix: str, path: str | Path
) -> Net:
    """A network with a file's tensors; nothing is allocated before their shapes are known to fit.

    Raises RuntimeError for other names, shapes or kinds of numbers, InputError for values that are
    not finite or out of their range.
    """
    import torch

    own = _part(tensors, prefix)
    with torch.device("meta"):
        planned = make().state_dict()
    for name in sorted(planned.keys() | own.keys()):
        shapes = [tuple(part[name].shape) if name in part else None for part in (planned, own)]
        if shapes[0] != shapes[1]:
            raise RuntimeError(f"{prefix}{name} of shape {shapes[1]} instead of {shapes[0]}")
        if planned[name].is_floating_point() != own[name].is_floating_point():
            raise RuntimeError(f"{prefix}{name} of {own[name].dtype} numbers")
    floats = {name: v.float() if v.is_floating_point() else v for name, v in own.items()}
    for name, value in floats.items():
        if not torch.isfinite(value).all():
            raise InputError(
                f"weights: expected finite numbers in {path}, got inf or not-a-number in the tensor"
                f" {prefix}{name}; fetch the file again, or export it from an earlier checkpoint"
            )
        _expect_range(prefix + name, value, path)
    net = make()
    net.load_state_dict(floats)
    return net.eval()


def _expect_range(name: str, value: Tensor, path: str | Path) -> None:
    """Raise InputError for values out of the range that tensors of this name have."""
    no_range = -float("inf"), float("inf")
    least, most = size_limits.NUMBERS.get(name.rpartition(".")[2], no_range)
    if value.numel() and not (value.min() >= least and value.max() <= most):
        raise InputError(
            f"weights: expected values from {least:g} to {most:g} in the tensor {name} of {path},"
            f" got {value.min():g} to {value.max():g}; fetch the file again, or export it from an"
            " earlier checkpoint"
        )


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(
        f"weights: expected a whole file of this program's networks in {file}, got"
        f" {_first_line(error)}; fetch it again, it is damaged or of another version"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = [line for line in lines if not line.endswith(":")]  # without headings
    return text[0][:120] if text else type(error).__name__
