"""Z-buffer against rays, flow against projection, reasons against analytic surfaces."""

import cv2
import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.face import head_pose, mesh
from hybridanim.motion import head_mesh, head_occlusion, head_transfer, z_buffer
from hybridanim.motion.head_occlusion import Outlines, Shown
from hybridanim.types import HeadPose, HeadTarget, Reason

from .test_head_mesh import BODY, CELLS, MODEL, source, turned

NOWHERE = np.full((3, 2), 9.0)
NO_OUTLINES = Outlines(NOWHERE, [NOWHERE] * 2, [NOWHERE] * 2, NOWHERE, None)


def cast(vertices, triangles, places):
    """Rays along z at places (P, 2): nearest triangle (P,), weights of its corners, depth, is_sure.

    Not sure: the ray passes so near to an edge that another triangle might be the first.
    """
    flat = vertices[triangles]  # (T, 3, 3)
    low, high = flat[..., :2].min(1) - 0.02, flat[..., :2].max(1) + 0.02
    is_near = ((places[:, None] > low) & (places[:, None] < high)).all(-1)
    ray, triangle = np.nonzero(is_near)
    a, b, c = np.moveaxis(flat[triangle], 1, 0)
    across, down, away = (b - a)[:, :2].T, (c - a)[:, :2].T, (places[ray] - a[:, :2]).T
    size = across[0] * down[1] - across[1] * down[0]
    size = np.where(np.abs(size) < 1e-9, np.nan, size)
    second = (away[0] * down[1] - away[1] * down[0]) / size
    third = (across[0] * away[1] - across[1] * away[0]) / size
    weights = np.nan_to_num(np.stack([1 - second - third, second, third], -1), nan=-9.0)
    plane = (weights * np.stack([a[:, 2], b[:, 2], c[:, 2]], -1)).sum(-1)
    least = weights.min(1)
    depth = np.where(least >= 0, plane, np.inf)
    order = np.lexsort((depth, ray))
    rays, start = np.unique(ray[order], return_index=True)
    first = order[start]
    nearest = np.full(len(places), np.inf)
    nearest[rays] = depth[first]
    is_rival = (np.abs(least) < 0.05) & (plane < nearest[ray] + 0.02)
    is_sure = np.isfinite(nearest)
    is_sure[ray[is_rival]] = False
    best, found = np.zeros(len(places), int), np.zeros((len(places), 3))
    best[rays], found[rays] = triangle[first], weights[first]
    return best, found, nearest, is_sure


@pytest.mark.parametrize("seed", range(3))
def test_the_z_buffer_finds_the_surface_that_a_ray_meets_first(seed):
    rng = np.random.default_rng(seed)
    head = head_mesh.build(source(), MODEL)
    target = turned(head, rng.uniform(-35, 35, 3))
    vertices = head_mesh.moved(head, target)
    cells = 24
    shown = head_mesh.rasterise(head, vertices, 1.0, cells)
    places = geometry.grid_norm(cells).reshape(-1, 2).astype(float)
    best, weights, depth, is_sure = cast(vertices, head.triangles, places)
    assert is_sure.mean() > 0.6
    corners = head.rest[head.triangles[best], :2]
    expected = np.einsum("pk,pkc->pc", weights, corners)
    apart = np.abs(shown.xy.reshape(-1, 2) - expected).max(1)[is_sure]
    assert apart.max() < 0.25 * 2 / cells
    assert np.abs(shown.depth.ravel() - depth)[is_sure].max() < 0.02


def test_the_z_buffer_interpolates_and_marks_what_is_empty():
    vertices = np.array([[-0.6, -0.6, 0.1], [0.6, -0.6, 0.1], [0, 0.6, 0.1]])
    values = np.array([[-3, 5, 100], [7, -2, -50], [1, 1, 0]])
    shown, depth = z_buffer.rasterise(vertices, np.array([[0, 1, 2]], np.int32), values, 16)
    weights = np.linalg.solve(
        np.vstack([vertices[:, :2].T, np.ones(3)]),
        np.vstack([geometry.grid_norm(16).reshape(-1, 2).T, np.ones(256)]),
    ).T
    inside, outside = weights.min(1) > 0.02, weights.min(1) < -0.02
    np.testing.assert_allclose(shown.reshape(-1, 3)[inside], (weights @ values)[inside], atol=1e-3)
    np.testing.assert_allclose(depth.ravel()[inside], 0.1, atol=1e-3)
    assert np.isnan(depth.ravel()[outside]).all()


