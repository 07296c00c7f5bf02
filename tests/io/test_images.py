"""Still pictures in and out."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.io import images
from tests.io_clips import corners, numbered

EXIF_ORIENTATION = 0x0112


def saved(image: Image.Image, path, **options):
    image.save(path, **options)
    return io.read_picture(path)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.ppm", "a.tga"])
def test_lossless_files_come_back_unchanged(tmp_path, name):
    picture = numbered(77, 37, 23)
    options = {"lossless": True} if name.endswith("webp") else {}
    back = saved(Image.fromarray(picture), tmp_path / name, **options)
    assert back.dtype == np.uint8 and back.flags.c_contiguous
    assert np.array_equal(back, picture)


def turned_as_opencv_does(path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation_is_honoured(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    options = {"quality": 98, "subsampling": 0} if name == "a.jpg" else {}
    back = saved(Image.fromarray(corners()), tmp_path / name, exif=exif, **options)
    assert back.shape == ((64, 48, 3) if orientation > 4 else (48, 64, 3))
    if name == "a.jpg":
        theirs = turned_as_opencv_does(tmp_path / name)
        assert np.abs(back.astype(int) - theirs).mean() < 2
    if orientation == 6:  # stored lying on its left side: the lower left corner is shown upper left
        assert back[2, 2].argmax() == 2 and back[2, 2, 2] > 200
        assert np.abs(back.astype(int) - np.rot90(corners(), -1)).mean() < 3


def test_grey_alpha_and_palettes(tmp_path):
    grey = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (20, 1))
    back = saved(Image.fromarray(grey), tmp_path / "l.png")
    assert np.array_equal(back, np.dstack([grey] * 3))
    alpha = np.zeros_like(grey)
    alpha[10:] = 255
    la = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    back = saved(la, tmp_path / "la.png")
    assert (back[:10] == 255).all() and np.array_equal(back[10:, :, 0], grey[10:])
    half = np.full((8, 8, 4), (100, 0, 200, 128), np.uint8)
    assert saved(Image.fromarray(half), tmp_path / "rgba.png")[0, 0].tolist() == [177, 127, 227]
    flat = Image.fromarray(corners()).quantize(4)
    assert np.abs(saved(flat, tmp_path / "p.png").astype(int) - corners()).max() <= 2
    clear = flat.copy()
    index = clear.getpixel((1, 1))
    back = saved(clear, tmp_path / "pt.png", transparency=index)
    assert (back[:24, :32] == 255).all() and not (back[24:, :32] == 255).all()
    bits = Image.fromarray(grey > 100)
    assert set(np.unique(saved(bits, tmp_path / "bits.png"))) == {0, 255}


def test_sixteen_bits(tmp_path):
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (16, 1))
    want = np.round(ramp / 257)
    for name in ("g.png", "g.tif"):
        cv2.imwrite(str(tmp_path / name), ramp)
        assert np.abs(io.read_picture(tmp_path / name)[..., 1] - want).max() <= 1, name
    color = np.dstack([ramp, ramp[:, ::-1], ramp // 2])
    for name in ("c.png", "c.tif"):
        cv2.imwrite(str(tmp_path / name), color[..., ::-1])
        back = io.read_picture(tmp_path / name)
        assert np.abs(back.astype(int) - np.round(color / 257)).max() <= 1, name
    alpha = np.dstack([color[..., ::-1], np.full_like(ramp, 65535)])
    cv2.imwrite(str(tmp_path / "a.png"), alpha)
    assert np.abs(io.read_picture(tmp_path / "a.png") - np.round(color / 257)).max() <= 1


def test_cmyk_jpeg_and_float_tiff(tmp_path):
    cmyk = Image.fromarray(corners()).convert("CMYK")
    back = saved(cmyk, tmp_path / "c.jpg", quality=98)
    assert np.abs(back.astype(int) - corners()).mean() < 4
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (8, 1))
    back = saved(Image.fromarray(ramp), tmp_path / "f.tif")
    assert np.abs(back[..., 0] - ramp * 255).max() <= 1


def test_embedded_color_profile_is_applied(tmp_path):
    picture = Image.new("RGB", (8, 8), (180, 90, 60))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    same = saved(picture, tmp_path / "s.png", icc_profile=lab.tobytes())
    assert np.abs(same.astype(int) - np.asarray(picture)).max() <= 1
    assert np.array_equal(
        saved(picture, tmp_path / "b.png", icc_profile=b"broken"), np.asarray(picture)
    )


def test_first_frame_of_animations(tmp_path):
    frames = [Image.fromarray(numbered(i)) for i in (1, 2)]
    for name in ("a.gif", "a.webp", "a.png"):
        options = {"lossless": True} if name == "a.webp" else {}
        back = saved(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert np.abs(back.astype(int) - numbered(1)).max() <= 2, name


def test_pictures_that_cannot_be_read(tmp_path):
    whole = tmp_path / "whole.jpg"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("cut.jpg", "empty.png", "text.png", "missing.png", ""):
        with pytest.raises(InputError) as caught:
            io.read_picture(tmp_path / name)
        text = str(caught.value)
        assert "\n" not in text and "expected" in text and ";" in text and name in text


def test_too_many_pixels(tmp_path, monkeypatch):
    Image.fromarray(numbered(1)).save(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"big\.png"):
        io.read_picture(tmp_path / "big.png")


def test_to_rgb8_accepts_what_people_have():
    rgb = corners()
    assert np.array_equal(io.to_rgb8(rgb), rgb)
    assert np.array_equal(io.to_rgb8(rgb / 255.0), rgb)
    assert np.array_equal(io.to_rgb8(rgb.astype(np.float32) / 255), rgb)
    assert np.array_equal(io.to_rgb8(rgb.astype(np.int64)), rgb)
    assert np.array_equal(io.to_rgb8(rgb.astype(np.uint16) * 257), rgb)
    assert np.array_equal(io.to_rgb8(rgb[..., 0]), np.dstack([rgb[..., 0]] * 3))
    assert io.to_rgb8(rgb[..., :1]).shape == (48, 64, 3)
    assert np.array_equal(io.to_rgb8(rgb > 100), (rgb > 100) * np.uint8(255))
    assert (io.to_rgb8(np.dstack([rgb, np.zeros((48, 64), np.uint8)])) == 255).all()
    assert io.to_rgb8(np.array([[1.2, -0.2]])).tolist() == [[[255] * 3, [0] * 3]]
    assert io.to_rgb8(rgb[:, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 48, 64)), "channels last"),
        (np.zeros((2, 48, 64, 3)), "one picture"),
        (np.zeros((0, 5, 3)), "got \\(0, 5, 3\\)"),
        (np.zeros(5), "one picture"),
        (np.full((4, 4), 200.0), "floats in \\[0, 1\\]"),
        (np.full((4, 4), np.nan), "floats in"),
        (np.full((4, 4), 300), "integers in 0..255"),
        (np.full((4, 4), -1), "integers in 0..255"),
        (np.full((4, 4), "a"), "numbers"),
        (None, "expected"),
    ],
)
def test_to_rgb8_refuses_with_a_reason(array, words):
    with pytest.raises(InputError, match=words):
        io.to_rgb8(array)


def test_write_picture_is_whole_or_absent(tmp_path, monkeypatch):
    io.write_picture(
        tmp_path / "a.png", corners(), metadata={"Title": "Generated", "Ort": "Zürich"}
    )
    with Image.open(tmp_path / "a.png") as opened:
        assert (opened.text["Title"], opened.text["Ort"]) == ("Generated", "Zürich")
    assert np.array_equal(io.read_picture(tmp_path / "a.png"), corners())
    io.write_picture(tmp_path / "a.jpg", corners(), metadata={"Title": "Generated"})
    with Image.open(tmp_path / "a.jpg") as opened:
        assert "Generated" in opened.getexif()[0x010E]

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match="No space left"):
        io.write_picture(tmp_path / "b.png", corners())
    with pytest.raises(InputError, match="No space left"):
        io.write_picture(tmp_path / "a.png", numbered(1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.png"]
    assert np.array_equal(turned_as_opencv_does(tmp_path / "a.png"), corners())


def test_write_picture_refuses(tmp_path):
    with pytest.raises(InputError, match=r"\.gif"):
        io.write_picture(tmp_path / "a.gif", corners())
    with pytest.raises(InputError, match="missing"):
        io.write_picture(tmp_path / "missing" / "a.png", corners())


def test_pictures_with_absurd_sizes_are_refused_by_their_headers(tmp_path):
    header = b"P6\n20000 20000\n255\n"
    for name in ("a.ppm", "a.png"):
        path = tmp_path / name
        if name == "a.png":
            io.write_picture(path, np.zeros((2, 2, 3), np.uint8))
            data = bytearray(path.read_bytes())
            data[16:24] = (20000).to_bytes(4, "big") * 2
            data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
            path.write_bytes(data)
        else:
            path.write_bytes(header + bytes(1000))
        with pytest.raises(InputError, match=r"picture: expected at most 178 million pixels"):
            io.read_picture(path)


def test_large_pictures_are_read_without_a_warning(tmp_path, monkeypatch, recwarn):
    Image.fromarray(numbered(1)).save(tmp_path / "big.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 10)
    assert np.array_equal(io.read_picture(tmp_path / "big.png"), numbered(1))
    assert not recwarn.list


def test_strips_of_a_picture_join(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    for channels in (3, 4):
        picture = rng.integers(0, 256, (101, 37, channels), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "a.png")
        whole = io.read_picture(tmp_path / "a.png")
        monkeypatch.setattr(images, "_STRIP_BYTES", 4 * 37 * 7)
        assert np.array_equal(io.read_picture(tmp_path / "a.png"), whole)
        monkeypatch.undo()
        assert np.array_equal(io.read_picture(tmp_path / "a.png", alpha=True), picture)


MEMORY = """
import re, sys
from hybridanim import io
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) >> 10
before = peak()
picture = io.read_picture(sys.argv[1])
print(peak() - before, picture.nbytes >> 20)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to measure")
def test_the_memory_for_a_large_picture_is_bounded(tmp_path):
    Image.new("RGB", (6000, 4000), (9, 90, 200)).save(tmp_path / "a.jpg")
    command = [sys.executable, "-c", MEMORY, tmp_path / "a.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used, size = map(int, done.stdout.split())
    assert used < 3 * size + 50 and done.stderr == ""  # Pillow's has 4 bytes a pixel
