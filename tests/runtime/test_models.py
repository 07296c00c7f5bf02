"""OpenVINO's models, built from tensors without torch, compute what the torch networks do."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from hybridanim import files, quiet
from hybridanim.errors import InputError
from hybridanim.networks import build, constants
from hybridanim.networks.sizes import FACE_DETECTOR, OBJECT, DetectorSizes
from hybridanim.networks.weights import DETECTOR, RENDERER, Shipped, read_tensors, read_weights
from hybridanim.runtime import graphs, int8, models, prepared, sample_inputs
from hybridanim.runtime.int8 import Range
from tests import made_networks as made

if importlib.util.find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)

SWITCHES = [
    {},
    {"openings": True},
    {"optical": True},
    {"openings": True, "optical": True},
    {"jacobians": False},
    {"jacobians": False, "openings": True},
    {"occlusion": False},
    {"blend": False},
    {"blocks": 2, "encoder_blocks": 0, "motion_widths": (8, 12, 16)},
]


def tensors(net):
    return {name: value.numpy() for name, value in net.state_dict().items()}


def differences(parts, built, samples):
    """Largest difference of each output over the samples; both get the torch network's inputs."""
    core, exact = quiet.openvino().Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = {name: core.compile_model(model, "CPU", exact) for name, model in built.items()}
    assert compiled.keys() == {part.name for part in parts}
    most, reach = {}, {}
    for sample in samples:
        known = sample.inputs()
        for part in parts:
            inputs = {name: known[name] for name in part.inputs}
            found, wanted = compiled[part.name](inputs), part.run(inputs)
            for name, value in wanted.items():
                assert found[name].shape == value.shape and found[name].dtype == np.float32
                off = float(np.abs(found[name] - value).max())
                most[name] = max(most.get(name, 0.0), off)
                reach[name] = max(reach.get(name, 0.0), float(np.ptp(value)))
            known |= wanted
    return most, reach


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_the_animator_of_any_sizes(switches):
    sizes = replace(made.TINY, **switches)
    net = made.animator(sizes)
    built = models.animator(sizes, tensors(net))
    samples = sample_inputs.checks(sizes.picture_px, made.COUNT)
    most, reach = differences(graphs.animator_graphs(net), built, samples)
    # scattered keypoints give masks of openings with steep borders
    limits = {"features": 1e-3 if sizes.openings else 1e-5}
    assert all(off < limits.get(name, 1e-5) for name, off in most.items()), most
    ones = ({"occlusion"} if not sizes.occlusion else set()) | (
        {"alpha"} if not sizes.blend else set()
    )
    assert all((span > 1e-3) != (name in ones) for name, span in reach.items()), reach


def test_an_animator_of_objects():
    net = build.fast(OBJECT, torch.linspace(0.1, 0.3, 7)).eval()
    with torch.no_grad():
        net.motion.head.weight.normal_(0, 0.05)
    samples = sample_inputs.checks(OBJECT.picture_px, 7)
    most, _ = differences(
        graphs.animator_graphs(net), models.animator(OBJECT, tensors(net)), samples
    )
    assert max(most.values()) < 2e-5, most


@pytest.mark.parametrize(
    "sizes",
    [
        made.TINY_DETECTOR,
        replace(made.TINY_DETECTOR, pool=1),
        replace(made.TINY_DETECTOR, pool=4),
        replace(made.TINY_DETECTOR, seen=4),
        DetectorSizes(10, (8, 12), 64),
        FACE_DETECTOR,
    ],
    ids=str,
)
def test_the_detector_of_any_sizes(sizes):
    net = made.detector(sizes)
    samples = sample_inputs.checks(sizes.size, 1)
    most, reach = differences(
        graphs.detector_graphs(net), models.detector(sizes, tensors(net)), samples
    )
    assert max(most.values()) < 1e-5, most
    assert min(reach.values()) > 1e-3, reach


