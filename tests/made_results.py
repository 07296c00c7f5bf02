"""A synthetic, consistent run of the five stages: a head that sways, a hand that passes.

Nothing is tracked here: positions come from the formula of the motion, so drawing and debug tests
need no other stage. Frames ``LOST`` have no head, frames near ``HAND`` a hand in front of the face.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.face import face_model
from hybridanim.face.head_pose import rotation_matrix
from hybridanim.geometry import grid_norm, inverse_2x2, similarity, warp
from hybridanim.types import (
    Blob,
    Crop,
    DenseMotion,
    FaceBox,
    FaceFit,
    Frame,
    HeadBox,
    HeadPose,
    HeadTarget,
    Keypoints,
    Picture,
    Reason,
    Results,
    SkinMask,
    Source,
    SparseMotion,
    Tracks,
)

LOST = range(70, 78)
HAND = 40
ANCHORS = np.array(
    [(x, y) for y in (-0.35, -0.18, 0.0, 0.18, 0.35) for x in (-0.3, -0.1, 0.1, 0.3)], np.float32
)  # canonical face: 1 = the side of the head box


def head_at(index: int, height: int, width: int) -> HeadBox:
    """Where the head is in frame ``index``."""
    swing = np.sin(index / 9)
    middle = (width * (0.5 + 0.06 * swing), height * (0.45 + 0.03 * np.sin(index / 5)))
    return HeadBox(middle, 0.42 * height * (1 + 0.06 * np.sin(index / 13)), 14 * float(swing))


def drawn_head(head: HeadBox, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture with a shaded head on a striped ground, and the mask of its skin."""
    rows = np.linspace(0, 1, height)[:, None]
    columns = np.linspace(0, 1, width)[None]
    ground = 90 + 50 * rows + 20 * np.sin(40 * columns + 9 * rows)
    image = np.stack([0.7 * ground, 0.9 * ground, ground], -1).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    middle = (round(head.center_xy_px[0]), round(head.center_xy_px[1]))
    axes = (round(0.42 * head.size_px), round(0.56 * head.size_px))
    cv2.ellipse(mask, middle, axes, head.roll_deg, 0, 360, 255, -1)
    image[mask > 0] = (206, 152, 122)
    turn = similarity(head.size_px, head.roll_deg)
    for place, radius in (((-0.18, -0.1), 0.06), ((0.18, -0.1), 0.06), ((0, 0.28), 0.1)):
        at = turn @ np.array(place) + middle
        cv2.circle(
            image, (round(at[0]), round(at[1])), round(radius * head.size_px), (60, 30, 30), -1
        )
    return cv2.GaussianBlur(image, (5, 5), 0), mask


def made_skin(index: int, head: HeadBox, mask: np.ndarray, image: np.ndarray) -> SkinMask:
    """Head and right hand; the hand is predicted while it is before the face."""
    if index in LOST:
        return SkinMask(0 * mask, lost="no skin region is large enough")
    (x, y), size = head.center_xy_px, head.size_px
    away = abs(index - HAND) / 25
    at = (round(x + size * (0.1 + 1.6 * away)), round(y + size * (0.3 + 0.4 * away)))
    cv2.circle(mask, at, round(0.25 * size), 255, -1)
    cv2.circle(image, at, round(0.25 * size), (196, 142, 112), -1)
    half = 0.25 * size
    blobs = (
        Blob("head", (x - size / 2, y - size / 2, size, 1.1 * size), (x, y), 0.7 * size**2),
        Blob(
            "right_hand",
            (at[0] - half, at[1] - half, 2 * half, 2 * half),
            at,
            3 * half**2,
            away < 0.2,
        ),
    )
    face = FaceBox(x - size / 2, y - size / 2, size, size) if index % 5 == 0 else None
    return SkinMask(mask, blobs, (108.0, 151.0), is_frozen=away < 0.2, face=face)


def made_face(head: HeadBox, yaw_deg: float, pitch_deg: float, index: int) -> FaceFit:
    """The average face at the head box; its mouth opens and shuts, its left eye blinks."""
    model = face_model.load()
    turn = rotation_matrix((yaw_deg, pitch_deg, head.roll_deg))
    pose = HeadPose(turn, head.size_px, np.array(head.center_xy_px))
    amounts = {"jaw_open": 0.1 * np.sin(index / 4) ** 2, "left_lid_open": -0.2 * (index % 8 == 0)}
    expression = model.along(**amounts).astype(np.float32)
    identity = np.zeros(len(model.identity), np.float32)
    found = face_model.measure(model.vertices(identity, expression)).astype(np.float32)
    neutral = face_model.measure(model.mean).astype(np.float32)
    return FaceFit(pose, identity, expression, 0.9, found, neutral)


def made_tracks(index: int, head: HeadBox, first: HeadBox, count: int = 120) -> Tracks:
    """Features fixed to the head; some are new, unsure or just dropped."""
    if index in LOST:
        none = np.empty((0, 2), np.float32)
        empty = np.empty(0)
        return Tracks(
            none, none, empty.astype(np.int64), empty.astype(np.int64), empty.astype(np.float32),
            dropped=count if index == LOST[0] else 0, head=head, lost="too few features are left",
        )  # fmt: skip
    rng = np.random.default_rng(3)
    place = rng.uniform(-0.4, 0.4, (count, 2))
    birth = rng.integers(-40, 20, count)

    def put(box: HeadBox) -> np.ndarray:
        turned = place @ similarity(box.size_px, box.roll_deg).T
        return (turned + box.center_xy_px).astype(np.float32)

    age = np.maximum(index - birth, 0).astype(np.int64)
    confidence = rng.uniform(0.2, 1, count).astype(np.float32)
    yaw_deg, pitch_deg = 28 * float(np.sin(index / 9)), 12 * float(np.cos(index / 7))
    landmarks = place[:20] @ similarity(head.size_px, head.roll_deg).T + head.center_xy_px
    return Tracks(
        put(head), put(first), np.arange(count, dtype=np.int64), age, confidence,
        new=int((age == 1).sum()), dropped=index % 4, head=head,
        landmarks_xy_px=landmarks.astype(np.float32),
        rotation_deg=(yaw_deg, pitch_deg, head.roll_deg),
        rotation_confidence=0.8, confidence_overall=0.6 + 0.3 * float(np.cos(index / 11)),
        face=made_face(head, yaw_deg, pitch_deg, index),
    )  # fmt: skip


