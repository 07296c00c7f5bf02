"""Train the landmark networks: python -m calibration.face_points --data CLIPS:LABELS ... --kind eye

One run trains one network (face, eye or mouth) and goes on from its checkpoint when it is started
again; --join writes the networks of several runs into one file. Labels come from
``python -m calibration.face_labels``. Method and figures: hybridanim/weights/face_points.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.face.face_windows import KINDS
from hybridanim.networks import face_points_file


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=[], metavar="CLIPS:LABELS",
                        help="folders of clips or pictures, each with the folder of its labels")  # fmt: skip
    parser.add_argument("--validation", metavar="CLIPS:LABELS", help="the same, of other people")
    parser.add_argument("--kind", choices=sorted(KINDS), default="face", help="network to train")
    parser.add_argument("--out", type=Path, default=Path("runs/face_points"), help="run's folder")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time, all sittings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", type=Path, help="face model; default: the packaged one")
    parser.add_argument("--join", nargs="+", type=Path, help="join these weights files instead")
    parser.add_argument("--output", type=Path, default=Path("face_points.safetensors"))
    parser.add_argument("--overwrite", action="store_true", help="replace the output of --join")
    return parser.parse_args()


def _folders(text: str) -> tuple[Path, Path]:
    media, _, labels = text.rpartition(":")
    found = Path(media), Path(labels)
    for folder in found:
        if not folder.is_dir():
            raise InputError(f"--data {text}: expected CLIPS:LABELS, two folders; got no {folder}")
    return found


def _join(options: argparse.Namespace) -> None:
    paths.refuse_replacing(
        [("--output", options.output)], options.join, overwrite=options.overwrite
    )
    networks = {}
    for file in options.join:
        networks |= face_points_file.read(file)
    face_points_file.write(networks, options.output)
    print(f"{', '.join(networks)} -> {options.output}")


def _train(options: argparse.Namespace) -> None:
    from hybridanim.training.face_points import samples
    from hybridanim.training.face_points.trainer import PointsConfig, PointsTrainer

    if not options.data or not options.validation:
        raise InputError("--data and --validation: expected CLIPS:LABELS for both, got none")
    cv2.setNumThreads(1)
    model = face_model.load(options.model)
    footage = samples.read([_folders(text) for text in options.data], model)
    held = samples.read([_folders(options.validation)], model)
    config = PointsConfig(
        out=options.out,
        kind=options.kind,
        time_budget_s=options.minutes * 60,
        threads=options.threads,
        seed=options.seed,
    )
    trainer = PointsTrainer(config, footage, held, model, lambda line: print(line, flush=True))
    trainer.run()
    print(trainer.export())


def main() -> int:
    """Train one network, or join several."""
    options = _arguments()
    try:
        _join(options) if options.join else _train(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
