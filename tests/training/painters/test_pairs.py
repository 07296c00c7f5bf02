"""Pairs of the painters: made by the renderer itself, mapped from files, balanced."""

import cv2
import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.face_model import measure
from hybridanim.face.paint_windows import EYE, KINDS, MOUTH
from hybridanim.training.diversity import most_different
from hybridanim.training.painters import pairs
from hybridanim.training.painters.pairs import Footage
from hybridanim.types import FaceFit, HeadPose

MODEL = face_model.load()


def fit_of(expression=None, shift=(64.0, 66.0)):
    zero = np.zeros(len(MODEL.expression), np.float32)
    found = zero if expression is None else expression.astype(np.float32)
    identity = np.zeros(len(MODEL.identity), np.float32)
    seen = measure(MODEL.vertices(identity, found)).astype(np.float32)
    neutral = measure(MODEL.vertices()).astype(np.float32)
    pose = HeadPose(np.eye(3), 60.0, np.array(shift))
    return FaceFit(pose, identity, found, 1.0, seen, neutral)


def picture(seed):
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.integers(0, 256, (128, 128, 3), np.uint8), (0, 0), 2)


def test_a_still_face_gives_the_source_itself(monkeypatch):
    monkeypatch.setattr(pairs, "_TARGET_SHARE", 0.0)
    footage = Footage([picture(1)] * 4, [fit_of()] * 4)
    found = pairs.of_clip(footage, MODEL, np.random.default_rng(0), 2, 2)
    for name, rows in found.items():
        assert len(rows) == (4 if name == "mouth" else 8)
        np.testing.assert_array_equal(rows["warped"], rows["own"])
        np.testing.assert_array_equal(rows["true"], rows["own"])
        np.testing.assert_allclose(rows["now"], rows["was"], atol=1e-3)


def test_the_mouth_opens_in_the_warped_window_only():
    shut, wide = fit_of(), fit_of(MODEL.along(jaw_open=0.15))
    footage = Footage([picture(1), picture(1)], [shut, wide])
    rows = pairs.of_clip(footage, MODEL, np.random.default_rng(0), 1, 1)["mouth"]
    gaps = [rows[name][0][35, 1] - rows[name][0][25, 1] for name in ("now", "was")]
    assert max(gaps) > min(gaps) + 8


def test_sources_differ_and_blinks_are_drawn_often():
    looks = np.zeros((100, 4))
    looks[:, 2] = 3.0
    looks[7, 2], looks[50, 0], looks[51, 3] = 0.5, 4.0, 3.0
    chosen = most_different(looks, 4)
    assert set(chosen[1:]) == {7, 50, 51}
    drawn = [pairs.choose_targets(looks, chosen[0], 5, np.random.default_rng(i)) for i in range(20)]
    assert np.mean([7 in one for one in drawn]) > 0.6
    assert all(chosen[0] not in one for one in drawn)
    assert all(len(set(one)) == 5 for one in drawn)


def test_a_clip_of_one_frame_has_no_pairs():
    found = pairs.of_clip(Footage([picture(1)], [fit_of()]), MODEL, np.random.default_rng(0))
    assert {name: len(rows) for name, rows in found.items()} == {"mouth": 0, "eye": 0}


def test_rows_are_mapped_from_files_and_others_refused(tmp_path):
    rows = np.zeros(3, pairs.row_type(MOUTH))
    rows["turn"] = 0.5
    np.save(tmp_path / "a.mouth.npy", rows)
    (found,) = pairs.read(tmp_path, MOUTH)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found["turn"], rows["turn"])
    with pytest.raises(InputError, match="none"):
        pairs.read(tmp_path, EYE)
    np.save(tmp_path / "b.mouth.npy", np.zeros(3))
    with pytest.raises(InputError, match="expected rows"):
        pairs.read(tmp_path, MOUTH)
    (tmp_path / "b.mouth.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="expected pairs"):
        pairs.read(tmp_path, MOUTH)


def test_kinds_have_rows_of_their_own():
    assert {pairs.row_type(kind) for kind in KINDS.values()} == {
        pairs.row_type(MOUTH),
        pairs.row_type(EYE),
    }
