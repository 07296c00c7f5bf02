"""Summary, series and thumbnails of a run -> report.html, one file that needs nothing else.

In this order: a summary in words, advice about what went badly, thumbnails, plots over time, times
of the stages, and the settings. ``report`` makes the text, ``write_report`` writes it to a file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridanim.text import encoded
from hybridanim.types import Array
from hybridanim.visualization.run_statistics import Series, Summary
from hybridanim.visualization.thumbnails import Thumbnail

from . import findings, plots
from .plots import Timeline, clock
from .style import SCRIPT, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = "0_source.png"
OVERVIEW = "overview.mp4"
OPTICAL = "3_optical_flow.mp4"  # only of a renderer that uses it
FILES_BESIDE = {
    OVERVIEW: "all stages side by side",
    PICTURE: "the source with its fitted face",
    "1_skin.mp4": "skin and blobs",
    "2_tracks.mp4": "head, fitted face and features",
    "3_keypoints.mp4": "keypoints, measured and target; the source's face as it moves",
    OPTICAL: "optical flow of the driver",
    "4_flow.mp4": "motion in colour",
    "4_grid.mp4": "motion as a bent grid",
    "4_occlusion.mp4": "hidden places, by reason",
    "4_depth.mp4": "depth of the head's mesh",
    "4_mesh.mp4": "the source's mesh over the result",
    "5_result.mp4": "driver and result",
    "frames.csv": "every number of every frame",
    "config.json": "settings and versions",
}
OPENINGS = {  # line -> column of the fitted face
    "mouth": "mouth_opening",
    "mouth's width": "mouth_width",
    "left eye": "left_eye_opening",
    "right eye": "right_eye_opening",
}
HIDDEN = {  # line -> column of the share of cells with that reason
    "uncovered": "uncovered_share",
    "self-occluded": "self_occluded_share",
    "opened": "opened_share",
    "outside the source": "outside_share",
}
GAZE = {"to the right": "gaze_x", "down": "gaze_y"}
SHADED = (
    '<p class="soft">Shaded: the head was lost. Point at a plot to read its values at that time in '
    "all of them.</p>"
)


def write_report(
    path: str | Path, summary: Summary, series: Series, thumbnails: Sequence[Thumbnail], **more: Any
) -> None:
    """Write ``report(...)`` to a file; the keywords are the same."""
    Path(path).write_bytes(encoded(report(summary, series, thumbnails, **more)))


def report(
    summary: Summary,
    series: Series,
    thumbnails: Sequence[Thumbnail],
    *,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    advice: Mapping[str, str] | None = None,
    title: str = "",
    uses_optical_flow: bool = False,
    source_jpeg: bytes = b"",
) -> str:
    """The page, as HTML. ``advice`` replaces texts of ``findings.ADVICE`` by key.

    uses_optical_flow: whether the folder holds a video of the optical flow. source_jpeg: the source
    with its fitted face.
    """
    time = Timeline(
        series["time_s"], float(series["time_s"][:1].sum()) + summary.duration_s, series["is_lost"]
    )
    figures, lines = _plots(summary, series, time)
    data = {
        "start": time.start_s,
        "end": time.end_s,
        "time": np.round(time.time_s, 3).tolist(),
        "plots": lines,
    }
    title = title or "How the animation went"
    body = "".join(
        (
            f"<header><h1>{escape(title)}</h1>",
            "".join(f'<p class="lead">{s}</p>' for s in findings.sentences(summary)),
            _cards(summary),
            "</header>",
            _section("The source", _source(summary, source_jpeg)),
            _section("What to look at", _findings(summary, advice or {})),
            _section("Key moments, stage by stage", _moments(thumbnails, with_stages=True)),
            _section("Through the video", _moments(thumbnails, with_stages=False)),
            _section("All stages as a video", _overview(thumbnails)) if summary.frames else "",
            _section("Over time", f'{SHADED}<div class="plots">{figures}</div>'),
            _section("Where the time goes", _times(summary)),
            _section("When the head was lost or the motion held", _spans(summary)),
            _section("How it was made", _made(settings, versions, uses_optical_flow)),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main>"
        f'<script type="application/json" id="series">{_safe_json(data)}</script>'
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _safe_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>" if inside else ""


def _cards(summary: Summary) -> str:
    found = 1 - summary.lost_frames / max(summary.frames, 1)
    axis, angle, _ = summary.largest_turn
    fitted = summary.mean.get("is_fitted", 0.0)
    hands = round(summary.mean.get("is_hand_before_face", 0.0) * summary.frames)
    face = (findings.percent(fitted), "of the frames with a fitted face")
    if not fitted:
        face = ("none", "no frame with a fitted face")
    cards = (
        (f"{summary.frames:,}", f"frames, {summary.duration_s:.1f} s"),
        (f"{summary.stage_fps:.0f}", "frames a second, stages alone"),
        (findings.percent(found), "of the frames with the head found"),
        face,
        (f"{abs(angle):.0f}°", f"largest head turn ({axis})"),
        (f"{summary.held_frames:,}", "frames with held motion"),
        (f"{hands:,}", "frames with a hand before the face"),
    )
    items = "".join(f"<li><b>{escape(b)}</b><span>{escape(s)}</span></li>" for b, s in cards)
    return f'<ul class="cards">{items}</ul>'


def _findings(summary: Summary, advice: Mapping[str, str]) -> str:
    found = findings.findings(summary, advice)
    if not found:
        text = _with_code(findings.all_well(summary))
        return f'<ul class="findings"><li class="good">{text}</li></ul>'
    items = "".join(
        f"<li><strong>{escape(f.text)}</strong>{_with_code(f.advice)}</li>" for f in found
    )
    return f'<ul class="findings">{items}</ul>'


def _with_code(text: str) -> str:
    """Escaped text, with `back-quoted` parts set as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if k % 2 else p for k, p in enumerate(parts))


