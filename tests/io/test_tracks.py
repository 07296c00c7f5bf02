"""Video and sound that people have: interlaced, with gaps, several tracks, several sizes."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from hybridanim import io
from hybridanim.errors import InputError
from tests.io_clips import (
    FFMPEG,
    click_track,
    corners,
    delay_s,
    ffmpeg_sound,
    number_of,
    numbered,
    write_clip,
)

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
CLICKS = [0.2, 0.9, 1.3]


def carried(source: Path, out: Path, *cut) -> tuple[list[float], io.VideoWriter]:
    """Read a video and write it again with its sound; the times of its frames."""
    with io.open_source(source, *cut) as reader:
        size = reader.width, reader.height
        options = {"time_base": reader.time_base, "audio_from": source, "overwrite": True}
        with io.open_sink(out, reader.fps, size, **options) as writer:
            times = []
            for frame in reader:
                times.append(frame.time_s)
                writer.write(frame.image, frame.time_s)
    assert reader.warning == ""
    return times, writer


def interlaced(folder: Path, name: str, clicks=CLICKS) -> Path:
    """40 interlaced frames at 25 a second with clicks, whose first time stamp is not 0."""
    images = [np.roll(corners(64, 64), 2 * i, axis=1) for i in range(80)]
    base = write_clip(folder / "p.mkv", images, Fraction(50), clicks=clicks, sound_codec="flac")
    weave = ["-vf", "interlace=lowpass=off", "-flags", "+ildct+ilme", "-q:v", "2"]
    weave += ["-c:v", "mpeg2video", "-c:a", "ac3"]
    if name.endswith("avi"):  # as camcorders with tapes gave it
        weave = ["-vf", "interlace=lowpass=off,scale=720:576:interl=1", "-pix_fmt", "yuv420p"]
        weave += ["-c:v", "dvvideo", "-c:a", "pcm_s16le"]
    command = [FFMPEG, "-v", "error", "-i", base, *weave]
    subprocess.run([*command, folder / name], check=True)
    return folder / name


@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.avi"])
@pytest.mark.parametrize("cut", [(None, None), (0.48, 1.4)])
def test_interlaced_video_has_its_own_times_and_sound(tmp_path, name, cut):
    path = interlaced(tmp_path, name)
    times, writer = carried(path, tmp_path / "out.mp4", *cut)
    first = round((cut[0] or 0) * 25)
    last = round((cut[1] or 9) * 25)
    assert times == pytest.approx([i / 25 for i in range(40) if first <= i < last])
    heard = [click - first / 25 for click in CLICKS if first <= click * 25 < last]
    assert writer.warning == ""
    assert abs(delay_s(ffmpeg_sound(tmp_path / "out.mp4"), click_track(heard, 2))) < 0.003


def test_frames_that_an_avi_file_leaves_out_take_their_time(tmp_path):
    """Captures write an empty chunk where a frame was dropped."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in (0, 1, 2, 3, 7, 8, *range(9, 40)):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with io.open_source(path) as reader:
        frames = list(reader)
    assert reader.warning == "" and len(frames) == 37
    assert [round(frame.time_s * 25) for frame in frames] == [number_of(f.image) for f in frames]


