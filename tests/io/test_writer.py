"""Videos out: times, sound, odd sizes, interruptions, full disks. ffmpeg and OpenCV check them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from hybridanim import io
from hybridanim.errors import InputError
from tests import synthetic
from tests.io_clips import (
    FFMPEG,
    click_track,
    corners,
    delay_s,
    ffmpeg_rgb,
    ffmpeg_sound,
    number_of,
    numbered,
    write_clip,
)

NTSC = Fraction(30000, 1001)
FILMS = [".mp4", ".mov", ".mkv", ".webm"]
CLICKS = [0.2, 0.9, 1.3, 2.1, 2.55]


def write(path, images, rate=NTSC, times=None, **options) -> io.VideoWriter:
    images = list(images)
    size = (images[0].shape[1], images[0].shape[0])
    with io.open_sink(path, rate, size, **options) as writer:
        for index, image in enumerate(images):
            writer.write(image, None if times is None else times[index])
    return writer


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def stamps(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("rate", [NTSC, Fraction(24), Fraction(15, 2)])
def test_constant_rates_are_exact(tmp_path, ending, rate):
    path = tmp_path / f"a{ending}"
    write(path, map(numbered, range(20)), rate)
    assert leftovers(tmp_path) == [path.name]
    theirs = ffmpeg_rgb(path, 64, 48)
    assert [number_of(image) for image in theirs] == list(range(20))
    tick = Fraction(1, 1000) if ending in (".mkv", ".webm") else Fraction(0)
    for index, stamp in enumerate(stamps(path)):
        assert abs(stamp - index / rate) <= tick / 2
    with io.open_source(path) as reader:
        assert (reader.fps, reader.is_variable_rate) == (rate, False)
        assert reader.duration_s == pytest.approx(float(20 / rate))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if not tick:
            assert stream.average_rate == rate
            assert stream.duration * stream.time_base == 20 / rate


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".gif"])
def test_variable_rate_keeps_the_times_of_the_input(tmp_path, ending):
    ticks = [0, 30, 70, 100, 180, 200, 320, 350, 500, 530]
    base = Fraction(1, 1000)
    source = write_clip(
        tmp_path / "v.mkv", map(numbered, range(10)), Fraction(30), times=ticks, time_base=base
    )
    out = tmp_path / f"out{ending}"
    with io.open_source(source) as reader:
        size = reader.width, reader.height
        with io.open_sink(out, reader.fps, size, time_base=reader.time_base) as writer:
            for frame in reader:
                writer.write(frame.image, frame.time_s)
    assert stamps(out) == [Fraction(t, 1000) for t in ticks]
    assert [number_of(image) for image in ffmpeg_rgb(out, 64, 48)] == list(range(10))


def test_fine_time_base_is_kept_in_mp4(tmp_path):
    times = [i / 90_000 for i in (0, 3003, 6007, 9002, 15013)]
    out = tmp_path / "a.mp4"
    write(out, map(numbered, range(5)), Fraction(28), times, time_base=Fraction(1, 90_000))
    assert stamps(out) == [Fraction(i, 90_000) for i in (0, 3003, 6007, 9002, 15013)]


def test_first_time_becomes_zero_and_times_never_repeat(tmp_path):
    out = tmp_path / "a.mp4"
    write(out, map(numbered, range(4)), Fraction(25), [5.0, 5.04, 5.04, 5.08])
    got = stamps(out)
    assert got[0] == 0 and got == sorted(set(got)) and len(got) == 4


@pytest.mark.parametrize("ending", [*FILMS, ".gif"])
def test_odd_sizes_and_true_colors(tmp_path, ending):
    out = tmp_path / f"a{ending}"
    image = corners(63, 47)
    write(out, [image] * 3, Fraction(10))
    side = (63, 47) if ending == ".gif" else (64, 48)
    theirs = ffmpeg_rgb(out, *side)[0][:47, :63].astype(int)
    for y, x in ((5, 5), (5, 50), (40, 5), (40, 50)):
        assert np.abs(theirs[y, x] - image[y, x]).max() <= 12, (y, x, theirs[y, x])
    with io.open_source(out) as reader:
        ours = next(reader).image[:47, :63].astype(int)
    assert np.abs(ours - theirs).mean() < 3
    capture = cv2.VideoCapture(str(out))
    is_read, bgr = capture.read()
    capture.release()
    assert is_read and np.abs(bgr[:47, :63, ::-1].astype(int) - image).mean() < 16


@pytest.fixture(scope="module")
def driving(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("driving")
    images = [numbered(i) for i in range(90)]
    vp9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
    return {
        "aac": write_clip(folder / "a.mp4", images, NTSC, clicks=CLICKS),
        "matroska": write_clip(folder / "a.mkv", images, NTSC, clicks=CLICKS),
        "opus": write_clip(
            folder / "a.webm", images, NTSC, clicks=CLICKS, sound_codec="libopus", **vp9
        ),
        "pcm": write_clip(folder / "a.mov", images, NTSC, clicks=CLICKS, sound_codec="pcm_s16le"),
    }


@pytest.mark.parametrize("kind", ["aac", "matroska", "opus", "pcm"])
@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("cut", [(None, None), (0.7, 2.4)])
def test_sound_stays_in_sync(tmp_path, driving, kind, ending, cut):
    out = tmp_path / f"out{ending}"
    with io.open_source(driving[kind], *cut) as reader:
        assert reader.has_audio
        size = reader.width, reader.height
        with io.open_sink(out, reader.fps, size, audio_from=driving[kind]) as writer:
            frames = []
            for frame in reader:
                frames.append(frame.time_s)
                writer.write(frame.image, frame.time_s)
    assert writer.warning == ""
    last = (cut[1] or 9) - frames[0]
    heard = [c - frames[0] for c in CLICKS if 0 <= c - frames[0] < last]
    sound = ffmpeg_sound(out)
    assert abs(delay_s(sound, click_track(heard, 3.2))) < 0.001
    length_s = len(frames) / NTSC
    assert length_s - 0.03 < len(sound) / 48_000 < length_s + 0.06
    # the pictures stay where they were, too
    assert stamps(out)[0] == 0
    numbers = [number_of(image) for image in ffmpeg_rgb(out, 64, 48)]
    assert numbers == list(range(numbers[0], numbers[0] + len(frames)))
    assert numbers[0] == round(frames[0] * NTSC)
    assert leftovers(tmp_path) == [out.name]
    with av.open(str(out)) as container:
        codec = container.streams.audio[0].codec_context.name
    if (kind, ending, cut[0]) in (("aac", ".mp4", None), ("opus", ".webm", None)):
        assert codec == {"aac": "aac", "opus": "opus"}[kind]
    assert codec == "opus" if ending == ".webm" else codec in ("aac", "opus", "pcm_s16le")


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


def test_uncut_sound_is_copied_bit_for_bit(tmp_path, driving):
    out = tmp_path / "out.mp4"
    write(out, map(numbered, range(90)), audio_from=driving["aac"])
    mine, theirs = packets(out), packets(driving["aac"])
    assert mine == theirs[: len(mine)] and len(mine) > 0.95 * len(theirs)


def test_given_sound_limits_are_used(tmp_path, driving):
    out = tmp_path / "out.mp4"
    options = {"audio_from": driving["aac"], "audio_start_s": 0.8, "audio_end_s": 1.5}
    write(out, map(numbered, range(60)), **options)
    sound = ffmpeg_sound(out)
    assert abs(delay_s(sound, click_track([0.1, 0.5], 2))) < 0.001
    assert 0.68 < len(sound) / 48_000 < 0.76


def test_sound_far_into_a_long_file(tmp_path):
    clicks = [30.3, 31.1, 32.05, 33.4]
    images = [numbered(i) for i in range(70)]
    options = {"clicks": clicks, "codec": "mpeg4", "sound_codec": "libmp3lame"}
    source = write_clip(tmp_path / "long.avi", images, Fraction(2), **options)
    out = tmp_path / "out.mp4"
    with (
        io.open_source(source, 30.0) as reader,
        io.open_sink(out, reader.fps, (64, 48), audio_from=source) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.time_s)
    expected = click_track([c - 30 for c in clicks], 5)  # AVI does not tell of MP3's delay
    assert abs(delay_s(ffmpeg_sound(out), expected)) < 0.001


def test_unusable_sound_is_left_out_with_a_warning(tmp_path):
    silent = write_clip(tmp_path / "silent.mp4", map(numbered, range(5)))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    for source in (silent, broken, tmp_path / "missing.mp4"):
        out = tmp_path / f"out-{source.name}"
        writer = write(out, map(numbered, range(5)), audio_from=source)
        assert source.name in writer.warning and "left out" in writer.warning
        assert len(stamps(out)) == 5


def test_tags_say_where_it_comes_from(tmp_path):
    tags = {"title": "Generated animation", "comment": "Generated by X", "description": "Zürich"}
    for ending in (".mp4", ".mov", ".mkv", ".webm", ".gif"):
        out = tmp_path / f"a{ending}"
        write(out, map(numbered, range(3)), metadata=tags)
        with av.open(str(out)) as container:
            text = str(container.metadata)
        assert "Generated by X" in text, ending
        assert len(ffmpeg_rgb(out, 64, 48)) == 3
    with Image.open(tmp_path / "a.gif") as opened:
        assert "Zürich" in opened.info["comment"].decode()
        assert opened.info["loop"] == 0 and opened.n_frames == 3
    write(tmp_path / "pictures", map(numbered, range(3)), metadata=tags)
    with Image.open(tmp_path / "pictures" / "frame_000002.png") as opened:
        assert opened.text["comment"] == "Generated by X"


def test_gif_looks_like_the_input(tmp_path):
    ramp = np.linspace(0, 1, 128)
    image = np.stack(np.meshgrid(ramp, ramp), -1) @ np.array([[1, 0.3, 0], [0, 0.6, 1]])
    image = io.to_rgb8(np.clip(image, 0, 1))
    write(tmp_path / "a.gif", [image] * 4)
    theirs = ffmpeg_rgb(tmp_path / "a.gif", 128, 128)
    smooth = cv2.GaussianBlur(theirs[3], (0, 0), 3).astype(int)
    assert np.abs(smooth - cv2.GaussianBlur(image, (0, 0), 3)).mean() < 4
    assert np.array_equal(theirs[0], theirs[3])  # still pictures do not flicker


def test_gif_palette_serves_rare_colors(tmp_path):
    ramp = np.linspace(20, 200, 200, dtype=np.uint8)
    red, blue = np.meshgrid(ramp, ramp)
    image = np.stack([red, np.full_like(red, 90), blue], -1)
    image[100:108, 100:112] = (230, 20, 30)  # a mouth: 0.2 % of the picture
    write(tmp_path / "a.gif", [image])
    theirs = ffmpeg_rgb(tmp_path / "a.gif", 200, 200)[0]
    assert np.abs(theirs[100:108, 100:112].astype(int) - (230, 20, 30)).mean() < 8


def test_folder_and_single_picture(tmp_path):
    folder = tmp_path / "out"
    write(folder, map(numbered, range(4)))
    assert leftovers(folder) == [f"frame_{i:06d}.png" for i in range(4)]
    with pytest.raises(InputError, match="--overwrite"):
        write(folder, map(numbered, range(2)))
    (folder / "mine.txt").write_text("keep")
    write(folder, map(numbered, range(2)), overwrite=True)
    assert leftovers(folder) == ["frame_000000.png", "frame_000001.png", "mine.txt"]
    write(tmp_path / "one.png", [corners()])
    assert np.array_equal(io.read_picture(tmp_path / "one.png"), corners())
    with pytest.raises(InputError, match="one picture"):
        write(tmp_path / "two.png", [corners()] * 2)
    assert leftovers(tmp_path) == ["one.png", "out"]


def test_refusals_before_anything_is_written(tmp_path):
    taken = tmp_path / "taken.mp4"
    taken.write_text("mine")
    (tmp_path / "folder.mp4").mkdir()
    cases = {
        taken: "--overwrite",
        tmp_path / "folder.mp4": "folder",
        tmp_path / "a.xyz": "change the ending",
        tmp_path / "nowhere" / "a.mp4": "found no",
        taken / "a.mp4": "found no",
    }
    before = leftovers(tmp_path)
    for path, words in cases.items():
        with pytest.raises(InputError, match=words) as caught:
            io.open_sink(path, NTSC, (64, 48))
        assert "\n" not in str(caught.value)
    assert leftovers(tmp_path) == before and taken.read_text() == "mine"


def test_unwritable_folder(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    with pytest.raises(InputError, match="Permission denied"):
        io.open_sink(tmp_path / "a.mp4", NTSC, (64, 48))


def test_errors_remove_and_interruptions_keep(tmp_path):
    out = tmp_path / "a.mp4"
    with pytest.raises(ZeroDivisionError), io.open_sink(out, NTSC, (64, 48)) as writer:
        writer.write(numbered(0))
        raise ZeroDivisionError
    assert leftovers(tmp_path) == []
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), io.open_sink(out, NTSC, (64, 48), overwrite=True) as writer:
            for i in range(7):
                writer.write(numbered(i))
            if error is ZeroDivisionError:
                writer.abort_keep()
            raise error
        assert leftovers(tmp_path) == ["a.mp4"]
        assert [number_of(i) for i in ffmpeg_rgb(out, 64, 48)] == list(range(7))
    before = out.read_bytes()
    overwriting = io.open_sink(out, NTSC, (64, 48), overwrite=True)
    with pytest.raises(ZeroDivisionError), overwriting as writer:
        writer.write(numbered(0))
        raise ZeroDivisionError
    assert out.read_bytes() == before  # the older file is only replaced by a whole one
    with pytest.raises(KeyboardInterrupt), io.open_sink(tmp_path / "b.mp4", NTSC, (64, 48)):
        raise KeyboardInterrupt
    assert leftovers(tmp_path) == ["a.mp4"]
    assert not [t for t in threading.enumerate() if t.name == "write video"]


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a"])
def test_two_runs_and_foreign_parts_do_not_meet(tmp_path, name):
    """Each run has a part of its own; a link under the name of a former version is not followed."""
    (tmp_path / "mine").write_text("mine")
    trap = tmp_path / f".{name}.{os.getpid()}.part"
    trap.symlink_to(tmp_path / "mine")
    both = [io.open_sink(tmp_path / name, NTSC, (64, 48), overwrite=True) for _ in range(2)]
    assert len(leftovers(tmp_path)) == 4
    for writer in both:
        with writer:
            writer.write(numbered(0))
    assert leftovers(tmp_path) == [trap.name, name, "mine"]
    assert trap.is_symlink() and (tmp_path / "mine").read_text() == "mine"


def test_nothing_written_is_an_error(tmp_path):
    writer = io.open_sink(tmp_path / "a.mp4", NTSC, (64, 48))
    with pytest.raises(InputError, match="at least one picture"), writer:
        pass
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((64, 48, 3), np.uint8), r"expected \(48, 64, 3\) uint8, got \(64, 48, 3\)"),
        (np.zeros((48, 64, 3), np.float32), "to_rgb8"),
    ],
)
def test_wrong_pictures_are_refused(tmp_path, image, words):
    writer = io.open_sink(tmp_path / "a.mp4", NTSC, (64, 48))
    with pytest.raises(TypeError, match=words), writer:
        writer.write(image)
    assert leftovers(tmp_path) == []


def test_the_picture_may_be_changed_after_writing(tmp_path):
    image = numbered(0)
    with io.open_sink(tmp_path / "a.mkv", NTSC, (64, 48)) as writer:
        for i in range(20):
            image[:] = numbered(i)
            writer.write(image)
            image[:] = 0
    numbers = [number_of(i) for i in ffmpeg_rgb(tmp_path / "a.mkv", 64, 48)]
    assert numbers == list(range(20))


INTERRUPTED = """
import sys, time
from fractions import Fraction
from hybridanim import io
from tests.io_clips import numbered
with io.open_sink(sys.argv[1], Fraction(25), (64, 48), audio_from=sys.argv[2]) as writer:
    for i in range(100_000):
        writer.write(numbered(i % 256))
        if i == 40:
            print("ready", flush=True)
        time.sleep(0.002)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_leaves_a_playable_file_with_sound(tmp_path, driving):
    out = tmp_path / "a.mp4"
    command = [sys.executable, "-c", INTERRUPTED, str(out), str(driving["aac"])]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
        preexec_fn=synthetic.interruptible,
    ) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == b"ready"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode != 0 and errors.rstrip().endswith(b"KeyboardInterrupt")
    assert leftovers(tmp_path) == ["a.mp4"]
    count = len(ffmpeg_rgb(out, 64, 48))
    assert 40 < count < 2000
    assert abs(len(ffmpeg_sound(out)) / 48_000 - min(count / 25, 3.1)) < 0.06


