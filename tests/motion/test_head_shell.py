"""The closed head behind the front: unseen without a turn, round when turned, with a neck."""

import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.face import head_pose
from hybridanim.motion import head_shell
from hybridanim.motion.head_back import Skull
from hybridanim.types import HeadPose, HeadTarget

CELLS, RADIUS = 128, 0.4  # of the output; of the head, a disc, normalised
GRID = geometry.grid_norm(256)
SUBJECT = np.linalg.norm(GRID, axis=-1) < RADIUS
SUBJECT |= (np.abs(GRID[..., 0]) < 0.6 * RADIUS) & (GRID[..., 1] > 0)  # a neck
SUBJECT = SUBJECT.astype(np.float32)
POSE = HeadPose(np.eye(3), 1.0, np.zeros(2))
SKULL = Skull(np.zeros(3), np.full(3, RADIUS))
ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)
HULL = 0.2 * np.stack([np.cos(ANGLE), np.sin(ANGLE)], -1)
SHELL = head_shell.build(
    SUBJECT, POSE, SKULL, HULL, np.zeros((64, 64), np.float32), lambda xy: np.ones(len(xy))
)
NOBODY = np.zeros((CELLS, CELLS), bool)


def seen(angles, person=NOBODY):
    pose = HeadPose(head_pose.rotation_matrix(angles), 1.0, np.zeros(2))
    target = HeadTarget(pose, np.zeros(1, np.float32), np.eye(2, 3, dtype=np.float32))
    return head_shell.layer(SHELL, target, person, CELLS)


def test_without_a_turn_nothing_of_it_is_seen():
    assert seen((0, 0, 0)) is None
    in_plane = seen((0, 0, 30))
    assert in_plane is None or not in_plane.share.any()


@pytest.mark.parametrize("yaw", [25, -25, 45, -45])
def test_a_turned_head_stays_as_wide_as_a_sphere(yaw):
    share = seen((yaw, 0, 0)).share
    x = geometry.grid_norm(CELLS)[0, :, 0][share[CELLS // 2 - 3] > 0.5]
    assert np.abs(x).max() == pytest.approx(RADIUS, abs=0.03)
    assert (np.sign(x) == np.sign(x[0])).all()  # on one side alone
    other = seen((-yaw, 0, 0)).share
    np.testing.assert_allclose(share, other[:, ::-1], atol=0.6)
    assert abs(share.sum() - other.sum()) < 0.05 * share.sum()


def test_the_neck_goes_on_below_the_head():
    share = seen((40, 0, 0)).share
    rows = geometry.grid_norm(CELLS)[:, 0, 1]
    below = share[(rows > RADIUS * 1.05) & (rows < RADIUS * 1.25)]
    assert (below > 0.5).any(1).all()


def test_the_atlas_goes_from_the_outline_backwards_and_from_strip_to_strip():
    found = seen((45, 0, 0))
    row = CELLS // 2 - 3
    columns = np.flatnonzero(found.share[row] > 0.9)
    away = np.abs(geometry.grid_norm(CELLS)[0, columns, 0])
    back = found.atlas_norm[row, columns, 1][np.argsort(away)]
    assert back[0] < -0.9 and back[-1] > -0.7 and (np.diff(back[2:]) > 0).all()
    assert (np.diff(back) >= 0).all()
    # this side is one half of the atlas, in order of the height
    column = columns[len(columns) // 2]
    rows = np.flatnonzero(found.share[:, column] > 0.9)
    across = found.atlas_norm[rows, column, 0]
    assert (np.sign(across) == np.sign(across[0])).all()
    assert (np.diff(across) > 0).all() or (np.diff(across) < 0).all()


def test_it_goes_on_under_the_soft_edge_of_a_person_in_front_but_not_under_the_person():
    x = geometry.grid_norm(CELLS)[..., 0]
    person = np.abs(x) < RADIUS * np.cos(np.deg2rad(45))
    share = seen((45, 0, 0), person).share
    assert not share[:, CELLS // 2].any()  # deep under the person nothing is drawn
    row = share[CELLS // 2 - 3]
    edge = np.flatnonzero(np.diff(person[CELLS // 2 - 3].astype(int)))
    near = max(row[edge[0] : edge[0] + 2].min(), row[edge[1] : edge[1] + 2].min())
    assert near > 0.9  # no gap


def test_small_turns_bring_it_in_smoothly():
    most = [0 if (s := seen((yaw, 0, 0))) is None else s.share.max() for yaw in (1, 2, 3, 4, 6)]
    assert most[0] < 0.05 and most == sorted(most) and most[-1] > 0.95
