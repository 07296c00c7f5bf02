"""The parts of a live run that need no clock: mailbox, governor, keys, figures, hints, words."""

import threading
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from apps.live import devices
from hybridanim.config import PipelineConfig, RenderConfig
from hybridanim.errors import InputError
from hybridanim.face.aligner import MEAN_SHAPE
from hybridanim.live import keys, overlay, quality, reference
from hybridanim.live.camera import Device, File, Pace, Shot, Stream, make_camera
from hybridanim.live.capture import backoff_s, is_black
from hybridanim.live.config import LiveJob, read_live_job
from hybridanim.live.latency import Latency, Recent
from hybridanim.live.mailbox import Mailbox
from hybridanim.live.quality import GovernorState, Pacer
from hybridanim.live.reference import ReferenceKeeper, rescaled
from hybridanim.live.working_view import Viewing
from hybridanim.motion.reference import reference_of
from tests.live_fakes import GREY
from tests.made_results import made_results, made_source

# mailbox


def test_mailbox_keeps_the_newest_and_counts_the_rest():
    box = Mailbox()
    for item in range(10):
        box.put(item)
    assert box.take(0) == 9
    assert box.take(0) is None
    assert (box.count, box.dropped) == (10, 9)


def test_mailbox_with_room_drops_the_oldest():
    box = Mailbox(capacity=3)
    for item in range(5):
        box.put(item)
    assert [box.take(0) for _ in range(4)] == [2, 3, 4, None]


def test_a_waiting_taker_wakes_for_an_item_and_for_the_end():
    box: Mailbox[int] = Mailbox()
    taken = []

    def work():
        while not box.is_over:
            item = box.take(5)
            if item is not None:
                taken.append(item)

    thread = threading.Thread(target=work)
    thread.start()
    start_s = time.monotonic()
    box.put(1)
    while not taken:
        time.sleep(0.001)
    box.put(2)
    box.close()
    thread.join(5)
    assert taken == [1, 2]
    assert time.monotonic() - start_s < 2  # never waited its five seconds
    box.put(3)
    assert box.count == 2


# governor


def run(costs, seconds, levels=5, state=None, hz=30.0):
    """Feed the governor with costs(level, time); its last state, and the levels over time."""
    state = state or GovernorState()
    seen = []
    start_s = state.time_s or 0.0
    for step in range(round(seconds * hz)):
        time_s = start_s + (step + 1) / hz
        state = quality.step(state, time_s, costs(state.level, time_s), levels)
        seen.append(state.level)
    return state, seen


def test_governor_goes_down_until_there_is_room_and_stays():
    loads = [1.6, 1.2, 0.95, 0.75, 0.6]
    state, seen = run(lambda level, _: loads[level], 60)
    assert state.level == 3
    assert seen.index(3) < 10 * 30
    assert set(seen[20 * 30 :]) == {3}


def test_governor_ignores_one_slow_picture():
    _, seen = run(lambda _, t: 12.0 if 10 < t < 10.03 else 0.5, 30)
    assert set(seen) == {0}


def test_governor_comes_back_when_the_other_load_is_over():
    loads = [0.5, 0.4, 0.3, 0.2, 0.1]
    state, seen = run(lambda level, t: loads[level] * (4 if t < 10 else 1), 120)
    assert max(seen) >= 3
    assert state.level == 0


def test_governor_seldom_tries_what_did_not_last():
    loads = [1.5, 0.5]  # one level is too much, the next has room: a temptation to swing
    _, seen = run(lambda level, _: loads[level], 600, levels=2, hz=10)
    changes = np.abs(np.diff(seen)).sum()
    assert changes <= 2 * 600 / 60
    assert np.mean(seen) > 0.95


def test_governor_waits_long_before_a_step_up_that_measured_too_dear():
    loads = [1.0, 0.2]  # the learned renderer and the warp: a large step
    _, seen = run(lambda level, _: loads[level], 300, levels=2, hz=20)
    assert np.abs(np.diff(seen)).sum() <= 9
    assert np.mean(seen) > 0.97


def test_governor_never_leaves_the_ladder():
    state, seen = run(lambda *_: 9.0, 60, levels=3)
    assert state.level == 2 and max(seen) == 2
    state, seen = run(lambda *_: 0.0, 60, levels=3)
    assert set(seen) == {0}
    _, seen = run(lambda *_: 9.0, 10, levels=1)
    assert set(seen) == {0}


