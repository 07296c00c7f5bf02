"""Small files as people have them, each of which was read wrongly once."""

from pathlib import Path

import numpy as np
import pytest

from hybridanim import io
from hybridanim.face import face_model
from stages.pipeline import Pipeline

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases")


def test_transparency_changes_no_colour_of_adobe_rgb():
    plain, clear = (io.read_picture(CASES / f"adobergb_{kind}.png") for kind in ("rgb", "rgba"))
    assert plain.shape == clear.shape
    assert np.abs(plain.astype(int) - clear[..., :3]).max() <= 2


def test_every_picture_of_an_animation_is_a_frame():
    with io.open_source(CASES / "animated_driver.webp") as reader:
        frames = list(reader)
    assert len(frames) == 24
    assert np.abs(frames[0].image.astype(int) - frames[-1].image).max() > 20
    times = [frame.time_s for frame in frames]
    assert np.diff(times) == pytest.approx(1 / 12, abs=0.002)


def test_a_face_keeps_its_proportions_where_the_size_changes():
    pipeline, shapes, ratios = Pipeline.load(), [], []
    with io.open_source(CASES / "size_changes.ts") as reader:
        for frame in reader:
            face = pipeline.observe(frame.image, frame.time_s).face
            assert face is not None
            xy = face.pose.project(face_model.load().vertices_of(face))[:, :2]
            ratios.append(np.ptp(xy[:, 0]) / np.ptp(xy[:, 1]))
            shapes.append(frame.image.shape)
    assert len(set(shapes)) == 1
    third = len(ratios) // 3
    assert np.median(ratios[-third:]) == pytest.approx(np.median(ratios[:third]), rel=0.05)
