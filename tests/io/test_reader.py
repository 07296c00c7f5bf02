"""Driving videos in: rate, order, orientation, damage, threads, memory."""

from __future__ import annotations

import csv
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av.video.stream
import cv2
import numpy as np
import pytest
from PIL import Image

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.io.timing import time_base_of, timing_of
from hybridanim.types import Frame
from tests.io_clips import FFMPEG, corners, ffmpeg_rgb, number_of, numbered, write_clip

NTSC = Fraction(30000, 1001)
RAW_PAIRS = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw_pairs"


def read(path, *arguments, **options) -> tuple[list[Frame], io.VideoReader]:
    with io.open_source(path, *arguments, **options) as reader:
        return list(reader), reader


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("rate", [Fraction(24), NTSC, Fraction(12), Fraction(24000, 1001)])
def test_rate_order_and_times_are_exact(tmp_path, ending, rate):
    path = write_clip(tmp_path / f"a{ending}", map(numbered, range(20)), rate)
    frames, reader = read(path)
    assert (reader.fps, reader.is_variable_rate) == (rate, False)
    assert (reader.width, reader.height, reader.frame_count) == (64, 48, 20)
    assert [number_of(f.image) for f in frames] == list(range(20))
    assert [f.index for f in frames] == list(range(20))
    assert [f.time_s for f in frames] == [float(i / rate) for i in range(20)]
    assert reader.duration_s == pytest.approx(float(20 / rate))
    assert (reader.warning, reader.has_audio, reader.rotation) == ("", False, 0)


def test_webm_and_gif(tmp_path):
    vp9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
    path = write_clip(tmp_path / "a.webm", map(numbered, range(12)), NTSC, **vp9)
    frames, reader = read(path)
    assert (reader.fps, [number_of(f.image) for f in frames]) == (NTSC, list(range(12)))
    pictures = [Image.fromarray(numbered(i)) for i in range(6)]
    delays = [100, 50, 50, 200, 100, 100]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=delays, loop=0
    )
    frames, reader = read(tmp_path / "a.gif")
    assert reader.is_variable_rate
    assert [number_of(f.image) for f in frames] == list(range(6))
    assert [f.time_s for f in frames] == pytest.approx([0, 0.1, 0.15, 0.2, 0.4, 0.5])


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_variable_rate_keeps_every_time(tmp_path, ending):
    ticks = [0, 33, 71, 100, 180, 200, 321, 350, 500, 533]
    base = Fraction(1, 1000)
    path = write_clip(
        tmp_path / f"v{ending}", map(numbered, range(10)), Fraction(30), times=ticks, time_base=base
    )
    frames, reader = read(path)
    assert reader.is_variable_rate
    assert [round(f.time_s * 1000) for f in frames] == ticks
    assert float(reader.fps) == pytest.approx(9 / 0.533, rel=1e-3)
    assert [number_of(f.image) for f in frames] == list(range(10))


def test_a_dropped_frame_keeps_the_nominal_rate():
    ticks = np.delete(np.arange(0, 100), [40])
    timing = timing_of(ticks * 512, Fraction(1, 15360), [Fraction(2970, 100)])
    assert (timing.fps, timing.is_variable_rate, timing.time_base) == (
        Fraction(30),
        True,
        Fraction(1, 15360),
    )
    even = timing_of(np.round(np.arange(300) * 1001 / 30).astype(np.int64), Fraction(1, 1000), [])
    assert (even.fps, even.is_variable_rate) == (NTSC, False)
    assert time_base_of(NTSC) == Fraction(1, 30000)


@pytest.mark.parametrize("size", [(63, 47), (33, 64), (1, 1)])
def test_odd_sizes(tmp_path, size):
    images = [np.full((size[1], size[0], 3), 40 * i, np.uint8) for i in range(4)]
    path = write_clip(tmp_path / "o.mkv", images, codec="ffv1", pix_fmt="bgr0")
    frames, reader = read(path)
    assert (reader.width, reader.height) == size
    assert all(np.array_equal(f.image, i) for f, i in zip(frames, images, strict=True))


