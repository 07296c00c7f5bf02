"""The face model: symmetry, semantic axes, units, files."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hybridanim.errors import InputError
from hybridanim.face import face_model, mesh
from hybridanim.face.face_model import AXES, measure
from hybridanim.face.landmarks import MESH
from hybridanim.face.mean_shape import MEAN_SHAPE_3D
from hybridanim.fitting import fit_similarity_3d

MODEL = face_model.load()


def test_mean_is_mirror_symmetric():
    mirrored = MODEL.mean[MODEL.mirror] * [-1, 1, 1]
    np.testing.assert_allclose(mirrored, MODEL.mean, atol=1e-3)


def test_mirror_pairs_the_named_points():
    assert list(MODEL.mirror[list(mesh.EYES[0])]) == list(mesh.EYES[1])
    assert list(MODEL.mirror[list(mesh.BROWS[0])]) == list(mesh.BROWS[1])
    assert (MODEL.mirror[MODEL.mirror] == np.arange(mesh.COUNT)).all()


def test_directions_span_their_own_mirror_images():
    for directions in (MODEL.identity, MODEL.expression):
        flat = directions.reshape(len(directions), -1)
        flipped = (directions[:, MODEL.mirror] * [-1, 1, 1]).reshape(flat.shape)
        rest = flipped.T - flat.T @ np.linalg.lstsq(flat.T, flipped.T, rcond=None)[0]
        assert np.linalg.norm(rest) < 0.05 * np.linalg.norm(flipped)


def test_units_and_frame_are_those_of_the_mean_landmarks():
    rows = MESH >= 0
    scale, turn, _ = fit_similarity_3d(MODEL.mean[MESH[rows]], MEAN_SHAPE_3D[rows])
    assert scale == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(turn, np.eye(3), atol=0.01)


@pytest.mark.parametrize("name", AXES)
def test_an_axis_changes_its_quantity_and_hardly_another(name):
    step = 0.02
    change = measure(MODEL.vertices(None, MODEL.along(**{name: step}))) - measure(MODEL.mean)
    own = AXES.index(name)
    assert 0.6 * step < change[own] < 1.2 * step
    assert np.abs(np.delete(change, own)).max() < 0.35 * step


def test_measure_by_hand():
    points = MODEL.mean.astype(float)
    found = dict(zip(AXES, measure(points), strict=True))

    def apart(a, b):
        return np.linalg.norm(points[a] - points[b])

    assert found["jaw_open"] == pytest.approx(apart(13, 14) / apart(10, 152))
    assert found["mouth_wide"] == pytest.approx(apart(61, 291) / apart(33, 263))
    assert found["left_lid_open"] == pytest.approx(apart(159, 145) / apart(33, 133))
    assert found["right_lid_open"] == pytest.approx(apart(386, 374) / apart(362, 263))
    assert found["gaze_x"] == pytest.approx(0, abs=0.01)
    many = measure(np.stack([points, 2 * points]))
    np.testing.assert_allclose(many[0], many[1], rtol=1e-6)  # no unit of length


def test_triangles_leave_mouth_and_eyes_open():
    for hole in (mesh.INNER_LIPS, *mesh.EYES):
        assert not np.isin(MODEL.triangles, hole).all(1).any()
    assert MODEL.triangles.max() < 468  # no iris
    a, b, c = (MODEL.mean[MODEL.triangles[:, i], :2] for i in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).mean() > 0.9  # the sides of the nose are hidden from the front


def test_along_refuses_unknown_names():
    with pytest.raises(InputError, match="jaw_open"):
        MODEL.along(smile=1)


def test_written_model_is_read_again(tmp_path):
    file = tmp_path / "model.safetensors"
    face_model.write(MODEL, file)
    again = face_model.load(file)
    np.testing.assert_array_equal(again.triangles, MODEL.triangles)
    np.testing.assert_allclose(again.mean, MODEL.mean, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_files_are_refused(tmp_path, content):
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match="face model"):
        face_model.load(file)


def test_a_model_with_nan_is_refused(tmp_path):
    file = tmp_path / "nan.safetensors"
    face_model.write(replace(MODEL, mean=np.full_like(MODEL.mean, np.nan)), file)
    with pytest.raises(InputError, match="not finite"):
        face_model.load(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", 1e4),
        ("identity", 3.0),
        ("expression", -3.0),
        ("identity_sigma", 2e3),
        ("expression_sigma", -1.0),
        ("axes", 1e30),
    ],
)
def test_a_model_of_values_that_no_face_has_is_refused(name, value, tmp_path):
    changed = getattr(MODEL, name).copy()
    changed.flat[-1] = value
    file = tmp_path / "absurd.safetensors"
    face_model.write(replace(MODEL, **{name: changed}), file)
    with pytest.raises(InputError, match=rf"face model: expected .*{name} not finite, or not from"):
        face_model.load(file)


@pytest.mark.parametrize("name", ["identity", "expression", "triangles"])
def test_a_number_in_place_of_directions_is_refused(name, tmp_path):
    file = tmp_path / "scalar.safetensors"
    face_model.write(replace(MODEL, **{name: np.float32(0.5)}), file)
    data = {**load_file(file), name: np.array(0.5, np.float16)}
    save_file(data, file)
    with pytest.raises(InputError, match="face model: expected"):
        face_model.load(file)
