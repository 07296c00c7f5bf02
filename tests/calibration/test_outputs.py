"""No program of calibration and tools replaces a file unasked, or an input at all."""

import numpy as np
import pytest
from skimage import data

from calibration import alignment, camera, skin, skin_prior, texture, tracker
from hybridanim.io import write_picture
from tools import make_driving, make_gallery, make_shapes

PROGRAMS = {
    "skin": (skin.main, ["clips/face.png", "--output", "clips/mine"]),
    "skin preview": (skin.main, ["face.png", "--output", "new.toml", "--preview", "mine"]),
    "camera": (camera.main, ["--field-of-view", "60", "--output", "mine"]),
    "tracker": (tracker.main, ["clips/a.mp4", "--output", "mine"]),
    "texture": (texture.main, ["clips/face.png", "--output", "clips/mine"]),
    "texture picture": (
        texture.main,
        ["face.png", "--output", "new.toml", "--picture", "mine", "--preview", "other"],
    ),
    "skin_prior": (skin_prior.main, ["clips", "--output", "mine"]),
    "alignment": (
        alignment.main,
        ["--clips", "clips", "--networks", "networks", "--teacher", "t", "--output", "mine"],
    ),
    "make_driving": (make_driving.main, ["--output", "mine"]),
    "make_shapes": (make_shapes.main, ["drawn", "--clips", "1"]),
    "make_gallery": (make_gallery.main, ["--out", "drawn", "--text"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "networks", "drawn/clips", "drawn/results"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        *("clips/a.mp4", "clips/mine", "mine", "networks/n.npz"),
        *("drawn/clips/creature0000__0.mp4", "drawn/results/gallery.md"),
    ):
        (tmp_path / name).write_text("years of work")
    for name in ("face.png", "clips/face.png"):
        write_picture(tmp_path / name, data.astronaut())
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_that_exists_stays_without_overwrite(name, folder, capsys):
    main, words = PROGRAMS[name]
    before = contents(folder)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "expected" in error and "--overwrite" in error
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("skin", "clips/face.png"),
        ("texture", "clips/face.png"),
        ("tracker", "clips/a.mp4"),
        ("skin_prior", "clips/a.mp4"),
        ("alignment", "clips/a.mp4"),
        ("alignment", "networks/n.npz"),
    ],
)
def test_an_input_is_never_replaced(name, output, folder, capsys):
    main, words = PROGRAMS[name]
    before = contents(folder)
    at = words.index("--output") + 1
    assert main([*words[:at], output, *words[at + 1 :], "--overwrite"]) == 2
    assert "another" in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.parametrize("words", [["--every", "0"], ["--clips", "none"], ["--networks", "mine"]])
def test_alignment_refuses_what_it_cannot_use(words, folder, capsys):
    given = PROGRAMS["alignment"][1]
    assert alignment.main([*given, "--overwrite", *words]) == 2
    assert "expected" in capsys.readouterr().err


def test_skin_prior_writes_a_new_file_and_replaces_it_when_asked(folder, monkeypatch):
    skin_pixels = np.full((400, 3), 150, np.uint8)
    monkeypatch.setattr(skin_prior, "sample", lambda _: iter([(skin_pixels, skin_pixels)]))
    assert skin_prior.main(["clips", "--output", "new"]) == 0
    assert skin_prior.main(["clips", "--output", "mine", "--overwrite"]) == 0
    assert (folder / "mine").read_bytes() == (folder / "new").read_bytes()


def test_errors_of_the_system_and_ctrl_c_end_without_a_traceback(folder, monkeypatch, capsys):
    for error, code in (
        (PermissionError(13, "Permission denied", "x"), 2),
        (KeyboardInterrupt, 130),
    ):

        def refused(_, error=error):
            raise error

        monkeypatch.setattr(skin, "read", refused)
        assert skin.main(["face.png", "--output", "new.toml"]) == code
        assert capsys.readouterr().err.count("\n") == 1
