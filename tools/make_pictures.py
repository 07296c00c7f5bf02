"""Draw the pictures of README and docs anew from the example: run after anything changes them.

Writes docs/pictures/overview.jpg (every stage at one moment), strip.jpg: the driver, and the
astronaut moved by the warp and by the default renderer, and texture.jpg:
her brows and chin put right by python -m calibration.texture, which `--texture` draws alone.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from skimage import data

from calibration import texture
from hybridanim import files, io
from hybridanim.resampling import resized
from hybridanim.visualization import overview, sheet
from stages.pipeline import Pipeline

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
MOMENT = 70  # the frame of the overview
STRIP = (8, 32, 70, 84, 112, 140, 154, 176)  # neutral, turns, blink, nod, tilt, speech
PUT_RIGHT = (
    *("left_brow_outer=190,91", "left_brow_middle=199,88", "left_brow_inner=213,92.5"),
    *("right_brow_inner=238,93.5", "right_brow_middle=253,91.5", "right_brow_outer=266,96"),
    "chin=222,177",
)  # of the astronaut


def main() -> None:
    _write_texture()
    if "--texture" in sys.argv:
        return
    rows = [_results(renderer) for renderer in ("warp", "painted")]
    drivers = {moment: frame for moment, (frame, _) in rows[0].items()}
    cells = [np.vstack([drivers[moment], *(row[moment][1] for row in rows)]) for moment in drivers]
    labels = [f"{moment / 30:.1f} s" for moment in drivers]
    io.write_picture(PICTURES / "strip.jpg", sheet.row(cells, labels, height_px=600))


def _write_texture() -> None:
    with tempfile.TemporaryDirectory() as folder:
        face, points, turned = (Path(folder) / name for name in ("face.png", "a.png", "b.png"))
        io.write_picture(face, data.astronaut())
        words = [word for point in PUT_RIGHT for word in ("--point", point)]
        outputs = [
            "--output",
            f"{folder}/t.toml",
            "--picture",
            str(points),
            "--preview",
            str(turned),
        ]
        if texture.main([str(face), *outputs, *words]):
            sys.exit(1)
        cells = [io.read_picture(points), io.read_picture(turned)]
        io.write_picture(PICTURES / "texture.jpg", sheet.row(cells, height_px=560))


def _results(renderer: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Driver and result at each moment of the strip; the overview on the way."""
    pipeline = Pipeline.load(size=400, renderer=renderer)
    source = pipeline.set_source(data.astronaut())
    found = {}
    with io.open_source(files.EXAMPLE_DRIVING) as driving:
        for frame in driving:
            picture = pipeline.animate(frame.image, frame.time_s)
            if frame.index in STRIP:
                square = frame.image[40:400, 140:500]
                pair = resized(square, 200, 200), sheet.fit(picture, 200, 200)
                found[frame.index] = pair
            if frame.index == MOMENT and renderer == "painted":
                _write_overview(pipeline, source)
            if frame.index > max(STRIP):
                break
    return found


def _write_overview(pipeline, source) -> None:
    pictures = overview.panels(pipeline.last, source, {})
    shapes = [picture.shape[:2] for picture in pictures.values()]
    names = tuple(stage.name for stage in pipeline.stages)
    image = overview.Overview(shapes, names)(pipeline.last, pictures)
    io.write_picture(PICTURES / "overview.jpg", image)


if __name__ == "__main__":
    main()
