"""The report: whole, self-contained, honest about the numbers, and safe with any words."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hybridanim.visualization.report import findings, plots
from hybridanim.visualization.report.page import report, write_report
from hybridanim.visualization.report.plots import Timeline, line_figure, stack_figure
from hybridanim.visualization.run_statistics import (
    IMPLAUSIBLE,
    NUMBERS,
    RunStatistics,
    Summary,
)
from hybridanim.visualization.thumbnails import Thumbnail

STAGES = ("skin", "tracks", "keypoints", "motion", "render")
VOID = {"meta", "img", "br", "rect", "line", "path"}
EVIL = '</script><script>alert(1)</script><b a="\'">&'


class Page(HTMLParser):
    """Checks that elements nest, and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if not (self.open and self.open[-1] in ("script", "style")):
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(self.words)


def row(index: int, *, lost: str = "", fps: float = 25, **more) -> dict:
    out = dict.fromkeys(NUMBERS, 0.0)
    out |= {f"{name}_ms": 2.0 + k for k, name in enumerate(STAGES)}
    out |= {"total_ms": 20.0, "tracks_alive": 80, "tracks_confidence": 0.8, "skin_share": 0.1}
    out |= {"index": index, "time_s": index / fps, "lost": lost, **more}
    return out


def run(frames: int = 100, **more) -> RunStatistics:
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(frames):
        lost = "the head left the picture" if 40 <= index < 50 else ""
        yaw = 20 * np.sin(index / 10)
        statistics.add(row(index, lost=lost, yaw_deg=yaw, **more))
    return statistics


def page(statistics: RunStatistics, thumbnails=(), **more) -> Page:
    keywords = {"settings": {}, "versions": {}} | more
    return Page(report(statistics.summary(), statistics.series, thumbnails, **keywords))


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    statistics = run()
    thumbnails = [Thumbnail("largest turn", 0.6, 15, b"\xff\xd8jpeg")]
    settings = {"source": "a.png", "segment": {"cloud": "adaptive"}}
    path = tmp_path / "report.html"
    write_report(
        path, statistics.summary(), statistics.series, thumbnails,
        settings=settings, versions={"numpy": "2"},
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    got = Page(text)
    assert "http" not in text and "@import" not in text and "url(" not in text
    assert not got.all("link") and not got.all("iframe")
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for attrs in got.all("img"))
    assert all("src" not in attrs for attrs in got.all("script"))
    assert "prefers-color-scheme" in text and "viewport" in text
    for words in ("adaptive", "a.png", "numpy"):
        assert words in got.text


def test_pictures_tables_and_plots_have_words_for_those_who_do_not_see_them():
    got = page(run(), [Thumbnail("", 0.0, 0, b"x")], settings={"a": 1}, versions={"b": 2})
    assert got.all("img") and all(attrs.get("alt") for attrs in got.all("img"))
    plots = got.all("svg")
    assert len(plots) >= 6 and all(attrs.get("aria-label") for attrs in plots)
    assert len(got.all("caption")) == len(got.all("table")) > 2
    assert got.elements[0] == ("html", {"lang": "en"})


def test_any_words_are_only_words():
    statistics = run(20)
    statistics.add(row(20, lost=EVIL))
    got = page(
        statistics, [Thumbnail(EVIL, 0, 0, b"")], title=EVIL, settings={EVIL: {EVIL: EVIL}},
        versions={EVIL: EVIL}, advice={"lost": EVIL},
    )  # fmt: skip
    assert len(got.all("script")) == 2 and "alert(1)" in got.text


def test_summary_in_words():
    text = page(run()).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "100 frames, 4.0 s." in text
    assert "2.0 times as fast as the driving video (25 frames a second)" in text
    assert (
        "The head was lost once, for 10 frames (10 %), because: the head left the picture." in text
    )
    assert "Most of it goes into render (30 %)." in text
    assert "0:01.6" in text and "0:02.0" in text, "from when to when"


def test_nothing_stood_out():
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(10):
        statistics.add(row(index))
    text = page(statistics).text
    assert "Nothing stood out" in text and "followed in every frame" in text


def test_praise_says_no_more_than_was_measured():
    def said(**more):
        statistics = RunStatistics(STAGES, 25.0)
        for index in range(10):
            statistics.add(row(index, **more))
        return page(statistics).text

    fitted = {"is_fitted": 1, "landmarks_confidence": 0.9}
    assert "a face was fitted in 100\N{NO-BREAK SPACE}% of the frames" in said(**fitted)
    assert "landmarks of confidence 0.90" in said(landmarks_confidence=0.9)
    assert "gaze were not measured" in said(landmarks_confidence=0.9)
    nothing = said()
    assert "nothing here says whether mouth and eyes" in nothing
    for text in (nothing, " ".join(findings.ADVICE.values())):
        assert "is right" not in text and "are right" not in text


