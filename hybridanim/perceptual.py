"""LPIPS and the features of FID, where their networks are on this machine; nothing is downloaded.

LPIPS (Zhang et al. 2018, AlexNet, version 0.1) needs the packages ``lpips`` and ``torchvision`` and
the file ``alexnet-owt-7be5be79.pth``. FID (Heusel et al. 2017) needs ``inception-2015-12-05.pt``,
the TorchScript form of the published Inception network. torch is imported only when one is there.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .types import Array

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
INCEPTION_FILE = "inception-2015-12-05.pt"


class Perceptual:
    """Distance of two pictures and features of one; each None where its network is missing."""

    def __init__(self, alexnet: Path | None = None, inception: Path | None = None) -> None:
        self._lpips = None if alexnet is None else _load_lpips(alexnet)
        self._inception = None if inception is None else _load_inception(inception)

    def distance(self, truth: Array, result: Array) -> float | None:
        """LPIPS of two (H, W, 3) uint8 pictures, 0 = equal; lower is better."""
        if self._lpips is None:
            return None
        import torch

        with torch.inference_mode():
            return float(self._lpips(_tensor(truth), _tensor(result)))

    def features(self, image: Array) -> Array | None:
        """(2048,) float64 Inception features of (H, W, 3) uint8, for the Frechet distance."""
        if self._inception is None:
            return None
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            return self._inception(batch, return_features=True)[0].double().numpy()


def find(folder: Path | None) -> tuple[Path | None, Path | None, list[str]]:
    """The files of LPIPS and FID, and one line for each that cannot be measured and what to do.

    folder: where to look beside torch's own cache; nothing there is changed.
    """
    places = [folder] if folder else []
    home = os.environ.get("TORCH_HOME") or Path("~/.cache/torch").expanduser()
    places.append(Path(home) / "hub" / "checkpoints")
    alexnet, inception = (_first(places, name) for name in (ALEXNET_FILE, INCEPTION_FILE))
    lines = []
    missing = [p for p in ("torch", "lpips", "torchvision") if not importlib.util.find_spec(p)]
    if missing:
        alexnet = None
        lines.append(
            f"LPIPS not measured: no package {', '.join(missing)}; to measure it, pip install"
            f" {' '.join(missing)}, and give the folder of {ALEXNET_FILE} by --backbones"
        )
    elif alexnet is None:
        lines.append(
            f"LPIPS not measured: no {ALEXNET_FILE} in {_listed(places)}; to measure it, fetch it"
            " from torchvision's model list and give its folder by --backbones"
        )
    if inception is None:
        lines.append(
            f"FID not measured: no {INCEPTION_FILE} in {_listed(places)}; to measure it, fetch"
            " StyleGAN's TorchScript copy of that network and give its folder by --backbones"
        )
    return alexnet, inception, lines


def _first(places: list[Path], name: str) -> Path | None:
    return next((place / name for place in places if (place / name).is_file()), None)


def _listed(places: list[Path]) -> str:
    return " or ".join(str(place) for place in places)


def _load_lpips(alexnet: Path) -> Any:
    """The package's network with the backbone's convolutions out of a file, strictly."""
    import torch

    lpips = importlib.import_module("lpips")
    net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    try:
        weights = torch.load(alexnet, map_location="cpu", weights_only=True)
        for name, value in net.net.state_dict().items():
            # slice2.3.weight is features.3.weight of torchvision
            value.copy_(weights["features." + name.split(".", 1)[1]])
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--backbones: expected torchvision's AlexNet in {alexnet}, got"
            f" {str(error).splitlines()[0]}; fetch the file again"
        ) from error
    return net.requires_grad_(False)


def _load_inception(path: Path) -> Any:
    import torch

    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--backbones: expected a TorchScript network in {path}, got"
            f" {str(error).splitlines()[0]}; fetch the file again"
        ) from error


def _tensor(image: Array) -> Any:
    """(1, 3, H, W) float32 in [-1, 1]."""
    import torch

    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None] / 127.5 - 1
