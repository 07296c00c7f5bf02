"""Stages 1 to 4 together against truth: known motion in, the same dense motion out."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from skimage import data

from hybridanim import geometry
from stages.pipeline import Pipeline
from tests import synthetic

SIZE = 256


def flow_error_px(pipeline: Pipeline, to_picture: np.ndarray) -> float:
    """Median end-point error of the dense flow inside the face, in pixels at 256x256.

    to_picture: (H, W, 2) where in the picture each pixel of the driving frame is from.
    """
    assert pipeline.last is not None and pipeline.source is not None
    source, motion = pipeline.source, pipeline.last.motion
    cells = geometry.grid_norm(motion.grid_norm.shape[0])
    at_px = geometry.px_from_norm(cells, source.crop)
    truth_px = cv2.remap(to_picture, at_px[..., 0], at_px[..., 1], cv2.INTER_LINEAR)
    error = np.linalg.norm(motion.grid_norm - geometry.norm_from_px(truth_px, source.crop), axis=-1)
    head = source.head
    inside = np.linalg.norm(truth_px - np.array(head.center_xy_px), axis=-1) < 0.45 * head.size_px
    return float(np.median(error[inside])) * SIZE / 2


@pytest.fixture(scope="module")
def clip():
    picture = data.astronaut()[:400, 40:440]
    return synthetic.moved_picture(picture, synthetic.wandering_affines(25, 400, seed=4))


def animated(clip, frames, **options) -> list[float]:
    """Error of every frame after the first five, source = the clip's own picture.

    In two dimensions, as the clip is: flat, and under affines that no head can make.
    """
    pipeline = Pipeline.load(size=SIZE, head_motion="2d", face_fit=False, **options)
    pipeline.set_source(clip.frames[0])
    errors = []
    for index, image in enumerate(frames):
        pipeline.animate(image)
        errors.append(flow_error_px(pipeline, clip.to_picture[index]))
    return errors[5:]


def test_known_affines_come_back_as_dense_flow(clip):
    errors = animated(clip, clip.frames, smooth=0.0)
    assert np.median(errors) < 0.5
    assert max(errors) < 1.0


def test_smoothing_lags_by_less_than_a_third_of_a_frame(clip):
    steps = [
        np.linalg.norm(after - before, axis=-1).mean()
        for before, after in pairwise(clip.to_picture)
    ]
    moved_px = (
        np.mean(steps) * SIZE / Pipeline.load(size=SIZE).set_source(clip.frames[0]).crop.side_px
    )
    assert np.median(animated(clip, clip.frames)) < moved_px / 3


def test_a_passing_occluder_does_not_drag_the_face_along(clip):
    covered, _ = synthetic.pass_occluder(clip.frames, start=6, end=22, radius_px=45)
    errors = animated(clip, covered, smooth=0.0)
    assert np.median(errors) < 1.0


def test_head_turns_of_the_drawn_driver_are_those_of_its_truth():
    frames = synthetic.driving_head(0.6, 40, 240)
    pipeline = Pipeline.load()
    seen, truth = [], []
    for frame in frames:
        tracks = pipeline.observe(frame.image, frame.time_s)
        seen.append(tracks.rotation_deg)
        truth.append(frame.rotation_deg)
    seen, truth = np.array(seen)[8:], np.array(truth)[8:]
    assert np.ptp(truth[:, 0]) > 15  # it does turn
    assert np.corrcoef(seen[:, 0], truth[:, 0])[0, 1] > 0.95
    assert np.median(np.abs(seen[:, 0] - truth[:, 0])) < 5


def test_skin_of_the_drawn_driver_is_that_of_its_truth():
    frames = synthetic.driving_head(0.6, 24, 240)
    pipeline = Pipeline.load()
    found = true = both = 0
    for frame in frames:
        mask = pipeline.segment(pipeline.frame(frame.image, frame.time_s)).mask > 0
        skin = frame.skin > 0
        found, true, both = found + mask.sum(), true + skin.sum(), both + (mask & skin).sum()
    assert 2 * both / (found + true) > 0.85
