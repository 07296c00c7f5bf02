"""Golden numbers: three trackers by two renderers on a synthetic clip and on the example.

A change that moves code must not move pixels. Kept per run: where the keypoints go (normalised) and
the result's mean grey level in each cell of an 8x8 grid, at three frames. Networks run in f32, so
that the numbers do not depend on the processor's fast paths; what is left between machines (order
of sums, OpenCV's builds; between AVX2 and AVX-512 up to .8 of a grey level in the cell of the
mouth) stays under the tolerances below. Without the avatar: whether a cell at the border of its
shell is shown tips with the last digit; tests/motion/test_head_shell.py looks at it. After a change
that is meant to move pixels: ``python -m tests.test_golden`` writes the numbers anew; look at the
difference.
"""

from __future__ import annotations

import json
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from hybridanim import files, io
from stages.pipeline import Pipeline

from . import synthetic

FILE = Path(__file__).with_name("golden.json")
COUNT = {"synthetic": 12, "example": 48}  # frames of each clip
RUNS = list(
    product(("synthetic", "example"), ("classical", "learned", "hybrid"), ("warp", "learned"))
)
TOLERANCE_NORM = 0.003  # of a keypoint's place: 0.4 pixels at 256
TOLERANCE_GREY = 1.2  # of a cell's mean grey level


def images_of(clip: str) -> list[np.ndarray]:
    if clip == "synthetic":
        picture = synthetic.photograph(256)
        affines = synthetic.wandering_affines(COUNT[clip], 256, seed=1)
        return list(synthetic.moved_picture(picture, affines).frames)
    with io.open_source(files.EXAMPLE_DRIVING) as reader:
        return [frame.image for frame in islice(reader, COUNT[clip])]


def measured(clip: str, tracker: str, renderer: str) -> list[dict]:
    """One row for a quarter, a half and the whole of the clip."""
    options = {"size": 128, "precision": "f32", "avatar": "off"}
    pipeline = Pipeline.load(tracker=tracker, renderer=renderer, **options)
    pipeline.set_source(synthetic.photograph(256) if clip == "synthetic" else data.astronaut())
    rows = []
    for index, image in enumerate(images_of(clip), start=1):
        picture = pipeline.animate(image)
        if index % (COUNT[clip] // 4) == 0 and index > COUNT[clip] // 4:
            assert pipeline.last is not None
            grey = picture.astype(np.float64).mean(-1).reshape(8, 16, 8, 16).mean((1, 3))
            places = pipeline.last.points.target.xy_norm.astype(np.float64)
            rows.append({"grey": grey.round(2).tolist(), "xy_norm": places.round(4).tolist()})
    return rows


@pytest.mark.parametrize(("clip", "tracker", "renderer"), RUNS)
def test_the_numbers_stand(clip, tracker, renderer):
    wanted = json.loads(FILE.read_text(encoding="utf-8"))[f"{clip} {tracker} {renderer}"]
    got = measured(clip, tracker, renderer)
    assert len(got) == len(wanted) == 3
    for now, then in zip(got, wanted, strict=True):
        np.testing.assert_allclose(now["xy_norm"], then["xy_norm"], rtol=0, atol=TOLERANCE_NORM)
        np.testing.assert_allclose(now["grey"], then["grey"], rtol=0, atol=TOLERANCE_GREY)


def main() -> None:
    """Write the golden numbers anew."""
    rows = {" ".join(run): measured(*run) for run in RUNS}
    lines = ",\n".join(f'"{name}": {json.dumps(row)}' for name, row in rows.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
