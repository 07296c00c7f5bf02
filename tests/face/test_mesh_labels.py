"""Labels of a teacher: faces and rows without one are read, and nothing else."""

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.face import face_model, mesh_labels

FACE = (100 * face_model.load().mean + [200.0, 150.0, 0.0]).astype(np.float32)


def read(tmp_path, points):
    np.save(tmp_path / "a.npy", points)
    return mesh_labels.read(tmp_path / "a.npy")


def test_faces_and_rows_without_one_are_read(tmp_path):
    points = np.stack([FACE, np.full_like(FACE, np.nan), -0.01 * FACE, FACE + 1e5])
    np.testing.assert_array_equal(read(tmp_path, points), points)
    assert read(tmp_path, points[:0]).shape == (0, 478, 3)
    assert read(tmp_path, points.astype(np.float64)).dtype == np.float32


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "row",
    [
        FACE * 1e5,
        FACE.astype(np.float64) * 1e200,
        np.where(np.arange(478)[:, None] == 7, np.inf, FACE),
        np.full_like(FACE, -np.inf),
        np.zeros_like(FACE),
        FACE * [1, 0, 1],
        FACE[:, :1] * [1, 1, 1],
        np.where(np.arange(478)[:, None] == 7, np.nan, FACE),
        np.where(np.arange(478)[:, None] == 0, FACE, np.nan),
        FACE * 1e-6,
    ],
)
def test_points_that_are_no_face_are_refused(row, tmp_path):
    with pytest.raises(InputError, match=r"a\.npy: expected labels .*, got .*; label the clip"):
        read(tmp_path, np.stack([FACE, row]))


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"text", b"\x93NUM", b"\x93NUMPY", header(b""), header(b"(" * 9000)),
        *(header(b"(" * 65000), b"\x93NUMPY\x02\x00\xff\xff\xff\x7f   ", b"PK\3\4"),
        *(
            header(b"{'descr': '%s', 'fortran_order': False, 'shape': (%s, 478, 3)}\n" % given)
            for given in (
                *((b"<f4", b"99999999999"), (b"<f4", b"-1"), (b"|O", b"1"), (b"<f4", b"10" * 40)),
                *((b"<f4", b"1"), (b"<c8", b"1"), (b"f4,f4", b"1"), (b"nonsense", b"1")),
            )
        ),
    ],
)
def test_files_whose_header_lies_are_refused(data, tmp_path):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npy: expected labels .*, got .*; label") as raised:
        mesh_labels.read(tmp_path / "a.npy")
    assert "pickle" not in str(raised.value) and "\n" not in str(raised.value)