def test_jacobians_that_cannot_be_inverted():
    """Of the target: zero, and of a determinant that is nearly zero, on both sides of it."""
    net = made.animator()
    part = graphs.animator_graphs(net)[1]
    sample = sample_inputs.checks(made.TINY.picture_px, made.COUNT)[0]
    inputs = sample.inputs() | {"small": np.full_like(part.inputs["small"], 0.5)}
    flat = np.tile(np.eye(2, dtype=np.float32), (1, made.COUNT, 1, 1))
    for row, value in enumerate((0.0, 1e-6, -1e-6, constants.LEAST_DETERMINANT, 1.0)):
        flat[0, row, 0, 0] = value
    inputs = {name: (inputs | {"target_jacobian": flat})[name] for name in part.inputs}
    model = models.animator(made.TINY, tensors(net))["move"]
    found = quiet.openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got, wanted = found(inputs), part.run(inputs)
    assert np.isfinite(wanted["flow"]).all()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("part", ["animator", "detector"])
def test_the_shipped_networks(part):
    path = (RENDERER if part == "animator" else DETECTOR).path
    found, kept = read_weights(path), read_tensors(path)
    if part == "animator":
        parts, built = (
            graphs.animator_graphs(found.animator),
            models.animator(kept.sizes, kept.animator),
        )
    else:
        parts, built = (
            graphs.detector_graphs(found.detector),
            models.detector(kept.detector_sizes, kept.detector),
        )
    side = parts[0].inputs["picture"].shape[2]
    noise, photograph = sample_inputs.checks(side, made.COUNT if part == "animator" else 1)
    most, _ = differences(parts, built, [photograph])
    assert max(most.values()) < 1e-4, most
    most, _ = differences(parts, built, [noise])
    most.pop("features", None)  # masks of openings between scattered keypoints have steep borders
    assert max(most.values()) < 1e-4, most


def test_what_is_known_beforehand_is_torch_s():
    """The results that the check of the shipped networks compares with."""
    animator, detector = read_weights(RENDERER.path), read_weights(DETECTOR.path)
    for sha256, parts, limit in (
        (animator.sha256, graphs.animator_graphs(animator.animator), 0.02),
        (detector.sha256, graphs.detector_graphs(detector.detector), 1e-5),
    ):
        wanted = graphs.results(parts)
        kept = prepared.of_weights(sha256).results
        assert kept.keys() == wanted.keys() and len(kept) == 2
        for name, value in wanted.items():
            np.testing.assert_allclose(kept[name], value, atol=limit)


def test_ranges_are_known_of_every_convolution():
    kept = read_tensors(RENDERER.path)
    built = models.animator(kept.sizes, kept.animator)
    ranges = prepared.of_weights(kept.sha256).ranges
    assert ranges.keys() == {"move", "paint"}
    for graph, own in ranges.items():
        nodes = int8.convolutions(built[graph])
        inputs = {n.get_friendly_name(): n.input_value(0).get_shape()[1] for n in nodes}
        assert {name: len(one.low) for name, one in own.items()} == inputs
        assert all((one.low <= one.high).all() for one in own.values())


@pytest.mark.slow
def test_the_ranges_are_what_a_start_would_measure():
    from tools import prepare_networks

    for sha256, found in prepare_networks.found().items():
        kept = prepared.of_weights(sha256)
        for graph, own in found.ranges.items():
            for name, one in own.items():
                np.testing.assert_allclose(kept.ranges[graph][name].low, one.low, atol=1e-2)
                np.testing.assert_allclose(kept.ranges[graph][name].high, one.high, atol=1e-2)


def test_other_weights_are_not_known():
    assert prepared.of_weights("0" * 64) is None


def test_what_is_written_comes_back(tmp_path):
    one = Range(np.float32([-1, 0]), np.float32([2, 3]))
    given = {
        "ab": prepared.Prepared({"move": {"a.conv": one}}, {"noise": np.ones((2, 3, 3), "f4")})
    }
    prepared.write(given, tmp_path / "x.safetensors")
    found = prepared.read(tmp_path / "x.safetensors")["ab"]
    np.testing.assert_array_equal(found.ranges["move"]["a.conv"].high, one.high)
    np.testing.assert_array_equal(found.results["noise"], given["ab"].results["noise"])


@pytest.mark.parametrize("content", [None, b"none"])
def test_a_damaged_file_is_said(monkeypatch, tmp_path, content):
    path, sha256 = tmp_path / "prepared.safetensors", ""
    if content is not None:
        path.write_bytes(content)
        sha256 = files.sha256(path)
    monkeypatch.setattr(prepared, "FILE", Shipped(path, sha256))
    with pytest.raises(InputError, match=r"prepared networks: expected .*; reinstall"):
        prepared._read.__wrapped__()
