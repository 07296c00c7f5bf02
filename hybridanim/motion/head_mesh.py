"""The source's head as a textured mesh in three dimensions; its motion gives the backward flow.

Built once per source from the fitted face model: the face, open at the lips and the lids; behind
them the eyeballs, and the inside of a mouth that the source shows; round the face a polar mesh over
skull, hair, neck and background, whose depth is that of an ellipsoid. Per frame the vertices are
moved, and a z-buffer gives for every output cell the source position that it shows (what turned
away is hidden, what opened is a hole). After Blanz and Vetter 1999 (model); z-buffer: Catmull 1974.

Coordinates are the source crop's, normalised, with z in the same unit, away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import ConvexHull

from hybridanim import geometry
from hybridanim.face import mesh
from hybridanim.face.anchors import FIT_BOX, HAS_LANDMARKS, PINNED, landmark_average
from hybridanim.face.face_model import FaceModel
from hybridanim.face.landmarks import MESH
from hybridanim.fitting import fit_global_affine, fit_local_affines
from hybridanim.resampling import smoothstep
from hybridanim.types import (
    Array,
    DenseMotion,
    HeadPose,
    HeadTarget,
    Keypoints,
    MovedFace,
    MovedTeeth,
    Source,
    Uncovered,
)

from . import head_back, head_mirror, head_occlusion, head_shell, teeth, z_buffer
from .head_back import HeadBack, Skull
from .head_mirror import HeadMirror
from .head_occlusion import Outlines, Shown, SourceView
from .head_shell import HeadShell
from .head_transfer import in_crop
from .teeth import Teeth

_ANGLES, _SMOOTH_ANGLES = 96, 4.0  # of the polar mesh; sigma of its smoothed depth
_RINGS = (-0.02, 0.03, 0.07, 0.12, 0.18, 0.26, 0.36, 0.5, 0.7, 1.0, 1.5, 2.4)  # heads from the hull
_DEPTH_FADE, _EXPRESSION_FADE = 0.15, 0.22  # heads beyond the hull over which the face's is kept
_NECK = 0.6  # height of the neck below the chin, face heights: the head's motion fades there
_AWAY, _AWAY_FADE = 1.15, 0.6  # distance from the face at which it fades, face heights
_TEETH = 0.8  # share of the opening, from above, that moves with the upper lip
_LEAST_GAP = 0.008  # heads; smaller gaps are not painted
_UPPER = np.array(mesh.INNER_LIPS[1:10])
_LOWER = np.array(mesh.INNER_LIPS[:10:-1])
_BEHIND_LIDS, _BEHIND_LIPS = 0.02, 0.03  # of eyeballs and the mouth's inside, heads
_AVERAGE = landmark_average()
_SEAM = 0.02  # sigma of the seam between both, sides of the picture
_DEPTH_CELLS = 256  # of the picture's own z-buffer
_PERSON, _JUMP_CELLS = 0.5, 3.0  # mask of the person; difference of the flow that is a cut
_SOFT_CELLS = 0.7  # sigma of the blur of the flow
_SAME_Z = 0.03  # norm; differences of depth between two rasters of one surface
_STILL = 1e-6  # movement of the vertices below which nothing moves
_FILLS = (0.8, 1.6, 3.2, 8.0)  # sigmas in cells over which holes are filled, the nearest first
_FACE, _EYEBALL = 468, 21  # vertices of the face, and of each eyeball


@dataclass(frozen=True)
class SourceHead:
    """The mesh of one source; N vertices: face, polar mesh, eyeballs, inside of the mouth."""

    model: FaceModel
    identity: Array  # (I,)
    expression: Array  # (E,) of the picture
    pose: HeadPose  # of the picture
    rest: Array  # (N, 3) float64 vertices in the picture; x and y are the texture's place
    triangles: Array  # (T, 3) int32
    face_triangles: Array  # those of them that are not of the polar mesh
    ring_own: Array  # (R, 3) the polar mesh in the face model's frame
    ring_weight: Array  # (R, 1) share of the head's motion; the rest is the body's
    ring_vertex: Array  # (R,) the face's vertex whose expression it follows
    ring_fade: Array  # (R, 1) how much
    view: SourceView  # what the picture shows of the mesh
    back: HeadBack  # without an avatar
    shell: HeadShell  # with one
    mirror: HeadMirror
    teeth: Teeth

    @property
    def face(self) -> Array:
        """(478, 3) vertices of the face in the model's frame, with the source's expression."""
        return self.model.vertices(self.identity, self.expression)


def build(source: Source, model: FaceModel) -> SourceHead | None:
    """Build the mesh of a prepared source; None without a fitted face."""
    fit = source.face
    if fit is None:
        return None
    pose, model = in_crop(fit.pose, source), model.shaped(fit.offset)
    face = model.vertices(fit.identity, fit.expression)
    shown = pose.project(face)
    ring = _ring(face, shown, pose)
    eyes, mouth = _eyeballs(face, face, pose), pose.project(_mouth(face, face))
    parts = [shown[:_FACE], ring.rest, eyes[0], eyes[1], mouth]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    triangles = [model.triangles, ring.triangles + starts[1]]
    triangles += [_eye_triangles(eyes[side]) + starts[2 + side] for side in (0, 1)]
    triangles.append(_MOUTH_TRIANGLES + starts[4])
    rest = np.concatenate(parts).astype(np.float64)
    corners = np.concatenate(triangles).astype(np.int32)
    flat = shown[:_FACE, :2]
    hull = flat[ConvexHull(flat).vertices]
    back = head_back.build(source.subject, pose, _skull(face), hull, ring.rest)
    _, depth = z_buffer.rasterise(rest, corners, np.zeros((len(rest), 3)), _DEPTH_CELLS)
    shell = head_shell.build(
        source.subject, pose, _skull(face), hull, depth, lambda xy: _weight(xy, shown, pose)
    )
    own = (rest - np.append(pose.shift_px, 0)) @ pose.rotation / pose.scale_px
    share = np.ones(len(rest))
    share[starts[1] : starts[2]] = ring.weight[:, 0]
    view = head_occlusion.source_view(rest, corners, share, source.subject)
    mirror = head_mirror.build(rest, own, _counterparts(model, starts), pose, depth, view)
    return SourceHead(
        model, fit.identity, fit.expression, pose, rest, corners,
        np.concatenate([triangles[0], *triangles[2:]]).astype(np.int32),
        ring.own, ring.weight, ring.vertex, ring.fade, view, back, shell, mirror,
        teeth.build(model, fit.identity),
    )  # fmt: skip


def _counterparts(model: FaceModel, starts: Array) -> Array:
    """(N,) counterparts of the mesh's vertices, as ``head_mirror.build`` takes them.

    starts: (6,) of face, polar mesh, both eyeballs, the mouth's inside, and the end.
    """
    out = np.full(starts[5], -1)
    out[:_FACE] = model.mirror[:_FACE]
    eyes = [[*contour, *iris] for contour, iris in zip(mesh.EYES, mesh.IRISES, strict=True)]
    for side, first in ((0, starts[2]), (1, starts[3])):
        other = {number: row for row, number in enumerate(eyes[1 - side])}
        rows = [other.get(int(model.mirror[number]), -1) for number in eyes[side]]
        found = np.array(rows)
        out[first : first + _EYEBALL] = np.where(found < 0, -2, found + starts[3 - side])
    out[starts[4] :] = -2
    return out


@dataclass(frozen=True)
class _Ring:
    rest: Array
    triangles: Array
    own: Array
    weight: Array
    vertex: Array
    fade: Array


def _ring(face: Array, shown: Array, pose: HeadPose) -> _Ring:
    """The polar mesh round the face's convex hull."""
    flat = shown[:_FACE, :2]
    hull = flat[ConvexHull(flat).vertices]
    centre = (flat.min(0) + flat.max(0)) / 2
    angle = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    way = np.stack([np.cos(angle), np.sin(angle)], -1)
    reach = _reach(hull - centre, way)
    beyond = np.array(_RINGS) * pose.scale_px
    radius = reach[None] + beyond[:, None]  # (rings, angles)
    xy = (centre + radius[..., None] * way).reshape(-1, 2)
    edge = centre + (reach + beyond[0])[:, None] * way
    vertex = ((flat[None] - edge[:, None]) ** 2).sum(-1).argmin(1)
    out = np.maximum(np.repeat(beyond[:, None], _ANGLES, 1), 0).reshape(-1) / pose.scale_px
    skull = _skull_depth(xy, _skull(face), pose).reshape(len(_RINGS), _ANGLES)
    edge_z = _around(shown[vertex, 2])
    fade = np.exp(-((out / _DEPTH_FADE) ** 2)).reshape(skull.shape)
    z = _around(skull + fade * (edge_z - skull[0]))
    # never towards the camera again: what lies further out is further behind
    z = np.maximum.accumulate(z, 0).reshape(-1)
    z[:_ANGLES] += 0.01 * pose.scale_px  # under the face
    rest = np.column_stack([xy, z])
    own = (rest - np.append(pose.shift_px, 0)) @ pose.rotation / pose.scale_px
    first = np.arange(len(_RINGS) - 1)[:, None] * _ANGLES + np.arange(_ANGLES)[None]
    after = first - np.arange(_ANGLES) + (np.arange(_ANGLES) + 1) % _ANGLES
    quads = [first, after, first + _ANGLES, after, after + _ANGLES, first + _ANGLES]
    triangles = np.stack(quads, -1).reshape(-1, 3)
    return _Ring(
        rest,
        triangles,
        own,
        _weight(xy, shown, pose)[:, None],
        np.tile(vertex, len(_RINGS)),
        np.exp(-((out / _EXPRESSION_FADE) ** 2))[:, None],
    )


