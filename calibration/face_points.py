"""Train the landmark networks: python -m calibration.face_points --data CLIPS:LABELS ... --kind eye

One run trains one network (face, eye or mouth) and goes on from its checkpoint when it is started
again; --join writes the networks of several runs into one file, and averages those of one kind
(Wortsman et al. 2022, Model soups). Labels come from ``python -m calibration.face_labels``. Method
and figures: hybridanim/weights/face_points.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

from hybridanim import command_line, extras, paths
from hybridanim.errors import InputError
from hybridanim.face import face_model, mesh_labels
from hybridanim.face.face_windows import KINDS
from hybridanim.networks import face_points_file


def main(arguments: list[str] | None = None) -> int:
    """Train one network, or join several; returns the exit code."""
    return command_line.run(
        "calibration.face_points", lambda: _run(_parser().parse_args(arguments))
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.face_points", description="Train the landmark networks."
    )
    pair = "CLIPS:LABELS"
    parser.add_argument("--data", nargs="+", default=[], metavar=pair,
                        help="folders of clips or pictures, and of their labels")  # fmt: skip
    parser.add_argument("--validation", metavar=pair, help="the same, of other people")
    parser.add_argument("--kind", choices=sorted(KINDS), default="face", help="network to train")
    parser.add_argument("--out", type=Path, default=Path("runs/face_points"), help="run's folder")
    parser.add_argument("--start-from", type=Path, help="weights to start from, as of --join")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3, help="peak; less for weights"
                        " that are good already")  # fmt: skip
    parser.add_argument("--every", type=int, default=1, help="use every so many frames of clips")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time, all sittings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, help="face model; default: the packaged one")
    parser.add_argument(
        "--join",
        nargs="+",
        type=Path,
        help="join these weights files instead; average those of one kind",
    )
    parser.add_argument("--output", type=Path, default=Path("face_points.safetensors"))
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the output of --join, or files in --out"
    )
    return parser


def _join(options: argparse.Namespace) -> None:
    paths.refuse_replacing(
        [("--output", options.output)], options.join, overwrite=options.overwrite
    )
    found = [face_points_file.read(file) for file in options.join]
    kinds = dict.fromkeys(kind for one in found for kind in one)
    try:
        networks = {k: face_points_file.mean([one[k] for one in found if k in one]) for k in kinds}
    except ValueError as error:
        raise InputError(
            f"--join: expected networks of one size to average, got {error}; join one of each kind"
        ) from error
    face_points_file.write(networks, options.output)
    print(f"{', '.join(networks)} -> {options.output}")


def _refuse_to_replace(options: argparse.Namespace) -> None:
    """Raise InputError for files in --out that are no run's, or that the run reads."""
    inputs = [path for path in (options.start_from, options.model) if path is not None]
    own = [("--out", options.out / name) for name in ("curves.csv", "points.safetensors")]
    is_begun = paths.is_file(options.out / "checkpoint.pt")
    paths.refuse_replacing(own, inputs, overwrite=is_begun or options.overwrite)


def _train(options: argparse.Namespace) -> None:
    from hybridanim.training.face_points import samples
    from hybridanim.training.face_points.trainer import PointsConfig, PointsTrainer

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
    if not 0 < options.learning_rate <= 1 or not 1 <= options.every <= 1000:
        raise InputError(
            f"--learning-rate, --every: expected a rate above 0 and at most 1, and 1 to 1000, got"
            f" {options.learning_rate} and {options.every}; leave them out"
        )
    if not 0 <= options.seed < 2**63:
        raise InputError(f"--seed: expected 0 to 2^63 - 1, got {options.seed}; choose within")
    _refuse_to_replace(options)
    pairs, other = (
        [mesh_labels.folders_of(text) for text in options.data],
        mesh_labels.folders_of(options.validation),
    )
    cv2.setNumThreads(1)
    model = face_model.load(options.model)
    footage = samples.read(pairs, model, options.every)
    held = samples.read([other], model)
    config = PointsConfig(
        out=options.out,
        kind=options.kind,
        start_from=options.start_from,
        time_budget_s=options.minutes * 60,
        threads=options.threads,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    trainer = PointsTrainer(config, footage, held, model, lambda line: print(line, flush=True))
    trainer.run()
    print(trainer.export())


def _run(options: argparse.Namespace) -> int:
    extras.expect_torch("calibration.face_points")
    if options.join:
        _join(options)
    else:
        _train(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
