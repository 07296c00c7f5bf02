"""Points put right, against heads of known pose and shape that a known camera sees."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hybridanim.errors import InputError
from hybridanim.face import face_model, head_pose, texture_fit
from hybridanim.face.face_model import measure
from hybridanim.face.named_points import NAMES, vertex_of
from hybridanim.face.texture_fit import Camera, Constraint
from hybridanim.types import FaceFit, HeadPose

MODEL = face_model.load()
SIZE = (640, 480)
RNG = np.random.default_rng(5)
WHO = (0.7 * RNG.standard_normal(len(MODEL.identity))).astype(np.float32)
FACE = (0.3 * RNG.standard_normal(len(MODEL.expression))).astype(np.float32)
POINTS = (
    *("left_eye_outer", "left_eye_inner", "right_eye_inner", "right_eye_outer", "nose_tip"),
    *("nose_base", "nose_bridge", "mouth_left", "mouth_right", "chin", "left_ear", "right_ear"),
    *("forehead_top", "left_jaw", "right_jaw"),
)


def fitted(pose, identity=WHO, expression=FACE):
    quantities = measure(MODEL.vertices(identity, expression)).astype(np.float32)
    neutral = measure(MODEL.vertices(identity)).astype(np.float32)
    return FaceFit(pose, identity, expression, 0.9, quantities, neutral)


def disturbed(pose):
    """A fit whose pose is wrong, of a slightly wrong person."""
    turn = head_pose.rotation_matrix((7, -4, 3))
    rng = np.random.default_rng(1)
    who = (WHO + 0.2 * rng.standard_normal(len(WHO))).astype(np.float32)
    place = pose.shift_px + np.array([7, -6])
    return fitted(HeadPose(turn @ pose.rotation, 1.05 * pose.scale_px, place), who)


def constraints(xy_px, names=POINTS):
    return [Constraint(name, tuple(xy_px[NAMES[name]])) for name in names]


def angle_deg(one, two):
    return np.rad2deg(np.linalg.norm(Rotation.from_matrix(one @ two.T).as_rotvec()))


def test_names_are_distinct_vertices_and_mirror_each_other():
    assert len(set(NAMES.values())) == len(NAMES) >= 25
    for name, number in NAMES.items():
        other = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert MODEL.mirror[number] == NAMES[other], name
    assert vertex_of("477") == 477
    for wrong in ("478", "-1", "1.5", "", "nose", "٣"):
        with pytest.raises(InputError, match="list-points"):
            vertex_of(wrong)


def test_a_pinhole_is_opencvs():
    """The same head by OpenCV, from rotation and translation in the camera's axes."""
    camera = Camera.pinhole(60, SIZE)
    rotation = head_pose.rotation_matrix((25, -10, 5))
    place = np.array([0.9, -0.4, 4.0])
    focal = SIZE[0] / 2 / np.tan(np.deg2rad(30))
    matrix = np.array([[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]])
    vertices = MODEL.vertices(WHO).astype(np.float64)
    turn = cv2.Rodrigues(rotation)[0]
    wanted = cv2.projectPoints(vertices, turn, place, matrix, None)[0][:, 0]
    shift = focal * place[:2] / place[2] + (319.5, 239.5)
    own = camera.ray_rotation(shift).T @ rotation
    found = camera.project(HeadPose(own, focal / place[2], shift), vertices)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    looks_here = camera.ray_rotation(shift) @ [0, 0, 1]  # 0 degrees face the camera anywhere
    np.testing.assert_allclose(looks_here, place / np.linalg.norm(place), atol=1e-9)


@pytest.mark.parametrize("camera", [Camera(), Camera.pinhole(60, SIZE)])
def test_slopes_are_the_differences_of_the_projection(camera):
    pose = HeadPose(head_pose.rotation_matrix((20, 5, 3)), 150.0, np.array([390.0, 250.0]))
    vertices, step = MODEL.vertices(WHO).astype(np.float64), 1e-5 * MODEL.expression[:2]
    before, after = (camera.project(pose, vertices + by) for by in (-step[1], step[1]))
    found = camera.slopes(pose, vertices, step)
    np.testing.assert_allclose(found[1], (after - before) / 2, atol=1e-9)


@pytest.mark.parametrize("view_deg", [None, 60])
@pytest.mark.parametrize("angles", [(0, 0, 0), (20, 5, 3), (-30, -8, -10)])
def test_exact_points_give_pose_and_places(view_deg, angles):
    camera = Camera() if view_deg is None else Camera.pinhole(view_deg, SIZE)
    pose = HeadPose(head_pose.rotation_matrix(angles), 150.0, np.array([390.0, 250.0]))
    true = camera.project(pose, MODEL.vertices(WHO, FACE))
    start = disturbed(pose)
    found = texture_fit.fit(MODEL, start, constraints(true), camera)
    assert angle_deg(start.pose.rotation, pose.rotation) > 7
    assert angle_deg(camera.rotation(found.face.pose), camera.rotation(pose)) < 1
    assert found.residuals_px(constraints(true)).max() < 0.01
    error = np.linalg.norm(found.vertices_px - true, axis=1)
    assert np.median(error) < 0.5 and error.max() < 4
    assert np.median(np.linalg.norm(found.automatic_px - true, axis=1)) > 6


