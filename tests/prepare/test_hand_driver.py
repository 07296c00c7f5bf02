"""Key frames as a motion file: what a replay makes of it, against poses by hand."""

from fractions import Fraction

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.face.face_model import AXES, measure
from hybridanim.motion import by_hand
from hybridanim.motion.keyframes import Key, Keyframes
from hybridanim.motion.motion_file import Motion
from hybridanim.prepare.hand_driver import HandDriver, save_motion
from stages.pipeline import Pipeline
from tests import synthetic
from tests.motion.test_head_transfer import MODEL

KEYS = Keyframes(
    (
        Key(0.0),
        Key(0.5, {"yaw": 25, "pitch": -10, "jaw": 0.5, "zoom": 0.2, "shift_x": 0.1}),
        Key(1.0, {"yaw": -10, "roll": 8, "blink_left": 1, "jaw": 0, "gaze_x": 0.5}),
    ),
    Fraction(8),
)


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    return Motion.load(save_motion(KEYS, tmp_path_factory.mktemp("m") / "m.safetensors", MODEL))


@pytest.fixture(scope="module")
def pipeline():
    made = Pipeline.load(size=96, smooth=0)
    made.set_source(synthetic.photograph(256))
    return made


def test_it_is_a_motion_file_of_the_same_length_and_rate(motion):
    assert motion.count == KEYS.count == 9 and motion.header.fps == 8
    assert [row.time_s for row in motion.rows()] == pytest.approx(list(KEYS.times_s()))


def test_the_head_turns_moves_and_grows_as_by_the_keys(motion, pipeline):
    followed = zip(
        pipeline.followed(pipeline.replaying(motion, "first")),
        pipeline.followed(pipeline.replaying(KEYS)),
        strict=True,
    )
    for one, other in followed:
        found, wanted = one.points.head, other.points.head
        np.testing.assert_allclose(found.pose.rotation, wanted.pose.rotation, atol=1e-5)
        assert found.pose.scale_px == pytest.approx(wanted.pose.scale_px, rel=1e-5)
        np.testing.assert_allclose(found.pose.shift_px, wanted.pose.shift_px, atol=1e-5)
        np.testing.assert_allclose(found.body, np.eye(2, 3), atol=1e-3)  # the chest is still


def test_openings_are_those_of_the_keys_by_meaning(motion, pipeline):
    """The eye is shut at the last key, and the mouth opens by the jaw's amount in between."""
    face = pipeline.source.face
    person = MODEL.shaped(face.offset)
    heads = [f.points.head for f in pipeline.followed(pipeline.replaying(motion, "first"))]
    seen = [measure(person.vertices(face.identity, head.expression)) for head in heads]
    shown = [dict(zip(AXES, one, strict=True)) for one in seen]
    own = dict(zip(AXES, face.quantities, strict=True))
    assert shown[-1]["left_lid_open"] < 0.1  # of a shut eye, whose edges lie side by side
    assert shown[0]["left_lid_open"] == pytest.approx(own["left_lid_open"], abs=0.01)
    opened = shown[4]["jaw_open"] - shown[0]["jaw_open"]
    assert opened == pytest.approx(0.5 * by_hand.JAW_OPEN, abs=0.02)
    assert shown[-1]["gaze_x"] - shown[0]["gaze_x"] > 0.05


def test_keypoints_alone_move_a_source_without_a_face(motion):
    flat = Pipeline.load(size=64, smooth=0, head_motion="2d")
    source = flat.set_source(synthetic.photograph(256))
    targets = [f.points.target for f in flat.followed(flat.replaying(motion, "first"))]
    np.testing.assert_allclose(targets[0].xy_norm, source.keypoints.xy_norm, atol=1e-4)
    right = targets[4].xy_norm - source.keypoints.xy_norm
    assert right[:10, 0].mean() > 0.05  # the face turns and moves to the picture's right


def test_the_driver_at_rest_is_the_first_frame():
    driver = HandDriver(MODEL)
    seen = driver.seen(by_hand.Controls())
    np.testing.assert_allclose(seen.keypoints.xy_norm, driver.first.keypoints.xy_norm, atol=1e-5)
    assert seen.face is not None and seen.face.mouth == pytest.approx(0)
    np.testing.assert_allclose(seen.face.lids, 1, atol=1e-6)


def test_an_existing_file_stays(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_text("mine")
    with pytest.raises(InputError):
        save_motion(KEYS, path, MODEL)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]
