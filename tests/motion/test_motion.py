"""Sparse motion, transfer and dense motion against independent answers."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from skimage.transform import AffineTransform

from hybridanim import geometry, smoothing
from hybridanim.face.anchors import ANCHORS, FOLLOW, FREE, PINNED, REACH_BOX
from hybridanim.face.landmarks import POINTS
from hybridanim.fitting import fit_global_affine, fit_local_affines
from hybridanim.motion import dense, transfer
from hybridanim.motion.keypoints import carry_anchors, place_anchors
from hybridanim.types import Crop, HeadBox, Keypoints, Tracks

CROP = Crop(100.0, 50.0, 240.0)
HEAD = HeadBox((220.0, 165.0), 104.0)
RNG = np.random.default_rng(5)


def keypoints(seed: int = 1, wobble: float = 0.1) -> Keypoints:
    rng = np.random.default_rng(seed)
    k = len(ANCHORS)
    xy = place_anchors(HEAD, None, None, CROP).xy_norm
    jacobian = 0.87 * np.eye(2) + wobble * rng.normal(size=(k, 2, 2))
    return Keypoints(xy, jacobian.astype(np.float32), np.ones(k, np.float32))


def tracks(reference, now, head=HEAD) -> Tracks:
    n = len(reference)
    return Tracks(
        now.astype(np.float32),
        reference.astype(np.float32),
        np.arange(n),
        np.full(n, 5),
        np.ones(n, np.float32),
        head=head,
        confidence_overall=1.0,
    )


def test_global_affine_is_that_of_scikit_image():
    before = RNG.uniform(0, 200, (60, 2))
    truth = AffineTransform(rotation=0.2, scale=(1.1, 0.9), translation=(5, -8))
    after = truth(before)
    found = fit_global_affine(before, after, np.ones(60), 2.0)
    np.testing.assert_allclose(found, truth.params[:2], atol=5e-2)
    np.testing.assert_allclose(before @ found[:, :2].T + found[:, 2], after, atol=0.15)


def test_global_affine_leaves_out_a_third_of_outliers():
    before = RNG.uniform(0, 200, (90, 2))
    after = before * 1.05 + [3, 4]
    after[:30] += RNG.normal(0, 40, (30, 2))
    found = fit_global_affine(before, after, np.ones(90), 2.0)
    error = np.linalg.norm(before @ found[:, :2].T + found[:, 2] - (before * 1.05 + [3, 4]), axis=1)
    assert np.median(error) < 0.7


def test_local_affine_minimises_its_own_objective():
    """Against scipy's general solver, with one pass and no robust weights in play."""
    before = RNG.uniform(0, 100, (40, 2))
    after = before + 0.2 * RNG.normal(size=(40, 2))
    place, reach = np.array([50.0, 50.0]), 20.0
    prior = np.array([[1.02, 0, 1], [0, 0.98, -1.0]])
    xy, linear, _ = fit_local_affines(
        before,
        after,
        np.ones(40),
        places=place[None],
        reach_px=np.array([reach]),
        prior=prior,
        residual_px=1e6,
    )

    def residuals(unknown):
        matrix, shift = unknown[:4].reshape(2, 2), unknown[4:]
        weight = np.exp(-0.5 * ((before - place) ** 2).sum(1) / reach**2)
        data = np.sqrt(weight)[:, None] * ((before - place) @ matrix.T + shift - after)
        stiff = np.sqrt(2.0) * reach * (matrix - prior[:, :2])
        held = np.sqrt(0.15) * (shift - (prior[:, :2] @ place + prior[:, 2]))
        return np.concatenate([data.ravel(), stiff.ravel(), held])

    best = least_squares(residuals, np.zeros(6)).x
    np.testing.assert_allclose(linear[0].ravel(), best[:4], atol=1e-4)
    np.testing.assert_allclose(xy[0], best[4:], atol=1e-3)