FULL_DISK = """
import resource, signal, sys
import numpy as np
from fractions import Fraction
from hybridanim import io
from hybridanim.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
rng = np.random.default_rng(0)
try:
    with io.open_sink(sys.argv[1], Fraction(25), (160, 120)) as writer:
        for i in range(int(sys.argv[2])):
            writer.write(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs file-size limits")
@pytest.mark.parametrize(("name", "count"), [("a.mp4", 60), ("a.mp4", 6), ("a.mkv", 60), ("a", 9)])
def test_full_disk_is_one_clear_line(tmp_path, name, count):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / name), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    if name == "a":  # each PNG of noise has 57 kB and fits
        assert done.stdout == "" and len(leftovers(tmp_path / "a")) == 9
        return
    assert done.stdout.startswith("output: expected to write") and done.stdout.count("\n") == 1
    assert "File too large" in done.stdout
    assert leftovers(tmp_path) == []


def test_gif_of_many_pictures_keeps_still_places_still_and_moving_ones_true(tmp_path):
    """A square moves over a gradient: times, order, and not one pixel that changes elsewhere."""
    backdrop = synthetic.photograph(96)
    images = []
    for x in range(0, 60, 2):
        image = backdrop.copy()
        image[30:50, x : x + 20] = (200, 40, 30) if x else backdrop[30:50, :20]
        images.append(image)
    images[0][40:44, 80:84] = (200, 40, 30)  # so that the first picture, and so the palette, has it
    write(tmp_path / "a.gif", images, Fraction(25))
    assert stamps(tmp_path / "a.gif") == [Fraction(i, 25) for i in range(30)]
    theirs = ffmpeg_rgb(tmp_path / "a.gif", 96, 96)
    assert all(np.array_equal(one[60:], theirs[0][60:]) for one in theirs)
    for ours, one in zip(images, theirs, strict=True):
        assert np.abs(ours.astype(int) - one).mean() < 8


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_every_film_carries_the_tags_of_its_record(tmp_path, ending):
    tags = {"title": "T", "comment": "C", "description": "D"}
    with io.open_sink(tmp_path / f"o{ending}", Fraction(25), (64, 48), metadata=tags) as sink:
        sink.write(numbered(0))
    with av.open(str(tmp_path / f"o{ending}")) as container:
        found = {name.lower(): value for name, value in container.metadata.items()}
    assert found | tags == found


@pytest.mark.parametrize("name", [".mp4", ".GIF", ".png"])
def test_an_ending_alone_is_no_name(tmp_path, name):
    with pytest.raises(InputError, match="output: expected a name"):
        io.open_sink(tmp_path / name, Fraction(25), (64, 48))
    assert not list(tmp_path.iterdir())


def test_times_that_no_file_holds_are_not_blamed_on_the_disk(tmp_path):
    with (
        pytest.raises(InputError) as caught,
        io.open_sink(tmp_path / "o.mp4", Fraction(25), (64, 48)) as sink,
    ):
        sink.write(numbered(0), 0.0)
        sink.write(numbered(1), 1e15)
    assert "times" in str(caught.value) and "space" not in str(caught.value)


def test_gif_palette_has_the_colors_of_what_appears_late(tmp_path):
    grey = np.repeat(np.tile(np.arange(96, dtype=np.uint8), (96, 1))[..., None], 3, axis=2)
    late = grey.copy()
    late[30:50, 30:50] = (220, 30, 40)
    late[60:80, 30:50] = (20, 60, 230)
    write(tmp_path / "a.gif", [grey] * 12 + [late] * 3, Fraction(25))
    theirs = ffmpeg_rgb(tmp_path / "a.gif", 96, 96)
    assert np.abs(theirs[13, 32:48, 32:48].astype(int) - (220, 30, 40)).mean() < 8
    assert np.abs(theirs[13, 62:78, 32:48].astype(int) - (20, 60, 230)).mean() < 8
    assert np.array_equal(theirs[0], theirs[11])
    assert leftovers(tmp_path) == ["a.gif"]


def test_a_gif_that_is_given_up_leaves_nothing(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        io.open_sink(tmp_path / "a.gif", Fraction(25), (64, 48)) as sink,
    ):
        for number in range(9):
            sink.write(numbered(number))
        raise ZeroDivisionError
    assert leftovers(tmp_path) == []


def cut_out(width: int = 64, height: int = 48) -> np.ndarray:
    """RGBA: colours, opaque in the lower half, half transparent upper right, clear upper left."""
    rgba = np.dstack([corners(width, height), np.full((height, width), 255, np.uint8)])
    rgba[: height // 2, : width // 2, 3] = 0
    rgba[: height // 2, width // 2 :, 3] = 128
    return rgba


def ffmpeg_rgba(path: Path, width: int, height: int) -> np.ndarray:
    """All frames with alpha by the ffmpeg program: (N, height, width, 4)."""
    decoder = ["-c:v", "libvpx-vp9"] if path.suffix == ".webm" else []
    command = [FFMPEG, "-v", "error", *decoder, "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgba", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 4)


@pytest.mark.parametrize("ending", [".mov", ".webm"])
def test_transparent_films(tmp_path, driving, ending):
    rgba, out = cut_out(), tmp_path / f"a{ending}"
    with io.open_sink(out, NTSC, (64, 48), has_alpha=True, audio_from=driving["aac"]) as sink:
        for _ in range(30):
            sink.write(rgba)
    assert sink.warning == ""
    theirs = ffmpeg_rgba(out, 64, 48)
    assert len(theirs) == 30 and stamps(out)[-1] == pytest.approx(29 / NTSC, abs=0.001)
    for y, x in ((10, 10), (10, 50), (40, 10), (40, 50)):
        assert abs(int(theirs[20, y, x, 3]) - int(rgba[y, x, 3])) <= 3
        if rgba[y, x, 3]:
            assert np.abs(theirs[20, y, x, :3].astype(int) - rgba[y, x, :3]).max() <= 8
    assert abs(delay_s(ffmpeg_sound(out), click_track(CLICKS[:2], 1.2))) < 0.001
    with io.open_source(out) as reader:  # on white
        image = list(reader)[20].image.astype(int)
    assert np.abs(image[10, 10] - 255).max() <= 3
    assert np.abs(image[40, 10] - rgba[40, 10, :3]).max() <= 8


def test_transparent_pictures_and_gifs(tmp_path):
    rgba = cut_out()
    for name in ("a.png", "a.webp", "a.tif", "folder"):
        write_alpha(tmp_path / name, [rgba])
        file = tmp_path / name / "frame_000000.png" if name == "folder" else tmp_path / name
        back = io.read_picture(file, alpha=True)
        for y, x in ((40, 10), (40, 50)):
            assert np.abs(back[y, x].astype(int) - rgba[y, x]).max() <= 8, name
        assert np.array_equal(back[..., 3], rgba[..., 3]), name
        assert np.abs(io.read_picture(file)[:24, :32].astype(int) - 255).max() <= 1
    write_alpha(tmp_path / "a.gif", [rgba] * 3)
    theirs = ffmpeg_rgba(tmp_path / "a.gif", 64, 48)
    assert len(theirs) == 3 and (theirs[1, :24, :32, 3] == 0).all()
    assert (theirs[1, 24:, :, 3] == 255).all()
    assert np.abs(theirs[1, 24:, :, :3].astype(int) - rgba[24:, :, :3]).mean() < 8


def write_alpha(path: Path, images) -> None:
    with io.open_sink(path, NTSC, (64, 48), has_alpha=True) as sink:
        for image in images:
            sink.write(image)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.jpg"])
def test_files_without_transparency_refuse_it(tmp_path, name):
    with pytest.raises(InputError, match=r"output: expected a file that holds transparency.*;"):
        io.open_sink(tmp_path / name, NTSC, (64, 48), has_alpha=True)
    assert not io.holds_alpha(name) and leftovers(tmp_path) == []


def test_the_standard_output_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"output: .*got -, the standard output.*; name a file"):
        io.open_sink("-", NTSC, (64, 48))
    assert leftovers(tmp_path) == []
