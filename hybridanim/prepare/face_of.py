"""The fitted face of one picture, to read its pose and expression; nothing is prepared to move."""

from __future__ import annotations

import cv2

from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.face.aligner import Aligner
from hybridanim.geometry import turned
from hybridanim.profiles import Profiles
from hybridanim.tracking.face_tracking import PointFinder
from hybridanim.types import Array, FaceFit

from . import source_face, source_head


def face_of(picture: Array, aligner: Aligner | None, finder: PointFinder | None) -> FaceFit:
    """The largest face of a picture (H, W, 3) uint8 RGB, fitted as closely as a source's.

    In pixels of the picture, turned upright where it lies on its side. Raises InputError where no
    face is found, or the face model fits none.
    """
    found = source_head.locate(picture, PipelineConfig(), Profiles(), aligner, finder)
    if found.face is None or finder is None:
        raise InputError(
            "picture: expected a face that the face model fits, got none; choose a picture that"
            " shows the face from the front, and leave out --no-face-fit"
        )
    grey = cv2.cvtColor(turned(picture, found.turn_deg), cv2.COLOR_RGB2GRAY)
    return source_face.looked_closely(grey, found.face, finder)
