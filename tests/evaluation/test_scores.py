"""Scores over clips: pooling, jitter, openings, regions; measurements of a face."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.evaluation import metrics, perceptual, regions, scores
from hybridanim.evaluation.face_evaluator import FaceEvaluator, FaceMeasurement, head_angles_deg
from hybridanim.evaluation.scores import Evaluators, Score, Truth
from hybridanim.face import head_pose
from hybridanim.face.landmarks import GROUPS, POINTS
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from tests import synthetic

RNG = np.random.default_rng(1)
NETWORKS = Path(__file__).parents[3] / "shared" / "data" / "networks"


def seen(points, eyes=0.3, mouth=0.1):
    return FaceMeasurement(
        np.asarray(points, np.float32), np.zeros((2, 2)), np.zeros((5, 2)), None, eyes, mouth
    )


def test_means_are_over_frames_not_clips():
    long, short = Score(), Score()
    for value in (1.0, 2.0, 3.0):
        long.add({"l1": value})
    short.add({"l1": 10.0})
    assert scores.pooled([long.finished(), short.finished()])["l1"] == 4


def test_jitter_is_numpys_second_difference_of_consecutive_frames():
    own, driver = RNG.normal(size=(2, 9, 468, 2))
    score = Score()
    known = (0, 1, 2, 5, 6, 7)  # frames 3, 4 and 8 were not looked at
    for index in known:
        score.add_faces(index, seen(own[index]), seen(driver[index]), scale=2.0)
    threes = ((0, 1, 2), (5, 6, 7))
    expected = [
        np.mean([np.abs(p[a] - 2 * p[b] + p[c]).mean() for a, b, c in threes])
        for p in (own, 2 * driver)
    ]
    found = scores.pooled([score.finished()])
    assert found["jitter"] == pytest.approx(expected[0] / expected[1], rel=1e-4)
    assert found["jitter_beyond_px"] == pytest.approx(expected[0] - expected[1], abs=1e-4)


def test_frames_without_a_face_in_the_result_are_counted():
    score = Score()
    points = np.zeros((468, 2))
    score.add_faces(1, seen(points), seen(points))
    score.add_faces(2, None, seen(points))
    score.add_faces(3, None, None)  # the driver shows none either
    assert scores.pooled([score.finished()])["mkr"] == 0.5


def test_following_weighs_clips_by_how_much_they_move():
    driver = RNG.uniform(0, 1, (2, 30))
    measured, weights = [], driver.var(1)
    for moves, gain in zip(driver, (1.0, 0.5), strict=True):
        score = Score()
        for index, opening in enumerate(moves):
            points = np.zeros((468, 2))
            score.add_faces(index, seen(points, 0.3, gain * opening), seen(points, 0.3, opening))
        measured.append(score.finished())
    found = scores.pooled(measured)
    expected = (weights[0] + 0.5 * weights[1]) / weights.sum()
    assert found["mouth_gain"] == pytest.approx(expected, abs=1e-4)
    assert 0.9 < found["mouth_correlation"] < 1
    alone = scores.pooled(measured[1:])
    assert alone["mouth_gain"] == 0.5 and alone["mouth_correlation"] == 1
    assert "eyes_gain" not in found  # nobody blinked


def face():
    """Landmarks of the mean face, 100 pixels wide, in the middle of 200x200 pixels."""
    return (100 * MEAN_SHAPE_3D[:, :2] + 100).astype(np.float32)


def test_regions_hold_what_they_are_named_after():
    points = face()
    still = np.zeros((200, 200), bool)
    still[:60] = True
    masks = regions.parts(points, points, still)
    at = {
        "eyes": points[list(GROUPS["left_eye"])].mean(0),
        "mouth": points[list(GROUPS["inner_lips"])].mean(0),
    }
    for name, (x, y) in at.items():
        assert masks[name][round(y), round(x)] and masks["face"][round(y), round(x)]
        assert 0 < masks[name].sum() < 0.25 * masks["face"].sum()
    assert not (masks["eyes"] & masks["mouth"]).any()
    together = masks["face"] | masks["around"] | masks["background"]
    assert together.all() and not (masks["around"] & still).any()
    assert (masks["background"] & masks["face"]).sum() == 0


def test_a_spoilt_mouth_shows_in_the_mouths_figure_alone():
    points, image = face(), synthetic.textured(200, 200)
    masks = regions.parts(points, points, np.zeros((200, 200), bool))
    spoilt = image.copy()
    spoilt[masks["mouth"]] = 255 - spoilt[masks["mouth"]]
    found = scores.compare_pictures(Truth(image, masks), spoilt)
    assert found["eyes_l1"] == 0 and found["around_l1"] == 0 and "background_psnr" not in found
    assert found["mouth_l1"] == pytest.approx(metrics.l1(image, spoilt, masks["mouth"]))
    assert found["mouth_l1"] > found["face_l1"] > 0


@pytest.mark.parametrize("turned", [(0, 0, 0), (18, -7, 4), (-25, 10, -12)])
def test_head_angles_of_a_projected_head(turned):
    points = MEAN_SHAPE_3D.astype(np.float64) @ head_pose.rotation_matrix(turned).T
    depth = 1024 / 90 + points[:, 2]  # a head of 90 pixels before a lens of 4 sides of 256
    xy = (1024 * points[:, :2] / depth[:, None] + 127.5).astype(np.float32)
    assert head_angles_deg(xy, np.zeros((256, 256, 3))) == pytest.approx(turned, abs=0.6)


def packages(monkeypatch, *names):
    """Let these packages be found, and no other."""
    monkeypatch.setattr(perceptual, "find_spec", lambda name: object() if name in names else None)


def test_what_is_missing_is_reported_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    everything = ("lpips", "torchvision", "torchmetrics", "torch_fidelity")
    packages(monkeypatch, *everything)
    alexnet, inception, lines = perceptual.find(tmp_path)
    assert (alexnet, inception) == (None, None) and len(lines) == 2
    assert all("not measured" in line and "to measure it" in line for line in lines)
    (tmp_path / perceptual.INCEPTION_FILE).write_bytes(b"")
    _, inception, lines = perceptual.find(tmp_path)
    assert inception == tmp_path / perceptual.INCEPTION_FILE and "LPIPS" in "".join(lines)
    packages(monkeypatch, *everything[:3])
    _, inception, lines = perceptual.find(tmp_path)
    assert inception is None and "no package torch_fidelity" in lines[1]
    assert "hybridanim[eval]" in lines[1]
    assert perceptual.Perceptual().distance(np.zeros((9, 9, 3)), np.zeros((9, 9, 3))) is None


@pytest.mark.parametrize("name", ["alexnet", "inception"])
def test_absent_packages_are_an_input_error(tmp_path, monkeypatch, name):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(InputError, match="hybridanim\\[eval\\]"):
        perceptual.Perceptual(**{name: tmp_path / "weights.pth"})


def test_packages_that_do_not_fit_this_torch_are_an_input_error(tmp_path, monkeypatch):
    pytest.importorskip("torch")

    def fail(*_, **__):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=fail))
    with pytest.raises(InputError, match=r"nms does not exist; .*made for this torch"):
        perceptual.Perceptual(alexnet=tmp_path / "weights.pth")


def test_features_come_from_the_given_weights(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")

    class Distance:
        def __init__(self, feature, *, feature_extractor_weights_path, antialias):
            assert (feature, antialias) == (2048, False)
            scale = float(Path(feature_extractor_weights_path).read_text())
            self.inception = lambda x: scale * x.float().mean((2, 3))

    fid = SimpleNamespace(FrechetInceptionDistance=Distance)
    for module in ("torchmetrics", "torchmetrics.image"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", fid)
    (tmp_path / "net.pth").write_text("3")
    image = synthetic.textured(20, 30)
    found = perceptual.Perceptual(inception=tmp_path / "net.pth").features(image)
    assert found is not None and found.dtype == np.float64
    assert found == pytest.approx(3 * image.mean((0, 1)), rel=1e-5)
    assert torch


def test_another_file_in_place_of_the_inception_network_is_not_loaded(tmp_path):
    file = tmp_path / perceptual.INCEPTION_FILE
    file.write_bytes(b"a program")
    with pytest.raises(InputError, match="checksum"):
        perceptual.Perceptual(inception=file)


@pytest.mark.slow
def test_the_judge_knows_the_same_face_and_its_turns():
    if not NETWORKS.is_dir():
        pytest.skip(f"no measuring networks in {NETWORKS}")
    evaluator = FaceEvaluator(NETWORKS)
    image = synthetic.photograph(256)
    truth = scores.build_truth(image, np.zeros((256, 256), bool), Evaluators(evaluator))
    assert truth.face is not None and truth.embedding is not None
    assert len(truth.face.landmarks_xy_px) == len(POINTS)
    same = scores.compare(truth, image, evaluator.detect(image), Evaluators(evaluator))
    assert same["akd_px"] == 0 and same["csim"] == pytest.approx(1) and same["pose_deg"] == 0
    matrix = synthetic.affine_about((128, 128), turn_deg=10)
    turned = cv2.warpAffine(image, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    other = scores.compare(truth, turned, evaluator.detect(turned), Evaluators(evaluator))
    assert other["roll_deg"] == pytest.approx(10, abs=1.5) and other["yaw_deg"] < 3
    moved = np.roll(image, 4, axis=1)
    aside = scores.compare(truth, moved, evaluator.detect(moved), Evaluators(evaluator))
    assert aside["akd_px"] == pytest.approx(2, abs=0.4)  # 4 in x and 0 in y
    assert other["csim"] < aside["csim"] < 1  # the truth's points align a turned face badly


def alexnet_layers(nn):
    """The first part of torchvision's AlexNet, whose weights are read by name."""
    sizes = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1))
    sizes += ((384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    layers = []
    for index, size in enumerate(sizes):
        layers += [nn.Conv2d(*size), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2)] if index in (0, 1, 4) else []
    return nn.Sequential(*layers)


@pytest.mark.slow
def test_lpips_uses_the_weights_of_the_file(tmp_path, monkeypatch):
    """The package's own code on a backbone of random weights, with a stand-in for torchvision."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("lpips") is None:
        pytest.skip("the package lpips is not installed")
    torch.manual_seed(0)

    def alexnet(**_):
        net = torch.nn.Module()
        net.features = alexnet_layers(torch.nn)
        return net

    net = alexnet()
    models = SimpleNamespace(alexnet=lambda **_: net)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=models))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    oracle = importlib.import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
    torch.save(net.state_dict(), tmp_path / perceptual.ALEXNET_FILE)
    monkeypatch.setattr(models, "alexnet", alexnet)  # other random weights
    own = perceptual.Perceptual(alexnet=tmp_path / perceptual.ALEXNET_FILE)
    a, b = synthetic.textured(64, 80), synthetic.photograph(80)[:64]
    tensors = [torch.from_numpy(p.transpose(2, 0, 1)[None] / 127.5 - 1).float() for p in (a, b)]
    with torch.no_grad():
        expected = float(oracle(*tensors))
    assert expected > 0.05
    assert own.distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert own.distance(a, a) == 0
    torch.save({}, tmp_path / perceptual.ALEXNET_FILE)
    with pytest.raises(InputError, match="--backbones"):
        perceptual.Perceptual(alexnet=tmp_path / perceptual.ALEXNET_FILE)
