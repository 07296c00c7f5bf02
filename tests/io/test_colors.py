"""Colours in: profiles of every kind of picture, wide gamuts and high dynamic range of video."""

from __future__ import annotations

import sys
import types
import zlib
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.io import wide_colors
from hybridanim.io.wide_colors import Encoding
from tests.io_clips import corners, numbered, write_clip

PQ, HLG = 16, 18
BT2020 = 9
TO_2020 = np.array(  # linear BT.709 -> BT.2020, BT.2087
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


def wide_profile() -> bytes:
    """A profile with the primaries of Adobe RGB and a gamma of 2.2, written by hand."""
    gamma = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(2.2 * 256).to_bytes(2, "big")
    rows = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
        b"wtpt": (0.9642, 1.0, 0.8249),
    }

    def fixed(values) -> bytes:
        return b"".join(round(v * 65536).to_bytes(4, "big", signed=True) for v in values)

    data = {name: b"XYZ " + bytes(4) + fixed(values) for name, values in rows.items()}
    data |= {name: gamma + bytes(2) for name in (b"rTRC", b"gTRC", b"bTRC")}
    data[b"cprt"] = b"text" + bytes(4) + b"none\0" + bytes(3)
    data[b"desc"] = b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"wide\0" + bytes(79)
    return _profile(b"RGB ", data)


