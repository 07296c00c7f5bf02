"""The scan before a run: which side of the driving video is up, and who it is that drives."""

import cv2
import numpy as np
import pytest

from apps import scanning
from apps.driving import VideoDriver
from hybridanim import io
from hybridanim.config import RenderJob, pipeline_config
from hybridanim.errors import InputError
from hybridanim.face import aligner
from hybridanim.face.aligner import GROUPS
from hybridanim.geometry import turned
from hybridanim.profiles import Profiles
from hybridanim.types import FaceBox
from stages.pipeline import build
from tests import synthetic

JOB = RenderJob(pipeline=pipeline_config({"size": 128, "renderer": "warp"}))
NOBODY, ENTERS, STANDS = 12, 8, 16  # frames, 25 a second


def pipeline_of(job=JOB, picture=None):
    pipeline = build(job.pipeline, Profiles())
    pipeline.set_source(synthetic.photograph(256) if picture is None else picture)
    return pipeline


def folder_of(path, pictures):
    for number, picture in enumerate(pictures):
        io.write_picture(path / f"{number:03d}.png", picture)
    return path


@pytest.fixture(scope="module")
def talking():
    return [frame.image for frame in synthetic.driving_head(0.0, 24)]


@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_driver_on_its_side_is_turned_upright(talking, turn_deg, tmp_path):
    path = folder_of(tmp_path, [turned(one, turn_deg) for one in talking])
    driver = VideoDriver(path, JOB, pipeline_of())
    back = (360 - turn_deg) % 360
    pose = "upside down" if turn_deg == 180 else "on their side"
    assert driver.notes == [
        f"The driving video was turned by {back} degrees clockwise: as it is, its faces are {pose}."
    ]
    with driver.opened() as drive:
        assert drive.size == talking[0].shape[1::-1]
        frame, results = next(driver.animated())
    np.testing.assert_array_equal(frame.image, talking[0])
    assert not results.points.is_frozen


def test_an_upright_driver_is_looked_at_upright_alone(talking, tmp_path, monkeypatch):
    monkeypatch.setattr(scanning.driver_scan, "turn_of", pytest.fail)
    scan = scanning.upright(folder_of(tmp_path, talking), JOB, pipeline_of())
    assert scan.turn_deg == 0 and scan.share == 1


def test_a_driver_without_a_face_is_refused_before_the_run(tmp_path):
    path = folder_of(tmp_path, [synthetic.textured(160, 200, seed) for seed in range(3)])
    with pytest.raises(InputError, match=r"expected a face, found none in .*, upright or turned"):
        VideoDriver(path, JOB, pipeline_of())


def eyes_px(picture, source):
    """Distance of the outer corners of the eyes in a result, by the landmark fitter."""
    scale = len(picture) / source.crop.side_px
    side = scale * source.head.size_px
    x, y = scale * (np.array(source.head.center_xy_px) - [source.crop.x_px, source.crop.y_px])
    box = FaceBox(x - side / 2, y - side / 2, side, side)
    fit = aligner.load().fit(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), box)
    assert fit.confidence > 0.8
    both = fit.xy_px[[*GROUPS["left_eye"], *GROUPS["right_eye"]], 0]
    return np.ptp(both)


def walks_in(pictures):
    """Nobody, then a person who walks in from the left, and stands still, before a wall."""
    wall = synthetic.textured(*pictures[0].shape[:2], seed=3) // 2 + 90
    for number in range(NOBODY + ENTERS + STANDS):
        image, width = wall.copy(), wall.shape[1]
        way = np.clip((number - NOBODY + 1) / ENTERS, 0, 1)
        shown = round(way * width)
        if shown:
            image[:, :shown] = pictures[max(0, number - NOBODY - ENTERS)][:, width - shown :]
        yield image


@pytest.mark.parametrize("tracker", ["classical", "hybrid"])
def test_who_enters_late_is_the_driver_and_the_face_keeps_its_size(tracker, talking, tmp_path):
    job = RenderJob(pipeline=pipeline_config({"size": 128, "tracker": tracker}))
    pipeline = pipeline_of(job)
    driver = VideoDriver(folder_of(tmp_path, walks_in(talking)), job, pipeline)
    source = pipeline.source
    with driver.opened():
        results = [result for _, result in driver.animated()]
    expected = eyes_px(source.image, source)
    for number, result in enumerate(results):
        picture = result.picture.image
        if number < NOBODY:
            assert result.points.is_frozen
            assert np.abs(picture.astype(int) - source.image).mean() < 0.5
        elif number >= NOBODY + ENTERS + 4:
            assert not result.points.is_frozen
            assert eyes_px(picture, source) == pytest.approx(expected, rel=0.05), number


@pytest.mark.parametrize("tracker", ["classical", "hybrid"])
def test_the_driver_is_followed_and_not_a_face_on_the_wall(tracker, talking, tmp_path):
    poster = cv2.resize(synthetic.photograph(256)[10:150, 40:180], (84, 84))

    def pictures():
        for image in walks_in(talking):
            image = np.hstack([image, image[:, :100]])  # more wall
            image[20:104, 245:329] = poster
            yield image

    job = RenderJob(pipeline=pipeline_config({"size": 128, "tracker": tracker}))
    driver = VideoDriver(folder_of(tmp_path, pictures()), job, pipeline_of(job))
    with driver.opened():
        heads = [result.tracks.head for _, result in driver.animated()]
        place = driver._pipeline.view.inside(np.array([120.0, 110.0]))
    for head in heads[NOBODY + ENTERS + 10 :]:
        assert np.linalg.norm(np.subtract(head.center_xy_px, place)) < 0.6 * head.size_px
