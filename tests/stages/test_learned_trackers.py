"""Learned and hybrid trackers through all five stages, for faces and for objects of any kind."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.config import KeypointsConfig, pipeline_config
from hybridanim.errors import InputError
from hybridanim.motion import keypoints, sparse
from hybridanim.prepare import driver_scan
from hybridanim.prepare.view import View
from hybridanim.tracking.detection import KeypointsPx, middle_square
from hybridanim.types import Crop, Frame, Keypoints, Tracks
from hybridanim.visualization.run_statistics import frame_row
from stages.pipeline import Pipeline, build
from tests import synthetic
from tests.oracle_detector import Oracle, face_points, under

SIZE, COUNT = 256, 8


@pytest.fixture(scope="module")
def clip():
    picture = synthetic.photograph(SIZE)
    affines = synthetic.wandering_affines(COUNT, SIZE, seed=3)
    first = face_points(picture)
    frames = synthetic.moved_picture(picture, affines).frames
    return [picture, *frames], [first, *(under(first, affine) for affine in affines)]


def pipeline_of(detector, **options) -> Pipeline:
    """A pipeline whose keypoints are the detector's alone: without the face fit."""
    config = pipeline_config({"smooth": 0.0, "face_fit": False, **options})
    return build(config, None, detector)


@pytest.mark.parametrize("tracker", ["learned", "hybrid"])
def test_the_source_moves_like_the_driver(tracker, clip):
    images, truth = clip
    pipeline = pipeline_of(Oracle().tell(images, truth), tracker=tracker, crop="none", size=SIZE)
    source = pipeline.set_source(images[0])
    picture = [pipeline.animate(image) for image in images[1:]][-1]
    assert pipeline.last is not None
    target = geometry.px_from_norm(pipeline.last.points.target.xy_norm, source.crop)
    head = np.array([point.follow == 1 for point in keypoints.ANCHORS])
    error = np.linalg.norm(target - truth[-1].xy_px, axis=1)[head]
    assert np.median(error) < 0.6 and error.max() < 4  # jaw and cheeks are kept stiff
    inside = np.s_[60:200, 60:200]
    moved = np.abs(picture[inside].astype(float) - images[-1][inside]).mean()
    assert moved < 0.4 * np.abs(images[0][inside].astype(float) - images[-1][inside]).mean()


@pytest.mark.parametrize("tracker", ["learned", "hybrid"])
def test_every_stage_draws_and_counts(tracker, clip):
    images, truth = clip
    pipeline = pipeline_of(Oracle().tell(images, truth), tracker=tracker, size=96)
    source = pipeline.set_source(images[0])
    for image in images[1:5]:
        pipeline.animate(image)
    last = pipeline.last
    assert last is not None
    outputs = (last.mask, last.tracks, last.points, last.motion, last.picture)
    for stage, output in zip(pipeline.stages, outputs, strict=True):
        canvas = source.image if stage in pipeline.stages[3:] else last.frame.image
        assert stage.draw(canvas, output).shape == canvas.shape
    row = frame_row(last, [stage.name for stage in pipeline.stages])
    assert row["lost"] == "" and float(row["tracks_confidence"]) > 0.8
    assert not last.mask.unused  # skin and hands are looked at with every tracker of faces
    unused = pipeline.segment.draw(last.frame.image, replace(last.mask, unused="of an object"))
    assert (unused != pipeline.segment.draw(last.frame.image, last.mask)).any()  # it says so


def test_a_run_repeats_itself_after_reset(clip):
    images, truth = clip
    pipeline = pipeline_of(Oracle().tell(images, truth), tracker="hybrid", size=96)
    pipeline.set_source(images[0])
    first = [pipeline.animate(image) for image in images[1:]]
    pipeline.reset()
    for one, image in zip(first, images[1:], strict=True):
        np.testing.assert_array_equal(one, pipeline.animate(image))


def test_source_and_driver_have_keypoints_of_the_same_detector(clip):
    images, truth = clip
    off = [replace(one, xy_px=one.xy_px + np.array([3.0, -2.0])) for one in truth]
    pipeline = pipeline_of(Oracle().tell(images, off), tracker="learned")
    source = pipeline.set_source(images[0])
    placed = geometry.px_from_norm(source.keypoints.xy_norm, source.crop)
    np.testing.assert_allclose(placed, off[0].xy_px, atol=0.01)


