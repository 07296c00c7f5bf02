"""Points of the head that were put right in the picture -> a corrected fit of the face model.

Regularised nonlinear least squares over pose, identity and expression (by scipy): points that were
put right are drawn to their places, all others to where the automatic fit has them, the less so the
more points near them were put right; coefficients stay near those of the automatic fit. Eyes and
lips, which the automatic fit knows best, are let go for points on eyes and lips only. What is left
is closed by a smooth displacement in the picture plane, by radial basis functions with compact
support (Wendland 1995), so that the points are met exactly.

Cameras: weak perspective, x = s R X + t, or a pinhole in the middle of the picture,
x = f X / Z. In both, ``HeadPose`` holds the head: its rotation is relative to the ray through the
face model's origin, its shift is the origin's place in the picture, and its scale is the picture's
at the origin's depth, f / Z. The pipeline projects by weak perspective. A pinhole's fit therefore
gets an ``offset`` of the vertices with which weak perspective shows each of them at its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.distance import cdist

from hybridanim.errors import InputError
from hybridanim.types import Array, FaceFit, HeadPose

from . import face_fit
from .face_model import FaceModel, measure
from .named_points import vertex_of

LEAST_VIEW_DEG, MOST_VIEW_DEG = 1.0, 150.0
_POSE = 6  # unknowns of the pose: rotation, log scale, shift
_MET = 0.012  # noise of a point that was put right, head sizes: what the model cannot show
_STAY, _STAY_FINE = 0.02, 0.01  # noise of the automatic fit, and of its lids and lips, head sizes
_NEAR, _LOOSER = 0.3, 10.0  # it grows by this for each point this near, head sizes,
_WRONG = 0.05  # that was moved by this or more, head sizes
_EXPRESSION, _IDENTITY = 0.4, 0.6  # standard deviations of the coefficients' changes
_MOST_STEPS, _STEP = 60, 1e-5  # of the search; of its differences
_REACH = 0.22  # radius of the displacement round a point, head sizes
_FARTHEST = 1.5  # of a point from the automatic fit, head sizes: further ones are another face's
_LEAST_DISTANCE, _LEAST_DEPTH = 1.0, 0.05  # of the head, and a vertex, before a pinhole, head sizes


@dataclass(frozen=True)
class Camera:
    """How the head is seen: weak perspective, or a pinhole in the middle of the picture."""

    focal_px: float | None = None  # None: weak perspective
    centre_px: tuple[float, float] = (0.0, 0.0)  # principal point of a pinhole

    @classmethod
    def pinhole(cls, view_deg: float, size_px: tuple[int, int]) -> Camera:
        """A pinhole that sees (width, height) pixels in a horizontal angle.

        Raises InputError for an angle that is not between 1 and 150 degrees.
        """
        if not LEAST_VIEW_DEG <= view_deg <= MOST_VIEW_DEG:
            raise InputError(
                f"field of view: expected {LEAST_VIEW_DEG:g} to {MOST_VIEW_DEG:g} degrees, got"
                f" {view_deg:g}; portraits have 10 to 40, selfies 60 to 80"
            )
        width, height = size_px
        focal = width / 2 / np.tan(np.deg2rad(view_deg) / 2)
        return cls(float(focal), ((width - 1) / 2, (height - 1) / 2))

    def ray_rotation(self, shift_px: Array) -> Array:
        """(3, 3) shortest rotation of the viewing axis onto the ray of a place in the picture."""
        if self.focal_px is None:
            return np.eye(3)
        x, y = (np.asarray(shift_px, np.float64) - self.centre_px) / self.focal_px
        axis = np.array([-y, x, 0.0])
        length = float(np.hypot(x, y))
        return cv2.Rodrigues(axis * (np.arctan(length) / max(length, 1e-12)))[0]

    def rotation(self, pose: HeadPose) -> Array:
        """(3, 3) rotation of the head to the camera's axes, instead of to the ray."""
        return self.ray_rotation(pose.shift_px) @ pose.rotation

    def project(self, pose: HeadPose, vertices: Array) -> Array:
        """(V, 2) picture positions of vertices (V, 3) of the face model."""
        if self.focal_px is None:
            return pose.project(vertices)[:, :2]
        seen = self._seen(pose, vertices)
        return self.focal_px * seen[:, :2] / seen[:, 2:] + self.centre_px

    def slopes(self, pose: HeadPose, vertices: Array, directions: Array) -> Array:
        """(C, V, 2) change of ``project`` for changes (C, V, 3) of the vertices (V, 3)."""
        if self.focal_px is None:
            return pose.scale_px * directions @ pose.rotation[:2].T
        seen = self._seen(pose, vertices)
        change = directions @ self.rotation(pose).T
        flat = seen[:, :2] / seen[:, 2:]
        return self.focal_px * (change[..., :2] - flat * change[..., 2:]) / seen[:, 2:]

    def _seen(self, pose: HeadPose, vertices: Array) -> Array:
        """(V, 3) vertices in a pinhole's axes, from it, in head sizes."""
        assert self.focal_px is not None
        shift = np.asarray(pose.shift_px, np.float64)
        place = np.append((shift - self.centre_px) / self.focal_px, 1.0)
        seen = vertices @ self.rotation(pose).T + place * (self.focal_px / pose.scale_px)
        seen[:, 2] = np.maximum(seen[:, 2], _LEAST_DEPTH)
        return seen


