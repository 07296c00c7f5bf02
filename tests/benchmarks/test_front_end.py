"""The measure of wrongly tracked and missed frames, and the composed videos."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import front_end, front_end_clips
from benchmarks.front_end_clips import HEIGHT, RATE_HZ, SCENES, WIDTH, Actor, Person, Scene
from hybridanim.types import HeadBox

SIZE = (HEIGHT, WIDTH)
BOX = [100.0, 100.0, 60.0, 80.0]  # x, y, width, height
HEAD = HeadBox((130.0, 144.0), 70.0)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2), (0, 0, 2), 1.0),
        ((0, 0, 2), (1, 0, 2), 1 / 3),
        ((0, 0, 2), (5, 0, 2), 0.0),
        ((0, 0, 2), (0, 0, 1), 0.25),
    ],
)
def test_overlap_is_intersection_over_union(a, b, expected):
    assert front_end.overlap(a, b) == pytest.approx(expected)


def test_wrong_and_missed_frames_are_counted():
    nobody: list = []
    far, small = HeadBox((400.0, 144.0), 70.0), HeadBox((130.0, 160.0), 30.0)
    found = [(HEAD, SIZE), (far, SIZE), (small, SIZE), (None, SIZE), (None, SIZE), (HEAD, SIZE)]
    truth = [[BOX], [BOX], [BOX], [BOX], nobody, nobody]
    counted, wrong = front_end.count(found, truth)
    assert wrong == [1, 2, 5]
    assert vars(counted) == {
        "frames": 6, "reported": 4, "wrong": 3, "whole": 4, "missed": 1, "lost_spans": 1,
    }  # fmt: skip


def test_a_face_at_the_edge_is_neither_wrong_nor_missed():
    half = [-30.0, 100.0, 60.0, 80.0]
    followed = HeadBox((0.0, 144.0), 70.0)
    counted, _ = front_end.count([(followed, SIZE), (None, SIZE)], [[half], [half]])
    assert (counted.wrong, counted.whole, counted.missed) == (0, 0, 0)


def test_gaps_of_the_network_are_filled_if_they_are_short():
    one, other = np.array([BOX]), np.array([[120.0, 100.0, 60.0, 80.0]])
    none = np.zeros((0, 4))
    filled = front_end._filled([one, none, other, none, none], [0.0, 0.1, 0.2, 0.3, 9.0])
    assert filled[1] == [[110.0, 100.0, 60.0, 80.0]] and filled[3] == filled[4] == []


def test_a_composed_person_is_outside_walks_and_stands_where_the_box_says():
    picture = np.full((64, 64, 3), 200, np.uint8)
    person = Person(
        [picture] * 3, np.array([[16.0, 10, 32, 40]] * 3), np.ones((64, 64), np.float32)
    )
    scene = Scene("late", "grey", (Actor(((1.8, 5.0),), 0.5, 320),))
    room = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    assert front_end_clips.frame_of(scene, [person], room, 0)[1] == []
    image, (box,) = front_end_clips.frame_of(scene, [person], room, 2 * RATE_HZ)
    assert box == pytest.approx((160 + 80, 160 + 50, 160, 200))
    assert image[HEIGHT - 5, WIDTH // 2].tolist() == [200] * 3 and not image[5].any()
    walking = front_end_clips.frame_of(scene, [person], room, round(1.4 * RATE_HZ))[1][0]
    assert walking[0] < box[0]


def test_the_scenes_are_twenty_and_every_room_is_made_the_same_each_time():
    assert len({scene.name for scene in SCENES}) == 20
    for make in front_end_clips.ROOMS.values():
        a, b = (make(np.random.default_rng(3)) for _ in range(2))
        assert a.shape == (HEIGHT, WIDTH, 3) and np.array_equal(a, b)
        assert 20 < a.mean() < 235