def test_a_source_that_the_detector_does_not_know_keeps_its_landmarks(clip):
    images, _ = clip
    source = pipeline_of(Oracle(), tracker="learned").set_source(images[0])
    classical = pipeline_of(None).set_source(images[0])
    np.testing.assert_array_equal(source.keypoints.xy_norm, classical.keypoints.xy_norm)


def test_stage_three_turns_any_window_into_its_own_crop(clip):
    """The same keypoints in other windows: the same motion."""
    images, truth = clip
    source = pipeline_of(None, crop="none").set_source(images[0])
    wandering = [Crop(3.5 * i, 10.0 - 2 * i, 200.0 + 7 * i) for i in range(len(truth))]
    results = []
    for windows in (wandering, [Crop(0.0, 0.0, 256.0)] * len(truth)):
        state = sparse.SparseState(crop=Crop(0.0, 0.0, 256.0))
        for i, (points, window) in enumerate(zip(truth, windows, strict=True)):
            none, ids = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
            tracks = Tracks(
                none, none, ids, ids, np.zeros(0, np.float32), head=source.head,
                keypoints=points.in_crop(window), keypoints_crop=window,
            )  # fmt: skip
            frame = Frame(images[0], i, i / 25)
            state, motion = sparse.step(
                state, frame, tracks, source, KeypointsConfig(smooth=0.0), None
            )
            results.append(motion)
    one, two = results[len(truth) - 1], results[-1]
    assert one.driving_crop == two.driving_crop == Crop(0.0, 0.0, 256.0)
    np.testing.assert_allclose(one.driving.xy_norm, two.driving.xy_norm, atol=1e-5)
    np.testing.assert_allclose(one.target.jacobian, two.target.jacobian, atol=1e-4)
    known = truth[-1].in_crop(Crop(0.0, 0.0, 256.0))
    np.testing.assert_allclose(one.driving.xy_norm, known.xy_norm, atol=1e-5)


