"""The driver's optical flow against known warps of a photograph: its own, and across two faces."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.face.anchors import ANCHORS
from hybridanim.motion import flow_transfer, keypoints, optical_flow
from hybridanim.motion.reference import Reference, with_picture
from hybridanim.types import Crop, Frame, HeadBox, Keypoints, Source, SparseMotion
from stages.pipeline import Pipeline
from tests import synthetic

SIDE = 256
CROP = Crop(0, 0, SIDE)
HEAD = HeadBox((128, 115), 110)
STILL = geometry.grid_norm(64)


def face(linear=None, shift=(0.0, 0.0)) -> Keypoints:
    """Keypoints of the head above, under an affine in normalised coordinates."""
    found = keypoints.place_anchors(HEAD, None, None, CROP)
    linear = np.eye(2) if linear is None else linear
    return Keypoints(
        (found.xy_norm @ np.transpose(linear) + shift).astype(np.float32),
        (linear @ found.jacobian).astype(np.float32),
        np.ones(len(ANCHORS), np.float32),
    )


def made_source(points: Keypoints, subject: float = 1.0) -> Source:
    image = synthetic.photograph(SIDE)
    return Source(
        image, CROP, image, points, HEAD, np.full((SIDE, SIDE), subject, np.float32), image
    )


def moved(linear, shift) -> np.ndarray:
    """The photograph under x -> linear x + shift, normalised."""
    affine = np.column_stack([linear, np.asarray(shift) * SIDE / 2])
    middle = (SIDE - 1) / 2
    affine[:, 2] += middle - affine[:, :2] @ [middle, middle]
    return cv2.warpAffine(
        synthetic.photograph(SIDE), affine, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT
    )


def follow(image, driving, target, source, reference_points, *, moves_background=True):
    """The flow of one frame whose reference frame is the unmoved photograph."""
    reference = with_picture(Reference(reference_points, HEAD, CROP), synthetic.photograph(SIDE))
    assert reference is not None
    transfer = flow_transfer.FlowTransfer()
    motion = SparseMotion(driving, target, CROP)
    found = transfer(
        Frame(image), motion, reference, reference_points, source, moves_background=moves_background
    ).optical
    assert found is not None
    return found


def test_of_the_same_face_it_is_the_flow_between_the_pictures() -> None:
    linear, shift = geometry.similarity(1.04, 3.0), np.array([0.05, -0.03])
    after = face(linear, shift)
    found = follow(moved(linear, shift), after, after, made_source(face()), face())
    truth = (STILL - shift) @ np.linalg.inv(linear).T
    off_px = np.abs(found.grid_norm - truth).max(-1)[8:-8, 8:-8] * SIDE / 2
    trust = found.trust[8:-8, 8:-8]
    assert trust.mean() > 0.6
    assert np.median(off_px[trust > 0.5]) < 0.5  # of about 8 by which it moves


def test_of_another_face_it_moves_the_source_in_its_own_size() -> None:
    """A source 1.2 times as large, and elsewhere: the driver's shift is 1.2 times as long there."""
    shift, size, place = np.array([0.06, 0.02]), 1.2 * np.eye(2), np.array([-0.05, 0.04])
    source = made_source(face(size, place))
    target = face(size, place + 1.2 * shift)
    found = follow(moved(np.eye(2), shift), face(shift=shift), target, source, face())
    center = np.array(target.xy_norm[[a.name == "nose_tip" for a in ANCHORS]][0])
    near = (np.abs(STILL - center) < 0.25).all(-1) & (found.trust > 0.3)
    assert near.sum() > 30
    off_px = np.abs(found.grid_norm - (STILL - 1.2 * shift))[near] * SIDE / 2
    assert np.median(off_px) < 1.0  # of 9 by which the face moves


def test_faces_far_apart_are_trusted_less() -> None:
    long = np.diag([0.8, 1.3])
    bent = face(long)
    bent = replace(bent, xy_norm=bent.xy_norm + 0.2 * bent.xy_norm[:, ::-1] ** 2)
    arguments = synthetic.photograph(SIDE), face(), bent, made_source(bent), face()
    same = follow(*arguments[:2], face(), made_source(face()), face())
    assert follow(*arguments).trust.mean() < 0.8 * same.trust.mean()


