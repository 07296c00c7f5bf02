"""A clip's square frames -> its keypoint sets, each made by another part of the program.

    tracked      the classical tracker: anchors of the first frame with a head, followed
    per_frame    the anchors placed anew in every frame from its landmarks, as in a source picture
    teacher      landmark networks, by path, for training only (face/mesh_network.py)
    detected     a learned detector, by its weights

Every set has a key that says what made it, so that another network or version makes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hybridanim import __version__, files, geometry
from hybridanim.config import RuntimeConfig, SegmentConfig, TrackConfig
from hybridanim.face import aligner, mesh_network
from hybridanim.face.aligner import MEAN_SHAPE, Aligner
from hybridanim.face.anchors import ANCHORS
from hybridanim.face.mesh_network import points_from_mesh
from hybridanim.motion import body, keypoints
from hybridanim.prepare.source_head import SURE
from hybridanim.segmentation import video
from hybridanim.tracking import classical as classical_tracker
from hybridanim.tracking import learned as learned_tracker
from hybridanim.tracking import scene
from hybridanim.tracking.detection import Detector
from hybridanim.types import Array, Crop, Frame, HeadBox, Keypoints, Tracks

from .cache import BACKGROUND, DETECTED, PER_FRAME, TEACHER, TRACKED, anchors_of, packed

_NETWORKS = (mesh_network.MESH_FILE, mesh_network.EYE_FILE, mesh_network.DETECTOR_FILE)
_NOMINAL_FPS = 25  # of the program's trackers, which need a time for every frame
_TRACKER = 3  # to be raised when the classical front end gives other keypoints


@dataclass(frozen=True)
class SetsWanted:
    """Names of the sets, and the files that they need."""

    names: tuple[str, ...] = ()
    networks: Path | None = None
    """Folder of the landmark networks, for ``teacher``."""
    detector: Path | None = None
    """Weights of a detector, for ``detected``."""

    def key(self, name: str) -> str:
        """A short text that says what makes a set."""
        if name == TEACHER and self.networks is not None:
            sizes = [(self.networks / file).stat().st_size for file in _NETWORKS]
            return f"mesh {sizes}"
        if name == DETECTED and self.detector is not None:
            return files.sha256(self.detector)[:16]
        return f"{__version__} {_TRACKER} {aligner.WEIGHTS_SHA256[:8]}"


class SetMaker:
    """Makes the wanted sets; networks are loaded when they are first used."""

    def __init__(self, wanted: SetsWanted) -> None:
        self._wanted = wanted

    def missing(self, known: dict[str, Array]) -> list[str]:
        """Names of the wanted sets that are not in ``known``, or were made by something else."""
        keys = {name: str(known.get(f"key_{name}", "")) for name in self._wanted.names}
        return [name for name, key in keys.items() if key != self._wanted.key(name)]

    def make(
        self, names: list[str], moving: Sequence[Array] | Array, numbers: list[int]
    ) -> dict[str, Array]:
        """The sets (N, K, 7) of the frames ``numbers``, each with its key.

        moving: all frames of the part, (S, S, 3) uint8.
        """
        out: dict[str, Array] = {}
        if TRACKED in names or PER_FRAME in names:
            both = classical(moving, self.aligner)
            names = [*names, BACKGROUND]
            out |= {name: rows[numbers] for name, rows in both.items() if name in names}
        chosen = [np.ascontiguousarray(moving[i]) for i in numbers]
        if TEACHER in names:
            out[TEACHER] = self._teacher_anchors(chosen)
        if DETECTED in names:
            out[DETECTED] = detected(chosen, self._detector)
        keys = {f"key_{name}": np.array(self._wanted.key(name)) for name in out}
        return {name: rows.astype(np.float32) for name, rows in out.items()} | keys

    def _teacher_anchors(self, frames: list[Array]) -> Array:
        self._teacher.reset()
        rows = []
        for image in frames:
            mesh = self._teacher(image)
            if mesh is None:
                rows.append(anchors_of(np.full((1, 2), np.nan), len(image)))
                continue
            points = points_from_mesh(mesh.xyz_px, mesh.lids_xy_px, mesh.iris_xy_px)
            rows.append(anchors_of(points, len(image)))
        return np.array(rows)

    @cached_property
    def aligner(self) -> Aligner:
        """The program's own landmarks."""
        return aligner.load()

    @cached_property
    def _teacher(self) -> mesh_network.Teacher:
        assert self._wanted.networks is not None
        return mesh_network.Teacher(self._wanted.networks)

    @cached_property
    def _detector(self):
        import torch

        from hybridanim.runtime import networks

        torch.set_num_threads(1)
        return networks.detector(self._wanted.detector, RuntimeConfig("torch", "f32"))