def _moments(thumbnails: Sequence[Thumbnail], *, with_stages: bool) -> str:
    """The moments with the pictures of all stages, or the others; empty without any."""
    figures = ""
    for moment in thumbnails:
        if moment.shows_stages != with_stages:
            continue
        data = base64.b64encode(moment.jpeg).decode()
        when = f"{clock(moment.time_s, fine=True)}, frame {moment.index}"
        what = moment.caption[:1].upper() + moment.caption[1:]
        text = f"<b>{escape(what)}</b><span>{when}</span>" if what else f"<span>{when}</span>"
        shown = "All stages" if with_stages else "Driver and result"
        alt = escape(f"{shown} at {when}. {what}".strip())
        figures += (
            f'<figure data-time="{moment.time_s:.3f}"><img loading="lazy" alt="{alt}" '
            f'src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{text}</figcaption></figure>"
        )
    kind = "moments wide" if with_stages else "moments"
    return f'<div class="{kind}">{figures}</div>' if figures else ""


def _source(summary: Summary, jpeg: bytes) -> str:
    """The source with its fitted face; empty without the picture."""
    if not jpeg:
        return ""
    text = "with its fitted face" if summary.has_source_face else "no face was fitted to it"
    data = base64.b64encode(jpeg).decode()
    return (
        f'<figure class="panel source"><img alt="The source, {text}" '
        f'src="data:image/jpeg;base64,{data}"><figcaption>The square that is animated; {text}. '
        f'<a href="{PICTURE}">{PICTURE}</a> has it in full size.</figcaption></figure>'
    )


def _overview(thumbnails: Sequence[Thumbnail]) -> str:
    """The overview video, which lies beside the page; its poster is a moment."""
    poster = next((one for one in thumbnails if one.shows_stages), None)
    data = "" if poster is None else base64.b64encode(poster.jpeg).decode()
    shown = f' poster="data:image/jpeg;base64,{data}"' if data else ""
    return (
        f'<video controls muted playsinline preload="metadata"{shown} src="{OVERVIEW}" '
        f'aria-label="All stages, frame by frame"></video>'
        f'<p class="soft">This is <a href="{OVERVIEW}">{OVERVIEW}</a> beside this page. A click on '
        "a picture above goes to its time.</p>"
    )


def _plots(
    summary: Summary, series: Series, time: Timeline
) -> tuple[str, list[list[list[float | None]]]]:
    """All figures, and per figure the values of its lines, for reading off."""
    if not len(time.time_s):
        return "", []
    angles = {name: series[f"{name}_deg"] for name in ("yaw", "pitch", "roll")}
    counts = {name: series[f"tracks_{name}"] for name in ("alive", "new", "dropped")}
    sure = {
        name: series[f"{name}_confidence"]
        for name in ("tracks", "landmarks", "rotation", "keypoints")
    }
    shares = {
        "skin of the picture": 100 * series["skin_share"],
        "to paint of the result": 100 * series["occluded_share"],
    }
    hidden = {text: 100 * series[column] for text, column in HIDDEN.items()}
    if any(values.any() for values in hidden.values()):  # never: no head moved as a mesh
        shares |= hidden
    times = {name: series[f"{name}_ms"] for name in summary.stages}
    most_features = max(10.0, float(counts["alive"].max()))
    fitted = _fitted_plots(series, time)
    drawn: list[tuple[str, Mapping[str, Array]]] = [
        (_events(_lanes(series, has_face=bool(fitted)), time), {}),
        (
            _lines("Head rotation", "degrees", angles, time, least_span=10, is_gap=time.is_lost),
            angles,
        ),
        *fitted,
        (_lines("Features", "features a frame", counts, time, limits=(0, most_features)), counts),
        (_lines("Confidence", "confidence, 0 to 1", sure, time, limits=(0, 1)), sure),
        (_stage_times(times, time, summary.driving_fps), times),
        (_lines("Areas", "% of all pixels", shares, time, limits=(0, _most(shares))), shares),
    ]
    lines = [[_rounded(values) for values in columns.values()] for _, columns in drawn]
    return "".join(figure for figure, _ in drawn), lines


