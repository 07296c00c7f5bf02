"""The queue of animations, with real animations of a few frames."""

import time
from dataclasses import replace

import av
import pytest

from apps.studio.jobs import Animation, Progress, Queue, QueueFull
from apps.terminal import example_source
from hybridanim.errors import InputError
from hybridanim.files import EXAMPLE_DRIVING


def animation(context, name="a.mp4", end=0.2, **options) -> Animation:
    job = replace(context.animation, output=context.results / name, end=end)
    return Animation(job, example_source(), EXAMPLE_DRIVING, **options)


def frames_in(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_one_after_the_other_and_a_bad_one_between(context):
    bad = animation(context, "b.mp4")
    bad.source = context.results / "none.png"
    first, last = animation(context), animation(context, "c.mp4")
    for one in (first, bad, last):
        context.queue.submit(one)
    assert [context.queue.place(one) for one in (first, bad, last)][1:] in ([1, 2], [0, 1])
    assert last.wait(120)
    assert [one.state for one in (first, bad, last)] == ["done", "failed", "done"]
    assert first.summary.frames == frames_in(first.job.output) == 6
    assert bad.error.startswith("source: expected") and "\n" not in bad.error
    assert first.progress.total == 6 and first.progress.done == 6
    assert context.queue.get(first.id) is first and context.queue.get("x") is None


def test_cancelling_keeps_what_is_done(context):
    running = context.queue.submit(animation(context, end=4.0))
    while running.progress.done < 2 and running.state in ("waiting", "running"):
        time.sleep(0.02)
    context.queue.cancel(running)
    assert running.wait(60) and running.state == "cancelled"
    assert running.summary.is_interrupted
    assert 2 <= frames_in(running.job.output) == running.summary.frames < 100


def test_one_that_waits_never_starts_when_cancelled(context):
    first = context.queue.submit(animation(context))
    waiting = context.queue.submit(animation(context, "b.mp4"))
    context.queue.cancel(waiting)
    assert waiting.wait(1) and waiting.state == "cancelled"
    assert first.wait(120) and first.state == "done"
    assert not waiting.job.output.exists()


def test_the_time_limit_ends_a_run(context):
    late = context.queue.submit(animation(context, end=8.0, most_s=0.01))
    assert late.wait(60) and late.state == "cancelled" and late.is_late
    assert list(context.results.iterdir()) == []


def test_too_many_are_refused(context):
    queue = Queue(most_waiting=1)
    runs = [animation(context, f"{n}.mp4", end=3.0) for n in range(3)]
    queue.submit(runs[0])
    queue.submit(runs[1])
    with pytest.raises(QueueFull, match="expected at most 1 animations that wait"):
        queue.submit(runs[2])
    queue.close()
    assert all(one.state == "cancelled" for one in runs[:2])
    with pytest.raises(InputError, match="expected a running studio"):
        queue.submit(runs[0])


def test_progress_as_text():
    text = str(Progress("animate", 5, 20, 10.0, 1.5))
    assert text == "animating: frame 5 of 20, 10.0 frames a second, 2 s left"
    assert str(Progress()) == "starting" and Progress("animate", 5, 20).share == 0.25
