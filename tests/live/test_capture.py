"""Cameras that vanish, stall, change size, are black or slow; and the loop around them."""

import threading
import time

import numpy as np
import pytest

from hybridanim.live.camera import CameraEnd, CameraError, File
from hybridanim.live.capture import Capture
from hybridanim.live.loop import Loop
from hybridanim.live.mailbox import Mailbox
from hybridanim.live.outputs import Aside, Outputs
from hybridanim.live.quality import Pacer, Quality
from tests import synthetic
from tests.live_fakes import (
    BLACK,
    GREY,
    WIDE,
    FakeAnimator,
    FakeCamera,
    ListOutput,
    in_turn,
    wait_until,
)


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


def test_a_stalling_camera_is_told_and_left_for_another():
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


def test_black_first_pictures_are_left_out_and_later_ones_told():
    capture, shots = capturing(lambda: FakeCamera([BLACK] * 5 + [GREY] * 3 + [BLACK] * 200))
    capture.start()
    capture.wait()
    assert wait_until(lambda: shots.count >= 4)
    assert wait_until(lambda: "black" in capture.watch().notice)
    assert taken(shots)[0].image.max() > 0
    capture.stop()


def test_a_file_runs_at_its_own_rate_and_in_a_loop(tmp_path):
    from hybridanim import io

    path = tmp_path / "clip.mp4"
    with io.open_sink(path, 50, (64, 64)) as sink:  # type: ignore[arg-type]
        for image in (synthetic.textured(64, 64, seed)[..., :3] for seed in range(10)):
            sink.write(np.ascontiguousarray(image))
    once = File(path, is_loop=False)
    once.open()
    times = []
    with pytest.raises(CameraEnd):
        while True:
            times.append(once.read().time_s)
    once.close()
    assert len(times) == 10
    assert times[-1] - times[0] >= 9 / 50 - 0.001
    loop = File(path, is_loop=True)
    loop.open()
    times = [loop.read().time_s for _ in range(25)]
    loop.close()
    assert times[-1] - times[0] >= 24 / 50 - 0.001
    missing = File(tmp_path / "none.mp4", is_loop=True)
    with pytest.raises(CameraError):
        missing.open()


# the loop


def looping(camera, animator, output, levels=()):
    shots: Mailbox = Mailbox()
    capture = Capture(in_turn(camera), shots, backoff=lambda _: 0.01)
    loop = Loop(animator, capture, shots, Pacer(levels, 80))
    outputs = Outputs(asides=[Aside(output, (64, 48), 4)])
    capture.start()
    capture.wait()
    return loop, outputs


def test_a_slow_animator_always_gets_the_newest():
    animator, output = FakeAnimator(0.02), ListOutput()
    loop, outputs = looping(FakeCamera([GREY] * 300, step_s=0.002), animator, output)
    animator.came = lambda: loop._capture._count
    loop.run(outputs)
    outputs.close()
    report = loop.report()
    assert 3 < report["pictures"] < 150
    assert report["dropped"]["waiting_to_be_animated"] > 150
    assert np.median(animator.behind) <= 1  # however slow it is: nothing older than the newest
    numbers = [shot.number for shot in animator.shots]
    assert numbers == sorted(set(numbers)) and numbers[-1] > 280
    assert output.is_closed and output.times == sorted(output.times)
    assert abs(report["camera"]["pictures"] - 300) < 20  # those before the loop do not count


def test_a_slow_output_loses_pictures_and_delays_nobody():
    animator, output = FakeAnimator(), ListOutput(cost_s=0.05)
    loop, outputs = looping(FakeCamera([GREY] * 150, step_s=0.003), animator, output)
    loop.run(outputs)
    outputs.close()
    assert outputs.asides[0].dropped > 50
    assert 2 < len(output.times) < loop.report()["pictures"] / 2


def test_outputs_keep_their_size_when_the_camera_changes_its():
    animator, output = FakeAnimator(), ListOutput()
    loop, outputs = looping(FakeCamera([GREY] * 5 + [WIDE] * 5, step_s=0.01), animator, output)
    loop.run(outputs)
    outputs.close()
    assert set(output.shapes) == {(48, 64, 3)}
    assert {shot.image.shape for shot in animator.shots} == {GREY.shape, WIDE.shape}


def test_a_failing_animator_ends_the_run_with_its_error():
    class Failing(FakeAnimator):
        def __call__(self, shot):
            raise ValueError("broken")

    loop, outputs = looping(FakeCamera([GREY] * 500), Failing(), ListOutput())
    with pytest.raises(ValueError, match="broken"):
        loop.run(outputs)
    outputs.close()


def test_keys_reach_the_animator_and_pausing_stops_it():
    animator, output = FakeAnimator(), ListOutput()
    loop, outputs = looping(FakeCamera([GREY] * 100, step_s=0.005), animator, output)
    for letter in "rm+p":
        loop.press(letter)
    loop.press("q")  # not from a browser
    loop.run(outputs, seconds=0.25)
    outputs.close()
    assert animator.actions == ["reference", "mirror", "stronger"]
    assert animator.shots == []


def test_the_level_falls_when_the_animator_is_too_slow():
    levels = Quality("full"), Quality("less"), Quality("second", every=2)
    animator = FakeAnimator(0.03)
    camera = FakeCamera([GREY] * 500, step_s=0.01)
    loop, outputs = looping(camera, animator, ListOutput(), levels)
    loop.run(outputs, seconds=2.2)
    outputs.close()
    assert animator.levels[:1] == ["less"]
    assert loop.report()["levels"]["changes"][0]["to"] == "less"


def test_a_run_ends_in_time():
    loop, outputs = looping(FakeCamera([GREY] * 10_000), FakeAnimator(), ListOutput())
    start_s = time.monotonic()
    loop.run(outputs, seconds=0.2)
    outputs.close()
    assert time.monotonic() - start_s < 8
