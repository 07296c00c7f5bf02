"""The published first-order model and the fast preset, trained alike and measured alike.

    python -m benchmarks.against_reference --data CLIPS --cache TRAIN.json --validation VAL.json \
        --networks NETWORKS --out runs/against_reference --json OUT [--minutes 30]

Both learn from nothing, from the same cached clips, for the same processor time of one thread: the
published model finds its own keypoints (benchmarks/reference_training.py), the fast preset is given
those of its program. Then clips of other people are rebuilt from their first frame at 256x256 by
the evaluation's own code: the fast preset in its pipeline behind the classical tracker, the
published model by its own detector on the same frames, both in bfloat16. A run that was interrupted
goes on. SqueezeNet stands in for the published VGG-19.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from apps.evaluate.job import EvaluateJob
from apps.evaluate.methods import Method, MethodRunner, chosen_methods
from apps.evaluate.reconstruction import reconstruct
from apps.evaluate.results import ClipResult
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.evaluation.face_evaluator import FaceEvaluator
from hybridanim.evaluation.scores import Evaluators, pooled
from hybridanim.geometry import crop_image
from hybridanim.networks import weights as weights_files
from hybridanim.training.animator import learner
from hybridanim.training.animator.trainer import Trainer
from hybridanim.training.config import Phase, TrainConfig
from hybridanim.training.data.batch import as_pictures
from hybridanim.training.data.cache import PER_FRAME, TEACHER, TRACKED
from hybridanim.training.loop import CHECKPOINT
from hybridanim.training.plan import SQUEEZENET
from hybridanim.types import Array, Source
from stages.pipeline import Followed

from .reference_training import Recipe, Training
from .speed_networks import counted
from .training import Published, given_points

REFERENCE, FAST = "reference", "fast"
SIZE = 256
SHOWN = {"l1": 4, "psnr": 2, "ssim": 3, "akd_px": 2, "csim": 3, "aed": 3, "mkr": 3}
TIMED = 8  # frames


def in_bf16() -> torch.autocast:
    """Half-precision convolutions, as both are trained."""
    return torch.autocast("cpu", torch.bfloat16)


class MethodsWithPublished(MethodRunner):
    """The evaluation's methods, and the published model on the same frames."""

    def __init__(self, job: EvaluateJob, net: Published) -> None:
        super().__init__(job, chosen_methods(job), "absolute")
        self.net, self._size = net, job.size
        self.methods = (*self.methods, Method(REFERENCE))
        self.follow_s: list[float] = []  # processor seconds of the classical tracker's frames

    def set_source(self, picture: Array, crop: str) -> Source | None:
        """Prepare a source, (H, W, 3) uint8."""
        source = super().set_source(picture, crop)
        assert source is not None
        self._square = source.crop
        self._source = self._picture(picture)
        with torch.inference_mode(), in_bf16():
            self._source_points = self.net.detector(self._source)
        return source

    def track(self, image: Array, time_s: float) -> dict[str, Followed]:
        """Tracks of the next frame by each tracker; the published model detects when it renders."""
        self._image, start_s = image, time.process_time()
        found = super().track(image, time_s)
        self.follow_s.append(time.process_time() - start_s)
        return found

    def render(self, followed: dict[str, Followed], copy: Array) -> dict[str, Array]:
        """Each method's picture of the frame that was followed last."""
        found = super().render(followed, copy)
        driving = self._picture(self._image)
        with torch.inference_mode(), in_bf16():
            points = self.net.detector(driving)
            made = self.net.generator(self._source, self._source_points, points).picture
        picture = made[0].float().permute(1, 2, 0).numpy()
        found[REFERENCE] = np.round(255 * picture).clip(0, 255).astype(np.uint8)
        return found

    def _picture(self, image: Array) -> Tensor:
        """(1, 3, 256, 256) in [0, 1] of the square that is measured."""
        square = crop_image(image, self._square, self._size)
        return as_pictures(square[None].astype(np.float32) / 255)


def train_reference(given: argparse.Namespace) -> Training:
    """The published model, trained; or what is missing of it."""
    recipe = Recipe(
        out=given.out / REFERENCE,
        cache=given.cache,
        network=given.networks / SQUEEZENET,
        time_budget_s=60 * given.minutes,
    )
    training = Training(recipe, lambda line: print(line, flush=True))
    training.run()
    return training


def train_fast(given: argparse.Namespace, seconds: float) -> tuple[Path, Trainer]:
    """The fast preset with its own defaults, trained for so many processor seconds: its weights."""
    config = TrainConfig(
        out=given.out / FAST,
        cache=given.cache,
        sets=(TEACHER, PER_FRAME, TRACKED),
        validation=given.validation,
        validation_sets=(TRACKED,),
        perceptual_network=given.networks / SQUEEZENET,
        time_budget_s=seconds,
        validate_s=1e9,
        validation_pairs=3,
        threads=1,
        device="cpu",
    )
    trainer = Trainer(config, lambda line: print(line, flush=True), clock=time.process_time)
    trainer.run()
    weights = given.out / f"{FAST}.safetensors"
    learner.export(config.out / CHECKPOINT, weights)
    return weights, trainer


