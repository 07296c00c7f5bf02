"""Learn a person's skin-colour cloud from a picture or a short clip and save it as a profile.

    python -m calibration.skin INPUT --output profile.toml [--preview out.png]

Faces -> their surest skin pixels -> Gaussian mixture over Y, U, V -> TOML. The preview shows the
input next to what the generic cloud and the new profile find in it without adapting to a face.
``run_pipeline.py --profile profile.toml`` then starts from this cloud instead of the generic one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from hybridanim import command_line, paths
from hybridanim.errors import InputError
from hybridanim.io import is_picture, open_source, read_picture, write_picture
from hybridanim.profiles import Origin, SkinProfile, save_profile
from hybridanim.segmentation import skin_model, still
from hybridanim.types import Array

_MOST_FRAMES = 24  # of a clip, spread over it
_PIXELS_PER_FACE = 1500
_LEAST_PIXELS = 200
_NOISE_PX = 5  # side of the median that colours of picked skin are compared after
_LIKE_YUV = (30, 7, 7)  # most difference from the colour at the point


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0, or 2 with one line on stderr when the input cannot be used."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.skin", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("input", type=Path, help="picture or short clip that shows the face")
    parser.add_argument("--output", type=Path, required=True, help="profile to write, .toml")
    parser.add_argument("--preview", type=Path, help="before/after picture to write")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    return parser


def _run(given: argparse.Namespace) -> int:
    written = [("--output", given.output), ("--preview", given.preview)]
    paths.refuse_replacing(
        [(option, path) for option, path in written if path is not None],
        [given.input],
        overwrite=given.overwrite,
    )
    pictures = read(given.input)
    profile = replace(learn(pictures), origin=Origin.of(given.input))
    save_profile(profile, given.output, overwrite=given.overwrite)
    if given.preview:
        shown = preview(pictures[len(pictures) // 2], profile)
        write_picture(given.preview, shown, overwrite=given.overwrite)
    print(f"{given.output}: skin of {given.input.name}, {len(pictures)} picture(s)")
    return 0


def read(path: Path) -> list[Array]:
    """The picture, or up to 24 frames spread over the clip's first minute, each (H, W, 3) RGB."""
    if paths.is_file(path) and is_picture(path):
        return [read_picture(path)]
    kept: list[Array] = []
    every = 1
    with open_source(path, end_s=60.0, max_side_px=960) as frames:
        for number, frame in enumerate(frames):
            if number % every:
                continue
            kept.append(frame.image)
            if len(kept) == 2 * _MOST_FRAMES:  # twice as many as wanted: keep every second one
                kept, every = kept[::2], 2 * every
    return kept


def learn(pictures: list[Array]) -> SkinProfile:
    """Mixture of the faces' surest skin over all pictures; InputError when no face is found."""
    pixels, whites = [], []
    generator = np.random.default_rng(0)
    for image in pictures:
        yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
        faces = still.find_faces(image, yuv)
        if not faces:
            continue
        inside = yuv[skin_model.face_pixels(yuv, faces[0]) > 0]
        picked = generator.permutation(len(inside))[:_PIXELS_PER_FACE]
        pixels.append(inside[picked])
        whites.append(cv2.mean(yuv)[1:3])
    if sum(map(len, pixels)) < _LEAST_PIXELS:
        raise InputError(
            f"skin: expected a frontal face of 40 pixels or more, got {len(pictures)} picture(s)"
            " without one; give a sharper, closer or better lit picture"
        )
    white_u, white_v = np.mean(whites, axis=0)
    profile = skin_model.fit_mixture(np.concatenate(pixels))
    return replace(profile, white_uv=(float(white_u), float(white_v)))


def picked(image: Array, points_xy_px: Sequence[tuple[float, float]]) -> Array:
    """(H, W) uint8, 255 on pixels connected to the points (x, y) and coloured like the place there.

    image: (H, W, 3) uint8 RGB. Raises InputError for a point outside of it.
    """
    height, width = image.shape[:2]
    yuv = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2YUV), _NOISE_PX)
    mask = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    for x, y in points_xy_px:
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            raise InputError(
                f"skin: expected points in the picture of {width}x{height}, got {x:g},{y:g};"
                " correct the point"
            )
        cv2.floodFill(yuv, mask, (round(x), round(y)), 0, _LIKE_YUV, _LIKE_YUV, flags)
    return np.ascontiguousarray(mask[1:-1, 1:-1])


def learn_at(image: Array, points_xy_px: Sequence[tuple[float, float]]) -> SkinProfile:
    """Mixture of the skin ``picked`` at points of one picture, for faces that are not found.

    Raises InputError for points outside of it, or too little skin around them.
    """
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    inside = yuv[picked(image, points_xy_px) > 0]
    if len(inside) < _LEAST_PIXELS:
        raise InputError(
            f"skin: expected points on {_LEAST_PIXELS} pixels of even skin or more, got"
            f" {len(inside)}; add points on forehead, cheeks, nose and neck"
        )
    kept = np.random.default_rng(0).permutation(len(inside))[: 4 * _PIXELS_PER_FACE]
    white_u, white_v = cv2.mean(yuv)[1:3]
    return replace(skin_model.fit_mixture(inside[kept]), white_uv=(white_u, white_v))


def preview(image: Array, profile: SkinProfile) -> Array:
    """(H, 3 W, 3) uint8 RGB: the picture, generic skin tinted, the profile's skin tinted."""
    scale = min(1.0, 480 / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    yuv = cv2.cvtColor(small, cv2.COLOR_RGB2YUV)
    generic = skin_model.generic_cloud()
    learned = skin_model.Cloud(skin_model.profile_histogram(profile), generic.other, 1.0)
    panels = [small]
    for cloud in (generic, learned):
        found = skin_model.probability(yuv, cloud.table()) > 127
        panel = small.copy()
        panel[found] = panel[found] // 2 + np.array([0, 110, 60], np.uint8)
        panels.append(panel)
    return np.hstack(panels)


if __name__ == "__main__":
    sys.exit(main())
