"""Key frames through the stages: every frame is the pose by hand of its time."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.motion import by_hand
from hybridanim.motion.keyframes import Key, Keyframes
from stages.pipeline import Pipeline
from tests import synthetic

KEYS = Keyframes((Key(0, {"yaw": -15}), Key(0.1, {"smile": 0.5}), Key(0.2, {"yaw": 20, "jaw": 1})))


def made(**options):
    pipeline = Pipeline.load(size=96, **options)
    pipeline.set_source(synthetic.photograph(256))
    return pipeline


def test_every_frame_is_the_pose_at_its_time():
    pipeline = made()
    pictures = list(pipeline.replay(KEYS))
    assert len(pictures) == KEYS.count == 7
    for number, picture in enumerate(pictures):
        wanted = pipeline.pose(**asdict(KEYS.at(number / 30)))
        np.testing.assert_array_equal(picture, wanted)
    np.testing.assert_array_equal(pictures[-1], pipeline.pose(yaw=20, smile=0.5, jaw=1))


def test_strengths_and_cuts_apply():
    half = made(scale=0.5)
    pictures = list(half.replay(KEYS, start_s=0.1, end_s=0.2))
    assert len(pictures) == 3
    by = by_hand.scaled(KEYS.at(0.1), half.config.keypoints.strengths)
    assert by.yaw == pytest.approx(KEYS.at(0.1).yaw / 2)
    np.testing.assert_array_equal(pictures[0], half.pose(**asdict(by)))
    still = made(drive="eyes")
    assert still.source is not None
    for picture in still.replay(KEYS):
        np.testing.assert_array_equal(picture, still.source.image)


@pytest.mark.parametrize(
    "options", [{"motion": "absolute"}, {"head_motion": "2d"}, {"neutral": "auto"}]
)
def test_options_of_a_driver_are_refused(options):
    (name,) = options
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}.* got key frames"):
        made(**options).replaying(KEYS)


def test_a_source_without_a_face_is_refused():
    with pytest.raises(InputError, match="fitted face"):
        made(face_fit=False).replaying(KEYS)
    with pytest.raises(InputError, match="Motion or Keyframes"):
        made().replaying("keys.toml")


def test_the_pose_of_a_picture_of_the_source_itself_is_zero():
    found = asdict(made().copy_pose(synthetic.photograph(256)))
    for name, value in found.items():
        # the neutral expressions of both are the same, and cancel
        limit = 2 if name in ("yaw", "pitch", "roll") else 0.1
        assert abs(value) <= limit, name


def test_the_pose_of_a_posed_picture_is_read_off_it():
    """Render a pose, fit the result: the amounts come back, as far as the fit sees them."""
    pipeline = Pipeline.load(size=384)
    pipeline.set_source(synthetic.photograph(512))
    wanted = {"yaw": 15.0, "roll": -10.0, "jaw": 0.5, "blink_left": 1.0, "blink_right": 1.0}
    found = asdict(pipeline.copy_pose(pipeline.pose(**wanted)))
    assert found["roll"] == pytest.approx(-10, abs=3)
    assert 5 < found["yaw"] < 18  # the shading of a picture does not turn, and counts
    assert found["jaw"] == pytest.approx(0.5, abs=0.25)
    assert found["blink_left"] > 0.8 and found["blink_right"] > 0.8


def test_a_picture_without_a_face_has_no_pose():
    with pytest.raises(InputError, match="face"):
        made().copy_pose(synthetic.textured(200, 200))
    with pytest.raises(InputError, match="copy_pose: expected a source first"):
        Pipeline.load(size=96).copy_pose(synthetic.photograph(128))
    pipeline = made()
    assert pipeline.source is not None
    pipeline.use_source(replace(pipeline.source, face=None))
    with pytest.raises(InputError, match="fitted face"):
        pipeline.copy_pose(synthetic.photograph(128))