def made_keypoints(center_norm, size_norm: float, roll_deg: float) -> Keypoints:
    """The anchors under one similarity, every one a little sheared."""
    turn = similarity(size_norm, roll_deg)
    shear = np.eye(2) + 0.25 * np.sin(np.arange(len(ANCHORS)))[:, None, None] * [[0, 1], [0, 0]]
    xy = (ANCHORS @ turn.T + center_norm).astype(np.float32)
    confidence = np.linspace(0.3, 1, len(ANCHORS), dtype=np.float32)
    return Keypoints(xy, (turn @ shear).astype(np.float32), confidence)


def made_dense(source: Keypoints, target: Keypoints, cells: int = 64) -> DenseMotion:
    """Gaussian mixture of the local maps, background still."""
    place = grid_norm(cells)
    away = place[None] - target.xy_norm[:, None, None]
    change = source.jacobian @ inverse_2x2(target.jacobian)
    local = np.einsum("kij,khwj->khwi", change, away) + source.xy_norm[:, None, None]
    share = np.exp(-(away**2).sum(-1) / (2 * 0.15**2))
    share = np.concatenate([np.full((1, cells, cells), 0.12), share])
    share /= share.sum(0)
    maps = np.concatenate([place[None], local])
    grid = (share[..., None] * maps).sum(0).astype(np.float32)
    spread = cv2.Sobel(grid[..., 0] - place[..., 0], cv2.CV_32F, 1, 0)
    seen = np.clip(1 - 4 * np.abs(spread), 0, 1)
    radius = np.hypot(place[..., 0], place[..., 1] + 0.1).astype(np.float32)
    reasons = np.where(radius < 0.9, Reason.SELF_OCCLUDED, Reason.UNCOVERED)
    reasons[(np.abs(place[..., 0]) < 0.1) & (np.abs(place[..., 1] - 0.1) < 0.05)] = Reason.OPENED
    return DenseMotion(
        grid, seen, share.astype(np.float32),
        depth=np.where(radius < 0.9, radius**2 - 0.4, np.float32(np.nan)),
        reasons=np.where(seen < 0.5, reasons, Reason.VISIBLE).astype(np.uint8),
    )  # fmt: skip


def made_source(side: int = 256) -> Source:
    """A still of the head, as the picture to animate."""
    head = HeadBox((side / 2, side * 0.45), 0.45 * side)
    image, mask = drawn_head(head, side, side)
    image = image[..., ::-1].copy()  # other colours than the driver
    points = made_keypoints((0.0, -0.1), 0.9, 0)
    subject = (cv2.GaussianBlur(mask, (0, 0), 3) / np.float32(255)).astype(np.float32)
    face = made_face(head, 0.0, 0.0, 1)
    return Source(image, Crop(0, 0, side), image, points, head, subject, image, face=face)


def made_target(source: Source, tracks: Tracks) -> HeadTarget | None:
    """The source's head with the driver's rotation and expression."""
    if source.face is None or tracks.face is None:
        return None
    side, pose = source.crop.side_px, source.face.pose
    place = (np.asarray(pose.shift_px) + 0.5) * 2 / side - 1
    target = HeadPose(tracks.face.pose.rotation, 2 * pose.scale_px / side, place)
    return HeadTarget(target, tracks.face.expression, np.eye(2, 3, dtype=np.float32))


def made_results(
    index: int, source: Source, *, height: int = 240, width: int = 320, fps: float = 25
) -> Results:
    """Everything that five stages would say of frame ``index``."""
    head, first = head_at(index, height, width), head_at(0, height, width)
    image, mask = drawn_head(head, height, width)
    skin = made_skin(index, head, mask, image)
    tracks = made_tracks(index, head, first)
    crop = Crop(width / 2 - 0.45 * height, 0.05 * height, 0.9 * height)
    size_norm = 2 * head.size_px / crop.side_px
    center = (np.array(head.center_xy_px) - (crop.x_px, crop.y_px)) / crop.side_px * 2 - 1
    driving = made_keypoints(center, size_norm, head.roll_deg)
    swing = np.sin(index / 9)
    target = made_keypoints((0.12 * swing, -0.1), 0.9, head.roll_deg)
    motion = made_dense(source.keypoints, target)
    side = source.image.shape[0]
    moved = warp(source.image, cv2.resize(motion.grid_norm, (side, side)))
    rng = np.random.default_rng(index)
    times = {"skin": 3.0, "tracks": 6.5, "keypoints": 1.2, "motion": 2.1, "render": 8.0}
    return Results(
        Frame(image, index, index / fps), skin, tracks,
        SparseMotion(
            driving, target, crop, is_frozen=index in LOST, head=made_target(source, tracks)
        ),
        motion, Picture(moved),
        {name: ms * float(rng.uniform(0.8, 1.5)) for name, ms in times.items()},
    )  # fmt: skip
