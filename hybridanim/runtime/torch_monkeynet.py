"""A Monkey-Net run by torch, with the interface of the animator (``base``). Imports torch."""

from __future__ import annotations

import torch

from hybridanim.networks.dense_motion import Motion
from hybridanim.networks.generator import Painted
from hybridanim.networks.monkeynet import EncodedSkips, MonkeyNet
from hybridanim.types import Array, LearnedFeatures

from .torch_backend import TorchAnimator, picture_tensor, tensors


class TorchMonkeyNet(TorchAnimator):
    """``base.AnimatorNetworks`` of a Monkey-Net by torch."""

    def __init__(
        self, net: MonkeyNet, *, bf16: bool | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        self._prepare(net, bf16, notes)
        self.side_px, self.uses_optical_flow = net.sizes.picture_px, False

    @property
    def _count(self) -> int:
        return self._net.sizes.count

    def encode(self, picture: Array) -> dict[str, Array]:
        """Encode a source; see ``base.AnimatorNetworks``."""
        with torch.inference_mode(), self._precision():
            found = self._net.encode(picture_tensor(picture))
        named = {f"skip{i}": skip for i, skip in enumerate(found.skips)}
        named |= {"picture": found.picture, "small": found.small}
        return {name: value.float().numpy() for name, value in named.items()}

    def _painted(self, features: LearnedFeatures) -> Painted:
        given = tensors(features.source)
        skips = [given[f"skip{i}"] for i in range(len(self._net.sizes.widths))]
        encoded = EncodedSkips(given["picture"], given["small"], skips)
        with torch.inference_mode(), self._precision():
            return self._net.paint(encoded, Motion(**tensors(features.motion)))
