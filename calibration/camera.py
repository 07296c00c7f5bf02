"""Chessboard pictures, or a field of view -> CameraProfile, and a picture before and after.

    python -m calibration.camera PICTURES... --board 9x6 --output camera.toml
    python -m calibration.camera --field-of-view 60 --size 640x480 --output camera.toml

``--board`` counts inner corners. Zhang 2000 through OpenCV: each board view gives a homography, all
of them together the intrinsics and the lens distortion. Ten views, tilted all ways, do well.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from hybridanim import command_line, paths
from hybridanim.errors import InputError
from hybridanim.io import list_pictures, read_picture, write_picture
from hybridanim.profiles import CameraProfile, Origin, save_profile
from hybridanim.types import Array

LEAST_VIEWS = 4
MOST_CORNERS, MOST_PX = 100, 100_000  # of one side of a board, of a picture
_LEAST_PX = 32  # side of a picture
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-4)


def from_field_of_view(
    horizontal_deg: float, size_px: tuple[int, int], origin: Origin | None = None
) -> CameraProfile:
    """Ideal pinhole camera whose (width, height) picture spans that angle, 1 to 170 degrees."""
    if not 1 < horizontal_deg < 170:
        raise InputError(
            f"field of view: expected 1 to 170 degrees, got {horizontal_deg:g};"
            " most webcams have 55 to 80"
        )
    width, height = size_px
    focal = width / 2 / np.tan(np.deg2rad(horizontal_deg) / 2)
    return CameraProfile(
        float(focal),
        float(focal),
        (width - 1) / 2,
        (height - 1) / 2,
        (width, height),
        origin=origin or Origin(f"field of view {horizontal_deg:g} degrees"),
    )


def find_corners(grey: Array, board: tuple[int, int]) -> Array | None:
    """(N, 2) float32 inner corners of a (columns, rows) chessboard to sub-pixel precision, or None.

    grey: (H, W) uint8.
    """
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
    found, corners = cv2.findChessboardCorners(grey, board, flags=flags)
    if not found:
        return None
    corners = np.ascontiguousarray(corners.reshape(-1, 1, 2), np.float32)
    step = np.linalg.norm(np.diff(corners[: board[0], 0], axis=0), axis=1).min()
    reach = int(np.clip(step / 3, 2, 11))
    corners = cv2.cornerSubPix(grey, corners, (reach, reach), (-1, -1), _STOP)
    return corners.reshape(-1, 2)


def from_corners(
    views: Sequence[Array],
    board: tuple[int, int],
    size_px: tuple[int, int],
    origin: Origin | None = None,
) -> CameraProfile:
    """Intrinsics and distortion from the corners of several board views of one picture size."""
    if len(views) < LEAST_VIEWS:
        raise InputError(
            f"chessboard: expected {LEAST_VIEWS} or more pictures that show the whole"
            f" {board[0]}x{board[1]} board, got {len(views)}; take more, tilted all ways, or check"
            " --board (inner corners, not squares)"
        )
    columns, rows = board
    flat = np.zeros((columns * rows, 3), np.float32)
    flat[:, :2] = np.mgrid[0:columns, 0:rows].T.reshape(-1, 2)
    places = [flat] * len(views)
    seen = [np.ascontiguousarray(view, np.float32)[:, None] for view in views]
    error, matrix, distortion, *_ = cv2.calibrateCamera(places, seen, size_px, None, None)
    return CameraProfile(
        float(matrix[0, 0]),
        float(matrix[1, 1]),
        float(matrix[0, 2]),
        float(matrix[1, 2]),
        size_px,
        tuple(float(v) for v in np.ravel(distortion)[:5]),
        float(error),
        origin or Origin(),
    )


def from_pictures(
    paths: Sequence[Path], board: tuple[int, int]
) -> tuple[CameraProfile, list[Path]]:
    """Profile and the pictures in which the board was found; InputError when they do not do."""
    views, used, size = [], [], None
    for path in paths:
        grey = cv2.cvtColor(read_picture(path), cv2.COLOR_RGB2GRAY)
        here = (grey.shape[1], grey.shape[0])
        if min(here) < _LEAST_PX:
            raise InputError(
                f"{path}: expected {_LEAST_PX} pixels or more on each side, got"
                f" {here[0]}x{here[1]}; use pictures that show the board"
            )
        if size not in (None, here):
            raise InputError(
                f"{path}: expected {size[0]}x{size[1]} pixels like the first picture, got"
                f" {here[0]}x{here[1]}; use pictures of one camera at one setting"
            )
        size = here
        corners = find_corners(grey, board)
        if corners is not None:
            views.append(corners)
            used.append(path)
    if size is None:
        raise InputError("chessboard: expected pictures, got none; name files or a folder")
    origin = Origin.of(used[0]) if used else Origin()
    return from_corners(views, board, size, origin), used


def before_and_after(image: Array, profile: CameraProfile) -> Array:
    """(H, 2 W, 3) uint8: the picture as it is, and with the lens distortion undone."""
    straight = cv2.undistort(image, profile.matrix, np.array(profile.distortion))
    return np.hstack([image, straight])


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.camera", description="Measure a camera and save its profile."
    )
    parser.add_argument("pictures", nargs="*", type=Path, help="chessboard pictures, or folders")
    parser.add_argument("--board", default="9x6", help="inner corners, columns x rows")
    parser.add_argument("--field-of-view", type=float, help="horizontal, degrees; no pictures then")
    parser.add_argument("--size", default="640x480", help="picture size for --field-of-view")
    parser.add_argument("--output", type=Path, default=Path("camera.toml"))
    parser.add_argument("--picture", type=Path, help="where to write a before/after picture")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    return parser


def _run(options: argparse.Namespace) -> int:
    pictures = [p for given in options.pictures for p in _expand(given)]
    shown = options.picture or options.output.with_suffix(".png")
    written = [("--output", options.output)]
    if options.field_of_view is None:
        written.append(("--picture", shown))
    paths.refuse_replacing(written, pictures, overwrite=options.overwrite)
    used: list[Path] = []
    if options.field_of_view is not None:
        profile = from_field_of_view(options.field_of_view, _pair("--size", options.size, MOST_PX))
    else:
        profile, used = from_pictures(pictures, _pair("--board", options.board, MOST_CORNERS))
        print(f"board found in {len(used)} of {len(pictures)} pictures")
        print(f"reprojection error {profile.reprojection_error_px:.3f} px")
    save_profile(profile, options.output, overwrite=options.overwrite)
    print(f"focal length {profile.fx_px:.1f}, {profile.fy_px:.1f} px;"
          f" centre {profile.cx_px:.1f}, {profile.cy_px:.1f} px")  # fmt: skip
    print(f"saved {options.output}")
    if used:
        both = before_and_after(read_picture(used[0]), profile)
        write_picture(shown, both, overwrite=options.overwrite)
        print(f"before and after: {shown}")
    return 0


def _expand(path: Path) -> list[Path]:
    """A folder's pictures, or the file itself."""
    if paths.is_folder(path):
        return list_pictures(path)
    if not paths.is_file(path):
        raise InputError(f"{path}: expected a picture or a folder, got nothing; check the path")
    return [path]


def _pair(option: str, text: str, most: int) -> tuple[int, int]:
    """Two whole numbers of the form 9x6, from 2 to ``most``."""
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    if not match or not all(2 <= int(number) <= most for number in match.groups()):
        raise InputError(
            f"{option}: expected two numbers of 2 to {most} like 9x6, got {text[:40]!r}; write"
            " them so"
        )
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())
