"""Results say that they are generated, by what, and from what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hybridanim import __version__
from hybridanim.errors import InputError
from hybridanim.io import provenance


@dataclass(frozen=True)
class Settings:
    scale: float = 1.0
    size: tuple[int, int] = (256, 256)
    profile: Path = Path("/home/someone/me.toml")
    fps: Fraction = Fraction(30000, 1001)


def record(folder: Path, **options):
    (folder / "me.png").write_bytes(b"picture")
    (folder / "drive.mp4").write_bytes(b"video" * 1_000_000)
    created = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    return provenance.describe(
        folder / "me.png",
        folder / "drive.mp4",
        options.pop("settings", Settings()),
        created=created,
    )


def test_the_record_is_complete_and_plain_json(tmp_path):
    made = record(tmp_path)
    assert made["is_generated"] is True
    assert made["source"] == {"name": "me.png", "sha256": hashlib.sha256(b"picture").hexdigest()}
    assert made["driving"]["sha256"] == hashlib.sha256(b"video" * 1_000_000).hexdigest()
    assert made["created"] == "2024-02-29T12:30:00+00:00"
    assert made["tool_version"] == __version__
    assert made["settings"]["size"] == [256, 256]
    assert made["settings"]["fps"] == "30000/1001"
    assert made["packages"]["numpy"] == np.__version__
    text = json.dumps(made, allow_nan=False)
    assert json.loads(text) == made
    assert "/home/someone" not in text and str(tmp_path) not in text


def test_odd_settings_become_json(tmp_path):
    settings = {"a": np.float32(0.5), "b": np.arange(3), "c": {1}, "d": float("inf"), "e": None}
    made = record(tmp_path, settings=settings)["settings"]
    assert made == {"a": 0.5, "b": [0, 1, 2], "c": [1], "d": "inf", "e": None}


def test_folders_are_hashed_by_their_files(tmp_path):
    (tmp_path / "b.png").write_bytes(b"2")
    (tmp_path / "a.png").write_bytes(b"1")
    assert provenance.sha256(tmp_path) == hashlib.sha256(b"12").hexdigest()
    missing = provenance.describe(tmp_path, tmp_path / "missing.mp4")
    assert missing["driving"]["sha256"] is None


def test_commit_is_that_of_the_checkout():
    commit = provenance.git_commit()
    root = Path(provenance.__file__).resolve().parents[2]
    assert (commit is not None and len(commit) == 40) == (root / ".git").exists()


def test_sidecar_lies_beside_and_spares_other_files(tmp_path):
    made = record(tmp_path)
    path = provenance.write_sidecar(tmp_path / "out.mp4", made)
    assert path == tmp_path / "out.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {**made, "output": "out.mp4"}
    other = provenance.write_sidecar(tmp_path / "out.webm", made)  # spares that of out.mp4
    assert other == tmp_path / "out.webm.json"
    assert provenance.write_sidecar(tmp_path / "out.mp4", made) == path
    (tmp_path / "mine.json").write_text('{"notes": 1}')
    assert provenance.write_sidecar(tmp_path / "mine.mp4", made).name == "mine.mp4.json"
    assert (tmp_path / "mine.json").read_text() == '{"notes": 1}'
    assert provenance.write_sidecar(tmp_path / "folder", made).name == "folder.json"
    with pytest.raises(InputError, match="sidecar"):
        provenance.write_sidecar(tmp_path / "nowhere" / "out.mp4", made)
    assert not list(tmp_path.glob(".*"))


def test_tags_name_the_tool_and_the_inputs(tmp_path):
    tags = provenance.container_tags(record(tmp_path))
    assert set(tags) == {"title", "comment", "description"}
    joined = " ".join(tags.values())
    for word in ("enerated", "hybridanim", __version__, "me.png", "drive.mp4"):
        assert word in joined


@pytest.mark.parametrize("size", [(128, 128), (256, 256), (720, 1280), (1920, 1080)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_mark_is_small_and_visible_in_its_corner(size, level):
    image = np.full((*size, 3), level, np.uint8)
    before = image.copy()
    marked = provenance.draw_mark(image)
    assert np.array_equal(image, before)
    assert marked.shape == image.shape and marked.dtype == np.uint8
    changed = (marked != image).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 0.85 * size[0] and columns.min() > 0.5 * size[1]
    assert rows.max() < size[0] - 1 and columns.max() < size[1] - 1
    assert changed.mean() < 0.05
    badge = marked[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert np.ptp(badge.astype(int).mean(axis=2)) > 60  # letters stand out on any background


def test_mark_lets_the_picture_through():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)
    marked = provenance.draw_mark(image)
    changed = (marked != image).any(axis=2)
    similar = np.corrcoef(image[changed].ravel(), marked[changed].ravel())[0, 1]
    assert similar > 0.5
    assert np.array_equal(provenance.draw_mark(image), marked)
    tiny = image[:40, :40]
    assert np.array_equal(provenance.draw_mark(tiny), tiny)


def test_a_background_is_named_without_its_folder(tmp_path):
    (tmp_path / "wall.png").write_bytes(b"x")
    settings = {"background": str(tmp_path / "wall.png"), "crop": "auto", "text": "a/b\0"}
    told = provenance.to_json(settings)
    assert told == {"background": "wall.png", "crop": "auto", "text": "a/b\0"}
