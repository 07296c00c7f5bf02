"""Debug outputs: whole files or none, numbers that agree with the run, bounded memory."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.face_model import AXES
from hybridanim.face.mesh import openings
from hybridanim.geometry import grid_norm
from hybridanim.io import read_picture
from hybridanim.resampling import resized
from hybridanim.types import Blob, OpticalFlow, Reason, SkinMask
from hybridanim.visualization import debug_writer, drawing
from hybridanim.visualization.debug_writer import (
    FILES,
    OPTICAL,
    PICTURE,
    STAGES,
    VIDEOS,
    DebugWriter,
)
from hybridanim.visualization.run_statistics import (
    NUMBERS,
    QUANTITIES,
    RunStatistics,
    Series,
    TimeHistogram,
    columns,
    frame_row,
    is_hand_before_face,
)
from hybridanim.visualization.sheet import fit
from hybridanim.visualization.thumbnails import Thumbnails
from tests.made_results import HAND, LOST, made_results, made_source

SOURCE = made_source(96)
FPS = Fraction(30000, 1001)
FRAMES = [38, 39, 40, 41, 68, 69, 70, 71, 72, 80]  # a hand before the face, then a loss


def results(place: int):
    """The place-th frame of a short run that shows everything; odd sizes on purpose."""
    made = made_results(FRAMES[place % len(FRAMES)], SOURCE, height=121, width=163)
    object.__setattr__(made.frame, "index", place)
    object.__setattr__(made.frame, "time_s", float(place / FPS))
    return made


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "debug"
    settings = {"segment": {"cloud": "adaptive"}, "source": "picture.png"}
    writer = DebugWriter(folder, FPS, SOURCE, settings=settings, versions={"numpy": np.__version__})
    with writer:
        for place in range(len(FRAMES)):
            writer.write(results(place))
            assert not folder.exists(), "nothing half-written"
    return folder


def test_every_file_is_there_and_nothing_else(whole_run):
    assert {path.name for path in whole_run.iterdir()} == set(FILES) - {OPTICAL}
    assert OPTICAL not in (whole_run / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in whole_run.parent.iterdir()] == ["debug"]


def test_an_optical_flow_is_shown_where_it_is_trusted(tmp_path):
    """A flow of one direction, trusted on the left alone: there colour, else the source."""
    trust = np.zeros((64, 64), np.float32)
    trust[:, :24] = 1
    seen = OpticalFlow(grid_norm(64) - np.float32([0.2, 0]), trust)
    made = results(0)
    with DebugWriter(tmp_path / "debug", FPS, SOURCE) as writer:
        writer.write(replace(made, points=replace(made.points, optical=seen)))
    with av.open(str(tmp_path / "debug" / OPTICAL)) as film:
        picture = next(film.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert OPTICAL in (tmp_path / "debug" / "report.html").read_text(encoding="utf-8")
    side = picture.shape[0]
    source = fit(SOURCE.image, side, side)
    right = np.s_[: side // 2, side * 7 // 10 :]
    assert np.abs(picture - source)[right].mean() < 12
    assert np.abs(picture - source)[:, : side // 3].mean() > 40
    with DebugWriter(tmp_path / "debug", FPS, SOURCE, overwrite=True) as writer:
        writer.write(made)
    assert not (tmp_path / "debug" / OPTICAL).exists()  # an earlier run's


@pytest.mark.parametrize("name", [*VIDEOS, "overview.mp4"])
def test_videos_hold_every_frame_at_the_drivers_rate(whole_run, name):
    with av.open(str(whole_run / name)) as film:
        stream = film.streams.video[0]
        assert stream.average_rate == FPS
        shades = [frame.to_ndarray(format="gray").std() for frame in film.decode(stream)]
    assert len(shades) == len(FRAMES)
    assert min(shades) > 8, "an empty picture"


def test_table_says_what_the_results_say(whole_run):
    with (whole_run / "frames.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == columns(STAGES)
    for place, row in enumerate(rows):
        made = results(place)
        assert int(row["index"]) == place
        assert float(row["time_s"]) == pytest.approx(float(place / FPS), abs=1e-4)
        assert int(row["tracks_alive"]) == len(made.tracks.xy_px)
        assert float(row["yaw_deg"]) == pytest.approx(made.tracks.rotation_deg[0], abs=0.01)
        assert float(row["total_ms"]) == pytest.approx(sum(made.times_ms.values()), abs=0.01)
        assert float(row["render_ms"]) == pytest.approx(made.times_ms["render"], abs=0.01)
        for reason in ("uncovered", "self_occluded", "opened", "outside"):
            share = (made.motion.reasons == Reason[reason.upper()]).mean()
            assert float(row[f"{reason}_share"]) == pytest.approx(share, abs=1e-4)
        share = np.count_nonzero(made.mask.mask) / made.mask.mask.size
        assert float(row["skin_share"]) == pytest.approx(share, abs=1e-4)
        assert bool(row["lost"]) == (FRAMES[place] in LOST)
        assert int(row["is_hand_before_face"]) == (abs(FRAMES[place] - HAND) < 6)
        face = made.tracks.face
        assert int(row["is_fitted"]) == (face is not None) == (FRAMES[place] not in LOST)
        for column, name in QUANTITIES.items():
            expected = face.quantities[AXES.index(name)] if face else 0
            assert float(row[column]) == pytest.approx(expected, abs=1e-4)


def test_openings_are_those_of_the_mesh(whole_run):
    with (whole_run / "frames.csv").open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    face = results(0).tracks.face
    found = openings(face_model.load().vertices(face.identity, face.expression))
    names = ("mouth_opening", "mouth_width", "left_eye_opening", "right_eye_opening")
    for name, value in zip(names, found[:4], strict=True):
        assert float(row[name]) == pytest.approx(value, abs=2e-4)


def test_the_source_is_drawn_with_its_face(whole_run):
    shown = read_picture(whole_run / PICTURE)
    assert shown.shape == (448, 448, 3)
    np.testing.assert_array_equal(shown, drawing.source(resized(SOURCE.image, 448, 448), SOURCE))


def test_settings_and_versions_are_saved_beside(whole_run):
    saved = json.loads((whole_run / "config.json").read_text(encoding="utf-8"))
    assert saved["settings"]["segment"]["cloud"] == "adaptive"
    assert saved["versions"]["numpy"] == np.__version__


def test_report_tells_of_the_loss_and_the_hand(whole_run):
    text = (whole_run / "report.html").read_text(encoding="utf-8")
    assert "lost once, for 3 frames" in text
    assert "no skin region is large enough" in text
    assert "First hand before the face" in text and "First loss" in text
    assert text.count("data:image/jpeg") >= 4


class NoSink:
    """Takes pictures and forgets them."""

    def __init__(self, path, fps, *, size, overwrite):
        self.path, self.size = path, size

    def __enter__(self):
        self.path.touch()
        return self

    def __exit__(self, *error):
        return None

    def write(self, image, time_s):
        assert image.shape == (self.size[1], self.size[0], 3)


@pytest.fixture
def no_videos(monkeypatch):
    monkeypatch.setattr(debug_writer, "open_sink", NoSink)


def test_an_earlier_run_is_kept_unless_told(tmp_path, no_videos):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "frames.csv").write_text("old")
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="--overwrite"):
        DebugWriter(folder, 25, SOURCE)
    assert (folder / "frames.csv").read_text() == "old"
    with DebugWriter(folder, 25, SOURCE, overwrite=True) as writer:
        writer.write(results(0))
        assert (folder / "frames.csv").read_text() == "old", "replaced only at the end"
    assert (folder / "frames.csv").read_text().count("\n") == 2
    assert (folder / "mine.txt").read_text() == "keep"


def test_a_run_without_frames_leaves_nothing(tmp_path):
    with pytest.raises(InputError), DebugWriter(tmp_path / "out", 25, SOURCE):
        raise InputError("no face")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("the disk is full")])
def test_what_was_done_is_kept_when_a_run_breaks_off(tmp_path, no_videos, error):
    kind = error if isinstance(error, type) else type(error)
    with pytest.raises(kind), DebugWriter(tmp_path / "out", 25, SOURCE) as writer:
        writer.write(results(0))
        raise error
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "stopped early: " + ("interrupted" if error is KeyboardInterrupt else "the disk") in text


def test_working_folders_have_random_names_and_follow_no_link(tmp_path, no_videos):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"out.{os.getpid()}.partial").symlink_to(elsewhere)  # the name of older versions
    before = set(tmp_path.iterdir())
    writers = [DebugWriter(tmp_path / "out", 25, SOURCE, overwrite=True) for _ in range(2)]
    made = set(tmp_path.iterdir()) - before
    assert len(made) == 2
    assert all(path.is_dir() and not path.is_symlink() for path in made)
    writers[0].write(results(0))
    writers[0].close()
    writers[1].discard()
    assert not list(elsewhere.iterdir())
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}


def test_foreign_folders_are_left_alone(tmp_path, no_videos):
    partial = tmp_path / f"out.{os.getpid()}.partial"
    partial.mkdir()
    (partial / "overview.mp4").write_text("years of work")
    with DebugWriter(tmp_path / "out", 25, SOURCE) as writer:
        writer.write(results(0))
    assert (partial / "overview.mp4").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} == {"out", partial.name}


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="found a file"):
        DebugWriter(tmp_path / "out", 25, SOURCE)


def hand(x: float, label: str = "left_hand") -> Blob:
    return Blob(label, (x, 100, 40, 40), (x + 20, 120), 1600)


@pytest.mark.parametrize(
    ("x", "expected"), [(60, False), (70, False), (75, True), (120, True), (190, False)]
)
def test_hand_before_face_is_three_tenths_of_the_hand(x, expected):
    head = Blob("head", (100, 80, 80, 100), (140, 130), 8000)
    empty = np.zeros((2, 2), np.uint8)
    tracks = results(0).tracks
    assert is_hand_before_face(SkinMask(empty, (head, hand(x))), tracks) is expected
    assert is_hand_before_face(SkinMask(empty, (hand(x), hand(x, "right_hand"))), tracks) is False
    assert is_hand_before_face(SkinMask(empty), replace(tracks, covered=0.1)) is True


@pytest.mark.parametrize("count", [1, 599, 600, 601, 5000])
def test_series_keeps_means_in_bounded_bins(count):
    rng = np.random.default_rng(1)
    values = rng.normal(size=count)
    series = Series(["value", "place"])
    for place, value in enumerate(values):
        series.add({"value": value, "place": place})
    kept = series["value"]
    assert min(count, Series.HALF) <= len(kept) <= 2 * Series.HALF
    starts = np.arange(0, count, series.stride)
    sizes = np.minimum(starts + series.stride, count) - starts
    np.testing.assert_allclose(kept, np.add.reduceat(values, starts) / sizes, atol=1e-12)


@pytest.mark.parametrize("scale_ms", [0.2, 8.0, 900.0])
def test_histogram_quantiles_are_within_three_percent(scale_ms):
    values = np.random.default_rng(2).lognormal(np.log(scale_ms), 0.6, 3000)
    histogram = TimeHistogram()
    for value in values:
        histogram.add(value)
    for share in (0.05, 0.5, 0.95):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert histogram.quantile_ms(share) == pytest.approx(exact, rel=0.03)
    assert histogram.sum_ms == pytest.approx(values.sum())
    assert TimeHistogram().quantile_ms(0.5) == 0


def number_row(index: int, lost: str) -> dict:
    out = dict.fromkeys(NUMBERS, 1.0) | {f"{name}_ms": 3.0 for name in STAGES}
    return out | {"index": index, "time_s": index / 10, "lost": lost, "yaw_deg": float(index % 90)}


def test_losses_are_counted_and_the_longest_kept():
    statistics = RunStatistics(STAGES, 10.0)
    flags = np.zeros(2000, bool)
    for k in range(25):  # losses of 1 to 25 frames
        flags[60 * k + 50 : 60 * k + 51 + k] = True
    flags[-4:] = True  # still lost at the end
    for index, is_lost in enumerate(flags):
        statistics.add(number_row(index, f"reason {index % 40}" if is_lost else ""))
    summary = statistics.summary()
    assert summary.lost_frames == flags.sum() and summary.losses == 26
    longest = summary.longest_losses
    assert [span.frames for span in longest] == [*range(16, 26), 4]
    assert longest[0].start_s == pytest.approx((60 * 15 + 50) / 10)
    assert longest[0].end_s == pytest.approx(longest[0].start_s + 1.6)
    assert sum(summary.lost_reasons.values()) == flags.sum()
    assert len(summary.lost_reasons) == RunStatistics.MOST_LOSSES + 1
    assert summary.duration_s == pytest.approx(200.0)
    assert summary.largest_turn[1] == 89.0
    assert summary.stage_fps == pytest.approx(1000 / 1.0)


def test_thumbnails_are_few_and_spread_over_any_length():
    thumbnails = Thumbnails()
    picture = np.zeros((12, 16, 3), np.uint8)
    asked = 0

    def made():
        nonlocal asked
        asked += 1
        return picture

    for index in range(3000):
        row = number_row(index, "" if index != 1234 else "gone")
        thumbnails.add(row | {"yaw_deg": 60.0 if index == 777 else 5.0}, made)
    kept = thumbnails.pictures
    places = [thumbnail.index for thumbnail in kept]
    assert 6 <= len(kept) <= Thumbnails.MOST + 4 and places == sorted(places)
    assert max(np.diff([*places, 3000])) < 800
    captions = {thumbnail.index: thumbnail.caption for thumbnail in kept}
    assert captions[777] == "largest turn: yaw +60°" and captions[1234] == "first loss: gone"
    assert cv2.imdecode(np.frombuffer(kept[0].jpeg, np.uint8), 1).shape == picture.shape
    assert asked < 100, "pictures that are not kept are not drawn"


def test_notable_moments_have_the_stages_and_one_frame_is_one_moment():
    thumbnails, small = Thumbnails(), np.zeros((4, 4, 3), np.uint8)
    wide = np.zeros((4, 30, 3), np.uint8)
    for index in range(20):
        row = number_row(index, "") | {"yaw_deg": 1.0 + 40.0 * (index == 7)}
        row |= {"is_fitted": 1, "mouth_opening": 0.1 + 0.3 * (index == 7)}
        row |= {"is_held": int(index == 12)}
        thumbnails.add(row, lambda: small, lambda: wide)
    stages = {one.index: one for one in thumbnails.pictures if one.shows_stages}
    assert "largest turn" in stages[7].caption and "widest open mouth: 0.40" in stages[7].caption
    assert "held" in stages[12].caption
    for one in thumbnails.pictures:
        shape = cv2.imdecode(np.frombuffer(one.jpeg, np.uint8), 1).shape
        assert shape == (wide if one.shows_stages else small).shape
    assert any(not one.shows_stages and one.index == 0 for one in thumbnails.pictures)


def test_memory_does_not_grow_with_the_length():
    """Ten times more frames, no more memory: statistics and thumbnails as the writer keeps them."""
    picture = np.zeros((12, 16, 3), np.uint8)

    def kept(frames):
        tracemalloc.start()
        statistics, thumbnails = RunStatistics(STAGES, 10.0), Thumbnails()
        for index in range(frames):
            row = number_row(index, "gone" if index % 7 == 0 else "")
            statistics.add(row)
            thumbnails.add(row, lambda: picture)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert statistics.summary().frames == frames and thumbnails.pictures
        return size

    assert kept(3000) < 1.1 * kept(300)


def test_row_of_an_empty_frame_is_numbers():
    made = made_results(LOST[0], SOURCE, height=60, width=80)
    row = frame_row(made, STAGES)
    assert tuple(row) == columns(STAGES)
    assert all(np.isfinite(value) for value in row.values() if not isinstance(value, str))
    assert row["lost"] == "no skin region is large enough"


def test_a_full_disk_is_said_in_words_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    writer = DebugWriter(tmp_path / "out", 25, SOURCE)
    writer.write(results(0))
    monkeypatch.setattr(debug_writer, "write_report", lambda *_, **__: full())
    with pytest.raises(InputError, match="No space left"):
        writer.close()
    assert not list(tmp_path.iterdir())
    writer = DebugWriter(tmp_path / "out", 25, SOURCE)
    writer.write(results(0))
    monkeypatch.setattr(writer._table, "writerow", full)
    with pytest.raises(InputError, match="No space left"):
        writer.write(results(1))
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_working_folder_of_another_process_is_left_alone(tmp_path):
    other = tmp_path / "out.1.partial"
    other.mkdir()
    (other / "overview.mp4").touch()
    DebugWriter(tmp_path / "out", 25, SOURCE).close()
    assert (other / "overview.mp4").exists()


def test_settings_of_ones_own_are_never_replaced(tmp_path):
    (tmp_path / "config.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="your own"):
        DebugWriter(tmp_path, 25, SOURCE, overwrite=True)
