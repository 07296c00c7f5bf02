"""Train the painters: python -m calibration.painters --data CLIPS:LABELS --validation ...

Makes pairs of windows with the warp renderer, once, then trains the painter of the mouth and the
one of the eyes and writes both into one file. Goes on from its checkpoints when it is started
again; --join writes the networks of several runs into one file. --pack writes the pairs into a
file, from which --preset gpu trains in a short sitting on another machine. Labels come from
``python -m calibration.face_labels``. Method and figures: hybridanim/weights/painters.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from hybridanim import command_line, extras, paths
from hybridanim.errors import InputError
from hybridanim.face import face_model, mesh_labels
from hybridanim.face.paint_windows import KINDS
from hybridanim.networks import painters_file
from hybridanim.training.archive import SUFFIX
from hybridanim.training.job import GPU_LIMIT_S

if TYPE_CHECKING:
    from hybridanim.training.painters.trainer import PainterConfig

_BATCHES = {"mouth": 16, "eye": 24}  # pairs a step
_RESIDENT, _CHECKPOINT_MIB = 20_000, 16.0  # of --preset gpu


def main(arguments: list[str] | None = None) -> int:
    """Make pairs and train, or join; returns the exit code."""
    return command_line.run("calibration.painters", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.painters", description="Train the painters of mouth and eyes."
    )
    pair = "CLIPS:LABELS"
    parser.add_argument("--data", nargs="+", default=[], metavar=pair,
                        help="folders of clips and labels, or a file of --pack")  # fmt: skip
    parser.add_argument("--validation", metavar=pair, help="the same, of other people")
    parser.add_argument("--kind", choices=["both", *KINDS], default="both", help="what to train")
    parser.add_argument("--out", type=Path, default=Path("runs/painters"), help="run's folder")
    parser.add_argument("--cache", type=Path, help="folder of the pairs; default: in --out")
    parser.add_argument("--sources", type=int, default=6, help="source frames of a clip")
    parser.add_argument("--targets", type=int, default=40, help="pairs of a source frame")
    parser.add_argument("--minutes", type=float,
                        help="training time of each network, all sittings; default: 60, with a"
                        " limit nine tenths of its share")  # fmt: skip
    parser.add_argument("--preset", choices=["none", "gpu"], default="none",
                        help="gpu: pairs held on the device, bfloat16, --batch auto, --limit-s 520,"
                        " files of checkpoints of at most 16 MiB")  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--batch", help="pairs a step; auto: tries what is fastest on a GPU")
    parser.add_argument("--limit-s", type=float, default=0.0,
                        help="wall time of this sitting, after which all is saved")  # fmt: skip
    parser.add_argument("--pack", type=Path, help="write the pairs into this file, do not train")
    parser.add_argument("--pack-mib", type=float, default=60.0, help="largest size of that file")
    parser.add_argument("--perceptual", type=Path, help="SqueezeNet weights; none: without")
    parser.add_argument("--start-from", type=Path, help="weights to start from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--join", nargs="+", type=Path, help="join these weights files instead")
    parser.add_argument("--output", type=Path, help="file of both; default: in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    return parser


def _join(inputs: list[Path], output: Path, *, overwrite: bool) -> None:
    paths.refuse_replacing([("--output", output)], inputs, overwrite=overwrite)
    networks = {}
    for file in inputs:
        networks |= painters_file.read(file)
    painters_file.write(networks, output)
    print(f"{', '.join(networks)} -> {output}")


def _is_packed(options: argparse.Namespace) -> bool:
    return len(options.data) == 1 and Path(options.data[0]).is_file()


def _check(options: argparse.Namespace) -> None:
    if not options.data or not (options.validation or _is_packed(options)):
        raise InputError(
            "--data and --validation: expected CLIPS:LABELS for both, got none; give folders of"
            " clips and of their labels, which python -m calibration.face_labels makes"
        )
    minutes = options.minutes
    if (minutes is not None and not 0 < minutes < 1e5) or not 1 <= options.threads <= 256:
        raise InputError(
            f"--minutes, --threads: expected a time above 0 and 1 to 256 threads, got"
            f" {options.minutes} and {options.threads}; choose within"
        )
    if not (1 <= options.sources <= 100 and 1 <= options.targets <= 1000):
        raise InputError(
            f"--sources, --targets: expected 1 to 100 and 1 to 1000, got {options.sources} and"
            f" {options.targets}; choose within"
        )
    if not 0 <= options.limit_s <= 1e7 or not 0.1 <= options.pack_mib <= 2000:
        raise InputError(
            f"--limit-s, --pack-mib: expected 0 to 1e7 and 0.1 to 2000, got {options.limit_s:g} and"
            f" {options.pack_mib:g}; choose within"
        )
    batch = options.batch
    if batch not in (None, "auto") and not (batch.isdecimal() and 2 <= int(batch) <= 4096):
        raise InputError(f"--batch: expected auto or 2 to 4096, got {batch!r}; for example auto")
    if options.pack is not None:
        if options.pack.suffix != SUFFIX:
            raise InputError(f"--pack {options.pack}: expected a name ending in {SUFFIX}; add it")
        given = [Path(text) for text in options.data if Path(text).is_file()]
        paths.refuse_replacing([("--pack", options.pack)], given, overwrite=options.overwrite)


def _pairs(options: argparse.Namespace) -> Path:
    """Folder of the pairs, made or unpacked if they are not there."""
    from hybridanim.training.painters import packing, pairs

    cache: Path = options.cache or options.out / "pairs"
    if _is_packed(options):
        return packing.unpack(Path(options.data[0]), cache)
    model = face_model.load()
    parts = {
        "train": ([mesh_labels.folders_of(text) for text in options.data], options.targets),
        "val": ([mesh_labels.folders_of(options.validation)], max(1, options.targets // 3)),
    }
    for name, (folders, targets) in parts.items():
        for line in pairs.make(folders, cache / name, model, options.sources, targets):
            print(line, flush=True)
    return cache


def _pack(options: argparse.Namespace) -> None:
    from hybridanim.training.painters import packing

    packed = packing.pack(_pairs(options), options.pack, int(options.pack_mib * 2**20))
    print(
        f"Packed {packed.rows} of {packed.of} pairs (WebP {packed.quality},"
        f" {packed.bytes / 2**20:.1f} MiB): {options.pack}"
    )


def _train(options: argparse.Namespace, began_s: float) -> None:
    from hybridanim.training.painters import pairs, samples
    from hybridanim.training.painters.trainer import PainterTrainer

    output: Path = options.output or options.out / "painters.safetensors"
    kinds = list(KINDS) if options.kind == "both" else [options.kind]
    cache = _pairs(options)
    done = []
    for number, name in enumerate(kinds):
        train, held = (
            samples.gather(KINDS[name], pairs.read(cache / part, KINDS[name]))
            for part in ("train", "val")
        )
        config = _config(options, name, began_s, len(kinds) - number)
        trainer = PainterTrainer(config, train, held, lambda line: print(line, flush=True))
        trainer.run()
        done.append(trainer.export())
        print(done[-1], flush=True)
    if len(done) > 1:
        _join(done, output, overwrite=True)


def _config(options: argparse.Namespace, name: str, began_s: float, left: int) -> PainterConfig:
    """Settings of one network; left: how many networks share the rest of the sitting."""
    from hybridanim.training import device as devices
    from hybridanim.training.painters import trial
    from hybridanim.training.painters.trainer import PainterConfig

    is_gpu = options.preset == "gpu"
    whole_s = options.limit_s or (GPU_LIMIT_S if is_gpu else 0.0)
    limit_s = max(1.0, (began_s + whole_s - time.monotonic()) / left) if whole_s else 0.0
    minutes = options.minutes or (0.9 * limit_s / 60 if limit_s else 60.0)
    config = PainterConfig(
        out=options.out / name,
        kind=name,
        batch=_BATCHES[name],
        device=options.device,
        start_from=options.start_from,
        perceptual_network=options.perceptual,
        time_budget_s=minutes * 60,
        validate_s=300.0,
        threads=options.threads,
        seed=options.seed,
        bf16=is_gpu and devices.pick(options.device).type == "cuda",
        resident=_RESIDENT if is_gpu else 0,
        checkpoint_mib=_CHECKPOINT_MIB if is_gpu else 0.0,
    )
    batch = options.batch or ("auto" if is_gpu else str(config.batch))
    tried_s = time.monotonic()
    batch = trial.fastest(config, print) if batch == "auto" else int(batch)
    if limit_s:
        limit_s = max(1.0, limit_s - (time.monotonic() - tried_s))
    return trial.with_batch(replace(config, limit_s=limit_s), batch)


def _run(options: argparse.Namespace) -> int:
    extras.expect_torch("calibration.painters")
    from hybridanim.training import device as devices

    if options.join:
        output = options.output or Path("painters.safetensors")
        _join(options.join, output, overwrite=options.overwrite)
        return 0
    began_s = time.monotonic()
    _check(options)
    cv2.setNumThreads(1)
    devices.pick(options.device)
    if options.pack is not None:
        _pack(options)
    else:
        _train(options, began_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
