"""Motion files: what is written is what is read, and nothing hostile gets through."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hybridanim.errors import InputError
from hybridanim.motion import motion_file
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.motion.motion_file import Motion, MotionHeader, MotionWriter, ScannedFace
from hybridanim.motion.reference import Reference
from hybridanim.motion.sparse import Seen
from hybridanim.types import Crop, HeadBox, HeadPose, Keypoints

HEADER = MotionHeader(Fraction(30000, 1001), Fraction(1, 30000), (320, 240), "classical", "", "{}")
COUNT, EXPRESSION = 5, 4


def made_points(rng) -> Keypoints:
    return Keypoints(
        rng.uniform(-1, 1, (COUNT, 2)).astype(np.float32),
        rng.uniform(-1, 1, (COUNT, 2, 2)).astype(np.float32),
        rng.uniform(0, 1, COUNT).astype(np.float32),
    )


def made_face(rng) -> DriverFace:
    turn = cv2.Rodrigues(rng.uniform(-0.5, 0.5, 3))[0]
    pose = HeadPose(turn, float(np.float32(0.8)), rng.uniform(-1, 1, 2).astype(np.float32))
    expression = rng.normal(size=EXPRESSION).astype(np.float32)
    return DriverFace(pose, expression, np.array([0.9, 1.25], np.float32), 0.25)


def made_seen(rng, *, has_face: bool = True) -> Seen:
    background = np.array([[1, 0, 0.5], [0, 1, 0.25]], np.float32) if has_face else None
    head = HeadBox((100.5, 80.25), 64.0, 3.5)
    face = made_face(rng) if has_face else None
    return Seen(made_points(rng), background, has_face, face, 0.5, head, (0.75, 0.25))


def write(path: Path, frames: int = 6, **options):
    """A file with two frames before the first head, one lost, and two stretches."""
    rng = np.random.default_rng(1)
    firsts = [Reference(made_points(rng), HeadBox((90.0, 70.0), 60.0), Crop(1.5, 2.5, 150.0 + i))
              for i in range(2)]  # fmt: skip
    seen = [None, None, *(made_seen(rng, has_face=i != 1) for i in range(frames - 3)), None]
    faces = [made_face(rng), None]
    writer = MotionWriter(path, EXPRESSION, **options)
    for number, one in enumerate(seen):
        if number in (2, 4):
            which = number // 2 - 1
            writer.begin(firsts[which], faces[which])
        writer.add(1 + number / 30, one)
    poses = tuple((made_points(rng), None if i else np.eye(2, 3, dtype=np.float32))
                  for i in range(2))  # fmt: skip
    scan = ScannedFace(
        3, 1.1, (10.0, -5.0, 2.0), np.array([0.3, 0.25, 0.1]), True, False,
        HeadBox((1.0, 2.0), 60.0), made_face(rng), poses,
    )  # fmt: skip
    assert writer.close(HEADER, [scan])
    return seen, firsts, faces, scan


def same(one, other) -> bool:
    """Whether two values are equal in all fields, arrays included, as float32."""
    if hasattr(one, "__dataclass_fields__"):
        names = one.__dataclass_fields__
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, np.ndarray | list | tuple) and len(one) and not isinstance(one[0], tuple):
        return np.array_equal(np.asarray(one, np.float32), np.asarray(other, np.float32))
    return one == other


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "m.safetensors"
    seen, firsts, faces, scan = write(path)
    motion = Motion.load(path)
    assert motion.header == HEADER
    assert (motion.count, motion.keypoints, motion.expression) == (6, COUNT, EXPRESSION)
    rows = list(motion.rows())
    assert [row.index for row in rows] == list(range(6))
    assert [row.stretch for row in rows] == [-1, -1, 0, 0, 1, 1]
    np.testing.assert_array_equal([row.time_s for row in rows], 1 + np.arange(6) / 30)
    assert all(same(row.seen, one) for row, one in zip(rows, seen, strict=True))
    for stretch, first, face, row in zip(motion.stretches, firsts, faces, (2, 4), strict=True):
        assert stretch.row == row and same(stretch.first, first)
        assert (stretch.face is None) == (face is None)
        if face is not None and stretch.face is not None:
            assert same(stretch.face.pose, face.pose)
    (found,) = motion.scan
    assert (found.row, found.time_s, found.rotation_deg) == (3, 1.1, scan.rotation_deg)
    assert same(found.head, scan.head) and same(found.openings, scan.openings)
    assert found.face is not None and scan.face is not None
    assert same(found.face.pose, scan.face.pose)
    for (points, background), (wanted, moved) in zip(found.poses, scan.poses, strict=True):
        assert same(points, wanted) and same(background, moved)
    assert same(motion.row(3).seen, seen[3])


def test_it_is_a_plain_safetensors_file_without_pictures_or_shapes_of_the_face(tmp_path):
    path = tmp_path / "m.safetensors"
    write(path)
    tensors = load_file(path)  # the library's own reader
    assert tensors["frames.xy"].shape == (6, COUNT, 2)
    assert not any("identity" in name or "landmarks" in name for name in tensors)
    with safe_open(path, "numpy") as opened:
        assert opened.metadata()["format"] == motion_file.FORMAT


def test_a_cut_is_in_seconds_from_the_first_frame_and_excludes_its_end(tmp_path):
    path = tmp_path / "m.safetensors"
    write(path)
    motion = Motion.load(path)
    assert [row.index for row in motion.rows(1 / 30 - 1e-9, 4 / 30 - 1e-9)] == [1, 2, 3]
    assert not list(motion.rows(9.0))


def test_blocks_do_not_matter(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    write(path)
    whole = list(Motion.load(path).rows())
    monkeypatch.setattr(motion_file, "_BLOCK", 2)
    write(tmp_path / "n.safetensors")
    assert (tmp_path / "n.safetensors").read_bytes() == path.read_bytes()
    assert all(same(a.seen, b.seen) for a, b in zip(Motion.load(path).rows(), whole, strict=True))


def test_no_head_gives_no_file(tmp_path):
    writer = MotionWriter(tmp_path / "m.safetensors", EXPRESSION)
    writer.add(0.0, None)
    assert not writer.close(HEADER)
    assert not list(tmp_path.iterdir())


def test_until_it_is_closed_nothing_is_there(tmp_path):
    rng = np.random.default_rng(0)
    writer = MotionWriter(tmp_path / "m.safetensors", EXPRESSION)
    writer.begin(Reference(made_points(rng), None, Crop(0, 0, 10)), None)
    writer.add(0.0, made_seen(rng))
    assert not list(tmp_path.glob("m*"))
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_what_a_reader_would_refuse_is_written_as_lost(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "m.safetensors"
    writer = MotionWriter(path, EXPRESSION)
    writer.begin(Reference(made_points(rng), None, Crop(0, 0, 10)), None)
    wrong = made_seen(rng)
    wrong.keypoints.xy_norm[0] = np.nan
    writer.add(0.0, wrong)
    writer.add(1.0, made_seen(rng))
    assert writer.close(HEADER)
    assert [row.seen is None for row in Motion.load(path).rows()] == [True, False]
    with pytest.raises(InputError, match="times that grow"):
        writer = MotionWriter(tmp_path / "n.safetensors", EXPRESSION)
        writer.add(1.0, None)
        writer.add(1.0, None)


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        MotionWriter(path, EXPRESSION)
    assert path.read_text() == "mine"
    write(path, overwrite=True)
    assert Motion.load(path).count == 6


def test_one_that_appears_meanwhile_is_kept(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "m.safetensors"
    writer = MotionWriter(path, EXPRESSION)
    writer.begin(Reference(made_points(rng), None, Crop(0, 0, 10)), None)
    writer.add(0.0, made_seen(rng))
    path.write_text("mine")
    with pytest.raises(InputError, match="--save-motion"):
        writer.close(HEADER)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["no/m.safetensors", "folder", "folder/../missing/x"])
def test_unfit_places_are_refused_at_once(place, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="--save-motion"):
        MotionWriter(tmp_path / place, EXPRESSION)


def changed(name, change):
    def apply(tensors, table):
        tensors[name] = np.ascontiguousarray(change(tensors[name].copy()))

    return apply


def put(value, *place):
    def change(array):
        array[place or ...] = value
        return array

    return change


HOSTILE = {
    "nan": changed("frames.xy", put(np.nan, 3)),
    "infinite": changed("stretches.jacobian", put(np.inf, 0)),
    "far away": changed("frames.xy", put(1e30, 3)),
    "a flag of 7": changed("frames.is_seen", put(7, 3)),
    "confidence of 2": changed("frames.confidence", put(2, 3)),
    "no rotation": changed("frames.rotation", put(0, 2)),
    "a mirror": changed("frames.rotation", lambda a: -a),
    "no scale": changed("frames.face_scale", put(0, 2)),
    "a flat background": changed("frames.background", put(0, 2)),
    "no crop": changed("stretches.crop", put(0)),
    "times back": changed("frames.time_s", lambda a: a[::-1]),
    "time that is nan": changed("frames.time_s", put(np.nan, 0)),
    "stretches back": changed("stretches.row", lambda a: a[::-1]),
    "a stretch beyond": changed("stretches.row", put(99, 1)),
    "an unknown stretch": changed("frames.stretch", put(5, 3)),
    "a frame before the first": changed("frames.is_seen", put(1, 0)),
    "too few rows": changed("frames.trust", lambda a: a[:-1]),
    "another type": changed("frames.xy", lambda a: a.astype(np.float64)),
    "another shape": changed("frames.jacobian", lambda a: a[:, :, :1]),
    "no frames": lambda t, m: t.update({k: v[:0] for k, v in t.items() if k.startswith("frames")}),
    "a tensor more": lambda t, m: t.update(identity=np.zeros(3, np.float32)),
    "a tensor less": lambda t, m: t.__delitem__("frames.lids"),
    "no tensors": lambda t, m: t.clear(),
    "another format": lambda t, m: m.update(format="motion-99"),
    "no format": lambda t, m: m.__delitem__("format"),
    "no rate": lambda t, m: m.update(fps="0"),
    "a rate over nothing": lambda t, m: m.update(fps="1/0"),
    "a rate in words": lambda t, m: m.update(fps="fast"),
    "a negative time base": lambda t, m: m.update(time_base="-1/30"),
    "an absurd view": lambda t, m: m.update(view="99999999x2"),
    "a view in words": lambda t, m: m.update(view="wide"),
    "settings that are no JSON": lambda t, m: m.update(settings="{"),
    "deep settings": lambda t, m: m.update(settings="[" * 9000),
    "long settings": lambda t, m: m.update(settings='"' + "x" * 20000 + '"'),
}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values_are_refused(text, tmp_path):
    path = tmp_path / "m.safetensors"
    write(path)
    tensors = load_file(path)
    with safe_open(path, "numpy") as opened:
        table = dict(opened.metadata())
    HOSTILE[text](tensors, table)
    save_file(tensors, path, table)
    with pytest.raises(InputError, match=r"motion: expected .*; give one that --save-motion wrote"):
        Motion.load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_truncated_files_are_refused(share, tmp_path):
    path = tmp_path / "m.safetensors"
    write(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="motion: expected"):
        Motion.load(path)


def test_a_header_of_an_absurd_length_is_not_read(tmp_path):
    path = tmp_path / "m.safetensors"
    for length in (2**62, 50 << 20):
        text = json.dumps({"a": "x" * 100}).encode()
        path.write_bytes(struct.pack("<Q", length) + text)
        with pytest.raises(InputError, match="no header"):
            Motion.load(path)


def test_other_paths_are_refused(tmp_path):
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("missing", "dangling", "."):
        with pytest.raises(InputError, match="found nothing"):
            Motion.load(tmp_path / name)


def test_a_link_to_a_motion_is_a_motion(tmp_path):
    write(tmp_path / "m.safetensors")
    (tmp_path / "link").symlink_to("m.safetensors")
    assert Motion.load(tmp_path / "link").count == 6


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path):
    path = tmp_path / "m.safetensors"
    write(path)
    motion = Motion.load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="to stay as it was"):
        list(motion.rows())


def test_flipped_bytes_are_read_or_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    write(path)
    data, rng = path.read_bytes(), np.random.default_rng(3)
    for _ in range(60):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            broken[place] = rng.integers(256)
        path.write_bytes(bytes(broken))
        try:
            list(Motion.load(path).rows())
        except InputError as error:
            assert "; " in str(error)