def test_start_and_end_select_frames(tmp_path):
    path = write_clip(tmp_path / "a.mp4", map(numbered, range(60)), NTSC, options={"g": "10"})
    frames, _ = read(path, 0.5, 1.0)
    expected = [i for i in range(60) if 0.5 <= i / NTSC < 1.0]
    assert [number_of(f.image) for f in frames] == expected
    assert [f.time_s for f in frames] == [float(i / NTSC) for i in expected]
    assert [f.index for f in frames] == list(range(len(expected)))
    exact, _ = read(path, float(30 / NTSC), float(33 / NTSC))
    assert [number_of(f.image) for f in exact] == [30, 31, 32]


@pytest.mark.parametrize("ending", [".mkv", ".avi"])
def test_start_in_files_without_good_index(tmp_path, ending):
    path = write_clip(tmp_path / f"a{ending}", map(numbered, range(40)), Fraction(20))
    frames, _ = read(path, 1.0)
    assert [number_of(f.image) for f in frames] == list(range(20, 40))


def set_matrix(path: Path, matrix: list[int]) -> None:
    """Overwrite the display matrix in the track header of an mp4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version 0: times and ids, then reserved fields
    assert struct.unpack(">9i", data[at : at + 36])[8] == 1 << 30
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)


ONE = 1 << 16
MATRICES = {
    90: (0, ONE, -ONE, 0),
    180: (-ONE, 0, 0, -ONE),
    270: (0, -ONE, ONE, 0),
    "mirrored": (-ONE, 0, 0, ONE),
    "mirrored 90": (0, ONE, ONE, 0),
}


@pytest.mark.parametrize("turn", MATRICES)
def test_display_matrix_is_honoured_as_by_ffmpeg(tmp_path, turn):
    path = write_clip(tmp_path / "r.mp4", [corners()] * 3, options={"crf": "8"})
    a, b, c, d = MATRICES[turn]
    set_matrix(path, [a, b, 0, c, d, 0, 0, 0, 1 << 30])
    frames, reader = read(path)
    upright = np.rot90(corners(), -int(turn) // 90) if isinstance(turn, int) else None
    if isinstance(turn, int):
        assert reader.rotation == turn
        small = frames[0].image.astype(int) - upright
        assert np.abs(small).mean() < 6
    height, width = frames[0].image.shape[:2]
    assert (reader.width, reader.height) == (width, height)
    theirs = ffmpeg_rgb(path, width, height)[0]
    assert np.abs(frames[0].image.astype(int) - theirs).mean() < 3


def test_rotation_written_by_pyav_in_matroska(tmp_path):
    if not hasattr(
        av.VideoStream if hasattr(av, "VideoStream") else object, "set_display_rotation"
    ):
        pytest.skip("this PyAV cannot write a rotation")
    path = write_clip(tmp_path / "r.mkv", [corners()] * 3, rotation=90)
    frames, reader = read(path)
    assert reader.rotation == 270
    assert np.abs(frames[0].image.astype(int) - np.rot90(corners())).mean() < 6


def test_pixel_aspect_ratio_becomes_square(tmp_path):
    path = write_clip(tmp_path / "s.mp4", [numbered(5)] * 3, aspect=Fraction(4, 3))
    frames, reader = read(path)
    assert (reader.width, reader.height) == (85, 48)
    assert number_of(frames[0].image) == 5


def test_interlaced_pictures_are_joined(tmp_path):
    base = tmp_path / "p.mkv"
    images = [np.roll(corners(64, 64), 6 * i, axis=1) for i in range(20)]
    write_clip(base, images, Fraction(50), options={"crf": "4"})
    path = tmp_path / "i.mp4"
    weave = ["-vf", "interlace=lowpass=off", "-flags", "+ildct+ilme", "-c:v", "libx264"]
    subprocess.run([FFMPEG, "-v", "error", "-i", base, *weave, path], check=True)
    frames, _ = read(path)
    assert len(frames) == 10
    image = frames[5].image.astype(int)
    comb = np.abs(2 * image[1:-1] - image[:-2] - image[2:])[4:26].mean()
    raw = ffmpeg_rgb(path, 64, 64)[5].astype(int)
    assert comb < 0.5 * np.abs(2 * raw[1:-1] - raw[:-2] - raw[2:])[4:26].mean()


def test_transparent_video_is_laid_over_white(tmp_path):
    rgba = np.dstack([corners(), np.full((48, 64), 255, np.uint8)])
    rgba[:24, :, 3] = 0
    path = write_clip(tmp_path / "a.mov", [rgba] * 2, codec="qtrle", pix_fmt="argb")
    frames, _ = read(path)
    assert (frames[0].image[:24] == 255).all()
    assert np.array_equal(frames[0].image[24:], corners()[24:])


def test_ten_bits_and_color_matrices(tmp_path):
    deep = write_clip(tmp_path / "d.mkv", [corners()] * 2, codec="ffv1", pix_fmt="yuv444p10le")
    frames, _ = read(deep)
    assert np.abs(frames[0].image.astype(int) - corners()).max() <= 3
    picture = cv2.resize(corners(), (1280, 720), interpolation=cv2.INTER_NEAREST)
    for size, matrix in (((1280, 720), "bt709"), ((64, 48), "bt601")):
        raw = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
        path = tmp_path / f"{matrix}.mp4"  # untagged, in the matrix that is usual for its size
        convert = ["-vf", f"scale=out_color_matrix={matrix}:flags=accurate_rnd", "-frames:v", "1"]
        command = [FFMPEG, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{size[0]}x{size[1]}", "-i", "-", *convert, "-pix_fmt", "yuv444p"]
        command += ["-c:v", "libx264", "-qp", "4", "-colorspace", "unknown", path]
        subprocess.run(command, input=raw.tobytes(), check=True)
        frames, _ = read(path)
        assert np.abs(frames[0].image.astype(int) - raw).mean() < 3, matrix


def test_cover_art_is_no_video(tmp_path):
    song = tmp_path / "song.mp4"
    with av.open(str(song), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        try:
            cover.disposition = av.stream.Disposition.attached_pic
        except TypeError:
            pytest.skip("this PyAV cannot mark cover art")
        sound = out.add_stream("aac", rate=48_000)
        for packet in cover.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")):
            out.mux(packet)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 48_000
        for packet in [*sound.encode(frame), *sound.encode(None)]:
            out.mux(packet)
    with pytest.raises(InputError, match="sound only"):
        io.open_source(song)


def test_smaller_pictures_on_request(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [numbered(77, 320, 200)] * 3)
    frames, reader = read(path, max_side_px=160)
    assert frames[0].image.shape == (100, 160, 3)
    assert (reader.width, reader.height) == (320, 200)
    assert number_of(frames[0].image) == 77
    whole, _ = read(path)
    mean = cv2.resize(whole[0].image, (160, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(frames[0].image.astype(int) - mean).mean() < 3
    assert read(path, max_side_px=1000)[0][0].image.shape == (200, 320, 3)


def ffmpeg_count(path: Path) -> int:
    """Frames that the ffmpeg program gets out of a damaged file."""
    command = [FFMPEG, "-v", "quiet", "-i", path, "-fps_mode", "passthrough", "-s", "8x8"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True)
    return len(raw.stdout) // 64


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi", ".gif"])
def test_a_file_that_breaks_off_gives_what_is_there(tmp_path, ending):
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 60, (48, 64, 3), dtype=np.uint8) for _ in range(200)]
    images = [np.maximum(numbered(i), n) for i, n in enumerate(noise)]
    path = tmp_path / f"whole{ending}"
    if ending == ".gif":
        first, *rest = [Image.fromarray(i) for i in images]
        first.save(path, save_all=True, append_images=rest, duration=40)
    else:
        options = {"movflags": "+faststart"} if ending == ".mp4" else {}
        write_clip(path, images, container=options)
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    frames, reader = read(cut)
    assert len(frames) >= ffmpeg_count(cut) - 4 and 50 < len(frames) < 160
    numbers = [number_of(f.image) for f in frames]
    assert numbers[:-3] == list(range(len(frames) - 3))
    assert "cut" in reader.warning and str(len(frames)) in reader.warning
    late, reader = read(cut, start_s=1.0)  # 25 frames
    assert 0 < len(late) < len(frames)
    assert "breaks off" in reader.warning and str(len(late)) in reader.warning
    assert read(path, start_s=1.0)[1].warning == ""


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_file_cut_in_or_after_a_frame_says_how_many_were_lost(tmp_path, ending):
    path = tmp_path / f"whole{ending}"
    if ending == ".gif":
        first, *rest = [Image.fromarray(numbered(i)) for i in range(30)]
        first.save(path, save_all=True, append_images=rest, duration=40)
    else:
        write_clip(path, map(numbered, range(30)), container={"movflags": "+faststart"})
    assert read(path)[1].warning == ""
    data = path.read_bytes()
    cut = tmp_path / f"cut{ending}"
    for missing in (1, 3):
        cut.write_bytes(data[:-missing])
        frames, reader = read(cut)
        if ending == ".gif":
            assert "breaks off" in reader.warning
        else:
            assert f"damaged in {30 - len(frames)} places" in reader.warning
        late, reader = read(cut, start_s=0.5)
        if ending == ".mp4":
            assert 0 < len(late) < 30
            assert f"damaged in {30 - len(frames)} places" in reader.warning
    assert read(path, start_s=0.5)[1].warning == ""
    (tmp_path / "zeros.gif").write_bytes(data + bytes(50))
    if ending == ".gif":
        assert read(tmp_path / "zeros.gif")[1].warning == ""


def test_a_huge_time_stamp_is_damage(tmp_path):
    path, tick_s = tmp_path / "huge.mkv", Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = tick_s
        for index, tick in enumerate((0, 40, 80, 2**52)):
            picture = av.VideoFrame.from_ndarray(numbered(index), format="rgb24")
            picture.pts, picture.time_base = tick, tick_s
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    frames, reader = read(path)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert "damaged in 1 places" in reader.warning


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_noise_inside_a_file_is_passed_over(tmp_path, ending):
    path = write_clip(tmp_path / f"a{ending}", map(numbered, range(100)), options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(data)
    frames, reader = read(path)
    numbers = [number_of(f.image) for f in frames]
    assert "a.m" in reader.warning
    assert len(frames) >= ffmpeg_count(path) - 2 and numbers[:20] == list(range(20))
    assert [f.time_s for f in frames] == sorted({f.time_s for f in frames})


def bad_inputs(folder: Path) -> dict[str, Path]:
    whole = write_clip(folder / "whole.mp4", map(numbered, range(9)))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is a letter, not a video\n" * 50)
    (folder / "notes.txt").write_text("hello\n" * 50)
    (folder / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.mp4\n")
    (folder / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "no-index.mp4").write_bytes(whole.read_bytes()[:1500])
    (folder / "pictures").mkdir()
    sound = folder / "sound.mp4"
    subprocess.run(
        [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", "aac", sound],
        check=True,
    )
    (folder / "folder-of-text").mkdir()
    (folder / "folder-of-text" / "a.txt").write_text("x")
    names = "empty.mp4 text.mp4 notes.txt list.mp4 noise.avi no-index.mp4 pictures sound.mp4"
    return {name: folder / name for name in f"{names} folder-of-text missing.mp4".split()}


def test_bad_inputs_get_one_clear_line(tmp_path):
    for name, path in bad_inputs(tmp_path).items():
        with pytest.raises(InputError) as caught:
            io.open_source(path)
        text = str(caught.value)
        assert "\n" not in text and "expected" in text and ";" in text, text
        assert name in text, text


def test_cuts_that_leave_nothing_are_refused(tmp_path):
    path = write_clip(tmp_path / "a.mp4", map(numbered, range(25)))
    with pytest.raises(InputError, match=r"start: expected.* before the end.*1\.00 s, got 3 s"):
        io.open_source(path, 3.0)
    for cut in ((-1.0, None), (float("nan"), None), (0.5, 0.5), (0.5, 0.1), (1e15, None)):
        with pytest.raises(InputError, match="expected"):
            io.open_source(path, *cut)


def test_folder_in_natural_order_with_mixed_sizes(tmp_path):
    for i in (1, 2, 10, 9, 100):
        size = (64, 48) if i != 9 else (100, 50)
        Image.fromarray(numbered(i, *size)).save(tmp_path / f"Frame{i}.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "Frame3.png").write_bytes(b"not a picture")
    frames, reader = read(tmp_path, picture_rate=Fraction(10))
    assert [number_of(f.image[12:36]) for f in frames if f.time_s != 0.3][:2] == [1, 2]
    assert number_of(frames[-1].image) == 100 and number_of(frames[-2].image) == 10
    assert [f.time_s for f in frames] == [0, 0.1, 0.3, 0.4, 0.5]
    assert frames[2].image.shape == (48, 64, 3)
    assert "Frame3.png" in reader.warning
    assert (reader.fps, reader.frame_count) == (Fraction(10), 6)
    part, _ = read(tmp_path, 0.4, picture_rate=Fraction(10), max_side_px=32)
    assert [f.time_s for f in part] == [0.4, 0.5] and part[0].image.shape == (24, 32, 3)


def test_one_picture_is_a_video_of_one_frame(tmp_path):
    Image.fromarray(numbered(3)).save(tmp_path / "one.png")
    frames, reader = read(tmp_path / "one.png")
    assert len(frames) == 1 and reader.frame_count == 1
    (tmp_path / "bad.png").write_bytes(b"bad")
    with pytest.raises(InputError, match=r"bad\.png"):
        io.open_source(tmp_path / "bad.png")


def reading_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "read video"]


def test_closing_early_ends_the_thread(tmp_path):
    path = write_clip(tmp_path / "a.mp4", map(numbered, range(100)))
    with io.open_source(path) as reader:
        next(reader)
    assert not reading_threads()
    with pytest.raises(StopIteration):
        next(reader)
    with pytest.raises(ZeroDivisionError), io.open_source(path) as reader:
        for _ in reader:
            raise ZeroDivisionError
    assert not reading_threads()
    reader.close()


def test_an_error_in_the_thread_reaches_the_caller(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "a.mp4", map(numbered, range(20)))

    def broken(self, picture):
        raise MemoryError("no room")

    monkeypatch.setattr("hybridanim.io.convert.Converter.__call__", broken)
    with pytest.raises(MemoryError, match="no room"), io.open_source(path) as reader:
        list(reader)


MEMORY = """
import re, sys
from hybridanim import io
with io.open_source(sys.argv[1]) as reader:
    with io.open_sink(sys.argv[2], reader.fps, (reader.width, reader.height)) as writer:
        for frame in reader:
            writer.write(frame.image, frame.time_s)