def _around(values: Array) -> Array:
    """Smoothed over the angles, the last axis, which is a circle."""
    return gaussian_filter1d(values, _SMOOTH_ANGLES, axis=-1, mode="wrap")


def _reach(hull: Array, way: Array) -> Array:
    """Distance from 0 to a convex polygon (H, 2) along unit vectors (A, 2)."""
    start, end = hull, np.roll(hull, -1, 0)
    side = end - start
    cross = way[:, None, 0] * side[None, :, 1] - way[:, None, 1] * side[None, :, 0]
    cross = np.where(np.abs(cross) < 1e-12, np.nan, cross)
    along = (start[:, 0] * side[:, 1] - start[:, 1] * side[:, 0])[None] / cross
    part = (start[None, :, 0] * way[:, None, 1] - start[None, :, 1] * way[:, None, 0]) / cross
    hit = (along > 0) & (part >= -1e-9) & (part <= 1 + 1e-9)
    return np.nanmax(np.where(hit, along, np.nan), 1)


def _skull(face: Array) -> Skull:
    """The ellipsoid of a face (478, 3) in the model's frame."""
    half, top, chin = np.ptp(face[:_FACE, 0]) / 2, face[10, 1], face[152, 1]
    bone_z = face[list(mesh.BONE), 2].mean()
    middle = np.array([0, top + 0.28 * (chin - top), bone_z + 0.72 * half])
    return Skull(middle, np.array([1.16 * half, 0.82 * (chin - top), 1.12 * half]))


