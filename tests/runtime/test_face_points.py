"""The landmark networks: OpenVINO's graphs equal torch's networks; files are checked."""

import cv2
import numpy as np
import pytest
import torch

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.face import face_model, face_windows, mesh
from hybridanim.face.face_windows import KINDS
from hybridanim.io import open_source
from hybridanim.networks import face_points_file
from hybridanim.runtime import face_points
from hybridanim.runtime.face_points import WEIGHTS, FacePoints
from hybridanim.types import HeadBox, HeadPose
from tests.changed_weights import changed


@pytest.fixture(scope="module")
def finder():
    return FacePoints(face_points.load(), face_model.load())


@pytest.fixture(scope="module")
def drawn():
    """A frame of the packaged drawn clip, grey, and the head box in it."""
    with open_source(files.EXAMPLE_DRIVING) as source:
        image = next(iter(source)).image
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_openvino_equals_torch(name):
    kind, batch = KINDS[name], face_points.BATCH[name]
    windows = np.random.default_rng(1).standard_normal((batch, 1, kind.height_px, kind.width_px))
    points, score = face_points.load()[name](windows.astype(np.float32))
    net = face_points_file.read(WEIGHTS)[name]
    with torch.inference_mode():
        wanted, logit = net(torch.from_numpy(windows.astype(np.float32)))
    np.testing.assert_allclose(points, wanted.numpy(), atol=1e-4)
    np.testing.assert_allclose(score, logit.numpy(), atol=1e-3)


def test_places_come_back_from_the_window():
    pose = HeadPose(np.eye(3), 90.0, np.array([100.0, 80.0]))
    matrix = face_windows.face_window(pose)
    places = np.random.default_rng(2).uniform(60, 140, (7, 2))
    inside = places @ matrix[:, :2].T + matrix[:, 2]
    shares = (inside - (face_windows.FACE.width_px - 1) / 2) / face_windows.FACE.width_px
    again = face_points.to_picture(np.column_stack([shares, 0 * places[:, 0]]),
                                   matrix, face_windows.FACE)  # fmt: skip
    np.testing.assert_allclose(again[:, :2], places, atol=1e-9)


def test_the_right_eye_is_the_left_one_in_a_mirror(finder):
    rng = np.random.default_rng(3)
    grey = cv2.GaussianBlur(rng.integers(0, 255, (200, 201), np.uint8), (0, 0), 2)
    model = finder.model
    pose = HeadPose(np.eye(3), 90.0, np.array([100.0, 90.0]))  # 100: the middle column
    points = pose.project(model.mean)
    found = finder.refine(grey, face_points.Observation(points, 1.0)).xyz_px
    mirrored = finder.refine(np.ascontiguousarray(grey[:, ::-1]),
                             face_points.Observation(points, 1.0)).xyz_px  # fmt: skip
    for side in (0, 1):
        rows = list(mesh.EYES[side])
        back = mirrored[model.mirror[rows], :2] * [-1, 1] + [200, 0]
        np.testing.assert_allclose(found[rows, :2], back, atol=0.3)


def test_an_eye_s_points_are_the_mean_of_two_windows():
    """Points that lie at fixed places of every window come back midway between the windows."""
    model, shown = face_model.load(), []

    def network(kind):
        def found(windows):
            shown.append((kind.name, len(windows)))
            return np.zeros((len(windows), len(kind.points), 2)), np.zeros(len(windows))

        return found

    networks = {kind.name: network(kind) for kind in (face_windows.EYE, face_windows.MOUTH)}
    points = HeadPose(np.eye(3), 90.0, np.array([100.0, 90.0])).project(model.mean)
    expected = face_points.Observation(points, 1.0)
    found = FacePoints(networks, model).refine(np.zeros((200, 200), np.uint8), expected).xyz_px
    assert sorted(shown) == [("eye", 4), ("mouth", 2)]
    for rows in mesh.EYES:
        centre = points[list(rows), :2].mean(0)
        np.testing.assert_allclose(found[list(rows), :2], [centre] * 16, atol=1e-6)


