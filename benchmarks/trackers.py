"""The three trackers compared on talking heads: cost, keypoint error and jitter.

    python -m benchmarks.trackers --data DIR [--json OUT] [--networks DIR] [--clips N] [--frames N]

DIR holds clips. The anchors that a landmark network's points give are the reference (not truth: it
has jitter too). Errors and jitter (mean second difference) are in pixels of the 2.5-head window at
256x256, before stage 3 smooths; cost is the processor time of stages 1 and 2, over all threads, in
the median and in the mean frame (benchmarks/speed measures wall-clock time).
"aligned" leaves out each keypoint's constant offset; "late" is the error of a clip's last quarter,
larger than the whole one's if a tracker drifted; the slopes are 1 where lids and lips open as far
as the reference's, 0 where they stay closed. Needs openvino and the networks for the reference.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from hybridanim.config import RuntimeConfig, SegmentConfig, TrackConfig
from hybridanim.errors import InputError
from hybridanim.face import aligner
from hybridanim.face.anchors import ANCHORS, HAS_LANDMARKS
from hybridanim.face.mesh_network import Teacher, points_from_mesh
from hybridanim.io import open_source
from hybridanim.motion import keypoints
from hybridanim.motion.reference import reference_of
from hybridanim.prepare.source_head import landmark_head
from hybridanim.runtime import networks
from hybridanim.segmentation import video
from hybridanim.tracking import classical, hybrid, learned
from hybridanim.tracking.detection import Detector, to_pixels
from hybridanim.types import Array, Crop, Frame, Keypoints

CLIPS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
WORKING_PX = 640
NAMES = {anchor.name: row for row, anchor in enumerate(ANCHORS)}
LIDS = [row for name, row in NAMES.items() if "lid" in name]
LIPS = [row for name, row in NAMES.items() if "lip" in name]
_LEAST_OPENING = 0.012  # spread of an opening, in heads, below which its slope is noise
Found = tuple[list[Array], list[float]]  # (K, 2) pixels per frame, and ms


class Counted:
    """A detector that counts its calls."""

    def __init__(self, detector: Detector) -> None:
        self._detector, self.detections = detector, 0
        self.count, self.window = detector.count, detector.window

    def __call__(self, image: Array, window: Crop) -> Keypoints:
        """Detect, and count the call."""
        self.detections += 1
        return self._detector(image, window)


def reference(frames: list[Frame], teacher: Teacher) -> tuple[Array, float]:
    """(T, K, 2) anchors by the network, NaN where it sees no face; the median head in pixels."""
    teacher.reset()
    rows, sizes = [], []
    for frame in frames:
        mesh = teacher(frame.image)
        found = mesh and points_from_mesh(mesh.xyz_px, mesh.lids_xy_px, mesh.iris_xy_px)
        if found is None:
            rows.append(np.full((len(ANCHORS), 2), np.nan))
            continue
        head = landmark_head(found)
        crop = keypoints.crop_around(head)
        points = keypoints.place_anchors(head, found, aligner.MEAN_SHAPE, crop)
        rows.append(to_pixels(points, crop).xy_px)
        sizes.append(head.size_px)
    return np.array(rows), float(np.median(sizes)) if sizes else float("nan")


def by_classical(frames: list[Frame]) -> Found:
    """Anchors placed in the first frame with a head and carried by stages 1 and 2."""
    landmark_aligner = aligner.load()
    skin, state, first = video.initial_state(), classical.initial_state(), None
    places, times = [], []
    for frame in frames:
        start = time.process_time()
        skin, mask = video.step(skin, frame, SegmentConfig(), None)
        state, tracks = classical.step(state, frame, mask, TrackConfig(), aligner=landmark_aligner)
        first = first or reference_of(tracks, aligner.MEAN_SHAPE)
        points = None
        if first is not None and first.head is not None and tracks:
            points = keypoints.carry_anchors(tracks, first.keypoints, first.head, first.crop)
        times.append(1000 * (time.process_time() - start))
        places.append(_places(points, first.crop if first else None))
    return places, times


def by_learned(frames: list[Frame], detector: Detector) -> Found:
    """The detector in every frame."""
    state, places, times = learned.initial_state(), [], []
    for frame in frames:
        start = time.process_time()
        state, tracks = learned.step(state, frame, detector)
        times.append(1000 * (time.process_time() - start))
        places.append(_places(tracks.keypoints, tracks.keypoints_crop))
    return places, times


def by_hybrid(frames: list[Frame], detector: Detector, config: TrackConfig) -> Found:
    """The detector now and then, flow in between."""
    state, places, times = hybrid.initial_state(), [], []
    for frame in frames:
        start = time.process_time()
        state, tracks = hybrid.step(state, frame, detector, config)
        times.append(1000 * (time.process_time() - start))
        places.append(_places(tracks.keypoints, tracks.keypoints_crop))
    return places, times


def _places(points: Keypoints | None, crop: Crop | None) -> Array:
    if points is None or crop is None:
        return np.full((len(ANCHORS), 2), np.nan)
    return to_pixels(points, crop).xy_px


def measured(places: Array, truth: Array, head_px: float) -> dict[str, float]:
    """Errors (mean of |dx| and |dy|) and jitter of one clip, in pixels of the window at 256."""
    scale = 256 / (keypoints.CROP_HEADS * head_px)
    apart = (places - truth) * scale
    aligned = apart - np.nanmedian(apart, axis=0)
    last = apart[3 * len(apart) // 4 :]
    left = [NAMES["left_upper_lid"], NAMES["left_lower_lid"]]
    right = [NAMES["right_upper_lid"], NAMES["right_lower_lid"]]
    lips = [NAMES["upper_lip_inside"], NAMES["lower_lip_inside"]]
    slopes = [_slope(places, truth, pair, head_px) for pair in (left, right)]
    return {
        "error_px": _mean(np.abs(apart[:, HAS_LANDMARKS])),
        "aligned_px": _mean(np.abs(aligned[:, HAS_LANDMARKS])),
        "late_px": _mean(np.abs(last[:, HAS_LANDMARKS])),
        "lids_px": _mean(np.abs(aligned[:, LIDS])),
        "lips_px": _mean(np.abs(aligned[:, LIPS])),
        "lids_slope": _mean(np.array(slopes)),
        "lips_slope": _slope(places, truth, lips, head_px),
        "jitter_px": jitter_px(places, scale),
    }


def jitter_px(places: Array, scale: float) -> float:
    """Mean length of the second difference over time of the keypoints on landmarks."""
    bend = np.diff(places[:, HAS_LANDMARKS], 2, axis=0) * scale
    return _mean(np.linalg.norm(bend, axis=-1))


def _slope(places: Array, truth: Array, pair: list[int], head_px: float) -> float:
    """How far a pair opens where the reference's opens by one; NaN if it hardly does."""
    upper, lower = pair
    own, wanted = (p[:, lower, 1] - p[:, upper, 1] for p in (places, truth))
    good = np.isfinite(own + wanted)
    if good.sum() < 8 or np.std(wanted[good]) < _LEAST_OPENING * head_px:
        return float("nan")
    return float(np.polyfit(wanted[good], own[good], 1)[0])


