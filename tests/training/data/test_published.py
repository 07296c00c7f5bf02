"""Readers of published data sets, on tiny trees of their shape; selection by columns."""

from pathlib import Path

import numpy as np
import pytest

from apps.evaluate.command import evaluate
from apps.evaluate.job import EvaluateJob
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.training.data import cache, dataset_index, published, selection
from hybridanim.training.data.augment import Augment
from hybridanim.training.data.dataset_index import TEST, TRAIN
from hybridanim.training.data.pairs import Pairs
from tests import data_clips, synthetic

SIDE = 64
PLACES = {  # layout -> clips of train and test, and identities
    "vox": (
        ["id1#abc#000001#000009", "id2#def#000002#000011", "id3/vid/00001"],
        ["id7#xyz#000001#000009"],
        {"id1", "id2", "id3", "id7"},
    ),
    "taichi": (["abc#000001#000009", "abc#000010#000030"], ["xyz#000001#000009"], {"abc", "xyz"}),
    "nemo": (
        ["001_deliberate_smile_2", "001_spontaneous_smile_1", "014_deliberate_smile_1"],
        ["311_deliberate_smile_1"],
        {"001", "014", "311"},
    ),
    "bair": (["traj_0", "traj_1"], ["traj_2"], {"traj_0", "traj_1", "traj_2"}),
    "mgif": (["00001", "00002"], ["00003"], {"00001", "00002", "00003"}),
}


def frames(count=3, seed=0):
    picture = synthetic.photograph(SIDE)
    return [np.roll(picture, 2 * i + seed, 1) for i in range(count)]


def write_folder(folder: Path, pictures) -> None:
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        io.write_picture(folder / f"{i:05d}.png", picture)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("form", ["folders", "strips"])
def test_splits_identities_and_frames_are_the_published_ones(tmp_path, name, form):
    train, test, identities = PLACES[name]
    for split, clips in ((TRAIN, train), (TEST, test)):
        for clip in clips:
            if form == "folders" or "/" in clip:
                write_folder(tmp_path / split / clip, frames())
            else:
                (tmp_path / split).mkdir(exist_ok=True)
                strip = np.hstack(frames())
                io.write_picture(tmp_path / split / f"{clip}.png", strip)
    found = published.read(name, tmp_path, tmp_path / "scratch")
    assert sorted(one.split for one in found) == [TEST] * len(test) + [TRAIN] * len(train)
    assert {one.identity for one in found} == identities
    assert len({one.name for one in found}) == len(found)
    for one in found:
        with io.open_source(one.path) as reader:
            seen = [frame.image for frame in reader]
        assert all((a == b).all() for a, b in zip(seen, frames(), strict=True))
    again = published.read(name, tmp_path, tmp_path / "scratch")
    assert again == found
    dataset_index.split_by_identity(found, (0.1, 0.1), 1)  # the splits contradict nothing


def test_an_identity_in_both_published_splits_is_two(tmp_path):
    for split in (TRAIN, TEST):
        write_folder(tmp_path / split / "abc#000001#000009", frames())
    found = published.read("taichi", tmp_path, tmp_path / "scratch")
    assert {one.identity for one in found} == {"abc (train)", "abc (test)"}
    assert len({one.name for one in found}) == 2


