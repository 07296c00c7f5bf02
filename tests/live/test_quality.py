"""Quality levels: the governor on made loads, without a clock, and which shots are left out."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hybridanim.config import PipelineConfig, RenderConfig
from hybridanim.live import quality
from hybridanim.live.camera import Shot
from hybridanim.live.quality import GovernorState, QualityGovernor
from tests.live_fakes import GREY


def run(costs, seconds, levels=5, state=None, hz=30.0):
    """Feed the governor with costs(level, time); its last state, and the levels over time."""
    state = state or GovernorState()
    seen = []
    start_s = state.time_s or 0.0
    for step in range(round(seconds * hz)):
        time_s = start_s + (step + 1) / hz
        state = quality.step(state, time_s, costs(state.level, time_s), levels)
        seen.append(state.level)
    return state, seen


def test_governor_goes_down_until_there_is_room_and_stays():
    loads = [1.6, 1.2, 0.95, 0.75, 0.6]
    state, seen = run(lambda level, _: loads[level], 60)
    assert state.level == 3
    assert seen.index(3) < 10 * 30
    assert set(seen[20 * 30 :]) == {3}


def test_governor_ignores_one_slow_picture():
    _, seen = run(lambda _, t: 12.0 if 10 < t < 10.03 else 0.5, 30)
    assert set(seen) == {0}


def test_governor_comes_back_when_the_other_load_is_over():
    loads = [0.5, 0.4, 0.3, 0.2, 0.1]
    state, seen = run(lambda level, t: loads[level] * (4 if t < 10 else 1), 120)
    assert max(seen) >= 3
    assert state.level == 0


def test_governor_seldom_tries_what_did_not_last():
    loads = [1.5, 0.5]  # one level is too much, the next has room: a temptation to swing
    _, seen = run(lambda level, _: loads[level], 600, levels=2, hz=10)
    changes = np.abs(np.diff(seen)).sum()
    assert changes <= 2 * 600 / 60
    assert np.mean(seen) > 0.95


def test_governor_waits_long_before_a_step_up_that_measured_too_dear():
    loads = [1.0, 0.2]  # the learned renderer and the warp: a large step
    _, seen = run(lambda level, _: loads[level], 300, levels=2, hz=20)
    assert np.abs(np.diff(seen)).sum() <= 9
    assert np.mean(seen) > 0.97


def test_governor_never_leaves_the_ladder():
    state, seen = run(lambda *_: 9.0, 60, levels=3)
    assert state.level == 2 and max(seen) == 2
    state, seen = run(lambda *_: 0.0, 60, levels=3)
    assert set(seen) == {0}
    _, seen = run(lambda *_: 9.0, 10, levels=1)
    assert set(seen) == {0}


def test_ladder_keeps_skipping_for_last_and_drops_what_gains_nothing():
    for tracker, renderer, size in product(
        ("classical", "hybrid"), ("warp", "painted", "learned"), (0, 256, 512)
    ):
        config = PipelineConfig(tracker=tracker, size=size, render=RenderConfig(renderer=renderer))
        levels = quality.quality_levels(
            config,
            uses_anchors=tracker == "hybrid",
            uses_networks=renderer == "learned",
            is_more_than_warp=renderer != "warp",
        )
        skips = [level.every for level in levels]
        assert skips == sorted(skips) and skips[0] == 1 and skips[-2:] == [2, 3]
        assert any(level.is_warp for level in levels) == (renderer != "warp")
        assert any(level.is_half for level in levels) == (size != 256)
        assert any(level.anchor_every > 1 for level in levels) == (tracker == "hybrid")
        assert len({level.name for level in levels}) == len(levels)


def shot(number, time_s):
    return Shot(GREY, time_s, number)


def test_governor_leaves_out_every_second_and_learns_the_rate():
    levels = (quality.Quality("full"), quality.Quality("second", every=2))
    governor = QualityGovernor(levels, 80)
    for number in range(60):
        assert governor.is_wanted(shot(number, number / 10))
    governor.record(shot(59, 5.9), 5.9, 5.95)  # 50 ms of 100
    assert governor.state.load == pytest.approx(0.5, abs=0.15)
    governor.state = replace(governor.state, level=1)
    wanted = [governor.is_wanted(shot(number, number / 10)) for number in range(60, 70)]
    assert sum(wanted) == 5 and governor.left_out == 5


@pytest.mark.parametrize(("busy", "level"), [(1.2, 0), (1.5, 1)])
def test_governor_leaves_out_pictures_only_when_it_is_far_too_slow(busy, level):
    levels = quality.Quality("full"), quality.Quality("second", every=2, tolerance=1.6)
    governor, number = QualityGovernor(levels, 1000), 0
    for _ in range(2000):
        number += 1 if governor.quality.every > 1 or busy < 1 else 2  # the slot keeps the newest
        time_s = number / 30
        if governor.is_wanted(shot(number, time_s)):
            governor.record(shot(number, time_s), time_s, time_s + busy / 30)
    assert governor.state.level == level
    assert len(governor.report()["changes"]) == level


def test_governor_lowers_for_latency_alone():
    governor = QualityGovernor(quality.quality_levels(PipelineConfig()), 80)
    changes = 0
    for number in range(100):  # a slow camera leaves time, but 90 ms is late
        time_s = number / 4
        assert governor.is_wanted(shot(number, time_s)) or governor.quality.every > 1
        changes += governor.record(shot(number, time_s), time_s, time_s + 0.09)
    assert changes > 0
    assert QualityGovernor((), 80).quality.name == "full"


TIMES_S = {"full": 0.16, "warp": 0.02}


def levels_of_networks():
    fast = quality.Quality("warp", is_warp=True)
    return quality.Quality("full"), fast, replace(fast, name="second", every=2, tolerance=2.2)


def test_a_run_starts_at_the_best_level_that_is_fast_enough():
    governor = QualityGovernor(levels_of_networks(), 80)
    governor.choose_start(lambda level: TIMES_S[level.name])
    assert governor.quality.name == "warp"
    assert governor.report()["changes"] == [{"at_s": 0.0, "to": "warp", "load": 0.27}]
    for number in range(1, 600):  # 20 s: the better level is known to be too slow
        time_s = number / 30
        assert governor.is_wanted(shot(number, time_s))
        governor.record(shot(number, time_s), time_s, time_s + 0.02)
    assert governor.quality.name == "warp"


def test_a_run_starts_without_skipping_and_at_full_quality_where_that_is_fast():
    slow, fast = QualityGovernor(levels_of_networks(), 80), QualityGovernor((), 80)
    slow.choose_start(lambda _: 1.0)
    assert slow.quality.name == "warp"
    fast.choose_start(lambda _: 1.0)
    assert fast.quality.name == "full" and fast.report()["changes"] == []
    fine = QualityGovernor(levels_of_networks(), 80)
    fine.choose_start(lambda _: 0.01)
    assert fine.quality.name == "full" and fine.text() == ""
