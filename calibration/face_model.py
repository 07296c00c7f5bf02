"""Learn the face model: python -m calibration.face_model --labels DIR [--clips-table clips.csv]

--labels holds one NAME.npy a clip, as ``python -m calibration.face_labels`` writes them; the table
says which clips show the same person. Method and figures: hybridanim/weights/face_model.md.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.face import face_model
from hybridanim.training import face_model as learning


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, required=True, help="folder of labelled clips")
    parser.add_argument("--clips-table", type=Path, help="csv with the columns file, identity")
    parser.add_argument("--output", type=Path, default=Path("face_model.safetensors"))
    parser.add_argument("--overwrite", action="store_true", help="replace the output")
    parser.add_argument("--identities", type=int, default=30)
    parser.add_argument("--expressions", type=int, default=32)
    return parser.parse_args()


def people(table: Path | None) -> dict[str, str]:
    """Clip's name -> person; empty without a table, when each clip is a person."""
    if table is None:
        return {}
    with table.open() as lines:
        return {Path(row["file"]).stem: row["identity"] for row in csv.DictReader(lines)}


def read_clips(folder: Path, table: Path | None) -> list[learning.Clip]:
    """The labelled clips of a folder; InputError when there are none."""
    found = sorted(folder.glob("*.npy"))
    if not found:
        raise InputError(
            f"--labels {folder}: expected labels of clips (*.npy), found none; make them with"
            " python -m calibration.face_labels"
        )
    who = people(table)
    return [learning.Clip(who.get(f.stem, f.stem), np.load(f)) for f in found]


def main() -> None:
    """Read the labels, learn, write."""
    options = _arguments()
    paths.refuse_replacing([("--output", options.output)], [], overwrite=options.overwrite)
    clips = read_clips(options.labels, options.clips_table)
    model = learning.learn(clips, options.identities, options.expressions)
    face_model.write(model, options.output)
    print(f"{len(clips)} clips, {len({c.who for c in clips})} people -> {options.output}")


if __name__ == "__main__":
    main()
