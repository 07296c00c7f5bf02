"""Windows of the matting network's training: masks stay on their people; looks; labels are read."""

import cv2
import numpy as np
import pytest

from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.resampling import FILL
from hybridanim.training.matte import dolls, footage, looks, samples, walls
from hybridanim.training.matte.footage import Folders, Footage
from hybridanim.types import HeadPose

RED, GREEN = np.array([230, 40, 40]), np.array([40, 200, 60])


def people(count=4, size=96):
    """Red discs before green walls, with the outline of a face in each."""
    images, masks, outlines, heads = [], [], [], []
    rng = np.random.default_rng(3)
    for _ in range(count):
        x, y = rng.uniform(40, 56, 2)
        mask = np.zeros((size, size), np.uint8)
        cv2.circle(mask, (round(x), round(y)), 26, 255, -1, cv2.LINE_AA)
        share = mask[..., None] / 255
        images.append(np.rint(share * RED + (1 - share) * GREEN).astype(np.uint8))
        masks.append(mask)
        turn = np.linspace(0, 6, 20)
        outlines.append(np.column_stack([x + 18 * np.cos(turn), y + 18 * np.sin(turn)]))
        heads.append((x, y, 36.0))
    wall = np.broadcast_to(GREEN, (size, size, 3)).astype(np.uint8)
    return Footage(
        images, masks, [o.astype(np.float32) for o in outlines], np.array(heads),
        np.arange(count) // 2, [wall, wall],
    )  # fmt: skip


def test_mask_and_picture_move_together(monkeypatch):
    monkeypatch.setattr(samples, "_looking", lambda window, rng: window)
    monkeypatch.setattr(samples, "_MOVED", 0.0)
    data = people()
    for seed in range(12):
        window = samples.variant(data, seed % 4, 64, np.random.default_rng(seed))
        colour = window.image.astype(int)
        red = (colour[..., 0] - colour[..., 1] > 60) & (window.known > 0)
        truth = (window.mask > 0.5) & (window.known > 0)
        assert truth.any() and (red & truth).sum() / (red | truth).sum() > 0.93
        assert window.face[truth].mean() > 2 * window.face[~truth].mean()


def test_beyond_the_frame_nothing_is_known():
    matrix = np.array([[0.25, 0, 20], [0, 0.25, 20]])
    window = samples.cut(people(), 0, matrix, 64)
    inside = np.zeros((64, 64), bool)
    inside[20:44, 20:44] = True
    assert not window.known[~inside].any() and window.known[24:40, 24:40].all()
    np.testing.assert_array_equal(window.image[2, 2], FILL)


def test_another_wall_leaves_the_person_and_its_mask():
    data = people()
    matrix = np.array([[64 / 96, 0, 0], [0, 64 / 96, 0]])
    window = samples.cut(data, 0, matrix, 64)
    changed = 0
    for seed in range(8):
        moved = samples._moved(data, window, np.random.default_rng(seed))
        np.testing.assert_array_equal(moved.mask, window.mask)
        sure = window.mask > 0.99
        tone = moved.image[sure].mean(0)
        assert tone[0] > 1.5 * tone[1]  # still red
        away = (window.mask < 0.01) & (window.known > 0)
        changed += np.abs(moved.image[away].astype(int) - window.image[away]).mean() > 20
    assert changed >= 4


def test_many_walls_are_coloured_like_the_person():
    data = people()
    near = 0
    for seed in range(60):
        behind = walls.wall(data, data.images[0], data.masks[0] / 255, np.random.default_rng(seed))
        assert behind.shape == (96, 96, 3) and behind.dtype == np.uint8
        near += np.abs(behind.mean((0, 1)) - RED).max() < 80
    assert near >= 5


