"""Weights file <-> networks: one format for faces and for objects, for one network or both.

A file holds tensors named ``detector.*`` and ``animator.*``, either or both, and in its metadata
the sizes that they need, the kind of object and the window that the detector looks at. The older
format of a renderer alone (``fast-1``, names without a prefix) is read as well. Only safetensors:
a weights file cannot run code. Sizes are bounded, tensors must have the networks' shapes and finite
values, within their range where they have one. ``read_header`` and ``read_tensors`` need no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.face.anchors import ANCHORS
from hybridanim.types import Array

from . import first_order_file, shapes, size_limits
from .models import FAST, FIRST_ORDER
from .sizes import DetectorSizes, FastSizes, read_detector_sizes, read_sizes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .build import Animator
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
    sizes: dict[str, Any] | None  # of the animator, as ``sizes.FastSizes``; None: no animator
    detector: (
        dict[str, Any] | None
    )  # of the detector, as ``sizes.DetectorSizes``; None: no detector
    format: str = FORMAT

    @property
    def model(self) -> str:
        """Which networks these are (``models``); ``sizes`` are that model's."""
        return FIRST_ORDER if self.format == first_order_file.FORMAT else FAST


@dataclass(frozen=True)
class Tensors:
    """The tensors of a file by the networks' own names: float32 arrays, counters int64."""

    kind: Kind
    window: Window
    animator: dict[str, Array] | None
    detector: dict[str, Array] | None
    sizes: FastSizes | None  # of the animator
    detector_sizes: DetectorSizes | None
    sha256: str


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
    if table["format"] == first_order_file.FORMAT:
        found = first_order_file.check_sizes(json.loads(table["sizes"]))
        detector = {"count": found.count, "size": found.picture_px}
        return Header("object", "frame", asdict(found), detector, first_order_file.FORMAT)
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


def read_tensors(path: str | Path) -> Tensors:
    """Read the tensors of a file as arrays; their names and shapes must be the networks'.

    Raises InputError when the file is missing, damaged, or not one of this program's, or when a
    tensor has values that are not finite or out of its range. Nothing is allocated before the
    shapes are known to fit.
    """
    header = read_header(path)
    if header.model != FAST:
        raise InputError(
            f"weights: expected networks of this program's training in {path}, got the first-order"
            " model; it runs with --tracker reference --renderer reference alone"
        )
    data = Path(path).read_bytes()
    try:
        tensors = load(data)
        if header.format == _RENDERER:
            tensors = {_ANIMATOR + name: value for name, value in tensors.items()}
        sizes = detector_sizes = animator = detector = None
        if header.sizes is not None:
            sizes = read_sizes(header.sizes)
            wanted = shapes.animator(sizes, _keypoints(sizes, tensors))
            animator = _part(tensors, _ANIMATOR, wanted, path)
        if header.detector is not None:
            detector_sizes = read_detector_sizes(header.detector)
            detector = _part(tensors, _DETECTOR, shapes.detector(detector_sizes), path)
    except InputError:  # a ValueError that says more
        raise
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(Path(path), error) from error
    digest = hashlib.sha256(data).hexdigest()
    return Tensors(header.kind, header.window, animator, detector, sizes, detector_sizes, digest)


def read_weights(path: str | Path) -> WeightsFile:
    """Read the networks of a file, by torch; InputError as ``read_tensors``."""
    import torch

    from . import build

    found = read_tensors(path)
    animator = detector = None
    if found.animator is not None and found.sizes is not None:
        reach = torch.ones(len(found.animator["motion.log_reach"]))  # the file's own values follow
        animator = _filled(build.fast(found.sizes, reach), found.animator)
    if found.detector is not None and found.detector_sizes is not None:
        detector = _filled(build.detector(found.detector_sizes), found.detector)
    return WeightsFile(
        found.kind,
        found.window,
        detector,
        animator,
        found.detector_sizes,
        found.sizes,
        found.sha256,
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


def _keypoints(sizes: FastSizes, tensors: dict[str, Array]) -> int:
    """How many keypoints the animator's tensors are for."""
    shape = tensors[f"{_ANIMATOR}motion.log_reach"].shape
    if len(shape) != 1 or not 1 <= shape[0] <= size_limits.MOST_KEYPOINTS:
        raise ValueError(f"motion.log_reach of shape {shape}")
    if sizes.openings and shape[0] != len(ANCHORS):
        raise ValueError(f"openings of a face with {shape[0]} keypoints, not {len(ANCHORS)}")
    return shape[0]


def _part(
    tensors: dict[str, Array], prefix: str, wanted: shapes.Shapes, path: str | Path
) -> dict[str, Array]:
    """One network's tensors in float32, counters in int64, without the prefix.

    Raises ValueError for other names, shapes or kinds of numbers, InputError for values that are
    not finite or out of their range.
    """
    own = {name[len(prefix) :]: v for name, v in tensors.items() if name.startswith(prefix)}
    for name in sorted(wanted.keys() | own.keys()):
        shape = own[name].shape if name in own else None
        if shape != wanted.get(name):
            raise ValueError(f"{prefix}{name} of shape {shape} instead of {wanted.get(name)}")
        kind = "i" if name.endswith("num_batches_tracked") else "f"
        if own[name].dtype.kind != kind:
            raise ValueError(f"{prefix}{name} of {own[name].dtype} numbers")
    for name, value in own.items():
        with np.errstate(over="ignore"):
            own[name] = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
        _expect_values(prefix + name, own[name], path)
    return own


def _expect_values(name: str, value: Array, path: str | Path) -> None:
    """Raise InputError for values that are not finite, or out of the range of such tensors."""
    if not np.isfinite(value).all():
        raise InputError(
            f"weights: expected finite numbers in {path}, got inf or not-a-number in the tensor"
            f" {name}; fetch the file again, or export it from an earlier checkpoint"
        )
    no_range = -float("inf"), float("inf")
    least, most = size_limits.NUMBERS.get(name.rpartition(".")[2], no_range)
    if value.size and not (value.min() >= least and value.max() <= most):
        raise InputError(
            f"weights: expected values from {least:g} to {most:g} in the tensor {name} of {path},"
            f" got {value.min():g} to {value.max():g}; fetch the file again, or export it from an"
            " earlier checkpoint"
        )


def _filled(net: Net, tensors: dict[str, Array]) -> Net:
    """The network with these values, in evaluation mode."""
    import torch

    net.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return net.eval()


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(
        f"weights: expected a whole file of this program's networks in {file}, got"
        f" {_first_line(error)}; fetch it again, it is damaged or of another version"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = [line for line in lines if not line.endswith(":")]  # without headings
    return text[0][:120] if text else type(error).__name__
