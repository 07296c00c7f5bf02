"""Error and jitter of keypoints on talking heads, by method and by group of keypoints.

    python -m benchmarks.keypoints --data DIR --taught DIR [--weights FILE] [--kept DIR]

DIR holds clips of people in no training set, ``--taught`` a landmark network's file of each
(see calibration.alignment --teacher): the reference, not truth. Compared over every frame: the
anchors that the classical tracker carries (tracked), those placed anew by landmarks in each frame
(fitted), the detector in a window round its last head (learned). ``--kept`` keeps the classical
ones, which do not change with the weights. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from hybridanim.config import RuntimeConfig
from hybridanim.face import aligner
from hybridanim.face.mesh_network import frames_of, points_from_mesh
from hybridanim.runtime import networks
from hybridanim.training.data import keypoint_sets
from hybridanim.training.data.cache import anchors_of
from hybridanim.training.detector import validation as measure
from hybridanim.types import Array

WAYS = ("tracked", "per_frame", "learned")
_MOVES = 0.02  # openings count where the reference's have at least this standard deviation


def taught_rows(file: Path, side_px: int, count: int) -> Array:
    """(count, K, 7) anchors by the landmark network's file of a clip."""
    with np.load(file) as data:
        names = ("xyz_px", "lids_xy_px", "iris_xy_px")
        landmarks = points_from_mesh(*(data[name].astype(np.float32) for name in names))
    return np.array([anchors_of(points, side_px) for points in landmarks[:count]])


def classical_rows(clip: Path, frames: list[Array], kept: Path | None) -> dict[str, Array]:
    """``data_keypoint_sets.classical``, or what was kept of it."""
    file = kept / f"{clip.stem}.npz" if kept else None
    if file is not None and file.is_file():
        with np.load(file) as data:
            return {name: data[name][: len(frames)] for name in data}
    found = keypoint_sets.classical(frames, aligner.load())
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as stream:
            np.savez(stream, **found)  # pyright: ignore[reportArgumentType]
    return found


def clip_scores(rows: Array, truth: Array, is_used: Array) -> dict[str, float]:
    """All measures of one way on one clip."""
    found, here = rows[is_used], truth[is_used]
    place = measure.place_error(found, here)
    eyes = measure.between_eyes(here[..., :2])[:, None]
    side_px = 256 / 2
    scores = {
        "place_px": float((place / 100 * eyes).mean() * side_px),
        "place": float(place.mean()),
        "aligned": float(measure.unbiased_error(found, here).mean()),
        "aligned, on the face": float(
            measure.unbiased_error(found, here)[:, measure.ON_FACE].mean()
        ),
        "jacobian": float(measure.affine_error(found, here).mean()),
        **{name: float(place[:, group].mean()) for name, group in measure.GROUPS.items()},
    }
    ours, theirs = measure.openings(found[..., :2]), measure.openings(here[..., :2])
    for i, name in enumerate(("eyes", "mouth")):
        scores[f"{name}_open"] = 100 * float(np.abs(ours[:, i] - theirs[:, i]).mean())
        if theirs[:, i].std() >= _MOVES:
            scores[f"{name}_follow"] = float(np.corrcoef(ours[:, i], theirs[:, i])[0, 1])
    on_face = measure.ON_FACE
    shakes = [measure.jitter(x[:, on_face, :2]) for x in (found, here)]
    scores["jitter"] = shakes[0] / shakes[1]
    return scores


def table(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: one line a measure, one column a way; means over the clips that have it."""
    names = list(dict.fromkeys(name for clip in scores.values() for name in clip["learned"]))
    lines = [f"| | {' | '.join(WAYS)} | clips |", "|---" * (len(WAYS) + 2) + "|"]
    for name in names:
        clips = [clip for clip in scores.values() if all(name in clip[way] for way in WAYS)]
        means = [np.mean([clip[way][name] for clip in clips]) for way in WAYS]
        lines.append(f"| {name} | {' | '.join(f'{m:.2f}' for m in means)} | {len(clips)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the clips one by one, measure, print."""
    options = _arguments()
    cv2.setNumThreads(1)
    detector = networks.detector(options.weights, RuntimeConfig("torch", "f32"))
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for clip in sorted(options.data.glob("*.mp4")):
        frames = list(frames_of(clip))[: options.frames or None]
        truth = taught_rows(options.taught / f"{clip.stem}.npz", frames[0].shape[0], len(frames))
        rows = classical_rows(clip, frames, options.kept)
        rows["learned"] = keypoint_sets.detected(frames, detector)
        seen = {way: np.isfinite(rows[way]).all((1, 2)) for way in WAYS}
        is_used = np.logical_and.reduce([np.isfinite(truth).all((1, 2)), *seen.values()])
        scores[clip.stem] = {way: clip_scores(rows[way], truth, is_used) for way in WAYS}
        shown = " ".join(
            f"{way} {scores[clip.stem][way]['place']:.1f}% ({seen[way].mean():.0%} seen)"
            for way in WAYS
        )
        print(f"{clip.stem}: {len(frames)} frames, {is_used.sum()} used; {shown}", flush=True)
    print(table(scores))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="folder of clips")
    parser.add_argument("--taught", type=Path, required=True, help="landmark files of the clips")
    parser.add_argument("--weights", type=Path, help="of a detector; default: the shipped ones")
    parser.add_argument("--kept", type=Path, help="folder for the classical keypoints")
    parser.add_argument("--frames", type=int, default=0, help="of each clip; 0: all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
