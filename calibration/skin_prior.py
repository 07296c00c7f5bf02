"""Make the generic skin colour model, hybridanim/weights/skin_prior.safetensors, from face clips.

    python -m calibration.skin_prior CLIPS --output skin_prior.safetensors

In each clip two frames are searched for a face. Its middle is skin; what lies next to and above the
head is not. Both are relit (exposure and colour temperature), and faces are weighted so that each
tone group counts alike, because most footage shows light skin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save

from hybridanim import command_line, paths
from hybridanim.errors import InputError
from hybridanim.face.cascade import detect_faces
from hybridanim.io import open_source
from hybridanim.segmentation import skin_model
from hybridanim.types import Array, FaceBox

_EXPOSURES = (0.55, 0.75, 1.0, 1.25)
_TEMPERATURES = ((1.0, 1.0, 1.0), (1.07, 1.0, 0.93), (0.94, 1.0, 1.06))
_TONE_EDGES_DEG = (-30.0, 10.0, 28.0, 41.0, 55.0)
_LEAST_GROUP = 10  # a group of fewer faces counts less, or one face would stand for many people


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0, or 2 with one line on stderr when the clips cannot be used."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.skin_prior", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("clips", type=Path, help="folder of clips, each of one face")
    parser.add_argument("--output", type=Path, required=True, help="file to write, .safetensors")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    return parser


def _run(given: argparse.Namespace) -> int:
    paths.refuse_replacing([("--output", given.output)], [given.clips], overwrite=given.overwrite)
    samples = list(sample(sorted(given.clips.glob("*.mp4"))))
    if not samples:
        raise InputError(
            f"clips: expected mp4 files with faces in {given.clips}, got none; check the folder"
        )
    skin, other = build(samples)
    data = save({"skin": skin_model.pack(skin), "other": skin_model.pack(other)})
    paths.write_whole("--output", given.output, data, overwrite=given.overwrite)
    print(f"{given.output}: {len(samples)} faces")
    return 0


def sample(clips: list[Path]) -> Iterator[tuple[Array, Array]]:
    """(N, 3) uint8 RGB of skin and (M, 3) of other things, for each face found."""
    generator = np.random.default_rng(0)
    for clip in clips:
        with open_source(clip) as frames:
            images = [frame.image for frame in frames]
        for image in (images[len(images) // 5], images[4 * len(images) // 5]):
            faces = detect_faces(image, min_frac=0.2, max_side_px=256)
            if not faces:
                continue
            skin, other = areas(image, faces[0])
            if len(skin) and len(other) >= 800:
                yield (
                    skin[generator.integers(0, len(skin), 400)],
                    other[generator.integers(0, len(other), 800)],
                )


def areas(image: Array, face: FaceBox) -> tuple[Array, Array]:
    """RGB pixels of the face's middle, and of what is next to and above the head."""
    y_px, x_px = np.mgrid[: image.shape[0], : image.shape[1]]
    x, y = face.center_xy_px
    dx, dy = (x_px - x) / face.width_px, (y_px - y) / face.height_px
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV)
    other = ((np.abs(dx) > 0.8) & (dy < 0.45)) | (dy < -1.0)
    return image[skin_model.face_pixels(yuv, face) > 0], image[other]


def build(samples: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Histograms of skin and of everything else, over all lights, the tones weighted alike."""
    groups = [int(np.digitize(tone_deg(skin), _TONE_EDGES_DEG)) for skin, _ in samples]
    sizes = np.bincount(groups, minlength=len(_TONE_EDGES_DEG) + 1)
    skin_counts = np.zeros(skin_model.BINS, np.float64)
    other_counts = np.zeros(skin_model.BINS, np.float64)
    for (skin, other), group in zip(samples, groups, strict=True):
        skin_counts += _relit_counts(skin) / max(sizes[group], _LEAST_GROUP)
        other_counts += _relit_counts(other)
    smooth_other = skin_model.smooth(other_counts, (0.8, 0.8))
    return skin_model.smooth(skin_counts, (1.0, 0.8)), 0.9 * smooth_other + 0.1 / smooth_other.size


def tone_deg(skin: Array) -> float:
    """Individual typology angle of the median pixel of (N, 3) uint8 RGB skin."""
    lab = cv2.cvtColor(skin[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0]
    light, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(light - 50, max(yellow, 1e-3))))


def _relit_counts(pixels: Array) -> Array:
    counts = np.zeros(skin_model.BINS, np.float64)
    for exposure in _EXPOSURES:
        for gains in _TEMPERATURES:
            lit = pixels[None] * (exposure * np.array(gains, np.float32)) + 0.5
            yuv = cv2.cvtColor(np.clip(lit, 0, 255).astype(np.uint8), cv2.COLOR_RGB2YUV)
            counts += skin_model.histogram(yuv, blur=(0.0, 0.0))
    return counts


if __name__ == "__main__":
    sys.exit(main())
