"""The rules by which a head is confirmed, over made-up numbers."""

from __future__ import annotations

import pytest

from hybridanim.tracking import confirmation
from hybridanim.tracking.confirmation import FIT, Confirmation, Limits

LIMITS = Limits(start=0.5, keep=0.4, patience_s=1.0)


def after(known, evidence, step_s=0.1, start_s=0.0):
    """The confirmation after some frames, and the times at which it was given up."""
    given_up = []
    for number, value in enumerate(evidence, 1):
        time_s = start_s + number * step_s
        known = confirmation.step(known, value, time_s, LIMITS)
        if confirmation.is_given_up(known, time_s, LIMITS):
            given_up.append(round(time_s, 3))
    return known, given_up


def test_weak_evidence_makes_no_head():
    assert confirmation.start(0.49, 0.0, LIMITS) is None
    assert confirmation.start(0.5, 2.0, LIMITS) == Confirmation(0.5, 0.5, 2.0)


def test_a_followed_head_needs_less_than_a_new_one():
    known = confirmation.start(0.8, 0.0, LIMITS)
    known, given_up = after(known, [0.45] * 40)
    assert known.is_confirmed and not given_up
    known, given_up = after(known, [0.39] * 5, start_s=4.0)
    assert not known.is_confirmed and known.confirmed_s == pytest.approx(4.0) and not given_up


def test_patience_counts_seconds_from_the_last_face():
    known = confirmation.start(0.8, 0.0, LIMITS)
    _, given_up = after(known, [0.0] * 15)
    assert given_up == [1.1, 1.2, 1.3, 1.4, 1.5]
    _, given_up = after(known, [0.0] * 9 + [0.7] + [0.0] * 9)
    assert not given_up
    _, given_up = after(known, [0.0] * 6, step_s=0.5)  # few frames a second
    assert given_up[0] == 1.5


def test_a_face_that_the_picture_cuts_off_counts_for_less():
    assert confirmation.evidence_of(0.9, 1.0, is_known=False) == 0.9
    assert confirmation.evidence_of(1.0, 0.7, is_known=False) == 0.7
    assert confirmation.evidence_of(1.0, 0.55, is_known=False) == 0
    assert confirmation.evidence_of(1.0, 0.55, is_known=True) == 0.55
    assert confirmation.evidence_of(1.0, 0.45, is_known=True) == 0


def test_only_a_clearly_better_face_replaces_the_followed_one():
    sure, doubtful, carried = (Confirmation(value, 0.9, 0.0) for value in (0.9, 0.6, 0.0))
    assert not confirmation.is_better(1.0, sure, LIMITS)
    assert not confirmation.is_better(0.8, doubtful, LIMITS)
    assert confirmation.is_better(0.9, doubtful, LIMITS)
    assert confirmation.is_better(0.5, carried, LIMITS)
    assert not confirmation.is_better(0.4, carried, LIMITS)


def test_the_reference_becomes_a_frame_that_shows_the_face_much_better():
    known = confirmation.start(0.55, 0.0, FIT)
    assert not confirmation.wants_reference(known)
    known = confirmation.step(known, 0.75, 0.1, FIT)
    assert not confirmation.wants_reference(known)
    known = confirmation.step(known, 0.95, 0.2, FIT)
    assert confirmation.wants_reference(known)
    known = confirmation.with_reference(known)
    assert not confirmation.wants_reference(confirmation.step(known, 1.0, 0.3, FIT))


def test_a_head_that_returns_keeps_its_reference():
    known = confirmation.start(0.9, 0.0, FIT)
    known = confirmation.resumed(known, 0.6, 5.0)
    assert known == Confirmation(0.6, 0.9, 5.0)
