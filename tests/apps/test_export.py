"""The export word: ONNX files that repeat the networks, a text about them, clear refusals."""

import importlib.util

import numpy as np
import pytest

from apps import export, main
from hybridanim import extras, quiet
from hybridanim.networks.weights import write_weights
from tests import made_networks as made

pytest.importorskip("onnx", reason="onnx is not installed")
if importlib.util.find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)
openvino = quiet.openvino()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "both.safetensors"
    write_weights(
        path,
        animator=made.animator(),
        detector=made.detector(),
        detector_sizes=made.TINY_DETECTOR,
        kind="object",
        window="frame",
    )
    return path


@pytest.fixture(scope="module")
def folder(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "new"
    assert main.main(["export", "--out", str(out), "--weights", str(weights)]) == 0
    return out


def test_files_and_text(folder, weights):
    names = {"encode.onnx", "move.onnx", "paint.onnx", "detect.onnx", "README.txt"}
    assert {path.name for path in folder.iterdir()} == names
    text = (folder / "README.txt").read_text()
    assert "target_jacobian  [1, 38, 2, 2]" in text and weights.name in text


def test_a_file_repeats_its_network(folder):
    """Read by OpenVINO alone, without this program's code."""
    import torch

    picture = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    found = openvino.Core().compile_model(folder / "detect.onnx", "CPU")({"picture": picture})
    with torch.no_grad():
        wanted = made.detector().detect(torch.from_numpy(picture))
    np.testing.assert_allclose(found["xy"], wanted.points.xy, atol=2e-2)  # may run in bfloat16
    np.testing.assert_allclose(found["spread"], wanted.spread, atol=2e-2)


def test_files_are_not_replaced_unasked(folder, weights, capsys):
    words = ["export", "--out", str(folder), "--weights", str(weights)]
    before = (folder / "move.onnx").stat().st_mtime_ns
    assert main.main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert (folder / "move.onnx").stat().st_mtime_ns == before
    assert main.main([*words, "--overwrite"]) == 0


def test_a_wrong_file_is_told(folder, weights, monkeypatch):
    from hybridanim.errors import InputError
    from hybridanim.runtime import onnx

    original, other = onnx.onnx_bytes, made.detector(seed=8)
    from hybridanim.runtime.graphs import detector_graphs

    def wrong(graph):
        return original(detector_graphs(other)[0] if graph.name == "detect" else graph)

    monkeypatch.setattr(onnx, "onnx_bytes", wrong)
    with pytest.raises(InputError, match="do not use"):
        export.export(export.ExportJob(folder, weights, overwrite=True))


@pytest.mark.parametrize("package", ["onnx", "openvino"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package, capsys):
    find = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else find(name))
    assert main.main(["export", "--out", str(tmp_path / "none")]) == 2
    assert f"the package {package}, found none; pip install" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