def classical(moving: Iterable[Array], aligner: Aligner) -> dict[str, Array]:
    """The sets ``tracked`` and ``per_frame`` of consecutive frames (S, S, 3) uint8.

    Each (N, K, 7), in the coordinates of the square frame; nan while the head is lost or its
    landmarks are doubtful. ``background``: (N, 1, 7) in the same form, the affine motion of the
    background since the first frame: x, y to which the square's middle has moved, the linear part.
    """
    nothing = np.full((len(ANCHORS), 7), np.nan, np.float32)
    out: dict[str, list[Array]] = {TRACKED: [], PER_FRAME: [], BACKGROUND: []}
    skin, state = video.initial_state(), classical_tracker.initial_state()
    scene_state, background = scene.SceneState(), None
    first: tuple[Keypoints, HeadBox] | None = None
    for i, image in enumerate(moving):
        frame, crop = Frame(image, i, i / _NOMINAL_FPS), geometry.whole(image)
        skin, mask = video.step(skin, frame, SegmentConfig(), None)
        state, tracks = classical_tracker.step(
            state, frame, mask, TrackConfig(), None, camera=None, aligner=aligner
        )
        scene_state, tracks = scene.observed(scene_state, frame, tracks)
        rest = _rest(tracks, crop)
        if first is None and rest is not None and tracks.head is not None:
            first = rest, tracks.head
        moved = nothing
        if first is not None and tracks:
            now = keypoints.carry_anchors(tracks, *first, crop)
            if tracks.scene is not None:
                now = body.with_body(now, *first, tracks.scene, crop)
                found = body.background(now, *first, tracks.scene, crop)
                background = background if found is None else found
            moved = packed(now)
        out[TRACKED].append(moved)
        out[PER_FRAME].append(nothing if rest is None else packed(rest))
        out[BACKGROUND].append(_as_row(background))
    return {name: np.array(rows) for name, rows in out.items()}


def _as_row(background: Array | None) -> Array:
    """(1, 7) float32: the background's affine in the form of a keypoint."""
    if background is None:
        return np.array([[0, 0, 1, 0, 0, 1, 0]], np.float32)
    return np.array([[*background[:, 2], *background[:, :2].ravel(), 1]], np.float32)


def detected(frames: Iterable[Array], detector: Detector) -> Array:
    """The set ``detected``, (N, K, 7), as the learned tracker gives it; nan without a head."""
    nothing = np.full((detector.count, 7), np.nan, np.float32)
    rows, state = [], learned_tracker.initial_state()
    for i, image in enumerate(frames):
        image = np.ascontiguousarray(image)
        state, tracks = learned_tracker.step(state, Frame(image, i, i / _NOMINAL_FPS), detector)
        if tracks and tracks.keypoints is not None and tracks.keypoints_crop is not None:
            whole = geometry.whole(image)
            found = keypoints.in_crop(tracks.keypoints, tracks.keypoints_crop, whole)
            rows.append(packed(found))
        else:
            rows.append(nothing)
    return np.array(rows)


def _rest(tracks: Tracks, crop: Crop) -> Keypoints | None:
    if not tracks or tracks.head is None or tracks.landmarks_xy_px is None:
        return None
    if tracks.landmarks_confidence < SURE:
        return None
    return keypoints.place_anchors(tracks.head, tracks.landmarks_xy_px, MEAN_SHAPE, crop)
