"""The colour space of a picture file: an embedded profile, or one that it states by other means.

An opened picture -> the bytes of an ICC profile, or None for sRGB. Cameras mark Adobe RGB by EXIF
alone: ColorSpace 65535 ("uncalibrated") says nothing yet, the interoperability index "R03" says it
is Adobe RGB (DCF 2.0; EXIF 2.32, 4.6.5); some write ColorSpace 2. PNG has the chunks gAMA and cHRM.
For these, a profile of a matrix and a gamma is made (ICC.1:2001-04).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from hybridanim.types import Array

_EXIF, _INTEROPERABILITY, _COLOR_SPACE = 0x8769, 0xA005, 0xA001
_ADOBE_RGB = ((0.3127, 0.3290), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # white, R, G, B
_SRGB = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_ADOBE_GAMMA, _USUAL_GAMMA = 563 / 256, 2.2
_SAME_XY, _SAME_GAMMA = 0.01, 0.1  # up to here PNG's chunks say sRGB
_D50 = np.array([0.9642, 1.0, 0.8249])  # XYZ of the white of profiles
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

Corners = tuple[tuple[float, float], ...]  # x,y of white, red, green, blue


def profile_of(opened: Image.Image) -> bytes | None:
    """The ICC profile that says what the numbers of an opened picture mean; None: sRGB."""
    embedded = opened.info.get("icc_profile")
    if embedded:
        return embedded
    if is_adobe_rgb(opened):
        return matrix_profile(_ADOBE_RGB, _ADOBE_GAMMA)
    return _of_png(opened.info)


def is_adobe_rgb(opened: Image.Image) -> bool:
    """Whether EXIF says that the colours are those of Adobe RGB (1998)."""
    try:
        exif = opened.getexif()
        stated = exif.get_ifd(_EXIF)
        index = exif.get_ifd(_INTEROPERABILITY).get(1, "") if _INTEROPERABILITY in stated else ""
    except (KeyError, OSError, SyntaxError, TypeError, ValueError):
        return False  # damaged
    if isinstance(index, bytes):
        index = index.decode("ascii", "replace")
    is_indexed = str(index).strip("\0 ") == "R03"
    return stated.get(_COLOR_SPACE) == 2 or (is_indexed and stated.get(_COLOR_SPACE) != 1)


def _of_png(info: dict[Any, Any]) -> bytes | None:
    """The profile of PNG's gAMA and cHRM, where they say something else than sRGB."""
    if "srgb" in info:
        return None
    gamma = 1 / info["gamma"] if info.get("gamma") else _USUAL_GAMMA
    values = np.array(info.get("chromaticity") or _SRGB, float).reshape(4, 2)
    is_usual = np.abs(values - np.array(_SRGB)).max() < _SAME_XY
    if (is_usual and abs(gamma - _USUAL_GAMMA) < _SAME_GAMMA) or not 0.5 < gamma < 4:
        return None
    if (values <= 0).any() or (values.sum(axis=1) > 1).any():
        return None
    try:
        return matrix_profile(tuple((float(x), float(y)) for x, y in values), gamma)
    except np.linalg.LinAlgError:  # three corners on a line
        return None


def matrix_profile(corners: Corners, gamma: float) -> bytes:
    """An ICC profile of version 2: x,y of white, red, green and blue, and one gamma."""
    columns = _to_pcs(np.array(corners)).T
    power = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")
    tags = {name: _xyz(one) for name, one in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags |= {name: power + bytes(2) for name in (b"rTRC", b"gTRC", b"bTRC")}
    tags[b"wtpt"] = _xyz(_D50)
    tags[b"cprt"] = b"text" + bytes(4) + b"none\0" + bytes(3)
    tags[b"desc"] = b"desc" + bytes(4) + (7).to_bytes(4, "big") + b"stated\0" + bytes(78)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + (start + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    head = (start + len(body)).to_bytes(4, "big") + bytes(4) + bytes.fromhex("02400000")
    head += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + _xyz(_D50)[8:]
    return head.ljust(128, b"\0") + len(tags).to_bytes(4, "big") + table + body


def _to_pcs(corners: Array) -> Array:
    """(3, 3) matrix of linear RGB -> XYZ under D50; corners: (4, 2) x,y of white, R, G, B."""
    xyz = np.column_stack([corners, 1 - corners.sum(axis=1)]) / corners[:, 1:]
    white, primaries = xyz[0], xyz[1:].T
    own = primaries * np.linalg.solve(primaries, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.solve(_BRADFORD, cones[:, None] * (_BRADFORD @ own))


def _xyz(values: Array) -> bytes:
    """XYZ as a tag of 16.16 fixed numbers."""
    numbers = b"".join(round(float(v) * 65536).to_bytes(4, "big", signed=True) for v in values)
    return b"XYZ " + bytes(4) + numbers