def _skull_depth(xy: Array, skull: Skull, pose: HeadPose) -> Array:
    """Depth (N,) of the ellipsoid under points (N, 2); beside it, of its outline."""
    start = np.column_stack([xy - pose.shift_px, np.zeros(len(xy))])
    start = (start @ pose.rotation / pose.scale_px - skull.middle) / skull.radius
    along = pose.rotation.T @ [0, 0, 1] / pose.scale_px / skull.radius
    a, b, c = along @ along, start @ along, (start**2).sum(1) - 1
    inside = b * b - a * c
    return np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, -b / a)


def _weight(xy: Array, shown: Array, pose: HeadPose) -> Array:
    """(N,) share of the head's motion: 1 on the head, 0 below the neck and far from it."""
    down = pose.rotation[:2, 1] / (np.linalg.norm(pose.rotation[:2, 1]) + 1e-9)
    height = np.linalg.norm(shown[10] - shown[152])
    below = (xy - shown[152, :2]) @ down / height
    middle = shown[list(mesh.BONE), :2].mean(0) - 0.1 * height * down
    away = np.linalg.norm(xy - middle, axis=1) / height
    neck = 1 - smoothstep(np.clip(below / _NECK, 0, 1))
    return neck * (1 - smoothstep(np.clip((away - _AWAY) / _AWAY_FADE, 0, 1)))


def _eyeballs(start: Array, face: Array, pose: HeadPose) -> list[Array]:
    """(21, 3) each: contour, then the iris; behind the lids.

    The sockets are those of ``start``, the picture's face; the irises follow the gaze of ``face``.
    """
    found = []
    for contour, iris in zip(mesh.EYES, mesh.IRISES, strict=True):
        socket = start[[*contour, *iris]].copy()
        socket[16:] += _gaze(start, face, contour, iris)
        points = pose.project(socket)
        points[16:, 2] = points[:16, 2].mean()
        points[:, 2] += _BEHIND_LIDS * pose.scale_px * pose.rotation[2, 2]
        found.append(points)
    return found


