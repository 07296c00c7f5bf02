"""Summary of a run -> sentences about it, and advice about what went badly.

Thresholds are judgements: each is where a person looking at the result starts to notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import NamedTuple

from hybridanim.visualization.run_statistics import Summary

from .plots import clock

ADVICE = {
    "stopped": "The files here hold the frames up to there.",
    "source": "Mouth and eyes then move by keypoints alone, and in the wrong place if the square "
    "is not round the face: look at the source above. `--crop X,Y,W,H` gives the square by hand, "
    "`--face 1` takes another face of the picture.",
    "lost": "Watch `1_skin.mp4` around these times. If the mask misses the face, learn its colour "
    "first with `python -m calibration.skin` and pass the profile with `--profile`, or try "
    "`--cloud fixed`; to leave the stretch out, use `--start` and `--end`.",
    "unconfirmed": "There the head was carried on by its corners alone, for a second at most: "
    "a hand, a profile, or strong blur. Compare `2_tracks.mp4`, and leave the stretch out with "
    "`--start` and `--end` if it is wrong.",
    "unfitted": "There the landmark networks saw no face in the head box, and the result holds the "
    "last expression: a profile, a hand, strong blur or a small face. In `2_tracks.mp4` the mesh "
    "is missing there.",
    "slow": "The pictures do not depend on it; the run only takes longer than the video lasts. "
    "Part of it is the coding of the debug videos: measure without `--debug`. Then try a smaller "
    "`--size`, or `--interpolation linear`.",
    "few_features": "Blurred or very even faces give few corners. More light or a sharper video "
    "helps; `python -m calibration.tracker` finds better tracker settings for a clip.",
    "churn": "Features are lost and found again quickly: fast motion, blur or heavy compression. "
    "A larger `--window-px` holds them longer; `--smooth` nearer 1 hides the tremble.",
    "doubt": "Compare `2_tracks.mp4` with the driver. A driver who fills more of the picture, "
    "looks into the camera at first and is evenly lit is followed best.",
    "turn": "A flat picture shows nothing behind the cheek, so strong turns stretch. Choose a "
    "quieter part with `--start` and `--end`, or less motion with `--scale 0.7`.",
    "hand": "Motion under a hand is guessed from the rest of the face. If the mouth jumps there, "
    "raise `--smooth`.",
    "held": "While the motion is held, the picture stands still or drifts back to rest.",
    "face_held": "There the fit of the driver's face was not trusted, and the result keeps its "
    "last pose or expression and then returns to the driver's. The table below says when and why; "
    "compare `2_tracks.mp4`, and leave the stretch out with `--start` and `--end`.",
    "frozen": "The skin colour was too unsure to learn from, often because the light changed or "
    "the background has skin's colour. A profile (`--profile`) gives it a firm start.",
    "little_skin": "The driver is small in the picture, or the mask misses skin. Crop the driving "
    "video nearer to the head.",
    "hidden": "Much of the picture has to be painted anew. Less motion (`--scale 0.7`) keeps more "
    "of the original.",
}


class Finding(NamedTuple):
    """Something to look at, and what to try."""

    key: str
    text: str
    advice: str


def percent(share: float) -> str:
    """A share as a percentage that is 0 or 100 only when it is exact."""
    value = 100 * share
    if 0 < value < 1 or 99 < value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f}\N{NO-BREAK SPACE}%"
    return f"{value:.0f}\N{NO-BREAK SPACE}%"


def sentences(summary: Summary) -> list[str]:
    """The run in a few sentences, as HTML text."""
    if not summary.frames:
        return ["No frame was processed."]
    total = summary.median_ms.get("total", 0.0)
    pace = ""
    if summary.driving_fps > 0 and summary.stage_fps > 0:
        ratio = summary.stage_fps / summary.driving_fps
        times = f"{ratio:.1f} times as fast as" if ratio >= 1 else f"{ratio:.2f} of the speed of"
        pace = f", {times} the driving video ({summary.driving_fps:.4g} frames a second)"
    out = [
        f"{summary.frames:,} frames, {summary.duration_s:.1f} s. The stages took {total:.1f} ms "
        f"for a typical frame{pace}. {_slowest(summary)}"
    ]
    if not summary.lost_frames:
        out.append("The head was followed in every frame.")
    else:
        times = "once" if summary.losses == 1 else f"{summary.losses} times"
        share = percent(summary.lost_frames / summary.frames)
        why = next(iter(summary.lost_reasons), "")
        most = "because" if len(summary.lost_reasons) == 1 else "mostly because"
        out.append(
            f"The head was lost {times}, for {summary.lost_frames:,} frames ({share}), {most}: "
            f"{escape(why)}."
        )
    if summary.held_frames:
        share = percent(summary.held_frames / summary.frames)
        why = _by_reason(summary.held_reasons)
        out.append(
            f"The motion was held in {summary.held_frames:,} frames ({share}), and so was the "
            f"result. Frames by reason: {why}."
        )
    if summary.face_held_frames:
        share = percent(summary.face_held_frames / summary.frames)
        why = _by_reason(summary.face_held_reasons)
        out.append(
            f"In {summary.face_held_frames:,} further frames ({share}), pose or expression of the "
            f"head were held, at least in part. Frames by reason: {why}."
        )
    return out


def _by_reason(frames: Mapping[str, int]) -> str:
    return "; ".join(f"{escape(text)}: {n:,}" for text, n in frames.items())


def all_well(summary: Summary) -> str:
    """What may be said of a run without findings: no more than was measured."""
    fitted = summary.mean.get("is_fitted", 0.0)
    known = summary.mean.get("landmarks_confidence", 0.0)
    if fitted:
        return (
            "Nothing stood out: the head was followed throughout and in time, and a face was "
            f"fitted in {percent(fitted)} of the frames."
        )
    if known:
        return (
            "Nothing stood out: the head was followed throughout and in time, with landmarks of "
            f"confidence {known:.2f} on average. No face was fitted, so eyelids and gaze were not "
            "measured."
        )
    return (
        "Nothing stood out in what was measured: the head was followed throughout and in time. "
        "There were no landmarks and no fitted face, so nothing here says whether mouth and eyes "
        "are those of the driver; `5_result.mp4` shows it."
    )


def _slowest(summary: Summary) -> str:
    if not summary.stages or not summary.sums_ms.get("total"):
        return ""
    name = max(summary.stages, key=lambda stage: summary.sums_ms.get(stage, 0.0))
    share = summary.sums_ms[name] / summary.sums_ms["total"]
    return f"Most of it goes into {escape(name)} ({percent(share)})."


def findings(summary: Summary, advice: Mapping[str, str] | None = None) -> list[Finding]:
    """Findings, most severe first; ``advice`` replaces texts of ``ADVICE`` by key."""
    texts = {**ADVICE, **(advice or {})}
    found = {key: text for key, text in _checks(summary) if text}
    return [Finding(key, text, texts.get(key, "")) for key, text in found.items()]


def _checks(summary: Summary):
    """(key, text) of every check, the text empty where all is well."""
    if not summary.frames:
        return
    mean, frames = summary.mean, summary.frames
    seen = max(1e-9, 1 - summary.lost_frames / frames)
    lost = summary.lost_frames / frames
    yield "stopped", f"The run stopped early: {summary.stopped}" if summary.stopped else ""
    is_asked = mean.get("is_fitted", 0.0) > 0 and not summary.has_source_face
    text = "The driver's face was fitted, but no face could be fitted to the source."
    yield "source", text if is_asked else ""
    yield "lost", f"The head was lost in {percent(lost)} of the frames." if lost > 0.01 else ""
    carried = seen - mean.get("is_confirmed", 0.0) if mean.get("face_confidence", 0.0) else 0.0
    text = f"No face was seen in {percent(carried)} of the frames with a followed head."
    yield "unconfirmed", text if carried > 0.02 else ""
    fitted = mean.get("is_fitted", 0.0)
    missed = seen - fitted if fitted else 0.0  # never: objects, or the fit is off
    text = f"The face model could not be fitted in {percent(missed)} of the frames with a head."
    yield "unfitted", text if missed > 0.02 else ""
    alive = mean.get("tracks_alive", 0.0) / seen
    yield (
        "few_features",
        f"Only {alive:.0f} features were followed on average." if alive < 25 else "",
    )
    churn = mean.get("tracks_dropped", 0.0) / max(mean.get("tracks_alive", 0.0), 1)
    text = f"{percent(churn)} of the features are dropped in every frame."
    yield "churn", text if churn > 0.12 else ""
    sure = mean.get("tracks_confidence", 0.0) / seen
    yield "doubt", f"The tracking was unsure: {sure:.2f} on average." if sure < 0.4 else ""
    axis, angle, time_s = summary.largest_turn
    text = f"The head turns far: {axis} {angle:+.0f}° at {clock(time_s, fine=True)}."
    yield "turn", text if abs(angle) > 35 else ""
    held = mean.get("is_held", 0.0)
    text = f"The motion was held in {percent(held)} of the frames."
    yield "held", text if held > max(0.05, 1.5 * lost) else ""
    face_held = summary.face_held_frames / frames
    text = f"Pose or expression were held, at least in part, in {percent(face_held)} of the frames."
    yield "face_held", text if face_held > 0.05 else ""
    hand = mean.get("is_hand_before_face", 0.0)
    text = f"A hand was before the face in {percent(hand)} of the frames."
    yield "hand", text if hand > 0.02 else ""
    frozen = mean.get("is_cloud_frozen", 0.0)
    text = f"Learning the skin's colour was paused in {percent(frozen)} of the frames."
    yield "frozen", text if frozen > 0.5 else ""
    skin = mean.get("skin_share", 0.0) / seen
    text = f"Skin covers only {percent(skin)} of the picture."
    yield "little_skin", text if 0 < skin < 0.01 else ""  # none at all: the tracker needs none
    hidden = mean.get("occluded_share", 0.0)
    text = f"{percent(hidden)} of the result shows what the source hides."
    yield "hidden", text if hidden > 0.2 else ""
    is_slow = 0 < summary.stage_fps < summary.driving_fps
    text = f"Slower than the video: {summary.stage_fps:.1f} frames a second."
    yield "slow", text if is_slow else ""
