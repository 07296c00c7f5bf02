"""Motion without a driver: seeds, lengths, seams, bounds; numpy's network against torch's."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.motion import imagined_motion, imagined_network, motion_measures
from hybridanim.motion.imagined_motion import ImaginedMotion, Wish, expect_length
from hybridanim.motion.moods import MOODS
from hybridanim.motion.motion_file import Motion, MotionWriter
from hybridanim.motion.motion_track import LIDS, MOUTH, RATE_HZ, SHIFT, TURN, WIDTH, ZOOM


def track(wish, count):
    """(count, WIDTH) values and (count,) blinks."""
    rows = islice(imagined_motion.values(wish), count)
    values, blinks = zip(*rows, strict=True)
    return np.stack(values), np.array(blinks)


@pytest.fixture(scope="module")
def minute():
    return {mood: track(Wish(mood, 5), 60 * RATE_HZ) for mood in MOODS}


def test_equal_seeds_are_equal_to_the_bit_and_others_differ():
    first, again, other = (track(Wish("talking", seed), 200)[0] for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other)[25:, TURN].max() > 0.01


def test_moods_differ_for_one_seed(minute):
    speeds = {
        mood: np.abs(np.diff(values[:, MOUTH])).mean() for mood, (values, _) in minute.items()
    }
    assert speeds["talking"] > 2 * speeds["idle"]
    assert speeds["talking"] > 1.4 * speeds["listening"]


def test_a_longer_one_begins_with_the_shorter_one():
    short, long = (track(Wish("idle", 1), n)[0] for n in (31, 77))
    np.testing.assert_array_equal(short, long[:31])


def test_it_begins_at_rest():
    values, blinks = track(Wish("laughing", 2), 1)
    assert not values[0, :6].any() and blinks[0] == 0 and (values[0, LIDS] == 1).all()
    assert values.shape == (1, WIDTH)


def test_pieces_have_no_seam(minute):
    piece = imagined_network.load().sizes.piece
    for values, _ in minute.values():
        speed = np.linalg.norm(np.diff(values[1:, TURN], axis=0), axis=1)
        inside = np.arange(len(speed)) % piece != piece - 1  # the last one crosses a joint
        assert (speed[~inside] <= np.percentile(speed[inside], 99)).mean() > 0.97
        assert speed[~inside].mean() < 1.15 * speed[inside].mean()


def test_heads_neither_wander_nor_leave():
    values, _ = track(Wish("looking", 8), 6 * 60 * RATE_HZ)
    assert np.abs(values[:, TURN]).max() < np.deg2rad(60)
    assert np.abs(values[:, SHIFT]).max() < 1.0 and np.abs(values[:, ZOOM]).max() < 0.4
    halves = np.split(values[:, :6], 2)
    spread = values[:, :6].std(0)
    assert (np.abs(halves[0].mean(0) - halves[1].mean(0)) < 1.5 * spread).all()
    assert (np.abs(values[-RATE_HZ * 60 :].std(0) / values[: RATE_HZ * 60].std(0)) < 3)[:6].all()


def test_blinks_shut_the_lids_and_come_at_a_human_rate(minute):
    for values, blinks in minute.values():
        begins = np.flatnonzero((blinks[1:] > 0) & (blinks[:-1] == 0)) + 1
        assert 3 <= len(begins) <= 60
        for start in begins[begins < len(blinks) - 16]:
            shut = values[start : start + 12, LIDS] * (1 - blinks[start : start + 12, None])
            assert shut.min(0).max() < 0.1


def test_heads_do_not_shake(minute):
    for values, _ in minute.values():
        none = np.zeros(len(values))
        assert motion_measures.figures([(values, none, none)]).shake < 0.8


def test_numpys_network_is_that_of_torch():
    torch = pytest.importorskip("torch", reason="compares with torch")
    from hybridanim.networks import imagined_motion_file

    small = imagined_network.load()
    net, _ = imagined_motion_file.read(imagined_network.WEIGHTS)
    rng = np.random.default_rng(0)
    first = rng.standard_normal(small.sizes.features).astype(np.float32)
    given = rng.standard_normal(small.sizes.conditions).astype(np.float32)
    here, there = (
        small.begin(first, given),
        net.begin(*(torch.tensor(x)[None] for x in (first, given))),
    )
    for _ in range(20):
        noise = rng.standard_normal(small.sizes.latent).astype(np.float32)
        with torch.no_grad():
            logits = net.blink_logits(there, torch.tensor(given)[None], torch.tensor([0.7]))
            step = net(there, torch.tensor(given)[None], torch.tensor(noise)[None], None)
        np.testing.assert_allclose(
            small.blink_logits(here, given, 0.7), logits[0].numpy(), atol=1e-5, rtol=1e-5
        )
        here, rows = small.step(here, given, noise)
        there = step.state
        np.testing.assert_allclose(rows, step.rows[0].numpy(), atol=1e-5, rtol=1e-5)


def test_rows_are_those_of_a_motion_file(tmp_path):
    motion = ImaginedMotion(Wish("nodding", 6), (12.0, -5.0, 3.0))
    writer = MotionWriter(tmp_path / "m.safetensors", motion.expression)
    writer.begin(motion.stretches[0].first, motion.stretches[0].face)
    rows = list(motion.rows(end_s=2.0))
    for row in rows:
        writer.add(row.time_s, row.seen)
    assert writer.close(motion.header)
    read = Motion.load(tmp_path / "m.safetensors")  # checks ranges and rotations
    assert read.count == len(rows) == 2 * RATE_HZ
    for one, other in zip(read.rows(), rows, strict=True):
        assert one.seen is not None and other.seen is not None
        np.testing.assert_array_equal(one.seen.keypoints.xy_norm, other.seen.keypoints.xy_norm)
        assert np.abs(one.seen.keypoints.xy_norm).max() < 2


def test_keypoints_of_the_first_row_are_the_references():
    motion = ImaginedMotion(Wish("talking", 6))
    first = next(motion.rows())
    assert first.seen is not None
    known = motion.stretches[0].first.keypoints
    np.testing.assert_allclose(first.seen.keypoints.xy_norm, known.xy_norm, atol=1e-4)


def test_a_cut_is_a_part_of_the_whole():
    motion = ImaginedMotion(Wish("talking", 6))
    whole, cut = list(motion.rows(end_s=1.0)), list(motion.rows(0.4, 1.0))
    assert [row.index for row in cut] == [row.index for row in whole][10:]
    assert motion.row(12).time_s == whole[12].time_s


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: Wish("angry"), r"--mood: expected one of talking, .*got 'angry'"),
        (lambda: Wish("idle", -1), r"--seed: expected 0 to .*got -1"),
        (lambda: expect_length(0.0), r"--seconds: expected 0.04 to 86400, got 0"),
        (lambda: expect_length(float("nan")), r"--seconds: expected .*got nan"),
        (lambda: expect_length(float("inf")), r"--seconds: expected .*got inf"),
    ],
)
def test_unfit_wishes_are_refused(action, message):
    with pytest.raises(InputError, match=message):
        action()
