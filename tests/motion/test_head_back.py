"""The back of the head: unseen without a turn, then it keeps the head as wide as an ellipsoid."""

import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.face import head_pose
from hybridanim.motion import head_back
from hybridanim.motion.head_back import Skull
from hybridanim.types import HeadPose

SIDE, RADIUS = 256, 0.4  # of the picture in pixels; of the head, a disc, normalised
STILL = geometry.grid_norm(SIDE)
SUBJECT = (np.linalg.norm(STILL, axis=-1) < RADIUS).astype(np.float32)
POSE = HeadPose(np.eye(3), 1.0, np.zeros(2))
SKULL = Skull(np.zeros(3), np.full(3, RADIUS))
ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)
RIM = np.stack([np.cos(ANGLE), np.sin(ANGLE)], -1)
BACK = head_back.build(
    SUBJECT, POSE, SKULL, 0.2 * RIM, np.column_stack([RADIUS * RIM, np.zeros(len(RIM))])
)


def seen(angles, front=None):
    """Texture places and where the shell is seen, of a head whose front shows nothing."""
    pose = HeadPose(head_pose.rotation_matrix(angles), 1.0, np.zeros(2))
    nothing = np.zeros((SIDE, SIDE), bool)
    shows = nothing if front is None else ~nothing
    xy, depth = head_back.behind(BACK, pose, STILL if front is None else front, shows)
    return xy, ~np.isnan(depth)


def test_without_a_turn_nothing_of_it_is_seen():
    assert not seen((0, 0, 0))[1].any()
    assert not seen((0, 0, 30))[1].any()


@pytest.mark.parametrize("yaw", [20, -20, 45, -45])
def test_a_turned_head_stays_as_wide_as_a_sphere(yaw):
    _, is_seen = seen((yaw, 0, 0))
    column = np.flatnonzero(is_seen[SIDE // 2 - 6])  # just above the middle
    x = STILL[0, column, 0]
    assert np.abs(x).max() == pytest.approx(RADIUS, abs=0.03)
    assert np.abs(x).min() == pytest.approx(RADIUS * np.cos(np.deg2rad(yaw)), abs=0.05)
    assert (np.sign(x) == np.sign(x[0])).all()  # on one side alone
    other = seen((-yaw, 0, 0))[1]
    np.testing.assert_allclose(is_seen.sum(), other.sum(), rtol=0.1)


def test_its_texture_is_hair_of_the_source():
    xy, is_seen = seen((40, 0, 0))
    radius = np.linalg.norm(xy[is_seen], axis=1)
    assert radius.max() < RADIUS and radius.min() > 0.2  # outside the face, inside the outline
    assert (xy[is_seen][:, 1] < 0).mean() > 0.95  # from above the ears


def test_a_person_in_front_hides_it():
    _, is_seen = seen((40, 0, 0), np.zeros_like(STILL))  # every cell shows the middle of the face
    assert not is_seen.any()
    _, is_seen = seen((40, 0, 0), np.full_like(STILL, 0.9))  # every cell shows background
    assert is_seen.any()