def _mean(values: Array) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if good.size else float("nan")


def measure_clip(
    path: Path, teacher: Teacher, detector: Counted, most: int, config: TrackConfig
) -> dict[str, dict[str, float]] | None:
    """Tracker -> its measures on one clip; None when the network sees hardly any face in it."""
    with open_source(path, max_side_px=WORKING_PX) as source:
        frames = [frame for frame, _ in zip(source, range(most), strict=False)]
    truth, head_px = reference(frames, teacher)
    if len(frames) < 12 or np.isnan(truth[:, 0, 0]).mean() > 0.2:
        return None
    scale = 256 / (keypoints.CROP_HEADS * head_px)
    ways: dict[str, Callable[[], Found]] = {
        "classical": lambda: by_classical(frames),
        "learned": lambda: by_learned(frames, detector),
        "hybrid": lambda: by_hybrid(frames, detector, config),
    }
    row: dict[str, dict[str, float]] = {"reference": {"jitter_px": jitter_px(truth, scale)}}
    for name, way in ways.items():
        before = detector.detections
        places, times = way()
        row[name] = measured(np.array(places), truth, head_px) | {
            "cpu_ms": float(np.median(times)),
            "cpu_mean_ms": float(np.mean(times[2:])),  # the first frames search the picture
            "detections_share": (detector.detections - before) / len(frames),
            "lost_share": float(np.mean([np.isnan(p).any() for p in places])),
        }
    return row