def with_gap(path: Path, container: str, codec: str, lost: tuple[float, float]) -> Path:
    """A clip whose packets of sound between two times are missing."""
    whole = path.with_name(f"whole{path.suffix}")
    video = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
    video = video if path.suffix == ".webm" else {"options": {"bf": "0"}}
    images = [numbered(i) for i in range(40)]
    write_clip(whole, images, Fraction(25), clicks=CLICKS, sound_codec=codec, **video)
    with av.open(str(whole)) as given, av.open(str(path), "w", format=container) as out:
        streams = {s.index: out.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            is_sound = packet.stream.type == "audio"
            if packet.dts is None:
                continue
            if is_sound and lost[0] < packet.pts * packet.time_base < lost[1]:
                continue
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    return path


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".mkv"])
@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [("a.webm", "webm", "libopus"), ("a.mkv", "matroska", "aac"), ("a.ts", "mpegts", "aac")],
)
def test_where_packets_are_missing_there_is_silence(tmp_path, ending, name, container, codec):
    source = with_gap(tmp_path / name, container, codec, (0.3, 0.8))
    _, writer = carried(source, tmp_path / f"out{ending}")
    assert writer.warning == ""
    sound = ffmpeg_sound(tmp_path / f"out{ending}")  # puts the samples one after the other
    for click in CLICKS:
        near = sound[int((click - 0.05) * 48_000) : int((click + 0.05) * 48_000)]
        assert abs(delay_s(near, click_track([0.05], 0.1))) < 0.01, click
    assert np.abs(sound[int(0.4 * 48_000) : int(0.7 * 48_000)]).max() < 0.01
    assert 1.55 < len(sound) / 48_000 < 1.7


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_sound_that_begins_late_has_silence_before_it(tmp_path, ending):
    source = with_gap(tmp_path / "a.mkv", "matroska", "aac", (-1.0, 0.5))
    carried(source, tmp_path / f"out{ending}")
    command = [FFMPEG, "-v", "error", "-i", tmp_path / f"out{ending}", "-ac", "1", "-ar", "48000"]
    raw = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True).stdout
    sound = np.frombuffer(raw, np.float32)  # samples alone, whatever their times
    assert abs(delay_s(sound, click_track(CLICKS[1:], 2))) < 0.01
    assert np.abs(sound[: int(0.4 * 48_000)]).max() < 0.01


def test_sound_without_gaps_is_copied(tmp_path):
    source = with_gap(tmp_path / "a.mkv", "matroska", "aac", (9, 9))
    carried(source, tmp_path / "out.mp4")

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(p) for p in container.demux(audio=0) if p.size]

    assert packets(tmp_path / "out.mp4") == packets(source)[: len(packets(tmp_path / "out.mp4"))]


@pytest.mark.parametrize(
    ("name", "video", "sound"),
    [
        ("a.wmv", "msmpeg4", "wmav2"),
        ("a.flv", "flv", "pcm_s16le"),
        ("a.avi", "mpeg4", "pcm_s16le"),
        ("a.mpg", "mpeg2video", "mp2"),
        ("a.ts", "mpeg2video", "aac"),
    ],
)
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_sound_of_older_kinds_of_files_is_on_time(tmp_path, name, video, sound, ending):
    whole = write_clip(
        tmp_path / "w.mkv", [numbered(i) for i in range(40)], clicks=CLICKS, sound_codec="flac"
    )
    rate = ["-ar", "44100"] if name == "a.flv" else []
    command = [FFMPEG, "-v", "error", "-i", whole, "-c:v", video, "-c:a", sound, *rate]
    subprocess.run([*command, tmp_path / name], check=True)
    times, writer = carried(tmp_path / name, tmp_path / f"out{ending}")
    assert writer.warning == "" and len(times) == 40
    found = ffmpeg_sound(tmp_path / f"out{ending}")
    with av.open(str(tmp_path / name)) as container:  # where the video begins, the encoder says
        starts = [float(s.start_time * s.time_base) for s in container.streams]
    late_s = delay_s(found, click_track(CLICKS, 2))
    # what the encoders of the input delay is in its packets' times
    assert abs(late_s) < 0.01, (late_s, starts)


