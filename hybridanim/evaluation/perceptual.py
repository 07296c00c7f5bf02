"""LPIPS and the features of FID by the packages ``lpips`` and ``torchmetrics`` (extra ``eval``).

Their backbones' weights are read from this machine; nothing is downloaded. LPIPS (Zhang et al.
2018, AlexNet, version 0.1) needs torchvision's ``alexnet-owt-7be5be79.pth``; its linear weights
come with the package. FID (Heusel et al. 2017) needs torch-fidelity's
``pt_inception-2015-12-05-6726825d.pth``. Both packages import torch, so they are imported late.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.types import Array

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
_INCEPTION_SHA256 = "6726825d"  # its beginning: what reads this file may run code that is in it
_PACKAGES = {"LPIPS": ("lpips", "torchvision"), "FID": ("torchmetrics", "torch_fidelity")}
_FEATURES = 2048  # of the Inception layer that FID compares


class Perceptual:
    """LPIPS of two pictures and Inception features of one; each is None without its weights.

    Raises InputError where the packages of the extra ``eval`` are missing or do not run beside this
    torch, or where a file holds other weights.
    """

    def __init__(self, alexnet: Path | None = None, inception: Path | None = None) -> None:
        self._lpips = None if alexnet is None else _load_lpips(alexnet)
        self._inception = None if inception is None else _load_inception(inception)

    def distance(self, truth: Array, result: Array) -> float | None:
        """LPIPS of two (H, W, 3) uint8 RGB pictures: 0 = equal, lower is better."""
        if self._lpips is None:
            return None
        import torch

        pictures = (_tensor(picture).float() / 127.5 - 1 for picture in (truth, result))
        with torch.inference_mode():
            return float(self._lpips(*pictures))

    def features(self, image: Array) -> Array | None:
        """(2048,) float64 Inception features of (H, W, 3) uint8 RGB, for the Frechet distance."""
        if self._inception is None:
            return None
        import torch

        with torch.inference_mode():
            return self._inception(_tensor(image))[0].double().numpy()


def find(folder: Path | None) -> tuple[Path | None, Path | None, list[str]]:
    """AlexNet's file and Inception's, and one line for each metric that cannot be measured.

    folder: searched first, then torch's own cache; neither is changed. A file is None where its
    metric's packages are missing.
    """
    places = [folder] if folder else []
    home = os.environ.get("TORCH_HOME") or os.path.expanduser("~/.cache/torch")
    places.append(Path(home) / "hub" / "checkpoints")
    found: list[Path | None] = []
    lines = []
    for metric, name in (("LPIPS", ALEXNET_FILE), ("FID", INCEPTION_FILE)):
        file = next((place / name for place in places if (place / name).is_file()), None)
        absent = [p for p in _PACKAGES[metric] if find_spec(p) is None]
        if absent:
            lines.append(
                f"{metric} not measured: no package {' and '.join(absent)}; to measure it, pip"
                f" install 'hybridanim[eval]', and give the folder of {name} by --backbones"
            )
        elif file is None:
            lines.append(
                f"{metric} not measured: no {name} in {' or '.join(map(str, places))}; to measure"
                " it, fetch that file and give its folder by --backbones"
            )
        found.append(None if absent else file)
    return found[0], found[1], lines


@contextmanager
def _loading(metric: str, file: Path) -> Iterator[None]:
    """Turn what goes wrong with packages and files into InputError."""
    packages = " and ".join(_PACKAGES[metric])
    try:
        yield
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{metric}: expected the packages {packages}, got"
            f" {_first_line(error)}; pip install 'hybridanim[eval]'"
        ) from error
    except (OSError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"--backbones: expected {packages} and their network's weights in {file}, got"
            f" {_first_line(error)}; fetch the file again, or install packages made for this torch"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _load_lpips(alexnet: Path) -> Any:
    """Two (1, 3, H, W) tensors in [-1, 1] -> their distance."""
    with _loading("LPIPS", alexnet):
        import lpips  # pyright: ignore[reportMissingImports]
        import torch

        # built without weights and filled here, because the package would download them
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        weights = torch.load(alexnet, map_location="cpu", weights_only=True)
        names = network.net.state_dict()  # slice2.3.weight is features.3.weight of AlexNet
        own = {name: weights[f"features.{name.split('.', 1)[1]}"] for name in names}
        network.net.load_state_dict(own)
        return network


def _load_inception(file: Path) -> Any:
    """A (1, 3, H, W) uint8 tensor -> (1, 2048) features."""
    if file.name == INCEPTION_FILE and not files.sha256(file).startswith(_INCEPTION_SHA256):
        raise InputError(
            f"--backbones: expected the published {file.name}, whose name holds its checksum, got"
            " another file; fetch it again"
        )
    with _loading("FID", file):
        from torchmetrics.image.fid import (  # pyright: ignore[reportMissingImports]
            FrechetInceptionDistance,
        )

        # resized as for the published figures: bilinear, without antialiasing
        metric = FrechetInceptionDistance(
            _FEATURES, feature_extractor_weights_path=str(file), antialias=False
        )
        return metric.inception


def _tensor(image: Array) -> Any:
    """(1, 3, H, W) uint8."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
