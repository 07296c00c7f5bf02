"""Cameras that vanish, stall, change size, are black or slow."""

import threading
import time

import numpy as np
import pytest

from hybridanim.live.camera import CameraError
from hybridanim.live.capture import Capture, backoff_s, is_black
from hybridanim.live.mailbox import Mailbox
from tests.live_fakes import BLACK, GREY, WIDE, FakeCamera, in_turn, wait_until


def capturing(make, **options):
    shots: Mailbox = Mailbox(1000)
    options = {"backoff": lambda failures: 0.01, **options}
    return Capture(make, shots, **options), shots


def taken(shots):
    found = []
    while (shot := shots.take(0)) is not None:
        found.append(shot)
    return found


def test_shots_are_stamped_and_numbered_in_order():
    capture, shots = capturing(lambda: FakeCamera([GREY] * 20))
    before_s = time.monotonic()
    capture.start()
    capture.wait()
    assert wait_until(lambda: capture.status.kind == "ended")
    found = taken(shots)
    assert [shot.number for shot in found] == list(range(1, 21))
    times = [shot.time_s for shot in found]
    assert times == sorted(times) and before_s < times[0] and times[-1] < time.monotonic()
    assert shots.is_over


@pytest.mark.parametrize("failing", ["gone", "fault"])
def test_a_camera_that_vanishes_is_opened_again(failing):
    unplugged = FakeCamera([], opens=False)
    make = in_turn(FakeCamera([GREY] * 5 + [failing]), unplugged, unplugged, FakeCamera([WIDE] * 7))
    capture, shots = capturing(make)
    capture.start()
    capture.wait()
    assert wait_until(lambda: capture.status.kind == "ended")
    found = taken(shots)
    assert [shot.image.shape[1] for shot in found] == [64] * 5 + [96] * 7
    assert [shot.number for shot in found] == list(range(1, 13))
    assert capture.reopened == 1


def test_while_it_is_away_the_notice_says_so():
    make = in_turn(FakeCamera([GREY, "gone"]), FakeCamera([], opens=False))
    capture, _ = capturing(make)
    capture.start()
    capture.wait()
    assert wait_until(lambda: "unplugged" in capture.status.notice)
    assert "trying again" in capture.status.notice
    capture.stop()


def test_waiting_grows_while_it_is_away():
    asked = []

    def backoff(failures):
        asked.append(failures)
        return 0.001

    make = in_turn(FakeCamera([GREY, "gone"]), FakeCamera([], opens=False))
    capture, _ = capturing(make, backoff=backoff)
    capture.start()
    capture.wait()
    assert wait_until(lambda: len(asked) > 5)
    capture.stop()
    assert asked[:5] == [1, 2, 3, 4, 5]


def test_the_first_opening_must_succeed():
    capture, _ = capturing(lambda: FakeCamera([], opens=False))
    capture.start()
    with pytest.raises(CameraError, match="unplugged"):
        capture.wait()
    answer = threading.Event()
    capture, _ = capturing(lambda: FakeCamera([answer]))
    capture.start()
    threading.Timer(0.1, answer.set).start()
    with pytest.raises(CameraError, match="does not answer"):
        capture.wait(timeout_s=0.02)


def test_a_stalling_camera_is_reported_and_abandoned():
    answer = threading.Event()
    first = FakeCamera([GREY, answer, GREY, GREY])
    capture, shots = capturing(
        in_turn(first, lambda: FakeCamera([WIDE] * 5)), stall_s=0.05, abandon_s=0.2
    )
    capture.start()
    capture.wait()
    hanging = capture._session.thread
    assert wait_until(lambda: capture.watch().kind == "stalled")
    assert "stalls" in capture.status.notice
    assert wait_until(lambda: capture.watch().kind == "ended")
    answer.set()  # the first one comes back, and is not listened to
    hanging.join(5)
    assert not hanging.is_alive() and not first.is_open
    assert [shot.image.shape[1] for shot in taken(shots)] == [64] + [96] * 5


def test_a_slow_camera_is_no_stalling_one():
    capture, shots = capturing(lambda: FakeCamera([GREY] * 4, step_s=0.1), stall_s=1.5)
    capture.start()
    capture.wait()
    kinds = set()
    while not shots.is_closed:
        kinds.add(capture.watch().kind)
        time.sleep(0.01)
    assert kinds <= {"live", "ended"}
    assert len(taken(shots)) == 4


def test_black_first_pictures_are_left_out_and_later_ones_reported():
    capture, shots = capturing(lambda: FakeCamera([BLACK] * 5 + [GREY] * 3 + [BLACK] * 200))
    capture.start()
    capture.wait()
    assert wait_until(lambda: shots.count >= 4)
    assert wait_until(lambda: "black" in capture.watch().notice)
    assert taken(shots)[0].image.max() > 0
    capture.stop()


def test_backoff_doubles_up_to_a_bound():
    waits = [backoff_s(n) for n in range(1, 12)]
    assert waits[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(waits) == waits[-1] == 5.0
    assert backoff_s(10**6) == 5.0


def test_black_is_black():
    noise = np.random.default_rng(0).integers(0, 14, (480, 640, 3)).astype(np.uint8)
    assert is_black(noise) and is_black(np.zeros((16, 16, 3), np.uint8))
    lamp = noise.copy()
    lamp[100:200, 100:200] = 220
    assert not is_black(lamp)
    assert not is_black(GREY)
