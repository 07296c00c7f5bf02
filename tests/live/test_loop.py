"""The loop: the newest picture wins, and nobody waits for a slow one."""

import time

import numpy as np
import pytest

from hybridanim.live.capture import Capture
from hybridanim.live.loop import Loop
from hybridanim.live.mailbox import Mailbox
from hybridanim.live.outputs import Outputs, ThreadedOutput
from hybridanim.live.quality import Quality, QualityGovernor
from tests.live_fakes import GREY, WIDE, FakeAnimator, FakeCamera, ListOutput, in_turn


def looping(camera, animator, output, levels=()):
    shots: Mailbox = Mailbox()
    capture = Capture(in_turn(camera), shots, backoff=lambda _: 0.01)
    loop = Loop(animator, capture, shots, QualityGovernor(levels, 80))
    outputs = Outputs(threaded=[ThreadedOutput(output, (64, 48), 4)])
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
    assert outputs.threaded[0].dropped > 50
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