def _lanes(series: Series, *, has_face: bool) -> dict[str, Array]:
    """What happened when, as shares of each bin; has_face: whether a face was ever fitted."""
    lanes = {
        "head lost": series["is_lost"],
        "motion held": series["is_held"],
        "face held in part": series["is_face_held"],
        "hand before face": series["is_hand_before_face"],
        "learning paused": series["is_cloud_frozen"],
    }
    if has_face:
        lanes["face not fitted"] = np.clip(1 - series["is_fitted"] - series["is_lost"], 0, 1)
    return lanes


def _fitted_plots(series: Series, time: Timeline) -> list[tuple[str, Mapping[str, Array]]]:
    """Figures of the fitted face with their columns, NaN where none was fitted; none without."""
    share = series["is_fitted"]
    if not (share > 0).any():
        return []

    def of(names: Mapping[str, str]) -> dict[str, Array]:
        # the means count a frame without a face as 0
        known = np.where(share > 0, share, np.nan)
        return {name: series[column] / known for name, column in names.items()}

    openings, gaze = of(OPENINGS), of(GAZE)
    most = max(0.5, *(float(np.nanmax(values)) for values in openings.values()))
    far = max(0.5, *(float(np.nanmax(np.abs(values))) for values in gaze.values()))
    is_gap = (share <= 0).astype(float)
    unit = "shares of the face"
    figures = (
        _lines("Openings", unit, openings, time, limits=(0, most), is_gap=is_gap),
        _lines("Gaze", "half eye widths", gaze, time, limits=(-far, far), is_gap=is_gap),
    )
    return [(figures[0], openings), (figures[1], gaze)]


def _lines(
    title: str, unit: str, columns: Mapping[str, Array], time: Timeline, **options: Any
) -> str:
    """A plot of lines; the options are those of ``plots.line_figure``."""
    extremes = {name: (np.nanmin(v), np.nanmax(v)) for name, v in columns.items()}
    ranges = (f"{name} from {low:.4g} to {high:.4g}" for name, (low, high) in extremes.items())
    figure = plots.line_figure(unit, columns, time, **options)
    return _plot(title, unit, [*columns], figure, f"{title}: " + "; ".join(ranges))


def _stage_times(columns: Mapping[str, Array], time: Timeline, fps: float) -> str:
    """The times of the stages on top of each other, and the time that one frame lasts."""
    frame_ms = 1000 / fps if fps > 0 else 0.0
    limit = (frame_ms, f"one frame of the driver: {frame_ms:.1f} ms")
    means = "; ".join(f"{name} {np.mean(values):.3g} ms" for name, values in columns.items())
    figure = plots.stack_figure("ms a frame", columns, time, limit=limit)
    title = "Time of each stage"
    return _plot(title, "ms a frame", [*columns], figure, f"{title}, mean: {means}")


def _events(lanes: Mapping[str, Array], time: Timeline) -> str:
    """When each kind of event happened."""
    shares = "; ".join(f"{name} {plots.share_in_words(flags)}" for name, flags in lanes.items())
    title = "What happened when"
    return _plot(
        title, "share of the time", [], plots.event_figure(lanes, time), f"{title}: {shares}"
    )


def _plot(title: str, unit: str, names: Sequence[str], figure: Figure, alt: str) -> str:
    """A figure with its caption, a legend, and a line that follows the pointer."""
    legend = "".join(
        f'<li><i class="chip line-{k}"></i>{escape(name)} <b data-line="{k}"></b></li>'
        for k, name in enumerate(names)
    )
    box = figure.axes[0].get_position()
    place = f"top:{100 * (1 - box.y1):.1f}%;bottom:{100 * box.y0:.1f}%"
    return (
        f'<figure class="plot"><figcaption><strong>{escape(title)}</strong> '
        f'<span class="unit">{escape(unit)}</span><ul class="legend">{legend}</ul></figcaption>'
        f'<div class="scroll"><div class="area" data-left="{box.x0:.4f}" data-right="{box.x1:.4f}">'
        f'{plots.inline_svg(figure, alt)}<div class="cursor" style="{place}" hidden></div></div>'
        f"</div></figure>"
    )


