"""The notebook's studio without a browser: its widgets' values are set, and its buttons clicked."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ipywidgets", reason="the extra notebook is not installed")

import cv2
from skimage import data

from apps.notebook import shown
from apps.studio import option_values
from hybridanim import io
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.motion.by_hand import Controls
from hybridanim.notebook import Studio
from tools import make_driving

SMALL = {"size": 64, "renderer": "warp", "avatar": "off", "end": 0.4}


@pytest.fixture
def studio(tmp_path):
    found = Studio(results=tmp_path / "results", **SMALL)
    yield found
    found.close()


@pytest.fixture
def portrait(tmp_path) -> Path:
    """A picture that consent is asked for."""
    path = tmp_path / "my face.png"
    io.write_picture(path, np.ascontiguousarray(data.astronaut()[:320, 100:420]))
    return path


def picture_in(place) -> np.ndarray:
    """What an Image widget shows, RGB."""
    return cv2.imdecode(np.frombuffer(place.value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def is_visible(widget) -> bool:
    return widget.layout.display != "none"


def test_the_example_is_animated_by_clicks(studio, tmp_path):
    studio.example.click()
    assert is_visible(studio.source.view) and is_visible(studio.driving.view)
    assert not is_visible(studio.source.agreed), "the example needs no consent"
    studio.animation.options.fields["debug"].value = True
    studio.animation.run.click()
    assert not studio.animation.cancel.disabled
    path = studio.wait(60)
    assert path == tmp_path / "results" / "astronaut-driving.mp4"
    with io.open_source(path) as reader:
        assert (reader.width, reader.height) == (64, 64) and len(list(reader)) == 12
    driver, result = (box.children[1] for box in studio.animation.clips.children)
    assert driver.value == EXAMPLE_DRIVING.read_bytes() and result.value == path.read_bytes()
    assert "12 frames" in studio.animation.status.value and studio.animation.cancel.disabled
    assert "astronaut.png driving.mp4" in studio.animation.command.value

    stages = studio.stages
    assert stages.run.value == path.with_name("astronaut-driving.stages")
    assert "4 Head mesh" in stages.stage.options and stages.frame.max == 11
    first = picture_in(stages.picture)
    stages.frame.value = 9
    assert "Frame 9" in stages.line.value
    assert np.abs(picture_in(stages.picture).astype(int) - first).max() > 20
    stages.stage.value = "1 Skin"
    assert picture_in(stages.picture).shape != first.shape


def test_a_run_is_cancelled(tmp_path):
    studio = Studio(results=tmp_path / "results", **(SMALL | {"end": None}))
    studio.use_example()
    animation = studio.animate()
    studio.animation.cancel.click()
    studio.animation.wait(60)
    assert animation.state == "cancelled" and "cancelled" in studio.animation.status.value
    studio.close()


def test_consent_is_asked_once_for_each_source(studio, portrait):
    studio.driving.field.use(EXAMPLE_DRIVING)
    studio.source.field.use(portrait)
    assert is_visible(studio.source.agreed)
    studio.animation.run.click()
    assert "consent" in studio.source.error.value and studio.animation.animation is None
    studio.pose.button.click()
    assert "consent" in studio.pose.error.value
    studio.source.agreed.value = True
    studio.animation.run.click()
    assert studio.wait(60).is_file()
    studio.source.field.use(None)
    studio.source.field.use(portrait)
    assert not is_visible(studio.source.agreed), "it was given"


def test_errors_are_shown_where_the_input_is(studio, tmp_path):
    studio.animation.run.click()
    assert "expected a picture" in studio.source.error.value
    (tmp_path / "a.png").write_text("hello")
    studio.source.field.use(tmp_path / "a.png")
    assert "source: expected" in studio.source.error.value and studio.source.looked is None
    studio.use_example()
    assert studio.source.error.value == ""
    studio.driving.field.use(tmp_path / "none.mp4")
    assert "driving video: expected" in studio.driving.error.value
    studio.use_example()
    studio.animation.options.fields["size"].value = "3"
    studio.animation.run.click()
    assert "--size: expected 64 to 4096" in studio.animation.error.value
    with pytest.raises(InputError, match="--size: expected"):
        studio.animate()
    with pytest.raises(InputError, match="call animate"):
        studio.wait()


def test_the_face_and_the_framing_are_chosen(studio, tmp_path):
    picture = np.full((400, 900, 3), 120, np.uint8)
    face = data.astronaut()[:320, 100:420]
    picture[40:360, 540:860] = face
    picture[100:260, 60:220] = face[::2, ::2]
    io.write_picture(tmp_path / "two.png", picture)
    studio.source.field.use(tmp_path / "two.png")
    assert [value for _, value in studio.source.face.options] == [0, 1]
    largest = picture_in(studio.source.framing)
    studio.source.face.value = 1
    assert np.abs(picture_in(studio.source.framing).astype(int) - largest).max() > 20
    studio.source.crop.value = "1,2"
    assert "--crop: expected" in studio.source.error.value


def test_a_file_that_the_browser_sends(studio, portrait):
    content = memoryview(portrait.read_bytes())
    sent = {"name": "../my face.PNG", "type": "image/png", "size": len(content), "content": content}
    sent["last_modified"] = datetime.now(UTC)
    studio.source.field.upload.set_trait("value", (sent,))
    path = studio.source.field.file
    assert path.name == "my_face.png" and path.read_bytes() == portrait.read_bytes()
    assert len(studio.source.looked.faces) == 1
    studio.close()
    assert not path.exists(), "files that were sent are removed at the end"


def test_poses(studio, tmp_path):
    studio.use_example()
    pose = studio.pose
    with pytest.raises(InputError, match="press the button above"):
        pose.write()
    pose.button.click()
    assert pose.error.value == "" and set(pose.sliders) == set(vars(Controls()))
    own = picture_in(pose.picture)
    assert own.shape == (64, 64, 3) and "pipeline.pose()" in pose.call.value
    pose.sliders["yaw"].value = 25
    turned = picture_in(pose.picture)
    assert "pipeline.pose(yaw=25)" in pose.call.value
    assert np.abs(turned.astype(int) - own).mean() > 3
    pose.set(jaw=0.5)
    assert pose.amounts == {"jaw": 0.5}
    path = pose.write()
    assert path == tmp_path / "results" / "astronaut-pose.png"
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["is_generated"] and record["settings"] == {"pose": {"jaw": 0.5}}
    pose.reset.click()
    assert pose.amounts == {}


def test_pose_and_expression_are_copied_from_a_picture(studio, tmp_path):
    studio.use_example()
    pose = studio.pose
    other = make_driving.render(
        0.0, make_driving.Options(hands=False), make_driving.Pose(yaw_deg=20)
    )
    io.write_picture(tmp_path / "other.png", other.image)
    pose.copied.use(tmp_path / "other.png")
    assert "press the button above" in pose.error.value
    pose.load()
    own = picture_in(pose.picture)
    pose.copied.use(None)
    pose.copied.use(tmp_path / "other.png")
    assert pose.error.value == "" and pose.amounts["yaw"] > 10
    assert np.abs(picture_in(pose.picture).astype(int) - own).mean() > 3
    pose.copied.use(tmp_path / "none.png")
    assert "source: expected" in pose.error.value or "expected a picture" in pose.error.value


def test_every_option_is_there_and_gives_the_usual_job(studio):
    fields = studio.animation.options
    usual = studio.animation._context.animation
    names = [*fields.fields, *option_values.ELSEWHERE]
    assert sorted(names) == sorted(one.name for one in option_values.options.flat(RenderJob()))
    own = {"output": usual.output, "debug": None, "save_motion": None}
    assert fields.job(**own) == usual
    fields.fields["u_range"].value = "3 9"
    fields.fields["profile"].value = "a\n b\n"
    fields.fields["end"].value = ""
    job = fields.job(**own)
    assert job.pipeline.segment.u_range == (3, 9) and job.end is None
    assert [str(path) for path in job.profile] == ["a", "b"]
    fields.fields["scale"].value = "x"
    with pytest.raises(InputError, match="--scale: expected a number"):
        fields.job(**own)


def test_options_are_those_of_the_command_line(tmp_path):
    with pytest.raises(InputError, match="Studio: expected a known option, got 'sise'"):
        Studio(results=tmp_path, sise=3)
    studio = Studio(EXAMPLE_DRIVING, results=tmp_path, debug=True)
    assert studio.animation.options.fields["debug"].value is True
    assert studio.source.looked is not None, "a video's frame is a source, too"
    assert "application/vnd.jupyter.widget-view+json" in studio._repr_mimebundle_()
    studio.close()


def test_what_browsers_do_not_play_is_said(tmp_path):
    path = tmp_path / "a.mov"
    path.write_bytes(b"x")
    assert "do not play .mov" in shown.player(path, "Result").children[1].value
    assert "not shown here" in shown.player(tmp_path, "Driver").children[1].value