def _eye_triangles(points: Array) -> Array:
    """Triangles of an eyeball's 21 points: a fan round the iris."""
    centre, rim = 16, [17, 18, 19, 20]
    out = [[centre, rim[i], rim[(i + 1) % 4]] for i in range(4)]
    flat = points[:, :2]
    middle = flat[centre]
    turn = np.arctan2(*(flat[rim] - middle).T[::-1])
    for i in range(16):
        j = (i + 1) % 16
        mid = (flat[i] + flat[j]) / 2 - middle
        apart = np.angle(np.exp(1j * (turn - np.arctan2(mid[1], mid[0]))))
        near = np.argsort(np.abs(apart))[0]
        out.append([i, j, rim[near]])
    for k in range(4):  # between the sectors
        a, b = rim[k], rim[(k + 1) % 4]
        sector = [row[:2] for row in out[4:] if row[2] == a]
        other = [row[:2] for row in out[4:] if row[2] == b]
        shared = {i for row in sector for i in row} & {i for row in other for i in row}
        out += [[a, b, i] for i in shared]
    return np.array(out, np.int32)


def _mouth(start: Array, face: Array) -> Array:
    """(38, 3) the mouth's inside in the model's frame, of a face that was ``start`` in the picture.

    What the source shows between its lips is cut below the upper teeth. The upper part keeps its
    place under the upper lip, the lower part above the lower lip; between them is a gap. Rows:
    upper lip, edge of its part, edge of the other part, lower lip (nine each), corners.
    """
    cut = start[_UPPER] + _TEETH * (start[_LOWER] - start[_UPPER])
    parts = [
        face[_UPPER],
        face[_UPPER] + cut - start[_UPPER],
        face[_LOWER] + cut - start[_LOWER],
        face[_LOWER],
        face[[mesh.INNER_LIPS[0], mesh.INNER_LIPS[10]]],
    ]
    points = np.concatenate(parts)
    points[:, 2] += _BEHIND_LIPS
    return points


def _mouth_triangles() -> Array:
    """Two strips with their corners: upper lip to edge, edge to lower lip."""
    out = []
    for first in (0, 18):
        a, b = np.arange(first, first + 8), np.arange(first + 9, first + 17)
        out += [np.stack([a, a + 1, b], -1), np.stack([a + 1, b + 1, b], -1)]
        out.append(np.array([[36, first, first + 9], [37, first + 8, first + 17]]))
    return np.concatenate(out).astype(np.int32)


_MOUTH_TRIANGLES = _mouth_triangles()


def moved(head: SourceHead, target: HeadTarget) -> Array:
    """(N, 3) vertices in one frame."""
    pose, start = target.pose, head.face
    face = head.model.vertices(head.identity, target.expression)
    shown = pose.project(face)
    change = (face - start)[head.ring_vertex] * head.ring_fade
    own = pose.project(head.ring_own + change)
    count = _FACE + len(head.ring_own)
    rest = head.rest[_FACE:count]
    body = rest.copy()
    body[:, :2] = rest[:, :2] @ target.body[:, :2].T + target.body[:, 2]
    ring = body + head.ring_weight * (own - body)
    eyes = _eyeballs(start, face, pose)
    mouth = pose.project(_mouth(start, face))
    return np.vstack([shown[:_FACE], ring, *eyes, mouth])


def face_points(head: SourceHead, vertices: Array) -> Array:
    """(478, 2) the face's points in the picture, with the irises of the eyeballs.

    vertices: (N, 3) of ``moved``.
    """
    first = _FACE + len(head.ring_own)
    eyes = vertices[first : first + 42].reshape(2, 21, 3)[:, 16:]
    return np.concatenate([vertices[:_FACE, :2], *eyes[..., :2]])


def _gaze(start: Array, face: Array, contour: tuple[int, ...], iris: tuple[int, ...]) -> Array:
    """(3,) movement of the iris in its eye, without that of the eye's corners."""
    corners = [contour[0], contour[8]]
    return (face[iris[0]] - start[iris[0]]) - (face[corners] - start[corners]).mean(0)


