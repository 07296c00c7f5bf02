"""Bent windows carry their points along; glasses cover the eye, or only frame it."""

import numpy as np

from hybridanim.training.face_points import variation


def spot(x, y, width=64, height=48):
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return np.round(250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)).astype(np.uint8)


def centre(window):
    values = np.where(window > 0.5 * window.max(), window, 0).astype(float)
    rows, columns = np.indices(window.shape)
    return np.array([(values * columns).sum(), (values * rows).sum()]) / values.sum()


def test_a_mark_lies_at_its_point_in_a_bent_window():
    rng, shifts = np.random.default_rng(0), []
    for _ in range(20):
        at = rng.uniform([16, 14], [48, 34])
        window, there = variation.bent(spot(*at), at[None], 1.5, rng)
        np.testing.assert_allclose(centre(window), there[0], atol=0.6)
        shifts.append(np.linalg.norm(there[0] - at))
    assert max(shifts) > 1.5  # otherwise staying where it was would pass


def test_lenses_are_clear_or_cover_the_eye():
    rng, centres = np.random.default_rng(1), []
    window = np.full((32, 48), 100, np.uint8)
    for _ in range(60):
        found = variation.with_glasses(window, rng)
        assert found.shape == window.shape and found.dtype == np.uint8
        assert (found != window).any()
        centres.append(found[16, 24] == 100)
    assert 0.3 < np.mean(centres) < 0.7
