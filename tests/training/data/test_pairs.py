"""Cached clips and pairs: geometry of the augmentation, determinism, what is left out."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.face.anchors import ANCHORS, FOLLOW
from hybridanim.face.landmarks import MIRROR
from hybridanim.training.data import augment, cache, pairs
from hybridanim.training.data.augment import NONE, Augment
from hybridanim.training.data.batch import anchor_layout
from hybridanim.training.data.cache import TEACHER, TRACKED, Clip
from hybridanim.training.data.pairs import Pairs
from hybridanim.types import Array

LAYOUT = anchor_layout()
PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "noisy": 0.0}
VIEW_ONLY = Augment(**PLAIN, crop=0.2, point_noise=0, jacobian_noise=0, offset_norm=0)
SIDE = 64


def landmarks(scale: float = 24.0, shift: tuple[float, float] = (31.0, 30.0)) -> Array:
    """The mean face in a picture, not symmetric."""
    xy = scale * MEAN_SHAPE + np.array(shift)
    xy[:, 0] += 0.05 * xy[:, 1]
    return xy.astype(np.float32)


def dots(rows: Array, side: int = SIDE) -> Array:
    """A dark picture with a bright soft dot at the keypoint ``left_upper_lid``."""
    k = [anchor.name for anchor in ANCHORS].index("left_upper_lid")
    x, y = (rows[k, :2] + 1) * side / 2 - 0.5
    yy, xx = np.mgrid[:side, :side]
    bell = np.exp(-0.5 * ((xx - x) ** 2 + (yy - y) ** 2) / 1.5**2)
    return np.repeat((255 * bell).astype(np.uint8)[..., None], 3, 2)


def clip(name: str = "a", frames: int = 6) -> Clip:
    """Faces that drift."""
    rows = np.array([cache.anchors_of(landmarks(24 + i), SIDE) for i in range(frames)])
    pictures = np.array([dots(row) for row in rows])
    return Clip(name, name, pictures, {TEACHER: rows})


def brightest(picture: Array) -> Array:
    """Sub-pixel place of the dot, normalised."""
    grey = np.asarray(picture[..., 0], np.float64)
    yy, xx = np.mgrid[: len(grey), : len(grey)]
    at = np.array([(grey * xx).sum(), (grey * yy).sum()]) / grey.sum()
    return (at + 0.5) * 2 / len(grey) - 1


@pytest.mark.parametrize("seed", range(6))
def test_keypoints_follow_the_augmented_picture(seed: int) -> None:
    """The dot painted at a keypoint is found where the augmented keypoint says."""
    rng = np.random.default_rng(seed)
    transform = augment.draw_transform(VIEW_ONLY, rng)
    found = pairs.pair(clip(), TEACHER, (0, 3), LAYOUT, size=SIDE, transform=transform, rng=rng)
    names = [anchor.name for anchor in ANCHORS]
    # a mirrored picture calls the eye at its left the left eye
    k = names.index("right_upper_lid" if transform.is_flipped else "left_upper_lid")
    for picture, rows in ((found[0], found[2]), (found[1], found[3])):
        np.testing.assert_allclose(brightest(picture), rows[k, :2], atol=0.02)


def test_mirroring_equals_keypoints_of_mirrored_landmarks() -> None:
    """Mirror the landmarks and place the anchors anew: the same as mirroring the anchors."""
    xy = landmarks()
    mirrored = xy[MIRROR].copy()
    mirrored[:, 0] = SIDE - 1 - mirrored[:, 0]
    truth = cache.anchors_of(mirrored, SIDE)[:, :6]
    transform = augment.PairTransform(
        np.array([[-1, 0, 0], [0, 1, 0]], np.float32), True, np.eye(3, 4), "", VIEW_ONLY
    )
    rows = cache.anchors_of(xy, SIDE)[:, :6]
    found = augment.transform_keypoints(rows, transform, LAYOUT, np.random.default_rng(0))
    np.testing.assert_allclose(found, truth, atol=2e-3)


def test_layout_mirror_is_its_own_inverse() -> None:
    np.testing.assert_array_equal(LAYOUT.mirror[LAYOUT.mirror], np.arange(LAYOUT.count))
    assert LAYOUT.watched.sum() >= 8


def test_held_back_moves_by_the_share() -> None:
    rows = clip().points[TEACHER]
    before, after = rows[0, :, :6], rows[5, :, :6]
    found = pairs.damped_motion(before, after, FOLLOW)
    whole, none = FOLLOW == 1, np.zeros_like(FOLLOW)
    np.testing.assert_allclose(found[whole], after[whole], atol=1e-5)
    np.testing.assert_allclose(pairs.damped_motion(before, after, none), before, atol=1e-5)


def test_carried_over_without_motion_is_the_source() -> None:
    rows = clip().points[TEACHER]
    source, before, after = rows[0, :, :6], rows[2, :, :6], rows[4, :, :6]
    np.testing.assert_allclose(pairs.transferred_motion(source, before, before), source, atol=1e-5)
    np.testing.assert_allclose(pairs.transferred_motion(before, before, after), after, atol=1e-5)


def test_batches_depend_on_seed_and_step_alone() -> None:
    clips = [clip("a"), clip("b")]
    first = Pairs(clips, LAYOUT, Augment(), seed=3)
    first.batch(0, 4, 32)
    one, two = first.batch(5, 4, 32), Pairs(clips, LAYOUT, Augment(), seed=3).batch(5, 4, 32)
    assert (one.source == two.source).all() and (one.driving == two.driving).all()
    assert (one.driving_points.xy == two.driving_points.xy).all()
    other = Pairs(clips, LAYOUT, Augment(), seed=4).batch(5, 4, 32)
    assert (one.source != other.source).any()


def test_people_are_drawn_evenly() -> None:
    """One person with nine clips is drawn as often as one with a single clip."""
    many = [Clip(f"a{i}", "a", clip().frames, clip().points) for i in range(9)]
    light = Clip("b", "b", np.full_like(clip().frames, 255), clip().points)
    pairs = Pairs([*many, light], LAYOUT, NONE, seed=0)
    bright = sum(
        float(pairs.batch(i, 8, 16).source.mean(dim=(1, 2, 3)).gt(0.9).sum()) for i in range(25)
    )
    assert 70 < bright < 130


def test_frames_without_keypoints_are_never_drawn() -> None:
    part = clip()
    part.points[TEACHER][[0, 2, 3]] = np.nan
    pairs = Pairs([part], LAYOUT, Augment(), seed=0)
    for step in range(5):
        batch = pairs.batch(step, 8, 16)
        assert batch.source_points.xy.isfinite().all()
        assert batch.driving_points.jacobian.isfinite().all()


@pytest.mark.parametrize("seed", range(4))
def test_jacobians_follow_the_augmented_picture(seed: int) -> None:
    """Two dots, one step of the canonical face apart: in the new view the Jacobian is that step."""
    rng = np.random.default_rng(seed)
    transform = augment.draw_transform(replace(VIEW_ONLY, flip=0.0), rng)
    rows = clip().points[TEACHER][2].copy()
    step = rng.uniform(-0.25, 0.25, 2)
    k = [anchor.name for anchor in ANCHORS].index("left_upper_lid")
    beside = rows.copy()
    beside[k, :2] += rows[k, 2:6].reshape(2, 2) @ step
    found = augment.transform_frames([dots(rows), dots(beside)], transform, rng)
    turned = augment.transform_keypoints(rows[:, :6], transform, LAYOUT, rng)[k]
    moved = brightest(found[1]) - brightest(found[0])
    np.testing.assert_allclose(moved, turned[2:].reshape(2, 2) @ step, atol=0.02)


def test_reversed_pairs_change_places() -> None:
    """The same draws but for the direction: source and driving change places, points with them."""
    still = replace(NONE, reverse=0.0)
    there = Pairs([clip()], LAYOUT, still, seed=0).batch(0, 6, SIDE)
    back = Pairs([clip()], LAYOUT, replace(still, reverse=1.0), seed=0).batch(0, 6, SIDE)
    assert (there.source == back.driving).all() and (there.driving == back.source).all()
    assert (there.source != there.driving).any()
    assert there.source_points is not None and back.driving_points is not None
    whole = LAYOUT.follow == 1  # neck and shoulders are held back on the driving side
    one, two = there.source_points.xy[:, whole], back.driving_points.xy[:, whole]
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colours_change_both_frames_alike(name: str) -> None:
    rng = np.random.default_rng(5)
    transform = augment.draw_transform(replace(NONE, **{name: 0.3}), rng)
    image = np.full((8, 8, 3), (180, 120, 90), np.uint8)
    one, two = augment.transform_frames([image, image], transform, rng)
    np.testing.assert_array_equal(one, two)
    before, after = image[0, 0] / 255, one[0, 0]
    assert np.abs(after - before).max() > 0.01
    hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in (before, after)]
    if name == "hue":
        assert abs(hsv[0][0] - hsv[1][0]) > 0.005
    elif name == "brightness":
        assert np.ptp(after - before) < 1e-5
    elif name == "saturation":  # grey stays grey, of the same luma
        np.testing.assert_allclose((after - before) @ np.array([0.299, 0.587, 0.114]), 0, atol=1e-5)
    else:
        gain = (after - 0.5) / (before - 0.5)
        np.testing.assert_allclose(gain, gain[0], rtol=1e-4)


def test_each_kind_of_noise_is_what_it_says() -> None:
    image = np.full((128, 128, 3), 100, np.uint8)
    image[64:] = 200
    quiet = replace(NONE, noisy=1.0, gaussian=0.0, salt_pepper=0.0, speckle=0.0)

    def errors(**kind: float) -> Array:
        rng = np.random.default_rng(0)
        transform = augment.draw_transform(replace(quiet, **kind), rng)
        one, two = augment.transform_frames([image, image], transform, rng)
        assert (one != two).any()  # the kind is the same, the pixels' are their own
        return one - image / 255

    found = errors(gaussian=0.02)
    np.testing.assert_allclose(found.std((1, 2))[[0, -1]], 0.02, rtol=0.2)
    found = errors(speckle=0.05)
    np.testing.assert_allclose(found[:64].std(), 0.05 * 100 / 255, rtol=0.1)
    np.testing.assert_allclose(found[64:].std(), 0.05 * 200 / 255, rtol=0.1)
    found = errors(salt_pepper=0.1)
    changed = np.abs(found).max(-1) > 0.01
    assert 0.08 < changed.mean() < 0.12
    assert set(np.round((found + image / 255)[changed], 3).ravel()) == {0.0, 1.0}


def test_a_crop_is_a_part_of_the_picture_enlarged() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        transform = augment.draw_transform(replace(NONE, crop=0.4), rng)
        back = np.linalg.inv(transform.view[:, :2])
        corners = np.array([[-1, -1], [1, 1]]) - transform.view[:, 2]
        corners = corners @ back.T
        side = corners[1] - corners[0]
        assert np.abs(corners).max() <= 1 + 1e-5 and side[0] == pytest.approx(side[1])
        assert 1.2 - 1e-5 <= side[0] <= 2 + 1e-5


def test_shrinking_averages() -> None:
    image = np.indices((8, 8)).sum(0) % 2 * 200
    image = np.repeat(image[..., None], 3, 2).astype(np.uint8)
    assert (pairs.shrunk(image, 4) == 100).all()


def test_pairs_without_keypoints_are_pictures_alone() -> None:
    bare = Clip("a", "a", clip().frames, {})
    batch = Pairs([bare], None, Augment(), seed=0).batch(0, 4, 32)
    assert batch.source.shape == batch.driving.shape == (4, 3, 32, 32)
    assert batch.source_points is None and batch.driving_points is None
    wanting = Augment(close_up=1.0, opposite=1.0)  # what only keypoints can show is left out
    assert Pairs([bare], None, wanting, seed=0).batch(0, 4, 32).source_points is None
    again = Pairs([bare], None, Augment(), seed=0).batch(0, 4, 32)
    assert (batch.source == again.source).all() and (batch.driving == again.driving).all()


def far(frames: int = 6, side: int = 128, shift: tuple[float, float] = (75.0, 52.0)) -> Clip:
    """A face small in a large frame that drifts and grows, with a dot at a lid."""
    xy = [landmarks(13 + i, (shift[0] + i, shift[1])) for i in range(frames)]
    rows = np.array([cache.anchors_of(one, side) for one in xy])
    return Clip("a", "a", np.array([dots(row, side) for row in rows]), {TEACHER: rows})


@pytest.mark.parametrize("size", [64, 96])
@pytest.mark.parametrize("seed", range(6))
def test_keypoints_follow_the_close_up(seed: int, size: int) -> None:
    """The dot painted at a keypoint is found where the keypoint of the turned close-up says."""
    rng = np.random.default_rng(seed)
    transform = augment.draw_transform(replace(VIEW_ONLY, close_up=1.0), rng)
    found = pairs.pair(far(), TEACHER, (0, 3), LAYOUT, size=size, transform=transform, rng=rng)
    names = [anchor.name for anchor in ANCHORS]
    k = names.index("right_upper_lid" if transform.is_flipped else "left_upper_lid")
    for picture, rows in ((found[0], found[2]), (found[1], found[3])):
        assert picture.shape == (size, size, 3)
        np.testing.assert_allclose(brightest(picture), rows[k, :2], atol=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_jacobians_follow_the_close_up(seed: int) -> None:
    """Two dots, one step of the canonical face apart, are as far apart as the Jacobian says."""
    rng = np.random.default_rng(seed)
    transform = augment.draw_transform(replace(VIEW_ONLY, flip=0.0, close_up=1.0), rng)
    rows = far().points[TEACHER][2]
    step = rng.uniform(-0.3, 0.3, 2)
    k = [anchor.name for anchor in ANCHORS].index("left_upper_lid")
    beside = rows.copy()
    beside[k, :2] += rows[k, 2:6].reshape(2, 2) @ step
    frames = np.array([dots(rows, 128), dots(beside, 128)])
    two = Clip("a", "a", frames, {TEACHER: np.array([rows, rows])})
    found = pairs.pair(two, TEACHER, (0, 1), LAYOUT, size=64, transform=transform, rng=rng)
    moved = brightest(found[1]) - brightest(found[0])
    np.testing.assert_allclose(moved, found[3][k, 2:].reshape(2, 2) @ step, atol=0.01)


@pytest.mark.parametrize(("shift", "places"), [((75.0, 52.0), 10), ((8.0, 120.0), 1)])
def test_a_close_up_is_a_part_of_both_frames_pixel_for_pixel(
    shift: tuple[float, float], places: int
) -> None:
    """Without another view: a window about the driver's lids and lips, never outside."""
    still, rng = far(shift=shift), np.random.default_rng(0)
    noise = rng.integers(0, 256, still.frames.shape, np.uint8)
    still = replace(still, frames=noise)
    corners = set()
    for _ in range(20):
        transform = augment.draw_transform(replace(NONE, close_up=1.0), rng)
        found = pairs.pair(still, TEACHER, (1, 4), LAYOUT, size=64, transform=transform, rng=rng)
        before, after = still.points[TEACHER][1], found[2]
        # pixels of the frame less pixels of the window, of any keypoint
        px = [(xy + 1) * side / 2 - 0.5 for xy, side in ((before[:, :2], 128), (after[:, :2], 64))]
        apart = px[0] - px[1]
        x, y = np.round(apart[0]).astype(int)
        np.testing.assert_allclose(apart, np.tile([x, y], (len(apart), 1)), atol=1e-3)
        np.testing.assert_allclose(after[:, 2:], 2 * before[:, 2:6], rtol=1e-5)
        for picture, number in ((found[0], 1), (found[1], 4)):
            part = noise[number, y : y + 64, x : x + 64]
            np.testing.assert_allclose(picture, part / 255, atol=1e-6)
        watched = (still.points[TEACHER][4][LAYOUT.watched, :2] + 1) * 64
        wanted = (watched.min(0) + watched.max(0)) / 2 - 32
        off = np.abs(np.array([x, y]) - np.clip(wanted, 0, 64))
        assert off.max() <= 6.4 + 0.5 and 0 <= x <= 64 and 0 <= y <= 64
        corners.add((x, y))
    assert len(corners) >= places