@pytest.mark.parametrize("view_deg", [None, 50])
def test_weak_perspective_of_the_result_shows_every_vertex_at_its_place(view_deg):
    camera = Camera() if view_deg is None else Camera.pinhole(view_deg, SIZE)
    pose = HeadPose(head_pose.rotation_matrix((15, 0, 0)), 140.0, np.array([250.0, 230.0]))
    true = camera.project(pose, MODEL.vertices(WHO, FACE))
    found = texture_fit.fit(MODEL, disturbed(pose), constraints(true), camera)
    shown = found.face.pose.project(MODEL.vertices_of(found.face))[:, :2]
    np.testing.assert_allclose(shown, found.vertices_px, atol=1e-3)
    person = MODEL.shaped(found.face.offset)
    wanted = measure(person.vertices(found.face.identity, found.face.expression))
    np.testing.assert_allclose(found.face.quantities, wanted, atol=1e-5)
    neutral = measure(person.vertices(found.face.identity))
    np.testing.assert_allclose(found.face.neutral, neutral, atol=1e-5)


@pytest.mark.parametrize("camera", [None, Camera(), Camera.pinhole(40, SIZE)])
def test_no_points_return_the_automatic_fit_itself(camera):
    start = fitted(HeadPose(np.eye(3), 120.0, np.array([300.0, 200.0])))
    found = texture_fit.fit(MODEL, start, [], camera)
    assert found.face is start
    assert found.residuals_px([]).shape == (0,)
    np.testing.assert_array_equal(found.vertices_px, found.automatic_px)


def test_one_point_moves_there_and_the_rest_stays_the_less_the_farther():
    start = fitted(HeadPose(np.eye(3), 150.0, np.array([300.0, 200.0])))
    automatic = start.pose.project(MODEL.vertices_of(start))[:, :2]
    chin, number = NAMES["chin"], "152"
    given = Constraint(number, tuple(automatic[chin] + (3, 12)))
    found = texture_fit.fit(MODEL, start, [given])
    assert found.residuals_px([given])[0] < 1e-3
    moved = np.linalg.norm(found.vertices_px - automatic, axis=1)
    assert moved[chin] == pytest.approx(np.hypot(3, 12), abs=1e-3)
    assert moved.max() < 1.1 * moved[chin]
    assert moved[NAMES["lower_lip_bottom"]] < 0.6 * moved[chin]
    assert moved[[NAMES["left_eye_outer"], NAMES["right_lid_upper"], 9]].max() < 0.6
    beside = MODEL.triangles[(MODEL.triangles == chin).any(1)]
    assert moved[beside].min() > 0.5 * moved[chin]  # no spike


def test_places_that_no_face_has_are_met_without_tearing_the_rest():
    start = fitted(HeadPose(np.eye(3), 150.0, np.array([300.0, 200.0])))
    automatic = start.pose.project(MODEL.vertices_of(start))[:, :2]
    shifts = {"left_ear": (-25, 10), "left_temple": (-20, -10)}
    given = [Constraint(n, tuple(automatic[NAMES[n]] + by)) for n, by in shifts.items()]
    found = texture_fit.fit(MODEL, start, given)
    assert found.residuals_px(given).max() < 1e-3
    moved = np.linalg.norm(found.vertices_px - automatic, axis=1)
    assert moved.max() < 1.3 * np.hypot(25, 10)
    far = [NAMES[name] for name in ("chin", "mouth_right", "right_eye_inner", "right_brow_outer")]
    assert moved[far].max() < 10
    assert angle_deg(found.face.pose.rotation, start.pose.rotation) < 10


def test_a_small_weight_meets_a_part():
    start = fitted(HeadPose(np.eye(3), 150.0, np.array([300.0, 200.0])))
    automatic = start.pose.project(MODEL.vertices_of(start))[:, :2]
    place = tuple(automatic[4] + (12, 0))
    left = [
        texture_fit.fit(MODEL, start, [one]).residuals_px([one])[0]
        for one in (Constraint("nose_tip", place, weight) for weight in (1.0, 0.5, 0.1))
    ]
    assert left[0] < 1e-3 < 1 < left[1] < left[2] < 12


def test_a_corrected_fit_can_be_corrected_further():
    start = fitted(HeadPose(np.eye(3), 150.0, np.array([300.0, 200.0])))
    automatic = start.pose.project(MODEL.vertices_of(start))[:, :2]
    one = Constraint("chin", tuple(automatic[152] + (0, 10)))
    first = texture_fit.fit(MODEL, start, [one])
    other = Constraint("left_ear", tuple(automatic[234] + (-8, 0)))
    second = texture_fit.fit(MODEL, first.face, [other])
    assert second.residuals_px([other])[0] < 1e-3
    np.testing.assert_allclose(second.automatic_px, first.vertices_px, atol=1e-3)
    assert np.linalg.norm(second.vertices_px[152] - one.xy_px) < 1.0


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([Constraint("nose", (300, 200))], "expected a name of a point"),
        ([Constraint("chin", (300, 260)), Constraint("152", (300, 260))], "each point once"),
        ([Constraint("chin", (float("nan"), 260))], "two numbers"),
        ([Constraint("chin", (300, 260), 0.0)], "weight above 0"),
        ([Constraint("chin", (300, 260), 1.5)], "weight above 0"),
        ([Constraint("chin", (300, 900))], "within 225 pixels"),
    ],
)
def test_points_that_cannot_be_used_are_refused(points, words):
    start = fitted(HeadPose(np.eye(3), 150.0, np.array([300.0, 200.0])))
    with pytest.raises(InputError, match=words):
        texture_fit.fit(MODEL, start, points)


def test_a_camera_in_the_head_is_refused():
    start = fitted(HeadPose(np.eye(3), 300.0, np.array([300.0, 200.0])))
    for view in (0.5, 160, float("nan")):
        with pytest.raises(InputError, match="field of view: expected 1 to 150"):
            Camera.pinhole(view, SIZE)
    with pytest.raises(InputError, match="expected at most 93 degrees"):
        texture_fit.fit(MODEL, start, [], Camera.pinhole(120, SIZE))
    texture_fit.fit(MODEL, start, [], Camera.pinhole(93, SIZE))
