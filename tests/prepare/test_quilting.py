"""Texture synthesis: what is known stays, the rest is the texture, in its direction."""

import numpy as np

from hybridanim.prepare import quilting

Y, X = np.mgrid[:120, :120]
STRIPES = np.repeat((127 + 100 * np.sin(X / 3))[..., None], 3, 2).astype(np.uint8)  # vertical
CENTRES = np.stack(np.meshgrid(np.arange(40, 80, 2), np.arange(40, 80, 5)), -1).reshape(-1, 2)


def filled(degrees, known=None, canvas=None):
    shape = (60, 80)
    known = np.zeros(shape, bool) if known is None else known
    canvas = np.zeros((*shape, 3)) if canvas is None else canvas
    found = quilting.patches(STRIPES, CENTRES, degrees, 16)
    return quilting.cover(canvas, known, [found], np.zeros(shape[1], int))


def energy(image):
    """Squared differences down and across."""
    grey = image[..., 0].astype(float)
    return (np.diff(grey, axis=0) ** 2).mean(), (np.diff(grey, axis=1) ** 2).mean()


def test_what_is_known_stays_and_all_is_covered():
    known = np.zeros((60, 80), bool)
    known[:20, 10:50] = True
    canvas = np.random.default_rng(0).uniform(0, 255, (60, 80, 3))
    out = filled(0, known, canvas)
    np.testing.assert_allclose(out[known], canvas[known], atol=1e-3)
    assert out[~known].std() > 30 and out.min() >= 0 and out.max() <= 255


def test_patches_are_turned():
    down, across = energy(filled(0))
    assert across > 5 * down
    down, across = energy(filled(90))
    assert down > 5 * across


def test_patches_continue_what_is_known():
    known = np.zeros((60, 80), bool)
    known[:24] = True
    out = filled(0, known, np.repeat(STRIPES[:60, :80], 1, 0).astype(float))
    grey = out[..., 0]
    assert np.corrcoef(grey[:24].mean(0), grey[26:40].mean(0))[0, 1] > 0.8


def test_the_same_every_time():
    np.testing.assert_array_equal(filled(30), filled(30))
