"""A texture profile: only its own picture obeys, and the pipeline shows the points put right."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridanim.drive import Drive
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.face_model import AXES, measure
from hybridanim.face.head_pose import angles_deg
from hybridanim.face.named_points import NAMES
from hybridanim.motion import head_transfer
from hybridanim.motion.head_transfer import DriverFace
from hybridanim.prepare import texture
from hybridanim.profiles import Profiles, TextureProfile
from hybridanim.types import SparseMotion
from stages.pipeline import Pipeline
from tests import synthetic

PICTURE = synthetic.photograph(256)
MODEL = face_model.load()


def profile_of(picture, **values):
    height, width = picture.shape[:2]
    return TextureProfile((width, height), texture.thumbnail(picture), **values)


def pipeline_with(profile, **options):
    options = {"size": 128, "renderer": "warp", "tracker": "classical"} | options
    return Pipeline.load(Profiles(texture=profile), **options)


@pytest.fixture(scope="module")
def automatic():
    return pipeline_with(None).set_source(PICTURE)


def places(source):
    return source.face.pose.project(MODEL.vertices_of(source.face))[:, :2]


@pytest.fixture(scope="module")
def points(automatic):
    """Chin and an eye's corner moved, as rows of a profile."""
    before = places(automatic)
    return tuple(
        (name, *(float(v) for v in before[NAMES[name]] + by), 1.0)
        for name, by in (("chin", (2, 6)), ("left_eye_outer", (-4, 0)))
    )


def test_without_points_the_source_is_the_automatic_one(automatic):
    for camera in ("weak", "perspective"):
        profile = profile_of(PICTURE, camera=camera, field_of_view_deg=40.0)
        found = pipeline_with(profile).set_source(PICTURE)
        np.testing.assert_array_equal(found.face.identity, automatic.face.identity)
        np.testing.assert_array_equal(found.face.pose.rotation, automatic.face.pose.rotation)
        np.testing.assert_array_equal(found.landmarks_xy_px, automatic.landmarks_xy_px)
        np.testing.assert_array_equal(found.face.offset, automatic.face.offset)
        assert found.crop == automatic.crop


@pytest.mark.parametrize("camera", ["weak", "perspective"])
def test_the_points_lie_where_they_were_put(automatic, points, camera):
    profile = profile_of(PICTURE, camera=camera, field_of_view_deg=40.0, points=points)
    found = pipeline_with(profile).set_source(PICTURE)
    shown, before = places(found), places(automatic)
    for name, x, y, _ in points:
        assert np.hypot(*(shown[NAMES[name]] - (x, y))) < 0.05
    assert np.linalg.norm(shown[NAMES["right_eye_inner"]] - before[NAMES["right_eye_inner"]]) < 2
    assert found.rotation_deg == angles_deg(found.face.pose.rotation)
    moved = np.linalg.norm(found.landmarks_xy_px - automatic.landmarks_xy_px, axis=1)
    assert 4 < moved.max() < 8


@pytest.mark.parametrize("camera", ["weak", "perspective"])
def test_no_motion_returns_the_source_bit_for_bit(points, camera):
    profile = profile_of(PICTURE, camera=camera, field_of_view_deg=40.0, points=points)
    pipeline = pipeline_with(profile)
    source = pipeline.set_source(PICTURE)
    still = head_transfer.own_target(source)
    affine = np.eye(2, 3, dtype=np.float32)
    now = SparseMotion(
        source.keypoints, source.keypoints, source.crop, background=affine, head=still
    )
    dense, generate = pipeline.renderer
    np.testing.assert_array_equal(generate(source, dense(source, now)).image, source.image)
    for _ in range(2):
        shown = pipeline.animate(np.zeros_like(PICTURE))  # a driver without a head
    np.testing.assert_array_equal(shown, source.image)


def test_openings_are_those_of_the_corrected_face(points):
    """A driver whose lids and lips do not move leaves the source's where they were put."""
    profile = profile_of(PICTURE, points=points)
    source = pipeline_with(profile).set_source(PICTURE)
    driver = DriverFace.of(source.face, source.crop)
    person = MODEL.shaped(source.face.offset)
    found = head_transfer.expression(driver, source.face, person, Drive(0, 0, 0, 0))
    lids = [AXES.index("left_lid_open"), AXES.index("right_lid_open")]
    shown = measure(person.vertices(source.face.identity, found))
    np.testing.assert_allclose(shown[lids], source.face.quantities[lids], atol=0.01)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".jpg", [cv2.IMWRITE_JPEG_QUALITY, 60]), (".webp", [])]
)
def test_the_same_picture_in_another_format_is_its_own(suffix, options):
    data = cv2.imencode(suffix, PICTURE[..., ::-1], options)[1]
    texture.expect_picture(profile_of(PICTURE), cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (synthetic.photograph(200), "of 256x256 pixels, got one of 200x200"),
        (PICTURE[:, ::-1].copy(), "got another"),
        (np.roll(PICTURE, 20, 0), "got another"),
        (np.clip(PICTURE.astype(int) + 12, 0, 255).astype(np.uint8), "got another"),
    ],
)
def test_another_picture_is_refused(other, words):
    with pytest.raises(InputError, match=f"texture profile: expected its own picture.*{words}"):
        pipeline_with(profile_of(PICTURE)).set_source(other)


def test_a_source_without_a_fitted_face_is_refused():
    with pytest.raises(InputError, match="expected a source with a fitted face"):
        pipeline_with(profile_of(PICTURE), face_fit=False).set_source(PICTURE)


def test_names_that_no_mesh_has_are_refused():
    profile = replace(profile_of(PICTURE), points=(("nose", 100.0, 100.0, 1.0),))
    with pytest.raises(InputError, match="expected a name of a point"):
        pipeline_with(profile).set_source(PICTURE)
