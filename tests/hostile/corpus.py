"""Hostile inputs and options for every word of the command line, as a list of cases.

Each case names whole files of the kit, damages or adds some in a folder of its own, and calls one
program there. It lies with the tests, since it needs their clips and is of no use to users. Random
numbers are seeded by the case's name, so that a case is the same in every run.
"""

from __future__ import annotations

import io
import json
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from safetensors.numpy import save

from apps import options
from hybridanim.config import RenderJob
from hybridanim.live.config import LiveJob

Prepare = Callable[[Path], None]
Ends = Literal["refused", "done", "either"]
SHORT = ("--size", "64")
PAIR = ("source.png", "driving.mp4")


@dataclass(frozen=True)
class Case:
    """One call of a program with the files that it finds."""

    name: str
    words: Sequence[str] = ()
    takes: Sequence[str] = PAIR  # of the kit
    prepare: Prepare = lambda folder: None
    ends: Ends = "refused"
    program: str = "run"  # or a module with ``main``
    replaces: Sequence[str] = ()  # files that a success may change
    makes: Sequence[str] = ()  # files that a success must leave
    leaves: Sequence[bytes] = ()  # names in the folder that may be there at the end
    shell: str = ""  # instead of words: a shell's command, with PROGRAM for the program
    keeps: bool = False  # whether whole results may be there whatever the exit code
    codes: Sequence[int] = ()  # exit codes besides 0 and 2


def cases() -> list[Case]:
    """All of them; their names differ."""
    found = [case for make in MAKERS for case in make()]
    assert len({case.name for case in found}) == len(found), "two cases of one name"
    return found


def render(name: str, *words: str, **more: Any) -> Case:
    """A case of the animation, of the kit's pair unless the words name others."""
    return Case(f"render {name}", [*PAIR, *SHORT, *words], **more)


