"""Cleaning and caching: what is left out and why, what the cache holds, what is made again."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.training.data import cache as data_cache
from hybridanim.training.data import clip_quality, dataset_index, pairs, prepare
from hybridanim.training.data.batch import anchor_layout
from hybridanim.training.data.clip_quality import ClipStatistics, Wants
from hybridanim.training.data.keypoint_sets import SetsWanted
from hybridanim.training.data.prepare import Outcome, Recipe
from hybridanim.types import Array, HeadBox
from tests import data_clips, synthetic

WANTS = Wants("middle", least_frames=5, least_px=32)
RECIPE = Recipe(size=48, most=6, wants=WANTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good clip, a sequence, and one of each kind that is of no use."""
    place = tmp_path_factory.mktemp("clips")
    data_clips.write(place / "good.mp4", data_clips.scene(0, size=(64, 96)))
    data_clips.write(place / "static.mp4", data_clips.scene(1, 1) * 12)
    data_clips.write(place / "short.mp4", data_clips.scene(2, 3))
    data_clips.write(place / "tiny.mp4", data_clips.scene(3, size=(16, 16)))
    data_clips.write(place / "cut.mp4", data_clips.scene(4, 10) + data_clips.scene(9, 4))
    (place / "bad.mp4").write_bytes(b"no video at all")
    (place / "sequence").mkdir()
    for i, frame in enumerate(data_clips.scene(5)):
        io.write_picture(place / "sequence" / f"{i:03}.png", frame)
    return place


@pytest.fixture(scope="module")
def prepared(folder: Path) -> tuple[Path, dict[str, Outcome]]:
    cache = folder.parent / "cache"
    found, _ = dataset_index.find(folder)
    outcomes = prepare.prepare(found, cache, RECIPE)
    return cache, {outcome.entry.name: outcome for outcome in outcomes}


def test_every_kind_of_bad_clip_is_listed(prepared) -> None:
    _, outcomes = prepared
    why = {name: one.left_out for name, one in outcomes.items() if one.left_out}
    assert sorted(why) == ["bad", "cut", "short", "static", "tiny"]
    assert why["bad"][""].startswith("unreadable")
    assert why["static"][""].startswith("static")
    assert why["short"][""].startswith("short: 3 frames")
    assert why["tiny"][""].startswith("tiny: 16x16")
    assert why["cut"] == {"frames 10 to 13": "short: 4 frames, less than 5"}
    assert len(prepare.left_out(list(outcomes.values()))) == 5
    assert [name for name, one in outcomes.items() if one.clips] == ["cut", "good", "sequence"]


def test_the_cache_holds_evenly_spread_square_frames(prepared, folder: Path) -> None:
    cache, outcomes = prepared
    (name,) = outcomes["good"].clips
    frames = np.load(cache / f"{name}.npy")
    numbers = np.load(cache / f"{name}.npz")["number"]
    assert frames.shape == (6, 48, 48, 3) and frames.dtype == np.uint8
    assert numbers.tolist() == [0, 2, 4, 7, 9, 11]
    for frame, number in zip(frames, numbers, strict=True):
        truth = data_clips.scene(0, size=(64, 96))[number][:, 16:80]
        truth = cv2.resize(truth, (48, 48), interpolation=cv2.INTER_AREA)
        assert np.abs(frame.astype(int) - truth).mean() < 4
    assert not list(cache.glob("*.part"))


def test_listings_and_reading_them(prepared, tmp_path: Path) -> None:
    cache, outcomes = prepared
    placed = prepare.split(list(outcomes.values()), (0.3, 0.0), seed=1)
    listings = prepare.write_listings(placed, cache, tmp_path)
    assert sorted(listings) == ["train", "val"]
    clips = [clip for split in listings.values() for clip in data_cache.read(split)]
    assert sorted(clip.identity for clip in clips) == ["cut", "good", "sequence"]
    listings["val"].write_text("{}")
    with pytest.raises(InputError, match="prepare the data again"):
        data_cache.read(listings["val"])
    table = json.loads(listings["train"].read_text())
    table["clips"][0]["clip"] = "gone"
    listings["train"].write_text(json.dumps(table))
    with pytest.raises(InputError, match="gone"):
        data_cache.read(listings["train"])