@pytest.mark.parametrize("angles", [(20, 0, 0), (-20, 10, 0), (0, -15, 15)])
def test_a_turned_face_is_reprojected(angles):
    """Middles of the face's triangles: where they come out, the flow leads to where they were."""
    head = head_mesh.build(source(), MODEL)
    target = turned(head, angles)
    grid = head_mesh.dense(head, target, CELLS).grid_norm
    middles = MODEL.mean[MODEL.triangles].mean(1)
    scale, shift = 100 / 128, np.full(2, 128.5 / 128 - 1)
    before = scale * middles[:, :2] + shift
    turn = head_pose.rotation_matrix(angles)
    after = scale * (middles @ turn.T)[:, :2] + shift
    vertices = head_mesh.moved(head, target)
    best, _, _, is_sure = cast(vertices, head.triangles, after)
    is_first = is_sure & (best == np.arange(len(middles)))
    assert is_first.mean() > 0.5
    x, y = np.moveaxis((after + 1) * (CELLS / 2) - 0.5, -1, 0).astype(np.float32)
    found = cv2.remap(grid, x[None], y[None], cv2.INTER_LINEAR)[0]
    apart = np.abs(found - before).max(1)[is_first]
    assert np.percentile(apart, 95) < 2 / CELLS
    assert apart.max() < 3 * 2 / CELLS  # next to a cut the flow is blurred


def ellipsoid(radius, rows=40, columns=80):
    """Vertices and triangles of an ellipsoid, its poles above and below."""
    down = np.linspace(0.02, np.pi - 0.02, rows)[:, None]
    round_ = (np.arange(columns) * 2 * np.pi / columns)[None]
    parts = [
        np.sin(down) * np.cos(round_),
        np.cos(down) + 0 * round_,
        np.sin(down) * np.sin(round_),
    ]
    vertices = np.stack(parts, -1).reshape(-1, 3) * radius
    first = np.arange(rows - 1)[:, None] * columns + np.arange(columns)
    after = first - np.arange(columns) + (np.arange(columns) + 1) % columns
    quads = [first, after, first + columns, after, after + columns, first + columns]
    return vertices, np.stack(quads, -1).reshape(-1, 3).astype(np.int32)


@pytest.mark.parametrize("yaw_deg", [30, -30])
def test_an_ellipsoid_hides_what_faced_away(yaw_deg):
    """By the normals: an area of the surface has the shares -n_z of itself in both views."""
    radius = np.array([0.6, 0.75, 0.65])
    rest, triangles = ellipsoid(radius)
    turn = head_pose.rotation_matrix((yaw_deg, 0, 0))
    whole = np.ones((CELLS, CELLS), np.float32)
    view = head_occlusion.source_view(rest, triangles, np.ones(len(rest)), whole)
    vertices = rest @ turn.T
    seen = head_occlusion.seen_vertices(view, vertices, 1.0)
    values = np.column_stack([rest[:, :2], seen])
    values, depth = z_buffer.rasterise(vertices, triangles, values, CELLS)
    shown = Shown(values[..., :2].copy(), values[..., 2], depth)
    found = head_occlusion.explained(view, shown, NO_OUTLINES, None)
    # the ray of each cell in the ellipsoid's own frame, scaled to a unit sphere
    start = np.dstack([geometry.grid_norm(CELLS), np.zeros((CELLS, CELLS))]) @ turn / radius
    along = turn[2] / radius
    a, b, c = along @ along, start @ along, (start**2).sum(-1) - 1
    inside = b * b - a * c
    meets = inside > 0.02
    point = start + along * ((-b - np.sqrt(np.maximum(inside, 0))) / a)[..., None]
    normal = point / radius
    then, now = -normal[..., 2], -(normal @ turn.T)[..., 2]
    ratio = then / np.maximum(now, 1e-6)
    is_hidden = found.reasons == Reason.SELF_OCCLUDED
    assert is_hidden[meets & (ratio < 0.2)].mean() > 0.98
    assert not is_hidden[meets & (ratio > 0.42)].any()
    assert set(np.unique(found.reasons[meets])) == {Reason.VISIBLE, Reason.SELF_OCCLUDED}
    x = geometry.grid_norm(CELLS)[..., 0]
    # yaw is positive to the right, which shows the side that was on the left
    assert (np.sign(x[is_hidden & meets]) == -np.sign(yaw_deg)).all()
    inner = meets & (now > 0.4)  # the map is blurred into what lies beside the ellipsoid
    assert found.occlusion[inner & (ratio < 0.05)].max() < 0.1
    assert found.occlusion[inner & (ratio > 0.6)].min() > 0.95


