"""The oracles themselves, against independent ones: DIS flow, solvePnP, colour, a cascade."""

import dataclasses

import av
import cv2
import numpy as np
import pytest

from hybridanim import files
from hybridanim.face import head_pose as library_pose
from hybridanim.face.cascade import detect_faces
from tools import make_driving
from tools.driving_head.scene import rotation
from tools.driving_head.script import Pose, speech

from . import synthetic

SMALL = make_driving.Options(width=240, height=240, zoom=1.25)
CLIP = files.EXAMPLE_DRIVING


def dis_flow(here, there):
    """Dense flow by cv2's DIS, the second opinion."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (here, there)]
    return finder.calc(*grey, None)


def end_point_error(flow, truth, where):
    return np.linalg.norm(flow - truth, axis=-1)[where]


@pytest.fixture(scope="module")
def turning():
    return synthetic.driving_head(0.4, 24)


@pytest.fixture(scope="module")
def passing_hand():
    return synthetic.driving_head(6.1, 8, fps=10)


@pytest.mark.parametrize("first", [2, 9, 16])
def test_head_flow_agrees_with_dis(turning, first):
    here, there = turning[first], turning[first + 1]
    flow = here.flow_to(there)
    head = cv2.erode((here.labels == 1).astype(np.uint8), np.ones((5, 5))) > 0
    head &= flow.visible
    assert head.sum() > 4000
    error = end_point_error(dis_flow(here.image, there.image), flow.xy_px, head)
    assert np.median(error) < 0.5
    assert error.mean() < 1.0


def test_head_flow_carries_the_pixels(turning):
    """Truth over seven frames: looking up the later frame along it gives the earlier one back."""
    here, there = turning[6], turning[13]
    flow = here.flow_to(there)
    head = flow.visible & (here.labels == 1)
    path = synthetic.pixel_grid(240, 240) + flow.xy_px
    found = cv2.remap(there.image, path, None, cv2.INTER_LINEAR).astype(float)
    still = np.abs(there.image.astype(float) - here.image)[head].mean()
    moved = np.abs(found - here.image)[head].mean()
    assert np.abs(flow.xy_px[head]).max() > 8
    assert moved < 8 and moved < 0.4 * still  # the light on the skin changes too


def test_flow_knows_what_the_hand_hides(passing_hand):
    clear = synthetic.driving_head(0.0, 1)[0]
    covered = max(passing_hand, key=lambda frame: (frame.labels[60:180, 60:180] == 3).sum())
    flow = clear.flow_to(covered)
    hidden = flow.known & ~flow.visible & (clear.labels == 1)
    assert hidden.sum() > 500
    path = np.round(synthetic.pixel_grid(240, 240) + flow.xy_px).astype(int)[hidden]
    x, y = np.clip(path, 0, 239).T
    assert (covered.parts[y, x] != 1).mean() > 0.8  # something else than the face is there


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (25, 0, 0), (-20, 10, 5), (10, -15, -12), (0, 5, 12)]
)
def test_solve_pnp_gives_the_angles_back(angles):
    frame = make_driving.render(0.0, SMALL, Pose(*angles))
    model = frame.landmarks_xyz_cm.astype(float)
    points = frame.landmarks_xy_px.astype(float)
    found, turn, _ = cv2.solvePnP(model, points, frame.camera, None)
    assert found
    flip = np.diag([1.0, -1.0, -1.0])  # camera axes are y down, z away
    seen = flip @ cv2.Rodrigues(turn)[0]
    between = np.degrees(np.arccos(np.clip((np.trace(seen.T @ rotation(*angles)) - 1) / 2, -1, 1)))
    assert between < 0.3


def test_angles_mean_the_same_in_the_library():
    flip = np.diag([1.0, -1.0, -1.0])
    for angles in ((20, 10, -5), (-30, -15, 12)):
        seen = flip @ rotation(*angles) @ flip
        assert np.allclose(seen, library_pose.rotation_matrix(angles), atol=1e-9)


def test_angle_signs():
    def nose(*angles):
        frame = make_driving.render(0.0, SMALL, Pose(*angles))
        eyes = [np.array(frame.landmark(f"{s}_eye_outer")) for s in ("left", "right")]
        return np.array(frame.landmark("nose_tip")) - np.mean(eyes, axis=0), eyes[1] - eyes[0]

    straight, _ = nose(0, 0, 0)
    assert nose(20, 0, 0)[0][0] > straight[0] + 5  # yaw: to the picture's right
    assert nose(0, 15, 0)[0][1] < straight[1] - 3  # pitch: up, and y points down
    assert nose(0, 0, 15)[1][1] > 5  # roll clockwise: the right eye sinks


@pytest.mark.parametrize("tone", ["light", "medium", "dark"])
def test_skin_labels_agree_with_colour(tone):
    frame = synthetic.driving_head(3.2, 1, tone=tone)[0]
    assert {1, 2} <= set(np.unique(frame.labels))
    v = cv2.cvtColor(frame.image, cv2.COLOR_RGB2YUV)[..., 2].astype(int)
    skin = frame.labels > 0
    assert (v[skin] > 134).mean() > 0.95
    assert (v[frame.parts == 0] > 134).mean() < 0.02


def test_head_label_is_one_face_sized_region(turning):
    for frame in turning[::6]:
        head = (frame.labels == 1).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(head)
        assert stats[1:, cv2.CC_STAT_AREA].max() > 0.95 * head.sum()
        box = cv2.boundingRect(head)
        for name in ("nose_tip", "chin", "mouth_left"):
            x, y = frame.landmark(name)
            assert box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]


def test_eyes_close_and_mouth_opens():
    pose = Pose()
    rest = make_driving.render(0.0, SMALL, pose)
    shut = dataclasses.replace(pose.face, blink_left=1.0, blink_right=1.0, jaw=0.9)
    moved = make_driving.render(0.0, SMALL, dataclasses.replace(pose, face=shut))

    def gap(frame, above, below):
        return frame.landmark(below)[1] - frame.landmark(above)[1]

    assert gap(rest, "left_lid_top", "left_lid_bottom") > 3
    assert abs(gap(moved, "left_lid_top", "left_lid_bottom")) < 0.3
    assert abs(gap(rest, "inner_lip_top", "inner_lip_bottom")) < 0.3
    assert gap(moved, "inner_lip_top", "inner_lip_bottom") > 8
    x, y = np.round(rest.landmark("left_lid_top")).astype(int)
    assert rest.labels[y + 3, x] == 0 and moved.labels[y + 3, x] == 1  # the eye, then the lid


def test_landmarks_hide_behind_the_hand_and_the_turn(passing_hand):
    names = make_driving.LANDMARK_NAMES
    front = make_driving.render(0.0, SMALL, Pose())
    assert front.landmarks_visible.all()
    assert min(frame.landmarks_visible.mean() for frame in passing_hand) < 0.6
    turned = make_driving.render(0.0, SMALL, Pose(yaw_deg=60))
    assert not turned.landmarks_visible[names.index("right_eye_outer")]
    assert turned.landmarks_visible[names.index("left_eye_inner")]


def test_cascade_finds_the_head(turning):
    for frame in turning[::4]:
        faces = detect_faces(frame.image)
        assert faces
        x, y = faces[0].center_xy_px
        assert np.hypot(x - frame.landmark("nose_tip")[0], y - frame.landmark("nose_tip")[1]) < 40


def test_rendering_is_deterministic_and_starts_neutral():
    first, again = (make_driving.render(0.0, SMALL) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    calm = make_driving.render(0.2, SMALL)
    assert calm.rotation_deg == (0, 0, 0)
    assert calm.pose.face.jaw == 0 and calm.pose.face.blink_left == 0


def test_clip_in_the_repo():
    assert CLIP.stat().st_size < 2_000_000
    with av.open(str(CLIP)) as container:
        assert "generated" in container.metadata["comment"].lower()
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.frames == 240 and video.average_rate == 30
        assert abs(float(audio.duration * audio.time_base) - 8) < 0.1
        picture = next(container.decode(video)).to_ndarray(format="rgb24")
    drawn = make_driving.render(0.0).image
    assert cv2.PSNR(picture, drawn) > 30


def test_voice_in_the_clip_follows_the_mouth():
    with av.open(str(CLIP)) as container:
        blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    sound = np.concatenate(blocks)[: 8 * rate].astype(float)
    loudness = np.sqrt(np.mean(sound[: 240 * (rate // 30)].reshape(240, -1) ** 2, axis=1))
    jaw = np.array([speech((i + 0.5) / 30)[0] for i in range(240)])
    shifts = [np.corrcoef(loudness[8 + s : 232 + s], jaw[8:232])[0, 1] for s in range(-4, 5)]
    assert max(shifts) > 0.85
    assert abs(int(np.argmax(shifts)) - 4) <= 1  # at most a frame early or late


def test_affine_flow_is_exact_and_agrees_with_dis():
    path = synthetic.wandering_affines(6, 256, seed=3)
    clip = synthetic.moved_picture(synthetic.photograph(256), path)
    flow, known = clip.flow(2, 4)
    grid = synthetic.pixel_grid(256, 256)
    back = cv2.invertAffineTransform(path[2])
    exact = synthetic.apply_affine(path[4], synthetic.apply_affine(back, grid)) - grid
    assert np.abs(flow - exact)[known].max() < 0.05
    known[:16] = known[-16:] = known[:, :16] = known[:, -16:] = False
    assert np.median(end_point_error(dis_flow(*clip.frames[2:5:2]), flow, known)) < 0.3


@pytest.mark.parametrize("kind", ["sinus", "plate", "local"])
def test_smooth_flow_agrees_with_dis_and_inverts(kind):
    displacement = {
        "sinus": synthetic.sinus_displacement(256, 256, 3.0),
        "plate": synthetic.thin_plate_displacement(256, 256, 5.0, seed=2),
        "local": synthetic.local_affine_displacement(
            256, 256, (130, 120), 100, synthetic.affine_about((130, 120), scale=1.06, turn_deg=4)
        ),
    }[kind]
    picture = synthetic.textured(256, 256, seed=5)
    clip = synthetic.warped_picture(picture, [np.zeros_like(displacement), displacement])
    flow, known = clip.flow(0, 1)
    round_trip = cv2.remap(clip.to_picture[1], clip.from_picture[1], None, cv2.INTER_LINEAR)
    error = np.linalg.norm(round_trip - synthetic.pixel_grid(256, 256), axis=-1)
    assert error[16:-16, 16:-16].max() < 0.05
    known[:16] = known[-16:] = known[:, :16] = known[:, -16:] = False
    assert np.median(end_point_error(dis_flow(*clip.frames), flow, known)) < 0.3
    assert np.abs(flow[known]).max() > 2


def test_thin_plate_reproduces_its_knots():
    """At the lattice corners the spline must equal the random draw it interpolates."""
    field = synthetic.thin_plate_displacement(200, 200, 5.0, seed=4)
    target = np.random.default_rng(4).uniform(-5, 5, (16, 2)).reshape(4, 4, 2)
    corners = field[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.allclose(corners, target[[0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-3)


def test_occluder_covers_only_its_mask():
    frames = [synthetic.photograph(128)] * 10
    pictures, masks = synthetic.pass_occluder(frames, start=2, end=8, radius_px=24)
    assert not masks[0].any() and not masks[9].any() and masks[5][64, 64]
    for picture, mask in zip(pictures, masks, strict=True):
        assert np.array_equal(picture[~mask], frames[0][~mask])
    assert (pictures[5] != frames[5])[masks[5]].mean() > 0.9


def test_skin_scene_and_relight():
    image, labels = synthetic.skin_scene(tone="dark", left_hand=None)
    assert set(np.unique(labels)) == {0, 1, 3}
    v = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)[..., 2]
    assert np.median(v[labels > 0]) > 134 > np.percentile(v[labels == 0], 99)
    brighter = synthetic.relight(image, gain=1.3)
    assert brighter.mean() > image.mean() and synthetic.relight(image).tolist() == image.tolist()
    warm = synthetic.relight(image, cast=(1.1, 1.0, 0.8)).reshape(-1, 3).mean(axis=0)
    assert warm[0] > image[..., 0].mean() and warm[2] < image[..., 2].mean()