def test_what_was_held_and_why_is_said():
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(100):
        lost = "no face in the picture" if 40 <= index < 50 else ""
        is_held = 40 <= index < 50 or 70 <= index < 73
        statistics.add(row(index, lost=lost, is_held=int(is_held)))
    summary = statistics.summary()
    assert (summary.held_frames, summary.holds) == (13, 2)
    assert summary.held_reasons == {"no face in the picture": 10, IMPLAUSIBLE: 3}
    got = page(statistics)
    text = got.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "The motion was held in 13 frames (13 %)" in text
    assert f"no face in the picture: 10; {IMPLAUSIBLE}: 3" in text
    assert re.search(r"0:01\.6 0:02\.0 10 head lost, motion held no face in the picture", text)
    assert re.search(rf"0:02\.8 0:02\.9 3 motion held {IMPLAUSIBLE}", text)


def test_a_face_that_is_held_in_part_is_said():
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(100):
        why = "the head is turned far" if 20 <= index < 30 else ""
        statistics.add(row(index, held=why, is_face_held=int(bool(why)), is_fitted=1))
    summary = statistics.summary()
    assert (summary.held_frames, summary.face_held_frames) == (0, 10)
    assert [one.key for one in findings.findings(summary)] == ["face_held"]
    text = page(statistics).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "In 10 further frames (10 %), pose or expression" in text
    assert re.search(r"0:00\.8 0:01\.2 10 pose or expression held the head is turned far", text)
    assert "face held in part 10 %" in text


def test_a_source_without_a_face_is_found_where_the_driver_has_one():
    def keys(fitted, **more):
        statistics = RunStatistics(STAGES, 25.0)
        for index in range(10):
            statistics.add(row(index, is_fitted=fitted))
        summary = statistics.summary(**more)
        text = report(summary, statistics.series, [], settings={}, versions={}, source_jpeg=b"x")
        assert ("no face was fitted to it" in text) == (not summary.has_source_face)
        return [one.key for one in findings.findings(summary)]

    assert keys(1, has_source_face=False) == ["source"]
    assert keys(1) == keys(0, has_source_face=False) == [], "an object, or the fit is off"


def test_moments_show_the_stages_and_the_overview_lies_beside():
    moments = [
        Thumbnail("", 0.0, 0, b"pair"),
        Thumbnail("largest turn", 0.4, 10, b"stages", shows_stages=True),
    ]
    got = page(run(), moments)
    alts = [attrs["alt"] or "" for attrs in got.all("img")]
    assert [alt.split(" at ")[0] for alt in alts] == ["All stages", "Driver and result"]
    (video,) = got.all("video")
    assert video["src"] == "overview.mp4" and "controls" in video
    assert (video["poster"] or "").endswith("c3RhZ2Vz")  # base64 of "stages"
    times = [attrs["data-time"] for attrs in got.all("figure") if "data-time" in attrs]
    assert times == ["0.400", "0.000"]
    assert not page(RunStatistics(STAGES, 25.0)).all("video")


def test_a_run_without_frames_is_said():
    assert "No frame was processed" in page(RunStatistics(STAGES, 25.0)).text


def test_series_for_reading_off_agree_with_what_was_put_in():
    statistics = run()
    text = report(statistics.summary(), statistics.series, [], settings={}, versions={})
    data = json.loads(re.search(r'id="series">(.*?)</script>', text)[1])
    np.testing.assert_allclose(data["time"], np.arange(100) / 25)
    np.testing.assert_allclose(data["plots"][1][0], 20 * np.sin(np.arange(100) / 10), rtol=6e-3)
    assert len(data["plots"]) == len(Page(text).all("figure"))


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("few_features", {"tracks_alive": 8}),
        ("churn", {"tracks_dropped": 30}),
        ("doubt", {"tracks_confidence": 0.2}),
        ("turn", {"yaw_deg": -50}),
        ("held", {"is_held": 1}),
        ("hand", {"is_hand_before_face": 1}),
        ("frozen", {"is_cloud_frozen": 1}),
        ("little_skin", {"skin_share": 0.004}),
        ("hidden", {"occluded_share": 0.5}),
        ("slow", {"total_ms": 90.0}),
        ("lost", {"lost": "gone"}),
    ],
)
def test_each_trouble_is_found_alone_and_has_advice(key, change):
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(60):
        bad = key != "lost" or index < 20
        statistics.add(row(index, **change) if bad else row(index))
    found = findings.findings(statistics.summary())
    assert [finding.key for finding in found] == [key]
    assert found[0].advice == findings.ADVICE[key]
    other = findings.findings(statistics.summary(), {key: "try this"})
    assert other[0].advice == "try this"


