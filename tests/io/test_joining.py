"""Outputs that were written in parts and joined: pictures, times, sound, and no encoding anew."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from hybridanim import files, io
from hybridanim.errors import InputError
from hybridanim.io import joining
from hybridanim.io.encoders import SinkPlan
from hybridanim.io.joining import Part

FPS = Fraction(30000, 1001)
TICK_S = Fraction(1, 30000)


@pytest.fixture(scope="module")
def frames() -> list[tuple[float, np.ndarray]]:
    """24 pictures at uneven times, from a moment that is not 0."""
    with io.open_source(files.EXAMPLE_DRIVING, 1, 2) as reader:
        images = [cv2.resize(frame.image, (64, 48)) for frame in reader][:24]
    slots = np.cumsum([1, 1, 2, 1, 1, 3] * 4)
    return [(float(slot / FPS), image) for slot, image in zip(slots, images, strict=True)]


def written(path: Path, frames, **options) -> Part:
    with io.open_sink(path, FPS, (64, 48), time_base=TICK_S, **options) as sink:
        for time_s, image in frames:
            sink.write(image, time_s)
    return Part(path, tuple(time_s for time_s, _ in frames))


def parts_of(folder: Path, target: str, frames) -> list[Part]:
    edges = (0, 9, 10, 24)
    suffix = joining.part_suffix(target)
    return [written(folder / f"{n}{suffix}", frames[edges[n] : edges[n + 1]]) for n in range(3)]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize("ending", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_a_joined_film_is_the_film_in_one_go(tmp_path, frames, ending):
    options = {"audio_from": files.EXAMPLE_DRIVING, "metadata": {"title": "Generated"}}
    written(tmp_path / f"whole{ending}", frames, **options)
    parts = parts_of(tmp_path, f"joined{ending}", frames)
    target = tmp_path / f"joined{ending}"
    assert joining.join(parts, SinkPlan(target, FPS, (64, 48), TICK_S, **options)) == ""
    with io.open_source(target) as ours, io.open_source(tmp_path / f"whole{ending}") as theirs:
        assert ours.fps == theirs.fps and ours.duration_s == theirs.duration_s
        for one, other in zip(ours, theirs, strict=True):
            assert one.time_s == other.time_s
            assert np.abs(one.image.astype(int) - other.image).mean() < 6  # of two encodings
    assert packets(target, "audio") == packets(tmp_path / f"whole{ending}", "audio")
    copied = [data for _, data in packets(target, "video")]
    assert copied == [data for part in parts for _, data in packets(part.path, "video")]
    with av.open(str(target)) as container:
        assert container.metadata.get("title") == "Generated"


def test_pictures_are_numbered_on(tmp_path, frames):
    parts = parts_of(tmp_path, "joined", frames)
    joining.join(parts, SinkPlan(tmp_path / "joined", FPS, (64, 48), TICK_S))
    names = sorted(path.name for path in (tmp_path / "joined").iterdir())
    assert names == [f"frame_{n:06d}.png" for n in range(24)]
    for name, (_, image) in zip(names, frames, strict=True):
        assert (io.read_picture(tmp_path / "joined" / name) == image).all()


@pytest.mark.parametrize(("ending", "codec"), [(".webm", "libvpx-vp9"), (".mov", "prores")])
def test_transparency_is_kept(tmp_path, frames, ending, codec):
    alpha = [np.full((48, 64), 10 * n, np.uint8) for n in range(24)]
    clear = [(t, np.dstack([image, a])) for (t, image), a in zip(frames, alpha, strict=True)]
    parts = [
        written(tmp_path / f"{n}{ending}", clear[12 * n : 12 * n + 12], has_alpha=True)
        for n in range(2)
    ]
    target = tmp_path / f"joined{ending}"
    joining.join(parts, SinkPlan(target, FPS, (64, 48), TICK_S, has_alpha=True))
    with io.open_source(target) as reader:  # transparency lies on white
        assert next(reader).image.mean() > 250
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(codec, "r")
        context.extradata = stream.codec_context.extradata
        context.width, context.height = 64, 48
        context.codec_tag = stream.codec_context.codec_tag
        shown = [f for p in container.demux(stream) if p.size for f in context.decode(p)]
    found = [frame.to_ndarray(format="rgba")[24, 32, 3] for frame in shown]
    assert np.abs(np.array(found, int) - 10 * np.arange(len(found))).max() <= 3


def test_what_cannot_be_joined_is_known_before():
    assert [joining.part_suffix(f"o{end}") for end in (".gif", ".png", ".jpg")] == [None] * 3
    assert joining.part_suffix("folder") == "" and joining.part_suffix("o.MKV") == ".mp4"


def test_parts_that_are_not_alike_are_refused(tmp_path, frames):
    one = written(tmp_path / "0.mp4", frames[:5])
    other = written(tmp_path / "1.mp4", frames[5:9], crf=40)
    plan = SinkPlan(tmp_path / "joined.mp4", FPS, (64, 48), TICK_S)
    short = Part(one.path, one.times_s[:4])
    with pytest.raises(InputError, match="a part of 4 pictures"):
        joining.join([short], plan)
    small = tmp_path / "2.mp4"
    with io.open_sink(small, FPS, (32, 32), time_base=TICK_S) as sink:
        sink.write(np.zeros((32, 32, 3), np.uint8), 1.0)
    with pytest.raises(InputError, match="encoded as"):
        joining.join([one, Part(small, (1.0,))], plan)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.mp4", "1.mp4", "2.mp4"]  # no rest
    with pytest.raises(InputError, match="encoded as"):
        joining.join([one, other], plan)
    assert not plan.target.exists()
    joining.join([one], plan)
    with pytest.raises(InputError, match="from another program meanwhile"):
        joining.join([one], plan)
