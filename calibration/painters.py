"""Train the painters: python -m calibration.painters --data CLIPS:LABELS --validation ...

Makes pairs of windows with the warp renderer, once, then trains the painter of the mouth and the
one of the eyes and writes both into one file. Goes on from its checkpoints when it is started
again; --join writes the networks of several runs into one file. Labels come from
``python -m calibration.face_labels``. Method and figures: hybridanim/weights/painters.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

from hybridanim import command_line, extras, paths
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.paint_windows import KINDS
from hybridanim.networks import painters_file

_BATCHES = {"mouth": 16, "eye": 24}  # pairs a step


def main(arguments: list[str] | None = None) -> int:
    """Make pairs and train, or join; returns the exit code."""
    return command_line.run("calibration.painters", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.painters", description="Train the painters of mouth and eyes."
    )
    pair = "CLIPS:LABELS"
    parser.add_argument("--data", nargs="+", default=[], metavar=pair,
                        help="folders of clips, and of their labels")  # fmt: skip
    parser.add_argument("--validation", metavar=pair, help="the same, of other people")
    parser.add_argument("--kind", choices=["both", *KINDS], default="both", help="what to train")
    parser.add_argument("--out", type=Path, default=Path("runs/painters"), help="run's folder")
    parser.add_argument("--cache", type=Path, help="folder of the pairs; default: in --out")
    parser.add_argument("--sources", type=int, default=6, help="source frames of a clip")
    parser.add_argument("--targets", type=int, default=40, help="pairs of a source frame")
    parser.add_argument("--minutes", type=float, default=60.0,
                        help="training time of each network, all sittings")  # fmt: skip
    parser.add_argument("--perceptual", type=Path, help="SqueezeNet weights; none: without")
    parser.add_argument("--start-from", type=Path, help="weights to start from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--join", nargs="+", type=Path, help="join these weights files instead")
    parser.add_argument("--output", type=Path, help="file of both; default: in --out")
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    return parser


def _folders(text: str) -> tuple[Path, Path]:
    media, _, labels = text.rpartition(":")
    found = Path(media), Path(labels)
    for folder in found:
        if not folder.is_dir():
            raise InputError(f"--data {text}: expected CLIPS:LABELS, two folders; got no {folder}")
    return found


def _join(inputs: list[Path], output: Path, *, overwrite: bool) -> None:
    paths.refuse_replacing([("--output", output)], inputs, overwrite=overwrite)
    networks = {}
    for file in inputs:
        networks |= painters_file.read(file)
    painters_file.write(networks, output)
    print(f"{', '.join(networks)} -> {output}")


def _check(options: argparse.Namespace) -> None:
    if not options.data or not options.validation:
        raise InputError(
            "--data and --validation: expected CLIPS:LABELS for both, got none; give folders of"
            " clips and of their labels, which python -m calibration.face_labels makes"
        )
    if not 0 < options.minutes < 1e5 or not 1 <= options.threads <= 256:
        raise InputError(
            f"--minutes, --threads: expected a time above 0 and 1 to 256 threads, got"
            f" {options.minutes} and {options.threads}; choose within"
        )
    if not (1 <= options.sources <= 100 and 1 <= options.targets <= 1000):
        raise InputError(
            f"--sources, --targets: expected 1 to 100 and 1 to 1000, got {options.sources} and"
            f" {options.targets}; choose within"
        )


def _train(options: argparse.Namespace) -> None:
    from hybridanim.training.painters import pairs, samples
    from hybridanim.training.painters.trainer import PainterConfig, PainterTrainer

    _check(options)
    output: Path = options.output or options.out / "painters.safetensors"
    kinds = list(KINDS) if options.kind == "both" else [options.kind]
    cv2.setNumThreads(1)
    model = face_model.load()
    cache: Path = options.cache or options.out / "pairs"
    parts = {
        "train": ([_folders(text) for text in options.data], options.targets),
        "val": ([_folders(options.validation)], max(1, options.targets // 3)),
    }
    for name, (folders, targets) in parts.items():
        for line in pairs.make(folders, cache / name, model, options.sources, targets):
            print(line, flush=True)
    done = []
    for name in kinds:
        train, held = (
            samples.gather(KINDS[name], pairs.read(cache / part, KINDS[name])) for part in parts
        )
        config = PainterConfig(
            out=options.out / name,
            kind=name,
            batch=_BATCHES[name],
            start_from=options.start_from,
            perceptual_network=options.perceptual,
            time_budget_s=options.minutes * 60,
            validate_s=300.0,
            threads=options.threads,
            seed=options.seed,
        )
        trainer = PainterTrainer(config, train, held, lambda line: print(line, flush=True))
        trainer.run()
        done.append(trainer.export())
        print(done[-1], flush=True)
    if len(done) > 1:
        _join(done, output, overwrite=True)


def _run(options: argparse.Namespace) -> int:
    extras.expect_torch("calibration.painters")
    if options.join:
        output = options.output or Path("painters.safetensors")
        _join(options.join, output, overwrite=options.overwrite)
    else:
        _train(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