def test_local_affine_without_rows_is_the_prior():
    prior = np.array([[1.1, 0.1, 3], [0, 0.9, 2]])
    place = np.array([[10.0, 20.0]])
    xy, linear, support = fit_local_affines(
        np.zeros((0, 2)),
        np.zeros((0, 2)),
        np.zeros(0),
        places=place,
        reach_px=np.array([5.0]),
        prior=prior,
        residual_px=1.0,
    )
    np.testing.assert_allclose(xy[0], prior[:, :2] @ place[0] + prior[:, 2], rtol=1e-6)
    np.testing.assert_allclose(linear[0], prior[:, :2], rtol=1e-6)
    assert support[0] == 0


def test_moved_recovers_a_known_affine():
    reference = place_anchors(HEAD, None, None, CROP)
    before = RNG.uniform([160, 100], [280, 240], (150, 2))
    linear, shift = np.array([[1.05, -0.1], [0.08, 0.97]]), np.array([4.0, -6.0])
    middle = np.array(HEAD.center_xy_px)
    now = (before - middle) @ linear.T + middle + shift
    found = carry_anchors(tracks(before, now), reference, HEAD, CROP)
    rigid = [k for k, anchor in enumerate(ANCHORS) if anchor.follow == 1]
    places = geometry.px_from_norm(reference.xy_norm, CROP)
    truth = (places - middle) @ linear.T + middle + shift
    error = np.linalg.norm(geometry.px_from_norm(found.xy_norm, CROP) - truth, axis=1)[rigid]
    assert np.median(error) < 0.1
    assert error.max() < 1.0
    change = found.jacobian @ geometry.inverse_2x2(reference.jacobian)
    assert np.abs(change[rigid] - linear).max() < 0.02


def test_moved_is_still_when_nothing_moves():
    reference = place_anchors(HEAD, None, None, CROP)
    before = RNG.uniform([160, 100], [280, 240], (50, 2))
    found = carry_anchors(tracks(before, before), reference, HEAD, CROP)
    np.testing.assert_allclose(found.xy_norm, reference.xy_norm, atol=1e-5)
    np.testing.assert_allclose(found.jacobian, reference.jacobian, atol=1e-4)


def test_moved_survives_no_tracks():
    reference = place_anchors(HEAD, None, None, CROP)
    none = np.zeros((0, 2))
    found = carry_anchors(tracks(none, none), reference, HEAD, CROP)
    assert np.isfinite(found.xy_norm).all()


def test_rest_on_landmarks_sits_on_them():
    from hybridanim.face.aligner import MEAN_SHAPE

    landmarks = (MEAN_SHAPE * HEAD.size_px + HEAD.center_xy_px).astype(np.float32)
    found = place_anchors(HEAD, landmarks, MEAN_SHAPE, CROP)
    names = [anchor.name for anchor in ANCHORS]
    k = names.index("left_outer_eye")
    row = POINTS.index("left_eye_0")
    at = geometry.px_from_norm(found.xy_norm[k], CROP)
    np.testing.assert_allclose(at, landmarks[row], atol=1e-3)
    size = HEAD.size_px * 2 / CROP.side_px
    np.testing.assert_allclose(found.jacobian, np.tile(size * np.eye(2), (38, 1, 1)), atol=0.01)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_relative_transfer_of_no_motion_is_rest(strength):
    driver, source = keypoints(1), keypoints(2)
    found = transfer.relative(driver, driver, source, head_ratio=1.3, strength=strength)
    np.testing.assert_allclose(found.xy_norm, source.xy_norm, atol=1e-5)
    np.testing.assert_allclose(found.jacobian, source.jacobian, atol=1e-3)


def test_relative_transfer_is_the_published_formula():
    driver, reference, source = keypoints(1), keypoints(2), keypoints(3)
    found = transfer.relative(driver, reference, source, head_ratio=0.8)
    for k in range(len(ANCHORS)):
        p = source.xy_norm[k] + 0.8 * (driver.xy_norm[k] - reference.xy_norm[k])
        j = driver.jacobian[k] @ np.linalg.inv(reference.jacobian[k]) @ source.jacobian[k]
        np.testing.assert_allclose(found.xy_norm[k], p, atol=1e-5)
        np.testing.assert_allclose(found.jacobian[k], j, rtol=1e-2, atol=1e-3)


