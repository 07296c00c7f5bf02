"""Oracle: chessboards rendered through a camera whose intrinsics are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration import camera
from hybridanim.errors import InputError
from hybridanim.io import read_picture, write_picture
from hybridanim.profiles import CameraProfile, load_profile

BOARD, SIZE = (7, 5), (640, 480)
TRUE = np.array([[612.0, 0, 331.0], [0, 605.0, 228.0], [0, 0, 1]])
LENS = np.array([-0.22, 0.06, 0.001, -0.0015, 0.0])


def board_view(turn, shift, scale=2):
    """Picture of a board with (columns + 1) x (rows + 1) squares of side 1, anti-aliased."""
    width, height = SIZE
    y, x = np.mgrid[0 : height * scale, 0 : width * scale].reshape(2, -1).astype(np.float64)
    pixels = (np.stack([x, y], 1) + 0.5) / scale - 0.5
    rays = cv2.undistortPoints(pixels[:, None], TRUE, LENS)[:, 0]
    rotation = cv2.Rodrigues(np.array(turn, float))[0]
    # ray (x, y, 1) meets the board's plane, whose axes are the first two columns
    basis = np.column_stack([rotation[:, 0], rotation[:, 1], np.array(shift, float)])
    places = np.column_stack([rays, np.ones(len(rays))]) @ np.linalg.inv(basis).T
    u, v = places[:, 0] / places[:, 2] + 1, places[:, 1] / places[:, 2] + 1
    columns, rows = BOARD[0] + 1, BOARD[1] + 1
    dark = (np.floor(u) + np.floor(v)) % 2 == 0
    inside = (u > 0) & (u < columns) & (v > 0) & (v < rows)
    grey = np.where(inside & dark, 25.0, 230.0).reshape(height * scale, width * scale)
    grey = cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA)
    grain = np.random.default_rng(1).normal(0, 1.0, grey.shape)
    return np.clip(grey + grain, 0, 255).astype(np.uint8)


VIEWS = [
    ((0.0, 0.0, 0.0), (-3.0, -2.0, 9.0)),
    ((0.5, 0.0, 0.1), (-3.5, -2.6, 9.5)),
    ((-0.5, 0.1, -0.1), (-2.4, -1.0, 9.0)),
    ((0.1, 0.55, 0.0), (-1.5, -2.0, 9.0)),
    ((0.0, -0.55, 0.2), (-3.6, -2.8, 10.5)),
    ((0.35, 0.35, 0.5), (-1.0, -3.2, 10.0)),
    ((-0.3, -0.4, -0.4), (-4.4, 0.6, 11.0)),
    ((0.2, -0.2, 0.05), (-5.2, -3.4, 12.0)),
    ((-0.2, 0.3, 0.0), (-0.8, -0.8, 11.5)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("boards")
    for i, view in enumerate(VIEWS):
        grey = board_view(*view)
        write_picture(place / f"{i}.png", cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))
    return place


def test_known_intrinsics_and_distortion_are_recovered(folder, tmp_path, capsys):
    output = tmp_path / "camera.toml"
    assert camera.main([str(folder), "--board", "7x5", "--output", str(output)]) == 0
    profile = load_profile(output)
    assert isinstance(profile, CameraProfile)
    assert abs(profile.fx_px / TRUE[0, 0] - 1) < 0.01
    assert abs(profile.fy_px / TRUE[1, 1] - 1) < 0.01
    assert abs(profile.cx_px - TRUE[0, 2]) < 5 and abs(profile.cy_px - TRUE[1, 2]) < 5
    assert profile.reprojection_error_px < 0.3
    # what the lens does, at places across the picture, rather than its coefficients one by one
    y, x = np.mgrid[40:440:8j, 40:600:8j].reshape(2, -1)
    points = np.stack([x, y], 1)[:, None]
    truth = cv2.undistortPoints(points, TRUE, LENS)
    found = cv2.undistortPoints(points, profile.matrix, np.array(profile.distortion))
    assert np.abs(found - truth).max() * 600 < 4
    assert "board found in" in capsys.readouterr().out


def test_the_after_picture_has_straight_lines(folder, tmp_path):
    profile, used = camera.from_pictures(sorted(folder.glob("*.png")), BOARD)
    both = camera.before_and_after(read_picture(used[0]), profile)
    assert both.shape == (480, 1280, 3)
    bends = []
    for half in (both[:, :640], both[:, 640:]):
        grey = np.ascontiguousarray(half[..., 0])
        corners = camera.find_corners(grey, BOARD)
        assert corners is not None
        row = corners[: BOARD[0]].astype(float)
        slope = np.polyfit(row[:, 0], row[:, 1], 1)
        bends.append(np.abs(np.polyval(slope, row[:, 0]) - row[:, 1]).max())
    assert bends[1] < 0.35 * bends[0]


def test_field_of_view_gives_the_textbook_focal_length(tmp_path):
    profile = camera.from_field_of_view(90.0, (640, 480))
    assert profile.fx_px == pytest.approx(320) and profile.cx_px == 319.5
    path = tmp_path / "camera.toml"
    arguments = ["--field-of-view", "53.13", "--size", "1000x500", "--output", str(path)]
    assert camera.main(arguments) == 0
    saved = load_profile(path)
    assert isinstance(saved, CameraProfile)
    assert saved.fx_px == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["/no/such/picture.png"],
        ["--field-of-view", "190"],
        ["--field-of-view", "60", "--size", "wide"],
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_two(arguments, tmp_path, capsys):
    output = tmp_path / "camera.toml"
    assert camera.main([*arguments, "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected" in error
    assert not output.exists()


def test_a_picture_of_one_pixel_is_refused(tmp_path):
    write_picture(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(InputError, match="got 1x1"):
        camera.from_pictures([tmp_path / "a.png"], (9, 6))


def test_pictures_without_a_board_are_refused(tmp_path):
    for i in range(4):
        write_picture(tmp_path / f"{i}.png", np.full((120, 160, 3), 128, np.uint8))
    with pytest.raises(InputError, match="whole 9x6 board, got 0"):
        camera.from_pictures(sorted(tmp_path.glob("*.png")), (9, 6))