def test_a_background_that_stands_is_not_moved() -> None:
    shift = np.array([0.05, 0.0])
    after, source = face(shift=shift), made_source(face(), subject=0.0)
    picture = moved(np.eye(2), shift)
    assert follow(picture, after, after, source, face(), moves_background=False).trust.max() == 0
    assert follow(picture, after, after, source, face(), moves_background=True).trust.max() > 0.9


def test_what_was_hidden_is_not_trusted() -> None:
    before = synthetic.photograph(SIDE)
    after = before.copy()
    rng = np.random.default_rng(1)
    after[96:160, 96:160] = cv2.GaussianBlur(rng.integers(0, 255, (64, 64, 3), np.uint8), (0, 0), 2)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, after)]
    _, trust = optical_flow.between(*grey, optical_flow.matcher())
    assert trust[28:36, 28:36].mean() < 0.4 < 0.9 < trust[:16].mean()


def test_without_a_head_or_its_picture_there_is_none() -> None:
    motion, source = SparseMotion(face(), face(), CROP), made_source(face())
    frame = Frame(synthetic.photograph(SIDE))
    reference = Reference(face(), HEAD, CROP)
    transfer = flow_transfer.FlowTransfer()
    arguments = face(), source
    assert transfer(frame, motion, reference, *arguments, moves_background=True).optical is None
    reference = with_picture(reference, frame.image)
    assert reference is not None
    held = replace(motion, is_frozen=True)
    assert transfer(frame, held, reference, *arguments, moves_background=True).optical is None
    assert transfer(frame, motion, reference, *arguments, moves_background=True).optical is not None


def test_a_flow_fades_when_the_head_is_lost_and_comes_back_by_its_share() -> None:
    motion, source = SparseMotion(face(), face(), CROP), made_source(face())
    reference = with_picture(Reference(face(), HEAD, CROP), synthetic.photograph(SIDE))
    transfer, held = flow_transfer.FlowTransfer(), replace(motion, is_frozen=True)

    def trust(time_s: float, motion: SparseMotion, share: float = 1.0) -> float:
        frame = Frame(synthetic.photograph(SIDE), 0, time_s)
        assert reference is not None
        arguments = reference, face(), source
        found = transfer(frame, motion, *arguments, moves_background=True, share=share).optical
        return 0.0 if found is None else float(found.trust.mean())

    full = trust(0, motion)
    fading = [trust(t, held) / full for t in (0.1, 0.3, 0.6, 3.0)]
    np.testing.assert_allclose(fading, [*np.exp(-np.array([1, 3, 6]) / 3), 0], atol=1e-3)
    assert trust(4.0, motion, 0.25) == pytest.approx(0.25 * full, rel=1e-3)


def test_a_reference_in_another_square_is_cut_anew() -> None:
    wide = Crop(-20, -10, SIDE + 40)
    reference = with_picture(Reference(face(), HEAD, wide), synthetic.photograph(SIDE))
    assert reference is not None and reference.picture is not None
    cut = flow_transfer._in_crop(reference.picture, wide, CROP)
    straight = flow_transfer.grey_of(synthetic.photograph(SIDE), CROP)
    assert np.abs(cut.astype(int) - straight)[4:-4, 4:-4].mean() < 6


@pytest.mark.parametrize(("mode", "picture_px"), [("auto", 256), ("auto", 128), ("off", 256)])
def test_the_pipeline_follows_it_where_the_renderer_looks(mode, picture_px, tmp_path) -> None:
    torch = pytest.importorskip("torch")
    from hybridanim.networks import build
    from hybridanim.networks.weights import write_weights

    torch.manual_seed(0)
    sizes = build.FastSizes(optical=True, picture_px=picture_px)
    write_weights(tmp_path / "w.safetensors", animator=build.fast(sizes))
    options = {"weights": tmp_path / "w.safetensors", "runtime": "torch", "size": 128}
    pipeline = Pipeline.load(renderer="learned", optical_flow=mode, face_fit=False, **options)
    pipeline.set_source(synthetic.photograph(256))
    affines = synthetic.wandering_affines(3, 256, seed=1)
    for image in synthetic.moved_picture(synthetic.photograph(256), affines).frames:
        pipeline.animate(image)
    assert pipeline.last is not None
    assert (pipeline.last.points.optical is not None) == (mode == "auto")
    assert Pipeline.load(size=128).renderer.dense.uses_optical_flow is False
