"""The hidden half of a head that looks aside takes its mirror image, and only where it must."""

import numpy as np
import pytest

from hybridanim.motion import head_mesh, head_mirror
from tests.motion.test_head_mesh import MODEL, source, turned

FACE = 468


def share_of(angles, turn):
    head = head_mesh.build(source(angles), MODEL)
    vertices = head_mesh.moved(head, turned(head, turn))
    return head_mirror.share(head.mirror, vertices, 1.0)


def test_counterparts_of_a_face_that_looks_into_the_camera_are_its_mirror_image():
    head = head_mesh.build(source(), MODEL)
    middle = head.pose.shift_px[0]
    xy = head.mirror.xy[:FACE]
    own = head.rest[MODEL.mirror[:FACE], :2]
    np.testing.assert_allclose(xy, own)
    assert np.abs(xy[:, 0] + head.rest[:FACE, 0] - 2 * middle).max() < 0.05


@pytest.mark.parametrize("yaw", [25, -25])
def test_a_half_that_comes_into_view_is_taken_from_the_other(yaw):
    share = share_of((yaw, 0, 0), (-2 * yaw, 0, 0))
    assert share is not None
    own = MODEL.mean[:FACE, 0]
    hidden = own * np.sign(yaw) > 0.25  # on the side to which the source looks
    seen = own * np.sign(yaw) < -0.05
    assert share[:FACE][hidden].mean() > 0.5
    assert share[:FACE][seen].max() < 0.1


def test_a_frontal_source_needs_nothing():
    assert share_of((0, 0, 0), (40, 0, 0)) is None


def test_a_half_that_stays_hidden_takes_nothing():
    share = share_of((25, 0, 0), (5, 0, 0))
    assert share is None or share[:FACE].max() < 0.5


def test_without_motion_nothing_is_taken():
    assert share_of((25, 0, 0), (0, 0, 0)) is None
