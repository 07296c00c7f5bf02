"""Key frames: what is between the keys, their file, and what is refused."""

from dataclasses import asdict
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.face.head_pose import rotation_matrix
from hybridanim.motion import keyframes
from hybridanim.motion.by_hand import RANGES, Controls
from hybridanim.motion.keyframes import Key, Keyframes


def clip(*keys, fps=30):
    return Keyframes(tuple(Key(time_s, amounts) for time_s, amounts in keys), Fraction(fps))


def wild(seed):
    """Keys at random times with random values of random controls."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.05, 1.0, 9))
    keys = []
    for time_s in times:
        named = [name for name in RANGES if rng.random() < 0.6] or ["yaw"]
        keys.append((float(time_s), {name: float(rng.uniform(*RANGES[name])) for name in named}))
    return clip(*keys)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_at_a_key_the_values_are_those_of_the_key(seed):
    keys = wild(seed)
    for key in keys.keys:
        found = asdict(keys.at(key.time_s))
        for name, value in key.amounts.items():
            assert found[name] == pytest.approx(value, abs=1e-12)


def test_two_keys_ease_in_and_out():
    """A cubic that rests at both ends is 3 t^2 - 2 t^3."""
    keys = clip((1.0, {"yaw": 10}), (3.0, {"yaw": 30}))
    for share in (0.0, 0.1, 0.25, 0.5, 0.9, 1.0):
        wanted = 10 + 20 * (3 * share**2 - 2 * share**3)
        assert keys.at(1 + 2 * share).yaw == pytest.approx(wanted, abs=1e-9)
    assert keys.at(0).yaw == 10 and keys.at(60).yaw == 30
    assert keys.at(2).pitch == 0  # no key names it


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_nothing_overshoots(seed):
    """Between two keys of a control, values are between theirs, and run one way only."""
    keys = wild(seed)
    for name in RANGES:
        own = [(key.time_s, key.amounts[name]) for key in keys.keys if name in key.amounts]
        for (begin, first), (end, last) in pairwise(own):
            seen = [getattr(keys.at(t), name) for t in np.linspace(begin, end, 40)]
            assert min(first, last) - 1e-9 <= min(seen) and max(seen) <= max(first, last) + 1e-9
            assert (np.sign(last - first) * np.diff(seen) >= -1e-9).all()


def test_nothing_jumps():
    """Position and speed are continuous, at the keys and at both ends, too."""
    keys = wild(5)
    times = np.arange(-0.5, keys.duration_s + 0.5, 1e-4)
    yaw = np.array([keys.at(max(0.0, t)).yaw for t in times])
    speed = np.diff(yaw) / 1e-4
    assert np.abs(np.diff(yaw)).max() < 0.5
    assert np.abs(np.diff(speed)).max() < 0.02 * np.abs(speed).max()


def test_a_control_passes_keys_that_do_not_name_it():
    keys = clip((0, {"yaw": -20}), (1, {"smile": 1}), (2, {"yaw": 20}))
    assert keys.at(1).yaw == pytest.approx(0, abs=1e-9)
    assert keys.at(1).smile == 1 == keys.at(2).smile


def test_what_the_first_key_does_not_name_begins_as_in_the_picture():
    keys = clip((0.5, {}), (1, {"smile": 1}))
    assert keys.at(0).smile == keys.at(0.5).smile == 0 and keys.at(1).smile == 1
    assert keys.at(0.75).smile == pytest.approx(0.5)


def test_rotations_between_keys_are_rotations():
    keys = clip(
        (0, {"yaw": -60, "pitch": 45, "roll": 60}), (1, {"yaw": 60, "pitch": -45, "roll": -60})
    )
    for time_s in np.linspace(0, 1, 21):
        by = keys.at(time_s)
        turn = rotation_matrix((by.yaw, by.pitch, by.roll))
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1)


def test_frames_reach_from_zero_to_the_last_key():
    keys = clip((0.5, {"yaw": 1}), (2, {"yaw": 2}), fps=10)
    assert keys.count == 21 and len(keys.times_s()) == 21
    np.testing.assert_allclose(keys.times_s(), np.arange(21) / 10)
    np.testing.assert_allclose(keys.times_s(0.5, 1.0), np.arange(5, 10) / 10)
    assert clip((0, {"yaw": 1})).count == 1
    assert Keyframes((Key(0), Key(1)), Fraction(30000, 1001)).count == 30


def test_keys_are_added_merged_moved_and_removed():
    keys = clip((0, {"yaw": 1}), (2, {"yaw": 2}))
    more = keys.with_key(Key(1, {"jaw": 0.5})).with_key(Key(2, {"roll": 3}))
    assert [key.time_s for key in more.keys] == [0, 1, 2]
    assert more.keys[2].amounts == {"yaw": 2, "roll": 3}
    assert [key.time_s for key in more.with_key_moved(1, 5).keys] == [0, 2, 5]
    assert [key.time_s for key in more.without_key(0).keys] == [1, 2]
    with pytest.raises(InputError, match="times that grow"):
        more.with_key_moved(0, 2)
    with pytest.raises(InputError, match="1 to 1000 keys, got 0"):
        clip((0, {})).without_key(0)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_a_file_comes_back_exactly(tmp_path, fps):
    keys = Keyframes(wild(7).keys, fps)
    assert keyframes.load(keyframes.save(keys, tmp_path / "k.toml")) == keys
    with pytest.raises(InputError, match=r"k\.toml"):
        keyframes.save(keys, tmp_path / "k.toml")
    keyframes.save(keys, tmp_path / "k.toml", overwrite=True)


def test_a_key_of_controls_names_all(tmp_path):
    key = Key.of(1.5, Controls(yaw=3, jaw=-0.25))
    assert set(key.amounts) == set(RANGES)
    found = keyframes.load(keyframes.save(Keyframes((key,)), tmp_path / "k.toml"))
    assert found.at(0) == Controls(yaw=3, jaw=-0.25)


HEAD = 'kind = "keyframes"\nschema = 1\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected kind"),
        ('kind = "skin"\nschema = 1\n', "expected kind = \"keyframes\", got 'skin'"),
        ('kind = "keyframes"\n', "expected schema = 1, got None"),
        ('kind = "keyframes"\nschema = 2\n', "expected schema = 1, got 2"),
        (HEAD, "1 to 1000 keys, got 0"),
        (HEAD + "key = 3\n", r"\[\[key\]\] tables"),
        (HEAD + "keys = 3\n", "'keys'; did you mean key"),
        (HEAD + "[[key]]\nyaw = 3\n", "time_s in every"),
        (HEAD + "[[key]]\ntime_s = -1\n", "0 to 3600 seconds, got -1"),
        (HEAD + "[[key]]\ntime_s = nan\n", "0 to 3600 seconds, got nan"),
        (HEAD + "[[key]]\ntime_s = true\n", "got True"),
        (HEAD + "[[key]]\ntime_s = 1\njaws = 1\n", "key at 1 s: expected a known .*mean jaw"),
        (HEAD + "[[key]]\ntime_s = 1\nyaw = 61\n", "key at 1 s: yaw: expected -60 to 60, got 61"),
        (HEAD + '[[key]]\ntime_s = 1\nyaw = "a"\n', "yaw: expected -60 to 60, got 'a'"),
        (HEAD + "[[key]]\ntime_s = 1\n[[key]]\ntime_s = 1\n", "times that grow, got 1 s after 1"),
        (HEAD + "fps = 0\n[[key]]\ntime_s = 1\n", "1 to 240, got 0"),
        (HEAD + "fps = 2.5\n[[key]]\ntime_s = 1\n", "30000/1001"),
        (HEAD + 'fps = "3/0"\n[[key]]\ntime_s = 1\n', "30000/1001"),
        (HEAD + "[[key]\n", "a TOML file of key frames"),
    ],
)
def test_broken_files_are_refused_in_words(tmp_path, text, said):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        keyframes.load(path)
    assert str(caught.value).startswith("key frames bad.toml") and str(caught.value).count(";") >= 1


def test_a_missing_file_and_a_huge_one_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml"):
        keyframes.load(tmp_path / "none.toml")
    path = tmp_path / "huge.toml"
    path.write_text(HEAD + "#" * (2 << 20))
    with pytest.raises(InputError, match="1024 kB"):
        keyframes.load(path)
