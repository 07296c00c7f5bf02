"""Packed training data: it fits, it comes back, and a damaged or foreign file is refused."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from hybridanim.errors import InputError
from hybridanim.training import archive
from hybridanim.training.archive import Part
from hybridanim.training.data import cache, packing
from hybridanim.training.data.cache import BACKGROUND, PER_FRAME, TRACKED
from hybridanim.training.diversity import most_different

SIDE = 64


def picture(rng: np.random.Generator, height: int = SIDE, width: int = SIDE):
    coarse = rng.integers(0, 256, (9, 9, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def part(name: str, count: int, seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    images = np.array([picture(rng, 48, SIDE) for _ in range(count)])
    return Part(name, images, {"now": rng.normal(size=(count, 5, 2)).astype(np.float32)}, {"n": 3})


@pytest.mark.parametrize("most", [150_000, 40_000])
def test_it_fits_and_comes_back(tmp_path: Path, most: int) -> None:
    parts, file = [part("a", 60), part("b", 9, 1)], tmp_path / "a.safetensors"
    packed = archive.write(file, "clips", parts, {"kind": "face"}, most)
    assert file.stat().st_size == packed.bytes <= most
    assert packed.bytes > 0.75 * most or packed.rows == packed.of
    assert archive.read_about(file, "clips") == {"kind": "face"}
    found = list(archive.read(file, "clips"))
    assert sum(len(one.pictures) for one in found) == packed.rows
    for one, given in zip(found, parts, strict=True):
        count = len(one.pictures)
        assert (one.name, one.about) == (given.name, {"n": 3})
        np.testing.assert_array_equal(one.arrays["now"], given.arrays["now"][:count])
        for mine, true in zip(one.pictures, given.pictures, strict=False):
            # the codec itself, by another library, is the oracle of the error
            data = cv2.imencode(".webp", true, [cv2.IMWRITE_WEBP_QUALITY, packed.quality])[1]
            expected = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), float)
            off = np.sqrt(np.mean((mine.astype(float) - true) ** 2))
            assert off <= 1.3 * np.sqrt(np.mean((expected - true) ** 2)) + 0.5
    counts = [len(one.pictures) for one in found]
    assert counts[1] == 9 or counts[0] == counts[1], "the parts share the room"


def test_too_little_room_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="raise --pack-mib"):
        archive.write(tmp_path / "a.safetensors", "clips", [part("a", 60)], {}, 6000)
    assert not list(tmp_path.iterdir())


def edited(file: Path, name: str, **change) -> Path:
    """A copy with other metadata, table entries or tensors."""
    with safe_open(file, "numpy") as opened:
        table = dict(opened.metadata())
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    out = file.with_name(name)
    if "row" in change:
        content = json.loads(table["table"])
        content["parts"][0].update(change["row"])
        table["table"] = json.dumps(content)
    tensors |= change.get("tensors", {})
    save_file(tensors, out, table | change.get("table", {}))
    return out


def bomb() -> np.ndarray:
    out = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(out, "WEBP", quality=1, method=0)
    return np.frombuffer(out.getvalue(), np.uint8)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    archive.write(file, "clips", [part("a", 3)], {}, 10**6)
    big = bomb()
    with safe_open(file, "numpy") as opened:
        sizes = opened.get_tensor("0.sizes")
    cases = {
        "version": edited(file, "1.safetensors", table={"format": "training-data-9"}),
        "kind": edited(file, "2.safetensors", table={"kind": "painters"}),
        "table": edited(file, "3.safetensors", table={"table": "[" * 100_000}),
        "name": edited(file, "4.safetensors", row={"name": "../../evil"}),
        "side": edited(file, "5.safetensors", row={"size": [10**6, 10**6]}),
        "other side": edited(file, "6.safetensors", row={"size": [48, 32]}),
        "lost array": edited(file, "7.safetensors", row={"arrays": ["nothing"]}),
        "sizes": edited(file, "8.safetensors", tensors={"0.sizes": sizes + 1}),
        "negative": edited(file, "9.safetensors", tensors={"0.sizes": sizes * [-1, 1, 1]}),
        "rows": edited(file, "10.safetensors", tensors={"0.array.now": np.zeros((2, 5, 2))}),
        "bomb": edited(
            file,
            "11.safetensors",
            tensors={
                "0.pictures": np.tile(big, 3),
                "0.sizes": np.full(3, len(big), np.int32),
            },
        ),
    }
    cut = tmp_path / "12.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    cases |= {"cut": cut, "lost": tmp_path / "13.safetensors"}
    for name, case in cases.items():
        with pytest.raises(InputError, match=r"--data .*expected"):
            list(archive.read(case, "clips"))
            pytest.fail(name)


def clips(folder: Path) -> Path:
    """A listing of one training clip of 30 frames, of which 5 differ."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    frames = np.array([picture(rng, SIDE) for _ in range(30)])
    points = rng.normal(0, 0.01, (30, 38, 7)).astype(np.float32) + np.linspace(-1, 1, 7, dtype="f")
    points[[4, 9, 14, 19, 24], :, 0] += np.linspace(0.5, 2, 5, dtype="f")[:, None]
    points[2] = np.nan
    behind = rng.normal(size=(30, 1, 7)).astype(np.float32)
    np.save(folder / "anna__1.x.npy", frames)
    np.savez(
        folder / "anna__1.x.npz",
        **{PER_FRAME: points, TRACKED: points, BACKGROUND: behind, "key_tracked": np.array("k")},
    )
    listing = folder / "train.json"
    cache.write_listing(listing, folder, [{"clip": "anna__1.x", "identity": "Anna ü"}])
    return listing


