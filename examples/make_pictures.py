"""Draw the pictures of README and docs anew from the example: run after anything changes them.

Writes docs/pictures/overview.jpg (every stage at one moment) and strip.jpg (driver and result).
"""

from pathlib import Path

import numpy as np
from skimage import data

from hybridanim import io
from hybridanim.show import overview, sheet
from stages import Pipeline

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "pictures"
MOMENT = 70  # the frame of the overview
STRIP = (8, 32, 70, 84, 112, 140, 154, 176)  # neutral, turns, blink, nod, tilt, speech


def main(renderer: str = "warp") -> None:
    pipeline = Pipeline.load(size=400, renderer=renderer)
    source = pipeline.set_source(data.astronaut())
    cells, labels = [], []
    with io.open_source(HERE / "data" / "driving.mp4") as driving:
        for frame in driving:
            picture = pipeline.animate(frame.image, frame.time_s)
            if frame.index in STRIP:
                square = frame.image[40:400, 140:500]
                pair = sheet.resized(square, 200, 200), sheet.fit(picture, 200, 200)
                cells.append(np.vstack(pair))
                labels.append(f"{frame.time_s:.1f} s")
            if frame.index == MOMENT:
                _write_overview(pipeline, source)
    io.write_picture(PICTURES / "strip.jpg", sheet.strip(cells, labels, height_px=400))


def _write_overview(pipeline, source) -> None:
    pictures = overview.panels(pipeline.last, source, {})
    shapes = [picture.shape[:2] for picture in pictures.values()]
    names = tuple(stage.name for stage in pipeline.stages)
    image = overview.Overview(shapes, names)(pipeline.last, pictures)
    io.write_picture(PICTURES / "overview.jpg", image)


if __name__ == "__main__":
    main()
