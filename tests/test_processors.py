"""How busy other programs keep the processors, by made counters."""

import itertools

import pytest

from hybridanim import processors
from hybridanim.processors import Reading, Watch, threads_for, used_by_others


def test_others_are_what_the_process_itself_did_not_use():
    before = Reading(10.0, 500.0, 3.0)
    assert used_by_others(before, Reading(12.0, 504.0, 4.0)) == pytest.approx(1.5)
    assert used_by_others(before, Reading(12.0, 501.0, 4.5)) == 0  # coarse counters
    assert used_by_others(before, before) == 0
    assert used_by_others(None, before) == used_by_others(before, None) == 0


def test_the_counters_of_this_system_grow_or_are_unknown():
    found = processors.read()
    if found is not None:
        assert found.busy_s > 0 and found.own_s > 0
    assert processors.count() >= 1


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2 x", "cpu  1 2 3 4"])
def test_other_counters_count_as_unknown(text, tmp_path, monkeypatch):
    path = tmp_path / "stat"
    path.write_text(text)
    monkeypatch.setattr(processors, "_COUNTERS", path)
    assert processors.read() is None
    monkeypatch.setattr(processors, "_COUNTERS", tmp_path / "none")
    assert processors.read() is None


def test_programs_of_lower_priority_do_not_count(tmp_path, monkeypatch):
    path = tmp_path / "stat"
    path.write_text("cpu  100 7000 50 9999 1 2 3 4 0 0\ncpu0 1\n")
    monkeypatch.setattr(processors, "_COUNTERS", path)
    monkeypatch.setattr(processors.os, "sysconf", lambda _: 100)
    for own, busy_s in ((0, 1.59), (10, 71.59)):
        monkeypatch.setattr(processors.os, "nice", lambda _, own=own: own)
        found = processors.read()
        assert found is not None and found.busy_s == pytest.approx(busy_s)


def test_a_watch_waits_for_a_first_difference_only():
    times, waits = iter([0.0, 0.04, 0.1, 5.0]), []
    watch = Watch(lambda: Reading(t := next(times), 2 * t, t), waits.append)
    assert watch.others() == pytest.approx(1)
    assert waits == [pytest.approx(0.06)]
    assert watch.others() == pytest.approx(1)
    assert len(waits) == 1
    assert Watch(lambda: None, waits.append).others() == 0


def test_threads_fit_the_free_processors_and_do_not_swing():
    assert [threads_for(free, 8, 8) for free in (8, 7.6, 7.4, 2.6, 1, 0, -3)] == [
        8,
        8,
        7,
        3,
        1,
        1,
        1,
    ]
    assert [threads_for(free, 1, 8) for free in (8, 3.8, 3.7, 1.8, 1.7)] == [8, 4, 3, 2, 1]
    for free, most in itertools.product([n / 10 for n in range(90)], (1, 2, 8)):
        for now in range(1, most + 1):
            once = threads_for(free, now, most)
            assert 1 <= once <= most
            assert threads_for(free, once, most) == once
            for noise in (-0.1, 0.1):  # a little more or less leaves the number as it is, once
                again = threads_for(free + noise, once, most)
                assert threads_for(free, again, most) == again
