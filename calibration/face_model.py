"""Learn the face model: python -m calibration.face_model --labels DIR [--clips-table clips.csv]

--labels holds one NAME.npy a clip, as ``python -m calibration.face_labels`` writes them; the table
says which clips show the same person. Method and figures: hybridanim/weights/face_model.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from hybridanim import command_line, paths
from hybridanim.errors import InputError
from hybridanim.face import face_model, mesh_labels
from hybridanim.face.face_model import FaceModel
from hybridanim.training import face_model as learning

_MOST_DIRECTIONS = 200


def main(arguments: list[str] | None = None) -> int:
    """Read the labels, learn, write; returns the exit code."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.face_model", description="Learn the face model of labels."
    )
    parser.add_argument("--labels", type=Path, required=True, help="folder of labelled clips")
    parser.add_argument("--clips-table", type=Path, help="csv with the columns file, identity")
    parser.add_argument("--output", type=Path, default=Path("face_model.safetensors"))
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    parser.add_argument("--identities", type=int, default=30)
    parser.add_argument("--expressions", type=int, default=32)
    return parser


def people(table: Path | None) -> dict[str, str]:
    """Clip's name -> person; empty without a table, when each clip is a person."""
    if table is None:
        return {}
    paths.expect_readable("--clips-table", table)
    try:
        rows = list(csv.DictReader(paths.read_text(table).splitlines()))
    except (csv.Error, UnicodeDecodeError):
        rows = []
    if not rows or not all(row.get("file") and row.get("identity") for row in rows):
        raise InputError(
            f"--clips-table {table}: expected a csv with the columns file and identity, got other"
            " ones; correct it, or leave it out"
        )
    return {Path(row["file"]).stem: row["identity"] for row in rows}


def read_clips(folder: Path, table: Path | None) -> list[learning.Clip]:
    """The labelled clips of a folder; InputError when there are none."""
    found = sorted(folder.glob("*.npy"))
    if not found:
        raise InputError(
            f"--labels {folder}: expected labels of clips (*.npy), found none; make them with"
            " python -m calibration.face_labels"
        )
    who = people(table)
    return [learning.Clip(who.get(f.stem, f.stem), mesh_labels.read(f)) for f in found]


def _learned(clips: list[learning.Clip], options: argparse.Namespace) -> FaceModel:
    """The model of the clips, which ``face_model.load`` would accept."""
    try:
        with np.errstate(all="ignore"):  # what comes of it is checked
            model = learning.learn(clips, options.identities, options.expressions)
        face_model.check(model)
    except InputError:  # a ValueError that says more
        raise
    except ValueError as error:  # of the algebra, too
        raise InputError(
            f"--labels {options.labels}: expected faces that differ and move, got such that no"
            f" model comes of ({error}); give labels of other clips"
        ) from error
    return model


def _run(options: argparse.Namespace) -> int:
    inputs = [*options.labels.glob("*.npy")]
    inputs += [] if options.clips_table is None else [options.clips_table]
    paths.refuse_replacing([("--output", options.output)], inputs, overwrite=options.overwrite)
    for name in ("identities", "expressions"):
        if not 1 <= getattr(options, name) <= _MOST_DIRECTIONS:
            raise InputError(
                f"--{name}: expected 1 to {_MOST_DIRECTIONS}, got {getattr(options, name)}; choose"
                " within"
            )
    clips = read_clips(options.labels, options.clips_table)
    face_model.write(_learned(clips, options), options.output)
    print(f"{len(clips)} clips, {len({c.who for c in clips})} people -> {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
