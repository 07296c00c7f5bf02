"""The scale at which a live run works."""

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.live.working_view import WorkingView


def updated(viewing, results, face_px, times):
    """Ratios of the scale while a head of that size (in the camera's picture) is tracked."""
    ratios = []
    for _ in range(times):
        head = replace(results.tracks.head, size_px=face_px * viewing.view().scale)
        ratios.append(viewing.update(replace(results.tracks, head=head, lost="")))
    return ratios


def test_the_view_follows_the_face_in_rare_steps(results):
    viewing = WorkingView()
    viewing.begin(np.full((720, 1280, 3), 90, np.uint8))  # nobody there
    assert viewing.view().scale == pytest.approx(0.5)
    assert set(updated(viewing, results, 250, 60)) == {1.0}  # 125 pixels: well
    near = updated(viewing, results, 500, 60)
    assert sum(ratio != 1 for ratio in near) == 1
    assert np.prod(near) == pytest.approx(150 / 500 / 0.5)
    assert viewing.view().scale == pytest.approx(0.3)
    assert set(updated(viewing, results, 500, 60)) == {1.0}
    far = updated(viewing, results, 100, 60)
    assert viewing.view().scale == pytest.approx(0.5) and np.prod(far) == pytest.approx(0.5 / 0.3)


def test_a_short_change_of_the_face_and_a_lost_one_are_no_reason(results):
    viewing = WorkingView()
    viewing.begin(np.full((480, 640, 3), 90, np.uint8))
    assert set(updated(viewing, results, 600, 10)) == {1.0}
    assert set(updated(viewing, results, 150, 5)) == {1.0}
    assert set(updated(viewing, results, 600, 10)) == {1.0}
    assert viewing.update(replace(results.tracks, lost="gone")) == 1.0