def grey_profile(gamma: float) -> bytes:
    """A grey profile of that gamma, written by hand."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")
    white = b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    data = {b"wtpt": b"XYZ " + bytes(4) + white, b"kTRC": curve + bytes(2)}
    data[b"cprt"] = b"text" + bytes(4) + b"none\0" + bytes(3)
    data[b"desc"] = b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"grey\0" + bytes(79)
    return _profile(b"GRAY", data)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + (at + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    head = (at + len(body)).to_bytes(4, "big") + bytes(4) + bytes.fromhex("02400000")
    head += b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    head += bytes(128 - len(head))
    return head + len(tags).to_bytes(4, "big") + table + body


def converted(rgb: np.ndarray) -> np.ndarray:
    """RGB of ``wide_profile`` in sRGB, by matrices (IEC 61966-2-1) instead of LittleCMS."""
    to_xyz = np.array(
        [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
    )
    srgb_to_xyz = np.array(  # adapted to D50
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
    linear = (rgb / 255) ** 2.2 @ to_xyz.T @ np.linalg.inv(srgb_to_xyz).T
    linear = np.clip(linear, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear) * 255


def muted() -> np.ndarray:
    """A picture whose colours lie in both gamuts."""
    rng = np.random.default_rng(1)
    return rng.integers(90, 170, (16, 16, 3)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P", "palette with alpha", "tif", "webp"])
def test_the_profile_is_applied_to_every_kind_of_picture(tmp_path, kind):
    picture, profile = muted(), wide_profile()
    wanted = converted(picture)
    assert np.abs(wanted - picture).max() > 10
    image, options, name = Image.fromarray(picture), {}, "a.png"
    if kind in ("P", "palette with alpha"):
        image = image.quantize(256)
        wanted = converted(np.asarray(image.convert("RGB")))
    if kind == "palette with alpha":
        options["transparency"] = bytes([255]) * 255 + bytes([254])
    if kind == "RGBA":
        image.putalpha(254)
    if kind in ("tif", "webp"):
        name, options = f"a.{kind}", {"lossless": True} if kind == "webp" else {}
    image.save(tmp_path / name, icc_profile=profile, **options)
    assert np.abs(io.read_picture(tmp_path / name) - wanted).max() <= 2


def from_adobe(rgb: np.ndarray) -> np.ndarray:
    """Adobe RGB (1998) in sRGB, by the matrices that their standards print."""
    to_xyz = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    srgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    linear = (rgb / 255) ** (563 / 256) @ np.array(to_xyz).T @ np.linalg.inv(srgb).T
    linear = np.clip(linear, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear) * 255


def exif_of(space: int | None, index: str | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    stated = exif.get_ifd(0x8769)
    stated[0x9000] = b"0232"
    if space is not None:
        stated[0xA001] = space
    if index is not None:
        stated[0xA005] = {1: index}
    return exif


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize(
    ("space", "index", "is_adobe"),
    [
        (65535, "R03", True),
        (2, None, True),
        (65535, "R98", False),
        (65535, None, False),  # "uncalibrated" alone does not say which
        (1, "R03", False),
        (1, None, False),
    ],
)
def test_adobe_rgb_that_exif_alone_states(tmp_path, name, space, index, is_adobe):
    picture = muted().repeat(8, axis=0).repeat(8, axis=1)
    options = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {"lossless": True}
    Image.fromarray(picture).save(tmp_path / name, exif=exif_of(space, index), **options)
    with Image.open(tmp_path / name) as opened:
        stored = np.asarray(opened.convert("RGB"))
    wanted = from_adobe(stored) if is_adobe else stored
    assert np.abs(io.read_picture(tmp_path / name) - wanted).max() <= 2


def test_an_embedded_profile_goes_before_exif(tmp_path):
    Image.fromarray(muted()).save(
        tmp_path / "a.png", exif=exif_of(65535, "R03"), icc_profile=wide_profile()
    )
    assert np.abs(io.read_picture(tmp_path / "a.png") - converted(muted())).max() <= 2


def png_with(path, picture: np.ndarray, chunks: dict[bytes, bytes]) -> None:
    """A PNG file with these chunks before its pixels."""
    data = BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    head, rest = data.getvalue()[:33], data.getvalue()[33:]
    made = b"".join(
        len(one).to_bytes(4, "big") + name + one + zlib.crc32(name + one).to_bytes(4, "big")
        for name, one in chunks.items()
    )
    path.write_bytes(head + made + rest)


def fixed_point(*values: float) -> bytes:
    return b"".join(round(v * 100_000).to_bytes(4, "big") for v in values)


def test_chunks_of_png_that_say_what_its_colors_are(tmp_path):
    adobe = fixed_point(0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
    usual = fixed_point(0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    gamma, path, picture = fixed_point(256 / 563), tmp_path / "a.png", muted()
    png_with(path, picture, {b"gAMA": gamma, b"cHRM": adobe})
    assert np.abs(io.read_picture(path) - from_adobe(picture)).max() <= 2
    png_with(path, picture, {b"gAMA": fixed_point(1 / 1.8)})
    light = (picture / 255) ** 1.8
    wanted = (1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(io.read_picture(path) - wanted).max() <= 2
    for chunks in (
        {b"sRGB": bytes(1), b"gAMA": gamma, b"cHRM": adobe},
        {b"gAMA": fixed_point(0.45455), b"cHRM": usual},
        {b"gAMA": bytes(4), b"cHRM": bytes(32)},
    ):
        png_with(path, picture, chunks)
        np.testing.assert_array_equal(io.read_picture(path), picture)


@pytest.mark.parametrize("kind", ["L", "LA", "I;16"])
def test_the_profile_of_grey_pictures_is_applied(tmp_path, kind):
    ramp = np.tile(np.arange(40, 256, dtype=np.uint8), (4, 1))
    linear = (ramp / 255.0) ** 1.0  # a gamma of 1: light itself
    wanted = (1.055 * linear ** (1 / 2.4) - 0.055) * 255
    image = Image.fromarray(ramp)
    if kind == "LA":
        image.putalpha(255)
        image.putpixel((0, 0), (40, 254))
    if kind == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    image.save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    back = io.read_picture(tmp_path / "a.png")
    assert np.abs(back - wanted[..., None]).max() <= 2


def test_deep_grey_with_alpha_and_grey_with_a_profile_of_colours(tmp_path):
    """Pillow opens the first as RGBA; the second is common in scans."""
    ramp = np.arange(40, 250, dtype=np.uint8)

    def chunk(name: bytes, data: bytes) -> bytes:
        tail = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + tail

    row = np.stack([ramp.astype(np.uint16) * 257, np.full(ramp.shape, 65535, np.uint16)], -1)
    head = len(ramp).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 4, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    data += chunk(b"iCCP", b"x\0\0" + zlib.compress(grey_profile(1.0)))
    data += chunk(b"IDAT", zlib.compress(b"\0" + row.astype(">u2").tobytes())) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    wanted = (1.055 * (ramp / 255) ** (1 / 2.4) - 0.055) * 255
    assert np.abs(io.read_picture(tmp_path / "a.png")[0] - wanted[:, None]).max() <= 2
    Image.fromarray(ramp[None]).save(tmp_path / "b.png", icc_profile=wide_profile())
    wanted = converted(np.repeat(ramp[:, None], 3, axis=1))
    assert np.abs(io.read_picture(tmp_path / "b.png")[0] - wanted).max() <= 2


def test_deep_grey_keeps_what_eight_bits_would_lose(tmp_path):
    ramp = np.tile(np.arange(0, 2570, 10, dtype=np.uint16), (2, 1))  # the darkest 4 %
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    back = io.read_picture(tmp_path / "a.png")[0, :, 0].astype(int)
    assert np.diff(back).max() <= 4 and len(np.unique(back)) > 30


def test_cmyk_goes_through_its_profile_if_it_is_one(tmp_path):
    image = Image.fromarray(muted()).convert("CMYK")
    image.save(tmp_path / "a.tif", icc_profile=wide_profile())  # of another kind: passed over
    plain = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(io.read_picture(tmp_path / "a.tif") - plain).max() <= 1


def test_lab_pictures_become_rgb(tmp_path):
    srgb = ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(
        Image.fromarray(muted()), srgb, ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "a.tif")
    assert np.abs(io.read_picture(tmp_path / "a.tif").astype(int) - muted()).mean() < 3


def heic_bytes() -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg", "a.mp4"])
def test_heic_without_its_package_is_one_clear_line(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(heic_bytes())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for read in (io.read_picture, io.open_source, io.read_source_picture):
        with pytest.raises(InputError, match=r"HEIC.*; pip install pillow-heif") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_heic_is_read_by_its_package(tmp_path, monkeypatch):
    """A stand-in reads HEIC; the real package is tested where it is installed."""

    class Reader(Image.Image):
        pass

    def registered():
        Image.register_open("HEIF", lambda file, name: Image.open(BytesIO(png)), is_heic)

    def is_heic(start):
        return start[4:12] == b"ftypheic"

    buffer = BytesIO()
    Image.fromarray(corners()).save(buffer, "PNG")
    png = buffer.getvalue()
    fake = types.SimpleNamespace(register_heif_opener=registered)
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    (tmp_path / "a.heic").write_bytes(heic_bytes())
    assert np.array_equal(io.read_picture(tmp_path / "a.heic"), corners())
    assert np.array_equal(io.read_source_picture(tmp_path / "a.heic"), corners())
    with io.open_source(tmp_path / "a.heic") as reader:
        assert np.array_equal(next(reader).image, corners())


def test_heic_of_the_real_package(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    picture = np.kron(muted(), np.ones((16, 16, 1), np.uint8))
    Image.fromarray(picture).save(tmp_path / "a.heic", quality=95, icc_profile=wide_profile())
    assert np.abs(io.read_picture(tmp_path / "a.heic") - converted(picture)).mean() < 4


def pq(light: np.ndarray) -> np.ndarray:
    """The inverse EOTF of SMPTE ST 2084: cd/m2 -> signal."""
    y = (light / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(light: np.ndarray) -> np.ndarray:
    """The inverse OOTF and the OETF of BT.2100 for a display of 1000 cd/m2."""
    shown = light / 1000
    luminance = (shown @ [0.2627, 0.6780, 0.0593])[..., None]
    scene = shown * np.maximum(luminance, 1e-9) ** ((1 - 1.2) / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_the_dark_and_middle_tones_keep_their_light(transfer):
    """Ordinary video put into the high range (BT.2408: its white at 203 cd/m2) comes back."""
    rng = np.random.default_rng(0)
    picture = rng.uniform(0.1, 0.7, (200, 3))
    light = 203 * picture**2.4 @ TO_2020.T
    signal = pq(light) if transfer == PQ else hlg(light)
    back = wide_colors.to_display(signal, Encoding(transfer, BT2020))
    assert np.abs(back - picture).max() * 255 < 1


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_are_rolled_off(transfer):
    light = np.repeat(np.array([93.0, 150, 203, 400, 700, 1000])[:, None], 3, axis=1)
    signal = pq(light) if transfer == PQ else hlg(light)
    shown = wide_colors.to_display(signal, Encoding(transfer, BT2020))
    back = shown[:, 0] * 255
    assert np.diff(back).min() > 0 and back[2] > 220 and abs(back[-1] - 255) < 1
    assert np.ptp(shown, axis=-1).max() < 1e-3


def high_range_clip(path, picture: np.ndarray, transfer: int, primaries: int = BT2020):
    """A 10-bit clip of 8 frames of this signal, (H, W, 3) in [0, 1], tagged."""
    deep = np.round(picture * 65535).astype(np.uint16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=25, options={"x265-params": "qp=4:log-level=none"})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, primaries, 9
        context.color_range = 1
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(deep, format="rgb48le")
            frame = frame.reformat(
                format="yuv420p10le", dst_colorspace="BT2020", dst_color_range="MPEG"
            )
            frame.colorspace, frame.color_range = 9, 1
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("max_side_px", [None, 64])
def test_high_range_video_looks_like_ordinary_video(tmp_path, transfer, max_side_px):
    picture = np.kron(
        np.array([[[0.6, 0.42, 0.35], [0.2, 0.3, 0.25]], [[0.1, 0.1, 0.3], [0.65, 0.6, 0.6]]]),
        np.ones((64, 64, 1)),
    )
    light = 203 * picture**2.4 @ TO_2020.T
    signal = pq(light) if transfer == PQ else hlg(light)
    path = high_range_clip(tmp_path / "a.mp4", signal, transfer)
    with io.open_source(path, max_side_px=max_side_px) as reader:
        frames = list(reader)
    assert len(frames) == 8
    (note,) = reader.notes
    assert "a.mp4" in note and "tone-mapped" in note and ("PQ" if transfer == PQ else "HLG") in note
    side = len(frames[3].image)
    for y, x in ((1, 1), (1, 3), (3, 1), (3, 3)):
        found = frames[3].image[side * y // 4, side * x // 4].astype(float)
        wanted = picture[32 * y, 32 * x] * 255
        assert np.abs(found - wanted).max() <= 3, (found, wanted)


def test_the_wide_gamut_of_ordinary_video_is_converted(tmp_path):
    picture = np.broadcast_to(np.array([0.7, 0.3, 0.3]), (64, 64, 3))
    signal = (picture**2.4 @ TO_2020.T) ** (1 / 2.4)
    path = high_range_clip(tmp_path / "a.mp4", signal, 14)
    with io.open_source(path) as reader:
        found = next(reader).image[32, 32]
    assert np.abs(found - picture[0, 0] * 255).max() <= 3 and reader.notes == ()


def test_ordinary_video_has_no_note(tmp_path):
    path = write_clip(tmp_path / "a.mp4", [numbered(1)] * 2)
    with io.open_source(path) as reader:
        assert reader.notes == ()
