"""Threads beside other programs: made loads, no clock."""

import pytest

from hybridanim.config import PipelineConfig
from hybridanim.live.quality import QualityGovernor, quality_levels
from hybridanim.live.sharing import Sharing
from tests.live.test_quality import shot


class MadeWatch:
    """Others use what the test says."""

    def __init__(self, others=0.0):
        self.now, self.calls = others, 0

    def others(self):
        self.calls += 1
        return self.now


def sharing_of(watch, most=2, count=2):
    return Sharing(most, watch, count)


def test_the_start_is_measured_at_once():
    for others, threads in ((0.0, 2), (0.4, 2), (1.0, 1), (2.0, 1)):
        sharing = sharing_of(MadeWatch(others))
        sharing.begin()
        assert sharing.threads == threads
    sharing = sharing_of(MadeWatch(6.0), most=8, count=16)  # half of the processors were chosen
    sharing.begin()
    assert sharing.threads == 8


def test_threads_follow_other_programs_down_and_up():
    watch = MadeWatch()
    sharing = sharing_of(watch)
    sharing.begin()
    seen = []
    for step in range(400):  # ten times a second
        watch.now = 1.3 if 100 <= step < 250 else 0.1
        sharing.update(step / 10)
        seen.append(sharing.threads)
    assert set(seen[:100]) == {2} and set(seen[130:250]) == {1} and set(seen[290:]) == {2}
    assert watch.calls <= 43  # once a second


def test_the_governor_uses_and_says_it():
    watch = MadeWatch()
    sharing = sharing_of(watch)
    levels = quality_levels(PipelineConfig(size=256), uses_networks=True, is_more_than_warp=True)
    governor = QualityGovernor(levels, 80, sharing)
    assert governor.quality.threads == 0 and governor.text() == ""
    watch.now, changed = 2.0, []
    for number in range(150):
        time_s = number / 30
        cost_s = 0.09 if not governor.state.level else 0.02  # as measured beside two busy loops
        if governor.record(shot(number, time_s), time_s, time_s + cost_s):
            changed.append(governor.quality)
    assert changed[0].threads == 1 or changed[1].threads == 1
    assert governor.quality.is_warp and governor.quality.threads == 1
    assert governor.text().startswith("lowered: warp renderer, 1 of 2 threads; other programs use ")
    report = governor.report()
    assert report["threads"] == 1 and report["others"] > 1.5 and report["said"] == governor.text()
    assert all({"at_s", "to", "load", "threads", "others"} == set(c) for c in report["changes"])


@pytest.mark.parametrize("others", [0.0, 0.3])
def test_an_idle_machine_changes_nothing(others):
    governor = QualityGovernor(
        quality_levels(PipelineConfig(size=256)), 80, sharing_of(MadeWatch(others))
    )
    for number in range(300):
        assert not governor.record(shot(number, number / 30), number / 30, number / 30 + 0.02)
    assert governor.text() == "" and governor.report()["threads"] == 2
