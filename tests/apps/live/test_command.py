"""The subcommand live from end to end: a file as the camera, files and reports out."""

import _thread
import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from apps.live.animator import Animator
from apps.live.command import command, live
from hybridanim import io
from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.live.camera import Shot
from hybridanim.live.config import LiveJob
from hybridanim.live.keys import Action
from hybridanim.live.quality import Quality
from tests import synthetic
from tests.live_fakes import FakeCamera

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "hybridanim" / "assets" / "driving.mp4"
SMALL = PipelineConfig(size=96)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "source.png"
    io.write_picture(path, synthetic.photograph(192))
    return path


@pytest.fixture(scope="module")
def frames():
    with io.open_source(EXAMPLE, max_side_px=240) as reader:
        return [frame.image for frame, _ in zip(reader, range(16), strict=False)]


def run(*options, cwd):
    return subprocess.run(
        [sys.executable, str(ROOT / "run_pipeline.py"), "live", *map(str, options)],
        cwd=cwd, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_two_seconds_of_the_example_without_a_display(source, tmp_path):
    done = run(
        *(source, "--camera", EXAMPLE, "--seconds", 2, "--output", "o.mp4", "--size", 96),
        *("--report", "r.json", "--serve", 0),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "No window: there is no display." in done.stdout
    assert "http://127.0.0.1:" in done.stdout
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["pictures"] >= 1
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    assert report["camera"]["name"] == "driving.mp4"
    with av.open(str(tmp_path / "o.mp4")) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
        assert "enerated" in container.metadata.get("comment", "")
    assert len(times) == report["outputs"]["file"]["pictures"]
    assert times[0] == 0 and times == sorted(set(times))
    assert times[-1] < report["camera"]["pictures"] / 30 + 1  # as they were taken
    record = json.loads((tmp_path / "o.json").read_text())
    assert record["is_generated"] and record["driving"]["name"] == "driving.mp4"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.json", "o.mp4", "r.json"]


BAD = [
    ((), "display"),
    (("--serve", 0, "--camera", 99), "--list-cameras"),
    (("--serve", 0, "--camera", "none.mp4"), "none.mp4"),
    (("--window", "yes", "--serve", 0, "--camera", EXAMPLE), "display"),
    (("--output", "source.png", "--overwrite", "--camera", EXAMPLE), "same file"),
    (("--serve", 0, "--latency", 1), "--latency"),
]


@pytest.fixture(autouse=True)
def alone(tmp_path_factory, monkeypatch):
    """Without a display, and with a cache folder of its own."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # small pictures: sharing the work costs more than it gains
    yield
    cv2.setNumThreads(threads)


@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(map(str, w)) for w, _ in BAD])
def test_what_cannot_be_is_one_clear_line(options, message, source, tmp_path, monkeypatch):
    (tmp_path / "source.png").write_bytes(source.read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="expected") as raised:
        command(["source.png", *map(str, options)])
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source.png"]


@pytest.mark.parametrize("address", ["224.0.0.1", "255.255.255.255", "ff02::1", ""])
def test_an_address_to_serve_is_checked_before_anything_starts(address, source):
    def make():
        raise AssertionError("the camera is opened")

    job = LiveJob(serve=0, serve_address=address, window="no")
    with pytest.raises(InputError, match="--serve-address"):
        live(job, (source,), make)


def test_consent_is_shown_once(source, capsys):
    for is_shown in (True, False):
        with pytest.raises(InputError):
            command([str(source), "--camera", "none.mp4", "--serve", "0"])
        assert ("agreed" in capsys.readouterr().out) == is_shown


def test_a_virtual_camera_without_its_package_says_what_to_do(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    job = LiveJob(camera=str(EXAMPLE), virtual_camera=True, window="no", pipeline=SMALL)
    with pytest.raises(InputError, match="pip install"):
        live(job, (source,))


def test_a_virtual_camera_gets_the_marked_pictures(source, frames, monkeypatch):
    import types

    sent = []

    class Camera:
        device = "/dev/video9"

        def __init__(self, width, height, rate):
            self.shape = (height, width, 3)

        def send(self, image):
            assert image.shape == self.shape and image.dtype == np.uint8
            sent.append(image)

        def close(self):
            sent.append(None)

    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=Camera))
    job = LiveJob(virtual_camera=True, window="no", pipeline=SMALL)
    live(job, (source,), lambda: FakeCamera(frames[:3], step_s=0.05))
    assert sent[-1] is None and len(sent) > 1


def test_nothing_is_left_behind_when_no_picture_came(source, tmp_path):
    job = LiveJob(output=tmp_path / "o.mp4", window="no", pipeline=SMALL)
    with pytest.raises(InputError, match="--camera"):
        live(job, (source,), lambda: FakeCamera([], opens=False))
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_ends_in_order(source, frames, tmp_path):
    """Ctrl-C is how a run without a window ends: the file is whole, and it is no error."""

    class Interrupting(FakeCamera):
        count = 0

        def read(self):
            self.count += 1
            if self.count == 25:
                _thread.interrupt_main()
            return super().read()

    job = LiveJob(output=tmp_path / "o.mp4", window="no", pipeline=SMALL)
    report = live(job, (source,), lambda: Interrupting(frames * 100, step_s=0.05))
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == report["outputs"]["file"]["pictures"]
    assert {path.name for path in tmp_path.iterdir()} == {"o.mp4", "o.json"}


# the animator


def animator(source, **options):
    pictures = [io.read_picture(source), synthetic.photograph(160)]
    return Animator(LiveJob(pipeline=SMALL, **options), pictures)


def shots(frames, start=0):
    return [Shot(image, 100 + (start + n) / 30, start + n) for n, image in enumerate(frames)]


def test_the_animator_survives_a_change_of_size(source, frames):
    one = animator(source, mark=False)
    for shot in shots(frames[:3]):
        assert one(shot).image.shape == (96, 96, 3)
    narrow = [np.ascontiguousarray(image[:, 30:210]) for image in frames[3:6]]
    later = [one(shot) for shot in shots(narrow, 3)]
    assert [done.image.shape for done in later] == [(96, 96, 3)] * 3
    assert not any(done.is_frozen for done in later)


def test_a_lower_level_shows_nearly_the_same(source, frames):
    """Half the side and quick sampling, enlarged again: the same picture, a little softer."""
    job = LiveJob(pipeline=PipelineConfig(size=384), reference="first", mark=False)
    one = Animator(job, [io.read_picture(source)])
    for shot in shots(frames[:4]):
        fine = one(shot).image
    one.set_quality(Quality("low", is_quick=True, is_half=True))
    coarse = one(shots(frames[3:4], 4)[0]).image
    assert one.pipeline.last.picture.image.shape == (192, 192, 3)
    assert coarse.shape == fine.shape
    assert 0.1 < np.abs(fine.astype(float) - coarse).mean() < 6
    one.set_quality(Quality("full"))
    again = one(shots(frames[3:4], 5)[0]).image
    assert np.abs(fine.astype(float) - again).mean() < 2


def test_a_near_face_is_worked_on_in_a_smaller_picture(source, frames):
    """The person leans in: after a while the view shrinks, and the reference stays the pose."""
    one = animator(source, reference="first")
    for shot in shots(frames[:2]):
        one(shot)
    before = one.pipeline.keypoints._state.reference
    one._viewing._scale *= 2  # as if the face had been seen half as large
    one._rescale(2.0)
    near = [one(shot) for shot in shots([frames[2]] * 24, 2)]
    assert not any(done.is_frozen for done in near)
    after = one.pipeline.keypoints._state.reference
    assert one._viewing.view().scale < 1.5
    assert after.head.size_px == pytest.approx(before.head.size_px, rel=0.2)
    assert after.keypoints is before.keypoints


def test_keys_change_source_strength_mirror_and_reference(source, frames):
    one = animator(source, reference="first")
    for shot in shots(frames[:3]):
        one(shot)
    first = one.pipeline.source
    one.act(Action("next"))
    assert one.pipeline.source is not first
    one.act(Action("source", 0))
    assert one.pipeline.source is first
    one.act(Action("source", 7))
    assert one.pipeline.source is first
    one.act(Action("stronger"))
    assert one.strength == 1.1 and one.pipeline.keypoints._config.scale == 1.1
    for _ in range(40):
        one.act(Action("weaker"))
    assert one.strength == 0
    before = one.pipeline.keypoints._state.reference
    one.act(Action("reference"))
    assert one.pipeline.keypoints._state.reference is not before
    one.act(Action("mirror"))
    one.act(Action("debug"))
    done = one(shots(frames[:1], 3)[0])
    assert np.array_equal(one.pipeline.last.frame.image.shape[:2], done.inset.shape[:2])


def test_a_mirrored_driver_moves_the_other_way(source, frames):
    """Yaw changes its sign when the camera's picture is taken as in a mirror."""
    plain, mirrored = animator(source), animator(source, mirror=True)
    for shot in shots(frames):
        plain(shot), mirrored(shot)
    there, here = (one.pipeline.last.tracks.rotation_deg for one in (plain, mirrored))
    assert there[0] == pytest.approx(-here[0], abs=6)
    assert there[1] == pytest.approx(here[1], abs=6)


def test_the_reference_key_stills_the_motion(source, frames):
    one = animator(source, reference="first")
    for shot in shots(frames):
        one(shot)
    rest = one.pipeline.source.keypoints.xy_norm
    one.act(Action("reference"))
    for n in range(8):
        one(Shot(frames[-1], 101 + n / 30, 50 + n))
    assert np.abs(one.pipeline.last.points.target.xy_norm - rest).mean() < 0.03