def test_a_face_that_is_fitted_in_a_part_of_the_frames_is_found():
    def found(fitted, lost=""):
        statistics = RunStatistics(STAGES, 25.0)
        for index in range(60):
            is_fitted = fitted(index)
            statistics.add(row(index, lost="" if is_fitted else lost, is_fitted=int(is_fitted)))
        return [f for f in findings.findings(statistics.summary()) if f.key == "unfitted"]

    part = found(lambda index: index >= 15)
    assert len(part) == 1 and "25\N{NO-BREAK SPACE}% of the frames" in part[0].text
    assert part[0].advice == findings.ADVICE["unfitted"]
    assert not found(lambda index: True)
    assert not found(lambda index: False), "an object, or the fit is off"
    assert not found(lambda index: index >= 15, lost="gone"), "there was no head"


def test_openings_and_gaze_are_plotted_where_a_face_was_fitted():
    assert "Openings" not in page(run()).text
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(50):
        known = int(index >= 10)
        values = {"mouth_opening": 0.2, "left_eye_opening": 0.3, "gaze_x": -0.25, "is_fitted": 1}
        statistics.add(row(index, **(values if known else {})))
    text = report(statistics.summary(), statistics.series, [], settings={}, versions={})
    got = Page(text)
    assert "Openings" in got.text and "Gaze" in got.text and "face not fitted 20 %" in got.text
    data = json.loads(re.search(r'id="series">(.*?)</script>', text)[1])
    mouth, _, eye, _ = data["plots"][2]
    assert mouth == [None] * 10 + [0.2] * 40 and eye[10:] == [0.3] * 40
    assert data["plots"][3][0][10:] == [-0.25] * 40
    assert len(data["plots"]) == len(got.all("figure"))
    assert "NaN" not in text and ">nan" not in text


def test_means_over_many_frames_do_not_count_those_without_a_face():
    statistics = RunStatistics(STAGES, 25.0)
    for index in range(4 * len(statistics.series._bins)):
        is_fitted = index % 2
        statistics.add(row(index, is_fitted=is_fitted, mouth_opening=0.3 * is_fitted))
    text = report(statistics.summary(), statistics.series, [], settings={}, versions={})
    data = json.loads(re.search(r'id="series">(.*?)</script>', text)[1])
    assert set(data["plots"][2][0]) == {0.3}


def test_an_early_stop_comes_first():
    found = findings.findings(Summary(frames=3, stopped="interrupted"))
    assert found[0].key == "stopped" and "interrupted" in found[0].text


def test_every_advice_can_come_up():
    keys = {key for key, _ in findings._checks(Summary(frames=1))}
    assert keys == set(findings.ADVICE)


def timeline(n: int, lost=(), start_s: float = 0.0, step_s: float = 0.1) -> Timeline:
    flags = np.zeros(n)
    flags[list(lost)] = 1
    return Timeline(start_s + step_s * np.arange(n), start_s + step_s * n, flags)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-27.3, 31), (0, 0), (3, 3), (1e-4, 2e-4), (0, 98765), (-5, -4.9)]
)
def test_axis_holds_its_values_at_round_ticks(low, high):
    figure = line_figure("unit", {"name": np.array([low, high])}, timeline(2))
    axes = figure.axes[0]
    ticks, limits = axes.get_yticks(), axes.get_ylim()
    assert limits[0] <= low and limits[1] >= high and limits[0] < limits[1]
    assert limits == pytest.approx((ticks[0], ticks[-1]))
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0])
    assert 2 <= len(ticks) <= 8
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 2.5, 5)) < 1e-6


def test_axis_survives_nothing_to_show():
    limits = (float("nan"), float("nan"))
    figure = line_figure("unit", {"name": np.zeros(1)}, timeline(1), limits=limits)
    assert figure.axes[0].get_ylim()[1] > 0


