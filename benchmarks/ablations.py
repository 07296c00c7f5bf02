"""What each idea of the learned half is worth: trainings that leave one out, on equal budgets.

    python -m benchmarks.ablations --cache CACHE --out runs/ablations --json OUT [--only NAME ...]

Faces have given keypoints (CACHE/train.json and val.json, which ``train`` writes into the folder
data of a run, or folders of these names), creatures are
drawn by ``tools.make_shapes`` and learn their keypoints; both with the small network, so that a
few thousand pairs tell something. Every run of a kind sees the same pairs in the same order from
the same start. A run that was interrupted goes on, one that is done is not made again. Figures are
those of people and creatures that were not learned from.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from hybridanim.networks import weights as files
from hybridanim.networks.blocks import Points
from hybridanim.networks.sizes import OBJECT
from hybridanim.training import equivariance
from hybridanim.training.animator.trainer import BEST, Trainer
from hybridanim.training.config import LossWeights, Phase, TrainConfig
from hybridanim.training.data import cache as data_cache
from hybridanim.training.data.augment import Augment
from hybridanim.training.data.batch import as_pictures
from hybridanim.training.data.pairs import shrunk
from tools import make_shapes

CREATURES, UNSEEN = range(64), range(1000, 1008)


@dataclass(frozen=True)
class Budget:
    """What every run of a kind may use."""

    steps: int
    batch: int
    size: int


def face_config(cache: Path, out: Path, budget: Budget) -> TrainConfig:
    """All ideas in, keypoints of the program's own tracker."""
    return TrainConfig(
        out=out,
        cache=_split(cache, "train"),
        validation=_split(cache, "val"),
        sets=("per_frame", "tracked"),
        validation_sets=("tracked",),
        sizes=replace(OBJECT, picture_px=budget.size),
        learning_rate=2e-3,
        ema=0.99,
        **_common(budget),
    )


def shape_config(cache: Path, out: Path, budget: Budget) -> TrainConfig:
    """All ideas in, keypoints learned."""
    return TrainConfig(
        out=out,
        keypoints="learned",
        cache=cache / "train",
        validation=cache / "val",
        sizes=replace(OBJECT, picture_px=budget.size),
        learning_rate=2e-3,
        ema=0.99,
        **_common(budget),
    )


def _split(cache: Path, name: str) -> Path:
    """A listing of the trainer's (data/train.json in the folder of a run), or a folder."""
    listing = cache / f"{name}.json"
    return listing if listing.is_file() else cache / name


def _common(budget: Budget) -> dict:
    return {
        "steps": budget.steps,
        "phases": (Phase(budget.size, budget.batch, 1.0),),
        "validation_sizes": (budget.size, budget.size),
        "validate_s": 1e9,
        "checkpoint_s": 120.0,
        "threads": 1,
        "device": "cpu",
        "augment": Augment(),
    }


def _sized(config: TrainConfig, **what: bool) -> TrainConfig:
    return replace(config, sizes=replace(config.sizes, **what))


def _lossy(config: TrainConfig, **what: float) -> TrainConfig:
    return replace(config, losses=LossWeights(**what))


FACES: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "all": lambda config: config,
    "no_jacobians": lambda config: _sized(config, jacobians=False),
    "no_occlusion": lambda config: _sized(config, occlusion=False),
    "no_blend": lambda config: _sized(config, blend=False),
    "flow_teacher": lambda config: _lossy(config, flow=0.5),
    "no_emphasis": lambda config: _lossy(config, emphasis=1, opened=0),
    "unneeded_paint": lambda config: _lossy(config, unneeded_paint=0.02),
    "opposite": lambda config: replace(config, augment=Augment(opposite=0.35)),
}
SHAPES: dict[str, Callable[[TrainConfig], TrainConfig]] = {
    "all": lambda config: config,
    "no_equivariance": lambda config: _lossy(config, equivariance=0, equivariance_jacobian=0),
    "no_jacobians": lambda config: _sized(_lossy(config, equivariance_jacobian=0), jacobians=False),
    "late_jacobians": lambda config: replace(config, shifts_only=0.5),
    "flow_teacher": lambda config: _lossy(config, flow=0.5),
}