def pooled(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over clips."""
    total: dict[str, dict[str, float]] = {}
    for way in rows[0]:
        names = rows[0][way]
        total[way] = {name: _mean(np.array([row[way][name] for row in rows])) for name in names}
    return total


def table(total: dict[str, dict[str, float]]) -> str:
    """A line of text per tracker."""
    names = list(total["learned"])
    lines = ["".join([f"{'':<11}", *(f"{name:>12}" for name in names)])]
    for way, row in total.items():
        cells = "".join(f"{row[n]:12.3f}" if n in row else " " * 12 for n in names)
        lines.append(f"{way:<11}{cells}")
    return "\n".join(lines)


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, object]:
    """Measure the clips of a folder, evenly chosen when fewer than all are wanted."""
    data: Path = options.data
    paths = sorted(p for p in data.glob("*") if p.suffix.lower() in CLIPS) if data.is_dir() else []
    if not paths:
        raise InputError(f"--data: expected a folder of clips, got {data}; check the path")
    if 0 < options.clips < len(paths):
        paths = [
            paths[i] for i in np.linspace(0, len(paths) - 1, options.clips).round().astype(int)
        ]
    cv2.setNumThreads(1)
    teacher = Teacher(options.networks or data.resolve().parents[1] / "networks")
    runtime = RuntimeConfig(runtime=options.runtime)
    detector = Counted(networks.detector(options.weights, runtime))
    config = TrackConfig(anchor_every=options.anchor_every)
    rows, clips = [], []
    for number, path in enumerate(paths, 1):
        say(f"{number}/{len(paths)} {path.name}")
        row = measure_clip(path, teacher, detector, options.frames, config)
        if row is not None:
            rows.append(row)
            clips.append(path.name)
    if not rows:
        raise InputError(f"--data: expected clips with a face, found none in {data}; try others")
    total = pooled(rows)
    print(table(total))
    machine = {"machine": platform.machine(), "python": platform.python_version()}
    settings = {"anchor_every": options.anchor_every, "runtime": options.runtime}
    by_clip = [{"clip": name, **row} for name, row in zip(clips, rows, strict=True)]
    return {"mean": total, "clips": by_clip, **settings, **machine, "opencv": cv2.__version__}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trackers")
    parser.add_argument("--data", type=Path, required=True, help="folder of talking-head clips")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--networks", type=Path, help="default: networks/ two folders above DATA")
    parser.add_argument("--weights", type=Path, help="a detector of one's own")
    parser.add_argument("--runtime", default="auto", choices=("auto", "openvino", "torch"))
    parser.add_argument("--clips", type=int, default=8, help="how many clips; 0 = all")
    parser.add_argument("--frames", type=int, default=100, help="most frames of a clip")
    parser.add_argument("--anchor-every", type=int, default=TrackConfig().anchor_every)
    options = parser.parse_args(arguments)
    try:
        result = run(options, lambda line: print(line, file=sys.stderr))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ImportError:
        print(
            "error: landmark network: expected the package openvino, found none;"
            " pip install openvino",
            file=sys.stderr,
        )
        return 2
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