def test_lips_of_a_mirror_image_are_the_lips_in_a_mirror(finder):
    """Exactly, for the mouth and its mirror image are looked at together."""
    rng = np.random.default_rng(6)
    grey = cv2.GaussianBlur(rng.integers(0, 255, (200, 201), np.uint8), (0, 0), 2)
    points = HeadPose(np.eye(3), 90.0, np.array([100.0, 90.0])).project(finder.model.mean)
    expected = face_points.Observation(points, 1.0)
    found = finder.refine(grey, expected).xyz_px
    mirrored = finder.refine(np.ascontiguousarray(grey[:, ::-1]), expected).xyz_px
    rows = [*mesh.OUTER_LIPS, *mesh.INNER_LIPS]
    back = mirrored[finder.model.mirror[rows], :2] * [-1, 1] + [200, 0]
    np.testing.assert_allclose(found[rows, :2], back, atol=0.3)


def test_nothing_is_found_in_noise_and_texture(finder):
    rng = np.random.default_rng(4)
    head = HeadBox((120.0, 120.0), 90.0)
    for sigma in (0.1, 3, 12):
        noise = cv2.GaussianBlur(rng.standard_normal((240, 240)), (0, 0), sigma)
        grey = np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
        assert finder.start(grey, head) is None


def test_windows_may_reach_beyond_the_picture(finder, drawn):
    for head in (HeadBox((-50.0, -50.0), 90.0), HeadBox((5.0, 5.0), 4000.0)):
        finder.start(drawn, head)  # no error


def test_size_of_the_picture_does_not_matter(finder):
    """Windows cut from a picture and from one of four times its size are alike."""
    rng = np.random.default_rng(5)
    small = cv2.GaussianBlur(rng.integers(0, 255, (160, 160), np.uint8), (0, 0), 3)
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    pose = HeadPose(np.eye(3), 90.0, np.array([80.0, 80.0]))
    bigger = HeadPose(np.eye(3), 360.0, np.array([80.5 * 4 - 0.5] * 2))
    windows = [face_windows.cut(picture, face_windows.face_window(one), face_windows.FACE)
               for picture, one in ((small, pose), (large, bigger))]  # fmt: skip
    assert np.abs(windows[0].astype(int) - windows[1]).mean() < 3


def _nan(tensors, table, sizes):
    tensors["eye.mean"] = tensors["eye.mean"] * np.float16("nan")


def _huge(tensors, table, sizes):
    sizes["face"]["channels"] = [1 << 20]


def _other_shape(tensors, table, sizes):
    tensors["mouth.head.1.bias"] = np.zeros(3, np.float16)


def _other_format(tensors, table, sizes):
    table["format"] = "face-points-99"


def _no_weight(tensors, table, sizes):
    tensors["eye.head.1.bias"] = tensors["eye.head.1.bias"].astype(np.float64) + 1e300


def _whole_numbers(tensors, table, sizes):
    tensors["eye.head.1.bias"] = tensors["eye.head.1.bias"].astype(np.int32)


def _half_a_dimension(tensors, table, sizes):
    sizes["face"]["dimensions"] = 3.0


def _a_size_more(tensors, table, sizes):
    sizes["face"]["depth"] = 3


def _a_size_of_text(tensors, table, sizes):
    sizes["face"]["hidden"] = "192"


def _true_channels(tensors, table, sizes):
    sizes["face"]["channels"] = 5


CHANGES = [
    *(_nan, _huge, _other_shape, _other_format, _no_weight, _whole_numbers),
    *(_half_a_dimension, _a_size_more, _a_size_of_text, _true_channels),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("error")
def test_unfit_files_are_refused(tmp_path, change):
    file = changed(WEIGHTS, tmp_path, change)
    for read in (face_points_file.read_arrays, face_points_file.read):
        with pytest.raises(InputError, match="landmark networks"):
            read(file)


def test_a_file_that_lacks_a_network_is_refused(tmp_path):
    networks = face_points_file.read(WEIGHTS)
    file = tmp_path / "face.safetensors"
    face_points_file.write({"face": networks["face"]}, file)
    with pytest.raises(InputError, match="none for eye, mouth; join"):
        face_points.load(file)


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_damaged_files_are_refused(tmp_path, content):
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match="landmark networks"):
        face_points_file.read_arrays(file)


def test_written_networks_are_read_again(tmp_path):
    networks = face_points_file.read(WEIGHTS)
    face_points_file.write(networks, tmp_path / "again.safetensors")
    again = face_points_file.read(tmp_path / "again.safetensors")
    assert again.keys() == networks.keys()
    assert (tmp_path / "again.safetensors").stat().st_size == WEIGHTS.stat().st_size