def test_close_ups_need_frames_larger_than_the_pictures() -> None:
    plain, close = (
        Pairs([clip()], LAYOUT, replace(NONE, close_up=share), seed=0) for share in (0.0, 1.0)
    )
    assert (plain.batch(0, 4, SIDE).source == close.batch(0, 4, SIDE).source).all()
    assert (plain.batch(0, 4, SIDE // 2).source != close.batch(0, 4, SIDE // 2).source).any()


OPENINGS = (  # corner at the picture's left, at its right, above, below
    ("left_mouth_corner", "right_mouth_corner", "upper_lip_inside", "lower_lip_inside"),
    ("left_outer_eye", "left_inner_eye", "left_upper_lid", "left_lower_lid"),
    ("right_inner_eye", "right_outer_eye", "right_upper_lid", "right_lower_lid"),
)


def opening_clip(mouth: Array, eyes: Array) -> Clip:
    """A frame each of these openings, of a head that turns and grows; its grey is its number."""
    names = [anchor.name for anchor in ANCHORS]
    base = cache.anchors_of(landmarks(), SIDE)
    rows = np.repeat(base[None], len(mouth), 0)
    for i, (gap, lids) in enumerate(zip(mouth, eyes, strict=True)):
        for four, wide in zip(OPENINGS, (gap, lids, lids), strict=True):
            left, right, high, low = (names.index(name) for name in four)
            along = base[right, :2] - base[left, :2]
            across = np.array([-along[1], along[0]])
            rows[i, low, :2] = rows[i, high, :2] + wide * across
        angle = 0.5 * np.sin(3 * i)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        rows[i, :, :2] = (0.7 + 0.3 * np.cos(5 * i)) * rows[i, :, :2] @ turn.T
    numbers = np.arange(len(mouth), dtype=np.uint8)
    frames = np.tile(numbers[:, None, None, None], (1, SIDE, SIDE, 3))
    return Clip("a", "a", frames, {TEACHER: rows})


def test_openings_do_not_depend_on_the_heads_turn_and_size() -> None:
    rng = np.random.default_rng(0)
    mouth, eyes = rng.uniform(0, 0.8, 20), rng.uniform(0, 0.5, 20)
    points = opening_clip(mouth, eyes).points[TEACHER]
    found = pairs.openings(points[:, :, :2], LAYOUT.opening)
    np.testing.assert_allclose(found, np.column_stack([mouth, eyes]), atol=1e-4)


def test_opposite_pairs_are_the_clips_extremes() -> None:
    """Two of twenty frames at either end; 70 % of the mouth; frames without keypoints left out."""
    rng = np.random.default_rng(1)
    mouth, eyes = rng.permutation(40) / 50, rng.permutation(40) / 80
    part = opening_clip(mouth, eyes)
    part.points[TEACHER][::2] = np.nan
    known = np.arange(1, 40, 2)
    by_mouth, by_eyes = known[np.argsort(mouth[known])], known[np.argsort(eyes[known])]
    pairs = Pairs([part], LAYOUT, replace(NONE, opposite=1.0), seed=0)
    seen = []
    for step in range(30):
        batch = pairs.batch(step, 16, 16)
        both = [(255 * x[:, 0, 0, 0]).round().int().tolist() for x in (batch.source, batch.driving)]
        seen += list(zip(*both, strict=True))
    of_mouth = {(int(a), int(b)) for a in by_mouth[:2] for b in by_mouth[-2:]}
    of_eyes = {(int(a), int(b)) for a in by_eyes[:2] for b in by_eyes[-2:]}
    assert set(seen) == of_mouth | of_eyes and not of_mouth & of_eyes
    assert 0.62 < np.mean([two in of_mouth for two in seen]) < 0.78


def test_opposite_close_ups_depend_on_seed_step_and_row_alone() -> None:
    """In any order, and for any rows of the batch."""
    clips = [far(), replace(far(4), name="b", identity="b")]
    augment = Augment(close_up=0.5, opposite=0.5)
    pairs = Pairs(clips, LAYOUT, augment, seed=3)
    pairs.batch(0, 4, 64)
    whole = pairs.batch(5, 6, 64)
    part = Pairs(clips, LAYOUT, augment, seed=3).batch(5, range(2, 4), 64)
    assert (whole.source[2:4] == part.source).all() and (whole.driving[2:4] == part.driving).all()
    assert (whole.driving_points.xy[2:4] == part.driving_points.xy).all()
    assert (whole.source_points.jacobian[2:4] == part.source_points.jacobian).all()


def test_body_of_another_set_goes_where_the_tracker_carried_it() -> None:
    rng = np.random.default_rng(3)
    linear, shift = np.array([[1.1, 0.2], [-0.1, 0.9]]), np.array([0.05, -0.1])
    rows = rng.normal(0, 0.3, (len(ANCHORS), 7)).astype(np.float32)
    rows[:, 2:6] = [0.8, 0.1, 0, 0.9]
    moved = rows.copy()
    moved[:, :2] = rows[:, :2] @ linear.T + shift
    moved[:, 2:6] = (linear @ rows[:, 2:6].reshape(-1, 2, 2)).reshape(-1, 4)
    other = rows + rng.normal(0, 0.02, rows.shape).astype(np.float32)
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    points = {TRACKED: np.stack([rows, moved]), TEACHER: np.stack([other, other])}
    clip = Clip("a", "a", frames, points)
    layout = anchor_layout()
    source, driving = pairs.pair_keypoints(clip, TEACHER, (0, 1), layout)
    body = FOLLOW < 1
    np.testing.assert_allclose(driving[body, :2], source[body, :2] @ linear.T + shift, atol=1e-5)
    change = linear @ source[body, 2:6].reshape(-1, 2, 2)
    np.testing.assert_allclose(driving[body, 2:6], change.reshape(-1, 4), atol=1e-5)
    np.testing.assert_allclose(driving[~body], source[~body], atol=1e-5)


def test_background_of_a_pair_follows_the_view() -> None:
    """A dot of the background in the drawn view of both frames is where the affine says."""
    rng = np.random.default_rng(5)
    row = np.array([[0.1, -0.05, 1.05, 0.1, -0.1, 1.02, 1]], np.float32)
    still = np.array([[0, 0, 1, 0, 0, 1, 1]], np.float32)
    clip = Clip("a", "a", np.zeros((2, 8, 8, 3), np.uint8), {}, background=np.stack([still, row]))
    source_from_driving = pairs.background_motion(clip, (0, 1))
    place = np.array([0.3, -0.4])  # in frame 0, the first
    there = row[0, 2:6].reshape(2, 2) @ place + row[0, :2]
    np.testing.assert_allclose(
        source_from_driving[:, :2] @ there + source_from_driving[:, 2], place, atol=1e-6
    )
    transform = augment.draw_transform(Augment(), rng)
    turned = augment.transform_affine(source_from_driving, transform)
    seen = [transform.view[:, :2] @ xy + transform.view[:, 2] for xy in (place, there)]
    np.testing.assert_allclose(turned[:, :2] @ seen[1] + turned[:, 2], seen[0], atol=1e-5)
