"""A camera that lies on its side: its pictures are turned, and that is said once."""

import numpy as np
import pytest

from hybridanim.face import aligner
from hybridanim.geometry import turned
from hybridanim.live.upright import UprightCheck
from hybridanim.prepare import driver_scan
from tests import synthetic


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_camera_on_its_side_is_turned_and_says_so_for_a_while(turn_deg):
    upright, check = synthetic.photograph(256), UprightCheck(aligner.load())
    lying = turned(upright, turn_deg)
    for number in range(40):
        if check.update(turned(lying, check.turn_deg), number / 10, is_seen=False):
            break
    assert 1.5 <= number / 10 <= 3.0
    np.testing.assert_array_equal(turned(lying, check.turn_deg), upright)
    hint = check.hint(number / 10 + 1)
    assert hint is not None and f"turned by {360 - turn_deg} degrees" in hint.text
    assert check.hint(number / 10 + 10) is None


def test_nothing_is_looked_for_while_a_face_is_seen(monkeypatch):
    monkeypatch.setattr(driver_scan, "turn_of", pytest.fail)
    check = UprightCheck(aligner.load())
    for number in range(100):
        assert not check.update(synthetic.photograph(64), number / 10, is_seen=True)
    assert check.turn_deg == 0 and check.hint(10.0) is None


def test_an_empty_room_is_not_turned():
    check = UprightCheck(aligner.load())
    wall = synthetic.textured(120, 160)
    assert not any(check.update(wall, number / 2, is_seen=False) for number in range(12))