def test_a_batch_depends_on_the_seed_alone():
    data = people()
    first, again = (samples.batch(data, 6, 64, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.windows, again.windows)
    assert first.windows.shape == (6, 4, 64, 64) and first.masks.shape == (6, 1, 64, 64)
    assert first.masks.min() >= 0 and first.masks.max() <= 1
    assert set(np.unique(first.known)) <= {0, 1}


def test_looks_keep_the_size_and_are_never_black():
    rng = np.random.default_rng(6)
    image = cv2.GaussianBlur(rng.integers(0, 255, (64, 64, 3), np.uint8), (0, 0), 3)
    for seed in range(40):
        for change in (looks.painted, looks.relit):
            out = change(image, np.random.default_rng(seed))
            assert out.shape == image.shape and out.dtype == np.uint8
        assert out.max() > 30


def test_drawn_people_have_their_face_inside_the_mask():
    for seed in range(6):
        image, mask, outline = dolls.doll(64, np.random.default_rng(seed))
        assert image.shape == (64, 64, 3) and mask.shape == (64, 64)
        places = np.clip(np.rint(outline), 0, 63).astype(int)
        assert mask[places[:, 1], places[:, 0]].mean() > 0.8
        assert mask[0, 0] < 0.5 < mask[-1, 32]


def test_sharpened_masks_follow_the_picture():
    data = people()
    blurred = cv2.GaussianBlur(data.masks[0], (0, 0), 3)
    found = footage.sharpened(data.images[0], blurred) / 255
    truth = data.masks[0] / 255
    assert np.abs(found - truth).mean() < 0.5 * np.abs(blurred / 255 - truth).mean()


@pytest.fixture
def folders(tmp_path):
    """One picture with its mesh and mask."""
    one = Folders(*(tmp_path / name for name in ("clips", "masks", "meshes")))
    for folder in one:
        folder.mkdir()
    pose = HeadPose(np.eye(3), 40.0, np.array([48.0, 48.0]))
    mesh = pose.project(face_model.load().mean).astype(np.float32)
    np.save(one.meshes / "a.npy", mesh[None])
    io.write_picture(one.clips / "a.png", people().images[0])
    np.savez(one.masks / "a.npz", masks=people().masks[0][None], rows=np.array([0]))
    return one


def test_labelled_frames_are_read(folders):
    found = footage.read([folders])
    np.testing.assert_array_equal(found.images[0], people().images[0])
    assert found.heads.shape == (1, 3) and 20 < found.heads[0, 2] < 60
    assert np.abs(found.heads[0, :2] - 48).max() < 12
    assert np.abs(found.walls[0][40:56, 40:56].astype(int) - GREEN).mean() < 12


def test_frames_without_a_mesh_are_left_out(folders):
    np.save(folders.meshes / "a.npy", np.full((1, 478, 3), np.nan, np.float32))
    with pytest.raises(InputError, match="expected labelled frames"):
        footage.read([folders])


@pytest.mark.parametrize(
    "labels",
    [
        {"masks": np.zeros((1, 96, 96), np.float32), "rows": np.array([0])},
        {"masks": np.zeros((1, 96, 96), np.uint8), "rows": np.array([5])},
        {"masks": np.zeros((2, 96, 96), np.uint8), "rows": np.array([0])},
        {"masks": np.zeros((1, 20, 96), np.uint8), "rows": np.array([0])},
        {"masks": np.zeros((1, 96, 96), np.uint8)},
    ],
)
def test_labels_that_do_not_fit_are_refused(folders, labels):
    np.savez(folders.masks / "a.npz", **labels)
    with pytest.raises(InputError, match="label the clip again"):
        footage.read([folders])


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4" + bytes(50)])
def test_damaged_labels_are_refused(folders, content):
    (folders.masks / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="label the clip again"):
        footage.read([folders])


def test_cut_off_labels_are_refused(folders):
    whole = (folders.masks / "a.npz").read_bytes()
    for end in (200, len(whole) - 40):
        (folders.masks / "a.npz").write_bytes(whole[:end])
        with pytest.raises(InputError, match="label the clip again"):
            footage.read([folders])


def test_missing_clips_and_masks_are_said(folders):
    (folders.clips / "a.png").unlink()
    with pytest.raises(InputError, match="expected a clip"):
        footage.read([folders])
    (folders.masks / "a.npz").unlink()
    with pytest.raises(InputError, match="expected labelled frames"):
        footage.read([folders])
