"""Which keypoint sets a clip gets, and who makes them.

    tracked, fitted   the program's classical front end (data_tracked)
    taught            landmark networks, by path, for training only (landmarks/teacher)
    detected          a learned detector, by its weights (models/detector)

Every set carries a key of what it was made by, so that another network or version makes it anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hybridanim import __version__
from hybridanim.config import RuntimeConfig
from hybridanim.face import aligner as alignment
from hybridanim.face import mesh_network
from hybridanim.face.aligner import Aligner
from hybridanim.training.landmarks.samples import points_from_mesh
from hybridanim.types import Array

from . import tracked
from .cache import BACKGROUND, DETECTED, FITTED, TAUGHT, TRACKED, anchors_of

_NETWORKS = (mesh_network.MESH_FILE, mesh_network.EYE_FILE, mesh_network.DETECTOR_FILE)
_TRACKER = 3  # to be raised when the classical front end gives other keypoints


@dataclass(frozen=True)
class SetsWanted:
    """Names of the sets, and what they need."""

    names: tuple[str, ...] = ()
    networks: Path | None = None
    """Folder of the landmark networks, for ``taught``."""
    detector: Path | None = None
    """Weights of a detector, for ``detected``."""

    def key(self, name: str) -> str:
        """What a set is made by, in a few letters."""
        if name == TAUGHT and self.networks is not None:
            sizes = [(self.networks / file).stat().st_size for file in _NETWORKS]
            return f"mesh {sizes}"
        if name == DETECTED and self.detector is not None:
            return hashlib.sha256(self.detector.read_bytes()).hexdigest()[:16]
        return f"{__version__} {_TRACKER} {alignment.WEIGHTS_SHA256[:8]}"


class SetMaker:
    """Makes the sets that are wanted; the networks are loaded when first used."""

    def __init__(self, wanted: SetsWanted) -> None:
        self._wanted = wanted

    def missing(self, known: dict[str, Array]) -> list[str]:
        """Names of the sets that are not there, or were made by something else."""
        keys = {name: str(known.get(f"key_{name}", "")) for name in self._wanted.names}
        return [name for name, key in keys.items() if key != self._wanted.key(name)]

    def make(
        self, names: list[str], moving: Sequence[Array] | Array, numbers: list[int]
    ) -> dict[str, Array]:
        """The sets (N, K, 7) of the frames ``numbers``, each with its key.

        moving: all frames of the part, (S, S, 3) uint8.
        """
        out: dict[str, Array] = {}
        if TRACKED in names or FITTED in names:
            both = tracked.classical(moving, self.aligner)
            names = [*names, BACKGROUND]
            out |= {name: rows[numbers] for name, rows in both.items() if name in names}
        chosen = [np.ascontiguousarray(moving[i]) for i in numbers]
        if TAUGHT in names:
            out[TAUGHT] = self._taught(chosen)
        if DETECTED in names:
            out[DETECTED] = tracked.detected(chosen, self._detector)
        keys = {f"key_{name}": np.array(self._wanted.key(name)) for name in out}
        return {name: rows.astype(np.float32) for name, rows in out.items()} | keys

    def _taught(self, frames: list[Array]) -> Array:
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
        return alignment.load()

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