def test_a_part_behind_another_is_hidden():
    """A plate before a larger one; moved aside, it uncovers what the source shows nowhere."""
    plate = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    front = np.column_stack([0.3 * plate, np.full(4, -0.3)])
    steps = np.linspace(-1, 1, 21)
    back = np.dstack([*np.meshgrid(steps, steps), np.zeros((21, 21))]).reshape(-1, 3)
    corner = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel() + 4
    split = [[corner, corner + 1, corner + 21], [corner + 1, corner + 22, corner + 21]]
    triangles = np.vstack([[[0, 1, 2], [0, 2, 3]], *(np.stack(s, -1) for s in split)])
    triangles = triangles.astype(np.int32)
    rest = np.vstack([front, back])
    whole = np.ones((CELLS, CELLS), np.float32)
    view = head_occlusion.source_view(rest, triangles, np.ones(len(rest)), whole)
    vertices = rest + np.where(np.arange(len(rest)) < 4, 0.7, 0)[:, None] * [1, 0, 0]
    values = np.column_stack([rest[:, :2], head_occlusion.seen_vertices(view, vertices, 1.0)])
    values, depth = z_buffer.rasterise(vertices, triangles, values, CELLS)
    shown = Shown(values[..., :2].copy(), values[..., 2], depth)
    reasons = head_occlusion.explained(view, shown, NO_OUTLINES, None).reasons
    x, y = np.abs(np.moveaxis(geometry.grid_norm(CELLS), -1, 0))
    assert (reasons[(x < 0.15) & (y < 0.15)] == Reason.SELF_OCCLUDED).all()
    assert (reasons[(x > 0.35) | (y > 0.35)] == Reason.VISIBLE).all()


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-20, 15, 10), (0, -20, 0)])
@pytest.mark.parametrize("cells", [64, 256])
def test_without_motion_everything_is_visible(angles, cells):
    one = source(angles, jaw_open=0.02)
    y, x = np.mgrid[:256, :256]
    one.subject = np.clip(20 - np.hypot(x - 128, y - 128) / 5, 0, 1).astype(np.float32)
    head = head_mesh.build(one, MODEL)
    motion = head_mesh.dense(head, head_transfer.own_target(one), cells)
    assert (motion.reasons == Reason.VISIBLE).all()
    assert (motion.occlusion == 1).all()


def marked(outlines, grow_cells, cells=CELLS):
    """(cells, cells) bool: cells inside these contours (M, 2), and next to them."""
    out = np.zeros((cells, cells), np.uint8)
    for points in outlines:
        places = np.round((points + 1) * (cells / 2) - 0.5).astype(np.int32)
        cv2.fillPoly(out, [places], 1)
    return cv2.dilate(out, np.ones((2 * grow_cells + 1,) * 2, np.uint8)) > 0


