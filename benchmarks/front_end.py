"""How often a tracker follows something that is no face, and how often it misses one.

    python -m benchmarks.front_end --people DIR --composed DIR --networks DIR [--clips DIR]
        [--trackers classical,learned,hybrid] [--json OUT]

``--clips`` holds driving videos as users have them, ``--people`` talking heads of which the videos
in ``--composed`` are made (front_end_clips.py; made once). Stages 1 and 2 run as in a render, with
its scan before. The reference is the known box where a video is composed, else the face network
YuNet in every frame, gaps of up to ``_GAP_S`` filled linearly.

A frame is *wrong* when a head is reported (``Tracks.lost`` is empty) whose box overlaps no face by
at least ``_LEAST_OVERLAP`` (intersection over union; both as squares, see ``face_square``). A face
counts as long as a quarter of its box is in the picture. A frame is *missed* when no head is
reported although nine tenths of a face's box are in the picture.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hybridanim import command_line
from hybridanim.config import pipeline_config
from hybridanim.io import open_source
from hybridanim.prepare.driver_scan import Observation
from hybridanim.profiles import Profiles
from hybridanim.types import Array, HeadBox
from stages.pipeline import Pipeline, build

from .front_end_clips import compose

CLIPS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
TRACKERS = ("classical", "learned", "hybrid")
NETWORK = "yunet_n_dynamic.onnx"
_MOST_PX = 960  # longer side of the frames; stages 1 and 2 shrink them further
_LEAST_SCORE = 0.6
_LEAST_OVERLAP = 0.3
_SCAN_EVERY_S = 0.4
_GAP_S = 1.0
_IN_PICTURE, _WHOLE = 0.25, 0.9  # shares of a face's box
Square = tuple[float, float, float]  # centre x, y, side


@dataclass(frozen=True)
class Count:
    """Frames of one video, or of several."""

    frames: int = 0
    reported: int = 0  # with a head
    wrong: int = 0
    whole: int = 0  # with a whole face in the picture
    missed: int = 0
    lost_spans: int = 0  # how often no head was reported, stretches

    def __add__(self, other: Count) -> Count:
        names = self.__dataclass_fields__
        return Count(**{name: getattr(self, name) + getattr(other, name) for name in names})


def face_square(box: Sequence[float]) -> Square:
    """The network's face box (forehead to chin, narrow) as a square like ``HeadBox``."""
    x, y, width, height = box
    return x + width / 2, y + 0.55 * height, (width + height) / 2


def overlap(a: Square, b: Square) -> float:
    """Intersection over union of two upright squares."""
    sides = [
        max(0.0, min(p + a[2] / 2, q + b[2] / 2) - max(p - a[2] / 2, q - b[2] / 2))
        for p, q in zip(a[:2], b[:2], strict=True)
    ]
    both = sides[0] * sides[1]
    return both / (a[2] ** 2 + b[2] ** 2 - both)


def share_inside(box: Sequence[float], height: int, width: int) -> float:
    """Share of a box that lies in the picture."""
    x, y, w, h = box
    across = max(0.0, min(x + w, width) - max(x, 0.0))
    down = max(0.0, min(y + h, height) - max(y, 0.0))
    return across * down / max(w * h, 1e-9)


def network_boxes(path: Path, network: Path) -> list[list[list[float]]]:
    """For each frame, the boxes that the face network finds, or those between its neighbours'."""
    found: list[Array] = []
    times: list[float] = []
    with open_source(path, max_side_px=_MOST_PX) as reader:
        size = (reader.width, reader.height)
        detector = cv2.FaceDetectorYN.create(str(network), "", size, _LEAST_SCORE)
        for frame in reader:
            size = frame.image.shape[1], frame.image.shape[0]
            detector.setInputSize(size)
            faces = detector.detect(frame.image[..., ::-1].copy())[1]
            found.append(np.zeros((0, 4)) if faces is None else faces[:, :4])
            times.append(frame.time_s)
    return _filled(found, times)


def _filled(found: list[Array], times: list[float]) -> list[list[list[float]]]:
    """The boxes with short gaps of the largest face filled."""
    seen = [i for i, faces in enumerate(found) if len(faces)]
    boxes = [faces.astype(float).tolist() for faces in found]
    for a, b in itertools.pairwise(seen):
        if b - a > 1 and times[b] - times[a] <= _GAP_S:
            ends = [found[i][int(np.argmax(found[i][:, 3]))].astype(float) for i in (a, b)]
            for i in range(a + 1, b):
                share = (i - a) / (b - a)
                boxes[i] = [((1 - share) * ends[0] + share * ends[1]).tolist()]
    return boxes


def scan(path: Path, pipeline: Pipeline) -> list[Observation]:
    """What the scan before a render finds."""
    seen, due_s = [], 0.0
    with open_source(path, max_side_px=_MOST_PX) as reader:
        for frame in reader:
            if frame.time_s >= due_s:
                seen.append(pipeline.detect(frame.image, frame.index, frame.time_s))
                due_s += _SCAN_EVERY_S
    return [one for one in seen if one is not None]


