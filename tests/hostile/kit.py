"""Whole small files, of which the corpus makes damaged ones."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from hybridanim import Pipeline, io
from hybridanim.profiles import CameraProfile, SkinProfile, TrackerProfile, save_profile
from tests import synthetic
from tests.io_clips import write_clip

SIDE = 128
FRAMES = 8
SKIN = SkinProfile((1.0,), ((150.0, 105.0, 160.0),), ((400.0, 0.0, 0.0, 30.0, 0.0, 30.0),))
CAMERA = CameraProfile(600.0, 600.0, 319.5, 239.5, (640, 480))
TRACKER = TrackerProfile("shi-tomasi", 120, 15, 3, 1.0)


def make(folder: Path) -> None:
    """Write pictures, clips, profiles and settings into the folder."""
    picture = synthetic.photograph(SIDE)
    for ending in ("png", "jpg", "webp", "bmp", "tiff"):
        io.write_picture(folder / f"source.{ending}", picture)
    moved = synthetic.moved_picture(picture, synthetic.wandering_affines(FRAMES, SIDE, seed=2))
    images = [np.ascontiguousarray(image) for image in moved.frames]
    write_clip(folder / "driving.mp4", images, container={"movflags": "+faststart"})
    for ending in ("mkv", "avi"):
        write_clip(folder / f"driving.{ending}", images)
    with io.open_sink(folder / "driving.gif", Fraction(25), (SIDE, SIDE)) as sink:
        for image in images:
            sink.write(image)
    (folder / "pictures").mkdir()
    for number, image in enumerate(images[:3]):
        io.write_picture(folder / "pictures" / f"{number}.png", image)
    (folder / "clips").mkdir()
    for name in ("a", "b"):
        shutil.copy(folder / "driving.mp4", folder / "clips" / f"{name}.mp4")
    save_profile(SKIN, folder / "skin.toml")
    save_profile(CAMERA, folder / "camera.toml")
    save_profile(TRACKER, folder / "tracker.toml")
    (folder / "job.toml").write_text('size = 64\nmark = false\n[keypoints]\nmotion = "absolute"\n')
    save_file({"a": np.zeros((2, 2), np.float32)}, folder / "foreign.safetensors")
    pipeline = Pipeline.load(size=64)
    pipeline.set_source(picture)
    with pipeline.record(folder / "motion.safetensors", Fraction(25)):
        for image in images:
            pipeline.animate(image)
    (folder / "user.txt").write_text("years of work")
