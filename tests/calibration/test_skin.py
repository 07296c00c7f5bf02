"""The skin calibration learns the astronaut's skin and says clearly what it cannot use."""

import cv2
import numpy as np
import pytest
from skimage import data

from calibration import skin
from hybridanim.errors import InputError
from hybridanim.io import read_picture, write_picture
from hybridanim.profiles import load_profile
from hybridanim.segmentation import skin_model
from tests import synthetic


@pytest.fixture
def astronaut(tmp_path):
    path = tmp_path / "astronaut.png"
    write_picture(path, data.astronaut())
    return path


def test_profile_explains_the_face_it_was_learned_from(astronaut, tmp_path):
    output, preview = tmp_path / "profile.toml", tmp_path / "preview.png"
    assert skin.main([str(astronaut), "--output", str(output), "--preview", str(preview)]) == 0
    profile = load_profile(output)
    assert profile.origin.source == "astronaut.png"
    assert len(profile.origin.source_sha256) == 64
    generic = skin_model.generic_cloud()
    cloud = skin_model.Cloud(skin_model.profile_histogram(profile), generic.other, 1.0)
    yuv = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2YUV)
    likely = skin_model.probability(yuv, cloud.table())
    assert np.median(likely[100:160, 200:250]) > 200  # cheeks, nose, chin
    assert np.median(likely[300:500, 100:160]) < 60  # the suit
    height, width = read_picture(preview).shape[:2]
    assert (height, width) == (480, 3 * 480)


def test_a_clip_is_read_too(astronaut, tmp_path):
    frames = tmp_path / "clip"
    frames.mkdir()
    for i in range(3):
        write_picture(frames / f"{i}.png", np.roll(data.astronaut(), 5 * i, axis=1))
    output = tmp_path / "clip.toml"
    assert skin.main([str(frames), "--output", str(output)]) == 0
    assert load_profile(output).origin.source == "clip"


@pytest.mark.parametrize("kind", ["missing", "text", "no face", "no folder"])
def test_what_cannot_be_used_is_one_line_and_exit_2(kind, astronaut, tmp_path, capsys):
    output, path = tmp_path / "p.toml", tmp_path / "input.png"
    if kind == "text":
        path.write_text("hello")
    elif kind == "no face":
        write_picture(path, data.coffee())
    elif kind == "no folder":
        path, output = astronaut, tmp_path / "no" / "p.toml"
    assert skin.main([str(path), "--output", str(output)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not output.exists()


def test_clicks_pick_the_region_of_that_colour():
    """A disc of skin on blue: a click on it picks it, and nothing else."""
    image = np.full((120, 160, 3), (40, 60, 150), np.uint8)
    cv2.circle(image, (80, 60), 30, synthetic.SKIN_RGB["medium"], -1)
    inside = cv2.circle(np.zeros(image.shape[:2], np.uint8), (80, 60), 30, 255, -1) > 0
    found = skin.picked(image, [(80, 60)]) > 0
    assert (found & ~inside).sum() == 0 and (found & inside).sum() > 0.95 * inside.sum()
    assert not skin.picked(image, []).any()
    profile = skin.learn_at(image, [(70, 60), (90, 60)])
    yuv = cv2.cvtColor(np.array([[synthetic.SKIN_RGB["medium"]]], np.uint8), cv2.COLOR_RGB2YUV)
    means = np.array(profile.weights) @ np.array(profile.means_yuv)
    np.testing.assert_allclose(means, yuv[0, 0], atol=1.5)


@pytest.mark.parametrize(
    ("points", "said"),
    [([(200, 5)], "points in the picture of 160x120"), ([(5, 5)], "200 pixels of even skin")],
)
def test_points_without_skin_are_refused(points, said):
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    with pytest.raises(InputError, match=said):
        skin.learn_at(image, points)
