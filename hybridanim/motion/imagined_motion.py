"""Motion without a driver: a mood, a seed and a first pose -> rows as a motion file has them.

The rows are endless: the network goes on from its own last rows, so nothing repeats and no memory
grows. The statistics that it is asked for are those of a recorded window of the mood, and glide to
those of another one every few seconds. Equal seeds give equal rows, bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count, takewhile

import numpy as np

from hybridanim.errors import InputError
from hybridanim.face import face_model, head_pose
from hybridanim.face.face_model import AXES
from hybridanim.face.landmarks import MESH
from hybridanim.face.mean_shape import MEAN_SHAPE
from hybridanim.types import Array, HeadBox, HeadPose, Tracks

from . import imagined_features, imagined_network, keypoints, motion_track
from .head_transfer import DriverFace
from .imagined_network import NumpyNetwork
from .moods import MOODS
from .motion_file import MotionHeader, MotionRow, ScannedFace, Stretch
from .motion_track import EXPRESSION, LIDS, RATE_HZ
from .reference import Reference
from .sparse import Seen

MOST_SECONDS = 86_400.0
MOST_SEED = 2**63 - 1
Angles = tuple[float, float, float]
_VIEW_PX = 256  # side of the picture that the rows refer to, which nobody sees
_HEAD = HeadBox((128.0, 128.0), 96.0)
_HEADER = MotionHeader(Fraction(RATE_HZ), Fraction(1, RATE_HZ), (_VIEW_PX, _VIEW_PX))
_HOLD_S, _GLIDE_S = (2.5, 5.5), 1.0  # how long statistics stay, and change
_LEAST_BLINK_S = 0.4  # between two blinks
_BLINK_SPEED = (0.85, 1.25)  # of a blink, random
_LID_ROWS = [AXES.index("left_lid_open"), AXES.index("right_lid_open")]


@dataclass(frozen=True)
class Wish:
    """What is imagined."""

    mood: str = "talking"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mood not in MOODS:
            raise InputError(
                f"--mood: expected one of {', '.join(MOODS)}, got {self.mood!r}; choose one"
            )
        if not 0 <= self.seed <= MOST_SEED:
            raise InputError(f"--seed: expected 0 to 2^63 - 1, got {self.seed}; choose within")


def expect_length(seconds: float) -> None:
    """Raise InputError for a length that no result has."""
    if not 1 / RATE_HZ <= seconds <= MOST_SECONDS:
        raise InputError(
            f"--seconds: expected {1 / RATE_HZ:g} to {MOST_SECONDS:g}, got {seconds:g}; choose"
            " within"
        )


class _Statistics:
    """The statistics over time, (S,) standardised: they glide between those of windows."""

    def __init__(self, bank: Array, rng: np.random.Generator) -> None:
        self._bank, self._rng = bank, rng
        self._from = self._to = self._drawn()
        self._left_s, self._glided = self._hold_s(), 1.0

    def __call__(self, step_s: float) -> Array:
        self._left_s -= step_s
        if self._left_s <= 0:
            self._from, self._to = self._to, self._drawn()
            self._left_s, self._glided = self._hold_s(), 0.0
        self._glided = min(1.0, self._glided + step_s / _GLIDE_S)
        return self._from + np.float32(self._glided) * (self._to - self._from)

    def _drawn(self) -> Array:
        return self._bank[self._rng.integers(len(self._bank))]

    def _hold_s(self) -> float:
        return float(self._rng.uniform(*_HOLD_S)) + _GLIDE_S


class _Blinks:
    """Blinks of a rate that the network gives, each a whole one."""

    def __init__(self, course: Array, rng: np.random.Generator) -> None:
        self._course, self._rng = course, rng
        self._row, self._speed = float(len(course)), 1.0
        self.since_s = float(rng.uniform(0.5, 4.0))

    def __call__(self, rate: float) -> float:
        """How shut the lids are in the next row; rate: probability that a blink begins in it."""
        chance = self._rng.random()
        if chance < rate and self.since_s >= _LEAST_BLINK_S and self._row >= len(self._course):
            self._row, self._speed = 0.0, float(self._rng.uniform(*_BLINK_SPEED))
            self.since_s = 0.0
        last = len(self._course) - 1
        shut = float(np.interp(self._row, np.arange(last + 1), self._course))
        self._row = min(self._row + self._speed, float(len(self._course)))
        self.since_s += 1 / RATE_HZ
        return shut


def values(
    wish: Wish, first_deg: Angles = (0.0, 0.0, 0.0), network: NumpyNetwork | None = None
) -> Iterator[tuple[Array, float]]:
    """Endless rows of a track (``motion_track.WIDTH``,), the first one at rest, and their blinks.

    first_deg: yaw, pitch and roll of the pose at rest.
    """
    net = network or imagined_network.load()
    tables, piece_s = net.tables, net.sizes.piece / RATE_HZ
    rng = np.random.Generator(np.random.PCG64(wish.seed))
    statistics = _Statistics(tables.moods[wish.mood], rng)
    blinks = _Blinks(tables.blink, rng)
    rest = np.zeros((1, motion_track.WIDTH), np.float32)
    rest[:, LIDS] = 1.0
    given = imagined_features.conditions(statistics(0.0), first_deg)
    state = net.begin(imagined_features.encoded(rest, tables)[0], given)
    yield rest[0], 0.0
    while True:
        given = imagined_features.conditions(statistics(piece_s), first_deg)
        rates = 1 / (1 + np.exp(-net.blink_logits(state, given, blinks.since_s)))
        noise = rng.standard_normal(net.sizes.latent, np.float32)
        state, rows = net.step(state, given, noise)
        for row, rate in zip(imagined_features.decoded(rows, tables), rates, strict=True):
            yield row, blinks(float(rate))


@dataclass(frozen=True)
class ImaginedMotion:
    """Imagined motion in the place of an opened motion file."""

    wish: Wish
    first_deg: Angles = (0.0, 0.0, 0.0)  # pose of the source's head: yaw, pitch, roll
    keypoints: int = field(init=False)
    expression: int = field(init=False)
    stretches: tuple[Stretch, ...] = field(init=False)
    scan: tuple[ScannedFace, ...] = ()
    header: MotionHeader = _HEADER

    def __post_init__(self) -> None:
        first = self._first()
        face = DriverFace(self._rest, np.zeros(0, np.float32), np.ones(2), 0.0)
        object.__setattr__(self, "stretches", (Stretch(0, first, face),))
        object.__setattr__(self, "keypoints", len(first.keypoints.xy_norm))
        object.__setattr__(self, "expression", len(face_model.load().expression))

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"imagined motion ({self.wish.mood}, seed {self.wish.seed})"

    @property
    def _rest(self) -> HeadPose:
        """The pose at rest, normalised to the crop."""
        crop = keypoints.crop_around(_HEAD)
        corner = np.array([crop.x_px, crop.y_px])
        shift = (np.array(_HEAD.center_xy_px) + 0.5 - corner) * (2 / crop.side_px) - 1
        rotation = head_pose.rotation_matrix(self.first_deg)
        return HeadPose(rotation, _HEAD.size_px * 2 / crop.side_px, shift)

    def _first(self) -> Reference:
        crop = keypoints.crop_around(_HEAD)
        row = np.zeros(motion_track.WIDTH, np.float32)
        row[LIDS] = 1.0
        landmarks = self._landmarks(row, 0.0, self._rest)
        points = keypoints.place_anchors(_HEAD, landmarks, MEAN_SHAPE, crop)
        return Reference(points, _HEAD, crop)

    def rows(self, start_s: float = 0.0, end_s: float | None = None) -> Iterator[MotionRow]:
        """The frames in order; endless without ``end_s``. start_s, end_s: cut in seconds."""
        first = self.stretches[0].first
        assert first.head is not None
        rest = self._rest
        row = np.zeros(motion_track.WIDTH, np.float32)
        row[LIDS] = 1.0
        before = self._landmarks(row, 0.0, rest)
        timed = zip(count(), values(self.wish, self.first_deg), strict=False)
        last = None if end_s is None else end_s - 1e-9
        for index, (row, blink) in takewhile(
            lambda one: last is None or one[0] / RATE_HZ < last, timed
        ):
            time_s = index / RATE_HZ
            if time_s >= start_s:
                seen = self._seen(row, blink, rest, first, before)
                yield MotionRow(index, time_s, 0, seen)

    def row(self, index: int) -> MotionRow:
        """The frame of this index."""
        return next(self.rows((index - 0.5) / RATE_HZ))

    def _landmarks(self, row: Array, blink: float, rest: HeadPose) -> Array:
        """(L, 2) float32 landmarks in pixels of the view."""
        model = face_model.load()
        neutral = face_model.measure(model.mean)[_LID_ROWS]
        face = motion_track.face_of(row, blink, rest)
        wanted = neutral * (face.lids - 1)
        vertices = model.vertices(None, row[EXPRESSION] + wanted @ model.axes[_LID_ROWS])
        crop = keypoints.crop_around(_HEAD)
        placed = face.pose.project(vertices[MESH].astype(np.float64))[:, :2]
        found = (placed + 1) * (crop.side_px / 2) + [crop.x_px - 0.5, crop.y_px - 0.5]
        return found.astype(np.float32)

    def _seen(
        self, row: Array, blink: float, rest: HeadPose, first: Reference, before: Array
    ) -> Seen:
        assert first.head is not None
        face = motion_track.face_of(row, blink, rest)
        half = first.crop.side_px / 2
        moved = (face.pose.shift_px - rest.shift_px) * half
        turn = face.pose.rotation @ rest.rotation.T
        roll = float(np.rad2deg(np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1])))
        x, y = np.array(first.head.center_xy_px) + moved
        size = first.head.size_px * face.pose.scale_px / rest.scale_px
        head = HeadBox((float(x), float(y)), size, first.head.roll_deg + roll)
        nothing, none = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
        tracks = Tracks(
            nothing, nothing, none, none, np.zeros(0, np.float32), head=head,
            landmarks_xy_px=self._landmarks(row, blink, rest),
            reference_landmarks_xy_px=before, landmarks_confidence=1.0, confidence_overall=1.0,
        )  # fmt: skip
        points = keypoints.carry_anchors(tracks, first.keypoints, first.head, first.crop)
        return Seen(points, None, False, face, 1.0, head)
