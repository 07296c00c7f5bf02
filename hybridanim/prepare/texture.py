"""Texture profile -> the corrected fit of the picture that it was made for.

A profile belongs to one picture, which it knows by size and by a thumbnail of 8x8 grey levels:
that of the same picture saved in another format is nearly the same, and its pixels have the same
places.
"""

from __future__ import annotations

import cv2
import numpy as np

from hybridanim.errors import InputError
from hybridanim.face import texture_fit
from hybridanim.face.face_model import FaceModel
from hybridanim.face.texture_fit import Camera, Constraint, TextureFit
from hybridanim.profiles import TextureProfile
from hybridanim.types import Array, FaceFit

_SIDE = 8
_LARGEST_DIFFERENCE = 4  # grey levels of a cell


def thumbnail(picture: Array) -> str:
    """128 hexadecimal digits: 8x8 mean grey levels of a picture (H, W, 3) uint8 RGB."""
    small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).tobytes().hex()


def expect_picture(profile: TextureProfile, picture: Array) -> None:
    """Raise InputError unless the profile was made for this picture (H, W, 3)."""
    height, width = picture.shape[:2]
    own = profile.origin.source or "another picture"
    fix = "give that picture, or make a profile of this one by python -m calibration.texture"
    if (width, height) != profile.picture_size_px:
        size = "{}x{}".format(*profile.picture_size_px)
        raise InputError(
            f"texture profile: expected its own picture, {own} of {size} pixels, got one of"
            f" {width}x{height}; {fix}"
        )
    known, seen = (
        np.frombuffer(bytes.fromhex(one), np.uint8).astype(int)
        for one in (profile.thumbnail, thumbnail(picture))
    )
    if np.abs(known - seen).max() > _LARGEST_DIFFERENCE:
        raise InputError(f"texture profile: expected its own picture, {own}, got another; {fix}")


def expect_none(profile: TextureProfile | None) -> None:
    """Raise InputError when there is a profile for a source without a fitted face."""
    if profile is not None:
        raise InputError(
            "texture profile: expected a source with a fitted face, got none; leave out"
            " --no-face-fit and weights of an object, or leave out the profile"
        )


def camera_of(profile: TextureProfile) -> Camera:
    """The profile's camera."""
    if profile.camera == "weak":
        return Camera()
    return Camera.pinhole(profile.field_of_view_deg, profile.picture_size_px)


def constraints_of(profile: TextureProfile) -> tuple[Constraint, ...]:
    """The profile's points."""
    return tuple(Constraint(name, (x, y), weight) for name, x, y, weight in profile.points)


def corrected(
    model: FaceModel, automatic: FaceFit, profile: TextureProfile, picture: Array
) -> TextureFit:
    """Correct the automatic fit of a picture (H, W, 3) by its profile.

    Raises InputError for the profile of another picture, and as ``texture_fit.fit``.
    """
    expect_picture(profile, picture)
    return texture_fit.fit(model, automatic, constraints_of(profile), camera_of(profile))