def data_of(name: str, change: Callable[[bytearray, random.Random], bytes], key: str) -> Prepare:
    """Replace a file by a damaged copy."""

    def prepare(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        (folder / name).write_bytes(change(data, random.Random(key)))

    return prepare


def writes(name: str, data: bytes | str) -> Prepare:
    """Write a file."""
    raw = data.encode() if isinstance(data, str) else data
    return lambda folder: (folder / name).write_bytes(raw) and None


def both(*steps: Prepare) -> Prepare:
    """One after the other."""

    def prepare(folder: Path) -> None:
        for step in steps:
            step(folder)

    return prepare


def cut(share: float) -> Callable[[bytearray, random.Random], bytes]:
    """The beginning of a file."""
    return lambda data, _: bytes(data[: int(len(data) * share)])


def flipped(count: int, first: int = 0) -> Callable[[bytearray, random.Random], bytes]:
    """A file with some bytes changed, from a place on."""

    def change(data: bytearray, random: random.Random) -> bytes:
        for _ in range(count):
            data[random.randrange(min(first, len(data) - 1), len(data))] = random.randrange(256)
        return bytes(data)

    return change


# Damaged videos and pictures


def damaged_drivers() -> Iterator[Case]:
    for ending in ("mp4", "gif", "mkv", "avi"):
        name = f"driving.{ending}"
        words = ("source.png", name, *SHORT, "--output", "o.mp4")
        changes = {f"cut at {share}": cut(share) for share in (0.01, 0.5, 0.9, 0.999)}
        changes |= {f"{n} bytes changed": flipped(n) for n in (1, 5, 40)}
        changes["header changed"] = flipped(8)
        for text, change in changes.items():
            case = f"render {name} {text}"
            takes = ("source.png", name)
            yield Case(case, words, takes, data_of(name, change, case), "either")
    start = (*PAIR, *SHORT, "--start", "0.1", "--output", "o.mp4")
    change = data_of("driving.mp4", cut(0.7), "start")
    yield Case("render driving.mp4 cut, from a start on", start, PAIR, change, "either")


def damaged_sources() -> Iterator[Case]:
    for ending in ("png", "jpg", "webp", "bmp", "tiff"):
        name = f"source.{ending}"
        words = (name, "driving.mp4", *SHORT, "--output", "o.mp4", "--end", "0.1")
        changes = {f"cut at {share}": cut(share) for share in (0.02, 0.5, 0.98)}
        changes["bytes changed"] = flipped(20)
        for text, change in changes.items():
            case = f"render {name} {text}"
            takes = (name, "driving.mp4")
            yield Case(case, words, takes, data_of(name, change, case), "either")


def png_header(width: int, height: int, depth: int = 8, kind: int = 2) -> bytes:
    """A PNG file of that size without pixels."""

    def part(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = part(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + pixels + part(b"IEND", b"")


def bmp_header(width: int, height: int) -> bytes:
    """A BMP file of that size without pixels."""
    body = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + body


def flat(width: int, height: int) -> Prepare:
    """A grey picture of that size in place of the source."""
    return lambda folder: Image.new("RGB", (width, height), (120, 110, 100)).save(
        folder / "source.png"
    )


def absurd_files() -> Iterator[Case]:
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";"
    jpeg = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 65500, 65500, 1) + b"\1\x11\0\xff\xd9"
    made = {
        "png of 100000x100000": png_header(100_000, 100_000),
        "png of 0x0": png_header(0, 0),
        "png of 2**31 pixels a side": png_header(2**31 - 1, 2**31 - 1),
        "png of an unknown kind": png_header(64, 64, 77, 99),
        "bmp of 100000x100000": bmp_header(100_000, 100_000),
        "bmp of a negative size": bmp_header(-5, -2_000_000_000),
        "gif of 65535x65535": gif,
        "jpeg of 65500x65500": jpeg,
        "nothing": b"",
        "zeros": bytes(4096),
        "text": b"not a picture\n" * 100,
        "a program": b"\x7fELF" + bytes(500),
        "a vector drawing": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "a playlist": b"#EXTM3U\n#EXTINF:1,\nuser.txt\n",
        "a list of files": b"ffconcat version 1.0\nfile user.txt\n",
        "a document": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "an archive": b"PK\3\4" + bytes(60),
        "an endless box": struct.pack(">I4sQ", 1, b"ftyp", 2**63) + bytes(64),
        "a box of nothing": struct.pack(">I4s", 8, b"moov") * 50,
    }
    for text, data in made.items():
        for name in PAIR:
            prepare = both(writes(name, data), writes("user.txt", "years of work"))
            yield render(f"{name} is {text}", prepare=prepare)
    for width, height in ((1, 1), (1, 5000), (5000, 1), (15, 15), (16, 16), (17, 4001)):
        text = f"source of {width}x{height}"
        yield render(text, prepare=flat(width, height))
        yield render(f"{text}, a given crop", "--crop", "0,0,1,1", prepare=flat(width, height))


def odd_drivers() -> Iterator[Case]:
    def film(*sizes: tuple[int, int]) -> Prepare:
        def prepare(folder: Path) -> None:
            (folder / "film").mkdir()
            for number, size in enumerate(sizes):
                Image.new("RGB", size, (90, 80, 70)).save(folder / "film" / f"{number}.png")

        return prepare

    def gif(width: int, height: int) -> Prepare:
        def prepare(folder: Path) -> None:
            images = [Image.new("P", (width, height), k) for k in range(3)]
            images[0].save(folder / "driving.gif", save_all=True, append_images=images[1:])

        return prepare

    one = ("source.png",)
    for sizes in ([(1, 1)], [(1, 900), (900, 1)], [(64, 64), (3, 5)], [(2, 4000)] * 2, [(16, 16)]):
        words = ("source.png", "film", *SHORT)
        yield Case(f"render a folder of pictures of {sizes}", words, one, film(*sizes))
    for size in ((1, 1), (1, 300), (300, 1), (3, 3)):
        yield Case(f"render a gif of {size}", ("source.png", "driving.gif"), one, gif(*size))
    words = ("source.png", "film", *SHORT)
    empty = lambda folder: (folder / "film").mkdir()  # noqa: E731
    yield Case("render an empty folder", words, one, empty)
    yield Case("render a folder of text", words, one, both(empty, writes("film/a.png", "text")))
    broken = both(lambda folder: None, writes("pictures/1.png", "text"))
    words = ("source.png", "pictures", *SHORT, "--output", "o.mp4")
    takes = ("source.png", "pictures")
    yield Case(
        "render a folder with a broken picture", words, takes, broken, "done", makes=["o.mp4"]
    )


# Options and settings


NUMBERS = ("nan", "inf", "-1e308", "9" * 400, "")


def numeric_options() -> Iterator[Case]:
    """Every number of the animation, and those that ``live`` adds, far out of range."""
    shared = {option.name for option in options.flat(RenderJob())}
    for word, job, words in (
        ("", RenderJob(), [*PAIR, "--end", "0.1"]),
        ("live", LiveJob(), ["source.png", "--camera", "none.mp4", "--window", "no"]),
    ):
        for option in options.flat(job):
            is_number = isinstance(option.value, int | float) and not isinstance(option.value, bool)
            if not is_number and option.name not in ("end", "serve"):
                continue
            if word and option.name in shared:
                continue
            flag = f"--{option.name.replace('_', '-')}"
            for value in NUMBERS:
                told = [word, *words, f"{flag}={value}"] if word else [*words, f"{flag}={value}"]
                if "--size" not in flag:
                    told += SHORT
                ends: Ends = "refused" if value in ("nan", "") else "either"
                if word:
                    ends = "refused"  # there is no such camera
                yield Case(f"{word or 'render'} {flag}={value[:12]}", told, ends=ends)


def worded_options() -> Iterator[Case]:
    given = {
        "--crop": ("1,2,3", "a,b,c,d", "nan,0,9,9", "0,0,0,0", "-5,-5,9,9", "9" * 30 + ",0,1,1",
                   "0,0,1e9,1e9", "inf,0,9,9", ""),
        "--reference": ("-1", "9999", "9" * 400, "last", "²", ""),
        "--source-time": ("1e300",),
        "--start": ("99", "1e15"),
        "--u-range": ("9", "nan nan", "200 100"),
        "--tracker": ("none", "", "classical\n"),
        "--renderer": ("../warp", "none"),
        "--motion": ("RELATIVE", ""),
        "--runtime": ("cuda",),
        "--profile": ("", "user.txt", ".", "/", "a\0b"),
        "--weights": ("", "user.txt", ".", "/", "a\0b", "none.safetensors"),
        "--config": ("none.toml", ".", "a\0b", "x" * 300 + ".toml"),
        "--debug": ("user.txt", "a\0b", "x" * 300),
        "--smoth": ("1",),
        "--": ("more", "words"),
    }  # fmt: skip
    for flag, values in given.items():
        for value in values:
            words = [flag, *value.split(" ")] if flag in ("--u-range", "--") else [flag, value]
            ends: Ends = (
                "either" if (flag, value) in (("--crop", ""), ("--config", "")) else "refused"
            )
            text = f"{flag} {value[:20]!r}"
            prepare = writes("user.txt", "years of work")
            yield render(text, *words, "--end", "0.1", prepare=prepare, ends=ends)
    wide = ("--start", "0.05", "--end", "0.06")
    yield render("an interval without a frame", *wide)


BROKEN_TEXTS = {
    "deep": "a = " + "[" * 60_000,
    "deep keys": "a" + ".a" * 60_000 + " = 1",
    "large": "a = 1 #" + "x" * (1 << 18),
    "not UTF-8": b"size = 64\n# \xff\xfe\xc3\x28",
    "UTF-16": 'size = 64\n'.encode("utf-16"),
    "zeros": bytes(200),
    "twice": "size = 64\nsize = 65\n",
    "unknown": "smoth = 0.3\n",
    "unknown table": "[keypoint]\nscale = 1.0\n",
    "a table for a number": "[size]\na = 1\n",
    "a number for a table": "keypoints = 3\n",
    "a list for a number": "size = [64]\n",
    "a date": "size = 1979-05-27T07:32:00Z\n",
    "text for a number": 'size = "64"\n',
    "true for a number": "size = true\n",
    "nan": "start = nan\n",
    "inf": "[keypoints]\nscale = inf\n",
    "an enormous number": "size = " + "9" * 5000 + "\n",
    "a list of lists": "profile = [[1], {}]\n",
    "no path": 'output = "a\\u0000.mp4"\n',
    "JSON": '{"size": 64}',
    "half": "size = ",
}  # fmt: skip


def settings() -> Iterator[Case]:
    for number, (text, data) in enumerate(BROKEN_TEXTS.items()):
        config = writes("c.toml", data)
        yield render(f"settings: {text}", "--config", "c.toml", prepare=config)
        if number % 3:
            continue
        words = ["live", "source.png", "--camera", "driving.mp4", "--config", "c.toml"]
        yield Case(f"live settings: {text}", [*words, "--window", "no"], PAIR, config)
    for text in ("deep", "not UTF-8", "zeros", "unknown", "nan", "a date", "JSON", "half"):
        words = ["train", "--data", "clips", "--config", "c.toml"]
        config = writes("c.toml", BROKEN_TEXTS[text])
        yield Case(f"train settings: {text}", words, ["clips"], config, leaves=[b"runs"])
    pipe = lambda folder: os.mkfifo(folder / "c.toml")  # noqa: E731
    yield render("settings: a pipe", "--config", "c.toml", prepare=pipe)
    yield render("settings: endless", "--config", "/dev/zero")


def profile_texts() -> Iterator[tuple[str, str]]:
    """Broken profiles: each number of each kind replaced by nonsense, and other texts."""
    skin = {
        "weights": "[1.0]",
        "means_yuv": "[[150.0, 105.0, 160.0]]",
        "covariances_yuv": "[[400.0, 0.0, 0.0, 30.0, 0.0, 30.0]]",
        "white_uv": "[128.0, 128.0]",
    }
    camera = {
        "fx_px": "600.0",
        "fy_px": "600.0",
        "cx_px": "319.5",
        "cy_px": "239.5",
        "picture_size_px": "[640, 480]",
        "distortion": "[0.0, 0.0, 0.0, 0.0, 0.0]",
    }
    tracker = {
        "corners": '"harris"',
        "max_features": "120",
        "window_px": "15",
        "pyramid_levels": "3",
        "forward_backward_px": "1.0",
    }
    texture = {
        "picture_size_px": "[640, 480]",
        "thumbnail": f'"{"0f" * 64}"',
        "camera": '"perspective"',
        "field_of_view_deg": "40.0",
        "points": '[["chin", 300.0, 300.0, 1.0]]',
    }
    nonsense = {
        "thumbnail": ('""', '"zz"', "1"),
        "camera": ('"fisheye"', "[]"),
        "field_of_view_deg": ("nan", "0.0", "180.0", "1e300"),
        "points": ('[["chin"]]', '[["chin", nan, 1.0, 1.0]]', '[["chin", 1e300, 1.0, 1.0]]', "1"),
        "weights": ("[]", "[nan]", "[0.5, nan]", "[-1.0, 2.0]", "[1e308, 1e308]"),
        "means_yuv": ("[[nan, 1.0, 1.0]]", "[[1.0]]", "[[inf, 0.0, 0.0]]", "[[1e300, 0.0, 0.0]]"),
        "covariances_yuv": (
            "[[nan, 0.0, 0.0, 1.0, 0.0, 1.0]]",
            "[[inf, 0.0, 0.0, 1.0, 0.0, 1.0]]",
            "[[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]",
            "[[-1.0]]",
        ),
        "white_uv": ("[nan, 1.0]", "[1.0]", "[1e300, 128.0]"),
        "fx_px": ("nan", "-1.0", "inf", '"a"', "1e308"),
        "fy_px": ("nan", "0.0", "inf", "1e-320"),
        "cx_px": ("nan", "inf", "1e300"),
        "picture_size_px": ("[0, 0]", "[640]", "[1000000000000, 1]", "[640.5, 480.5]"),
        "distortion": ("[nan, 0.0, 0.0, 0.0, 0.0]", "[1.0]", "[1e300, 0.0, 0.0, 0.0, 0.0]"),
        "corners": ('"none"', "1"),
        "max_features": ("0", "-5", "10000000000000", "1.5"),
        "window_px": ("1", "1000000", "-3"),
        "pyramid_levels": ("-1", "1000"),
        "forward_backward_px": ("nan", "inf", "-1.0"),
    }
    kinds = {"skin": skin, "camera": camera, "tracker": tracker, "texture": texture}
    for kind, whole in kinds.items():
        for key in whole:
            for value in nonsense.get(key, ()):
                rows = [f"{k} = {value if k == key else v}" for k, v in whole.items()]
                yield (
                    f"{kind} {key} = {value[:24]}",
                    "\n".join([f'kind = "{kind}"', "schema = 1", *rows, ""]),
                )
    for text, rows in {
        "kind is a list": 'kind = ["skin"]\nschema = 1\n',
        "kind is a number": "kind = 1\nschema = 1\n",
        "of the future": 'kind = "skin"\nschema = 99999999999999999999\n',
        "schema is text": 'kind = "skin"\nschema = "1"\n',
        "of nothing": 'kind = "tracker"\nschema = 1\n',
    }.items():
        yield text, rows


def profiles() -> Iterator[Case]:
    for text, data in profile_texts():
        prepare = writes("p.toml", data)
        yield render(f"profile {text}", "--profile", "p.toml", prepare=prepare)
    for text in ("deep", "not UTF-8", "zeros", "large"):
        prepare = writes("p.toml", BROKEN_TEXTS[text])
        yield render(f"profile: {text}", "--profile", "p.toml", prepare=prepare)
    takes = (*PAIR, "skin.toml", "camera.toml", "tracker.toml")
    words = [w for n in takes[2:] for w in ("--profile", n)]
    yield render(
        "whole profiles", *words, "--output", "o.mp4", takes=takes, ends="done", makes=["o.mp4"]
    )
    twice = ("--profile", "skin.toml", "--profile", "skin.toml")
    yield render("two profiles of one kind", *twice, takes=takes)


def tensor_files() -> dict[str, bytes]:
    """Safetensors files that are none, or none of this program's, by what is wrong with them."""

    def tensors(**arrays: Any) -> bytes:
        return save({k: np.asarray(v, np.float32) for k, v in arrays.items()}, {"format": "1"})

    def header(table: Any) -> bytes:
        text = (table if isinstance(table, str) else json.dumps(table)).encode()
        return struct.pack("<Q", len(text)) + text

    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return {
        "nothing": b"",
        "zeros": bytes(1000),
        "an enormous header": struct.pack("<Q", 2**62) + b"{}",
        "deep": header("[" * 50_000),
        "foreign tensors": tensors(a=[1.0, 2.0]),
        "nan": tensors(**{"animator.a": [float("nan")]}),
        "no offsets": header({"a": {"dtype": "F32", "shape": [2]}}) + bytes(8),
        "an absurd shape": header({"a": {**one, "shape": [2**40, 2**40]}}) + bytes(8),
        "negative offsets": header({"a": {**one, "data_offsets": [-8, 0]}}) + bytes(8),
        "an unknown type": header({"a": {**one, "dtype": "Q7"}}) + bytes(8),
        "absurd sizes": header({"__metadata__": {"format": "hybridanim weights 1", "kind": "face",
                                "sizes": json.dumps({"deep": 10**9})}, "a": one}) + bytes(8),
        "sizes that are text": header({"__metadata__": {"format": "x", "sizes": "[[["}}),
        "a list of metadata": header({"__metadata__": [1, 2]}),
        "a pickle": b"\x80\x04cos\nsystem\n(S'touch user2.txt'\ntR.",
    }  # fmt: skip


def weights() -> Iterator[Case]:
    made = tensor_files()
    for text, data in made.items():
        prepare = writes("w.safetensors", data)
        words = ("--renderer", "learned", "--weights", "w.safetensors")
        yield render(f"weights: {text}", *words, prepare=prepare)
    for text in ("nothing", "deep", "foreign tensors", "absurd sizes", "a pickle"):
        prepare = writes("w.safetensors", made[text])
        told = ["export", "--out", "x", "--weights", "w.safetensors"]
        yield Case(f"export weights: {text}", told, (), prepare)
        told = ["evaluate", "clips", "--weights", "w.safetensors", "--methods", "hybrid+learned"]
        yield Case(f"evaluate weights: {text}", told, ["clips"], prepare)
        told = ["train", "--data", "clips", "--start-from", "w.safetensors"]
        yield Case(f"train from weights: {text}", told, ["clips"], prepare, leaves=[b"runs"])


def motions() -> Iterator[Case]:
    name = "motion.safetensors"
    takes, words = ("source.png", name), ("source.png", name, *SHORT, "--output", "o.mp4")
    changes = {f"cut at {share}": cut(share) for share in (0.0, 0.001, 0.2, 0.9, 0.9999)}
    changes |= {f"{n} bytes changed": flipped(n, 8000) for n in (1, 10, 200)}
    changes["header changed"] = flipped(6)
    for text, change in changes.items():
        case = f"render a motion {text}"
        ends: Ends = "refused" if "cut" in text else "either"
        yield Case(case, words, takes, data_of(name, change, case), ends)
    for text, data in tensor_files().items():
        yield Case(f"render a motion: {text}", words, takes, writes(name, data))
    foreign = ("source.png", "foreign.safetensors", *SHORT, "--output", "o.mp4")
    yield Case("render a foreign motion", foreign, ["source.png", "foreign.safetensors"])
    refused: dict[str, Sequence[str]] = {
        "and save one": ["--save-motion", "n.safetensors"],
        "of another tracker": ["--tracker", "learned"],
        "by a frame that is not there": ["--reference", "999"],
        "from beyond its end": ["--start", "50"],
        "as the output": ["--output", name, "--overwrite"],
        "as a debug folder": ["--debug", name, "--overwrite"],
    }
    for text, more in refused.items():
        yield Case(f"render a motion {text}", [*words, *more], takes)
    done: dict[str, Sequence[str]] = {
        "alone": [],
        "beside its keypoints": ["--side-by-side"],
        "with debug": ["--debug", "d"],
        "in two dimensions": ["--head-motion", "2d", "--motion", "absolute"],
        "cut": ["--start", "0.1", "--end", "0.2"],
    }
    for text, more in done.items():
        yield Case(f"render a motion {text}", [*words, *more], takes, ends="done", makes=["o.mp4"])
    linked = link("m.safetensors", name)
    by_link = ["source.png", "m.safetensors", *words[2:]]
    yield Case("render a link to a motion", by_link, takes, linked, "done", makes=["o.mp4"])
    yield Case("live by a motion", ["live", "source.png", "--window", "no", "--camera", name,
                                    "--report", "r.json"], takes)  # fmt: skip
    yield Case("evaluate a motion", ["evaluate", name], takes)
    yield Case("render a motion as the source", [name, "driving.mp4"], [*takes, "driving.mp4"])
    yield from saved_motions()


def saved_motions() -> Iterator[Case]:
    name, mine = "m.safetensors", writes("mine.safetensors", LOST)
    refused: dict[str, tuple[str, Prepare]] = {
        "a missing folder": (f"no/{name}", mine),
        "an existing file": ("mine.safetensors", mine),
        "below a file": (f"mine.safetensors/{name}", mine),
        "a link to a file": (name, both(mine, link(name, "mine.safetensors"))),
        "a dangling link": (name, link(name, "nothing")),
        "a link in a circle": (name, link(name, name)),
        "a pipe": (name, pipe(name)),
        "a folder": (name, a_folder(name)),
        "a system folder": (f"/proc/{name}", mine),
        "another ending": ("o.txt", mine),
        "an ending alone": (".safetensors", mine),
        "nothing": ("", mine),
        "a long name": ("x" * 300 + ".safetensors", mine),
        "a zero in the name": ("a\0b.safetensors", mine),
    }
    for text, (place, prepare) in refused.items():
        yield render(f"save-motion: {text}", "--output", "o.mp4", "--save-motion", place,
                     prepare=prepare)  # fmt: skip
    for text, prepare in (("a pipe", pipe(name)), ("a folder", a_folder(name))):
        words = ("--output", "o.mp4", "--save-motion", name, "--overwrite")
        yield render(f"save-motion: {text}, replacing", *words, prepare=prepare)
    done = {"new": (name, mine), "odd": ("-%03d*\n.safetensors", mine)}
    for text, (place, prepare) in done.items():
        words = ("--output", "o.mp4", f"--save-motion={place}")
        yield render(
            f"save-motion: {text}", *words, prepare=prepare, ends="done", makes=["o.mp4", place]
        )
    words = ("--output", "o.mp4", "--save-motion", "mine.safetensors", "--overwrite")
    yield render("save-motion: replaced when asked", *words, prepare=mine, ends="done",
                 replaces=["mine.safetensors"], makes=["o.mp4"])  # fmt: skip


# Places


def link(name: str, target: str) -> Prepare:
    return lambda folder: (folder / name).symlink_to(target)


def pipe(name: str) -> Prepare:
    return lambda folder: os.mkfifo(folder / name)


def a_folder(name: str) -> Prepare:
    return lambda folder: (folder / name).mkdir()


def a_socket(name: str) -> Prepare:
    def prepare(folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(name)  # relative, since such names are short

    return prepare


LOST = "years of work"
UNDECODABLE = os.fsdecode(b"caf\xe9.mp4")


def outputs() -> Iterator[Case]:
    mine = writes("mine.mp4", LOST)
    refused: dict[str, tuple[Sequence[str], Prepare]] = {
        "a missing folder": (["--output", "no/o.mp4"], mine),
        "below a file": (["--output", "mine.mp4/o.mp4"], mine),
        "an existing file": (["--output", "mine.mp4"], mine),
        "a link to a file": (["--output", "o.mp4"], both(mine, link("o.mp4", "mine.mp4"))),
        "a link to a file, replacing": (
            ["--output", "o.mp4", "--overwrite"],
            both(mine, link("o.mp4", "mine.mp4")),
        ),
        "the standard output": (["--output", "-"], mine),
        "a dangling link": (["--output", "o.mp4"], link("o.mp4", "nothing.mp4")),
        "a link in a circle": (["--output", "o.mp4"], link("o.mp4", "o.mp4")),
        "a pipe": (["--output", "o.mp4"], pipe("o.mp4")),
        "a pipe, replacing": (["--output", "o.mp4", "--overwrite"], pipe("o.mp4")),
        "a socket, replacing": (["--output", "o.mp4", "--overwrite"], a_socket("o.mp4")),
        "a folder, replacing": (["--output", "o.mp4", "--overwrite"], a_folder("o.mp4")),
        "a folder": (["--output", "o.mp4"], a_folder("o.mp4")),
        "a system folder": (["--output", "/proc/o.mp4"], mine),
        "a file of the system": (["--output", "/proc/self/status", "--overwrite"], mine),
        "the root": (["--output", "/", "--overwrite"], mine),
        "this folder": (["--output", ".", "--overwrite"], mine),
        "the folder above": (["--output", "..", "--overwrite"], mine),
        "nothing": (["--output", ""], mine),
        "an ending alone": (["--output", ".mp4"], mine),
        "a still for several pictures": (["--output", "o.png"], mine),
        "an unknown ending": (["--output", "o.xyz"], mine),
        "two endings": (["--output", "o.mp4.exe"], mine),
        "a name of 255 bytes, too long for its record": (["--output", "x" * 251 + ".mp4"], mine),
        "a long name": (["--output", "x" * 296 + ".mp4"], mine),
        "a zero in the name": (["--output", "a\0b.mp4"], mine),
        "the source": (["--output", "source.png", "--overwrite"], mine),
        "the driver": (["--output", "driving.mp4", "--overwrite"], mine),
        "a link to the driver": (
            ["--output", "o.mp4", "--overwrite"],
            link("o.mp4", "driving.mp4"),
        ),
        "the profile": (["--output", "p.png", "--profile", "p.png", "--overwrite"], mine),
        "a folder of the driver's pictures": (["--output", "d", "--overwrite"], a_folder("d")),
        "debug is a file": (["--output", "o.mp4", "--debug", "mine.mp4"], mine),
        "debug is a pipe": (["--output", "o.mp4", "--debug", "d"], pipe("d")),
        "debug is a dangling link into a file": (
            ["--output", "o.mp4", "--debug", "d"],
            both(mine, link("d", "mine.mp4/x")),
        ),
        "debug holds my settings": (
            ["--output", "o.mp4", "--debug", "d", "--overwrite"],
            both(a_folder("d"), writes("d/config.json", '{"mine": 1}')),
        ),
        "debug holds my video": (
            ["--output", "o.mp4", "--debug", "d"],
            both(a_folder("d"), writes("d/overview.mp4", LOST)),
        ),
        **{
            f"a folder {name} in debug": (
                ["--output", "o.mp4", "--debug", "d", "--overwrite"],
                both(a_folder("d"), a_folder(f"d/{name}"), writes(f"d/{name}/mine", LOST)),
            )
            for name in ("frames.csv", "report.html", "5_result.mp4", "config.json")
        },
        "a link to a folder in debug": (
            ["--output", "o.mp4", "--debug", "d", "--overwrite"],
            both(a_folder("d"), a_folder("mine"), link("d/frames.csv", "../mine")),
        ),
        "debug is the output": (["--output", "d", "--debug", "d"], mine),
        "the output is in debug": (
            ["--output", "d/overview.mp4", "--debug", "d", "--overwrite"],
            a_folder("d"),
        ),
    }
    for text, (words, prepare) in refused.items():
        ends: Ends = "refused"
        if text == "a folder of the driver's pictures":
            ends = "either"
        yield render(f"output: {text}", *words, prepare=prepare, ends=ends)
    done: dict[str, tuple[Sequence[str], Prepare, Sequence[str]]] = {
        "a name of 254 bytes": (["--output", "x" * 250 + ".mp4"], mine, ["x" * 250 + ".mp4"]),
        "a name of 254 bytes with accents": (
            ["--output", "é" * 125 + ".mp4"], mine, ["é" * 125 + ".mp4"]
        ),
        "a name that is not UTF-8": (["--output", UNDECODABLE], mine, [UNDECODABLE]),
        "a name with a line break": (["--output", "a\nb.mp4"], mine, ["a\nb.mp4"]),
        "a name like an option": (["--output=-o.mp4"], mine, ["-o.mp4"]),
        "a name like a pattern": (["--output", "%03d*?.mp4"], mine, ["%03d*?.mp4"]),
        "an upper-case ending": (["--output", "o.MP4"], mine, ["o.MP4"]),
        "a gif": (["--output", "o.gif"], mine, ["o.gif"]),
        "a folder of pictures": (["--output", "frames"], mine, ["frames"]),
        "a record of mine": (["--output", "o.mp4"], writes("o.json", LOST), ["o.mp4.json"]),
        "two records of mine": (
            ["--output", "o.mp4"],
            both(writes("o.json", LOST), writes("o.mp4.json", LOST)),
            ["o.mp4"],
        ),
        "a pipe for a record": (["--output", "o.mp4"], pipe("o.json"), ["o.mp4"]),
        "a folder for a record": (["--output", "o.mp4"], a_folder("o.json"), ["o.mp4"]),
        "a link for a record": (
            ["--output", "o.mp4"], both(mine, link("o.json", "mine.mp4")), ["o.mp4"]
        ),
        "debug, new": (["--output", "o.mp4", "--debug", "a/b"], mine, ["a/b/report.html"]),
    }  # fmt: skip
    for text, (words, prepare, makes) in done.items():
        name = f"output: {text}"
        yield render(name, *words, "--end", "0.1", prepare=prepare, ends="done", makes=makes)
    words = ["--output", "mine.mp4", "--overwrite", "--end", "0.1"]
    yield render(
        "output: replaced when asked", *words, prepare=mine, ends="done", replaces=["mine.mp4"]
    )


def inputs() -> Iterator[Case]:
    for place in (0, 1):
        kind = ("source", "driver")[place]
        made: dict[str, tuple[str, Prepare]] = {
            "missing": ("none.mp4", lambda folder: None),
            "a pipe": ("p.mp4", pipe("p.mp4")),
            "a socket": ("s.mp4", a_socket("s.mp4")),
            "endless": ("/dev/zero", lambda folder: None),
            "a terminal": ("/dev/tty", lambda folder: None),
            "of the system": ("/proc/self/status", lambda folder: None),
            "memory": ("/proc/self/mem", lambda folder: None),
            "a link in a circle": ("l.mp4", link("l.mp4", "l.mp4")),
            "a dangling link": ("l.mp4", link("l.mp4", "none")),
            "an empty folder": ("d", a_folder("d")),
            "a long name": ("x" * 300 + ".mp4", lambda folder: None),
            "below a file": ("source.png/x.mp4", lambda folder: None),
            "a zero in the name": ("a\0b.mp4", lambda folder: None),
            "nothing": ("", lambda folder: None),
            "a URL": ("http://127.0.0.1:1/x.mp4", lambda folder: None),
            "a protocol": ("concat:source.png|driving.mp4", lambda folder: None),
        }
        for text, (name, prepare) in made.items():
            words = [*PAIR]
            words[place] = name
            yield Case(f"render {kind} is {text}", [*words, *SHORT], PAIR, prepare)
    moved = lambda folder: (folder / "driving.mp4").rename(folder / UNDECODABLE)  # noqa: E731
    words = ["source.png", UNDECODABLE, *SHORT, "--output", "o.mp4", "--end", "0.1"]
    yield Case(
        "render a driver whose name is not UTF-8", words, PAIR, moved, "done", makes=["o.mp4"]
    )
    words = ["driving.mp4", "driving.mp4", *SHORT, "--output", "o.mp4", "--end", "0.1"]
    yield Case("render a video of itself", words, PAIR, ends="done", makes=["o.mp4"])


# Other words


def live() -> Iterator[Case]:
    def case(name: str, *words: str, **more: Any) -> Case:
        told = ["live", "source.png", *SHORT, "--window", "no", "--no-loop", *words]
        return Case(f"live {name}", told, PAIR, **more)

    file = ("--camera", "driving.mp4", "--seconds", "1")
    text = writes("text.mp4", "no video\n" * 100)
    for camera in (
        "none.mp4",
        "text.mp4",
        "",
        "9" * 50,
        "-1",
        "99",
        "/dev/zero",
        "/dev/null",
        "p.mp4",
        "http://127.0.0.1:1/x",
        "a\0b",
        "x" * 300,
        "ftp://",
        "source.toml",
    ):
        prepare = both(text, pipe("p.mp4"))
        yield case(
            f"camera {camera[:20]!r}", "--camera", camera, "--report", "r.json", prepare=prepare
        )
    mine = writes("mine.json", LOST)
    refused: dict[str, tuple[Sequence[str], Prepare]] = {
        "no output": ([], mine),
        "a report in a missing folder": (["--report", "no/r.json"], mine),
        "a report that exists": (["--report", "mine.json"], mine),
        "a report that is a folder": (["--report", "."], mine),
        "a report that is a pipe": (["--report", "r.json", "--overwrite"], pipe("r.json")),
        "a report for the source": (["--report", "source.png", "--overwrite"], mine),
        "a report for the output": (
            ["--report", "o.mp4", "--output", "o.mp4", "--overwrite"],
            mine,
        ),
        "an output in a missing folder": (["--output", "no/o.mp4"], mine),
        "an output for the camera": (["--output", "driving.mp4", "--overwrite"], mine),
        "an unknown ending": (["--output", "o.xyz"], mine),
        "a port of text": (["--serve", "http"], mine),
        "a port beyond": (["--serve", "65536"], mine),
        "an empty address": (["--serve", "0", "--serve-address", ""], mine),
        "a foreign address": (["--serve", "0", "--serve-address", "203.0.113.1"], mine),
        "no address": (["--serve", "0", "--serve-address", "999.1.1.1"], mine),
        "a multicast address": (["--serve", "0", "--serve-address", "224.0.0.1"], mine),
        "a broadcast address": (["--serve", "0", "--serve-address", "255.255.255.255"], mine),
        "a multicast address of IPv6": (["--serve", "0", "--serve-address", "ff02::1"], mine),
        "an address with a zero": (["--serve", "0", "--serve-address", "a\0b"], mine),
        "a tiny camera": (["--camera-size", "0", "0", "--report", "r.json"], mine),
        "one side": (["--camera-size", "640", "--report", "r.json"], mine),
        "a window without a display": (["--window", "yes"], mine),
        "a virtual camera without its package": (["--virtual-camera"], mine),
        "a source that is none": (["user.txt", "--report", "r.json"], writes("user.txt", LOST)),
    }
    for name, (words, prepare) in refused.items():
        yield case(name, *file, *words, prepare=prepare)
    done = ("--report", "r.json", "--output", "o.mp4", "--serve", "0")
    yield case("a file", *file, *done, ends="done", makes=["r.json"])
    for share in (0.5, 0.95):
        prepare = data_of("driving.mp4", cut(share), "live")
        yield case(f"a file cut at {share}", *file, *done, prepare=prepare, ends="either")
    yield Case("live lists cameras", ["live", "--list-cameras"], (), ends="done")


def evaluate() -> Iterator[Case]:
    def case(name: str, *words: str, **more: Any) -> Case:
        told = ["evaluate", "clips", "--methods", "copy", "--size", "64", "--frames", "3", *words]
        return Case(f"evaluate {name}", told, ["clips"], **more)

    mine = writes("mine.json", LOST)
    refused: dict[str, tuple[Sequence[str], Prepare]] = {
        "json in a missing folder": (["--json", "no/r.json"], mine),
        "json that exists": (["--json", "mine.json"], mine),
        "json for a clip": (["--json", "clips/a.mp4", "--overwrite"], mine),
        "json that is a folder": (["--json", "clips"], mine),
        "json that is a pipe": (["--json", "p", "--overwrite"], pipe("p")),
        "a strip of an unknown ending": (["--strip", "s.xyz"], mine),
        "a strip that exists": (["--strip", "mine.json"], mine),
        "an unknown method": (["--methods", "magic"], mine),
        "a method of a missing file": (["--methods", "hybrid+learned@none"], mine),
        "no jobs": (["--jobs", "0"], mine),
        "many jobs": (["--jobs", "99999"], mine),
        "no frames": (["--frames", "0"], mine),
        "a huge size": (["--size", "1000000"], mine),
        "smooth nan": (["--smooth", "nan"], mine),
        "cross without folders": (["--cross", "--sources", "none"], mine),
        "sources without cross": (["--sources", "clips"], mine),
        "networks that are none": (["--networks", "clips"], mine),
        "backbones that are none": (["--backbones", "mine.json"], mine),
    }
    for name, (words, prepare) in refused.items():
        yield case(name, *words, prepare=prepare)
    yield case(
        "json and strip", "--json", "r.json", "--strip", "s.png", ends="done", makes=["r.json"]
    )
    for name, data in (("text", b"text"), ("nothing", b""), ("zeros", bytes(999))):
        broken = both(writes("clips/a.mp4", data), writes("clips/b.mp4", data))
        yield case(f"clips of {name}", prepare=broken)
    yield case("one broken clip", prepare=data_of("clips/a.mp4", cut(0.6), "clip"), ends="either")
    for name, folder in (("a file", "clips/a.mp4"), ("nothing", "none"), ("no name", "")):
        yield Case(f"evaluate {name}", ["evaluate", folder], ["clips"])
    yield Case("evaluate an empty folder", ["evaluate", "d"], (), a_folder("d"))
    yield Case("evaluate without words", ["evaluate"], ())


def faces() -> Iterator[Case]:
    """Labels of a teacher, and the programs that read them."""

    def labels(data: bytes) -> Prepare:
        return both(a_folder("l"), *(writes(f"l/{name}.npy", data) for name in "ab"))

    def array(points: Any) -> bytes:
        file = io.BytesIO()
        np.save(file, points)
        return file.getvalue()

    numbers = np.random.default_rng(0).uniform(30, 90, (8, 478, 3)).astype(np.float32)
    lie = b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 478, 3)}\n"
    made = {
        "nothing": b"",
        "text": b"no labels",
        "a header that lies": b"\x93NUMPY\1\0" + struct.pack("<H", len(lie)) + lie,
        "a header of brackets": b"\x93NUMPY\1\0" + struct.pack("<H", 9000) + b"(" * 9000,
        "enormous numbers": array(numbers.astype(float) * 1e200),
        "infinite numbers": array(numbers * np.inf),
        "one place": array(0 * numbers),
        "some of the points": array(np.where(np.arange(478)[:, None] == 0, np.nan, numbers)),
        "too few frames": array(numbers[:1]),
    }
    pair = ["--data", "clips:l", "--validation", "clips:l", "--kind", "eye", "--out", "run"]
    for text, data in made.items():
        prepare = labels(data)
        told = ["evaluate", "landmarks", "--clips", "clips", "--labels", "l", "--frames", "3"]
        yield Case(f"evaluate landmarks, labels of {text}", told, ["clips"], prepare)
        told = [*pair, "--minutes", "0.001"]
        program = "calibration.face_points"
        yield Case(f"{program}, labels of {text}", told, ["clips"], prepare, program=program)
        told, program = ["--labels", "l", "--output", "m"], "calibration.face_model"
        yield Case(f"{program}, labels of {text}", told, ["clips"], prepare, program=program)


def studies() -> Iterator[Case]:
    """Blind studies, and their votes."""
    told = ["evaluate", "study", "out", "--sources", "pictures", "--drivers", "clips"]
    both_methods = ["--methods", "copy,classical+warp", "--size", "64", "--frames", "3"]
    takes = ["clips", "pictures"]
    mine = writes("mine", LOST)
    refused: dict[str, tuple[Sequence[str], Prepare]] = {
        "without methods": ([], mine),
        "one method": (["--methods", "copy"], mine),
        "an unknown method": (["--methods", "copy,magic"], mine),
        "clips without records": (["--clips", "clips", "pictures"], mine),
        "folders that are none": (["--clips", "mine", "none"], mine),
        "a folder that is there": (both_methods, a_folder("out")),
        "a file that is there": (both_methods, writes("out", LOST)),
        "a key that is there": ([*both_methods, "--key", "mine"], mine),
        "a key in a missing folder": ([*both_methods, "--key", "no/k.json"], mine),
        "a key for a clip": ([*both_methods, "--key", "clips/a.mp4"], mine),
        "no pairs": ([*both_methods, "--pairs", "0"], mine),
        "a huge size": ([*both_methods, "--size", "999999"], mine),
    }
    for name, (words, prepare) in refused.items():
        yield Case(f"evaluate study, {name}", [*told, *words], takes, prepare)
    key = json.dumps({"schema": 1, "study": "a", "methods": ["x", "y"], "trials": []})
    votes = json.dumps({"study": "a", "voter": "b", "votes": [
        {"trial": "001", "question": "motion", "choice": "left"}]})  # fmt: skip
    for text, data in {**BROKEN_TEXTS, "a key": key, "deep JSON": "[" * 60_000}.items():
        for ending in ("json", "csv"):
            words = ["evaluate", "tally", f"v.{ending}", "--key", "k.json"]
            prepare = both(writes(f"v.{ending}", data), writes("k.json", key))
            yield Case(f"evaluate tally, votes in {ending}: {text}", words, (), prepare)
        words = ["evaluate", "tally", "v.json", "--key", "k.json"]
        prepare = both(writes("v.json", votes), writes("k.json", data))
        yield Case(f"evaluate tally, key: {text}", words, (), prepare)
    yield Case("evaluate tally of a pipe", ["evaluate", "tally", "p", "--key", "p"], (), pipe("p"))


def train() -> Iterator[Case]:
    def case(name: str, *words: str, **more: Any) -> Case:
        told = ["train", "--data", "clips", "--steps", "1", "--size", "32", *words]
        more = {"takes": ["clips"], "leaves": [b"runs", b"run"]} | more
        return Case(f"train {name}", told, **more)

    mine = writes("mine", LOST)
    refused: dict[str, tuple[Sequence[str], Prepare]] = {
        "no data": (["--data", "none"], mine),
        "a file for data": (["--data", "mine"], mine),
        "an empty folder": (["--data", "d"], a_folder("d")),
        "an endless file": (["--data", "/dev/zero"], mine),
        "out is a file": (["--out", "mine"], mine),
        "out is a pipe": (["--out", "p"], pipe("p")),
        "out is a long name": (["--out", "x" * 300], mine),
        "out has a zero": (["--out", "a\0b"], mine),
        "cache is a file": (["--cache", "mine", "--out", "run"], mine),
        "a size of 33": (["--size", "33"], mine),
        "a size of nan": (["--size", "nan"], mine),
        "steps of -1": (["--steps", "-1"], mine),
        "no time": (["--time-budget", "0s"], mine),
        "an enormous time": (["--time-budget", "9" * 400 + "h"], mine),
        "a time of text": (["--time-budget", "soon"], mine),
        "held out nan": (["--held-out", "nan", "nan"], mine),
        "held out one": (["--held-out", "1", "1"], mine),
        "a seed of -1": (["--seed", "-1"], mine),
        "an enormous seed": (["--seed", "9" * 60, "--frames", "1"], mine),
        "a tracker of nothing": (["--tracker", ""], mine),
        "a missing teacher": (["--teacher", "none"], mine),
        "a missing table": (["--table", "none.csv"], mine),
        "a table of zeros": (["--table", "t.csv"], writes("t.csv", bytes(500))),
        "a table of other columns": (["--table", "t.csv"], writes("t.csv", "a,b\n1,2\n")),
        "a table that is a pipe": (["--table", "t.csv"], pipe("t.csv")),
        "missing portraits": (["--portraits", "none"], mine),
        "a missing validation": (["--validation", "none"], mine),
        "missing weights": (["--start-from", "none.safetensors"], mine),
        "an object by its face": (["--kind", "object", "--tracker", "classical"], mine),
    }
    for name, (words, prepare) in refused.items():
        yield case(name, *words, prepare=prepare)
    broken = both(writes("clips/a.mp4", "text"), writes("clips/b.mp4", bytes(999)))
    yield case("broken clips", "--out", "run", prepare=broken)
    yield Case("train without words", ["train"], ())


def later_words() -> Iterator[Case]:
    """Batches, imagined motion, checkpoints, and the studio."""
    for option, value in (
        *(("--seconds", n) for n in ("nan", "-1", "0", "1e9", "")),
        *(("--seed", n) for n in ("-1", "x", "1e3")),
        ("--mood", "angry"),
    ):
        words = ["imagine", "source.png", option, value, "--output", "o.mp4"]
        yield Case(f"imagine {option} {value}", words, ("source.png",))
    yield Case("imagine nothing", ["imagine", "none.png"], ())
    for name, data in (
        ("html", "<!DOCTYPE html><html>"),
        ("empty", ""),
        ("zip", b"PK" + bytes(99)),
    ):
        words = ["convert", "c.pth.tar"]
        yield Case(f"convert {name}", words, (), prepare=writes("c.pth.tar", data))
    for name, text in (
        ("broken", "[[job"),
        ("empty", ""),
        ("unknown key", '[[job]]\nsource = "source.png"\ndriving = "driving.mp4"\nsise = 3\n'),
        ("missing file", '[[job]]\nsource = "none.png"\ndriving = "none.mp4"\n'),
    ):
        words = ["batch", "jobs.toml", "--out", "results"]
        yield Case(
            f"batch {name}",
            words,
            prepare=writes("jobs.toml", text),
            keeps=True,
            codes=[3],
            leaves=[b"results"],
        )
    yield Case("batch without words", ["batch"], ())
    yield Case("keys broken", ["source.png", "k.toml"], prepare=writes("k.toml", "version = 'x'"))
    for port in ("nan", "-1", "99999999"):
        yield Case(f"studio port {port}", ["studio", "--no-browser", "--port", port], ())


def further_words() -> Iterator[Case]:
    yield Case("doctor with words", ["doctor", "more"], ())
    yield Case("doctor with an option", ["doctor", "--json"], ())
    for words in (["skin"], ["trian", "--data", "clips"], ["help"], ["nothing"], ["Live", "x"]):
        yield Case(f"an unknown command, {' '.join(words)}", words, ())
    for address in ("https://a.b/c.mp4", "rtsp://me:secret@a/b", "file:///c.mp4", "x://"):
        yield Case(f"an address, {address}", ["source.png", address])
        yield Case(f"evaluate an address, {address}", ["evaluate", address])
    yield render("quiet in JSON lines", "--quiet", "--progress", "json")
    yield render("progress of an unknown kind", "--progress", "xml")
    one = ["--end", "0.1", "--output", "o.mp4"]
    for form in (["--quiet"], ["--progress", "json"], ["--progress", "none"]):
        yield render(f"told as {form[-1]}", *form, *one, ends="done", makes=["o.mp4"])
    yield Case("an unknown word", ["paint", "source.png"])
    yield Case("nothing but an option", ["--output", "o.mp4", "--size", "nan"])
    yield Case("a source alone", ["source.png"])
    yield Case("many words", ["source.png", "driving.mp4", "more", "words"])
    mine = writes("mine", LOST)
    for name, words, prepare in (
        ("without a folder", [], mine),
        ("into a file", ["--out", "mine"], mine),
        ("into a missing folder", ["--out", "a/b/c"], mine),
        ("into a zero", ["--out", "a\0b"], mine),
        ("of missing weights", ["--out", "x", "--weights", "none"], mine),
        ("of a pipe", ["--out", "x", "--weights", "p"], pipe("p")),
    ):
        yield Case(f"export {name}", ["export", *words], (), prepare)


def calibration() -> Iterator[Case]:
    mine = writes("mine.toml", LOST)
    given = {
        "calibration.skin": ["source.png"],
        "calibration.tracker": ["driving.mp4", "--frames", "3"],
        "calibration.camera": ["--field-of-view", "60"],
        "calibration.skin_prior": ["clips"],
        "calibration.alignment": ["--clips", "clips", "--networks", "pictures", "--teacher", "t"],
    }
    places: dict[str, tuple[Sequence[str], Prepare]] = {
        "an existing file": (["--output", "mine.toml"], mine),
        "a missing folder": (["--output", "no/o.toml"], mine),
        "a folder": (["--output", "d", "--overwrite"], a_folder("d")),
        "a pipe": (["--output", "p", "--overwrite"], pipe("p")),
        "a zero in the name": (["--output", "a\0b"], mine),
        "a long name": (["--output", "x" * 300], mine),
        "a file of the system": (["--output", "/proc/self/status", "--overwrite"], mine),
    }
    takes = (*PAIR, "clips", "pictures")
    for program, words in given.items():
        for text, (more, prepare) in places.items():
            name = f"{program} into {text}"
            leaves = [b"t", b"no"]  # folders of the teacher's labels and of the output
            yield Case(name, [*words, *more], takes, prepare, program=program, leaves=leaves)
    broken = both(writes("text.png", "text"), writes("text.mp4", "text"), pipe("p.png"))
    small = lambda folder: [Image.new("RGB", (1, 1)).save(folder / "one.png"), None][1]  # noqa: E731
    inputs = ("none.png", "text.png", "text.mp4", "p.png", "/dev/zero", ".", "a\0b", "one.png")
    for program in ("calibration.skin", "calibration.tracker", "calibration.skin_prior"):
        for name in inputs:
            words = [name, "--output", "o.toml"]
            prepare = both(broken, small)
            yield Case(f"{program} {name!r}", words, (), prepare, program=program)
    for words in (
        ["none.png"], ["text.png"], ["p.png"], ["one.png"], ["source.png"], ["."], [],
        ["--field-of-view", "nan"], ["--field-of-view", "-5"], ["--field-of-view", "1e300"],
        ["--field-of-view", "60", "--size", "0x0"],
        ["--field-of-view", "60", "--size", "9" * 400 + "x9"],
        ["source.png", "--board", "axb"], ["source.png", "--board", "0x0"],
        ["source.png", "--board", "999999999x999999999"], ["source.png", "--board", "-3x5"],
        ["source.png", "driving.mp4"],
    ):  # fmt: skip
        told = [*words, "--output", "o.toml"]
        prepare = both(broken, small)
        name = f"calibration.camera {' '.join(words)[:60]}"
        yield Case(name, told, PAIR, prepare, program="calibration.camera")
    for words in (["--frames", "0"], ["--frames", "nan"], ["--frames", "9" * 400]):
        told = ["driving.mp4", "--output", "o.toml", *words]
        yield Case(f"calibration.tracker {words[1][:9]}", told, program="calibration.tracker",
                   ends="either" if words[1].startswith("9") else "refused")  # fmt: skip
    cuts = data_of("driving.mp4", cut(0.6), "calibration")
    told = ["driving.mp4", "--output", "o.toml"]
    for program in ("calibration.skin", "calibration.tracker"):
        yield Case(f"{program} of a cut clip", told, PAIR, cuts, "either", program=program)
    told = ["source.png", "--output", "o.toml", "--preview", "o.png"]
    makes = ["o.toml", "o.png"]
    yield Case("calibration.skin", told, program="calibration.skin", ends="either", makes=makes)
    told = ["--field-of-view", "60", "--output", "o.toml"]
    yield Case("calibration.camera", told, program="calibration.camera", ends="done")


def shells() -> Iterator[Case]:
    """In processes of their own: what belongs to the process, not to its arguments."""
    run = "PROGRAM source.png driving.mp4 --size 64 --end 0.1 --output o.mp4"
    commands: dict[str, tuple[str, Ends, Sequence[int]]] = {
        "no output stream": (f"{run} >&-", "done", ()),
        "no streams": (f"{run} <&- >&- 2>&-", "done", ()),
        "a full output stream": (f"{run} >/dev/full", "either", (1,)),
        "a full error stream": (f"{run} 2>/dev/full", "done", ()),
        "a reader that ends": (f"{run} | true", "done", ()),
        "no home": (f"env -u HOME -u XDG_CACHE_HOME {run}", "done", ()),
        "another language": (f"env LC_ALL=C PYTHONUTF8=0 {run}", "done", ()),
        "another code page": (
            "cp source.png $'\\xe9.png'; env PYTHONIOENCODING=cp1252:strict PROGRAM $'\\xe9.png'"
            " driving.mp4 --size 64 --end 0.1 --output $'caf\\xe9.mp4' --debug $'seen\\xe9'",
            "done",
            (),
        ),
        "few open files": (f"ulimit -n 24; {run}", "either", ()),
        "small files": (f"ulimit -f 2; {run}", "refused", ()),
        "a folder that is gone": (f"mkdir x; cd x; rmdir ../x; {run}", "refused", ()),
        "no streams, doctor": ("PROGRAM doctor more >&- 2>&-", "refused", ()),
        "no streams, export": ("PROGRAM export --out x --weights none >&-", "refused", ()),
    }
    for name, (command, ends, codes) in commands.items():
        yield Case(
            f"process: {name}", (), PAIR, shell=command, ends=ends, codes=codes, keeps=1 in codes
        )
    skin = replace(
        Case("process: skin without streams", (), PAIR, program="calibration.skin"),
        shell="PROGRAM source.png --output o.toml >&- 2>&-",
        ends="either",
    )
    yield skin


MAKERS = (
    *(damaged_drivers, damaged_sources, absurd_files, odd_drivers),
    *(numeric_options, worded_options, settings, profiles, weights, motions),
    *(
        outputs,
        inputs,
        live,
        evaluate,
        faces,
        studies,
        train,
        later_words,
        further_words,
        calibration,
        shells,
    ),
)
