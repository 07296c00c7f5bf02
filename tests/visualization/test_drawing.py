"""Drawing: pure, never fails, and what is drawn lies where the values say."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from hybridanim.geometry import grid_norm, whole
from hybridanim.resampling import side_by_side
from hybridanim.types import (
    Blob,
    Crop,
    DenseMotion,
    HeadBox,
    Keypoints,
    Picture,
    SkinMask,
    Tracks,
)
from hybridanim.visualization import drawing, fitted_face, flow, primitives, sheet, visibility
from hybridanim.visualization.overview import (
    LABELS,
    STAGE_COLOURS,
    Overview,
    layout,
    moment,
    panels,
    view_of,
)
from tests.made_results import LOST, made_results, made_source

SOURCE = made_source(160)
RESULTS = {index: made_results(index, SOURCE) for index in (0, 40, LOST[2])}
SIZES = [(240, 320), (97, 53), (8, 9), (2, 3)]


def plain(height: int, width: int, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def keypoints(xy, jacobian, confidence=1.0) -> Keypoints:
    xy = np.atleast_2d(np.array(xy, np.float32))
    jacobian = np.broadcast_to(np.array(jacobian, np.float32), (len(xy), 2, 2)).copy()
    return Keypoints(xy, jacobian, np.full(len(xy), confidence, np.float32))


def dense(shift=(0.0, 0.0), seen: float = 1.0, cells: int = 16) -> DenseMotion:
    """The content comes by ``shift``: each cell takes its pixels from that much back."""
    place = (grid_norm(cells) - np.array(shift)).astype(np.float32)
    return DenseMotion(place, np.full((cells, cells), seen, np.float32))


def no_tracks(**more) -> Tracks:
    none = np.empty((0, 2), np.float32)
    whole_numbers = np.empty(0, np.int64)
    return Tracks(none, none, whole_numbers, whole_numbers, np.empty(0, np.float32), **more)


def tracks_at(xy, age: int = 5) -> Tracks:
    xy = np.atleast_2d(np.array(xy, np.float32))
    n = len(xy)
    ids, ages = np.arange(n, dtype=np.int64), np.full(n, age, np.int64)
    return Tracks(xy, xy, ids, ages, np.ones(n, np.float32))


DRAWINGS = {
    "skin": lambda canvas, r: drawing.skin(canvas, r.mask),
    "tracks": lambda canvas, r: drawing.tracks(canvas, r.tracks),
    "keypoints": lambda canvas, r: drawing.keypoints(
        canvas, r.points.driving, r.points.driving_crop
    ),
    "before": lambda canvas, r: drawing.keypoints(
        canvas, r.points.target, whole(canvas), before=SOURCE.keypoints, is_frozen=True
    ),
    "source": lambda canvas, r: drawing.source(canvas, SOURCE),
    "flow": lambda canvas, r: flow.flow(canvas, r.motion),
    "grid": lambda canvas, r: flow.grid(canvas, r.motion),
    "occlusion": lambda canvas, r: flow.occlusion(canvas, r.motion),
    "reasons": lambda canvas, r: visibility.occlusion(canvas, r.motion),
    "depth": lambda canvas, r: visibility.depth(canvas, r.motion),
    "mesh": lambda canvas, r: drawing.moved_face(canvas, SOURCE, r.points.head),
    "weights": lambda canvas, r: flow.weights(canvas, r.motion),
    "motion": lambda canvas, r: flow.motion(canvas, r.motion),
    "picture": lambda canvas, r: drawing.picture(canvas, r.picture),
}


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("size", SIZES)
def test_every_drawing_is_a_new_picture_of_the_canvas_size(name, size):
    for results in RESULTS.values():
        canvas = plain(*size)
        out = DRAWINGS[name](canvas, results)
        assert out.shape == canvas.shape and out.dtype == np.uint8
        assert (canvas == 90).all(), "the canvas was painted into"
        assert not np.shares_memory(out, canvas)


def test_a_read_only_canvas_with_strides_is_accepted():
    canvas = plain(120, 160)[:, ::-1]
    canvas.flags.writeable = False
    for paint in DRAWINGS.values():
        paint(canvas, RESULTS[0])


def test_empty_and_lost_values_are_drawn():
    canvas = plain(120, 160)
    empty = SkinMask(np.zeros((120, 160), np.uint8), lost="too dark")
    assert not np.array_equal(drawing.skin(canvas, empty), canvas)
    lost = drawing.tracks(canvas, no_tracks(lost="out of the picture"))
    banner = lost[2, :40].astype(int)
    assert (banner[:, 0] > banner[:, 2] + 60).all(), "a red strip at the top"
    drawing.keypoints(canvas, keypoints(np.empty((0, 2)), np.eye(2)), Crop(0, 0, 10))
    flow.weights(canvas, dense())


@pytest.mark.parametrize(
    "jacobian",
    [
        np.zeros((2, 2)),
        [[1, 2], [2, 4]],
        np.full((2, 2), np.nan),
        [[np.inf, 0], [0, 1]],
        [[1e30, 0], [0, 1e-30]],
        [[-1, 0], [0, 1]],
    ],
)
@pytest.mark.parametrize("xy", [(0, 0), (np.nan, 0), (1e30, -1e30), (np.inf, 0)])
def test_degenerate_keypoints_do_not_fail(jacobian, xy):
    drawing.keypoints(plain(60, 80), keypoints(xy, jacobian), Crop(0, 0, 60))


def test_wild_numbers_do_not_fail():
    canvas = plain(60, 80)
    wild = dataclasses.replace(
        tracks_at([(np.nan, 1), (1e30, 2), (5, 5)]),
        head=HeadBox((np.nan, 0), 1e9, np.inf),
        rotation_deg=(np.nan, 0.0, 0.0),
        landmarks_xy_px=np.full((3, 2), np.inf, np.float32),
    )
    trails = {0: np.full((3, 2), np.nan, np.float32), 2: np.zeros((1, 2), np.float32)}
    drawing.tracks(canvas, wild, trails, scale=2)
    blob = Blob("head", (np.nan, 0.0, 1e12, 3.0), (np.nan, np.inf), 0.0, True)
    drawing.skin(canvas, SkinMask(np.zeros((60, 80), np.uint8), (blob,), (np.inf, -5.0)))
    broken = DenseMotion(
        np.full((4, 4, 2), np.nan, np.float32), np.full((4, 4), np.nan, np.float32)
    )
    unknown = dataclasses.replace(
        broken, depth=np.full((4, 4), np.nan, np.float32), reasons=np.full((4, 4), 255, np.uint8)
    )
    seen = visibility.occlusion, visibility.depth
    for paint in (flow.flow, flow.grid, flow.occlusion, flow.weights, flow.motion, *seen):
        paint(canvas, broken)
        paint(canvas, unknown)


def test_ellipse_is_the_image_of_the_circle():
    canvas = plain(401, 401, 0)
    points = keypoints((0, 0), [[1.0, 0.0], [0.0, 0.4]])
    out = drawing.keypoints(canvas, points, whole(canvas), radius=0.5)
    inner = np.s_[60:330, 60:340]  # away from the crop's edge and the note
    rows, columns = np.nonzero(out[inner].max(-1) > 60)
    half = 0.5 * 401 / 2
    assert abs((columns.max() + 60 - 200) - half) < 3 and abs((200 - columns.min() - 60) - half) < 3
    assert abs((rows.max() + 60 - 200) - 0.4 * half) < 3


def test_mirrored_local_affine_is_red():
    def reddest(jacobian):
        canvas = plain(200, 200, 0)
        out = drawing.keypoints(canvas, keypoints((0, 0), jacobian), whole(canvas), radius=0.5)
        part = out[40:160, 40:160].reshape(-1, 3)
        return (np.abs(part.astype(int) - primitives.RED).max(-1) < 12).sum()

    assert reddest([[-1.0, 0], [0, 1]]) > 20 > reddest(np.eye(2)) == 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_features_lie_at_their_scaled_pixel(scale):
    canvas = plain(round(240 * scale), round(320 * scale), 0)
    out = drawing.tracks(canvas, tracks_at((200, 80), age=200), scale=scale)
    rows, columns = np.nonzero(out[: round(120 * scale)].max(-1) > 100)
    expected = (np.array([200, 80]) + 0.5) * scale - 0.5
    assert np.abs([columns.mean(), rows.mean()] - expected).max() < 0.6


def test_head_box_turns_clockwise():
    canvas = plain(300, 300, 0)
    head = HeadBox((150, 150), 100, 30)
    out = drawing.tracks(canvas, dataclasses.replace(no_tracks(lost="x"), head=head))
    angle = np.deg2rad(30)
    right_edge = np.array([150, 150]) + 50 * np.array([np.cos(angle), np.sin(angle)])  # y is down
    x, y = np.round(right_edge).astype(int)
    assert out[y - 2 : y + 3, x - 2 : x + 3].max() > 150
    assert out[150 - 29 : 150 - 21, x - 2 : x + 3].max() < 80, "turned the other way"


def test_axes_point_where_the_head_looks():
    crown, side, nose = range(3)
    still = drawing.axes_on_screen(0, 0, 0)
    np.testing.assert_allclose(still, [[0, -1, 0], [1, 0, 0], [0, 0, -1]], atol=1e-12)
    assert drawing.axes_on_screen(30, 0, 0)[nose, 0] == pytest.approx(0.5)  # to the right
    assert drawing.axes_on_screen(0, 30, 0)[nose, 1] == pytest.approx(-0.5)  # up
    assert drawing.axes_on_screen(0, 0, 30)[crown, 0] == pytest.approx(0.5)  # clockwise
    turn = drawing.axes_on_screen(25, -10, 40)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert turn[side] @ turn[crown] == pytest.approx(0, abs=1e-12)


def test_trails_are_bounded_and_end_with_their_feature():
    trails: dict = {}
    for step in range(40):
        trails = drawing.extend_trails(trails, tracks_at([(step, 0), (step, 9)]), length=6)
    assert trails[1].shape == (6, 2)
    np.testing.assert_allclose(trails[1][:, 0], np.arange(34, 40))
    assert drawing.extend_trails(trails, tracks_at((0, 0))).keys() == {0}


def test_skin_is_in_colour_and_the_rest_grey():
    canvas = plain(80, 100)
    canvas[:] = (200, 120, 80)
    mask = np.zeros((40, 50), np.uint8)
    mask[5:20, 10:40] = 255  # half the canvas's size
    out = drawing.skin(canvas, SkinMask(mask)).astype(int)
    assert np.ptp(out[25, 50]) > 60
    assert np.ptp(out[50, 90]) == 0 and out[50, 90].max() < out[25, 50].max()


def test_predicted_blobs_are_dashed():
    def inked(is_predicted):
        blob = Blob("left_hand", (40, 40, 120, 100), (100, 90), 12000, is_predicted)
        out = drawing.skin(plain(200, 240), SkinMask(np.zeros((200, 240), np.uint8), (blob,)))
        right_edge = out[60:130, 158:163].astype(int)
        return (np.abs(right_edge - primitives.ORANGE).sum(-1).min(-1) < 60).mean()

    assert inked(False) > 0.95
    assert 0.3 < inked(True) < 0.8


def test_wheel_turns_through_the_compass():
    for angle, colour in zip((0, 90, 180, 270), flow.COMPASS, strict=True):
        way = np.array([[[np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]]], np.float32)
        got = flow.wheel(np.where(np.abs(way) < 1e-6, 0, way), 1.0)[0, 0].astype(int)
        assert np.abs(got - colour).max() < 8
    still = flow.wheel(np.zeros((1, 1, 2), np.float32), 1.0)[0, 0]
    assert tuple(still) == primitives.DARK


def test_flow_shows_where_the_content_goes():
    out = flow.flow(plain(200, 200), dense((0.1, 0.0)), reach=0.1)
    middle = np.median(out[20:120, 20:120].reshape(-1, 3), axis=0)
    assert np.abs(middle - flow.COMPASS[0]).max() < 8, "moved to the right"


def test_reach_covers_the_motion_and_is_round():
    assert flow.reach_of(np.zeros((4, 4, 2))) == 0.05
    assert flow.reach_of(np.full((4, 4, 2), 0.1)) == 0.2
    assert flow.reach_of(np.full((4, 4, 2), 50.0)) == 2.0


def test_lattice_moves_with_the_content():
    def columns(shift):
        out = flow.grid(plain(401, 401, 0), dense((shift, 0)), cells=4)
        row = out[150].max(-1).astype(float)  # between two horizontal lines
        return [np.average(x, weights=row[x]) for x in _runs(row > 30)]

    still, moved = columns(0.0), columns(0.1)
    assert len(still) == 5
    inner = np.array(moved)[[1, 2, 3]]  # the outer lines leave or fray at the border
    np.testing.assert_allclose(inner - np.array(still)[[1, 2, 3]], 0.1 * 401 / 2, atol=1.0)


def _runs(flags):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [np.arange(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def test_hidden_places_are_hot():
    canvas = plain(200, 200)
    motion = dense()
    motion.occlusion[:, :8] = 0.0
    out = flow.occlusion(canvas, motion).astype(int)
    assert out[100, 40, 0] > 200 and np.ptp(out[100, 40]) > 60
    assert np.ptp(out[100, 160]) < 3


def test_each_reason_has_its_colour():
    motion = dense(cells=16)
    reasons = np.zeros((16, 16), np.uint8)
    for row, reason in enumerate(visibility.COLOURS):
        reasons[row : row + 1, 8:] = reason
    seen = np.where(reasons > 0, 0, 1).astype(np.float32)
    motion = dataclasses.replace(motion, reasons=reasons, occlusion=seen)
    out = visibility.occlusion(plain(320, 320), motion).astype(int)
    for row, colour in enumerate(visibility.COLOURS.values()):
        found = out[20 * row + 10, 250]
        assert np.abs(found - colour).max() < 60
        others = [other for other in visibility.COLOURS.values() if other != colour]
        assert all(np.abs(found - colour).sum() < np.abs(found - other).sum() for other in others)
    assert np.ptp(out[30, 60]) < 3  # visible: grey
    assert visibility.shares(motion) == dict.fromkeys(visibility.COLOURS, 8 / 256)
    assert not any(visibility.shares(dense()).values())


def test_without_reasons_occlusion_is_drawn_as_heat():
    motion = dense(seen=0.3)
    canvas = plain(120, 120)
    np.testing.assert_array_equal(
        visibility.occlusion(canvas, motion), flow.occlusion(canvas, motion)
    )


def test_depth_is_brighter_where_it_is_nearer_and_dark_without():
    depth = np.tile(np.linspace(-0.5, 0.5, 16, dtype=np.float32), (16, 1))
    depth[:8, :] = np.nan
    out = visibility.depth(plain(160, 160), dataclasses.replace(dense(), depth=depth))
    assert (out[:70] == primitives.DARK).all()
    row = out[90].astype(int) @ [299, 587, 114]
    assert (np.diff(row[5::10]) < 0).all()


def test_the_moved_mesh_lies_on_its_place_in_the_result():
    canvas = plain(300, 300)
    target = RESULTS[0].points.head
    out = drawing.moved_face(canvas, SOURCE, target)
    changed = (out != 90).any(-1)
    face = fitted_face.points_of_target(SOURCE, target, 300)[:, :2]
    rows, columns = np.nonzero(changed)
    nose = face[4].round().astype(int)
    assert changed[nose[1] - 6 : nose[1] + 7, nose[0] - 6 : nose[0] + 7].any()
    assert abs(rows.max() - face[:, 1].max()) < 8 and abs(columns.min() - face[:, 0].min()) < 8
    assert not np.array_equal(drawing.moved_face(canvas, SOURCE, None), canvas)  # says so


def test_weights_colour_the_winner_and_leave_the_background():
    share = np.zeros((3, 8, 8), np.float32)
    share[1, :, :3], share[2, :, 3:5], share[0, :, 5:] = 1, 1, 1
    out = flow.weights(plain(80, 80), dataclasses.replace(dense(cells=8), weights=share))
    one, two, ground = (out[30, x].astype(int) for x in (10, 40, 70))
    assert np.abs(one - two).max() > 60
    assert np.ptp(ground) == 0


def test_picture_keeps_its_shape():
    out = drawing.picture(plain(100, 200), Picture(plain(50, 50, 200)))
    assert (out[:, 50:150] > 195).all() and (out[:, :48] < 40).all()


def test_text_is_where_it_is_put_and_has_a_halo():
    canvas = plain(60, 200, 128)
    primitives.put_text(canvas, "HHH", (100, 30), size_px=24, align=(0.5, 0.5))
    bright = np.argwhere(canvas.min(-1) > 220)
    assert np.abs(bright.mean(0)[::-1] - [100, 30]).max() < 4
    assert (canvas.max(-1) < 80).sum() > 50, "dark halo"
    before = canvas.copy()
    primitives.put_text(canvas, "away", (500, -80), size_px=24)
    primitives.put_text(canvas, "", (10, 10), size_px=24)
    assert np.array_equal(before, canvas)


def test_long_words_are_cut():
    words = primitives.shorten("a very long reason that does not fit", 20, 120)
    assert words.endswith("…") and primitives.text_width(words, 20) <= 120
    assert primitives.shorten("short", 20, 120) == "short"
    assert primitives.shorten("anything", 20, 1) == ""


def test_blob_and_stage_colours_differ_for_every_eye():
    """Projected as a person without red or without green cones sees them (Vienot et al. 1999)."""
    to_lms = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.02996, 0.18431, 1.46709]]
    )
    no_red = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
    no_green = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    for colours in (list(drawing.BLOB_COLOURS.values()), list(STAGE_COLOURS)):
        rgb = np.array(colours, float)
        for eye in (np.eye(3), no_red, no_green):
            seen = rgb @ (np.linalg.inv(to_lms) @ eye @ to_lms).T
            gaps = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + 1e9 * np.eye(len(seen))
            assert gaps.min() > 40


def test_sheet_holds_every_cell_whole_and_in_order():
    cells = [plain(30, 40, value) for value in (60, 120, 180, 240)] + [None]
    out = sheet.contact_sheet(cells, list("abcde"), 80, columns=2, title="a sheet")
    places = [np.argwhere((out == value).all(-1)) for value in (60, 120, 180, 240)]
    for place in places:
        assert tuple(np.ptp(place, axis=0) + 1) == (60, 80)
    tops = np.array([place.min(0) for place in places])
    assert tops[0, 0] == tops[1, 0] < tops[2, 0] and tops[0, 1] == tops[2, 1] < tops[1, 1]
    assert sheet.contact_sheet([]).ndim == 3


def test_strip_and_side_by_side_keep_shapes():
    row = sheet.row([plain(50, 100, 200), plain(100, 50, 250)], ["wide", "high"], 60)
    wide = np.argwhere((row == 200).all(-1))
    assert tuple(np.ptp(wide, axis=0) + 1) == (60, 120)
    pair = side_by_side(plain(50, 100, 200), plain(100, 51, 250), gap_px=3)
    assert pair.shape[0] == 100 and pair.shape[1] % 2 == 0
    assert (pair[:, :200] == 200).all() and (pair[:, 203:254] == 250).all()


@pytest.mark.parametrize("ratio", [16 / 9, 4 / 3, 1.0, 9 / 16])
def test_overview_rows_fit_and_do_not_overlap(ratio):
    shapes = [(100, 100), (100, round(100 * ratio))] + 8 * [(100, 100)]
    cells, height = layout(shapes, 1920, gap_px=10, head_px=20, most_px=470)
    covered = np.zeros((height, 1920), int)
    for cell, (h, w) in zip(cells, shapes, strict=True):
        assert cell.x >= 0 and cell.x + cell.width <= 1920 and cell.y + cell.height <= height
        assert cell.width / cell.height == pytest.approx(w / h, rel=0.02)
        covered[cell.y - 20 : cell.y + cell.height, cell.x : cell.x + cell.width] += 1
    assert covered.max() == 1
    assert covered.mean() > 0.7, "wasteful"


def test_overview_shows_every_panel():
    names = ("skin", "tracks", "keypoints", "motion", "render")
    pictures = panels(RESULTS[40], SOURCE)
    assert list(pictures) == list(LABELS)
    overview = Overview([p.shape[:2] for p in pictures.values()], names)
    out = overview(RESULTS[40], pictures)
    assert out.shape == (overview.size[1], overview.size[0], 3)
    for cell, image in zip(overview._cells, pictures.values(), strict=True):
        small = cv2.resize(image, (cell.width, cell.height), interpolation=cv2.INTER_AREA)
        part = out[cell.y : cell.y + cell.height, cell.x : cell.x + cell.width]
        assert np.abs(part.astype(int) - small).mean() < 6
    lost = overview(RESULTS[LOST[2]], panels(RESULTS[LOST[2]], SOURCE))
    assert not np.array_equal(lost[:40, 1300:], out[:40, 1300:]), "says that the head is lost"


def test_view_follows_points_that_leave_the_crop():
    crop = Crop(100, 50, 80)
    inside = keypoints([(-0.5, -0.5), (0.5, 0.5)], np.eye(2))
    assert view_of(inside, crop) == crop
    away = keypoints([(2.5, 0), (3.0, 0.2)], np.eye(2))
    view = view_of(away, crop)
    assert view.side_px == 80 and view.x_px < 100 + 80 * 2.0 and view.x_px + 80 > 100 + 80 * 1.95
    assert view_of(keypoints((np.nan, 0), np.eye(2)), crop) == crop


def test_moment_shows_the_head_close_up_and_the_result():
    made = made_results(20, SOURCE)
    out = moment(made)
    near = out[7:227, 7:227]
    (x, y), size = made.tracks.head.center_xy_px, made.tracks.head.size_px
    left, top = round(x - 1.2 * size), max(0, round(y - 1.2 * size))
    part = made.frame.image[top : top + round(2.4 * size), left : left + round(2.4 * size)]
    shift = cv2.phaseCorrelate(
        cv2.cvtColor(near, cv2.COLOR_RGB2GRAY).astype(np.float32),
        cv2.cvtColor(cv2.resize(part, (220, 220)), cv2.COLOR_RGB2GRAY).astype(np.float32),
    )[0]
    assert np.hypot(*shift) < 6
    away = dataclasses.replace(made.tracks, head=HeadBox((-900, 9999), 5000))
    for tracks in (away, dataclasses.replace(made.tracks, head=None)):
        assert moment(dataclasses.replace(made, tracks=tracks)).shape[0] == out.shape[0]
