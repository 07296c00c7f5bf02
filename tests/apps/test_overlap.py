"""Overlapped steps: the same results as without, in order, few at a time, and no thread is left."""

import dataclasses
import threading
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.overlap import overlapped
from apps.render import Summary, _note_other_programs
from apps.streaming import animated, shared_processors, sharing
from hybridanim.config import pipeline_config
from hybridanim.types import Frame
from stages.pipeline import Pipeline
from tests import synthetic


def step_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("step")]


@pytest.fixture(autouse=True)
def _leaves_no_threads():
    yield
    assert not step_threads()


@pytest.fixture(scope="module")
def clip():
    affines = synthetic.wandering_affines(8, 256, seed=3)
    images = synthetic.moved_picture(synthetic.photograph(256), affines).frames
    return [Frame(image, n, n / 30) for n, image in enumerate(images)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch = pytest.importorskip("torch")
    from hybridanim.networks import build
    from hybridanim.networks.weights import write_weights

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several times faster where other tests run beside this one
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    sizes = build.FastSizes((16, 16, 16, 16), 16, 16, 8, 16, 1, 1, picture_px=128)
    write_weights(path, animator=build.fast(sizes))
    yield path
    torch.set_num_threads(threads)


def _pipeline(**options):
    pipeline = Pipeline.load(size=128, **options)
    pipeline.set_source(synthetic.photograph(256))
    return pipeline


def assert_same(one, other, at=""):
    """Every number of two results, bit for bit; times differ."""
    assert type(one) is type(other), at
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=at)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            if field.name not in ("times_ms", "features"):
                name = f"{at}.{field.name}"
                assert_same(getattr(one, field.name), getattr(other, field.name), name)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), at
        for n, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{at}[{n}]")
    else:
        assert one == other or (one != one and other != other), at


@pytest.mark.parametrize("renderer", ["warp", "learned"])
def test_an_overlapped_run_is_the_sequential_one_bit_for_bit(renderer, clip, request):
    options = {"renderer": renderer, "runtime": "torch"}
    if renderer == "learned":
        options["weights"], clip = request.getfixturevalue("weights"), clip[:3]
    pipeline = _pipeline(**options)
    expected = []
    for frame in clip:
        pipeline.step(pipeline.frame(frame.image, frame.time_s))
        expected.append(pipeline.last)
    with closing(animated(_pipeline(**options), clip)) as run:
        found = list(run)
    assert [frame for frame, _ in found] == clip
    for n, (one, (_, other)) in enumerate(zip(expected, found, strict=True)):
        assert_same(one, other, f"frame {n}")
        assert list(other.times_ms) == [stage.name for stage in pipeline.stages]
    pictures = [results.picture.image for _, results in found]
    assert any((picture != pictures[0]).any() for picture in pictures)


def test_steps_work_at_the_same_time_on_different_items():
    is_followed = [threading.Event() for _ in range(6)]

    def follow(n):
        is_followed[n].set()
        return n

    def draw(n):  # can only end while the next item is being followed
        assert n == 5 or is_followed[n + 1].wait(10)
        return 10 * n

    with closing(overlapped(range(6), [follow], [draw])) as run:
        assert list(run) == [0, 10, 20, 30, 40, 50]


def test_functions_of_a_step_take_turns_and_keep_the_order():
    both = threading.Barrier(2, timeout=10)  # passed by two at a time, or not at all

    def turn(name):
        def work(n):
            both.wait()
            return n, name, threading.get_ident()

        return work

    with closing(overlapped(range(8), [turn("even"), turn("odd")])) as run:
        found = list(run)
    assert [(n, name) for n, name, _ in found] == [(n, ("even", "odd")[n % 2]) for n in range(8)]
    assert len({thread for *_, thread in found}) == 2


def test_networks_get_a_share_of_the_processors_where_two_run(monkeypatch):
    monkeypatch.setattr("hybridanim.processors.count", lambda: 8)
    learned = pipeline_config({"renderer": "learned"})
    assert sharing(learned).networks.threads == 4
    assert sharing(pipeline_config({"renderer": "learned", "threads": 3})).networks.threads == 3
    assert sharing(pipeline_config({})) == pipeline_config({})
    monkeypatch.setattr("hybridanim.processors.count", lambda: 1)
    assert sharing(learned).networks.threads == 1


@pytest.mark.parametrize(("free", "threads"), [(8, 4), (5.6, 3), (4.2, 2), (1.0, 1), (0.2, 1)])
def test_networks_and_opencv_leave_other_programs_their_processors(free, threads, monkeypatch):
    monkeypatch.setattr("hybridanim.processors.count", lambda: 8)
    learned = pipeline_config({"renderer": "learned"})
    assert sharing(learned, free).networks.threads == threads
    given, before = [], 8
    monkeypatch.setattr(cv2, "getNumThreads", lambda: before)
    monkeypatch.setattr(cv2, "setNumThreads", given.append)
    with shared_processors(free):
        pass
    assert given == [threads, before]


def test_a_run_beside_other_programs_says_so(monkeypatch):
    monkeypatch.setattr("hybridanim.processors.count", lambda: 8)
    for others, is_said in ((0.3, False), (5.0, True)):
        summary = Summary(Path("o.mp4"))
        _note_other_programs(summary, others)
        assert bool(summary.notes) == is_said
    assert summary.notes == [
        "Other programs use 5.0 of 8 processors; two steps at a time use 1 each."
    ]


def test_only_a_few_items_are_under_way():
    taken = []

    def items():
        for n in range(40):
            taken.append(n)
            yield n

    with closing(overlapped(items(), [abs], [float], in_flight=3)) as run:
        for count, result in enumerate(run, 1):
            assert result == count - 1
            assert len(taken) <= count + 2
    assert len(taken) == 40


def test_an_error_comes_after_the_results_before_it_and_ends_the_threads():
    def fail(n):
        if n == 4:
            raise ValueError("the fifth")
        return n

    for steps in (([fail], [abs]), ([abs], [fail]), ([abs], [fail, fail])):
        found = []
        with pytest.raises(ValueError, match="the fifth"):
            found.extend(overlapped(range(20), *steps))
        assert not step_threads()
        run, found = overlapped(range(20), *steps), []
        with pytest.raises(ValueError, match="the fifth"):
            for result in run:
                found.append(result)
        assert found == [0, 1, 2, 3]


def test_an_error_of_the_reader_comes_last():
    def items():
        yield from range(5)
        raise OSError("unplugged")

    found = []
    with pytest.raises(OSError, match="unplugged"):
        for result in overlapped(items(), [abs]):
            found.append(result)
    assert found == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_leaving_early_ends_the_threads(kind):
    done = []

    def slow(n):
        done.append(n)
        return n

    with pytest.raises(kind), closing(overlapped(range(1000), [slow], [abs, abs])) as run:
        for result in run:
            if result == 3:
                raise kind
    assert not step_threads()
    assert len(done) < 10


def test_nothing_in_gives_nothing_out():
    assert list(overlapped([], [abs])) == []
    assert list(overlapped([1, 2])) == [1, 2]
