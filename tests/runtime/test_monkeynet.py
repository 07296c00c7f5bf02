"""A Monkey-Net's models without torch, and its exports, compute what its torch networks do."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from apps.export import ExportJob, export
from hybridanim.config import RuntimeConfig
from hybridanim.networks import weights
from hybridanim.runtime import graphs, monkeynet, networks, onnx, sample_inputs
from tests import made_networks as made

from .test_models import differences

if importlib.util.find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)

SWITCHES = ["flow", "coarse", "residual", "source"]


def parts_of(net):
    state = {name: value.numpy() for name, value in net.state_dict().items()}
    seen = {n.removeprefix("detector."): v for n, v in state.items() if n.startswith("detector.")}
    return state, seen


@pytest.mark.parametrize("off", [None, *SWITCHES])
def test_the_animator_of_every_switch(off):
    sizes = made.TINY_MONKEYNET if off is None else replace(made.TINY_MONKEYNET, **{off: False})
    net = made.monkeynet(sizes)
    built = monkeynet.animator(sizes, parts_of(net)[0])
    samples = sample_inputs.checks(sizes.picture_px, sizes.count, 0.1)
    most, reach = differences(graphs.monkeynet_graphs(net), built, samples)
    for name, off_by in most.items():
        assert off_by < 1e-4 * max(1, reach[name]), (name, off_by)
    assert reach["paint"] > 0.01 and (reach["flow"] > 1)


@pytest.mark.parametrize("covariances", [True, False])
def test_the_detector(covariances):
    sizes = replace(made.TINY_MONKEYNET, covariances=covariances)
    net = made.monkeynet(sizes)
    built = monkeynet.detector(sizes, parts_of(net)[1])
    samples = sample_inputs.checks(sizes.detector_px, 1)
    most, reach = differences(graphs.detector_graphs(net.detector), built, samples)
    assert max(most.values()) < 1e-4 and reach["xy"] > 0.01


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_weights_file_runs_on_both_runtimes(tmp_path, runtime):
    """numpy in and out; both agree with the network in float32."""
    net, file = made.monkeynet(), tmp_path / "m.safetensors"
    weights.write_monkeynet(file, net)
    net = weights.read_weights(file).monkeynet  # in half precision
    assert net is not None
    config = RuntimeConfig(runtime=runtime, precision="f32", cache=tmp_path / "cache")
    animator, detector = networks.animator(file, config), networks.detector(file, config)
    assert animator.side_px == 64 and not animator.uses_optical_flow
    sample = sample_inputs.checks(64, net.sizes.count, 0.1)[1]
    encoded = animator.encode(sample.picture)
    moved = animator.move(encoded, sample.source, sample.target)
    paint, alpha = animator.paint(moved.features)
    points = [made.as_points(x) for x in (sample.source, sample.target)]
    with torch.inference_mode():
        wanted, motion = net(torch.from_numpy(sample_inputs.batch(sample.picture)), *points)
    assert (alpha == 1).all() and paint.dtype == np.uint8 and paint.shape == (64, 64, 3)
    assert moved.flow == pytest.approx(motion.flow[0].numpy(), abs=1e-4)
    assert paint == pytest.approx(255 * wanted.picture[0].permute(1, 2, 0).numpy(), abs=1.1)
    assert (detector.count, detector.size, detector.window) == (3, 32, "frame")


def test_the_export_repeats_the_networks(tmp_path):
    pytest.importorskip("onnx", reason="writing ONNX needs onnx")
    weights.write_monkeynet(tmp_path / "m.safetensors", made.monkeynet())
    written = export(ExportJob(out=tmp_path / "onnx", weights=tmp_path / "m.safetensors"))
    names = [path.name for path in written]
    assert names == ["encode.onnx", "move.onnx", "paint.onnx", "detect.onnx", "README.txt"]
    text = written[-1].read_text()
    assert "skip connection" in text and "roots of their covariances" in text
    net = weights.read_weights(tmp_path / "m.safetensors").monkeynet
    assert net is not None
    assert onnx.failure(graphs.monkeynet_graphs(net), tmp_path / "onnx") == ""