def test_ladder_keeps_skipping_for_last_and_drops_what_gains_nothing():
    for tracker, renderer, size in product(
        ("classical", "hybrid"), ("warp", "learned"), (0, 256, 512)
    ):
        config = PipelineConfig(tracker=tracker, size=size, render=RenderConfig(renderer=renderer))
        levels = quality.ladder(config)
        skips = [level.every for level in levels]
        assert skips == sorted(skips) and skips[0] == 1 and skips[-2:] == [2, 3]
        assert any(level.is_warp for level in levels) == (renderer == "learned")
        assert any(level.is_half for level in levels) == (size != 256)
        assert any(level.anchor_every > 1 for level in levels) == (tracker == "hybrid")
        assert len({level.name for level in levels}) == len(levels)


def shot(number, time_s):
    return Shot(GREY, time_s, number)


def test_pacer_leaves_out_every_second_and_learns_the_rate():
    levels = (quality.Quality("full"), quality.Quality("second", every=2))
    pacer = Pacer(levels, 80)
    for number in range(60):
        assert pacer.is_wanted(shot(number, number / 10))
    pacer.took(shot(59, 5.9), 5.9, 5.95)  # 50 ms of 100
    assert pacer.state.load == pytest.approx(0.5, abs=0.15)
    pacer.state = replace(pacer.state, level=1)
    wanted = [pacer.is_wanted(shot(number, number / 10)) for number in range(60, 70)]
    assert sum(wanted) == 5 and pacer.left_out == 5


@pytest.mark.parametrize(("busy", "level"), [(1.2, 0), (1.5, 1)])
def test_pacer_leaves_out_pictures_only_when_it_is_far_too_slow(busy, level):
    levels = quality.Quality("full"), quality.Quality("second", every=2, reluctance=1.6)
    pacer, number = Pacer(levels, 1000), 0
    for _ in range(2000):
        number += 1 if pacer.quality.every > 1 or busy < 1 else 2  # the slot keeps the newest
        time_s = number / 30
        if pacer.is_wanted(shot(number, time_s)):
            pacer.took(shot(number, time_s), time_s, time_s + busy / 30)
    assert pacer.state.level == level
    assert len(pacer.figures()["changes"]) == level


def test_pacer_lowers_for_latency_alone():
    pacer = Pacer(quality.ladder(PipelineConfig()), 80)
    changes = 0
    for number in range(100):  # a slow camera leaves time, but 90 ms is late
        time_s = number / 4
        assert pacer.is_wanted(shot(number, time_s)) or pacer.quality.every > 1
        changes += pacer.took(shot(number, time_s), time_s, time_s + 0.09)
    assert changes > 0
    assert Pacer((), 80).quality.name == "full"


# keys


@pytest.mark.parametrize(
    ("key", "verb"),
    [
        *[("r", "reference"), ("R", "reference"), ("n", "next"), ("d", "debug"), ("m", "mirror")],
        *[("+", "stronger"), ("=", "stronger"), ("-", "weaker"), ("p", "pause"), (" ", "pause")],
        *[("h", "help"), ("q", "quit"), ("\x1b", "quit")],
    ],
)
def test_keys_ask_for_their_action(key, verb):
    assert keys.action_of(ord(key)) == keys.Action(verb)


def test_numbers_choose_sources_and_others_mean_nothing():
    assert keys.action_of(ord("1")) == keys.Action("source", 0)
    assert keys.action_of(ord("9")) == keys.Action("source", 8)
    assert keys.action_of(-1) is None
    assert keys.action_of(ord("0")) is None
    assert keys.action_of(0x100000 | ord("q")) == keys.Action("quit")  # with num lock's bit
    assert {letter for word, _ in keys.HELP for letter in word.split()} >= set("rnmdphq+-")


# figures


def test_latency_agrees_with_numpy():
    values_ms = np.random.default_rng(3).gamma(4, 12, 5000)
    latency = Latency()
    for row, value in enumerate(values_ms):
        latency.add(row / 30, row / 30 + value / 1000)
    for share in (50, 95, 99):
        assert latency.percentile_ms(share) == pytest.approx(np.percentile(values_ms, share), abs=1)
    figures = latency.figures()
    assert figures["pictures"] == 5000
    assert figures["pictures_per_s"] == pytest.approx(30, rel=0.01)
    assert figures["latency_ms"]["largest"] == pytest.approx(values_ms.max(), abs=0.1)
    assert abs(figures["latency_ms"]["growth_per_minute"]) < 5


