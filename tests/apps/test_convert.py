"""Checkpoints in the published form -> weights files that compute the same, and broken files."""

import importlib.util
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from apps.convert import ConvertJob, convert
from hybridanim import io
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks import first_order, first_order_file
from hybridanim.networks.first_order_file import PUBLISHED, FirstOrderSizes, shapes
from hybridanim.networks.weights import read_header, read_tensors
from hybridanim.runtime import networks
from hybridanim.runtime.first_order_torch import TorchParts
from hybridanim.types import Keypoints
from stages.pipeline import Pipeline
from tests import first_order_oracle as oracle
from tests import synthetic

SMALL = FirstOrderSizes(
    picture_px=128, count=4, jacobians=4, detector_base=8, detector_most=32, detector_depth=3,
    motion_base=8, motion_most=32, motion_depth=3, generator_base=8, generator_most=24, blocks=2,
)  # fmt: skip
LAYOUTS = {"one_map_each": SMALL, "mgif": replace(SMALL, jacobians=1)}
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
RUNTIMES = ["torch", *(["openvino"] if HAS_OPENVINO else [])]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def saved(folder, sizes=SMALL, *, zipped=True, seed=0, counters=True, **form):
    """A checkpoint of random weights, and the weights."""
    weights = oracle.state(shapes(sizes), seed, counters=counters)
    path = folder / "vox-cpk.pth.tar"
    found = oracle.checkpoint(weights, **form)
    torch.save(found, path, _use_new_zipfile_serialization=zipped)
    return path, weights


def converted(folder, sizes=SMALL, **form):
    path, weights = saved(folder, sizes, **form)
    job = ConvertJob(path, picture_px=sizes.picture_px, align_corners=sizes.align_corners)
    convert(job)
    return job.written, weights


def pictures(side=128):
    """Two pictures (1, 3, side, side) in [0, 1]: a photograph, and it shifted."""
    picture = synthetic.photograph(side)
    both = (picture, np.roll(picture, (5, -7), (0, 1)))
    return [torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() / 255 for p in both]


