"""Skin segmentation of photographs: F1 and IoU of the fixed and the adaptive colour model.

    python -m benchmarks.skin --data DIR --json OUT

DIR holds images/ and masks/ with the same stems; a mask is white where there is skin. Counts are
pooled over all pixels, and once more by tone: the individual typology angle (Chardon et al. 1991)
of the masked pixels. The mask is used for counting only, not to find the person.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from hybridanim.config import SegmentConfig
from hybridanim.errors import InputError
from hybridanim.io import is_picture, list_pictures, read_picture
from hybridanim.segmentation.still import segment_still
from hybridanim.types import Array

CLOUDS = ("fixed", "adaptive")
TONES = (  # name, least angle in degrees
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -90.0),
)


@dataclass
class Counts:
    """Pixels by agreement with the mask, for each cloud."""

    hits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLOUDS, 0))
    extra: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLOUDS, 0))
    missed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLOUDS, 0))
    pictures: int = 0

    def add(self, cloud: str, found: Array, truth: Array) -> None:
        """Count one picture; both arrays (H, W) bool."""
        self.hits[cloud] += int(np.count_nonzero(found & truth))
        self.extra[cloud] += int(np.count_nonzero(found & ~truth))
        self.missed[cloud] += int(np.count_nonzero(~found & truth))

    def f1(self, cloud: str) -> float:
        """Harmonic mean of precision and recall."""
        wrong = self.extra[cloud] + self.missed[cloud]
        return 2 * self.hits[cloud] / max(1, 2 * self.hits[cloud] + wrong)

    def iou(self, cloud: str) -> float:
        """Intersection over union."""
        wrong = self.extra[cloud] + self.missed[cloud]
        return self.hits[cloud] / max(1, self.hits[cloud] + wrong)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument("--json", type=Path, required=True, help="where the figures are written")
    given = parser.parse_args(arguments)
    try:
        figures = measure(pairs(given.data))
        write(given.json, figures)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(figures)
    return 0


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Picture and mask files, by name."""
    images, masks = folder / "images", folder / "masks"
    for part in (images, masks):
        if not part.is_dir():
            raise InputError(
                f"data: expected {part} to be a folder, got nothing there;"
                " give --data a folder that holds images/ and masks/"
            )
    by_stem = {path.stem: path for path in masks.iterdir() if is_picture(path)}
    found = list_pictures(images)
    lacking = [path.name for path in found if path.stem not in by_stem]
    if not found or lacking:
        raise InputError(
            f"data: expected a mask for each picture in {images},"
            f" got {f'none for {lacking[0]}' if lacking else 'no pictures'};"
            " give both the same stem"
        )
    return [(path, by_stem[path.stem]) for path in found]


def measure(files: list[tuple[Path, Path]]) -> dict:
    """The figures of a set, as they are written."""
    total = Counts()
    tones = {name: Counts() for name, _ in TONES}
    for image_path, mask_path in files:
        image, truth = read_picture(image_path), read_picture(mask_path)[..., 0] > 127
        if truth.shape != image.shape[:2]:
            raise InputError(
                f"mask {mask_path.name}: expected the picture's {image.shape[:2]},"
                f" got {truth.shape}; resize one of them"
            )
        tone = tones[tone_of(image, truth)]
        for counts in (total, tone):
            counts.pictures += 1
        for cloud in CLOUDS:
            found = segment_still(image, SegmentConfig(cloud=cloud)).mask > 0
            total.add(cloud, found, truth)
            tone.add(cloud, found, truth)
    figures: dict = {c: {"f1": total.f1(c), "iou": total.iou(c)} for c in CLOUDS}
    figures["tones"] = {
        name: {
            "f1": counts.f1("adaptive"),
            "f1_fixed": counts.f1("fixed"),
            "pictures": counts.pictures,
        }
        for name, counts in tones.items()
        if counts.pictures
    }
    return figures


def tone_of(image: Array, skin: Array) -> str:
    """Tone group of the median skin pixel."""
    pixels = image[skin] if skin.any() else image.reshape(-1, 3)
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0]
    light, _, yellow = np.median(lab, axis=0)
    angle_deg = np.degrees(np.arctan2(light - 50, max(yellow, 1e-3)))
    return next(name for name, least in TONES if angle_deg >= least or name == TONES[-1][0])


def write(path: Path, figures: dict) -> None:
    try:
        path.write_text(json.dumps(figures, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"json: expected a place to write {path}, got '{error.strerror}'; choose another --json"
        ) from error


def show(figures: dict) -> None:
    print(f"{'':14}{'F1':>7}{'IoU':>7}")
    for cloud in CLOUDS:
        print(f"{cloud:14}{figures[cloud]['f1']:7.3f}{figures[cloud]['iou']:7.3f}")
    print(f"\n{'tone':14}{'F1':>7}{'fixed':>7}{'pictures':>10}")
    for name, row in figures["tones"].items():
        print(f"{name:14}{row['f1']:7.3f}{row['f1_fixed']:7.3f}{row['pictures']:10}")


if __name__ == "__main__":
    sys.exit(main())
