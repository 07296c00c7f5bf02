"""Weights files: what is written comes back, and what is not ours is refused in words."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hybridanim.errors import InputError
from hybridanim.networks import build, size_limits, weights
from hybridanim.networks.sizes import (
    FACE_DETECTOR,
    OBJECT,
    DetectorSizes,
    FastSizes,
    read_detector_sizes,
    read_sizes,
)

TINY = FastSizes((8, 8, 8, 8), 4, deep=8, fine=4, half=8, blocks=1, encoder_blocks=1, picture_px=64)
DETECTOR = DetectorSizes(3, (8, 8), 32)


def networks() -> tuple[build.Animator, torch.nn.Module]:
    torch.manual_seed(2)
    return build.fast(TINY, torch.tensor([0.1, 0.2, 0.3])), build.detector(DETECTOR)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    animator, detector = networks()
    path = tmp_path_factory.mktemp("weights") / "object.safetensors"
    weights.write_weights(
        path,
        animator=animator,
        detector=detector,
        detector_sizes=DETECTOR,
        kind="object",
        window="frame",
    )
    return path


def test_both_networks_come_back(both: Path) -> None:
    found = weights.read_weights(both)
    assert (found.kind, found.window, found.sizes) == ("object", "frame", TINY)
    assert found.detector_sizes == DETECTOR and not found.detector.training
    assert found.reach == pytest.approx([0.1, 0.2, 0.3])
    for net, kept in zip((found.animator, found.detector), networks(), strict=True):
        for name, value in kept.state_dict().items():
            torch.testing.assert_close(net.state_dict()[name], value, atol=1e-3, rtol=1e-3)


def test_one_network_alone(tmp_path: Path) -> None:
    _, detector = networks()
    path = tmp_path / "detector.safetensors"
    digest = weights.write_weights(path, detector=detector, detector_sizes=DETECTOR)
    found = weights.read_weights(path)
    assert found.animator is None and found.sizes is None and found.reach is None
    assert (found.kind, found.window, found.sha256) == ("face", "head", digest)
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(InputError, match="got neither"):
        weights.write_weights(path)


def test_the_switches_are_kept(tmp_path: Path) -> None:
    sizes = FastSizes(**{**TINY.__dict__, "jacobians": False, "occlusion": False, "blend": False})
    path = tmp_path / "ablated.safetensors"
    weights.write_weights(path, animator=build.fast(sizes, torch.ones(3)))
    found = weights.read_weights(path)
    assert found.sizes == sizes and found.animator.sizes == sizes


def test_the_renderer_s_own_format_is_read() -> None:
    found = weights.read_weights(weights.RENDERER.path)
    assert found.detector is None and found.kind == "face"
    assert found.sizes == FastSizes(openings=True, optical=True)
    kept = weights.read_animator().state_dict()
    for name, value in found.animator.state_dict().items():
        assert torch.equal(value, kept[name])


def foreign(path: Path, both: Path, what: str) -> None:
    tensors = {"detector.x": torch.zeros(1)}
    table = {"format": weights.FORMAT, "kind": "object", "window": "frame"}
    if what == "cut":
        path.write_bytes(both.read_bytes()[:2000])
    elif what == "text":
        path.write_text("not weights at all")
    elif what == "no format":
        save_file(tensors, path)
    elif what == "later format":
        save_file(tensors, path, {**table, "format": "weights-9"})
    elif what == "no network":
        save_file(tensors, path, table)
    elif what == "other sizes":
        save_file(tensors, path, {**table, "detector": json.dumps({"depth": 3})})
    elif what == "other tensors":
        save_file(tensors, path, {**table, "detector": "{}"})


@pytest.mark.parametrize(
    "what",
    [
        "missing",
        "cut",
        "text",
        "no format",
        "later format",
        "no network",
        "other sizes",
        "other tensors",
    ],
)
def test_other_files_are_refused(what: str, both: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    foreign(path, both, what)
    with pytest.raises(InputError, match=r"(?s)weights: expected .*x\.safetensors.*; \w+"):
        weights.read_weights(path)


def test_the_header_needs_no_torch(both: Path) -> None:
    code = (
        "import sys; from hybridanim.networks import weights;"
        f"assert weights.read_header({str(both)!r}).detector['count'] == 3;"
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def table(animator: dict | None = None, detector: dict | None = None) -> dict[str, str]:
    """A header of both networks whose sizes are changed."""
    own = dataclasses.asdict(TINY) | (animator or {}), dataclasses.asdict(DETECTOR)
    return {
        "format": weights.FORMAT,
        "kind": "object",
        "window": "frame",
        "sizes": json.dumps(own[0]),
        "detector": json.dumps(own[1] | (detector or {})),
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["animator.generator.last.weight", "detector.heat.bias"])
def test_values_that_are_not_finite_are_refused(
    name: str, value: float, both: Path, tmp_path: Path
) -> None:
    tensors = load_file(both)
    tensors[name].flatten()[-1] = value
    save_file(tensors, tmp_path / "x.safetensors", table())
    with pytest.raises(InputError, match=rf"expected finite .*x\.safetensors.* tensor {name};"):
        weights.read_weights(tmp_path / "x.safetensors")


RANGES = [  # float32 of exp(89) is infinite, and 1 / exp(-200)^2 too
    ("animator.motion.log_reach", 89.0),
    ("animator.motion.log_reach", -200.0),
    ("animator.motion.log_reach", 7.1),
    ("animator.motion.loud", 3e38),
    ("animator.motion.stem.norm.running_var", -0.5),
    ("detector.stem.norm.running_var", -1e-3),
]


@pytest.mark.parametrize(("name", "value"), RANGES)
def test_values_out_of_their_range_are_refused(
    name: str, value: float, both: Path, tmp_path: Path
) -> None:
    tensors = load_file(both)
    tensors[name].flatten()[-1] = value
    save_file(tensors, tmp_path / "x.safetensors", table())
    said = rf"expected values from .* in the tensor {name} of .*x\.safetensors, got"
    with pytest.raises(InputError, match=said):
        weights.read_weights(tmp_path / "x.safetensors")


def test_the_widest_reach_is_finite() -> None:
    for value in size_limits.NUMBERS["log_reach"]:
        sigma = torch.tensor(value).exp()
        assert torch.isfinite(sigma) and torch.isfinite(0.5 / sigma.square())


def test_whole_numbers_in_place_of_weights_are_refused(both: Path, tmp_path: Path) -> None:
    tensors = load_file(both)
    tensors["detector.heat.bias"] = tensors["detector.heat.bias"].long()
    save_file(tensors, tmp_path / "x.safetensors", table())
    with pytest.raises(InputError, match=r"weights: expected .*detector.heat.bias of int64"):
        weights.read_weights(tmp_path / "x.safetensors")


ABSURD = [
    ({"deep": 10**9}, {}),
    ({"deep": True}, {}),
    ({"deep": -8}, {}),
    ({"deep": 8.5}, {}),
    ({"deep": "8"}, {}),
    ({"blocks": 10**12}, {}),
    ({"motion_widths": [8] * 1000}, {}),
    ({"motion_widths": [8]}, {}),
    ({"motion_widths": 8}, {}),
    ({"motion_widths": [10**8] * 4}, {}),
    ({"picture_px": 2**20}, {}),
    ({"picture_px": 65}, {}),  # the network halves it five times
    ({"openings": 1}, {}),
    ({"openings": True}, {}),  # a face's, with keypoints of another object
    ({"depth": 3}, {}),
    ({}, {"count": 10**9}),
    ({}, {"size": 10**6}),
    ({}, {"size": 33}),
    ({}, {"pool": 0}),
    ({}, {"pool": 3}),
    ({}, {"seen": 10**9}),
    ({}, {"widths": [8, 10**9]}),
    ({}, {"widths": []}),
]


@pytest.mark.parametrize(("animator", "detector"), ABSURD)
def test_absurd_sizes_are_refused(
    animator: dict, detector: dict, both: Path, tmp_path: Path
) -> None:
    save_file(load_file(both), tmp_path / "x.safetensors", table(animator, detector))
    with pytest.raises(InputError, match=r"weights: expected .*x\.safetensors.*; \w+"):
        weights.read_weights(tmp_path / "x.safetensors")


@pytest.mark.parametrize("sizes", ["[]", "3", "NaN", "[" * 100000, '{"count": {"a": 1}}', "{}"])
def test_sizes_that_are_none_are_refused(sizes: str, both: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(load_file(both), path, table() | {"detector": sizes})
    with pytest.raises(InputError, match=r"weights: expected .*x\.safetensors"):
        weights.read_header(path)


def test_every_size_has_a_limit() -> None:
    for sizes in (FastSizes(), OBJECT, TINY):
        size_limits.check_animator(dataclasses.asdict(sizes))
    for sizes in (DetectorSizes(), FACE_DETECTOR, DETECTOR):
        size_limits.check_detector(dataclasses.asdict(sizes))
    with pytest.raises(ValueError, match="deep 100000, possible are 1 to 1024"):
        read_sizes({"deep": 100000})
    with pytest.raises(ValueError, match="count 0"):
        read_detector_sizes({"count": 0})


def test_sizes_that_do_not_fit_the_tensors_take_no_memory(both: Path, tmp_path: Path) -> None:
    """Each size is possible; together they are a network of two gigabytes."""
    large = {"motion_widths": [1024] * 8, "deep": 1024, "blocks": 64, "picture_px": 512}
    save_file(load_file(both), tmp_path / "x.safetensors", table(large))
    code = (
        "import resource; from hybridanim.errors import InputError;"
        "from hybridanim.networks import weights;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        f"weights.read_weights({str(both)!r}); before = peak()\n"
        f"try: weights.read_weights({str(tmp_path / 'x.safetensors')!r})\n"
        "except InputError as error: print(peak() - before, error)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    grown, said = done.stdout.split(" ", 1)
    assert int(grown) < 100_000, done.stdout  # kilobytes
    assert "of shape" in said


def test_a_file_that_is_too_large_is_not_read(both: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(both.read_bytes())
    with path.open("r+b") as file:
        file.truncate(2 * size_limits.MOST_BYTES)  # without using the disk
    with pytest.raises(InputError, match=r"at most 1024 MB, got .* with 2048 MB"):
        weights.read_weights(path)