def test_a_reference_is_seen_by_the_detector_and_in_the_views_pixels(clip):
    images, truth = clip
    large = cv2.resize(images[1], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    doubled = under(truth[1], np.array([[2, 0, 0.5], [0, 2, 0.5]]))
    pipeline = pipeline_of(Oracle().tell([large], [doubled]), tracker="learned")
    seen = pipeline.detect(large, 0, 0.0)
    assert seen is not None and seen.is_clear
    view = View(20, 8, 480, 500, 0.5)
    reference = driver_scan.as_reference(seen, view)
    wanted = (doubled.xy_px + 0.5 - (20, 8)) * 0.5 - 0.5
    placed = geometry.px_from_norm(reference.keypoints.xy_norm, reference.crop)
    np.testing.assert_allclose(placed, wanted, atol=0.01)


# objects: a detector that looks at whole frames, K of its own, no face anywhere


def square_clip(count=6):
    """A textured square that turns and travels before a plain ground; its five keypoints."""
    patch = synthetic.textured(60, 60, seed=5)
    corners = np.array([[6, 6], [53, 6], [53, 53], [6, 53], [29.5, 29.5]], float)
    images, points = [], []
    for i in range(count):
        at = synthetic.affine_about((29.5, 29.5), turn_deg=6 * i, shift_xy_px=(50 + 5 * i, 40 + i))
        ground = np.full((128, 160, 3), 90, np.uint8)
        images.append(
            cv2.warpAffine(patch, at, (160, 128), dst=ground, borderMode=cv2.BORDER_TRANSPARENT)
        )
        first = KeypointsPx(corners, 40 * np.tile(np.eye(2), (5, 1, 1)), np.ones(5))
        points.append(under(first, at))
    return images, points


@pytest.mark.parametrize("tracker", ["learned", "hybrid"])
def test_an_object_without_a_face_is_animated(tracker):
    images, points = square_clip()
    detector = Oracle("frame", 5).tell(images, points)
    pipeline = pipeline_of(detector, tracker=tracker)
    source = pipeline.set_source(images[0])
    assert source.crop == middle_square(images[0]) == Crop(16.0, 0.0, 128.0)
    picture = [pipeline.animate(image) for image in images][-1]
    last = pipeline.last
    assert last is not None and last.tracks and not last.points.is_frozen
    target = geometry.px_from_norm(last.points.target.xy_norm, source.crop)
    np.testing.assert_allclose(target, points[-1].xy_px, atol=0.8)
    wanted = images[-1][:, 16:144]
    still = np.abs(images[0][:, 16:144].astype(float) - wanted).mean()
    assert np.abs(picture.astype(float) - wanted).mean() < 0.6 * still


def test_a_smaller_object_moves_less():
    images, points = square_clip()
    half = np.array([[0.5, 0, 20.0], [0, 0.5, 30.0]])
    small = cv2.warpAffine(images[0], half, (160, 128), borderMode=cv2.BORDER_REPLICATE)
    detector = Oracle("frame", 5).tell([small, *images], [under(points[0], half), *points])
    pipeline = pipeline_of(detector, tracker="learned")
    source = pipeline.set_source(small)
    for image in images:
        pipeline.animate(image)
    assert pipeline.last is not None
    target = geometry.px_from_norm(pipeline.last.points.target.xy_norm, source.crop)
    shift = target[4] - under(points[0], half).xy_px[4]
    np.testing.assert_allclose(shift, 0.5 * (points[-1].xy_px[4] - points[0].xy_px[4]), atol=0.1)


def test_an_object_has_a_reference_by_number():
    images, points = square_clip()
    pipeline = pipeline_of(Oracle("frame", 5).tell(images, points), tracker="learned")
    seen = pipeline.detect(images[3], 3, 0.1)
    assert seen is not None and seen.is_clear
    assert driver_scan.nearest([seen], pipeline.set_source(images[0])) is None  # no pose to compare
    assert pipeline.set_reference(images[3], seen)
    source = pipeline.source
    assert source is not None
    pipeline.animate(images[0])
    pipeline.animate(images[3])
    assert pipeline.last is not None
    np.testing.assert_allclose(
        pipeline.last.points.target.xy_norm, source.keypoints.xy_norm, atol=1e-5
    )


def test_keypoints_come_with_their_crop():
    none, ids = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    points = Keypoints(none, np.zeros((0, 2, 2), np.float32), np.zeros(0, np.float32))
    with pytest.raises(TypeError, match="keypoints_crop"):
        Tracks(none, none, ids, ids, np.zeros(0, np.float32), keypoints=points)


# weights: what a file holds decides what it is used for


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained files: kind and content -> path."""
    pytest.importorskip("torch")
    from hybridanim.networks import build as nets
    from hybridanim.networks.weights import write_weights

    folder = tmp_path_factory.mktemp("weights")
    ten, all_anchors = (nets.DetectorSizes(count=count, widths=(8, 8)) for count in (10, 38))
    own = {"detector": nets.detector(ten), "detector_sizes": ten}
    write_weights(folder / "object.safetensors", kind="object", window="frame", **own)
    write_weights(folder / "face_of_ten.safetensors", **own)
    own = {"detector": nets.detector(all_anchors), "detector_sizes": all_anchors}
    write_weights(folder / "face_detector.safetensors", **own)
    write_weights(folder / "face_renderer.safetensors", animator=nets.fast())
    return folder


@pytest.mark.parametrize(
    ("file", "options", "words"),
    [
        ("object", {}, "--tracker learned"),
        ("object", {"tracker": "learned", "renderer": "learned"}, "--renderer warp"),
        ("face_detector", {}, "--tracker learned"),
        ("face_renderer", {"tracker": "learned"}, "--renderer learned"),
        ("face_of_ten", {"tracker": "learned"}, "38 anchors"),
        ("nothing", {"tracker": "learned"}, "found nothing"),
    ],
)
def test_weights_that_the_options_have_no_use_for_are_refused(weights, file, options, words):
    with pytest.raises(InputError, match=words):
        Pipeline.load(weights=weights / f"{file}.safetensors", **options)


def test_weights_go_where_they_belong(weights):
    options = {"weights": weights / "object.safetensors", "tracker": "hybrid", "runtime": "torch"}
    pipeline = Pipeline.load(**options)
    assert pipeline.detector is not None and pipeline.detector.window == "frame"
    own = weights / "face_detector.safetensors"
    pipeline = Pipeline.load(weights=own, tracker="learned", runtime="torch")
    assert pipeline.detector is not None and pipeline.detector.count == 38