@pytest.mark.parametrize("span", [0.04, 0.7, 4, 61, 3600, 40000])
def test_time_ticks_are_few_and_inside(span):
    time = timeline(2, start_s=2.0, step_s=span / 2)
    axes = line_figure("unit", {"name": np.zeros(2)}, time).axes[0]
    assert axes.get_xlim() == pytest.approx((2, 2 + span))
    inside = [t for t in axes.get_xticks() if 2 - 1e-6 <= t <= 2 + span + 1e-6]
    assert 2 <= len(inside) <= 8


def test_axes_have_labels_with_units():
    axes = line_figure("degrees", {"yaw": np.zeros(3)}, timeline(3)).axes[0]
    assert axes.get_ylabel() == "degrees" and axes.get_xlabel() == "time, min:s"


def test_clock():
    assert plots.clock(75.29) == "1:15"
    assert plots.clock(75.29, fine=True) == "1:15.2"


def test_a_line_goes_through_its_values():
    values = np.array([0.0, 4.0, 1.0, 3.0])
    figure = line_figure("unit", {"name": values}, timeline(4), limits=(0, 4))
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), 0.1 * (np.arange(4) + 0.5))
    np.testing.assert_allclose(line.get_ydata(), values)


def test_values_outside_the_axis_lie_on_its_edge():
    figure = line_figure("unit", {"name": np.array([-9.0, 0.5, 9.0])}, timeline(3), limits=(0, 1))
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0, 0.5, 1])


def test_a_line_is_broken_where_nothing_is_known():
    time = timeline(6, lost=(2, 3))
    figure = line_figure("unit", {"name": np.arange(6.0)}, time, is_gap=time.is_lost)
    axes = figure.axes[0]
    known = np.isfinite(axes.lines[0].get_ydata())
    np.testing.assert_array_equal(known, [True, True, False, False, True, True])
    assert (
        re.search(r'<path d="([^"]*)" [^>]*var\(--c0\)', plots.inline_svg(figure, ""))[1].count("M")
        == 2
    )
    band = axes.patches[0]
    assert band.get_x() == pytest.approx(0.2) and band.get_width() == pytest.approx(0.2)


def test_a_value_alone_between_gaps_is_seen():
    time = timeline(5, lost=(1, 3))
    figure = line_figure("unit", {"name": np.arange(5.0)}, time, is_gap=time.is_lost)
    x, y = figure.axes[0].lines[0].get_data()
    np.testing.assert_allclose(y, [0, 0, np.nan, 2, 2, np.nan, 4, 4])
    assert x[4] > x[3] and x[4] - x[3] < 0.02 * 0.5


def test_stacked_areas_add_up():
    layers = {"a": np.full(3, 1.0), "b": np.full(3, 2.0)}
    axes = stack_figure("ms", layers, timeline(3), limit=(4.0, "budget")).axes[0]
    areas = [patch.get_xy()[:, 1] for patch in axes.patches]
    assert [(a.min(), a.max()) for a in areas] == [(0, 1), (1, 3)]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 4)
    assert [text.get_text() for text in axes.texts] == ["budget"] and axes.get_ylim()[1] > 4


def test_a_limit_far_above_the_areas_is_left_out():
    axes = stack_figure("ms", {"a": np.ones(3)}, timeline(3), limit=(40.0, "budget")).axes[0]
    assert not axes.lines and not axes.texts and axes.get_ylim()[1] < 4


def test_events_have_a_lane_each_with_its_share_of_the_time():
    lanes = {"first": np.array([0, 1, 1, 0.0]), "second": np.zeros(4)}
    axes = plots.event_figure(lanes, timeline(4)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "first   50 %",
        "second   never",
    ]
    filled = [(p.get_x(), p.get_width()) for p in axes.patches]
    assert filled == [pytest.approx(f) for f in [(0, 0.4), (0.1, 0.2), (0, 0.4)]]


def test_an_inline_figure_refers_to_nothing_and_is_the_same_each_time():
    def drawn() -> str:
        values = {"name": np.arange(4.0)}
        return plots.inline_svg(line_figure("$m <b> & m$", values, timeline(4)), EVIL)

    text = drawn()
    assert text == drawn()
    assert " id=" not in text and "url(" not in text and "http" not in text
    svg = Page(text)
    assert svg.all("svg")[0]["aria-label"] == EVIL and "$m <b> & m$" in svg.text


def test_percent_is_0_or_100_only_when_exact():
    shown = [findings.percent(s)[:-2] for s in (0, 1e-6, 0.004, 0.5, 0.9999, 1)]
    assert shown == ["0", "0.1", "0.4", "50", "99.9", "100"]
