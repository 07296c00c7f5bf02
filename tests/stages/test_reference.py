"""Choosing the reference: one call, in any order, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.prepare import view
from stages.pipeline import Pipeline
from tests import synthetic


@pytest.fixture(scope="module")
def clip():
    picture = synthetic.photograph(256)
    affines = synthetic.wandering_affines(8, 256, seed=4)
    return synthetic.moved_picture(picture, affines).frames


def animated(clip, prepare) -> list[np.ndarray]:
    """The results of a run whose pipeline ``prepare`` has had before the first frame."""
    pipeline = Pipeline.load(size=96, smooth=0.0)
    pipeline.set_source(synthetic.photograph(256))
    prepare(pipeline)
    return [pipeline.animate(image) for image in clip[:3]]


def test_the_order_of_calls_does_not_matter(clip):
    reference, whole = clip[5], view.whole_view(256, 256)

    def alone(pipeline):
        assert pipeline.set_reference(reference)

    def with_what_was_detected(pipeline):
        assert pipeline.set_reference(reference, pipeline.detect(reference))

    def before_the_view(pipeline):
        assert pipeline.set_reference(reference)
        pipeline.set_view(whole)

    def after_the_view(pipeline):
        pipeline.set_view(whole)
        assert pipeline.set_reference(reference)

    wanted = animated(clip, alone)
    for prepare in (with_what_was_detected, before_the_view, after_the_view):
        np.testing.assert_array_equal(animated(clip, prepare), wanted)
    assert (np.array(wanted) != animated(clip, lambda pipeline: None)).any()


def test_the_reference_frame_gives_the_source(clip):
    pipeline = Pipeline.load(size=96, smooth=0.0)
    source = pipeline.set_source(synthetic.photograph(256))
    for image in clip[:4]:
        pipeline.animate(image)
    assert pipeline.last is not None
    away = np.abs(pipeline.last.points.target.xy_norm - source.keypoints.xy_norm).max()
    assert pipeline.set_reference(clip[3])  # between two frames
    pipeline.animate(clip[3])
    left = np.abs(pipeline.last.points.target.xy_norm - source.keypoints.xy_norm).max()
    assert left < 0.5 * away


def test_none_makes_the_first_frame_the_reference_again(clip):
    def forgotten(pipeline):
        pipeline.set_reference(clip[5])
        pipeline.set_reference(None)

    np.testing.assert_array_equal(animated(clip, forgotten), animated(clip, lambda pipeline: None))


def test_a_picture_without_a_face_changes_nothing(clip):
    def refused(pipeline):
        assert not pipeline.set_reference(np.full((256, 256, 3), 90, np.uint8))

    np.testing.assert_array_equal(animated(clip, refused), animated(clip, lambda pipeline: None))


@pytest.mark.parametrize("picture", ["me.png", np.zeros((9, 9)), 3])
def test_what_is_no_picture_is_refused_in_words(picture):
    with pytest.raises(InputError, match=r"reference.*uint8 RGB"):
        Pipeline.load().set_reference(picture)


def test_a_picture_of_another_size_is_refused(clip):
    pipeline = Pipeline.load(size=96)
    pipeline.set_source(synthetic.photograph(256))
    larger = np.repeat(np.repeat(clip[5], 2, 0), 2, 1)
    assert pipeline.set_reference(larger)  # the frames' size is not known yet
    with pytest.raises(InputError, match=r"reference.*first frame's size"):
        pipeline.animate(clip[0])
    pipeline.reset()
    pipeline.animate(clip[0])
    with pytest.raises(InputError, match=r"reference.*first frame's size"):
        pipeline.set_reference(larger)
