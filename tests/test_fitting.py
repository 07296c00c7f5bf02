"""Fits of similarities and affines: known maps are recovered, outliers do not matter."""

import numpy as np
import pytest

from hybridanim import fitting
from hybridanim.geometry import apply_affine

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(40, 2)) * 50
SIMILARITY = np.array([[1.2, -0.5, 3.0], [0.5, 1.2, -7.0]])
AFFINE = np.array([[1.1, 0.2, 3.0], [-0.1, 0.9, -7.0]])
ONES = np.ones(len(POINTS))


def with_outliers(known, count=10):
    after = apply_affine(known, POINTS)
    after[:count] += RNG.uniform(30, 60, (count, 2))
    return after


def stacked_similarity(before, after):
    """The similarity by ordinary least squares over a, b, tx, ty: x' = ax - by + tx, ..."""
    x, y, one, none = *before.T, np.ones(len(before)), np.zeros(len(before))
    rows = np.r_[np.c_[x, -y, one, none], np.c_[y, x, none, one]]
    a, b, tx, ty = np.linalg.lstsq(rows, after.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


def test_similarity_is_recovered():
    found = fitting.fit_similarity(POINTS, apply_affine(SIMILARITY, POINTS))
    np.testing.assert_allclose(found, SIMILARITY, atol=1e-9)


def test_closed_form_similarities_agree_with_an_independent_one():
    after = apply_affine(AFFINE, POINTS) + RNG.normal(size=POINTS.shape)
    oracle = stacked_similarity(POINTS, after)
    np.testing.assert_allclose(fitting.fit_similarity(POINTS, after), oracle, atol=1e-8)
    weighted = fitting.fit_weighted_similarity(POINTS, after, 3 * ONES)
    np.testing.assert_allclose(weighted, oracle, atol=1e-8)


def test_weights_choose_the_rows():
    after = with_outliers(SIMILARITY)
    weight = np.r_[np.zeros(10), np.ones(30)]
    found = fitting.fit_weighted_similarity(POINTS, after, weight)
    np.testing.assert_allclose(found, SIMILARITY, atol=1e-9)


@pytest.mark.parametrize(
    "fit",
    [
        lambda after: fitting.fit_robust_similarity(POINTS, after, 0.5, rounds=20),
        lambda after: fitting.fit_regularised_similarity(POINTS, after, ONES, 0.5, 1.0)[0],
    ],
)
def test_robust_similarities_are_hardly_moved_by_outliers(fit):
    found = fit(with_outliers(SIMILARITY))
    np.testing.assert_allclose(
        apply_affine(found, POINTS), apply_affine(SIMILARITY, POINTS), atol=1.0
    )


def test_regularised_similarity_counts_its_inliers():
    _, inliers = fitting.fit_regularised_similarity(POINTS, with_outliers(SIMILARITY), ONES, 2, 1)
    assert 25 < inliers <= 30.5


def test_robust_affine_is_hardly_moved_by_outliers_and_finds_them():
    found, robust = fitting.fit_robust_affine(POINTS, with_outliers(AFFINE), ONES, 0.5, rounds=20)
    np.testing.assert_allclose(apply_affine(found, POINTS), apply_affine(AFFINE, POINTS), atol=1.0)
    assert robust[:10].max() < 0.1 and robust[10:].min() > 0.5


def test_robust_affine_of_few_rows_is_a_similarity_or_a_shift():
    after = apply_affine(SIMILARITY, POINTS)
    found, _ = fitting.fit_robust_affine(POINTS[:4], after[:4], ONES[:4], 0.5)
    np.testing.assert_allclose(found, SIMILARITY, atol=1e-9)
    shift, _ = fitting.fit_robust_affine(POINTS[:1], POINTS[:1] + 2, ONES[:1], 0.5)
    np.testing.assert_allclose(shift, [[1, 0, 2], [0, 1, 2]], atol=1e-9)
