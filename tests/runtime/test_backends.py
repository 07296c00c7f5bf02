"""Torch and OpenVINO say the same; compiled networks are kept, found again, and made anew."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybridanim import quiet
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks.sizes import FastSizes
from hybridanim.networks.weights import write_weights
from hybridanim.runtime import cache, networks
from hybridanim.runtime.torch_backend import TorchAnimator, TorchDetector
from tests import made_networks as made

if importlib.util.find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)
openvino = quiet.openvino()


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "both.safetensors"
    write_weights(
        path,
        animator=made.animator(),
        detector=made.detector(),
        detector_sizes=made.TINY_DETECTOR,
    )
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return RuntimeConfig("openvino", "f32", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def animator(weights, config):
    return networks.animator(weights, config)


@pytest.fixture(scope="module")
def detector(weights, config):
    return networks.detector(weights, config)


def animated(nets, picture, seed=2):
    encoded = nets.encode(picture)
    moved = nets.move(encoded, made.keypoints(1), made.keypoints(seed))
    return moved, *nets.paint(moved.features)


def test_openvino_repeats_torch(animator):
    """Within 1e-4 of the flow, one level of paint: both compute in float32."""
    picture = made.source(64).image
    reference = TorchAnimator(made.animator(), bf16=False)
    moved, paint, alpha = animated(animator, picture)
    wanted, wanted_paint, wanted_alpha = animated(reference, picture)
    assert (
        animator.runtime_info.runtime == "openvino" and animator.side_px == reference.side_px == 64
    )
    for name in ("flow", "occlusion", "masks"):
        np.testing.assert_allclose(getattr(moved, name), getattr(wanted, name), atol=1e-3)
    assert np.abs(paint.astype(int) - wanted_paint).max() <= 1
    np.testing.assert_allclose(alpha, wanted_alpha, atol=1e-3)
    assert np.ptp(paint) > 10 and np.ptp(alpha) > 0.01  # there was something to compare


def test_results_outlive_the_next_frame(animator):
    picture = made.source(64).image
    first = animated(animator, picture)
    kept = [first[0].flow.copy(), first[1].copy(), first[2].copy()]
    animated(animator, picture, seed=5)
    for now, before in zip((first[0].flow, *first[1:]), kept, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_fewer_bits_stay_near(weights, tmp_path, precision):
    """Far nearer than any two motions are to each other; the check has looked at pictures."""
    found = networks.animator(weights, RuntimeConfig("openvino", precision, tmp_path))
    picture, exact = made.source(64).image, TorchAnimator(made.animator(), bf16=False)
    moved, paint, _ = animated(found, picture)
    wanted, wanted_paint, _ = animated(exact, picture)
    other, *_ = animated(exact, picture, seed=5)
    assert found.runtime_info.precision == precision
    off = np.abs(moved.flow - wanted.flow).mean()
    assert 0 < off < 0.05 * np.abs(other.flow - wanted.flow).mean()
    assert np.abs(paint.astype(int) - wanted_paint).mean() < 2


def test_eight_bits_keep_a_convolution():
    """Against numpy: signed and unsigned inputs, channels of unlike size, none of it clipped."""
    from hybridanim.runtime import int8

    opset13 = openvino.opset13
    rng = np.random.default_rng(0)
    size = np.array([0.01, 1, 30], np.float32)[None, :, None, None]
    kernel = (rng.standard_normal((4, 3, 3, 3)) / size[0]).astype(np.float32)
    for lowest in (0.0, -1.0):
        value = (rng.uniform(lowest, 1, (1, 3, 12, 12)) * size).astype(np.float32)
        given = opset13.parameter(list(value.shape), np.float32, "given")
        given.output(0).get_tensor().set_names({"given"})
        node = opset13.convolution(given, opset13.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
        node.output(0).get_tensor().set_names({"got"})
        model, core = openvino.Model([node], [given], "one"), openvino.Core()
        watch = int8.Watch(core, model)
        wanted = watch({"given": value})["got"]
        (found,) = watch.ranges.values()
        np.testing.assert_allclose(found.high, value.max((0, 2, 3)))
        eight = core.compile_model(int8.quantised(model, watch.ranges), "CPU")
        got = eight([value])[0]
        assert 0 < np.abs(got - wanted).max() < 0.03 * np.abs(wanted).max()
        nothing = eight([0 * value])[0]
        np.testing.assert_allclose(nothing, 0, atol=1e-4 * np.abs(wanted).max())


def test_detector_repeats_torch(detector):
    picture = made.source(32).image
    batch = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255
    wanted = TorchDetector(made.detector(), bf16=False)(batch)
    for found, value in zip(detector._network(batch), wanted, strict=True):
        np.testing.assert_allclose(found, value, atol=2e-3)
    assert (detector.count, detector.size, detector.window) == (5, 32, "head")


def test_a_second_load_comes_from_the_cache(weights, config, animator):
    again = networks.animator(weights, config)
    assert not animator.runtime_info.is_from_cache and again.runtime_info.is_from_cache
    picture = made.source(64).image
    np.testing.assert_array_equal(animated(again, picture)[1], animated(animator, picture)[1])


def test_a_damaged_cache_is_made_anew(weights, config, detector):
    (file,) = config.cache.glob("detector-*")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert not networks.detector(weights, config).runtime_info.is_from_cache
    assert networks.detector(weights, config).runtime_info.is_from_cache
    swapped = cache.read(file)
    cache.write(file, dict.fromkeys(swapped, b"no graph"))  # whole, but of no use
    assert not networks.detector(weights, config).runtime_info.is_from_cache


def test_without_a_place_for_the_cache_it_runs(weights, tmp_path):
    (tmp_path / "file").write_text("in the way")
    found = networks.detector(weights, RuntimeConfig("openvino", "f32", tmp_path / "file"))
    assert str(found.runtime_info) == "openvino, f32"


def test_a_cache_that_is_full_of_old_files_loses_the_oldest(tmp_path):
    for number in range(cache._KEPT + 3):
        cache.write(tmp_path / f"{number:02}.networks", {"a": bytes([number])})
    assert cache.read(tmp_path / "00.networks") is None
    assert cache.read(tmp_path / "34.networks") == {"a": bytes([34])}
    assert len(list(tmp_path.iterdir())) == cache._KEPT


def test_what_the_cache_depends_on(weights, config, animator, tmp_path):
    other = tmp_path / "other.safetensors"
    write_weights(other, detector=made.detector(seed=4), detector_sizes=made.TINY_DETECTOR)
    core = openvino.Core()
    from hybridanim.runtime.openvino_backend import cache_file

    files = {
        cache_file(core, "detector", path, precision, config)
        for path in (weights, other)
        for precision in ("f32", "int8", "bf16")
    }
    assert len(files) == 6


@pytest.mark.parametrize("runtime", ["auto", "openvino"])
def test_without_openvino_torch_runs_or_the_error_says_so(weights, monkeypatch, runtime):
    monkeypatch.setitem(sys.modules, "openvino", None)
    if runtime == "openvino":
        with pytest.raises(InputError, match="pip install openvino"):
            networks.animator(weights, RuntimeConfig(runtime))
        return
    about = networks.animator(weights, RuntimeConfig()).runtime_info
    assert about.runtime == "torch" and "pip install openvino" in about.notes[0]


def test_a_model_that_says_something_else_is_not_used(weights, monkeypatch, tmp_path):
    """Torch's results are known of shipped weights; here they are another network's."""
    from hybridanim import extras
    from hybridanim.runtime import graphs, prepared

    other = graphs.results(graphs.animator_graphs(made.animator(seed=9)))
    found = prepared.Prepared({}, other)
    monkeypatch.setattr(prepared, "of_weights", lambda sha256: found)
    config = RuntimeConfig(precision="f32", cache=tmp_path)
    about = networks.animator(weights, config).runtime_info
    assert about.runtime == "torch"
    assert "off by" in about.notes[0] and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(extras, "has_torch", lambda: False)
    with pytest.raises(InputError, match=r"got: .* off by .* pip install \"hybridanim\[train\]"):
        networks.animator(weights, config)


def test_a_precision_that_fails_is_tried_once(weights, monkeypatch, tmp_path):
    """Not at each start: an export and its check take seconds."""
    from hybridanim.runtime import openvino_backend, verify

    monkeypatch.setattr(openvino_backend, "precisions", lambda *_: ["int8", "f32"])
    original, tried = verify.failure, []

    def failure(wanted, found, precision):
        tried.append(precision)
        return "it is off by much" if precision == "int8" else original(wanted, found, precision)

    monkeypatch.setattr(verify, "failure", failure)
    config = RuntimeConfig(cache=tmp_path)
    for number in range(3):
        about = networks.animator(weights, config).runtime_info
        assert (about.precision, about.is_from_cache) == ("f32", number > 0)
        assert "in int8 is not used: it is off by much" in about.notes[0]
        assert ("earlier start" in about.notes[0]) == (number > 0)
    assert tried == ["int8", "f32"]
    monkeypatch.setattr(openvino_backend, "_GRAPH_CODE", openvino_backend._GRAPH_CODE[:-1])
    networks.animator(weights, config)  # other code, other weights or another version: once more
    assert tried == ["int8", "f32"] * 2


def test_weights_without_the_network_are_refused(tmp_path):
    path = tmp_path / "detector.safetensors"
    write_weights(path, detector=made.detector(), detector_sizes=made.TINY_DETECTOR)
    with pytest.raises(InputError, match="an animator"):
        networks.animator(path)


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_weights_of_ones_own_need_no_torch(weights, tmp_path, precision):
    """Neither at the first start nor with a warm cache."""
    code = (
        "import sys; from pathlib import Path; from hybridanim.runtime import networks;"
        "from hybridanim.config import RuntimeConfig;"
        f"config = RuntimeConfig('openvino', {precision!r}, Path({str(tmp_path)!r}));"
        f"found = [networks.animator({str(weights)!r}, config) for _ in range(2)];"
        f"networks.detector({str(weights)!r}, config);"
        "assert [one.runtime_info.is_from_cache for one in found] == [False, True];"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "int8", "bf16"])
@pytest.mark.parametrize("part", [networks.animator, networks.detector])
def test_the_shipped_networks_pass_the_check(part, precision, tmp_path):
    assert (
        part(None, RuntimeConfig("openvino", precision, tmp_path)).runtime_info.precision
        == precision
    )


@pytest.mark.slow
def test_a_network_with_openings_is_exported(tmp_path):
    path = tmp_path / "fast.safetensors"
    write_weights(path, animator=made.animator(FastSizes(openings=True)))
    found = networks.animator(path, RuntimeConfig("openvino", "f32", tmp_path))
    assert found.runtime_info.precision == "f32"