def heads(path: Path, pipeline: Pipeline) -> list[tuple[HeadBox | None, tuple[int, int]]]:
    """For each frame the reported head, in pixels of the frame, and the frame's size."""
    pipeline.reset()
    seen = scan(path, pipeline)
    found: list[tuple[HeadBox | None, tuple[int, int]]] = []
    with open_source(path, max_side_px=_MOST_PX) as reader:
        for frame in reader:
            if not found:
                pipeline.use_scan(seen, *frame.image.shape[:2])
            tracks = pipeline.observe(frame.image, frame.time_s)
            view = pipeline.view
            assert view is not None
            head = tracks.head if tracks else None
            if head is not None:
                x, y = (c / view.scale for c in head.center_xy_px)
                head = HeadBox((x + view.x_px, y + view.y_px), head.size_px / view.scale)
            found.append((head, (frame.image.shape[0], frame.image.shape[1])))
    return found


def count(
    found: list[tuple[HeadBox | None, tuple[int, int]]], truth: list[list[list[float]]]
) -> tuple[Count, list[int]]:
    """What was counted in one video, and the indices of its wrong frames."""
    total, was_lost, wrong = Count(), False, []
    for index, ((head, size), boxes) in enumerate(zip(found, truth, strict=False)):
        faces = [box for box in boxes if share_inside(box, *size) >= _IN_PICTURE]
        is_whole = any(share_inside(box, *size) >= _WHOLE for box in faces)
        is_wrong = False
        if head is not None:
            own = (*head.center_xy_px, head.size_px)
            best = max([overlap(own, face_square(box)) for box in faces], default=0.0)
            is_wrong = best < _LEAST_OVERLAP
        wrong += [index] if is_wrong else []
        is_lost = head is None
        total += Count(
            1, int(not is_lost), int(is_wrong), int(is_whole), int(is_whole and is_lost),
            int(is_lost and not was_lost),
        )  # fmt: skip
        was_lost = is_lost
    return total, wrong


def table(rows: dict[str, dict[str, Count]]) -> str:
    """A line for each video: wrong frames, missed frames of those with a whole face."""
    names = list(rows)
    head = f"{'video':<28}{'frames':>7}" + "".join(
        f"{name + ' wrong, missed':>26}" for name in names
    )
    lines = [head]
    for video in rows[names[0]]:
        cells = ""
        for name in names:
            one = rows[name][video]
            cells += f"{_percent(one.wrong, one.frames):>14}{_percent(one.missed, one.whole):>12}"
        lines.append(f"{video[:27]:<28}{rows[names[0]][video].frames:>7}{cells}")
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def with_totals(counts: dict[str, Count], composed: set[str]) -> dict[str, Count]:
    """The counts of every video, and of both groups and all together."""
    groups = {
        "driving videos": [c for name, c in counts.items() if name not in composed],
        "composed videos": [c for name, c in counts.items() if name in composed],
        "all": list(counts.values()),
    }
    return counts | {name: sum(parts, Count()) for name, parts in groups.items()}


def run(options: argparse.Namespace) -> dict[str, object]:
    """Measure all videos with all trackers; prints tables."""
    network = options.networks / NETWORK
    videos = sorted(options.clips.glob("*")) if options.clips else []
    videos = [path for path in videos if path.suffix.lower() in CLIPS]
    composed = compose(options.people, network, options.composed)
    truth = {p.name: json.loads(p.with_suffix(".json").read_text()) for p in composed}
    truth |= {p.name: network_boxes(p, network) for p in videos}
    rows: dict[str, dict[str, Count]] = {}
    wrong: dict[str, dict[str, list[int]]] = {}
    for name in options.trackers.split(","):
        pipeline = build(pipeline_config({"tracker": name}), Profiles())
        counts, wrong[name] = {}, {}
        for path in [*videos, *composed]:
            counts[path.name], where = count(heads(path, pipeline), truth[path.name])
            wrong[name] |= {path.name: where} if where else {}
            print(f"{name} {path.name}: {counts[path.name]}", file=sys.stderr, flush=True)
        rows[name] = with_totals(counts, {p.name for p in composed})
    print(table(rows))
    counted = {n: {v: vars(c) for v, c in counts.items()} for n, counts in rows.items()}
    return {"counts": counted, "wrong_frames": wrong}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front_end")
    parser.add_argument("--clips", type=Path, help="folder of driving videos; default: none")
    parser.add_argument("--people", type=Path, required=True, help="folder of talking heads")
    parser.add_argument("--composed", type=Path, required=True, help="where composed videos go")
    parser.add_argument("--networks", type=Path, required=True, help=f"folder with {NETWORK}")
    parser.add_argument("--trackers", default=",".join(TRACKERS), help="separated by commas")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args(arguments)
    return command_line.run("error", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    result = run(options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