@dataclass(frozen=True)
class Constraint:
    """A point of the head and its place in the picture."""

    name: str  # of ``named_points.NAMES``, or the number of a vertex
    xy_px: tuple[float, float]  # pixels of the source picture
    weight: float = 1.0  # in (0, 1]: 1 is met exactly; less is met in part


@dataclass(frozen=True)
class TextureFit:
    """A corrected fit; positions are pixels of the picture."""

    face: FaceFit  # for the pipeline, with weak perspective and an offset
    camera: Camera
    vertices_px: Array  # (478, 2) all vertices in the picture
    automatic_px: Array  # (478, 2) likewise of the automatic fit
    numbers: Array  # (K,) int, the constrained vertices

    def residuals_px(self, constraints: Sequence[Constraint]) -> Array:
        """(K,) distances of the constrained vertices from their given places."""
        if not constraints:
            return np.zeros(0)
        given = np.array([one.xy_px for one in constraints], np.float64)
        return np.linalg.norm(self.vertices_px[self.numbers] - given, axis=1)


def fit(
    model: FaceModel,
    automatic: FaceFit,
    constraints: Sequence[Constraint],
    camera: Camera | None = None,
) -> TextureFit:
    """Correct an automatic fit so that the constrained points lie at their places.

    camera: None = weak perspective. Without constraints the result is the automatic fit itself.
    Raises InputError for unknown points, a point given twice, places that are not finite or more
    than 1.5 head sizes from the automatic ones, weights that are not in (0, 1], and a field of view
    so wide that the camera would lie in the head.
    """
    camera = camera or Camera()
    own = model.shaped(automatic.offset)
    before = automatic.pose.project(own.vertices(automatic.identity, automatic.expression))[
        :, :2
    ].astype(np.float64)
    numbers = _checked(constraints, before, automatic.pose.scale_px)
    _expect_far(camera, automatic.pose)
    if not constraints:
        return TextureFit(automatic, camera, before, before, numbers)
    given = np.array([one.xy_px for one in constraints], np.float64)
    weights = np.array([one.weight for one in constraints], np.float64)
    pose, expression, identity = _solved(own, automatic, before, camera, numbers, given, weights)
    vertices = own.vertices(identity, expression).astype(np.float64)
    found = camera.project(pose, vertices)
    gap = given - found[numbers]
    found = found + pose.scale_px * _spread(vertices, numbers, gap / pose.scale_px, weights)
    face = _for_pipeline(model, automatic, pose, expression, identity, found)
    return TextureFit(face, camera, found, before, numbers)


def _expect_far(camera: Camera, pose: HeadPose) -> None:
    """Raise InputError for a pinhole so near that it would lie in the head."""
    if camera.focal_px is None or camera.focal_px >= _LEAST_DISTANCE * pose.scale_px:
        return
    half_width = camera.centre_px[0] + 0.5
    most = 2 * np.rad2deg(np.arctan(half_width / (_LEAST_DISTANCE * pose.scale_px)))
    raise InputError(
        f"field of view: expected at most {np.floor(most):.0f} degrees for a head this large in the"
        " picture, got more: the camera would be in the head; give a smaller one"
    )


def _checked(constraints: Sequence[Constraint], before: Array, size_px: float) -> Array:
    """(K,) int vertices of the constraints; InputError where one cannot be used."""
    names: dict[int, str] = {}
    for one in constraints:
        number, where = vertex_of(one.name), f"point {one.name}"
        if number in names:
            raise InputError(
                f"{where}: expected each point once, got it again as {names[number]}; leave one out"
            )
        names[number] = one.name
        if not np.isfinite(one.xy_px).all():
            raise InputError(f"{where}: expected two numbers, got {one.xy_px}; correct the place")
        if not 0 < one.weight <= 1:
            raise InputError(
                f"{where}: expected a weight above 0 and up to 1, got {one.weight:g}; leave it out"
                " to meet the point exactly"
            )
        away = float(np.linalg.norm(before[number] - one.xy_px))
        if away > _FARTHEST * size_px:
            x, y = before[number]
            raise InputError(
                f"{where}: expected a place within {_FARTHEST * size_px:.0f} pixels of the"
                f" automatic one, {x:.0f},{y:.0f}, got {one.xy_px[0]:g},{one.xy_px[1]:g}; check the"
                " numbers, or choose the face by --face or --crop"
            )
    return np.array(list(names), np.int64)