def cache_shapes(folder: Path, size: int) -> None:
    """Draw both sets of creatures straight into a cache; what is there is kept."""
    for part, seeds in (("train", CREATURES), ("val", UNSEEN)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            file = folder / part / f"creature{seed:04d}__0.npy"
            if file.with_suffix(".npz").is_file():
                continue
            frames = np.array(list(make_shapes.clip_frames(seed, 0, count=60, size=size)))
            np.save(file, frames)
            np.savez(file.with_suffix(".npz"), number=np.arange(len(frames)))


def trained(config: TrainConfig) -> dict[str, float]:
    """Train, or go on, and measure the averaged networks; cpu_s is this sitting's."""
    start_s = time.process_time()
    trainer = Trainer(config, report=print)
    trainer.run()
    row = trainer.validate()
    kept = {name: round(value, 5) for name, value in row.items() if not name.startswith("train_")}
    return {**kept, "cpu_s": round(time.process_time() - start_s, 1)}


@torch.no_grad()
def keypoint_error_px(weights: Path, cache: Path) -> float:
    """How far learned keypoints are from following a warp that they have not seen, mean, in pixels
    of the detector's picture; of frames that were not learned from.
    """
    detector = files.read_weights(weights).detector
    assert detector is not None
    images = [
        shrunk(clip.frames[i], detector.size).astype(np.float32) / 255
        for clip in data_cache.read(cache / "val")
        for i in range(0, len(clip.frames), 10)
    ]
    pictures = as_pictures(np.stack(images))
    drawn = torch.Generator().manual_seed(5)
    warp = equivariance.random_warp(len(pictures), drawn, affine=0.1, spline=0.01)
    seen, warped = (
        Points(*detector(x)[:2]) for x in (pictures, equivariance.warp_picture(warp, pictures))
    )
    places, _ = equivariance.losses(warp, seen, warped)
    return float(places) * detector.size / 2


def run(given: argparse.Namespace) -> dict:
    """Every run that is asked for; the results of all that are done."""
    faces = Budget(given.steps, given.batch, given.size)
    shapes = Budget(given.shape_steps, given.batch, given.shape_size)
    if given.shape_steps:
        cache_shapes(given.out / "creatures", 128)
    makers = {
        "faces": (FACES, face_config(given.cache, Path(), faces) if given.steps else None),
        "shapes": (
            SHAPES,
            shape_config(given.out / "creatures", Path(), shapes) if given.shape_steps else None,
        ),
    }
    for kind, (changes, config) in makers.items():
        for name, change in changes.items():
            done = given.out / f"{kind}_{name}" / "result.json"
            if (
                config is None
                or done.is_file()
                or (given.only and f"{kind}_{name}" not in given.only)
            ):
                continue
            print(f"{kind}_{name}", flush=True)
            found = trained(change(replace(config, out=done.parent)))
            done.write_text(json.dumps(found, indent=1))
    results = {
        path.parent.name: json.loads(path.read_text())
        for path in sorted(given.out.glob("*/result.json"))
    }
    for name, row in results.items():
        if name.startswith("shapes_"):
            weights = given.out / name / BEST
            row["keypoint_error_px"] = keypoint_error_px(weights, given.out / "creatures")
    budgets = {"faces": vars(faces), "shapes": vars(shapes)}
    return {"budgets": budgets, "runs": results}


def table(results: dict) -> str:
    """Markdown: what was left out, and the figures of unseen ones."""
    lines = ["| run | L1 | PSNR | SSIM | keypoints, px |", "|---|---|---|---|---|"]
    for run_name, row in results["runs"].items():
        task = next(name for name in row if name.startswith("recon") and name.endswith("_net_l1"))
        task = task.removesuffix("_net_l1")
        for method in ("copy", "warp", "net"):
            figures = [row[f"{task}_{method}_{metric}"] for metric in ("l1", "psnr", "ssim")]
            if method == "net" or run_name.endswith("_all"):
                name = run_name if method == "net" else f"{run_name}: {method}"
                astray = row.get("keypoint_error_px") if method == "net" else None
                last = "" if astray is None else f"{astray:.2f}"
                lines.append("| {} | {:.4f} | {:.2f} | {:.3f} | {} |".format(name, *figures, last))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("scratch/cache"))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument(
        "--only", nargs="*", default=[], help="faces_all, shapes_no_equivariance, ..."
    )
    parser.add_argument("--steps", type=int, default=600, help="of face runs; 0 leaves them out")
    parser.add_argument("--shape-steps", type=int, default=1000, help="of creature runs; 0 as well")
    parser.add_argument("--batch", type=int, default=8, help="pairs a step")
    parser.add_argument("--size", type=int, default=128, help="pixels of the faces")
    parser.add_argument("--shape-size", type=int, default=64, help="pixels of the creatures")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    results = run(given)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