def test_combine_is_the_weighted_sum_of_local_maps():
    source, target = keypoints(1), keypoints(2)
    reach = REACH_BOX * 0.87
    motion = dense.combine(source, target, reach, 48)
    grid = geometry.grid_norm(48)
    maps = dense.local_maps(source, target, grid)
    assert motion.weights is not None
    expected = motion.weights[0][..., None] * grid
    for k in range(len(ANCHORS)):
        expected = expected + motion.weights[k + 1][..., None] * maps[k]
    np.testing.assert_allclose(motion.grid_norm, expected, atol=1e-5)
    np.testing.assert_allclose(motion.weights.sum(0), 1, atol=1e-5)


def test_identity_keypoints_give_the_identity_grid():
    source = keypoints(1)
    motion = dense.combine(source, source, REACH_BOX * 0.87, 64)
    np.testing.assert_allclose(motion.grid_norm, geometry.grid_norm(64), atol=1e-5)
    np.testing.assert_allclose(motion.occlusion, 1, atol=1e-4)


def test_one_affine_for_all_is_recovered_inside_the_head():
    """Median end-point error under 1 px at 256: the flow inside the face is the affine itself."""
    source = place_anchors(HEAD, None, None, CROP)
    linear = np.array([[0.97, -0.12], [0.12, 1.02]], np.float32)
    shift = np.array([0.06, -0.04], np.float32)
    target = Keypoints(
        (source.xy_norm @ linear.T + shift).astype(np.float32),
        (linear @ source.jacobian).astype(np.float32),
        np.ones(len(ANCHORS), np.float32),
    )
    motion = dense.combine(source, target, REACH_BOX * 0.87, 64)
    grid = geometry.grid_norm(64)
    truth = (grid - shift) @ np.linalg.inv(linear).T
    middle = target.xy_norm[[a.name == "nose_tip" for a in ANCHORS]][0]
    face = np.linalg.norm(grid - middle, axis=-1) < 0.45
    error_px = np.linalg.norm(motion.grid_norm - truth, axis=-1)[face] * 128
    assert np.median(error_px) < 1


def test_background_stays_far_from_the_head():
    source = place_anchors(HEAD, None, None, CROP)
    target = Keypoints(source.xy_norm + np.float32(0.1), source.jacobian, source.confidence)
    motion = dense.combine(source, target, REACH_BOX * 0.4, 64)
    corner = motion.grid_norm[:6, :6] - geometry.grid_norm(64)[:6, :6]
    assert np.abs(corner).max() < 2e-3


def test_area_change_and_occlusion_of_known_grids():
    grid = geometry.grid_norm(64)
    np.testing.assert_allclose(dense.area_change(grid * np.float32(0.5)), 0.25, atol=1e-4)
    np.testing.assert_allclose(dense.area_change(-grid * [1, -1]), -1, atol=1e-4)
    assert dense.occlusion(grid).min() > 0.99  # rigid: all shown
    assert dense.occlusion((-grid * [1, -1]).astype(np.float32)).max() < 0.01  # folded
    assert dense.occlusion(grid * np.float32(0.25)).max() < 0.01  # stretched 16 times


def test_one_euro_keeps_rest_and_follows_a_ramp():
    state, times = None, np.arange(90) / 30
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(90, 3))
    out = []
    for t, x in zip(times, noise, strict=True):
        state, y = smoothing.one_euro_step(state, x, t, min_cutoff_hz=1.0, beta=0.5)
        out.append(y)
    assert np.std(out[30:]) < 0.6 * np.std(noise[30:])
    state = None
    for t in times:
        ramp = np.array([3 * t])
        state, y = smoothing.one_euro_step(state, ramp, t, min_cutoff_hz=1.0, beta=5.0)
    assert abs(y[0] - ramp[0]) < 0.1  # under 35 ms behind


def test_one_euro_gain_is_the_papers():
    """Algorithm 1 by hand for one step."""
    state, _ = smoothing.one_euro_step(None, np.array([0.0]), 0.0, min_cutoff_hz=1.0, beta=2.0)
    _, y = smoothing.one_euro_step(state, np.array([1.0]), 0.1, min_cutoff_hz=1.0, beta=2.0)

    def alpha(cutoff):
        tau = 1 / (2 * np.pi * cutoff)
        return 1 / (1 + tau / 0.1)

    speed = alpha(1.0) * 10.0
    assert y[0] == pytest.approx(alpha(1.0 + 2.0 * speed))


