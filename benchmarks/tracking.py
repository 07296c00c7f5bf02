"""Jitter and error of stages 1 and 2 on talking heads, compared with a landmark network.

    python -m benchmarks.tracking --data DIR --json OUT [--networks DIR] [--clips N] [--frames N]

DIR holds clips. Per clip the network's 74 points are the reference (not truth: it has jitter too).
Compared: the tracked landmarks; the landmark fit of every frame alone; the points of the first
frame carried by the sparse features; the same carried by dense optical flow (DIS, Kroeger et al.
2016), which uses every pixel. Errors are in pixels of a face crop of 256x256; jitter is
the mean second difference. "aligned" leaves out each point's constant offset, which is a matter of
definition. Needs openvino and the networks; the product has neither.
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

from hybridanim.config import SegmentConfig, TrackConfig
from hybridanim.errors import InputError
from hybridanim.face.aligner import POINTS, Aligner
from hybridanim.face.aligner import load as load_aligner
from hybridanim.face.head_box import from_landmarks
from hybridanim.face.mesh_network import Teacher, points_from_mesh
from hybridanim.io import open_source
from hybridanim.segmentation import video
from hybridanim.tracking import classical, registration
from hybridanim.types import Array, FaceBox, Frame, Tracks

CLIPS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
CROP_HEADS = 2.0  # a face crop of 256 pixels holds this many head boxes
WORKING_PX = 640
WAYS = ("tracked", "fit alone", "features", "dis")
MEASURES = ("error_px", "aligned_px", "jitter_px")


def reference(frames: list[Frame], teacher: Teacher) -> Array:
    """(T, L, 2) float64 points of the network, NaN where it sees no face."""
    teacher.reset()
    points = []
    for frame in frames:
        mesh = teacher(frame.image)
        found = mesh and points_from_mesh(mesh.xyz_px, mesh.lids_xy_px, mesh.iris_xy_px)
        points.append(np.full((len(POINTS), 2), np.nan) if found is None else found)
    return np.array(points, np.float64)


def track(frames: list[Frame], aligner: Aligner) -> tuple[list[Tracks], list[float]]:
    """Tracks of every frame, and the time of each tracking step in ms."""
    masks, state = video.initial_state(), classical.initial_state()
    found, times = [], []
    for frame in frames:
        masks, mask = video.step(masks, frame, SegmentConfig(), None)
        start = time.perf_counter()
        state, tracks = classical.step(state, frame, mask, TrackConfig(), aligner=aligner)
        times.append(1000 * (time.perf_counter() - start))
        found.append(tracks)
    return found, times


def tracked(all_tracks: list[Tracks], like: Array) -> Array:
    """(T, L, 2) the landmarks of stage 2."""
    lost = np.full(like.shape[1:], np.nan)
    return np.array([lost if t.landmarks_xy_px is None else t.landmarks_xy_px for t in all_tracks])


def fitted_alone(
    frames: list[Frame], all_tracks: list[Tracks], aligner: Aligner, like: Array
) -> Array:
    """(T, L, 2) landmarks fitted from where the last frame's fit was, without any flow."""
    points, last = [], None
    for frame, tracks in zip(frames, all_tracks, strict=True):
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        if last is not None and last.confidence > 0.5:
            last = aligner.track(grey, last.xy_px)
        elif tracks.head is not None:
            (x, y), size = tracks.head.center_xy_px, tracks.head.size_px
            last = aligner.fit(grey, FaceBox(x - size / 2, y - size / 2, size, size))
        points.append(np.full(like.shape[1:], np.nan) if last is None else last.xy_px)
    return np.array(points)


def by_features(all_tracks: list[Tracks], start: Array) -> Array:
    """(T, L, 2) the first frame's points, carried by the tracks of the sparse features."""
    first = next((t.head for t in all_tracks if t.head is not None), None)
    points = []
    for tracks in all_tracks:
        if not tracks or len(tracks.ids) < 12 or first is None:
            points.append(np.full_like(start, np.nan))
            continue
        weight = tracks.confidence.astype(float) + 0.01
        carry = registration.fit_map(
            tracks.reference_xy_px.astype(float), tracks.xy_px, weight, first.size_px
        )
        points.append(carry(start))
    return np.array(points)