def _most(columns: Mapping[str, Array]) -> float:
    return max(1.0, *(float(values.max()) for values in columns.values()))


def _rounded(values: Array) -> list[float | None]:
    """Values for JSON, which has no NaN."""
    return [float(f"{value:.3g}") if np.isfinite(value) else None for value in values]


def _times(summary: Summary) -> str:
    total = max(summary.sums_ms.get("total", 0.0), 1e-9)
    rows = ""
    for k, name in enumerate((*summary.stages, "total")):
        share = summary.sums_ms.get(name, 0.0) / total
        bar = (
            f'<i class="line-{k}" style="width:{100 * share:.1f}%"></i>' if name != "total" else ""
        )
        rows += (
            f'<tr><th scope="row">{escape(name)}</th>'
            f'<td class="number">{summary.median_ms.get(name, 0.0):.1f}</td>'
            f'<td class="number">{summary.slow_ms.get(name, 0.0):.1f}</td>'
            f'<td class="number">{100 * share:.0f} %</td><td class="bar">{bar}</td></tr>'
        )
    head = "".join(
        f'<th scope="col"{css}>{text}</th>'
        for text, css in (
            ("stage", ""),
            ("median, ms", ' class="number"'),
            ("95 % are faster than, ms", ' class="number"'),
            ("share", ' class="number"'),
            ("", ' class="bar" aria-hidden="true"'),
        )
    )
    caption = (
        "Time of each stage for one frame, without reading, drawing and writing. Coding the debug "
        "videos beside the stages slows them; a run without them is faster."
    )
    return (
        f'<div class="panel"><table><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _spans(summary: Summary) -> str:
    """When the head was lost or the motion held, and why; empty where neither happened."""
    lost = {(s.start_s, s.frames): s for s in summary.longest_losses}
    held = {(s.start_s, s.frames): s for s in summary.longest_holds}
    face = {(s.start_s, s.frames): s for s in summary.longest_face_holds}
    if not (lost or held or face):
        return ""
    rows = ""
    kinds = {"head lost": lost, "motion held": held, "pose or expression held": face}
    for key in sorted({**lost, **held, **face}):
        what = [text for text, spans in kinds.items() if key in spans]
        span = next(spans[key] for spans in kinds.values() if key in spans)
        rows += (
            f"<tr><td>{clock(span.start_s, fine=True)}</td><td>{clock(span.end_s, fine=True)}</td>"
            f'<td class="number">{span.frames}</td><td>{", ".join(what)}</td>'
            f"<td>{escape(span.reason)}</td></tr>"
        )
    head = "".join(
        f'<th scope="col"{" class=number" if text == "frames" else ""}>{text}</th>'
        for text in ("from", "to", "frames", "what", "why at first")
    )
    return (
        f'<div class="panel"><table><caption>From when to when; of each kind the ten longest at '
        "most.</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _made(settings: Mapping[str, Any], versions: Mapping[str, str], uses_optical_flow: bool) -> str:
    links = "".join(
        f'<li><a href="{name}">{name}</a> <span class="soft">{text}</span></li>'
        for name, text in FILES_BESIDE.items()
        if uses_optical_flow or name != OPTICAL
    )
    return (
        f'<div class="panel"><p>Beside this page, in the same folder:</p><ul>{links}</ul>'
        f"{_table('Settings', settings)}{_table('Versions', versions)}</div>"
    )


def _table(title: str, values: Mapping[str, Any]) -> str:
    """A folded table; a mapping inside becomes a group of rows."""
    if not values:
        return ""
    rows = ""
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += (
                f'<tr class="group"><th scope="rowgroup" colspan="2">{escape(str(key))}</th></tr>'
            )
            pairs = value.items()
        else:
            pairs = [(key, value)]
        rows += "".join(
            f'<tr><th scope="row">{escape(str(k))}</th><td><code>{escape(str(v))}</code></td></tr>'
            for k, v in pairs
        )
    return (
        f"<details><summary>{title}</summary><table><caption>{title} of this run, resolved."
        f"</caption><tbody>{rows}</tbody></table></details>"
    )
