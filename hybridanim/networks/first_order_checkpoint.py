"""A published checkpoint of the first-order model (.pth.tar) -> its tensors, checked.

The file is a dictionary of state dictionaries: ``generator`` and ``kp_detector``, and what training
alone needs (discriminator, optimisers, epoch), which is left out. It is read by
``torch.load(weights_only=True)``, which builds tensors and plain containers and runs no code of the
file. Imports torch when it reads.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hybridanim import extras, paths
from hybridanim.errors import InputError
from hybridanim.types import Array

from .first_order_file import (
    DETECTOR,
    GENERATOR,
    FirstOrderSizes,
    expect_tensors,
    is_counter,
    sizes_of,
)

_MOST_BYTES = 4 << 30
_HEAD = 512  # bytes by which a file's kind is known
_WRAPPED = "module."  # of networks that were saved from several GPUs
_KNOWN = ("discriminator", "epoch", "epochs", "optimizer_generator", "optimizer_discriminator",
          "optimizer_kp_detector")  # fmt: skip
_FETCH = "fetch it again, with its whole size"


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    sizes: FirstOrderSizes
    tensors: dict[str, Array]  # float32, as ``first_order_file.shapes`` names them
    left_out: tuple[str, ...]  # parts that only training needs


def read_checkpoint(
    path: str | Path, *, picture_px: int = 256, align_corners: bool = True
) -> Checkpoint:
    """Read a checkpoint; picture_px, align_corners: what its tensors do not tell.

    Raises InputError for a file that is missing, empty, a web page, cut off, of another model, with
    objects that are not tensors, or without torch.
    """
    file = Path(path)
    extras.expect_torch("convert")
    _expect_checkpoint(file)
    found = _loaded(file)
    tensors = {}
    for part in (GENERATOR, DETECTOR):
        tensors |= {f"{part}.{name}": value for name, value in _part(file, found, part).items()}
    shapes = {name: value.shape for name, value in tensors.items()}
    try:
        sizes = sizes_of(shapes, picture_px=picture_px, align_corners=align_corners)
        expect_tensors(tensors, sizes)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise _unfit(file, f"one with {what}") from error
    others = tuple(name for name in found if name not in (GENERATOR, DETECTOR))
    return Checkpoint(sizes, tensors, others)


def _expect_checkpoint(file: Path) -> None:
    """Raise InputError unless the file begins as one of torch's does."""
    paths.expect_readable("convert", file)
    if not paths.is_file(file):
        raise InputError(
            f"convert: expected a checkpoint file (.pth.tar) at {file}, found none; check the name"
        )
    size = file.stat().st_size
    if size > _MOST_BYTES:
        raise InputError(
            f"convert: expected a checkpoint of at most {_MOST_BYTES >> 30} GB, got {file} with"
            f" {size >> 30} GB; give one of the first-order model"
        )
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
    if not head:
        raise InputError(f"convert: expected a checkpoint in {file}, got an empty file; {_FETCH}")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise InputError(
            f"convert: expected a checkpoint in {file}, got a web page (HTML): the site sent its"
            " page in place of the file; open the address in a browser, fetch the file, and"
            " compare its size"
        )
    if text.startswith(b"version https://git-lfs"):
        raise InputError(
            f"convert: expected a checkpoint in {file}, got a Git LFS pointer; run git lfs pull"
        )
    if not head.startswith((b"PK\x03\x04", b"\x80")):
        raise InputError(
            f"convert: expected a checkpoint that torch wrote in {file}, got a file that begins"
            f" with {head[:8]!r}; give a .pth.tar of the first-order model (it is no tar archive:"
            " do not unpack it)"
        )


def _loaded(file: Path) -> dict[str, Any]:
    """The file's dictionary."""
    import torch

    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" not in str(error):
            raise _cut_off(file, error) from error
        raise InputError(
            f"convert: expected tensors and plain numbers in {file}, got other objects, which would"
            " run code of the file; give a checkpoint of state dictionaries"
        ) from error
    except (EOFError, RuntimeError, OSError, ValueError, KeyError, AttributeError, TypeError,
            IndexError, OverflowError, MemoryError, zipfile.BadZipFile) as error:  # fmt: skip
        raise _cut_off(file, error) from error
    if not isinstance(found, dict) or not {GENERATOR, DETECTOR} <= found.keys():
        has = ", ".join(map(str, list(found)[:4])) if isinstance(found, dict) else type(found)
        raise _unfit(file, f"one with {has or 'nothing'}"[:200])
    strange = [str(name) for name in found if name not in (GENERATOR, DETECTOR, *_KNOWN)]
    if strange:
        raise _unfit(file, f"one that has {', '.join(strange[:4])[:160]} beside them")
    return found


def _part(file: Path, found: dict[str, Any], part: str) -> dict[str, Array]:
    """Tensors of one network by their names there, in float32; counters left out."""
    import torch

    state = found[part]
    if not isinstance(state, Mapping) or not state:
        raise _unfit(file, f"one whose {part} is no state dictionary")
    if all(isinstance(name, str) and name.startswith(_WRAPPED) for name in state):
        state = {name.removeprefix(_WRAPPED): value for name, value in state.items()}
    out = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise _unfit(file, f"one whose {part} holds {str(name)[:60]}, no tensor")
        if is_counter(name):
            continue
        if not value.is_floating_point() or value.layout is not torch.strided:
            raise _unfit(file, f"one with {part}.{name[:60]} of {value.dtype} numbers")
        out[name] = np.ascontiguousarray(value.detach().float().numpy())
    return out


def _unfit(file: Path, what: str) -> InputError:
    return InputError(
        f"convert: expected a checkpoint of the first-order model ({GENERATOR} and {DETECTOR}) in"
        f" {file}, got {what}; other models cannot be converted"
    )


def _cut_off(file: Path, error: Exception) -> InputError:
    lines = str(error).splitlines()
    why = lines[0][:120] if lines else type(error).__name__
    return InputError(
        f"convert: expected a whole checkpoint in {file}, got one that is cut off or damaged"
        f" ({why}); {_FETCH}"
    )