def _solved(
    model: FaceModel,
    automatic: FaceFit,
    before: Array,
    camera: Camera,
    numbers: Array,
    given: Array,
    weights: Array,
) -> tuple[HeadPose, Array, Array]:
    """Pose, expression and identity of the least squares."""
    size = automatic.pose.scale_px
    rows = np.union1d(face_fit.ROWS, numbers)
    goal, noise = _goal(model, rows, before, size, numbers, given, weights)
    e = len(model.expression)
    basis = np.concatenate([model.expression, model.identity])[:, rows].astype(np.float64)
    start = np.concatenate([automatic.expression, automatic.identity]).astype(np.float64)
    mean = model.mean[rows].astype(np.float64) + np.tensordot(start, basis, 1)
    deviation = np.repeat([_EXPRESSION, _IDENTITY], [e, len(model.identity)])

    def pose_of(values: Array) -> HeadPose:
        pose = automatic.pose
        shift = np.asarray(pose.shift_px) + size * values[4:_POSE]
        turn = cv2.Rodrigues(values[:3])[0]
        return HeadPose(turn @ pose.rotation, size * float(np.exp(values[3])), shift)

    def residuals(values: Array) -> Array:
        vertices = mean + np.tensordot(values[_POSE:], basis, 1)
        away = (camera.project(pose_of(values), vertices) - goal) / noise
        return np.concatenate([away.ravel(), values[_POSE:] / deviation])

    def slopes(values: Array) -> Array:
        vertices = mean + np.tensordot(values[_POSE:], basis, 1)
        out = np.zeros((2 * len(rows) + len(start), len(values)))
        shown = camera.slopes(pose_of(values), vertices, basis) / noise
        out[: 2 * len(rows), _POSE:] = shown.reshape(len(start), -1).T
        out[range(2 * len(rows), len(out)), range(_POSE, len(values))] = 1 / deviation
        for column, step in enumerate(_STEP * np.eye(_POSE, len(values))):
            out[:, column] = (residuals(values + step) - residuals(values - step)) / (2 * _STEP)
        return out

    first = np.zeros(_POSE + len(start))
    found = least_squares(
        residuals,
        first,
        jac=slopes,  # type: ignore[arg-type]  # the stubs know its names only
        max_nfev=_MOST_STEPS,
    ).x
    coefficients = start + found[_POSE:]
    return pose_of(found), coefficients[:e], coefficients[e:]


def _goal(
    model: FaceModel,
    rows: Array,
    before: Array,
    size_px: float,
    numbers: Array,
    given: Array,
    weights: Array,
) -> tuple[Array, Array]:
    """Places (R, 2) that the vertices ``rows`` are drawn to, and their noise (R, 1), in pixels."""
    fine = face_fit.ROWS[face_fit.IS_FINE]
    is_fine = np.isin(rows, fine)
    near = np.exp(-0.5 * (cdist(model.mean[rows], model.mean[numbers]) / _NEAR) ** 2)
    near[np.ix_(is_fine, ~np.isin(numbers, fine))] = 0  # eyes do not follow the brows
    moved = np.linalg.norm(given - before[numbers], axis=1) / size_px
    wrong = near @ (weights * np.minimum(moved / _WRONG, 1))
    goal, noise = before[rows], np.where(is_fine, _STAY_FINE, _STAY) * (1 + _LOOSER * wrong)
    at = np.searchsorted(rows, numbers)
    goal[at], noise[at] = given, _MET / np.sqrt(weights)
    return goal, size_px * noise[:, None]


def _spread(vertices: Array, numbers: Array, gap: Array, weights: Array) -> Array:
    """(V, 2) smooth displacement of the vertices that closes the gaps (K, 2) at some of them.

    Sum of Wendland's functions (1 - r)^4 (4 r + 1) of the distance in the head; zero beyond their
    reach. A weight below 1 closes a part of the gap.
    """
    if np.abs(gap).max() == 0:
        return np.zeros((len(vertices), 2))
    r = np.minimum(cdist(vertices, vertices[numbers]) / _REACH, 1)
    kernel = (1 - r) ** 4 * (4 * r + 1)
    normal = kernel[numbers] + np.diag(1 / weights - 1 + 1e-9)
    return kernel @ np.linalg.solve(normal, gap)


def _for_pipeline(
    model: FaceModel,
    automatic: FaceFit,
    pose: HeadPose,
    expression: Array,
    identity: Array,
    vertices_px: Array,
) -> FaceFit:
    """The fit whose weak perspective shows the vertices (V, 2) at these places."""
    identity, expression = identity.astype(np.float32), expression.astype(np.float32)
    vertices = model.vertices(identity, expression).astype(np.float64)
    apart = np.zeros_like(vertices)
    apart[:, :2] = vertices_px - pose.project(vertices)[:, :2]
    offset = (apart @ pose.rotation / pose.scale_px).astype(np.float32)
    person = model.shaped(offset)
    return replace(
        automatic,
        pose=pose,
        identity=identity,
        expression=expression,
        quantities=measure(person.vertices(identity, expression)).astype(np.float32),
        neutral=measure(person.vertices(identity)).astype(np.float32),
        offset=offset,
    )