def test_an_open_mouth_is_opened_within_the_lips_alone():
    head = head_mesh.build(source(), MODEL)
    wide = (head.expression + MODEL.along(jaw_open=0.15)).astype(np.float32)
    target = HeadTarget(head.pose, wide, BODY)
    motion = head_mesh.dense(head, target, CELLS)
    opened = motion.reasons == Reason.OPENED
    lips = head_mesh.moved(head, target)[list(mesh.INNER_LIPS), :2]
    assert opened.sum() > 30
    assert not opened[~marked([lips], 1)].any()
    assert motion.occlusion[opened].max() < 0.7 and motion.occlusion[opened].mean() < 0.2
    # nothing else of the face is hidden
    assert (motion.reasons[~marked([lips], 6)] == Reason.VISIBLE).mean() > 0.995


def test_lids_open_beyond_the_eye_of_the_source():
    one = source(left_lid_open=-0.2, right_lid_open=-0.2)
    head = head_mesh.build(one, MODEL)
    wide = head.expression + MODEL.along(left_lid_open=0.3, right_lid_open=0.3)
    target = HeadTarget(head.pose, wide.astype(np.float32), BODY)
    opened = head_mesh.dense(head, target, CELLS).reasons == Reason.OPENED
    vertices = head_mesh.moved(head, target)[:, :2]
    lids = [vertices[list(rows)] for rows in mesh.EYES]
    for outline in lids:
        assert opened[marked([outline], 0)].sum() > 3
    assert not opened[~marked(lids, 1)].any()


def test_background_is_uncovered_where_the_person_was():
    one = source()
    y, x = np.mgrid[:256, :256]
    one.subject = np.clip(75 - np.hypot(x - 128, y - 140), 0, 1).astype(np.float32)
    head = head_mesh.build(one, MODEL)
    motion = head_mesh.dense(head, turned(head, (30, 0, 0)), 128)
    before = cv2.resize(one.subject, (128, 128), interpolation=cv2.INTER_AREA)
    after = geometry.warp(before, motion.grid_norm, cv2.INTER_LINEAR)
    uncovered = motion.reasons == Reason.UNCOVERED
    is_left = (before > 0.9) & (after < 0.05)
    assert is_left.sum() > 100
    assert uncovered[is_left].mean() > 0.97
    assert not uncovered[(before < 0.1) & (after < 0.1)].any()
    assert np.isnan(motion.depth[after < 0.2]).all()
    assert np.isfinite(motion.depth[after > 0.8]).mean() > 0.99


def test_what_comes_from_beyond_the_picture_is_outside():
    head = head_mesh.build(source(), MODEL)
    place = head.pose.shift_px + np.array([0.0, 0.4])
    pose = HeadPose(head.pose.rotation, head.pose.scale_px, place)
    body = np.array([[1, 0, 0], [0, 1, 0.4]], np.float32)
    target = HeadTarget(pose, head.expression.astype(np.float32), body)
    motion = head_mesh.dense(head, target, CELLS)
    rows = (motion.reasons == Reason.OUTSIDE).mean(1)
    edge = round(0.2 * CELLS)  # the head is moved by 0.4 of 2
    assert (rows[: edge - 2] == 1).all() and (rows[edge + 2 :] == 0).all()


def test_an_enlarged_head_is_not_stretched():
    head = head_mesh.build(source(), MODEL)
    pose = HeadPose(head.pose.rotation, 2.2 * head.pose.scale_px, head.pose.shift_px)
    target = HeadTarget(pose, head.expression.astype(np.float32), BODY)
    motion = head_mesh.dense(head, target, CELLS)
    inner = np.s_[CELLS // 4 : -CELLS // 4, CELLS // 4 : -CELLS // 4]
    assert (motion.reasons[inner] == Reason.VISIBLE).mean() > 0.99


def test_depth_is_that_of_the_face():
    head = head_mesh.build(source(), MODEL)
    depth = head_mesh.dense(head, head_transfer.own_target(source()), CELLS).depth
    for row in (4, 9, 50, 280):  # tip of the nose, brow, cheeks
        x, y = ((head.rest[row, :2] + 1) * (CELLS / 2)).astype(int)
        assert depth[y, x] == pytest.approx(100 / 128 * MODEL.mean[row, 2], abs=0.03)
