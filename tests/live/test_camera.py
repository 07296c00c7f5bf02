"""Cameras: their names on the command line, a file's own rate, and one that is missing."""

import numpy as np
import pytest

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.live.camera import (
    CameraEnd,
    CameraError,
    Device,
    File,
    PlaybackClock,
    Stream,
    make_camera,
)
from tests import synthetic


def test_the_command_line_names_cameras(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert isinstance(make_camera("0"), Device)
    assert isinstance(make_camera("/dev/video7"), Device)
    assert isinstance(make_camera(str(tmp_path / "clip.mp4")), File)
    stream = make_camera("rtsp://user:secret@host/live")
    assert isinstance(stream, Stream) and "secret" not in stream.name
    with pytest.raises(InputError, match="list-cameras"):
        make_camera("nothing.mp4")


def test_the_playback_clock_waits_for_the_videos_time_and_gives_up_lost_time():
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    clock = PlaybackClock(lambda: now[0], sleep)
    clock.wait(5.0)
    assert now[0] == 100.0
    clock.wait(5.04)
    assert now[0] == pytest.approx(100.04)
    now[0] += 0.1  # a little late: caught up
    clock.wait(5.08)
    clock.wait(5.16)
    assert now[0] == pytest.approx(100.16)
    now[0] += 30  # asleep
    clock.wait(5.2)
    before = now[0]
    clock.wait(5.24)
    assert now[0] == pytest.approx(before + 0.04)


def test_a_file_runs_at_its_own_rate_and_in_a_loop(tmp_path):
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


def test_a_camera_that_is_not_there_says_so():
    device = Device("/dev/video-none", (640, 480), 30)
    with pytest.raises(CameraError, match="unplugged"):
        device.open()
    device.close()
