"""The painters: OpenVINO's graphs equal torch's networks; files are checked."""

import numpy as np
import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.face.paint_windows import CHANNELS, KINDS, QUANTITIES
from hybridanim.networks import painters_file
from hybridanim.runtime import painters
from hybridanim.runtime.painters import WEIGHTS
from tests.changed_weights import changed


def inputs(name):
    kind, batch = KINDS[name], 2 if name == "eye" else 1
    rng = np.random.default_rng(1)
    windows = rng.standard_normal((batch, CHANNELS, kind.height_px, kind.width_px))
    return windows.astype(np.float32), rng.standard_normal((batch, QUANTITIES)).astype(np.float32)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_openvino_equals_torch(name):
    windows, quantities = inputs(name)
    colour, alpha = painters.load()[name](windows, quantities)
    net = painters_file.read(WEIGHTS)[name]
    with torch.inference_mode():
        wanted = net(torch.from_numpy(windows), torch.from_numpy(quantities))
    np.testing.assert_allclose(colour, wanted[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(alpha, wanted[1].numpy(), atol=1e-4)
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_torch_takes_over_where_openvino_is_missing(monkeypatch):
    monkeypatch.setattr(painters.quiet, "openvino", _missing)
    painters.load.cache_clear()
    windows, quantities = inputs("eye")
    colour, alpha = painters.load()["eye"](windows, quantities)
    painters.load.cache_clear()
    assert colour.shape == (2, 3, 48, 64)
    assert alpha.shape == (2, 1, 48, 64)


def _missing(module="openvino"):
    raise ImportError(module)


def _nan(tensors, table, sizes):
    tensors["eye.leave.bias"] = tensors["eye.leave.bias"] * np.float16("nan")


def _huge(tensors, table, sizes):
    sizes["mouth"]["channels"] = [1 << 20, 8, 8]


def _fewer(tensors, table, sizes):
    sizes["mouth"]["channels"] = [8, 8]


def _other_shape(tensors, table, sizes):
    tensors["mouth.leave.bias"] = np.zeros(3, np.float16)


def _other_format(tensors, table, sizes):
    table["format"] = "painters-99"


def _other_kind(tensors, table, sizes):
    sizes["nose"] = sizes["mouth"]


def _negative(tensors, table, sizes):
    tensors["eye.up1.1.running_var"] = -tensors["eye.up1.1.running_var"] - np.float16(1)


CHANGES = [_nan, _huge, _fewer, _other_shape, _other_format, _other_kind, _negative]


@pytest.mark.parametrize("change", CHANGES)
def test_unfit_files_are_refused(tmp_path, change):
    file = changed(WEIGHTS, tmp_path, change)
    for read in (painters_file.read_arrays, painters_file.read, painters.load):
        with pytest.raises(InputError, match="painters"):
            read(file)


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_damaged_files_are_refused(tmp_path, content):
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match="painters"):
        painters_file.read_arrays(file)


def test_written_networks_are_read_again(tmp_path):
    networks = painters_file.read(WEIGHTS)
    painters_file.write(networks, tmp_path / "again.safetensors")
    again = painters_file.read(tmp_path / "again.safetensors")
    assert again.keys() == networks.keys() == KINDS.keys()
    for name, net in networks.items():
        for key, value in net.state_dict().items():
            assert torch.equal(value, again[name].state_dict()[key])