def test_clips_come_back_with_their_most_different_frames(tmp_path: Path) -> None:
    listing, file = clips(tmp_path / "cache"), tmp_path / "packed.safetensors"
    given = cache.read(listing)[0]
    packed = packing.pack({"train": listing}, file, {"kind": "face"}, 40_000)
    assert 6 < packed.rows < 30 and file.stat().st_size <= 40_000
    packing.unpack(file, tmp_path / "other", tmp_path / "lists")
    found = packing.unpack(file, tmp_path / "other", tmp_path / "lists")  # they are there
    assert found.about["kind"] == "face" and found.about["side_px"] == SIDE
    clip = cache.read(found.listings["train"])[0]
    assert clip.identity == "Anna ü" and set(clip.points) == {PER_FRAME, TRACKED}
    with np.load(next((tmp_path / "other").rglob("*.npz"))) as data:
        numbers = data["number"]
    assert list(numbers) == sorted(numbers) and {4, 9, 14, 19, 24} <= set(numbers)
    assert 2 not in numbers, "a frame without keypoints is kept last"
    np.testing.assert_allclose(
        clip.points[TRACKED], given.points[TRACKED][numbers], atol=1e-3, rtol=1e-3
    )
    assert clip.background is not None and given.background is not None
    np.testing.assert_array_equal(clip.background, given.background[numbers])
    for frame, number in zip(clip.frames, numbers, strict=True):
        off = np.sqrt(np.mean((given.frames.astype(float) - frame) ** 2, (1, 2, 3)))
        assert off.argmin() == number and off.min() < 10


def test_keypoints_that_are_none_are_refused(tmp_path: Path) -> None:
    file, rows = tmp_path / "a.safetensors", np.zeros((3, 38, 7), np.float16)
    square = np.zeros((3, 32, 32, 3), np.uint8)
    for i, wrong in enumerate((rows[..., :6], rows + np.inf, rows + 200)):
        arrays = {"number": np.arange(3), "set.tracked": wrong}
        bad = Part("a", square, arrays, {"identity": "a", "split": "train"})
        archive.write(file, "clips", [bad], {}, 10**6)
        with pytest.raises(InputError, match="expected keypoints"):
            packing.unpack(file, tmp_path / f"cache{i}", tmp_path / "lists")
        assert not list((tmp_path / f"cache{i}").rglob("packed.txt"))


def test_the_most_different_rows_come_first() -> None:
    looks = np.zeros((50, 2))
    looks[7], looks[20], looks[33] = (5, 0), (0, 3), (-2, 0)
    order = most_different(looks, 50)
    assert order[1:4] == [7, 20, 33] and sorted(order) == list(range(50))
    assert most_different(looks[:0], 3) == []
