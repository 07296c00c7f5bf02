"""The matting network: OpenVINO's graph equals torch's network; windows; files are checked."""

import cv2
import numpy as np
import pytest
import torch

from hybridanim.errors import InputError
from hybridanim.face import matte_window
from hybridanim.networks import matte_file
from hybridanim.runtime import matte
from hybridanim.runtime.matte import WEIGHTS, PersonMatte
from tests.changed_weights import changed


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(1)
    return rng.standard_normal((2, matte_window.CHANNELS, 160, 160)).astype(np.float32)


def test_openvino_equals_torch(windows):
    found = matte.load()._network(windows)
    net = matte_file.read(WEIGHTS)
    with torch.inference_mode():
        wanted = torch.sigmoid(net(torch.from_numpy(windows)))[:, 0].numpy()
    assert wanted.std() > 0.05
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_torch_alone_gives_the_same(windows, monkeypatch):
    wanted = matte.load()._network(windows)

    def missing(*_):
        raise ImportError

    monkeypatch.setattr(matte.quiet, "openvino", missing)
    np.testing.assert_allclose(matte.load.__wrapped__()._network(windows), wanted, atol=1e-4)


def _bright_parts(windows):
    """A stand-in for a network: the red channel is the mask."""
    return (windows[:, 0] + 2) / 4


@pytest.mark.parametrize(("size", "side"), [(160, 64.0), (400, 160.0), (96, 40.0), (512, 130.0),
                                            (600, 60.0)])  # fmt: skip
def test_masks_come_back_to_their_place(size, side):
    """Windows of all kinds: smaller and larger than the picture, one or two."""
    image = np.zeros((size, size, 3), np.uint8)
    x, y = 0.55 * size, 0.45 * size
    cv2.circle(image, (round(x), round(y)), round(side / 2), (255, 255, 255), -1)
    face = matte_window.ellipse((x, y), side / 2)
    found = PersonMatte(_bright_parts, 160)(image, np.array([x, y]), side, face)
    assert found.shape == (size, size) and found.dtype == np.float32
    truth = image[..., 0] > 127
    assert ((found > 0.5) & truth).sum() / ((found > 0.5) | truth).sum() > 0.94
    assert np.abs(np.argwhere(found > 0.5).mean(0) - np.argwhere(truth).mean(0)).max() < 0.5


def test_mirrored_pictures_have_mirrored_masks():
    rng = np.random.default_rng(2)
    image = cv2.GaussianBlur(rng.integers(0, 255, (200, 200, 3), np.uint8), (0, 0), 4)
    face = matte_window.ellipse((90.0, 95.0), 40.0)
    find = matte.load()
    one = find(image, np.array([90.0, 95.0]), 80.0, face)
    other = find(np.ascontiguousarray(image[:, ::-1]), np.array([109.0, 95.0]), 80.0,
                 face * [-1, 1] + [199, 0])  # fmt: skip
    np.testing.assert_allclose(other[:, ::-1], one, atol=0.02)


def test_a_person_goes_on_below_the_window_but_not_beside_it():
    image = np.full((1000, 1000, 3), 255, np.uint8)  # all of it the person
    at = np.array([500.0, 300.0])
    face = matte_window.ellipse((500.0, 300.0), 50.0)
    found = PersonMatte(_bright_parts, 160)(image, at, 100.0, face)
    assert found[990, 500] > 0.9 and found[300, 20] == 0 and found[20, 500] == 0


def _nan(tensors, table, sizes):
    tensors["last.3.bias"] = tensors["last.3.bias"] * np.float16("nan")


def _huge(tensors, table, sizes):
    sizes["channels"] = [1 << 20] * 3


def _odd_window(tensors, table, sizes):
    sizes["window_px"] = 161


def _other_shape(tensors, table, sizes):
    tensors["up.0.0.weight"] = np.zeros(3, np.float16)


def _missing(tensors, table, sizes):
    del tensors["up.0.0.weight"]


def _other_format(tensors, table, sizes):
    table["format"] = "matte-99"


def _negative_variance(tensors, table, sizes):
    tensors["last.1.running_var"] = -1 - tensors["last.1.running_var"]


def _a_size_of_text(tensors, table, sizes):
    sizes["last"] = "8"


def _no_list(tensors, table, sizes):
    sizes["channels"] = 5


CHANGES = [
    *(_nan, _huge, _odd_window, _other_shape, _missing, _other_format),
    *(_negative_variance, _a_size_of_text, _no_list),
]


@pytest.mark.parametrize("change", CHANGES)
def test_unfit_files_are_refused(tmp_path, change):
    file = changed(WEIGHTS, tmp_path, change)
    for read in (matte_file.read_arrays, matte_file.read):
        with pytest.raises(InputError, match="matting network"):
            read(file)


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_damaged_files_are_refused(tmp_path, content):
    file = tmp_path / "damaged.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match="matting network"):
        matte_file.read_arrays(file)


def test_a_written_network_is_read_again(tmp_path):
    file = tmp_path / "again.safetensors"
    matte_file.write(matte_file.read(WEIGHTS), file)
    again, wanted = matte_file.read_arrays(file), matte_file.read_arrays(WEIGHTS)
    assert again[0] == wanted[0] and again[1].keys() == wanted[1].keys()
    for name, value in again[1].items():
        np.testing.assert_array_equal(value, wanted[1][name])
