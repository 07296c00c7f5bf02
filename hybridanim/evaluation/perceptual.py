"""LPIPS and the features of FID, where their networks are on this machine; nothing is downloaded.

LPIPS (Zhang et al. 2018, AlexNet, version 0.1) needs torchvision's ``alexnet-owt-7be5be79.pth`` and
the calibration that the package ``lpips`` carries. FID (Heusel et al. 2017) needs
``inception-2015-12-05.pt``, the TorchScript form of the published Inception network. torch is
imported only when one is there.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim.errors import InputError
from hybridanim.types import Array

ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
INCEPTION_FILE = "inception-2015-12-05.pt"
# AlexNet's convolutions: number in torchvision's list -> stride, padding, whether pooled before
_ALEXNET = {
    0: (4, 2, False),
    3: (1, 2, True),
    6: (1, 1, True),
    8: (1, 1, False),
    10: (1, 1, False),
}
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # LPIPS's own, for [-1, 1]


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
    if _calibration() is None:
        alexnet = None
        lines.append(
            "LPIPS not measured: no package lpips; to measure it, pip install --no-deps lpips (only"
            " its weights of channels are read), and give the"
            f" folder of torchvision's {ALEXNET_FILE} by --backbones"
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


def _calibration() -> Path | None:
    """The weights of channels that the package lpips carries; it is not imported."""
    package = importlib.util.find_spec("lpips")
    places = (package.submodule_search_locations or []) if package else []
    return _first([Path(p) / "weights" / "v0.1" for p in places], "alex.pth")


def _load_lpips(alexnet: Path) -> Any:
    """Two (1, 3, H, W) tensors in [-1, 1] -> their distance."""
    import torch

    calibration = _calibration()
    assert calibration is not None  # else ``find`` gives no file
    try:
        both = [
            torch.load(f, map_location="cpu", weights_only=True) for f in (alexnet, calibration)
        ]
        convolutions = [
            (both[0][f"features.{at}.weight"], both[0][f"features.{at}.bias"]) for at in _ALEXNET
        ]
        channels = [both[1][f"lin{n}.model.1.weight"] for n in range(len(_ALEXNET))]
    except (OSError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            f"--backbones: expected torchvision's AlexNet in {alexnet}, got"
            f" {str(error).splitlines()[0]}; fetch the file again"
        ) from error

    def layers(picture: torch.Tensor) -> list[torch.Tensor]:
        """Each layer's features at unit length."""
        functional, found = torch.nn.functional, []
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
        x = (picture - mean) / deviation
        for (stride, padding, is_pooled), convolution in zip(
            _ALEXNET.values(), convolutions, strict=True
        ):
            x = functional.max_pool2d(x, 3, 2) if is_pooled else x
            x = functional.relu(functional.conv2d(x, *convolution, stride, padding))
            found.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        pairs = zip(layers(a), layers(b), channels, strict=True)
        return torch.stack([((u - v) ** 2 * c).sum(1).mean() for u, v, c in pairs]).sum()

    return distance


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