def test_caches_with_the_older_names_of_the_sets_are_read(tmp_path: Path) -> None:
    rows = np.ones((2, 38, 7), np.float32)
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8, 3), np.uint8))
    keys = {"key_taught": np.array("mesh"), "key_fitted": np.array("1")}
    np.savez(tmp_path / "a.npz", taught=rows, fitted=2 * rows, tracked=3 * rows, **keys)
    (clip,) = data_cache.read(tmp_path)
    assert sorted(clip.points) == ["per_frame", "teacher", "tracked"]
    assert (clip.points["teacher"] == rows).all() and (clip.points["per_frame"] == 2 * rows).all()
    arrays = data_cache.read_points(tmp_path / "a.npz")
    assert str(arrays["key_teacher"]) == "mesh" and str(arrays["key_per_frame"]) == "1"
    assert "taught" not in arrays and "key_fitted" not in arrays


def test_nothing_is_made_twice_and_changes_are_noticed(tmp_path: Path) -> None:
    clip = tmp_path / "in" / "a.mp4"
    data_clips.write(clip, data_clips.scene(0))
    cache = tmp_path / "cache"

    def run(recipe: Recipe) -> tuple[list[str], list[str]]:
        made: list[str] = []
        found, _ = dataset_index.find(clip.parent)
        outcomes = prepare.prepare(
            found, cache, recipe, progress=lambda done, total, what: made.append(what)
        )
        return made, [name for one in outcomes for name in one.clips]

    made, first = run(RECIPE)
    assert made == ["a"] and run(RECIPE) == ([], first)
    made, other = run(Recipe(size=32, most=6, wants=WANTS))
    assert made == ["a"] and other != first
    data_clips.write(clip, data_clips.scene(7, 14))
    os.utime(clip, ns=(1, 1))
    made, changed = run(RECIPE)
    assert made == ["a"] and changed != first
    found, _ = dataset_index.find(clip.parent)
    outcomes = prepare.prepare(found, cache, RECIPE)
    assert prepare.unused(outcomes, cache)[0] == 2
    (cache / f"{changed[0]}.npy").unlink()  # someone tidied up
    assert run(RECIPE) == (["a"], changed)


def test_several_processes_make_the_same(folder: Path, prepared, tmp_path: Path) -> None:
    cache, outcomes = prepared
    found, _ = dataset_index.find(folder)
    again = prepare.prepare(found, tmp_path, RECIPE, workers=2)
    assert [one.clips for one in again] == [one.clips for one in outcomes.values()]
    assert [one.left_out for one in again] == [one.left_out for one in outcomes.values()]
    for name in (name for one in again for name in one.clips):
        np.testing.assert_array_equal(
            np.load(tmp_path / f"{name}.npy"), np.load(cache / f"{name}.npy")
        )


def test_a_full_or_closed_disk_is_said_in_words(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = dataset_index.find(folder)
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "atomic_write", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(InputError, match="free some space"):
            prepare.prepare(found, tmp_path / "a", RECIPE)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="GB free"):
        prepare.prepare(found, tmp_path / "b", RECIPE)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="--cache"):
        prepare.prepare(found, tmp_path / "file" / "c", RECIPE)


def thumbnails(*scenes: list[Array]) -> Array:
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for scene in scenes for frame in scene]
    return np.array(grey)


def test_cuts_are_found_and_fast_motion_is_none() -> None:
    assert clip_quality.cuts(thumbnails(data_clips.scene(0, 20))) == []
    three = (data_clips.scene(0, 7), data_clips.scene(1, 8), data_clips.scene(2, 5))
    assert clip_quality.cuts(thumbnails(*three)) == [7, 15]
    still = data_clips.scene(3, 1)[0]
    sliding = [np.roll(still, 6 if i == 5 else 0, 1) for i in range(10)]
    assert clip_quality.cuts(thumbnails(sliding)) == []