def measure(given: argparse.Namespace, weights: Path, net: Published) -> dict[str, Any]:
    """Figures of every method over all clips, means over frames as ``evaluate`` gives them."""
    fast = f"classical+learned@{weights}"
    job = EvaluateJob(
        given.data,
        methods=("copy", "classical+warp", fast),
        networks=given.networks,
        every=given.every,
        frames=given.frames,
        size=SIZE,
        networks_run=RuntimeConfig(runtime="torch", precision="bf16", threads=1),
    )
    runner, evaluators = MethodsWithPublished(job, net), Evaluators(FaceEvaluator(given.networks))
    results: list[ClipResult] = []
    for clip in sorted(given.data.glob("*.mp4")):
        try:
            results.append(reconstruct(clip, job, runner, evaluators))
            print(clip.stem, flush=True)
        except InputError as error:  # as ``evaluate`` does
            print(f"left out: {clip.stem}: {error}", flush=True)
    names = [method.name for method in runner.methods]
    found = {name: pooled([r.scores[name] for r in results]) for name in names}
    kept = {
        FAST if name.startswith("classical+learned") else name: {
            n: v for n, v in row.items() if not n.endswith("_ms")
        }
        for name, row in found.items()
    }
    return {
        "clips": len(results),
        "frames": sum(r.frames for r in results),
        "methods": kept,
        "classical_tracker_processor_ms": round(1000 * float(np.mean(runner.follow_s)), 1),
    }


def costs(weights: Path, net: Published) -> dict[str, dict[str, float]]:
    """GFLOP and processor milliseconds of one thread, in eager torch and bfloat16, batch of one.

    ``source`` is what is needed once a source, ``frame`` what every frame costs after that. The
    published program encodes the source anew for every frame: it does both each time.
    """
    animator = weights_files.read_animator(weights).to(memory_format=torch.channels_last)  # pyright: ignore
    picture = torch.rand(1, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    count = len(animator.motion.log_reach)
    given, generator = [given_points(count, 1) for _ in range(2)], net.generator

    def encode() -> Tensor:
        x = generator.first(picture)
        for block in generator.down_blocks:
            x = block(x)
        return x

    with torch.inference_mode(), in_bf16():
        encoded = animator.encode(picture)
        points = net.detector(picture)
        whole = _cost(lambda: generator(picture, points, net.detector(picture)))
        source = _cost(encode)
        return {
            FAST: {
                **_named("frame", _cost(lambda: animator.animate(encoded, *given))),
                **_named("source", _cost(lambda: animator.encode(picture))),
            },
            REFERENCE: {
                **_named("frame", (whole[0] - source[0], whole[1] - source[1])),
                **_named("source", source),
            },
        }


def _cost(run: Callable[[], Any]) -> tuple[float, float]:
    """GFLOP, and the median of processor milliseconds."""
    gflop, times = counted(run), []
    for _ in range(TIMED):
        start_s = time.process_time()
        run()
        times.append(1000 * (time.process_time() - start_s))
    return gflop, float(np.median(times))


def _named(what: str, cost: tuple[float, float]) -> dict[str, float]:
    return {f"{what}_gflop": round(cost[0], 1), f"{what}_ms": round(cost[1], 1)}


def table(results: dict[str, Any]) -> str:
    """Markdown: a row a method."""
    heads = ("L1 ↓", "PSNR dB ↑", "SSIM ↑", "AKD px ↓", "CSIM ↑", "AED ↓", "MKR ↓")
    names = ("method", *heads, "GFLOP a frame", "ms a frame")
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for name, row in results["methods"].items():
        cells = [f"{row[n]:.{digits}f}" if n in row else "-" for n, digits in SHOWN.items()]
        cost = results["costs"].get(name)
        cells += [f"{cost[f'frame_{n}']:.0f}" if cost else "-" for n in ("gflop", "ms")]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def _phases(phases: tuple[Phase, ...]) -> list[dict[str, float]]:
    return [vars(phase) for phase in phases]


def _spent(run: Training | Trainer, phases: tuple[Phase, ...]) -> dict[str, Any]:
    """What a training took."""
    return {
        "processor_s": round(run.elapsed_s, 1),
        "steps": run.step,
        "pairs": run.samples,
        "phases": _phases(phases),
        "million_parameters": round(sum(p.numel() for p in run.net.parameters()) / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of validation clips")
    parser.add_argument("--cache", type=Path, required=True, help="listing of training clips")
    parser.add_argument("--validation", type=Path, required=True, help="of validation clips")
    parser.add_argument("--networks", type=Path, required=True, help="evaluators, and SqueezeNet")
    parser.add_argument("--out", type=Path, default=Path("runs/against_reference"))
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--minutes", type=float, default=30.0, help="processor time of each")
    parser.add_argument("--fast-minutes", type=float, help="of the fast preset, if not the same")
    parser.add_argument("--every", type=int, default=8, help="one frame in so many is measured")
    parser.add_argument("--frames", type=int, default=64, help="of each clip")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    published = train_reference(given)
    seconds = published.elapsed_s if given.fast_minutes is None else 60 * given.fast_minutes
    weights, trainer = train_fast(given, seconds)
    results = measure(given, weights, published.average)
    results["training"] = {
        REFERENCE: _spent(published, published.recipe.phases),
        FAST: _spent(trainer, trainer.config.phases),
    }
    results["costs"] = costs(weights, published.average)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