def test_several_hours_of_a_damaged_clock_make_no_silence(tmp_path):
    """A time stamp far off is damage; no silence of that length is made."""
    source = tmp_path / "a.mkv"
    images = [numbered(i) for i in range(40)]
    base = write_clip(tmp_path / "w.mkv", images, clicks=CLICKS, options={"bf": "0"})
    with av.open(str(base)) as given, av.open(str(source), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio" and packet.pts * packet.time_base > 1.0:
                packet.pts += 20_000_000
                packet.dts = packet.pts
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
    with (
        io.open_source(source) as reader,
        io.open_sink(tmp_path / "o.mp4", reader.fps, (64, 48), audio_from=source) as writer,
    ):
        for frame in reader:
            writer.write(frame.image, frame.time_s)
    assert abs(delay_s(ffmpeg_sound(tmp_path / "o.mp4"), click_track(CLICKS, 2))) < 0.01


def two_tracks(path: Path, chosen: int) -> Path:
    """Two videos (number 1, number 2) and two sounds (click at 0.2, at 0.9); one is the default."""
    parts = [
        write_clip(path.with_name(f"{n}.mkv"), [numbered(n)] * 30, clicks=[click])
        for n, click in ((1, 0.2), (2, 0.9))
    ]
    command = [FFMPEG, "-v", "error", "-i", parts[0], "-i", parts[1]]
    command += ["-map", "0:v", "-map", "1:v", "-map", "0:a", "-map", "1:a", "-c", "copy"]
    for kind in "va":
        for index in (0, 1):
            flag = "default" if index == chosen else "0"
            command += [f"-disposition:{kind}:{index}", flag]
    subprocess.run([*command, path], check=True)
    return path


@pytest.mark.parametrize("chosen", [0, 1])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_the_default_tracks_are_taken(tmp_path, name, chosen):
    path = two_tracks(tmp_path / name, chosen)
    with io.open_source(path) as reader:
        assert number_of(next(reader).image) == chosen + 1
    carried(path, tmp_path / "out.mp4")
    late = delay_s(ffmpeg_sound(tmp_path / "out.mp4"), click_track([(0.2, 0.9)[chosen]], 1.3))
    assert abs(late) < 0.005


def disc(width: int, height: int, across: float) -> np.ndarray:
    """A white disc in the middle of a dark picture, ``across`` pixels wide."""
    image = np.full((height, width, 3), 60, np.uint8)
    cv2.circle(image, (width // 2, height // 2), round(across / 2), (230, 230, 230), -1)
    return image


def measured(image: np.ndarray) -> tuple[int, int]:
    """Width and height of the disc."""
    light = image[..., 1] > 150
    return int(light.any(axis=0).sum()), int(light.any(axis=1).sum())


def glued(path: Path, *parts: list[np.ndarray], aspect=None) -> Path:
    """Clips of several sizes one after the other in a transport stream."""
    data, offset_s = b"", 0.0
    for number, images in enumerate(parts):
        piece = path.with_name(f"{number}.mp4")
        write_clip(piece, images, options={"bf": "0"}, aspect=aspect if number == 0 else None)
        stream = path.with_name(f"{number}.ts")
        shift = ["-output_ts_offset", str(offset_s), "-c", "copy"]
        subprocess.run([FFMPEG, "-v", "error", "-i", piece, *shift, stream], check=True)
        data += stream.read_bytes()
        offset_s += len(images) / 25
    path.write_bytes(data)
    return path


def test_a_size_that_changes_keeps_proportions(tmp_path):
    path = glued(tmp_path / "a.ts", [disc(240, 240, 120)] * 10, [disc(320, 180, 90)] * 10)
    with io.open_source(path) as reader:
        frames = list(reader)
    assert len(frames) == 20
    assert measured(frames[3].image) == pytest.approx((120, 120), rel=0.04)
    assert measured(frames[15].image) == pytest.approx((67.5, 67.5), rel=0.05)
    assert (frames[15].image[:40] < 30).all()  # bars


def test_bars_of_the_file_s_own_are_taken_away(tmp_path):
    padded = np.zeros((180, 320, 3), np.uint8)
    padded[:, 70:250] = disc(180, 180, 90)
    path = glued(tmp_path / "a.ts", [disc(240, 240, 120)] * 10, [padded] * 10)
    with io.open_source(path) as reader:
        frames = list(reader)
    assert measured(frames[15].image) == pytest.approx((120, 120), rel=0.05)
    assert np.median(frames[15].image[:, :3]) > 40 < np.median(frames[15].image[:3])
    with io.open_source(path, max_side_px=120) as reader:
        small = list(reader)[15].image
    assert small.shape == (120, 120, 3) and measured(small) == pytest.approx((60, 60), rel=0.05)


def test_each_size_has_its_own_pixel_aspect(tmp_path):
    squeezed = cv2.resize(disc(320, 240, 120), (240, 240), interpolation=cv2.INTER_AREA)
    parts = [squeezed] * 10, [disc(320, 240, 120)] * 10
    path = glued(tmp_path / "a.ts", *parts, aspect=Fraction(4, 3))
    with io.open_source(path) as reader:
        frames = list(reader)
    assert frames[0].image.shape == frames[15].image.shape == (240, 320, 3)
    for frame in (frames[3], frames[15]):
        assert measured(frame.image) == pytest.approx((120, 120), rel=0.05)


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_animated_pictures_are_videos(tmp_path, name):
    pictures = [Image.fromarray(numbered(i)) for i in range(24)]
    delays = [83 + (i % 3 == 2) for i in range(24)]
    options = {"lossless": True} if name == "a.webp" else {}
    first, *rest = pictures
    path = tmp_path / name
    first.save(path, save_all=True, append_images=rest, duration=delays, loop=0, **options)
    with io.open_source(path) as reader:
        frames = list(reader)
    assert (reader.fps, reader.is_variable_rate, reader.frame_count) == (Fraction(12), False, 24)
    assert [number_of(frame.image) for frame in frames] == list(range(24))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 12 for i in range(24)])
    assert not io.is_still(path) and io.is_still(CASES / "a.png")
    with io.open_source(path, 0.5, 1.0, max_side_px=32) as reader:
        part = list(reader)
    assert [number_of(frame.image) for frame in part] == list(range(6, 12))
    assert part[0].image.shape == (24, 32, 3) and part[0].index == 0
    with pytest.raises(InputError, match="start: expected"):
        io.open_source(path, 2.5)


def test_uneven_animations_keep_their_times(tmp_path):
    first, *rest = [Image.fromarray(numbered(i)) for i in range(4)]
    delays = [100, 250, 40, 300]
    path = tmp_path / "a.webp"
    first.save(path, save_all=True, append_images=rest, duration=delays, lossless=True)
    with io.open_source(path) as reader:
        assert [frame.time_s for frame in reader] == pytest.approx([0, 0.1, 0.35, 0.39])
        assert reader.is_variable_rate and reader.duration_s == pytest.approx(0.69)


def test_a_transparent_animation_lies_on_white(tmp_path):
    rgba = np.dstack([corners(), np.full((48, 64), 255, np.uint8)])
    rgba[:24, :, 3] = 0
    other = rgba.copy()
    other[24:, :, :3] = 90
    first, second = Image.fromarray(rgba), Image.fromarray(other)
    path = tmp_path / "a.webp"
    first.save(path, save_all=True, append_images=[second], duration=50, lossless=True)
    with io.open_source(path) as reader:
        frames = list(reader)
    assert (frames[1].image[:24] == 255).all() and (frames[1].image[24:] == 90).all()


def beeps(sound: np.ndarray) -> list[float]:
    """When beeps of 1760 Hz begin, in seconds; to half of a window of 10 ms."""
    tone = np.exp(-2j * np.pi * 1760 * np.arange(480) / 48_000) * np.hanning(480)
    level = np.abs(np.convolve(np.pad(sound, 4800), tone, "same"))
    loud = np.flatnonzero(level > 0.5 * np.percentile(level, 99))
    return list((loud[np.diff(loud, prepend=-48_000) > 4800] - 4800) / 48_000)


@pytest.fixture(scope="module")
def beeping(tmp_path_factory) -> Path:
    """50 numbered frames, and beeps of 60 ms at 0 and at 1 s, without loss."""
    folder = tmp_path_factory.mktemp("beeping")
    sound = np.zeros(96_000, np.float32)
    for at in (0, 48_000):
        sound[at : at + 2880] = 0.5 * np.sin(2 * np.pi * 1760 * np.arange(2880) / 48_000)
    (folder / "b.f32").write_bytes(sound.tobytes())
    clip = write_clip(folder / "v.mkv", [numbered(i) for i in range(50)], options={"bf": "0"})
    command = [FFMPEG, "-v", "error", "-i", clip, "-f", "f32le", "-ar", "48000", "-ac", "1"]
    command += ["-i", folder / "b.f32", "-c:v", "copy", "-c:a", "flac", folder / "b.mkv"]
    subprocess.run(command, check=True)
    return folder / "b.mkv"


@pytest.mark.parametrize(
    ("name", "video", "sound"),
    [
        ("a.avi", "mpeg4", "libmp3lame"),  # no times in the file: the codec's delay counts
        ("a.avi", "mpeg4", "aac"),
        ("a.avi", "mpeg4", "ac3"),
        ("a.avi", "mpeg4", "mp2"),
        ("a.avi", "mpeg4", "wmav2"),
        ("a.wmv", "msmpeg4", "wmav2"),  # its decoder leaves out the first 90 ms
        ("a.wmv", "wmv2", "libmp3lame"),
        ("a.mp4", "libx264", "aac"),
        ("a.mp4", "mpeg4", "libmp3lame"),
        ("a.mkv", "libx264", "libvorbis"),
        ("a.ts", "libx264", "aac"),
        ("a.vob", "mpeg2video", "ac3"),
        ("a.flv", "flv", "libmp3lame"),
    ],
)
def test_a_beep_at_the_very_start_is_whole_and_on_time(tmp_path, beeping, name, video, sound):
    path = tmp_path / name
    rate = ["-ar", "44100"] if name == "a.flv" else []
    command = [FFMPEG, "-v", "error", "-i", beeping, "-c:v", video, "-c:a", sound, *rate, path]
    subprocess.run(command, check=True)
    for ending in (".mp4", ".webm", ".mkv"):
        times, writer = carried(path, tmp_path / f"out{ending}")
        assert writer.warning == "" and len(times) == 50 and times[0] == 0
        found = beeps(ffmpeg_sound(tmp_path / f"out{ending}"))
        assert found == pytest.approx([0, 1], abs=0.006), ending


@pytest.mark.parametrize(
    ("name", "delayed", "expected"), [("a.mp4", "a", [0.5, 1.5]), ("a.mp4", "v", [0.5]),
                                      ("a.mkv", "v", [0.5]), ("a.ts", "v", [0.5])],
)  # fmt: skip
def test_sound_that_begins_before_or_after_the_picture(tmp_path, beeping, name, delayed, expected):
    """Half a second, in edit lists and in time stamps."""
    coded = tmp_path / "coded.mp4"
    command = [FFMPEG, "-v", "error", "-i", beeping, "-bf", "2", "-c:a", "aac", coded]
    subprocess.run(command, check=True)
    both = ["-i", coded, "-itsoffset", "0.5", "-i", coded]
    command = [FFMPEG, "-v", "error", *both, "-map", "0:v", "-map", "1:a"]
    if delayed == "v":
        command[-4:] = ["-map", "1:v", "-map", "0:a"]
    subprocess.run([*command, "-c", "copy", tmp_path / name], check=True)
    for ending in (".mp4", ".webm", ".mkv"):
        carried(tmp_path / name, tmp_path / f"out{ending}")
        found = beeps(ffmpeg_sound(tmp_path / f"out{ending}"))
        assert found == pytest.approx(expected, abs=0.006), ending


@pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases")
@pytest.mark.parametrize("name", ["beep_at_1s.mp4", "interlaced_50i.mts", "sound_gap.webm"])
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_real_files_keep_their_beeps(tmp_path, name, ending):
    times, writer = carried(CASES / name, tmp_path / f"out{ending}")
    assert writer.warning == "" and len(times) == 50 and times[:2] == [0, 0.04]
    sound = ffmpeg_sound(tmp_path / f"out{ending}")
    assert beeps(sound) == pytest.approx([0, 1], abs=0.01)
    assert 1.95 < len(sound) / 48_000 < 2.05
