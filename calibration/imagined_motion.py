"""Train imagined motion: python -m calibration.imagined_motion --data MOTIONS --validation MOTIONS

MOTIONS are folders of motion files, which ``python -m tools.fit_motions CLIPS MOTIONS`` makes. A
run goes on from its checkpoint when it is started again, also with more files. Method and figures:
hybridanim/weights/imagined_motion.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hybridanim import command_line, extras, paths
from hybridanim.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Train the network; returns the exit code."""
    return command_line.run(
        "calibration.imagined_motion", lambda: _run(_parser().parse_args(arguments))
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.imagined_motion", description="Train imagined motion."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="MOTIONS",
                        help="folder of motion files")  # fmt: skip
    parser.add_argument("--validation", type=Path, required=True, metavar="MOTIONS",
                        help="the same, of other people")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/imagined"), help="run's folder")
    parser.add_argument("--minutes", type=float, default=20.0, help="training time, all sittings")
    parser.add_argument("--steps", type=int, default=0, help="or steps; 0: no limit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overwrite", action="store_true", help="replace files in --out")
    return parser


def _check(options: argparse.Namespace) -> None:
    if not 0 < options.minutes < 1e5 or not 1 <= options.threads <= 256:
        raise InputError(
            f"--minutes, --threads: expected a time above 0 and 1 to 256 threads, got"
            f" {options.minutes} and {options.threads}; choose within"
        )
    if not 0 <= options.seed < 2**63 or not 0 <= options.steps < 10**9:
        raise InputError(
            f"--seed, --steps: expected 0 to 2^63 - 1 and 0 to 10^9, got {options.seed} and"
            f" {options.steps}; choose within"
        )
    for folder in (options.data, options.validation):
        if not paths.is_folder(folder):
            raise InputError(
                f"{folder}: expected a folder of motion files, found none; make it with"
                " python -m tools.fit_motions CLIPS FOLDER"
            )


def _run(options: argparse.Namespace) -> int:
    extras.expect_torch("calibration.imagined_motion")
    from hybridanim.networks import imagined_motion_file
    from hybridanim.networks.imagined_motion_sizes import ImagineSizes
    from hybridanim.training.imagined import samples
    from hybridanim.training.imagined.trainer import EXPORT, ImagineConfig, ImagineTrainer

    _check(options)
    own = [("--out", options.out / name) for name in ("curves.csv", EXPORT)]
    is_begun = paths.is_file(options.out / "checkpoint.pt")
    paths.refuse_replacing(own, [], overwrite=is_begun or options.overwrite)

    def report(line: str) -> None:
        print(line, flush=True)

    tracks, others = (samples.read(f, report) for f in (options.data, options.validation))
    if is_begun and paths.is_file(options.out / EXPORT):  # its features stay as they are
        _, _, tables = imagined_motion_file.read_arrays(options.out / EXPORT)
    else:
        tables = samples.tables_of(tracks, ImagineSizes(), options.seed)
    config = ImagineConfig(
        out=options.out,
        steps=options.steps,
        time_budget_s=0.0 if options.steps else options.minutes * 60,
        threads=options.threads,
        seed=options.seed,
    )
    corpus, held = samples.gather(tracks, tables), samples.gather(others, tables)
    trainer = ImagineTrainer(config, corpus, held, tables, report)
    trainer.run()
    print(trainer.export())
    return 0


if __name__ == "__main__":
    sys.exit(main())