def heads(path: list[tuple[float, float] | None], size: float = 100.0) -> tuple:
    return tuple((10 * i, None if xy is None else HeadBox(xy, size)) for i, xy in enumerate(path))


def moving(width: int, height: int, path: list[tuple[float, float] | None]) -> ClipStatistics:
    frames = thumbnails(data_clips.scene(0, 10 * len(path)))
    return ClipStatistics(width, height, 25.0, frames, heads(path))


def test_a_head_is_kept_in_one_square_while_it_stays() -> None:
    wants = Wants("face", longest_s=100)
    near = [(600.0 + 5 * (i % 3), 400.0) for i in range(8)]
    (part,), left_out = clip_quality.parts(moving(1280, 720, near), wants)
    assert (part.start, part.stop) == (0, 80) and not left_out
    assert 240 <= part.crop.side_px <= 260
    assert abs(part.crop.x_px + part.crop.side_px / 2 - 605) < 3
    far = [(900.0, 400.0)] * 4
    first, second = clip_quality.parts(moving(1280, 720, near + far), wants)[0]
    assert first.stop == second.start == 80
    assert abs(second.crop.x_px + second.crop.side_px / 2 - 900) < 3


def test_stretches_without_a_face_are_left_out() -> None:
    wants = Wants("face", longest_s=100)
    path: list = [(600.0, 400.0)] * 4 + [None] * 5 + [(600.0, 400.0)] * 4
    parts, _ = clip_quality.parts(moving(1280, 720, path), wants)
    assert [(part.start, part.stop) for part in parts] == [(0, 31), (90, 130)]
    nobody, why = clip_quality.parts(moving(1280, 720, [None] * 5), wants)
    assert not nobody and list(why.values()) == ["no face found"]
    near, why = clip_quality.parts(moving(120, 120, [(60.0, 60.0)] * 5), wants)
    assert not near and "too near" in next(iter(why.values()))


def test_long_clips_are_chunked_and_a_few_parts_are_enough() -> None:
    long = moving(640, 640, [(320.0, 320.0)] * 60)
    parts, why = clip_quality.parts(long, Wants("middle", longest_s=2, most_parts=4))
    assert len(parts) == 4 and parts[0].start == 0 and parts[-1].stop == 600
    assert all(part.stop - part.start <= 50 for part in parts)
    assert "8 of 12 parts" in why["the rest"]


def test_the_whole_square_has_the_picture_in_its_middle(tmp_path: Path) -> None:
    seen = moving(1280, 720, [None] * 3)
    (part,), _ = clip_quality.parts(seen, Wants("whole"))
    assert (part.crop.x_px, part.crop.y_px, part.crop.side_px) == (0, -280, 1280)


def test_portraits_become_exact_clips(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    io.write_picture(tmp_path / "in" / "a face.png", synthetic.photograph(300))
    io.write_picture(tmp_path / "in" / "plain.png", synthetic.textured(200, 200))
    recipe = Recipe(64, 5, Wants("face", least_px=64), SetsWanted(("per_frame", "tracked")))
    found = dataset_index.portraits(tmp_path / "in")
    outcomes = prepare.prepare(found, tmp_path / "cache", recipe)
    assert outcomes[1].clips == () and "face" in outcomes[1].left_out[""]
    listings = prepare.write_listings(outcomes, tmp_path / "cache", tmp_path)
    (clip,) = data_cache.read(listings["train"])
    assert clip.is_exact and clip.frames.shape == (5, 64, 64, 3)
    assert sorted(clip.points) == ["per_frame", "tracked"]
    moved = np.abs(clip.points["per_frame"][:, :, :2] - clip.points["per_frame"][0, :, :2])
    assert moved.max() > 0.01 and np.isfinite(clip.points["tracked"]).all()
    layout = anchor_layout()
    rows = pairs.pair(clip, "per_frame", (0, 3), layout, size=64)[3]
    np.testing.assert_array_equal(rows, clip.points["per_frame"][3, :, :6])
    again = prepare.prepare(found[:1], tmp_path / "cache", recipe)
    assert again[0].clips == outcomes[0].clips
