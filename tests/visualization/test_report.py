"""The report: whole, self-contained, honest about the numbers, and safe with any words."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hybridanim.visualization.report import findings
from hybridanim.visualization.report import plots as report_plots
from hybridanim.visualization.report.page import report, write_report
from hybridanim.visualization.report.plots import HEIGHT, WIDTH, Timeline, nice_axis
from hybridanim.visualization.run_statistics import NUMBERS, RunStatistics, Summary
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


def test_an_early_stop_comes_first():
    found = findings.findings(Summary(frames=3, stopped="interrupted"))
    assert found[0].key == "stopped" and "interrupted" in found[0].words


def test_every_advice_can_come_up():
    keys = {key for key, _ in findings._checks(Summary(frames=1))}
    assert keys == set(findings.ADVICE)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-27.3, 31), (0, 0), (3, 3), (1e-4, 2e-4), (0, 98765), (-5, -4.9)]
)
def test_axis_holds_its_values_at_round_ticks(low, high):
    axis = nice_axis(low, high)
    assert axis.low <= low and axis.high >= high and axis.low < axis.high
    steps = np.diff(axis.ticks)
    np.testing.assert_allclose(steps, steps[0])
    assert 2 <= len(axis.ticks) <= 8
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 2.5, 5)) < 1e-6


def test_nice_axis_survives_nothing_to_show():
    assert nice_axis(float("nan"), float("nan")).high > 0


@pytest.mark.parametrize("span", [0.04, 0.7, 4, 61, 3600, 40000])
def test_time_ticks_are_few_and_inside(span):
    ticks = report_plots.time_ticks(2.0, 2.0 + span)
    assert len(ticks) <= 8 and all(2 - 1e-6 <= t <= 2 + span + 1e-6 for t in ticks)


def test_clock():
    assert report_plots.clock(75.29) == "1:15"
    assert report_plots.clock(75.29, fine=True) == "1:15.2"


def timeline(n: int, lost=()) -> Timeline:
    flags = np.zeros(n)
    flags[list(lost)] = 1
    return Timeline(np.arange(n) / 10, n / 10, flags)


def points_of(path: str) -> np.ndarray:
    return np.array([[float(v) for v in p.split(",")] for p in re.findall(r"[\d.]+,[\d.]+", path)])


def test_a_line_goes_through_its_values():
    values = np.array([0.0, 4.0, 1.0, 3.0])
    figure = report_plots.line_plot("title", "unit", {"name": values}, timeline(4), limits=(0, 4))
    points = points_of(re.search(r' d="(.*?)"', figure)[1])
    np.testing.assert_allclose(points[:, 0], WIDTH * (np.arange(4) + 0.5) / 4, atol=0.06)
    np.testing.assert_allclose(4 * (1 - points[:, 1] / HEIGHT), values, atol=0.01)


def test_a_line_is_broken_where_nothing_is_known():
    time = timeline(6, lost=(2, 3))
    figure = report_plots.line_plot("t", "u", {"n": np.arange(6.0)}, time, is_gap=time.is_lost)
    assert re.search(r' d="(.*?)"', figure)[1].count("M") == 2
    band = re.search(r'class="lost" x="([\d.]+)".*?width="([\d.]+)"', figure)
    assert float(band[1]) == pytest.approx(WIDTH / 3, abs=0.1)
    assert float(band[2]) == pytest.approx(WIDTH / 3, abs=0.1)


def test_stacked_areas_add_up():
    layers = {"a": np.full(3, 1.0), "b": np.full(3, 2.0)}
    figure = report_plots.stack_plot("t", "ms", layers, timeline(3), limit=(4.0, "budget"))
    tops = [points_of(d)[0, 1] for d in re.findall(r' d="(.*?)"', figure)]
    shares = 1 - np.array(tops) / HEIGHT
    assert shares[1] / shares[0] == pytest.approx(3.0, abs=0.02)
    limit = float(re.search(r'class="limit".*?y1="([\d.]+)"', figure)[1])
    assert (1 - limit / HEIGHT) / shares[0] == pytest.approx(4.0, abs=0.03)


def test_percent_is_0_or_100_only_when_exact():
    shown = [findings.percent(s)[:-2] for s in (0, 1e-6, 0.004, 0.5, 0.9999, 1)]
    assert shown == ["0", "0.1", "0.4", "50", "99.9", "100"]
