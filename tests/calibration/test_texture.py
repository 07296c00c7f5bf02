"""The texture calibration writes a profile that a run obeys, and refuses what it cannot use."""

import re

import numpy as np
import pytest

from calibration import texture
from hybridanim.face.named_points import NAMES
from hybridanim.io import read_picture, write_picture
from hybridanim.prepare.texture import thumbnail
from hybridanim.profiles import SkinProfile, TextureProfile, load_profile, save_profile
from tests import synthetic

PICTURE = synthetic.photograph(256)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "face.png", PICTURE)
    return tmp_path


def run(*words):
    return texture.main(["face.png", "--output", "new.toml", *words])


def rows_of(text):
    """Name -> automatic, given, after, each x, y or None, of the printed table."""
    found = {}
    for line in text.splitlines():
        name, *cells = line.split()
        if name in NAMES:
            pairs = [cell.split(",") for cell in cells[:3]]
            found[name] = [None if len(p) == 1 else np.array(p, float) for p in pairs]
    return found


def test_without_points_it_shows_the_automatic_fit(folder, capsys):
    assert run("--picture", "shown.png") == 0
    rows = rows_of(capsys.readouterr().out)
    assert set(rows) == set(NAMES)
    for automatic, given, after in rows.values():
        assert given is None
        np.testing.assert_array_equal(automatic, after)
    # where a person puts them
    people = {"nose_tip": (128, 100), "chin": (127, 142), "right_iris": (144, 85)}
    for name, place in people.items():
        assert np.hypot(*(rows[name][0] - place)) < 6, name
    profile = load_profile("new.toml")
    assert profile.points == () and profile.camera == "weak"
    assert profile.picture_size_px == (256, 256)
    assert profile.origin.source == "face.png" and len(profile.origin.source_sha256) == 64
    shown = read_picture("shown.png")
    assert shown.shape[0] == 960 and shown.shape[1] > 960


def test_points_are_met_and_carried_on(folder, capsys):
    words = ("--point", "chin=130,148.5", "--point", "33=106,87,0.5")
    assert run(*words, "--camera", "perspective", "--fov", "40") == 0
    rows = rows_of(capsys.readouterr().out)
    np.testing.assert_allclose(rows["chin"][1:], [(130, 148.5)] * 2, atol=0.06)
    profile = load_profile("new.toml")
    assert profile.points == (("chin", 130.0, 148.5, 1.0), ("33", 106.0, 87.0, 0.5))
    assert (profile.camera, profile.field_of_view_deg) == ("perspective", 40.0)
    more = ["--start-from", "new.toml", "--output", "more.toml", "--point", "chin=auto"]
    assert texture.main(["face.png", *more, "--point", "left_eye_outer=105,86"]) == 0
    more = load_profile("more.toml")
    assert more.points == (("left_eye_outer", 105.0, 86.0, 1.0),)
    assert (more.camera, more.field_of_view_deg) == ("perspective", 40.0)
    weak = ["--start-from", "new.toml", "--output", "weak.toml", "--camera", "weak"]
    assert texture.main(["face.png", *weak]) == 0
    assert load_profile("weak.toml").points == profile.points


def test_the_preview_shows_the_head_turned_by_both_fits(folder):
    assert run("--point", "chin=130,155", "--preview", "turned.png") == 0
    shown = read_picture("turned.png").astype(int)
    height, width = (side // 2 for side in shown.shape[:2])
    upper, lower = shown[:height], shown[-height:]
    assert np.abs(upper[:, :width] - upper[:, -width:]).mean() > 5  # left and right
    assert np.abs(upper - lower).mean() > 0.3  # automatic and corrected


def test_names_are_listed(capsys):
    assert texture.main(["--list-points"]) == 0
    listed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert listed == {name: str(number) for name, number in NAMES.items()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--point", "chin"], "--point: expected NAME=X,Y"),
        (["--point", "chin=1"], "--point: expected NAME=X,Y"),
        (["--point", "chin=1,2,3,4"], "--point: expected NAME=X,Y"),
        (["--point", "chin=nan,2"], "--point: expected NAME=X,Y"),
        (["--point", "chin=1e9,2"], "--point: expected NAME=X,Y"),
        (["--point", "nose=1,2"], "expected a name of a point"),
        (["--point", "478=1,2"], "expected a name of a point"),
        (["--point", "chin=130,148", "--point", "152=130,148"], "each point once"),
        (["--point", "chin=130,148,0"], "weight above 0"),
        (["--point", "chin=130,148,2"], "weight above 0"),
        (["--point", "chin=1,900"], "expected a place within"),
        (["--fov", "40"], "expected a perspective camera"),
        (["--camera", "perspective"], "expected a field of view"),
        (["--camera", "perspective", "--fov", "0"], "expected a field of view"),
        (["--camera", "perspective", "--fov", "200"], "expected 1 to 150 degrees"),
        (["--camera", "perspective", "--fov", "nan"], "expected 1 to 150 degrees"),
        (["--start-from", "skin.toml"], "expected a texture profile"),
        (["--start-from", "other.toml"], "expected its own picture"),
        (["--start-from", "none.toml"], "made by calibration"),
        (["--face", "7"], "--face: expected 0 to"),
        (["--picture", "new.toml"], "another name"),
        (["--picture", "no/shown.png"], "expected"),
        (["--picture", "shown.xyz"], "expected"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(words, said, folder, capsys):
    skin = SkinProfile((1.0,), ((120.0, 110.0, 150.0),), ((90.0, 1.0, 2.0, 5.0, 0.1, 6.0),))
    save_profile(skin, folder / "skin.toml")
    save_profile(TextureProfile((256, 256), thumbnail(PICTURE[:, ::-1])), folder / "other.toml")
    before = set(folder.iterdir())
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(said, error), error
    assert set(folder.iterdir()) == before


def test_pictures_without_a_face_and_missing_options_are_refused(folder, capsys):
    write_picture(folder / "grey.png", np.full((200, 200, 3), 120, np.uint8))
    for words in (["grey.png", "--output", "x.toml"], ["face.png"], ["--output", "x.toml"]):
        assert texture.main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (folder / "x.toml").exists()