@pytest.mark.parametrize("sizes", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("align_corners", [True, False])
def test_every_layer_is_that_of_the_paper(tmp_path, sizes, align_corners):
    sizes = replace(sizes, align_corners=align_corners)
    path, weights = converted(tmp_path, sizes)
    header = read_header(path)
    parts = TorchParts(*first_order_file.read(path, header.sizes))
    assert parts.sizes == sizes
    layers = {}

    def watch(name):
        def hook(module, given, output):
            layers[name] = output

        return hook

    for part, net in (("generator", parts.generator), ("kp_detector", parts.detector)):
        for name, module in net.named_modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d):
                module.register_forward_hook(watch(f"{part}.{name}"))
    wanted = oracle.Oracle(weights, align_corners)
    source, driving = pictures()
    with torch.no_grad():
        points = [wanted.detect(p) for p in (driving, source)][::-1]
        theirs = wanted.generate(source, *points)
        ours = [parts.detector(p) for p in (driving, source)][::-1]
        found = parts.generator(source, *ours)
    compared = [name for name in wanted.trace if name in layers]
    assert len(compared) == len(layers) > 40
    for name in compared:
        torch.testing.assert_close(layers[name], wanted.trace[name], rtol=1e-5, atol=1e-5)
    for (xy, jacobian), mine in zip(points, ours, strict=True):
        torch.testing.assert_close(mine.xy[0], xy, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(mine.jacobian[0], jacobian, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.flow[0], wanted.trace["flow"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.picture, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("align_corners", [True, False])
def test_each_runtime_gives_the_oracles_picture(tmp_path, runtime, align_corners):
    sizes = replace(SMALL, align_corners=align_corners)
    path, weights = converted(tmp_path, sizes)
    config = RuntimeConfig(runtime=runtime, precision="f32", cache=tmp_path / "cache", threads=1)
    wanted, (source, driving) = oracle.Oracle(weights, align_corners), pictures()
    with torch.no_grad():
        points = wanted.detect(source), wanted.detect(driving)
        picture = wanted.generate(source, *points)[0].permute(1, 2, 0).numpy()
    detector, animator = networks.detector(path, config), networks.animator(path, config)
    assert animator.runtime_info.runtime == runtime and detector.count == 4
    own = []
    for given, (xy, jacobian) in zip((source, driving), points, strict=True):
        found_xy, found_jacobian, spread = detector._network(given.numpy())
        np.testing.assert_allclose(found_xy[0], xy.numpy() * 31 / 32, atol=2e-5)
        np.testing.assert_allclose(found_jacobian[0], jacobian.numpy(), atol=2e-5)
        assert (spread > 0).all() and (spread < 1).all()
        own.append(Keypoints(found_xy[0], found_jacobian[0], np.ones(4, np.float32)))
    image = (255 * source[0].permute(1, 2, 0)).round().to(torch.uint8).numpy()
    moved = animator.move(animator.encode(image), *own)
    factor = 31 / 32 if align_corners else 1
    np.testing.assert_allclose(moved.flow, wanted.trace["flow"] * factor, atol=1e-4)
    np.testing.assert_allclose(moved.occlusion, wanted.trace["shown"][0, 0], atol=1e-4)
    np.testing.assert_allclose(moved.masks, wanted.trace["masks"], atol=1e-4)
    paint, alpha = animator.paint(moved.features)
    assert np.abs(paint - 255 * picture).max() <= 0.6 and (alpha == 1).all()


@pytest.mark.parametrize(
    "form",
    [
        {"wrapped": True},
        {"trained": False},
        {"zipped": False},
        {"counters": False},
        {"zipped": False, "wrapped": True, "trained": False},
    ],
    ids=str,
)
def test_every_form_of_the_files_gives_the_same_weights(tmp_path, form):
    path, weights = converted(tmp_path, **form)
    found = load_file(path)
    assert found.keys() == shapes(SMALL).keys()
    assert all((found[name] == weights[name].numpy()).all() for name in found)


def test_the_header_has_a_version_and_all_sizes(tmp_path):
    path, _ = converted(tmp_path, replace(SMALL, align_corners=False))
    with safe_open(path, "numpy") as opened:
        table = opened.metadata()
    assert table["format"] == "first-order-1"
    sizes = json.loads(table["sizes"])
    assert sizes["align_corners"] is False and sizes["count"] == 4 and sizes["picture_px"] == 128
    header = read_header(path)
    assert (header.kind, header.window, header.model) == ("object", "frame", "first-order")
    with pytest.raises(InputError, match="reference"):
        read_tensors(path)


def test_shapes_are_those_of_the_published_modules():
    """All published settings: ten Jacobian maps, or one in that of moving gifs."""
    for sizes in (PUBLISHED, replace(PUBLISHED, jacobians=1)):
        with torch.device("meta"):
            nets = {
                "generator": first_order.Generator(sizes),
                "kp_detector": first_order.KeypointDetector(sizes),
            }
        theirs = {
            f"{part}.{name}": tuple(value.shape)
            for part, net in nets.items()
            for name, value in net.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        assert shapes(sizes) == theirs
        found = first_order_file.sizes_of(theirs)
        assert shapes(found) == theirs
        assert replace(found, generator_most=512) == sizes  # three levels do not reach it


class Runs:
    """Unpickling it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_of_a_file_is_run(tmp_path, zipped):
    path, weights = saved(tmp_path)
    found = oracle.checkpoint(weights) | {"epoch": Runs(tmp_path / "ran")}
    torch.save(found, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="would run code"):
        convert(ConvertJob(path))
    assert not (tmp_path / "ran").exists() and not list(tmp_path.glob("*.safetensors"))


BROKEN = {
    "empty": (b"", "an empty file"),
    "page": (b"\n<!DOCTYPE html><html><head><title>Quota exceeded", "a web page"),
    "page_of_old": (b"<HTML><body>", "a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
    "text": (b"hello, there", "no tar archive"),
    "tar": (b"checkpoint/" + bytes(600), "no tar archive"),
    "pickle": (b"\x80\x02}q\x00.", "cut off or damaged|with nothing"),
}


@pytest.mark.parametrize(("data", "said"), BROKEN.values(), ids=BROKEN)
def test_files_that_are_no_checkpoint(tmp_path, data, said):
    path = tmp_path / "vox-cpk.pth.tar"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said):
        convert(ConvertJob(path))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.97])
def test_files_that_are_cut_off(tmp_path, zipped, share):
    path, _ = saved(tmp_path, zipped=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: max(3, int(share * len(data)))])
    with pytest.raises(InputError, match=r"cut off or damaged|no tar archive"):
        convert(ConvertJob(path))


def test_a_zip_of_something_else(tmp_path):
    path = tmp_path / "a.pth.tar"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "text")
    with pytest.raises(InputError, match="cut off or damaged"):
        convert(ConvertJob(path))


def without(weights, name):
    return {k: v for k, v in weights.items() if k != name}


CHANGES = {
    "missing": lambda w: without(w, "generator.final.bias"),
    "missing_keypoints": lambda w: without(w, "kp_detector.kp.weight"),
    "more": lambda w: w | {"generator.more.weight": torch.zeros(3)},
    "more_keypoints": lambda w: w | {"kp_detector.kp.bias": torch.zeros(5)},
    "another_shape": lambda w: w | {"generator.final.weight": torch.zeros(3, 8, 5, 5)},
    "not_finite": lambda w: w | {"generator.final.bias": torch.tensor([0, 1, float("nan")])},
    "variance": lambda w: w | {"generator.first.norm.running_var": -torch.ones(8)},
    "whole_numbers": lambda w: w | {"generator.final.bias": torch.zeros(3, dtype=torch.int64)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_names_shapes_and_values_are_checked(tmp_path, change):
    path, weights = saved(tmp_path)
    torch.save(oracle.checkpoint(change(weights)), path)
    with pytest.raises(InputError, match="expected a checkpoint of the first-order model"):
        convert(ConvertJob(path, picture_px=128))
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"state_dict": {}, "arch": "resnet18"}, "state_dict, arch"),
        ({}, "nothing"),
        ([1, 2], "list"),
        ({"generator": {}, "kp_detector": {}}, "no state dictionary"),
        ({"generator": {"a": 3}, "kp_detector": {"b": torch.zeros(2)}}, "no tensor"),
    ],
)
def test_other_models_are_told(tmp_path, found, said):
    path = tmp_path / "a.pth.tar"
    torch.save(found, path)
    with pytest.raises(InputError, match=said):
        convert(ConvertJob(path))


def test_weights_of_more_parts_than_the_model_has(tmp_path):
    """Those of a later model with the same two parts."""
    path, weights = saved(tmp_path)
    found = oracle.checkpoint(weights) | {"bg_predictor": {"fc.weight": torch.zeros(6, 512)}}
    torch.save(found, path)
    with pytest.raises(InputError, match="bg_predictor"):
        convert(ConvertJob(path))


def test_outputs_are_named_and_kept(tmp_path):
    path, _ = converted(tmp_path)
    assert path.name == "vox-cpk.safetensors"
    job = ConvertJob(tmp_path / "vox-cpk.pth.tar", picture_px=128)
    with pytest.raises(InputError, match="--overwrite"):
        convert(job)
    convert(replace(job, overwrite=True))
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        replace(job, output=tmp_path / "a.bin")
    with pytest.raises(InputError, match="found none"):
        convert(ConvertJob(tmp_path / "missing.pth.tar"))


def test_a_weights_file_is_checked_when_it_is_read(tmp_path):
    path, _ = converted(tmp_path)
    header = read_header(path)
    tensors = load_file(path)
    with safe_open(path, "numpy") as opened:
        table = opened.metadata()
    tensors["generator.final.bias"] = np.zeros(4, np.float32)
    save_file(tensors, path, table)
    with pytest.raises(InputError, match="first-order model"):
        first_order_file.read(path, header.sizes)
    save_file(tensors, path, table | {"sizes": table["sizes"].replace("128", "100")})
    with pytest.raises(InputError, match="weights"):
        read_header(path)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_pipeline_is_the_published_reconstruction(tmp_path, runtime):
    """Absolute motion without smoothing: the generator on the detector's own keypoints."""
    path, weights = converted(tmp_path)
    pipeline = Pipeline.load(
        tracker="reference", renderer="reference", weights=path, motion="absolute", smooth=0.0,
        size=128, runtime=runtime, precision="f32", cache=tmp_path / "cache", threads=1,
    )  # fmt: skip
    source, driving = pictures()
    images = [(255 * p[0].permute(1, 2, 0)).round().to(torch.uint8).numpy() for p in
              (source, driving)]  # fmt: skip
    pipeline.set_source(images[0])
    found = [pipeline.animate(image) for image in images]
    wanted = oracle.Oracle(weights)
    with torch.no_grad():
        here = wanted.detect(source)
        theirs = [wanted.generate(source, here, wanted.detect(p)) for p in (source, driving)]
    for mine, other in zip(found, theirs, strict=True):
        assert np.abs(mine - 255 * other[0].permute(1, 2, 0).numpy()).max() < 1.6


def test_relative_motion_is_the_papers(tmp_path):
    """Equation 12: p = p_S + p_D,t - p_D,1 and J_D,t J_D,1^-1 J_S, of heads of one size."""
    path, weights = converted(tmp_path)
    pipeline = Pipeline.load(
        tracker="reference", renderer="reference", weights=path, smooth=0.0, size=128,
        runtime="torch",
    )  # fmt: skip
    source, driving = pictures()
    images = [(255 * p[0].permute(1, 2, 0)).round().to(torch.uint8).numpy() for p in
              (source, driving)]  # fmt: skip
    pipeline.set_source(images[0])
    pipeline.animate(images[0])
    picture = pipeline.animate(images[1])
    wanted = oracle.Oracle(weights)
    with torch.no_grad():
        here, there = wanted.detect(source), wanted.detect(driving)
        theirs = wanted.generate(source, here, there)  # the first driving frame is the source
    assert np.abs(picture - 255 * theirs[0].permute(1, 2, 0).numpy()).max() < 1.6


def test_tracker_and_renderer_belong_together(tmp_path):
    path, _ = converted(tmp_path)
    with pytest.raises(InputError, match="hybridanim convert"):
        Pipeline.load(tracker="reference", renderer="reference")
    with pytest.raises(InputError, match="give both"):
        Pipeline.load(tracker="learned", renderer="learned", weights=path)
    with pytest.raises(InputError, match="give both"):
        Pipeline.load(tracker="classical", renderer="reference", weights=path)
    with pytest.raises(InputError, match="give both"):
        Pipeline.load(tracker="reference", renderer="learned", weights=path)
    other = first_order_file.FORMAT
    assert other in path.read_bytes()[:4000].decode("latin1")


def test_an_animation_from_the_command_line(tmp_path, capsys):
    from apps.main import main

    path, _ = converted(tmp_path)
    io.write_picture(tmp_path / "source.png", synthetic.photograph(160))
    (tmp_path / "driving").mkdir()
    frames = [np.roll(synthetic.photograph(160), 2 * i, 1) for i in range(4)]
    for i, frame in enumerate(frames):
        io.write_picture(tmp_path / "driving" / f"{i:03d}.png", frame)
    out = tmp_path / "out.mp4"
    code = main([
        str(tmp_path / "source.png"), str(tmp_path / "driving"), "--output", str(out),
        "--tracker", "reference", "--renderer", "reference", "--weights", str(path),
        "--size", "128", "--runtime", "torch",
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    assert out.is_file()


def test_the_subcommand(tmp_path, capsys):
    from apps.main import main

    path, _ = saved(tmp_path)
    assert main(["convert", str(path), "--picture-px", "128"]) == 0
    said = capsys.readouterr().out
    assert "4 keypoints" in said and "left out: discriminator" in said
    assert "--tracker reference --renderer reference" in said
    path.write_bytes(b"<html>")
    assert main(["convert", str(path), "--overwrite"]) == 2
    assert "web page" in capsys.readouterr().err