def test_pinned_keypoints_are_met_by_the_flow():
    """A closing eye: the upper lid comes down onto the lower one, its neighbours stay."""
    source = place_anchors(HEAD, None, None, CROP)
    names = [anchor.name for anchor in ANCHORS]
    k = names.index("left_upper_lid")
    xy = source.xy_norm.copy()
    xy[k, 1] += 0.03
    target = Keypoints(xy, source.jacobian, np.ones(len(ANCHORS), np.float32))
    missed = {}
    for name, pinned in (("plain", None), ("pinned", PINNED)):
        motion = dense.combine(source, target, REACH_BOX * 0.87, 256, pinned)
        at = geometry.warp(motion.grid_norm, xy[None, k : k + 1].repeat(2, 0))[0, 0]
        missed[name] = np.linalg.norm(at - source.xy_norm[k]) / 0.03
    assert missed["pinned"] < 0.3
    assert missed["pinned"] < 0.5 * missed["plain"]


def test_stiff_keypoints_follow_the_head_and_free_ones_move():
    source = keypoints(3, wobble=0.0)
    reference = place_anchors(HEAD, None, None, CROP)
    names = [anchor.name for anchor in ANCHORS]
    jaw, lid = names.index("left_jaw"), names.index("left_upper_lid")
    xy = reference.xy_norm + np.float32([0.1, 0.05])
    xy[[jaw, lid]] += np.float32([0.03, 0.02])
    driver = Keypoints(xy, reference.jacobian, reference.confidence)
    found = transfer.relative(driver, reference, source, head_ratio=1.0, free=FREE)
    moved = found.xy_norm - source.xy_norm
    np.testing.assert_allclose(moved[lid], [0.13, 0.07], atol=0.006)
    np.testing.assert_allclose(moved[jaw], [0.11, 0.056], atol=0.006)


def shifted(source: Keypoints, shift) -> Keypoints:
    return Keypoints(source.xy_norm + np.float32(shift), source.jacobian, source.confidence)


def test_small_motion_is_not_held_back_and_large_motion_stays_inside():
    source = keypoints(3, wobble=0.0)
    center, size = geometry.norm_from_px(np.array(HEAD.center_xy_px), CROP), 0.87
    small = transfer.clamp_to_crop(source, shifted(source, [0.2, -0.1]), center, size, PINNED)
    np.testing.assert_allclose(small.xy_norm, source.xy_norm + np.array([0.2, -0.1]), atol=1e-4)
    ends = []
    for far in (0.5, 1.0, 2.0, 4.0):
        held = transfer.clamp_to_crop(source, shifted(source, [far, 0.0]), center, size, PINNED)
        ends.append(float((held.xy_norm - source.xy_norm)[PINNED, 0].mean()))
    assert ends == sorted(ends)  # never turns back
    assert ends[-1] <= 1 - center[0] - 0.5 * size + 0.25 * size + 1e-3


def test_neck_and_shoulders_take_their_share_and_keep_the_sources_size():
    source = keypoints(3, wobble=0.0)
    other = keypoints(1, wobble=0.0)  # the driver's own neck and shoulders are elsewhere
    xy = np.where(PINNED[:, None], source.xy_norm + np.float32([0.1, 0.0]), other.xy_norm + 0.5)
    found = transfer.follow_head(source, Keypoints(xy, source.jacobian, source.confidence), FOLLOW)
    moved = found.xy_norm - source.xy_norm
    np.testing.assert_allclose(moved[:, 0], 0.1 * FOLLOW, atol=2e-3)
    np.testing.assert_allclose(moved[:, 1], 0, atol=2e-3)
    np.testing.assert_allclose(found.jacobian, source.jacobian, atol=5e-3)


def test_a_head_that_is_kept_inside_takes_a_body_along_that_came_with_it():
    source = keypoints(3, wobble=0.0)
    center, size = np.zeros(2), 0.5
    gone = shifted(source, [1.2, 0.0])
    held = transfer.clamp_to_crop(source, gone, center, size, PINNED, with_body=True)
    steps = held.xy_norm - source.xy_norm
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-5)
    assert steps[0, 0] < 1.15
