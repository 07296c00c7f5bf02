"""What doctor says of the networks' runtime: which, why, where kept, what to do."""

import importlib.util
from types import SimpleNamespace

import pytest

from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.runtime import cache, info, networks
from hybridanim.runtime.base import RuntimeInfo


@pytest.fixture
def loaded(monkeypatch):
    """Networks that were loaded, without loading any."""
    about = RuntimeInfo("openvino", "int8", True)
    for name in ("animator", "detector"):
        monkeypatch.setattr(
            networks, name, lambda path, config: SimpleNamespace(runtime_info=about)
        )
    return monkeypatch


def test_the_runtime_and_the_cache_are_named(loaded, tmp_path):
    cache.write(tmp_path / "a.networks", {"graph": bytes(2_000_000)})
    text = "\n".join(info.report(RuntimeConfig(cache=tmp_path)))
    assert "Network renderer: openvino, int8, from the cache" in text
    assert f"Compiled networks: 1 in {tmp_path}, 2.0 MB" in text
    assert "Processor features" in text


def test_what_failed_is_said_with_what_to_do(loaded, tmp_path):
    def refuse(path, config):
        raise InputError("weights: expected a, got b; fetch it again")

    why = RuntimeInfo("torch", "f32", notes=("OpenVINO is not there, so torch runs",))
    loaded.setattr(networks, "animator", refuse)
    loaded.setattr(networks, "detector", lambda path, config: SimpleNamespace(runtime_info=why))
    loaded.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "file").write_text("")
    text = "\n".join(info.report(RuntimeConfig(cache=tmp_path / "file")))
    assert "fetch it again" in text and "so torch runs" in text
    assert "pip install" in text and "--cache" in text
