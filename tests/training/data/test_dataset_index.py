"""Finding clips in a folder, whose they are, and which split they are in."""

from pathlib import Path

import numpy as np
import pytest

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.training.data import dataset_index
from hybridanim.training.data.dataset_index import DatasetEntry


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        if io.is_picture(path) and path.suffix != ".gif":
            io.write_picture(path, np.zeros((8, 8, 3), np.uint8))
        else:
            path.write_bytes(b"")


def names(found: list[DatasetEntry]) -> dict[str, str]:
    return {one.name: one.identity for one in found}


def test_videos_sequences_and_identity_folders(tmp_path: Path) -> None:
    touch(
        tmp_path / "anna__talk.mp4",
        tmp_path / "solo.mov",
        tmp_path / "walk" / "1.png",
        tmp_path / "walk" / "2.png",
        tmp_path / "ben" / "a.mp4",
        tmp_path / "ben" / "b" / "1.jpg",
        tmp_path / "ben" / "b" / "2.jpg",
        tmp_path / ".hidden.mp4",
        tmp_path / "notes.txt",
        tmp_path / "lone.png",
        tmp_path / "empty" / "readme.md",
        tmp_path / "mixed" / "c.mp4",
        tmp_path / "mixed" / "poster.png",
    )
    found, left_out = dataset_index.find(tmp_path)
    assert names(found) == {
        "anna__talk": "anna",
        "solo": "solo",
        "walk": "walk",
        "ben__a": "ben",
        "ben__b": "ben",
        "mixed__c": "mixed",
    }
    assert sorted(left_out) == ["empty", "lone.png", "mixed"]
    assert "by itself" in left_out["lone.png"]


def test_same_names_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "a.mov")
    found, _ = dataset_index.find(tmp_path)
    assert len(names(found)) == 2 and {one.identity for one in found} == {"a"}


def test_split_folders_are_honoured(tmp_path: Path) -> None:
    touch(tmp_path / "train" / "a.mp4", tmp_path / "validation" / "b.mp4")
    found, _ = dataset_index.find(tmp_path)
    assert {one.name: one.split for one in found} == {"a": "train", "b": "val"}
    touch(tmp_path / "validation" / "a.mp4")
    found, _ = dataset_index.find(tmp_path)
    with pytest.raises(InputError, match="one split"):
        dataset_index.split_by_identity(found, (0.1, 0.1), 0)


def test_the_table_is_honoured(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{name}.mp4" for name in "abc"))
    table = tmp_path / "clips.csv"
    table.write_text(
        "file,identity,label,split,frames\na.mp4,anna,calm,val,1\nb,anna,angry,,\nc.mp4,carl,,test,\n"
    )
    found, _ = dataset_index.find(tmp_path, table)
    assert names(found) == {"a": "anna", "b": "anna", "c": "carl"}
    assert [one.label for one in found] == ["calm", "angry", ""]
    placed = dataset_index.split_by_identity(found, (0.1, 0.1), 0)
    # b has no split of its own and goes with its person
    assert [one.split for one in placed] == ["val", "val", "test"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe\x00binary", "expected a CSV"),
        (b"one,two\n1,2\n", "the columns file"),
        (b"", "no rows"),
        (b"file,split\na.mp4,dev\n", "line 2"),
        (b"file,identity\nother.mp4,x\n", "write the files' names"),
    ],
)
def test_what_is_no_table(text: bytes, said: str, tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    table = tmp_path / "t.csv"
    table.write_bytes(text)
    with pytest.raises(InputError, match=said):
        dataset_index.find(tmp_path, table)


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        dataset_index.find(tmp_path)
    with pytest.raises(InputError, match="check the path"):
        dataset_index.find(tmp_path / "nowhere")
    with pytest.raises(InputError, match="--portraits"):
        dataset_index.portraits(tmp_path)


def many(count: int) -> list[DatasetEntry]:
    return [
        DatasetEntry(Path(f"{who}_{i}.mp4"), f"{who}_{i}", f"person{who}")
        for who in range(count)
        for i in range(1 + who % 3)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_an_identity_is_never_in_two_splits(seed: int) -> None:
    placed = dataset_index.split_by_identity(many(20), (0.1, 0.2), seed)
    of: dict[str, set[str]] = {}
    for one in placed:
        of.setdefault(one.split, set()).add(one.identity)
    assert (
        not of["train"] & of["val"] and not of["train"] & of["test"] and not of["val"] & of["test"]
    )
    assert (len(of["train"]), len(of["val"]), len(of["test"])) == (14, 2, 4)


def test_splits_depend_on_the_seed_alone() -> None:
    clips = many(30)
    one = dataset_index.split_by_identity(clips, (0.2, 0.2), 3)
    turned = dataset_index.split_by_identity(clips[::-1], (0.2, 0.2), 3)
    assert {c.name: c.split for c in one} == {c.name: c.split for c in turned}
    other = dataset_index.split_by_identity(clips, (0.2, 0.2), 4)
    assert {c.name: c.split for c in one} != {c.name: c.split for c in other}


@pytest.mark.parametrize(("people", "held"), [(1, {"train"}), (2, {"train", "val"})])
def test_few_identities_leave_someone_to_train_on(people: int, held: set[str]) -> None:
    placed = dataset_index.split_by_identity(many(people), (0.1, 0.1), 0)
    assert {one.split for one in placed} == held


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"1")
    before = dataset_index.fingerprint(file)
    assert dataset_index.fingerprint(file) == before
    file.write_bytes(b"22")
    assert dataset_index.fingerprint(file) != before