def test_raw_videos_are_cut_by_the_published_list(tmp_path):
    data = tmp_path / "data"
    pictures = [np.full((96, 128, 3), 10 * i, np.uint8) for i in range(20)]
    for i, picture in enumerate(pictures):
        picture[20:60, 30:70] = 255 - 10 * i
    data.mkdir()
    data_clips.write(data / "abc.mp4", pictures)
    (data / "vox-metadata.csv").write_text(
        "video_id,start,end,bbox,fps,width,height,partition,person_id\n"
        "abc,2,9,60-40-140-120,25.0,256,192,train,id1\n"
        "abc,10,16,60-40-140-120,25.0,256,192,test,id2\n"
        "gone,0,9,0-0-10-10,25.0,256,192,test,id3\n"
    )
    found = published.read("vox", data, tmp_path / "scratch")
    assert [(one.split, one.identity) for one in found] == [(TRAIN, "id1"), (TEST, "id2")]
    assert found[0].path.name == "id1#abc#000002#000009"
    with io.open_source(found[0].path) as reader:
        seen = [frame.image for frame in reader]
    assert len(seen) == 7 and seen[0].shape == (256, 256, 3)
    for i, image in enumerate(seen, 2):  # the box holds the bright square alone
        assert abs(float(np.median(image)) - (255 - 10 * i)) < 8


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "columns video_id"), ("", "videos named as"), ("video_id,start,end,bbox,fps,"
     "width,height,partition\nx,0,1,5-5-1-1,25,9,9,train\n", "bbox")],
)  # fmt: skip
def test_lists_that_are_none(tmp_path, text, said):
    (tmp_path / "vox-metadata.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        published.read("vox", tmp_path, tmp_path / "scratch")


def test_other_folders_are_told(tmp_path):
    with pytest.raises(InputError, match="train and test"):
        published.read("bair", tmp_path, tmp_path / "scratch")
    (tmp_path / TRAIN).mkdir()
    io.write_picture(tmp_path / TRAIN / "a.png", synthetic.photograph(SIDE))
    with pytest.raises(InputError, match="strip of two or more"):
        published.read("bair", tmp_path, tmp_path / "scratch")
    with pytest.raises(InputError, match="check the path"):
        published.read("bair", tmp_path / "none", tmp_path / "scratch")


def test_the_protocol_measures_the_test_split_alone(tmp_path):
    """L1 of ``copy`` is the mean over all frames of the whole frames of the test clips."""
    data = tmp_path / "data"
    write_folder(data / TRAIN / "traj_0", frames())
    write_folder(data / TEST / "traj_1", frames(seed=3))
    write_folder(data / TEST / "traj_2", frames(4, seed=9))
    job = EvaluateJob(data, protocol="bair", methods=("copy",), every=3, size=128)
    result = evaluate(job)
    assert result["clips"] == 2 and result["frames"] == 2 + 3
    assert set(result["per_clip"]) == {"traj_1", "traj_2"}
    assert any("shows no faces" in line for line in result["not_measured"])
    errors = []
    for count, seed in ((3, 3), (4, 9)):
        first, *others = (np.asarray(io.to_rgb8(f), float) for f in frames(count, seed))
        errors += [np.abs(other - first).mean() / 255 for other in others]
    assert result["methods"]["copy"]["l1"] == pytest.approx(np.mean(errors), rel=0.05)
    with pytest.raises(InputError, match="--cross"):
        EvaluateJob(data, protocol="bair", cross=True)


TABLE = """file,identity,label,split,action
a.mp4,ann,calm,train,talking
b.mp4,ben,angry,train,nodding
c.mp4,cat,calm,train,
d.mp4,dan,calm,train,laughing
"""


@pytest.fixture
def entries(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in "abcd":
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(b"")
    (tmp_path / "table.csv").write_text(TABLE)
    return dataset_index.find(tmp_path / "clips", tmp_path / "table.csv")[0]


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        (["action=talking"], "a"),
        (["action=talking|nodding"], "ab"),
        (["action!=talking"], "bcd"),
        (["label=calm", "action!="], "ad"),
        (["action="], "c"),
        (["identity = dan"], "d"),
    ],
)
def test_clips_are_selected_by_columns(entries, conditions, names):
    kept, others = selection.selected(entries, conditions)
    assert "".join(one.name for one in kept) == names
    assert len(kept) + len(others) == 4


@pytest.mark.parametrize(
    ("condition", "said"),
    [("action", "COLUMN=VALUE"), ("mood=x", "known are"), ("action=singing", "values of action")],
)
def test_conditions_that_fit_nothing(entries, condition, said):
    with pytest.raises(InputError, match=said):
        selection.selected(entries, [condition])


def test_columns_reach_the_sampler_and_balance_it(tmp_path):
    """Three clips of one action and one of another: with the balance each action is half."""
    rows = [("a", "ann", "talk"), ("b", "ben", "talk"), ("c", "cat", "talk"), ("d", "dan", "nod")]
    for name, _, _ in rows:
        np.save(tmp_path / f"{name}.npy", np.stack(frames()))
        np.savez(tmp_path / f"{name}.npz", number=np.arange(3))
    listing = tmp_path / "train.json"
    cache.write_listing(
        listing, tmp_path, [{"clip": c, "identity": i, "action": a} for c, i, a in rows]
    )
    clips = cache.read(listing)
    assert [clip.about["action"] for clip in clips] == ["talk", "talk", "talk", "nod"]

    def share(balance):
        pairs = Pairs(clips, None, Augment(), seed=1, balance=balance)
        rng = np.random.default_rng(0)
        return np.mean([pairs.choose(rng)[0].about["action"] == "nod" for _ in range(400)])

    assert abs(share("") - 0.25) < 0.07 and abs(share("action") - 0.5) < 0.08
    with pytest.raises(InputError, match="known are action"):
        Pairs(clips, None, Augment(), seed=1, balance="mood")
