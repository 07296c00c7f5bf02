"""Points of a head put right for the page, without the page."""

import re

import numpy as np
import pytest

from apps.studio import points_view, texturing
from apps.terminal import example_source
from calibration import texture as calibration
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.face.named_points import NAMES
from hybridanim.profiles import TextureProfile, load_profile
from tests import synthetic


@pytest.fixture(scope="module")
def fitted():
    return texturing.load(example_source())


def beside(fitted, name, x=0.0, y=0.0):
    """A place x, y pixels from where the automatic fit has a point."""
    place = fitted.fit.automatic_px[NAMES[name]]
    return float(place[0]) + x, float(place[1]) + y


def test_a_point_is_met_where_it_was_put(fitted):
    wanted = beside(fitted, "chin", 3, 8)
    now = texturing.put(fitted, "chin", wanted)
    np.testing.assert_allclose(now.fit.vertices_px[NAMES["chin"]], wanted, atol=0.02)
    assert now.profile.largest_residual_px < 0.02 and texturing.rows(now)[0][0] == "chin"
    assert texturing.put(now, str(NAMES["chin"]), None).points == {}
    assert texturing.without_points(now).points == {}


def test_the_camera_is_that_of_the_profile(fitted):
    moved = texturing.put(fitted, "nose_tip", beside(fitted, "nose_tip", 2, 0))
    seen = texturing.with_camera(moved, "perspective", 40)
    assert seen.fit.camera.focal_px == pytest.approx(
        fitted.before.picture.shape[1] / 2 / np.tan(np.deg2rad(20))
    )
    assert seen.profile.camera == "perspective" and seen.profile.field_of_view_deg == 40
    assert texturing.with_camera(seen, "weak", 40).profile.field_of_view_deg == 0


def test_a_profile_is_saved_and_loaded_and_the_command_line_takes_it(fitted, tmp_path, capsys):
    place = beside(fitted, "left_jaw", -4, 3)
    now = texturing.with_camera(texturing.put(fitted, "left_jaw", place), "perspective", 25)
    path = texturing.saved(now, tmp_path / "t.toml")
    profile = load_profile(path)
    assert isinstance(profile, TextureProfile) and profile.origin.source == example_source().name
    again = texturing.with_profile(fitted, path)
    assert again.points == now.points and again.camera == "perspective"
    np.testing.assert_allclose(again.fit.vertices_px, now.fit.vertices_px, atol=1e-6)
    words = [str(example_source()), "--start-from", str(path), "--output", str(tmp_path / "u.toml")]
    assert calibration.main(words) == 0
    assert "left_jaw" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"t\.toml"):
        texturing.saved(now, path)


def test_what_it_refuses(fitted, tmp_path):
    with pytest.raises(InputError, match="within"):
        texturing.put(fitted, "chin", (5000, 5000))
    with pytest.raises(InputError, match="name of a point"):
        texturing.put(fitted, "ear", (1, 1))
    io.write_picture(tmp_path / "other.png", synthetic.photograph(256))
    other = texturing.load(tmp_path / "other.png")
    path = texturing.saved(texturing.put(fitted, "chin", beside(fitted, "chin")),
                           tmp_path / "t.toml")  # fmt: skip
    with pytest.raises(InputError, match="its own picture"):
        texturing.with_profile(other, path)
    io.write_picture(tmp_path / "none.png", synthetic.textured(200, 200))
    with pytest.raises(InputError, match="face"):
        texturing.load(tmp_path / "none.png")


@pytest.mark.parametrize("yaw", [0, 40])
def test_a_click_on_the_head_chooses_the_point_there(fitted, yaw):
    points = texturing.head_points(fitted, yaw)
    for name in ("nose_tip", "chin", "left_eye_outer"):
        x, y = points[NAMES[name], :2]
        assert texturing.nearest(fitted, yaw, (float(x), float(y))) == name
    assert texturing.head_picture(fitted, yaw, "chin").shape == (360, 360, 3)


def test_the_drawing_has_points_where_the_picture_shows_them(fitted):
    now = texturing.put(fitted, "chin", beside(fitted, "chin", 0, 6))
    drawn = points_view.html_of(now, "nose_tip")
    data = {k: float(re.search(rf'data-{k}="(-?[0-9.]+)"', drawn)[1]) for k in ("scale", "x", "y")}
    for name in ("chin", "nose_tip", "left_iris"):
        found = re.search(
            rf'cx="([0-9.]+)" cy="([0-9.]+)" r="6" data-vertex="{NAMES[name]}"', drawn
        )
        assert found is not None
        place = (np.array([float(found[1]), float(found[2])]) + 0.5) / data["scale"]
        place += np.array([data["x"], data["y"]]) - 0.5
        np.testing.assert_allclose(place, now.fit.vertices_px[NAMES[name]], atol=0.1)
    assert drawn.count("point given") == 1 and drawn.count("chosen") == 1
    assert drawn.count("<circle") == len(NAMES)
