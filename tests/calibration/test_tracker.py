"""The tracker's settings are chosen by what they measure on a clip."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from calibration import tracker
from hybridanim.config import TrackConfig
from hybridanim.errors import InputError
from hybridanim.io import write_picture
from hybridanim.profiles import TrackerProfile, load_profile
from hybridanim.types import Frame


def clip(count=10):
    """Frames of a photograph that sways by whole and half pixels."""
    picture = data.astronaut()[0:256, 60:380]
    for i in range(count):
        shift = np.array([[1, 0, 6 * np.sin(i / 2)], [0, 1, 2 * np.cos(i / 3)]])
        moved = cv2.warpAffine(picture, shift, (320, 256), borderMode=cv2.BORDER_REPLICATE)
        yield Frame(moved, i, i / 25)


@pytest.fixture(scope="module")
def pairs():
    return tracker.segmented(list(clip()))


def test_measures_are_plausible_and_a_blunt_tracker_scores_less(pairs):
    ticks = iter(np.arange(0, 100, 0.001))
    good = tracker.measure(pairs, TrackConfig(), lambda: float(next(ticks)))
    assert good.followed == 1.0 and good.alive > 30
    assert 0 < good.forward_backward_px < 0.2
    assert good.life_frames >= 5
    assert good.step_ms == pytest.approx(1.0, rel=0.01)
    few = tracker.measure(pairs, TrackConfig(max_features=8), lambda: float(next(ticks)))
    assert few.score < good.score
    assert tracker.choose([few, good]) is good


def test_slow_settings_lose_and_small_gains_do_not_count():
    base = tracker.Measured(TrackConfig(), 0.05, 30, 100, 1.0, 5.0)
    hardly = tracker.Measured(TrackConfig(window_px=11), 0.0495, 30, 100, 1.0, 5.0)
    slow = tracker.Measured(TrackConfig(window_px=31), 0.01, 30, 100, 1.0, 90.0)
    assert tracker.choose([base, hardly, slow]) is base


def test_no_face_is_refused():
    nothing = tracker.Measured(TrackConfig(), float("inf"), 0, 0, 0.0, 1.0)
    with pytest.raises(InputError, match="face"):
        tracker.choose([nothing])


def test_command_line_saves_a_profile_and_prints_the_table(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "clip"
    folder.mkdir()
    for frame in clip(6):
        write_picture(folder / f"{frame.index:03}.png", frame.image)
    monkeypatch.setattr(tracker, "CANDIDATES", tracker.CANDIDATES[:2])
    output = tmp_path / "tracker.toml"
    assert tracker.main([str(folder), "--output", str(output), "--frames", "6"]) == 0
    profile = load_profile(output)
    assert isinstance(profile, TrackerProfile) and profile.median_forward_backward_px > 0
    printed = capsys.readouterr().out
    assert "shi-tomasi" in printed and "*" in printed


@pytest.mark.parametrize("arguments", [["/no/such.mp4"], ["/no/such.mp4", "--frames", "1"]])
def test_wrong_input_is_one_clear_line_and_exit_code_two(arguments, tmp_path, capsys):
    assert tracker.main([*arguments, "--output", str(tmp_path / "t.toml")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected" in error