# not getrusage: its peak includes that of the process that started this one
print(writer.count, re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to measure")
def test_memory_does_not_grow_with_length(tmp_path):
    peaks = {}
    for count in (60, 600):
        images = (numbered(i % 200, 320, 240) for i in range(count))
        path = write_clip(tmp_path / f"{count}.mp4", images, options={"preset": "ultrafast"})
        command = [sys.executable, "-c", MEMORY, path, tmp_path / f"out{count}.mp4"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        written, peaks[count] = map(int, done.stdout.split())
        assert written == count
    # 600 frames of 230 kB are 138 MB; the encoder's own window is already full at 60
    assert peaks[600] - peaks[60] < 8_000, peaks  # in kB


@pytest.mark.skipif(not RAW_PAIRS.exists(), reason="needs ../shared/data/raw_pairs")
@pytest.mark.slow
def test_real_videos_have_the_stated_frames():
    rows = list(csv.DictReader((RAW_PAIRS / "raw_pairs.csv").open()))
    for row in (r for r in rows if r["kind"] == "driving_video"):
        with io.open_source(RAW_PAIRS / row["file"], max_side_px=256) as reader:
            count = sum(1 for _ in reader)
        assert count == reader.frame_count == int(row["frames"]), row["file"]
        assert float(reader.fps) == pytest.approx(float(row["fps"]), abs=1e-3)
        assert f"{reader.width}x{reader.height}" == row["size"]
        assert reader.has_audio == (row["audio"] == "1")
        assert reader.warning == ""


def test_a_source_is_a_picture_or_a_frame_of_a_video(tmp_path):
    picture = tmp_path / "a.png"
    io.write_picture(picture, numbered(5))
    np.testing.assert_array_equal(io.read_source_picture(picture), numbered(5))
    clip = tmp_path / "a.mp4"
    write_clip(clip, map(numbered, range(8)), 25)
    assert number_of(io.read_source_picture(clip)) == 0
    assert number_of(io.read_source_picture(clip, 0.12)) == 3
    with pytest.raises(InputError, match="start: expected a time before the end"):
        io.read_source_picture(clip, 9.0)
    with pytest.raises(InputError, match="expected a file, got the folder"):
        io.read_source_picture(tmp_path)
    with pytest.raises(InputError, match="found no"):
        io.read_source_picture(tmp_path / "b.mp4")


@pytest.mark.parametrize(("side_px", "frames"), [(640, 4), (4096, 4), (6000, 2), (12000, 1)])
def test_frames_ahead_take_bounded_memory(side_px, frames):
    info = io.SourceInfo(
        Path("a.mp4"), side_px, side_px, Fraction(25), False, Fraction(1, 25), None, None
    )
    with io.VideoReader(info, iter(()), lambda: "", lambda: None) as reader:
        assert reader._queue.maxsize == frames
