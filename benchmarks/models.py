"""Monkey-Net, the published first-order model and the fast preset, trained alike.

    python -m benchmarks.models --kind creatures --cache CACHE --out runs/models --json OUT [...]

All find their own keypoints, learn from nothing, from the same cached clips (CACHE/train and val,
folders or listings of ``train``), for the same processor time of one thread. Then clips of others
are rebuilt from their first frame. ``--ablations`` trains Monkey-Nets instead, each without one
part, as in Table 2 of its paper. A run that was interrupted goes on, one that is done is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybridanim.networks.monkeynet import MonkeyNet
from hybridanim.training.animator import learner
from hybridanim.training.animator import validation as measuring
from hybridanim.training.animator.trainer import Trainer
from hybridanim.training.animator.validation import Task
from hybridanim.training.config import (
    MonkeyNetConfig,
    Phase,
    TrainConfig,
    monkeynet_settings,
    object_settings,
)
from hybridanim.training.data import cache
from hybridanim.training.data.batch import Batch
from hybridanim.training.loop import CHECKPOINT, TrainingLoop
from hybridanim.training.monkeynet import validation as monkeynet_validation
from hybridanim.training.monkeynet.trainer import MonkeyNetTrainer, read_checkpoint

from .ablations import cache_shapes
from .reference_training import Recipe, Training
from .speed_networks import counted
from .training import Published

REFERENCE_SIZE = 128  # the published model cannot be smaller
PER_CLIP, TIMED, SHOWN = 4, 8, 6
ABLATIONS: dict[str, dict[str, bool]] = {
    "full": {},
    "no_flow": {"flow": False},
    "no_residual": {"residual": False},
    "no_coarse": {"coarse": False},
    "fixed_variance": {"covariances": False},
    "no_source": {"source": False},
}
Animate = Callable[[Batch], Tensor]  # pairs -> pictures (B, 3, S, S) of the driving frames


def _split(folder: Path, name: str) -> Path:
    listing = folder / f"{name}.json"
    return listing if listing.is_file() else folder / name


def _common(given: argparse.Namespace, out: Path) -> dict[str, Any]:
    return {
        "out": out,
        "cache": _split(given.cache, "train"),
        "time_budget_s": 60 * given.minutes,
        "threads": 1,
        "checkpoint_s": 60.0,
        "validate_s": 1e9,
    }


def _monkeynet(given: argparse.Namespace, out: Path, **switches: bool) -> MonkeyNetTrainer:
    settings = monkeynet_settings(given.size)
    settings["sizes"] = replace(settings["sizes"], **switches)
    config = MonkeyNetConfig(
        **_common(given, out), **settings, validation=_split(given.cache, "val"), device="cpu"
    )
    return MonkeyNetTrainer(config, print, clock=time.process_time)


def _fast(given: argparse.Namespace, out: Path) -> Trainer:
    config = TrainConfig(
        **_common(given, out),
        **object_settings(given.size),
        validation=_split(given.cache, "val"),
        phases=(Phase(given.size, 16, 1.0),),
        validation_sizes=(given.size, given.size),
        device="cpu",
    )
    return Trainer(config, print, clock=time.process_time)


def _reference(given: argparse.Namespace, out: Path) -> Training:
    phases = (Phase(REFERENCE_SIZE, 4, 1.0),)
    return Training(Recipe(**_common(given, out), phases=phases, network=given.perceptual))


MODELS: dict[str, Callable[[argparse.Namespace, Path], TrainingLoop]] = {
    "fast": _fast,
    "monkeynet": _monkeynet,
    "reference": _reference,
}


def animate(net: torch.nn.Module, batch: Batch) -> Tensor:
    """The pictures of any of the models for a batch of pairs."""
    if isinstance(net, learner.Learner):
        return measuring.run(net, batch, bf16=True).result.painted.picture
    if isinstance(net, MonkeyNet):
        return monkeynet_validation.run(net, batch, bf16=True).painted.picture
    assert isinstance(net, Published)
    net.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        points = [net.detector(x) for x in (batch.source, batch.driving)]
        return net.generator(batch.source, *points).picture.float()


def task_of(given: argparse.Namespace, size: int) -> Task:
    """Clips of others, rebuilt from their first frame."""
    clips = cache.read(_split(given.cache, "val"))
    return measuring.reconstruction(clips, None, None, size=size, per_clip=PER_CLIP)


def measured(run: Animate, task: Task, size: int) -> dict[str, float]:
    """L1, PSNR and SSIM at that size; larger pictures are averaged to it."""
    rows = []
    for batch in task.batches:
        rows.append(measuring.metrics(*(at_size(x, size) for x in (run(batch), batch.driving))))
    found = (torch.cat(values) for values in zip(*rows, strict=True))
    return {
        n: round(float(v.mean()), 4) for n, v in zip(("l1", "psnr", "ssim"), found, strict=True)
    }


def at_size(picture: Tensor, size: int) -> Tensor:
    """Averaged to size x size."""
    return functional.avg_pool2d(picture.float(), picture.shape[-1] // size)


def costs(net: torch.nn.Module, size: int) -> dict[str, float]:
    """Of a pair, source and driving frame: GFLOP, and the median of processor milliseconds."""
    batch = Batch(torch.rand(1, 3, size, size), torch.rand(1, 3, size, size))
    gflop, times = counted(lambda: animate(net, batch)), []
    for _ in range(TIMED):
        start_s = time.process_time()
        animate(net, batch)
        times.append(1000 * (time.process_time() - start_s))
    return {"gflop": round(gflop, 2), "ms": round(float(np.median(times)), 1)}


def finished(name: str, run: TrainingLoop, given: argparse.Namespace) -> dict[str, Any]:
    """Train, or go on, and measure the averaged networks."""
    net = run.run()
    size = REFERENCE_SIZE if name == "reference" else given.size
    found = measured(lambda batch: animate(net, batch), task_of(given, size), given.size)
    return {
        **found,
        **costs(net, size),
        "million_parameters": round(sum(p.numel() for p in net.parameters()) / 1e6, 2),
        "processor_s": round(run.elapsed_s, 1),
        "steps": run.step,
        "pairs": run.samples,
    }


def strip(given: argparse.Namespace, names: list[str], path: Path) -> None:
    """PNG: source, driving frame, and the picture of each model that is there, a row each pair."""
    columns: list[np.ndarray] = []
    for name in names:
        folder = given.out / f"{given.kind}_{name}"
        size = REFERENCE_SIZE if name == "reference" else given.size
        task = task_of(given, size)
        rows = list(task.batches[:: max(1, len(task.batches) // SHOWN)])[:SHOWN]
        if not columns:
            pictures = ([b.source for b in rows], [b.driving for b in rows])
            columns = [_column(one, given.size) for one in pictures]
        net = MODELS[name](given, folder).average if name in MODELS else read_full(folder)
        columns.append(_column([animate(net, b) for b in rows], given.size))
    cv2.imwrite(str(path), np.hstack(columns)[..., ::-1])


def read_full(folder: Path) -> MonkeyNet:
    """The Monkey-Net of an ablation."""
    return read_checkpoint(folder / CHECKPOINT)


def _column(pictures: list[Tensor], size: int) -> np.ndarray:
    shown = [functional.interpolate(at_size(x[-1:], size), (128, 128)) for x in pictures]
    return np.vstack([measuring.images(x)[0] for x in shown])


def table(results: dict[str, Any]) -> str:
    """Markdown: a row a run."""
    names = ("run", "L1 ↓", "PSNR dB ↑", "SSIM ↑", "pairs", "M parameters", "GFLOP", "ms")
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for name, row in results["runs"].items():
        cells = [f"{row['l1']:.4f}", f"{row['psnr']:.2f}", f"{row['ssim']:.3f}"]
        for key in ("pairs", "million_parameters", "gflop", "ms"):
            cells.append(str(row.get(key, "-")))
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Every run that is asked for; the results of all that are done."""
    if given.kind == "creatures":
        cache_shapes(given.cache, REFERENCE_SIZE)
    task = task_of(given, given.size)
    results = {"copy": measured(lambda batch: batch.source, task, given.size)}
    for name in given.only or (ABLATIONS if given.ablations else MODELS):
        folder = given.out / f"{given.kind}_{name}"
        done = folder / "result.json"
        if not done.is_file():
            print(folder.name, flush=True)
            made = MODELS.get(name) or (lambda g, f, n=name: _monkeynet(g, f, **ABLATIONS[n]))
            found = finished(name, made(given, folder), given)
            done.write_text(json.dumps(found, indent=1) + "\n")
        results[name] = json.loads(done.read_text())
    return {"kind": given.kind, "minutes": given.minutes, "size": given.size, "runs": results}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", choices=("creatures", "faces"), default="creatures")
    parser.add_argument("--cache", type=Path, required=True, help="train and val: cached clips")
    parser.add_argument("--perceptual", type=Path, help="SqueezeNet, for the published model")
    parser.add_argument("--out", type=Path, default=Path("runs/models"))
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--minutes", type=float, default=10.0, help="processor time of each")
    parser.add_argument("--size", type=int, default=64, help="pixels; 32, 64 or 128")
    parser.add_argument("--ablations", action="store_true", help="parts of Monkey-Net instead")
    parser.add_argument("--only", nargs="*", default=[], help="names of runs")
    parser.add_argument("--strip", type=Path, help="PNG of the results")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    results = run(given)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    if given.strip:
        strip(given, [n for n in results["runs"] if n != "copy"], given.strip)
    print(table(results))


if __name__ == "__main__":
    main()
