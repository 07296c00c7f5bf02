"""What the end of a run says about frames whose motion was held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.held import HeldStretches, clock
from tests.made_results import made_results, made_source


def told(reasons, frame_s=0.1):
    """Sentences for frames that were held for these reasons; None = not held."""
    one, held = made_results(0, made_source(64)), HeldStretches()
    for index, reason in enumerate(reasons):
        held.add(
            replace(
                one,
                frame=replace(one.frame, index=index, time_s=index * frame_s),
                tracks=replace(one.tracks, lost=reason or ""),
                points=replace(one.points, is_frozen=reason is not None),
            )
        )
    held.finish(frame_s)
    return held.sentences()


@pytest.mark.parametrize(
    ("time_s", "text"), [(0.0, "0:00"), (1.8, "0:01.8"), (59.96, "1:00"), (61.3, "1:01.3")]
)
def test_times_are_minutes_and_seconds(time_s, text):
    assert clock(time_s) == text


def test_a_run_without_losses_says_nothing():
    assert told([None] * 5) == []


def test_every_stretch_is_said_with_its_most_frequent_reason():
    reasons = ["no face"] * 18 + [None] * 4 + ["covered", "gone", "gone"]
    assert told(reasons) == ["0:00 to 0:01.8: no face; held", "0:02.2 to 0:02.5: gone; held"]


def test_a_held_frame_with_tracks_has_a_reason_too():
    (line,) = told([None, "", "", None])
    assert line == "0:00.1 to 0:00.3: the face is covered or distorted; held"


def test_short_stretches_are_counted_together():
    lines = told([*(["no face"] * 3), None] * 2 + ["no face", None] * 9)
    assert len(lines) == 7 and lines[0].startswith("0:00 to 0:00.3")
    assert lines[-1] == "5 shorter ones, 0.5 s in all: held."
