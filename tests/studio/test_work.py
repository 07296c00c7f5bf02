"""Faces, framing, names and commands of the studio."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from apps import main
from apps.studio import driving_face, work
from apps.studio.work import Looker
from apps.terminal import example_source
from hybridanim import io
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.visualization import primitives


@pytest.fixture(scope="module")
def looker():
    return Looker()


def two_faces() -> np.ndarray:
    """The astronaut twice: at the left smaller, at the right larger."""
    picture = np.full((400, 900, 3), 120, np.uint8)
    face = data.astronaut()[:320, 100:420]
    picture[40:360, 540:860] = face
    picture[100:260, 60:220] = face[::2, ::2]
    return picture


def test_faces_are_numbered_as_the_option_does(looker, tmp_path):
    io.write_picture(tmp_path / "two.png", two_faces())
    looked = looker.source(tmp_path / "two.png")
    assert len(looked.faces) == 2
    assert looked.faces[0].center_xy_px[0] > 540 > looked.faces[1].center_xy_px[0]
    scale = work.VIEW_PX / 900
    assert work.face_at(looked, 700 * scale, 180 * scale) == 0
    assert work.face_at(looked, 140 * scale, 180 * scale) == 1
    assert work.face_at(looked, 400 * scale, 380 * scale) is None
    for index in (0, 1):
        _, crop = looker.framing(looked.picture, PipelineConfig(face=index))
        assert (crop.x_px > 400) == (index == 0)
    shown = work.shown_faces(looked, 1)
    assert shown.shape[1] == work.VIEW_PX
    assert (shown == np.array(primitives.GREEN)).all(-1).any()


def test_what_is_no_picture_is_refused(looker, tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(InputError, match="source: expected"):
        looker.source(tmp_path / "a.png")
    with pytest.raises(InputError, match="driving video: expected"):
        looker.driving(tmp_path / "none.mp4")


def test_the_driver_is_shown_where_it_has_a_face(looker):
    looked = looker.driving(EXAMPLE_DRIVING)
    assert len(looked.faces) == 1 and looked.picture.shape[2] == 3


def test_another_face_of_a_video_is_cut_out(looker, tmp_path):
    """The smaller face moves to the right; the window holds it, and not the larger one."""
    pictures = tmp_path / "clip"
    pictures.mkdir()
    still = two_faces()
    for number in range(20):
        frame = np.full_like(still, 120)
        frame[:, 500:] = still[:, 500:]
        frame[100:260, 60 + 2 * number : 220 + 2 * number] = still[100:260, 60:220]
        io.write_picture(pictures / f"{number:02d}.png", frame)
    looked = looker.driving(pictures)
    path = driving_face.cut_out(looker, looked, 1, tmp_path / "cut.mp4")
    with io.open_source(path) as reader:
        frames = list(reader)
        assert len(frames) == 20 and reader.fps == 25
    faces = [looker.faces(frame.image) for frame in (frames[0], frames[-1])]
    assert [len(found) for found in faces] == [1, 1]
    assert faces[0][0].width_px == pytest.approx(looked.faces[1].width_px, rel=0.15)
    with pytest.raises(InputError, match="expected face 1 to 2, got 6"):
        driving_face.cut_out(looker, looked, 5, tmp_path / "x.mp4")


def test_the_command_makes_the_same_job():
    job = RenderJob(output=Path("/far/away/r.mp4"), end=2.0, mark=False)
    job = replace(job, pipeline=PipelineConfig(size=128, face=1), debug=Path("/far/d"))
    text = work.command_line(job, Path("/tmp/x/my face.png"), Path("/tmp/y/d.mp4"))
    words = shlex.split(text)
    at = words.index("my face.png")
    files, again = main.parse(words[at:])
    assert (files.source, files.driving) == (Path("my face.png"), Path("d.mp4"))
    assert again == replace(job, output=Path("r.mp4"), debug=Path("d"))


def test_names_of_results():
    assert work.result_stem(Path("a b/ü?.png"), Path("../c.d.mp4")) == "ü_-c.d"
    assert work.safe_stem("../..") == "" and len(work.safe_stem("x" * 500)) == 60
    assert example_source().name == "astronaut.png"
