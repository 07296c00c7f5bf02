"""Torch as the fallback: what it gives is finite, or the weights are refused."""

import numpy as np
import pytest
import torch

from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks.weights import write_weights
from hybridanim.runtime import networks, torch_backend
from tests import made_networks as made


def overflowing(path):
    """Weights of finite numbers whose sums are not."""
    animator, detector = made.animator(), made.detector()
    with torch.no_grad():
        animator.generator.enter.norm.bias.fill_(3e38)
        animator.generator.last.bias.fill_(3e38)
        detector.heat.bias.fill_(3e38)
    write_weights(path, animator=animator, detector=detector, detector_sizes=made.TINY_DETECTOR)
    return path


@pytest.mark.parametrize("runtime", ["auto", "torch"])
@pytest.mark.parametrize("part", [networks.animator, networks.detector])
def test_results_that_are_not_finite_are_refused(part, runtime, tmp_path):
    path = overflowing(tmp_path / "x.safetensors")
    config = RuntimeConfig(runtime, "f32", tmp_path / "cache")
    with pytest.raises(InputError, match=r"finite results in .*x\.safetensors, got inf or not"):
        part(path, config)


def test_a_precision_without_finite_results_gives_way(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    write_weights(path, animator=made.animator())
    monkeypatch.setattr(torch_backend, "has_bf16", lambda: True)
    original = torch_backend.TorchAnimator._painted

    def painted(self, features):
        found = original(self, features)
        return found._replace(alpha=found.alpha * np.nan) if self._bf16 else found

    monkeypatch.setattr(torch_backend.TorchAnimator, "_painted", painted)
    info = networks.animator(path, RuntimeConfig("torch")).runtime_info
    assert info.precision == "f32"
    assert info.notes == ("Torch's animator in bf16 is not used: inf or not-a-number in alpha",)


def test_sound_networks_are_used(tmp_path):
    path = tmp_path / "x.safetensors"
    write_weights(
        path,
        animator=made.animator(),
        detector=made.detector(),
        detector_sizes=made.TINY_DETECTOR,
    )
    config = RuntimeConfig("torch", "f32")
    assert networks.animator(path, config).runtime_info.notes == ()
    assert networks.detector(path, config).count == made.TINY_DETECTOR.count