def rasterise(head: SourceHead, vertices: Array, zoom: float | None, cells: int) -> Shown:
    """What each cell of a grid shows of the mesh.

    vertices: (N, 3) of ``moved``. zoom: size of the head over that in the picture; None: what the
    source shows of the vertices is left out, all count as seen.
    """
    seen = np.ones(len(vertices))
    if zoom is not None:
        seen = head_occlusion.seen_vertices(head.view, vertices, zoom)
    values = np.column_stack([head.rest[:, :2], seen])
    values, depth = z_buffer.rasterise(vertices, head.triangles, values, cells)
    return Shown(np.ascontiguousarray(values[..., :2]), values[..., 2], depth)


def dense(
    head: SourceHead,
    target: HeadTarget,
    cells: int,
    background: Array | None = None,
    vertices: Array | None = None,
    *,
    explain: bool = True,
    avatar: bool = False,
) -> DenseMotion:
    """Backward flow of one frame, its occlusion and depth, and the unknown inside of the mouth.

    cells: of the flow, an even number. The whole mesh is rasterised at half of them, and the face
    again at all: lids and lips are thinner than a cell. background: (2, 3) affine source <- output
    of the background, or None. vertices: of ``moved``, if they are known. explain: also compute the
    occlusion map, with reasons and depth; without, all counts as visible. avatar: what is behind
    the front is a layer of its own, and the person ends at cuts in the flow.
    """
    if vertices is None:
        vertices = moved(head, target)
    interior = _gap(vertices[-38:, :2], target.pose, cells)
    grid = geometry.grid_norm(cells)
    behind, mirrored, coverage = None, None, None
    if np.abs(vertices - head.rest).max() > _STILL:  # the rasteriser rounds
        shown = rasterise(head, vertices, None, cells // 2)
        if not avatar:
            shown = _with_back(head, target, shown)
        grid = _filled(shown.xy, shown.is_surface)
        coverage = np.ones(grid.shape[:2], np.float32)
        if avatar:
            person = head_occlusion.person(head.view, grid) >= _PERSON
            behind = head_shell.layer(head.shell, target, person, len(grid))
            grid, coverage = _cut(grid, person)
        grid = geometry.resize_grid(grid, cells)
        coverage = np.repeat(np.repeat(coverage, 2, 0), 2, 1)
        grid = _softened(_with_face(head, vertices, grid, shown.depth, coverage))
        is_cut = avatar and float(coverage.min()) < 1
        coverage = cv2.GaussianBlur(coverage, (0, 0), _SOFT_CELLS) if is_cut else None
        mirrored = _mirrored(head, target, vertices, cells // 2) if avatar else None
    motion = DenseMotion(
        grid,
        np.ones(grid.shape[:2], np.float32),
        background=background,
        interior=interior,
        teeth=None if interior is None else _teeth(head, target),
        face=MovedFace(face_points(head, vertices).astype(np.float32), target.pose),
        behind=behind,
        mirrored=mirrored,
        coverage=coverage,
    )
    if not explain:
        return motion
    zoom = target.pose.scale_px / head.pose.scale_px
    shown = _with_back(head, target, rasterise(head, vertices, zoom, cells))
    outlines = _outlines(head, vertices, interior)
    seen = head_occlusion.explained(head.view, shown, outlines, background)
    is_person = head_occlusion.person(head.view, grid) > 0.5
    return replace(
        motion,
        occlusion=seen.occlusion,
        reasons=seen.reasons,
        depth=np.where(is_person, shown.depth, np.float32(np.nan)),
    )


def _teeth(head: SourceHead, target: HeadTarget) -> MovedTeeth:
    face = head.model.vertices(head.identity, target.expression)
    own = head.teeth
    return MovedTeeth(teeth.moved(own, face, target.pose), own.places_mm, own.triangles)


def _with_back(head: SourceHead, target: HeadTarget, shown: Shown) -> Shown:
    """What each cell shows of the mesh and, where that shows no person, of the head's back."""
    xy, depth = head_back.behind(head.back, target.pose, shown.xy, shown.is_surface)
    is_back = ~np.isnan(depth)
    return Shown(
        np.where(is_back[..., None], xy, shown.xy),
        np.where(is_back, np.float32(0), shown.seen),
        np.where(is_back, depth, shown.depth),
    )


def _mirrored(
    head: SourceHead, target: HeadTarget, vertices: Array, cells: int
) -> Uncovered | None:
    """Where the output takes the colours of the other half of the head; None for nowhere."""
    share = head_mirror.share(head.mirror, vertices, target.pose.scale_px / head.pose.scale_px)
    if share is None:
        return None
    values = np.column_stack([head.mirror.xy, share])
    shown, depth = z_buffer.rasterise(vertices, head.triangles, values, cells)
    is_surface = ~np.isnan(depth)
    places = np.ascontiguousarray(shown[..., :2])
    known = np.where(is_surface, shown[..., 2], np.float32(0))
    return Uncovered(places, np.clip(cv2.GaussianBlur(known, (0, 0), _SEAM * cells), 0, 1))


def _cut(grid: Array, person: Array) -> tuple[Array, Array]:
    """The flow (h, h, 2) and the coverage (h, h) of the person's layer, with the person's cuts.

    Where the person ends and the flow jumps to background that lies elsewhere in the source, values
    between the two would show what lies between them there: a seam of hair or ear. The person's
    flow goes on over the edge instead, and the coverage ends there. person: (h, h) bool.
    """
    cells = len(grid)
    still = geometry.grid_norm(cells)
    known = person.astype(np.float32)
    moved = grid - still
    blurred = cv2.GaussianBlur(
        cv2.merge([*cv2.split(moved), np.ones_like(known)]) * known[..., None], (0, 0), 1.0
    )
    near = (cv2.dilate(known, np.ones((5, 5), np.uint8)) > 0) & ~person
    rows = np.nonzero(near & (blurred[..., 2] > 1e-3))
    going_on = blurred[rows][:, :2] / blurred[rows][:, 2:]
    jump = np.abs(moved[rows] - going_on).max(1) > _JUMP_CELLS * 2 / cells
    if not jump.any():
        return grid, np.ones(person.shape, np.float32)
    rows = tuple(one[jump] for one in rows)
    out, cut = grid.copy(), np.zeros(person.shape, np.uint8)
    out[rows] = still[rows] + going_on[jump]
    cut[rows] = 1
    around = cv2.dilate(cut, np.ones((5, 5), np.uint8)) > 0
    return out, 1 - (around & ~person).astype(np.float32)


def _with_face(
    head: SourceHead, vertices: Array, grid: Array, depth: Array, coverage: Array
) -> Array:
    """The flow with the face rasterised at its own cells, where it is in front.

    grid: (2 h, 2 h, 2), coverage: (2 h, 2 h), changed in place. depth: (h, h) of all surfaces.
    """
    cells, face = len(grid), vertices[:_FACE, :2]
    low = np.clip(np.floor((face.min(0) + 1) * cells / 4).astype(int), 0, cells // 2)
    high = np.clip(np.ceil((face.max(0) + 1) * cells / 4).astype(int), 0, cells // 2)
    size = int((high - low).max())
    if (high <= low).any():
        return grid
    low = np.minimum(low, cells // 2 - size)
    # the square of the face as a grid of its own
    centre, zoom = 4 * (low + size / 2) / cells - 1, cells / 2 / size
    near = vertices.copy()
    near[:, :2] = zoom * (vertices[:, :2] - centre)
    values = np.column_stack([head.rest[:, :2], np.zeros(len(vertices))])
    found, own = z_buffer.rasterise(near, head.face_triangles, values, 2 * size)
    part = (slice(low[1], low[1] + size), slice(low[0], low[0] + size))
    other = np.repeat(np.repeat(depth[part], 2, 0), 2, 1)
    with np.errstate(invalid="ignore"):
        in_front = ~(own > other + _SAME_Z) & ~np.isnan(own)
    out = grid[2 * low[1] : 2 * (low[1] + size), 2 * low[0] : 2 * (low[0] + size)]
    np.copyto(out, found[..., :2], where=in_front[..., None])
    rows, columns = (slice(2 * n, 2 * (n + size)) for n in (low[1], low[0]))
    coverage[rows, columns][in_front] = 1
    return grid


def _outlines(head: SourceHead, vertices: Array, interior: Array | None) -> Outlines:
    """Contours of the moved mesh; vertices: of ``moved``."""
    xy, end = vertices[:, :2], _FACE + len(head.ring_own)
    lids = [xy[list(rows)] for rows in mesh.EYES]
    sockets = [xy[first : first + len(mesh.EYES[0])] for first in (end, end + _EYEBALL)]
    return Outlines(xy[list(mesh.INNER_LIPS)], lids, sockets, xy[end - _ANGLES : end], interior)


def _softened(grid: Array) -> Array:
    """The grid slightly blurred: edges of what hides something are no staircases then."""
    still = geometry.grid_norm(len(grid))
    return still + cv2.GaussianBlur(grid - still, (0, 0), _SOFT_CELLS)


def keypoints(head: SourceHead, vertices: Array, source: Keypoints, other: Keypoints) -> Keypoints:
    """The source's keypoints moved by the mesh, with their Jacobians, for a network.

    vertices: (N, 3) of ``moved``. other: target keypoints by other means, whose neck, shoulders and
    confidence are kept.
    """
    before, after = head.rest[:, :2], vertices[:, :2]
    count = _FACE + len(head.ring_own)
    ones = np.ones(count)
    reach = np.maximum(FIT_BOX, 0.1) * head.pose.scale_px
    whole = fit_global_affine(before[:_FACE], after[:_FACE], ones[:_FACE], head.pose.scale_px)
    _, linear, _ = fit_local_affines(
        before[:count], after[:count], ones, places=source.xy_norm, reach_px=reach, prior=whole,
        residual_px=head.pose.scale_px,
    )  # fmt: skip
    # each by its own points: an average over both lips, or both lids, would not open
    numbers = np.where(MESH >= 0, MESH, 0)
    change = (after[numbers] - before[numbers])[None]
    share = _AVERAGE[..., None]
    xy = source.xy_norm + (share * change).sum(1)
    free = ~HAS_LANDMARKS
    near = ((source.xy_norm[free, None] - before[None, :count]) ** 2).sum(-1).argmin(1)
    xy[free] = source.xy_norm[free] + (after - before)[near]
    own = PINNED[:, None]
    return Keypoints(
        np.where(own, xy, other.xy_norm).astype(np.float32),
        np.where(own[..., None], linear @ source.jacobian, other.jacobian).astype(np.float32),
        other.confidence,
    )


def _gap(mouth: Array, pose: HeadPose, cells: int) -> Array | None:
    """(2 cells, 2 cells) float32 coverage of the gap in the mouth's inside; None without one.

    mouth: (38, 2) vertices of ``_mouth``, normalised.
    """
    down = pose.rotation[:2, 1] / (np.linalg.norm(pose.rotation[:2, 1]) + 1e-9)
    upper, lower = mouth[9:18], mouth[18:27]
    width = np.maximum((lower - upper) @ down, 0)
    if width.max() < _LEAST_GAP * pose.scale_px:
        return None
    lower = upper + width[:, None] * down
    points = np.vstack([mouth[36], upper, mouth[37], lower[::-1]])
    side = 2 * cells
    corners = np.round(((points + 1) * (side / 2) - 0.5) * 16).astype(np.int32)
    out = np.zeros((side, side), np.float32)
    low, high = (np.clip(n, 0, side) for n in (corners.min(0) // 16 - 1, corners.max(0) // 16 + 3))
    if (low >= high).any():
        return out
    part = np.zeros(high[::-1] - low[::-1], np.uint8)
    cv2.fillPoly(part, [corners - 16 * low.astype(np.int32)], 255, cv2.LINE_AA, 4)
    out[low[1] : high[1], low[0] : high[0]] = part.astype(np.float32) / 255
    return out


def _filled(grid: Array, covered: Array) -> Array:
    """Holes filled from around them, so that interpolation next to them has values."""
    if covered.all():
        return grid
    whole = geometry.grid_norm(len(grid))
    near = _around_holes(covered, int(4 * _FILLS[-1]) + 2)
    known, still, out = covered[near].copy(), whole[near], grid.copy()
    offset = np.where(known[..., None], grid[near] - still, np.float32(0))
    start = cv2.merge([*cv2.split(offset), known.astype(np.float32)])
    for sigma in _FILLS:
        part = _around_holes(known, int(4 * sigma) + 2)
        blurred = cv2.GaussianBlur(start[part], (0, 0), sigma)
        new = ~known[part] & (blurred[..., 2] > 0.02)
        offset[part][new] = blurred[new, :2] / blurred[new, 2:]
        known[part] |= new
        if known.all():
            break
    hole = ~covered[near]
    out[near][hole] = (offset + still)[hole]
    return out


def _around_holes(known: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns of what is not known, with a margin."""
    spans = []
    for axis in (1, 0):
        hit = np.flatnonzero(~known.all(axis))
        spans.append(slice(max(0, hit[0] - margin), hit[-1] + 1 + margin))
    return spans[0], spans[1]
