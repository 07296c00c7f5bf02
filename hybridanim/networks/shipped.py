"""The renderer's weights: the repository's file, and writing and reading one of one's own.

Network -> file -> network. ``hybridanim.rendering.learned`` runs them; torch is imported only when
weights are loaded into it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from hybridanim import files
from hybridanim.errors import InputError

from .weights import read_weights, write_weights

if TYPE_CHECKING:
    from .build import Animator, FastSizes

WEIGHTS = files.WEIGHTS / "renderer_fast.safetensors"
WEIGHTS_SHA256 = "ad0ba14101163321eb8e1418631c4ebfb1a1fd9b5c1fd8dccd236750d404b520"


def save(net: Animator, sizes: FastSizes, path: Path) -> str:
    """Write the weights with the sizes they need; returns the file's sha256."""
    if sizes != net.sizes:
        raise InputError(
            f"renderer weights: expected the network's own sizes {net.sizes}, got {sizes}; pass"
            " net.sizes"
        )
    return write_weights(path, animator=net)


def load_net(path: str | Path | None = None) -> Animator:
    """The network with the weights of the repository, or of another file, strictly.

    Raises InputError when the file is missing, damaged, or of another network.
    """
    file = Path(path) if path else WEIGHTS
    if path is None and file.is_file():
        expect_shipped(file, WEIGHTS_SHA256)
    found = read_weights(file)
    if found.animator is None:
        raise InputError(
            f"renderer weights: expected an animator in {file}, got a file without one; give one"
            " that the trainer exported"
        )
    return found.animator


def expect_shipped(file: Path, sha256: str) -> None:
    """InputError unless a file of the repository is what it was."""
    if (found := hashlib.sha256(file.read_bytes()).hexdigest()) != sha256:
        raise InputError(
            f"{file.name}: expected sha256 {sha256[:12]}, got {found[:12]}; fetch the file again,"
            " it is damaged or of another version"
        )