def by_dense_flow(frames: list[Frame], start: Array) -> tuple[Array, list[float]]:
    """(T, L, 2) the first frame's points, carried from frame to frame by DIS; and its ms."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    points, times = [start.copy()], []
    last = cv2.cvtColor(frames[0].image, cv2.COLOR_RGB2GRAY)
    for frame in frames[1:]:
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        begin = time.perf_counter()
        field = flow.calc(last, grey, None)  # pyright: ignore
        times.append(1000 * (time.perf_counter() - begin))
        x, y = points[-1].T.astype(np.float32)
        step = cv2.remap(field, x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        points.append(points[-1] + step[0])
        last = grey
    return np.array(points), times


def measured(points: Array, truth: Array, per_px: float) -> dict[str, float]:
    """Errors and jitter in pixels of the face crop."""
    apart = (points - truth) * per_px
    aligned = apart - np.nanmedian(apart, axis=0)
    return {
        "error_px": _mean_length(apart),
        "aligned_px": _mean_length(aligned),
        "jitter_px": _mean_length(np.diff(points, 2, axis=0) * per_px),
    }


def _mean_length(vectors: Array) -> float:
    return float(np.nanmean(np.linalg.norm(vectors, axis=-1)))


def measure_clip(
    path: Path, teacher: Teacher, aligner: Aligner, most: int
) -> dict[str, object] | None:
    """All measures of one clip, or None when the network sees no face in its first frame."""
    with open_source(path, max_side_px=WORKING_PX) as source:
        frames = [frame for frame, _ in zip(source, range(most), strict=False)]
    truth = reference(frames, teacher)
    if len(frames) < 8 or np.isnan(truth[0]).any():
        return None
    size = np.nanmedian([from_landmarks(p).size_px for p in truth if not np.isnan(p).any()])
    per_px = 256 / (CROP_HEADS * float(size))
    all_tracks, step_ms = track(frames, aligner)
    dense, flow_ms = by_dense_flow(frames, truth[0])
    ways: dict[str, Array] = {
        "tracked": tracked(all_tracks, truth),
        "fit alone": fitted_alone(frames, all_tracks, aligner, truth),
        "features": by_features(all_tracks, truth[0]),
        "dis": dense,
    }
    return {
        "clip": path.name,
        "frames": len(frames),
        "lost_frames": sum(not t for t in all_tracks),
        "step_ms": float(np.median(step_ms)),
        "dis_ms": float(np.median(flow_ms)),
        "network_jitter_px": _mean_length(np.diff(truth, 2, axis=0) * per_px),
        **{way: measured(points, truth, per_px) for way, points in ways.items()},
    }


def pooled(rows: list[dict]) -> dict[str, object]:
    """Means over clips."""
    total: dict[str, object] = {
        way: {m: float(np.nanmean([row[way][m] for row in rows])) for m in MEASURES} for way in WAYS
    }
    for name in ("network_jitter_px", "step_ms", "dis_ms"):
        total[name] = float(np.mean([row[name] for row in rows]))
    total["frames"] = sum(row["frames"] for row in rows)
    total["lost_frames"] = sum(row["lost_frames"] for row in rows)
    return total


def table(rows: list[dict], total: dict) -> str:
    """One line a clip: aligned error / jitter for each way."""
    head = f"{'clip':<34}" + "".join(f"{way:>16}" for way in WAYS) + f"{'network':>9}"
    lines = ["aligned error / jitter, pixels at 256x256", head]
    for row in [*rows, {"clip": "mean", **total}]:
        cells = "".join(
            f"{row[way]['aligned_px']:>9.2f} /{row[way]['jitter_px']:>5.2f}" for way in WAYS
        )
        lines.append(f"{row['clip'][:33]:<34}{cells}{row['network_jitter_px']:>9.2f}")
    lines.append(
        f"{total['frames']} frames, {total['lost_frames']} without tracks;"
        f" stage 2 {total['step_ms']:.1f} ms, DIS {total['dis_ms']:.1f} ms a frame"
    )
    return "\n".join(lines)


def run(
    data: Path, networks: Path, clips: int, frames: int, say: Callable[[str], None]
) -> dict[str, object]:
    """Measure the clips of a folder, evenly chosen when fewer than all are wanted."""
    paths = sorted(p for p in data.glob("*") if p.suffix.lower() in CLIPS) if data.is_dir() else []
    if not paths:
        raise InputError(f"--data: expected a folder of clips, got {data}; check the path")
    if 0 < clips < len(paths):
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, clips).round().astype(int)]
    teacher, aligner = Teacher(networks), load_aligner()
    rows = []
    for number, path in enumerate(paths, 1):
        say(f"{number}/{len(paths)} {path.name}")
        row = measure_clip(path, teacher, aligner, frames)
        rows += [row] if row else []
    if not rows:
        raise InputError(f"--data: expected clips with a face, found none in {data}; try others")
    total = pooled(rows)
    print(table(rows, total))
    machine = {"machine": platform.machine(), "python": platform.python_version()}
    return {"mean": total, "clips": rows, **machine, "opencv": cv2.__version__}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking")
    parser.add_argument("--data", type=Path, required=True, help="folder of talking-head clips")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--networks", type=Path, help="default: networks/ two folders above DATA")
    parser.add_argument("--clips", type=int, default=8, help="how many clips; 0 = all")
    parser.add_argument("--frames", type=int, default=100, help="most frames of a clip")
    options = parser.parse_args(arguments)
    networks = options.networks or options.data.resolve().parents[1] / "networks"
    try:
        result = run(
            options.data, networks, options.clips, options.frames,
            lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
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
