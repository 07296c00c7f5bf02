"""Detail of results at 512x512, compared with 256x256 enlarged, for known motions.

    python -m benchmarks.sharpness [PICTURE ...] --json OUT [--sheet PICTURE.png]

Each picture (the astronaut without any) is animated as a whole by the example clip. The truth of a
frame is the 512x512 source moved by that frame's flow with a spline of fifth order, which neither
method uses; compared inside the person, where nothing is occluded. Detail is the energy of the
Laplacian, as a share of the truth's. The learned renderer changes the face, so its detail is given
as a share of the source's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from apps.terminal import example_source
from hybridanim import io
from hybridanim.files import EXAMPLE_DRIVING
from hybridanim.rendering import warp
from hybridanim.types import Array, DenseMotion
from stages.pipeline import Pipeline

LARGE, SMALL = 512, 256
FRAMES = range(12, 121, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="*", help="of 512 pixels and more")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--sheet", type=Path, help="truth, 512, 256 enlarged; of the last picture")
    given = parser.parse_args()
    rows = []
    for path in given.pictures or [example_source()]:
        rows.append({"picture": path.name, **compare(io.read_picture(path), given.sheet)})
        print(json.dumps(rows[-1]), file=sys.stderr)
    names = [name for name in rows[0] if name != "picture"]
    mean = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in names}
    print(json.dumps(mean))
    if given.json:
        given.json.write_text(json.dumps({"mean": mean, "pictures": rows}, indent=1) + "\n")


def compare(picture: Array, sheet: Path | None) -> dict[str, Any]:
    """PSNR and detail of both sizes, means over frames."""
    made = {(r, n): animated(picture, r, n) for r in ("warp", "learned") for n in (LARGE, SMALL)}
    pipeline, motions, large = made["warp", LARGE]
    source = pipeline.source
    assert source is not None
    prepared = warp.prepare(source, pipeline.config.render)
    figures: dict[str, list[float]] = {}
    for index, motion in enumerate(motions):
        truth = moved(source.image, flow_px(prepared, motion))
        inside = moved(source.subject, flow_px(prepared, motion), order=1) > 0.99
        inside &= cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        small = enlarged(made["warp", SMALL][2][index])
        for name, image in (("512", large[index]), ("256_enlarged", small)):
            _add(figures, f"psnr_{name}", psnr(image, truth, inside))
            _add(figures, f"detail_{name}", detail(image, inside) / detail(truth, inside))
        of_source = detail(source.image, source.subject > 0.99)
        for name, image in (
            ("512", made["learned", LARGE][2][index]),
            ("256_enlarged", enlarged(made["learned", SMALL][2][index])),
        ):
            _add(figures, f"learned_detail_{name}", detail(image, inside) / of_source)
        if sheet is not None and index == len(motions) // 2:
            learned = made["learned", LARGE][2][index]
            write_sheet(sheet, source, [truth, large[index], small, learned])
    return {name: round(float(np.mean(values)), 3) for name, values in figures.items()}


def animated(picture: Array, renderer: str, size: int) -> tuple[Pipeline, list, list[Array]]:
    """The pipeline, and motion and picture of every chosen frame."""
    pipeline = Pipeline.load(renderer=renderer, size=size, crop="none")
    pipeline.set_source(picture)
    motions, pictures = [], []
    with io.open_source(EXAMPLE_DRIVING) as reader:
        for frame, _ in zip(reader, range(FRAMES.stop), strict=False):
            image = pipeline.animate(frame.image, frame.time_s)
            if frame.index in FRAMES and pipeline.last is not None:
                motions.append(pipeline.last.motion)
                pictures.append(image)
    return pipeline, motions, pictures


def flow_px(prepared: warp.Prepared, motion: DenseMotion) -> list[Array]:
    flow = warp._pinned_flow(motion, prepared)
    return warp._upsampled(flow * (LARGE / 2), LARGE)


def moved(image: Array, flow: list[Array], order: int = 5) -> Array:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    places = [y + flow[1], x + flow[0]]
    parts = image[..., None] if image.ndim == 2 else image
    found = [
        ndimage.map_coordinates(parts[..., n].astype(float), places, order=order, mode="nearest")
        for n in range(parts.shape[2])
    ]
    return np.squeeze(np.stack(found, -1))


def enlarged(image: Array) -> Array:
    return cv2.resize(image, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC)


def psnr(image: Array, truth: Array, inside: Array) -> float:
    error = np.square(image.astype(float) - np.clip(truth, 0, 255))[inside].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def detail(image: Array, inside: Array) -> float:
    """Mean square of the Laplacian of the grey picture, inside."""
    grey = image.astype(np.float32).mean(axis=2)
    return float(np.square(cv2.Laplacian(grey, cv2.CV_32F))[inside].mean())


def write_sheet(path: Path, source: Any, images: list[Array]) -> None:
    """The face, side by side, at twice its size."""
    x, y = source.head.center_xy_px
    half = int(0.6 * source.head.size_px)
    rows = slice(max(0, int(y) - half), int(y) + half)
    columns = slice(max(0, int(x) - half), int(x) + half)
    parts = [np.clip(np.rint(i), 0, 255).astype(np.uint8)[rows, columns] for i in images]
    sheet = np.hstack(parts)
    double = (sheet.shape[1] * 2, sheet.shape[0] * 2)
    io.write_picture(path, cv2.resize(sheet, double, interpolation=cv2.INTER_NEAREST))


def _add(figures: dict[str, list[float]], name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)


if __name__ == "__main__":
    main()
