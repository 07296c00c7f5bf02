"""``Pipeline.pose`` and parts of the motion, through the stages."""

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.errors import InputError
from stages.pipeline import Pipeline
from tests import synthetic


@pytest.fixture(scope="module")
def clip():
    picture = synthetic.photograph(256)
    return list(synthetic.moved_picture(picture, synthetic.wandering_affines(6, 256, 1)).frames)


def made(**options):
    pipeline = Pipeline.load(size=160, **options)
    pipeline.set_source(synthetic.photograph(256))
    return pipeline


def test_no_amount_is_the_source_bit_for_bit():
    pipeline = made()
    assert pipeline.source is not None
    np.testing.assert_array_equal(pipeline.pose(), pipeline.source.image)
    np.testing.assert_array_equal(pipeline.pose(yaw=0.0, jaw=0), pipeline.source.image)


def test_a_pose_leaves_a_running_driver_alone(clip):
    plain, posed = made(), made()
    for image in clip:
        picture = plain.animate(image)
        turned = posed.pose(yaw=20, jaw=0.5)
        last = posed.last
        np.testing.assert_array_equal(posed.animate(image), picture)
        assert posed.last is not last
    assert turned.shape == picture.shape and turned.dtype == np.uint8
    assert posed.source is not None
    assert np.abs(turned.astype(int) - posed.source.image).mean() > 2


def test_it_is_refused_in_words():
    with pytest.raises(InputError, match="pose: expected a source first"):
        Pipeline.load(size=96).pose(yaw=3)
    with pytest.raises(InputError, match="no-face-fit"):
        made(face_fit=False).pose(yaw=3)
    with pytest.raises(InputError, match="'turn'"):
        made().pose(turn=3)


def test_lips_alone_leave_the_head_where_it_is(clip):
    pipeline = made(drive="lips", smooth=0)
    for image in clip:
        pipeline.animate(image)
    assert pipeline.last is not None and pipeline.source is not None
    head = pipeline.last.points.head
    assert head is not None
    np.testing.assert_allclose(
        pipeline.last.points.target.xy_norm, pipeline.source.keypoints.xy_norm, atol=1e-5
    )
    np.testing.assert_allclose(head.body, np.eye(2, 3), atol=1e-5)
    own = pipeline.source.face.pose.rotation
    np.testing.assert_allclose(head.pose.rotation, own, atol=1e-6)
    assert pipeline.notes == []


def test_parts_may_change_between_frames_without_a_jump(clip):
    pipeline = made(smooth=0)
    for image in clip:
        pipeline.animate(image)
    assert pipeline.last is not None and pipeline.source is not None
    before = pipeline.last.points.head
    pipeline.keypoints.adjust(drive="eyes")
    pipeline.animate(clip[-1], time_s=len(clip) / 30)
    after = pipeline.last.points.head
    assert after is not None and before is not None and pipeline.source.face is not None
    own = pipeline.source.face.pose.rotation
    moved = np.linalg.norm(after.pose.rotation - before.pose.rotation)
    assert moved < 0.3 * np.linalg.norm(own - before.pose.rotation) + 1e-6
    with pytest.raises(InputError, match="'mouth'"):
        pipeline.keypoints.adjust(drive="mouth")


def test_a_missing_face_is_said(clip):
    pipeline = made(drive="lips")
    assert pipeline.source is not None
    pipeline.use_source(replace(pipeline.source, face=None))
    for image in clip[:2]:
        pipeline.animate(image)
    (note,) = pipeline.notes
    assert "--drive lips" in note and "source" in note and "together" in note
