"""Weights files: what is written comes back, and what is not ours is refused in words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hybridanim.errors import InputError
from hybridanim.networks import build, weights
from hybridanim.networks.build import DetectorSizes, FastSizes

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