def test_latency_sees_growth_and_stays_small():
    latency = Latency()
    for row in range(6 * 60 * 60):  # an hour, 2 ms a minute
        at_s = row / 6
        latency.add(at_s, at_s + 0.03 + 0.002 * at_s / 60)
    assert latency.growth_ms_per_minute() == pytest.approx(2, abs=0.1)
    assert len(latency.figures()["spans"]) < 300


def test_latency_of_nothing():
    figures = Latency().figures()
    assert figures["pictures"] == 0 and figures["latency_ms"]["p95"] == 0
    assert Latency().recent() == Recent()


def test_recent_forgets():
    latency = Latency()
    for row in range(300):
        latency.add(row / 30, row / 30 + (0.5 if row < 150 else 0.02))
    assert latency.recent().p95_ms == pytest.approx(20, abs=1)
    assert latency.recent().rate_hz == pytest.approx(30, rel=0.02)


# camera


def test_words_name_cameras(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert isinstance(make_camera("0"), Device)
    assert isinstance(make_camera("/dev/video7"), Device)
    assert isinstance(make_camera(str(tmp_path / "clip.mp4")), File)
    stream = make_camera("rtsp://user:secret@host/live")
    assert isinstance(stream, Stream) and "secret" not in stream.name
    with pytest.raises(InputError, match="list-cameras"):
        make_camera("nothing.mp4")


def test_pace_waits_for_the_films_time_and_gives_up_lost_time():
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    pace = Pace(lambda: now[0], sleep)
    pace.wait(5.0)
    assert now[0] == 100.0
    pace.wait(5.04)
    assert now[0] == pytest.approx(100.04)
    now[0] += 0.1  # a little late: caught up
    pace.wait(5.08)
    pace.wait(5.16)
    assert now[0] == pytest.approx(100.16)
    now[0] += 30  # asleep
    pace.wait(5.2)
    before = now[0]
    pace.wait(5.24)
    assert now[0] == pytest.approx(before + 0.04)


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


def test_cameras_are_listed_by_name(tmp_path):
    for node, name, index in (
        ("video2", "Front", "0"),
        ("video3", "Front", "1"),
        ("video0", "X", "0"),
    ):
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(name + "\n")
        (tmp_path / node / "index").write_text(index + "\n")
    found = devices.list_cameras("Linux", tmp_path)
    assert [(one.number, one.name) for one in found] == [(0, "X"), (2, "Front")]
    assert "--camera 2  Front" in "\n".join(devices.lines(found))
    assert "none" in devices.lines(devices.list_cameras("Linux", tmp_path / "no"))[0]


def test_a_camera_that_is_not_there_says_so():
    from hybridanim.live.camera import CameraError

    device = Device("/dev/video-none", (640, 480), 30)
    with pytest.raises(CameraError, match="unplugged"):
        device.open()
    device.close()


# hints, reference, screen


@pytest.fixture(scope="module")
def source():
    return made_source(64)


@pytest.fixture(scope="module")
def results(source):
    return made_results(1, source)


def posed(results, source, turn_deg):
    yaw, pitch, roll = source.rotation_deg
    angles = (yaw + turn_deg, pitch, roll)
    tracks = replace(
        results.tracks, rotation_deg=angles, rotation_confidence=1.0, landmarks_xy_px=None, lost=""
    )
    return tracks


def test_the_hint_is_green_near_the_source_and_does_not_flicker(results, source):
    assert reference.hint(posed(results, source, 3), source, None).is_good
    assert reference.hint(posed(results, source, 20), source, None) is None
    between = posed(results, source, 13.5)
    assert reference.hint(between, source, None) is None
    assert reference.hint(between, source, reference.Hint("", True)).is_good
    lost = reference.hint(replace(results.tracks, lost="gone"), source, None)
    assert lost is not None and not lost.is_good


def test_the_reference_is_the_best_of_the_first_seconds(results, source):
    keeper = ReferenceKeeper(is_auto=True)
    took = [
        keeper.look(posed(results, source, turn), source, time_s) is not None
        for time_s, turn in [(0, 30), (0.5, 10), (1, 20), (2, 9.5), (2.5, 2), (4, 0)]
    ]
    assert took == [True, True, False, False, True, False]
    first = ReferenceKeeper(is_auto=False)
    assert first.look(posed(results, source, 30), source, 0) is not None
    assert first.look(posed(results, source, 0), source, 1) is None
    keeper.forget()
    assert keeper.look(posed(results, source, 30), source, 10) is not None
    assert keeper.look(replace(results.tracks, lost="gone"), source, 11) is None


def test_a_rescaled_reference_is_the_same_pose(results, source):
    reference = reference_of(posed(results, source, 5), MEAN_SHAPE)
    assert reference is not None
    half = rescaled(reference, 0.5)
    assert half.keypoints is reference.keypoints
    assert half.crop.side_px == pytest.approx(reference.crop.side_px / 2)
    back = rescaled(half, 2.0)
    assert back.head.center_xy_px == pytest.approx(reference.head.center_xy_px)
    assert back.crop.x_px == pytest.approx(reference.crop.x_px)


def test_the_screen_shows_its_words_and_leaves_the_result_alone(results):
    image = np.full((256, 256, 3), 90, np.uint8)
    before = image.copy()
    plain = overlay.view(image, overlay.Screen())
    assert plain.shape == (480, 480, 3) and np.all(plain == 90)
    for words in (
        overlay.Screen(figures="30 fps"),
        overlay.Screen(notice="gone"),
        overlay.Screen(has_help=True),
        overlay.Screen(is_paused=True),
        overlay.Screen(hint=reference.Hint("good", True)),
    ):
        shown = overlay.view(image, words)
        assert shown.shape == plain.shape and np.any(shown != 90)
    assert np.array_equal(image, before)
    shown = overlay.view(image, overlay.Screen(), overlay.inset_of(results))
    assert np.any(shown[40:140, -100:] != 90) and np.all(shown[-100:, -100:] == 90)
    status = overlay.status_of(overlay.Screen("f", hint=reference.Hint("good", True)))
    assert status == {"figures": "f", "notice": "", "hint": "good", "is_good": True}


def test_settings_out_of_range_are_refused():
    for wrong in ({"serve": 70000}, {"camera_rate": 0.0}, {"latency": 0.0}, {"seconds": -1.0}):
        with pytest.raises(InputError, match="expected"):
            LiveJob(**wrong)


# view


def looked(viewing, results, face_px, times):
    """What the viewing says while a head of that size (in the camera's picture) is tracked."""
    ratios = []
    for _ in range(times):
        head = replace(results.tracks.head, size_px=face_px * viewing.view().scale)
        ratios.append(viewing.look(replace(results.tracks, head=head, lost="")))
    return ratios


def test_the_view_follows_the_face_in_rare_steps(results):
    viewing = Viewing()
    viewing.begin(np.full((720, 1280, 3), 90, np.uint8))  # nobody there
    assert viewing.view().scale == pytest.approx(0.5)
    assert set(looked(viewing, results, 250, 60)) == {1.0}  # 125 pixels: well
    near = looked(viewing, results, 500, 60)
    assert sum(ratio != 1 for ratio in near) == 1
    assert np.prod(near) == pytest.approx(150 / 500 / 0.5)
    assert viewing.view().scale == pytest.approx(0.3)
    assert set(looked(viewing, results, 500, 60)) == {1.0}
    far = looked(viewing, results, 100, 60)
    assert viewing.view().scale == pytest.approx(0.5) and np.prod(far) == pytest.approx(0.5 / 0.3)


def test_a_short_change_of_the_face_and_a_lost_one_are_no_reason(results):
    viewing = Viewing()
    viewing.begin(np.full((480, 640, 3), 90, np.uint8))
    assert set(looked(viewing, results, 600, 10)) == {1.0}
    assert set(looked(viewing, results, 150, 5)) == {1.0}
    assert set(looked(viewing, results, 600, 10)) == {1.0}
    assert viewing.look(replace(results.tracks, lost="gone")) == 1.0


def test_presets_hold_for_live_too(tmp_path):
    presets = sorted((Path(__file__).parents[2] / "examples" / "presets").glob("*.toml"))
    assert presets
    for path in presets:
        assert read_live_job(path).pipeline.size == 256
    (tmp_path / "mine.toml").write_text('size = 320\nserve = 8080\n[track]\ncorners = "harris"\n')
    job = read_live_job(tmp_path / "mine.toml")
    assert (job.pipeline.size, job.serve, job.pipeline.track.corners) == (320, 8080, "harris")
    (tmp_path / "wrong.toml").write_text("servr = 1\n")
    with pytest.raises(InputError, match="serve"):
        read_live_job(tmp_path / "wrong.toml")
