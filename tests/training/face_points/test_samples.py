"""Windows and their labels: a mark drawn at a point lies where the label says, mirrored or not."""

import cv2
import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.face import face_model, face_windows, head_pose
from hybridanim.face.face_windows import KINDS
from hybridanim.training.face_points import balance, samples
from hybridanim.training.face_points.samples import Footage
from hybridanim.types import HeadPose

MODEL = face_model.load()


def pose_of(yaw=0.0, roll=0.0, shift=(128.0, 120.0), scale_px=100.0):
    rotation = head_pose.rotation_matrix((yaw, 0, roll))
    return HeadPose(rotation, scale_px, np.array(shift))


def marked(points, row, size=256):
    """A dark picture with a bright blurred spot at one of the points."""
    y, x = np.mgrid[:size, :size]
    spot = np.exp(-((x - points[row, 0]) ** 2 + (y - points[row, 1]) ** 2) / (2 * 2.0**2))
    return np.round(255 * spot).astype(np.uint8)


def footage(picture, points):
    poses = samples.poses_of(points[None], MODEL)
    return Footage([picture], points[None].astype(np.float32), poses, np.zeros(1, int), np.ones(1))


def centre(window):
    values = window.astype(float) - np.median(window)
    values[values < 0.5 * values.max()] = 0
    y, x = np.mgrid[: window.shape[0], : window.shape[1]]
    return np.array([(values * x).sum(), (values * y).sum()]) / values.sum()


@pytest.mark.parametrize(("name", "row"), [("face", 61), ("eye", 33), ("mouth", 61), ("face", 13)])
def test_a_mark_lies_at_its_label(name, row, monkeypatch):
    monkeypatch.setattr(samples, "_relit", lambda window, rng: window)
    monkeypatch.setattr(samples, "_FACELESS", 0.0)
    monkeypatch.setattr(samples, "_GLASSES", 0.0)
    kind, rng = KINDS[name], np.random.default_rng(0)
    points = pose_of(15, 10).project(MODEL.mean)
    mirrored_row = int(MODEL.mirror[row])
    seen = 0
    for marked_row in {row, mirrored_row}:
        data = footage(marked(points, marked_row), points)
        found = samples.batch(data, kind, 24, rng, MODEL.mirror)
        for window, label in zip(found.windows[:, 0], found.points, strict=True):
            if np.ptp(window) < 5:
                continue  # the other eye, or beyond the window
            places = label[:, :2] * kind.width_px
            places = places + np.array([kind.width_px - 1, kind.height_px - 1]) / 2
            names = {row, mirrored_row} & set(kind.points)
            apart = [np.linalg.norm(centre(window) - places[kind.points.index(i)]) for i in names]
            if min(places[0]) > 2:
                assert min(apart) < 1.5
                seen += 1
    assert seen > 10


def test_a_batch_is_a_function_of_its_seed():
    points = pose_of().project(MODEL.mean)
    data = footage(marked(points, 4), points)
    one, two = (samples.batch(data, KINDS["face"], 8, np.random.default_rng(7), MODEL.mirror)
                for _ in range(2))  # fmt: skip
    np.testing.assert_array_equal(one.windows, two.windows)
    np.testing.assert_array_equal(one.points, two.points)


def test_poses_of_meshes_are_their_own():
    true = pose_of(-20, 12, (90.0, 110.0), 77.0)
    found = samples.poses_of(true.project(MODEL.mean)[None], MODEL)[0]
    np.testing.assert_allclose(found.rotation, true.rotation, atol=1e-6)
    assert found.scale_px == pytest.approx(77)


