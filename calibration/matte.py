"""Train the matting network: python -m calibration.matte --data CLIPS:MASKS:MESHES ...

A run goes on from its checkpoint when it is started again. The meshes come from
``python -m calibration.face_labels``, the masks from any person segmentation; their format is in
hybridanim/training/matte/footage.py. Method and figures: hybridanim/weights/matte.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from hybridanim import command_line, extras, paths
from hybridanim.errors import InputError

if TYPE_CHECKING:
    from hybridanim.training.matte.footage import Folders


def main(arguments: list[str] | None = None) -> int:
    """Train the network; returns the exit code."""
    return command_line.run("calibration.matte", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.matte", description="Train the matting network."
    )
    three = "CLIPS:MASKS:MESHES"
    parser.add_argument("--data", nargs="+", required=True, metavar=three,
                        help="folders of clips, of their masks and of their meshes")  # fmt: skip
    parser.add_argument("--validation", required=True, metavar=three, help="of other people")
    parser.add_argument("--out", type=Path, default=Path("runs/matte"), help="run's folder")
    parser.add_argument("--start-from", type=Path, help="weights to start from")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time, all sittings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overwrite", action="store_true", help="replace files in --out")
    return parser


def _folders(text: str) -> Folders:
    from hybridanim.training.matte.footage import Folders

    parts = [Path(part) for part in text.rsplit(":", 2)]
    if len(parts) != 3 or not all(paths.is_folder(part) for part in parts):
        missing = [str(part) for part in parts if not paths.is_folder(part)]
        raise InputError(
            f"--data {text}: expected CLIPS:MASKS:MESHES, three folders; got no"
            f" {', '.join(missing) or 'third'}"
        )
    return Folders(*parts)


def _run(options: argparse.Namespace) -> int:
    extras.expect_torch("calibration.matte")
    from hybridanim.training.matte import footage
    from hybridanim.training.matte.trainer import EXPORT, MatteConfig, MatteTrainer

    if not 0 < options.minutes < 1e5 or not 1 <= options.threads <= 256:
        raise InputError(
            f"--minutes, --threads: expected a time above 0 and 1 to 256 threads, got"
            f" {options.minutes} and {options.threads}; choose within"
        )
    if not 0 <= options.seed < 2**63:
        raise InputError(f"--seed: expected 0 to 2^63 - 1, got {options.seed}; choose within")
    inputs = [options.start_from] if options.start_from else []
    own = [("--out", options.out / name) for name in ("curves.csv", EXPORT)]
    is_begun = paths.is_file(options.out / "checkpoint.pt")
    paths.refuse_replacing(own, inputs, overwrite=is_begun or options.overwrite)
    sets, other = [_folders(text) for text in options.data], _folders(options.validation)
    cv2.setNumThreads(1)
    config = MatteConfig(
        out=options.out,
        start_from=options.start_from,
        time_budget_s=options.minutes * 60,
        threads=options.threads,
        seed=options.seed,
    )
    trainer = MatteTrainer(
        config, footage.read(sets), footage.read([other]), lambda line: print(line, flush=True)
    )
    trainer.run()
    print(trainer.export())
    return 0


if __name__ == "__main__":
    sys.exit(main())
