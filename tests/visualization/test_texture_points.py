"""The picture of a texture fit shows all names, and lines where points were put right."""

import numpy as np
import pytest

from hybridanim.face import face_model, texture_fit
from hybridanim.face.named_points import NAMES
from hybridanim.face.texture_fit import Constraint
from hybridanim.types import HeadBox
from hybridanim.visualization import primitives, texture_points
from tests.made_results import made_face


def is_near(picture, colour):
    return np.abs(picture.astype(int) - colour).max(-1) < 12


@pytest.mark.parametrize("scale", [1, 4])
def test_a_point_that_was_put_right_has_a_line(scale):
    face = made_face(HeadBox((150 * scale, 140 * scale), 160 * scale), 0.0, 0.0, 1)
    picture = np.full((300 * scale, 320 * scale, 3), 90, np.uint8)
    model = face_model.load()
    before = face.pose.project(model.vertices_of(face))[:, :2]
    given = [Constraint("nose_tip", tuple(before[NAMES["nose_tip"]] + (0, 20 * scale)))]
    plain = texture_points.draw(picture, texture_fit.fit(model, face, []), [])
    drawn = texture_points.draw(picture, texture_fit.fit(model, face, given), given)
    assert plain.shape == drawn.shape and plain.dtype == np.uint8
    assert not is_near(plain, primitives.ORANGE).any()
    middle = is_near(drawn, primitives.ORANGE)[:, 300:-300]  # between the columns of names
    rows, columns = np.nonzero(middle)
    assert np.ptp(rows) > 60 and np.ptp(columns) < 60
    assert (picture == 90).all()


def test_names_keep_their_distance_and_order():
    places = texture_points._apart([5.0, 6.0, 7.0, 300.0, 301.0, 598.0], 40.0, 600)
    assert np.diff(places).min() > 40 - 1e-9
    assert places[0] >= 20 - 1e-9 and places[-1] <= 580 + 1e-9
    crowded = texture_points._apart([10.0] * 50, 40.0, 600)
    np.testing.assert_allclose(np.diff(crowded), 12)
    assert len(texture_points._apart([], 40.0, 600)) == 0
