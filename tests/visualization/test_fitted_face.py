"""The fitted face is drawn where it was fitted, on driver and source, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.face import face_model, mesh
from hybridanim.geometry import whole
from hybridanim.types import Crop, HeadBox, HeadPose
from hybridanim.visualization import drawing, fitted_face, primitives
from hybridanim.visualization.overview import SQUARE_PX, panels
from tests.made_results import made_face, made_results, made_source

SOURCE = made_source(160)


def plain(height: int, width: int, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def face_at(x: float = 150, y: float = 140, size: float = 160, yaw: float = 0.0, index: int = 1):
    return made_face(HeadBox((x, y), size), yaw, 0.0, index)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(-1)


@pytest.mark.parametrize("yaw", [-40, 0, 40])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0])
def test_a_face_is_drawn_on_its_points_and_nowhere_else(yaw, scale):
    canvas = plain(round(300 * scale), round(320 * scale))
    out = canvas.copy()
    points = fitted_face.points_of(face_at(yaw=yaw), scale)
    fitted_face.put_face(out, points)
    ink = changed(canvas, out)
    rows, columns = np.nonzero(ink)
    (left, top), (right, bottom) = points[:, :2].min(0), points[:, :2].max(0)
    edge = 3 * scale + 2
    assert left - edge < columns.min() and columns.max() < right + edge
    assert top - edge < rows.min() and rows.max() < bottom + edge
    for contour in (*mesh.EYES, mesh.OUTER_LIPS, *mesh.BROWS):
        x, y = np.round(points[list(contour), :2]).astype(int).T
        assert ink[y, x].all(), "every point of a contour is inked"


def test_points_are_scaled_pixels():
    fit = face_at()
    model = face_model.load()
    own = fit.pose.project(model.vertices(fit.identity, fit.expression))
    np.testing.assert_allclose(fitted_face.points_of(fit), own, atol=1e-3)
    scaled = fitted_face.points_of(fit, 2.0)
    np.testing.assert_allclose(scaled[:, :2], 2 * own[:, :2] + 0.5, atol=1e-3)


def test_only_the_side_that_faces_the_camera_has_edges():
    canvas = plain(300, 320)

    def inked(yaw):
        out = canvas.copy()
        fitted_face._put_edges(out, fitted_face.points_of(face_at(yaw=yaw))[:, :2])
        return int(changed(canvas, out).sum())

    assert inked(180) < 0.3 * inked(0)


@pytest.mark.parametrize(
    "fit",
    [
        face_at(size=float("nan")),
        face_at(x=float("inf")),
        face_at(size=1e30),
        face_at(x=-9e5),
        face_at(size=0.0),
        replace(face_at(), identity=np.zeros(3, np.float32)),
        replace(face_at(), expression=np.zeros(0, np.float32)),
        replace(face_at(), quantities=np.zeros(2, np.float32), neutral=np.zeros(2, np.float32)),
        replace(face_at(), quantities=np.full(11, np.nan, np.float32)),
    ],
)
def test_unusual_fits_do_not_fail(fit):
    made = made_results(3, SOURCE)
    tracks = replace(made.tracks, face=fit)
    assert drawing.tracks(plain(240, 320), tracks).shape == (240, 320, 3)
    drawing.source(plain(64, 64), replace(SOURCE, face=fit))


def test_a_fit_of_another_model_leaves_landmarks_and_axes():
    made = made_results(3, SOURCE).tracks
    canvas = plain(240, 320)
    assert made.face is not None
    other = replace(made.face, identity=np.zeros(3, np.float32), expression=np.zeros(3, np.float32))
    drawn = drawing.tracks(canvas, replace(made, face=other))[:170, :200]
    none = drawing.tracks(canvas, replace(made, face=None))[:170, :200]
    np.testing.assert_array_equal(drawn, none)


def test_tracks_show_the_mesh_in_place_of_landmarks():
    made = made_results(3, SOURCE).tracks
    canvas = plain(480, 640)
    with_face = drawing.tracks(canvas, made, scale=2)
    without = drawing.tracks(canvas, replace(made, face=None), scale=2)
    ink = changed(with_face, without)
    points = fitted_face.points_of(made.face, 2)
    x, y = np.round(points[list(mesh.OUTLINE), :2]).astype(int).T
    assert ink[y, x].mean() > 0.8
    assert not ink[:400, :100].any(), "nothing beside the face"


def test_axes_are_those_of_the_fit():
    """A fit that looks to the right, in tracks whose angles say nothing: the arrow goes right."""
    made = made_results(3, SOURCE).tracks
    canvas = plain(480, 640)
    x = made.head.center_xy_px[0]
    for yaw, side in ((50, 1), (-50, -1)):
        fit = made_face(made.head, yaw, 0.0, 1)
        out = drawing.tracks(canvas, replace(made, face=fit, rotation_deg=(0.0, 0.0, 0.0)), scale=2)
        pink = np.abs(out[:400].astype(int) - primitives.PINK).max(-1) < 12
        assert side * (np.nonzero(pink)[1].mean() - 2 * x) > 10


def test_bars_lead_to_the_side_of_the_change():
    model = face_model.load()
    names = face_model.AXES
    for amount in (-0.2, 0.2):
        canvas = plain(480, 640, 0)
        quantities = face_model.measure(model.mean).astype(np.float32)
        neutral = quantities.copy()
        quantities[names.index("gaze_x")] += amount
        fitted_face.put_bars(canvas, replace(face_at(), quantities=quantities, neutral=neutral))
        rows, columns = np.nonzero((canvas == fitted_face.BAR).all(-1))
        line = np.nonzero((canvas == primitives.TEXT).all(-1).sum(0) > 60)[0]
        assert len(line) == 1 and (np.sign(columns - line[0]) == np.sign(amount)).all()
        assert np.ptp(rows) < 20, "one bar"


def test_bars_stay_away_where_they_would_hide_the_picture():
    for shape in ((480, 640), (640, 480), (240, 320), (60, 80), (480, 120)):
        canvas = plain(*shape)
        fitted_face.put_bars(canvas, face_at())
        assert changed(plain(*shape), canvas).mean() < 0.25


def test_the_source_shows_its_face():
    canvas = plain(320, 320)
    out = drawing.source(canvas, SOURCE)
    points = fitted_face.points_of_source(SOURCE, 320)
    x, y = np.round(points[list(mesh.OUTER_LIPS), :2]).astype(int).T
    assert changed(canvas, out)[y, x].all()
    np.testing.assert_allclose(
        points[:, :2].mean(0) / 320, np.array(SOURCE.head.center_xy_px) / 160, atol=0.06
    )
    bare = replace(SOURCE, face=None)
    np.testing.assert_array_equal(drawing.source(canvas, bare), canvas)
    shown = panels(made_results(3, bare), bare)["source"]
    assert shown.shape == (SQUARE_PX, SQUARE_PX, 3)


def test_a_source_face_lies_in_its_crop():
    """The same fit, with a crop that begins elsewhere and is half as large."""
    near = replace(SOURCE, crop=Crop(40.0, 30.0, 80.0))
    wide = fitted_face.points_of_source(SOURCE, 160)
    close = fitted_face.points_of_source(near, 160)
    expected = (wide[:, :2] + 0.5 - (40, 30)) * 2 - 0.5
    np.testing.assert_allclose(close[:, :2], expected, atol=1e-3)


def test_the_target_is_drawn_over_the_source_where_there_is_one():
    made = made_results(12, SOURCE)
    assert made.points.head is not None
    still = replace(made.points, head=None)
    on = panels(made, SOURCE)["keypoints_source"]
    off = panels(replace(made, points=still), SOURCE)["keypoints_source"]
    points = fitted_face.points_of_target(SOURCE, made.points.head, SQUARE_PX)
    ink = changed(on, off)
    x, y = np.round(points[list(mesh.OUTLINE), :2]).astype(int).T
    assert ink[y, x].mean() > 0.7
    rows, columns = np.nonzero(ink)
    low, high = points[:, :2].min(0) - 4, points[:, :2].max(0) + 4
    assert (columns >= low[0]).all() and (columns <= high[0]).all()
    assert (rows >= low[1]).all() and (rows <= high[1]).all()


def test_the_target_at_rest_is_the_source_itself():
    made = made_results(1, SOURCE)
    own, crop = SOURCE.face, whole(SOURCE.image)
    assert crop == SOURCE.crop and made.points.head is not None
    pose = replace(made.points.head.pose, rotation=own.pose.rotation)
    rest = replace(made.points.head, pose=pose, expression=own.expression)
    np.testing.assert_allclose(
        fitted_face.points_of_target(SOURCE, rest, 300),
        fitted_face.points_of_source(SOURCE, 300),
        atol=1e-3,
    )
    assert isinstance(pose, HeadPose)