def test_rare_looks_are_drawn_more_often():
    shut = MODEL.vertices(None, MODEL.along(left_lid_open=-0.3, right_lid_open=-0.3))
    meshes = np.stack([pose_of().project(MODEL.mean)] * 50 + [pose_of().project(shut)])
    weight = balance.weights(meshes, samples.poses_of(meshes, MODEL), np.zeros(51, int))
    assert weight[-1] > 2 * weight[0]
    assert weight.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "rare"),
    [
        ("mouth", {"mouth_wide": 0.1}),
        ("mouth", {"mouth_wide": -0.1}),
        ("mouth", {"jaw_open": 0.08}),
        ("eye", {"left_lid_open": -0.12, "right_lid_open": -0.12}),  # half shut
    ],
)
def test_rare_mouths_and_lids_of_a_clip_count_more_than_their_number(kind, rare):
    common, other = (pose_of().project(MODEL.vertices(None, MODEL.along(**one)))
                     for one in ({}, rare))  # fmt: skip
    meshes = np.stack([common] * 90 + [other] * 10)
    poses = samples.poses_of(meshes, MODEL)
    clips = np.zeros(100, int)
    weight = balance.weights(meshes, poses, clips, kind)
    assert weight[90:].sum() > 0.25  # of 10 % of the frames
    assert weight.sum() == pytest.approx(1)
    assert balance.weights(meshes, poses, clips)[90:].sum() < weight[90:].sum()


def test_close_looks_come_in_pairs_of_one_clip_and_one_eye(monkeypatch):
    drawn = []

    def variant(footage, row, kind, rng, mirror, way):
        drawn.append((footage.clips[row], way.is_mirrored, way.seed))
        return np.zeros((kind.height_px, kind.width_px), np.uint8), np.zeros((21, 2))

    monkeypatch.setattr(samples, "_variant", variant)
    points = np.stack([pose_of().project(MODEL.mean)] * 12)
    clips = np.repeat([0, 1, 2], 4)
    data = Footage([np.zeros((9, 9), np.uint8)] * 12, points, [], clips, np.ones(12) / 12)
    samples.batch(data, KINDS["eye"], 41, np.random.default_rng(0), MODEL.mirror)
    assert len(drawn) == 41  # the last one has no partner
    assert drawn[0:40:2] == drawn[1:40:2]
    assert len({one[:2] for one in drawn}) == 6


def test_clips_and_labels_are_read_and_refused(tmp_path):
    media, labels = tmp_path / "media", tmp_path / "labels"
    media.mkdir()
    labels.mkdir()
    points = pose_of().project(MODEL.mean)
    cv2.imwrite(str(media / "a.png"), marked(points, 4))
    with pytest.raises(InputError, match="found none"):
        samples.read([(media, labels)], MODEL)
    np.save(labels / "a.npy", points[None].astype(np.float32))
    found = samples.read([(media, labels)], MODEL)
    # labels count from the edge of the first pixel
    np.testing.assert_allclose(found.points[0, :, :2], points[:, :2] - 0.5, atol=1e-4)
    np.save(labels / "a.npy", np.stack([points, points]).astype(np.float32))
    with pytest.raises(InputError, match="1 frames"):
        samples.read([(media, labels)], MODEL)


def test_windows_show_what_they_should():
    points = pose_of(0, 30).project(MODEL.mean)
    pose = samples.poses_of(points[None], MODEL)[0]
    for side in (0, 1):
        matrix = face_windows.eye_window(points[:, :2], pose, side)
        eye = points[list(face_windows.mesh.EYES[side]), :2] @ matrix[:, :2].T + matrix[:, 2]
        assert (eye > 0).all() and (eye < [48, 32]).all()
        assert abs(eye[0, 1] - eye[8, 1]) < 3  # levelled: the corners lie on one line
        assert eye[0, 0] < eye[8, 0]  # the outer corner is left, for the right eye too


def test_a_face_much_larger_than_its_picture_gives_a_window():
    grey, matrix = np.full((40, 60), 90, np.uint8), np.array([[1e-3, 0, 5.0], [0, 1e-3, 5.0]])
    found, same = samples._coarser(grey, matrix, np.random.default_rng(0))
    assert found is grey and same is matrix
