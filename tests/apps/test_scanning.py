"""The scan before a run: which side of the driving video is up, and who it is that drives."""

from pathlib import Path

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
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
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


def width_px(picture, source):
    """Width of the face in a result beside the eyes, where the bones are: no mouth changes it."""
    scale = len(picture) / source.crop.side_px
    side = scale * source.head.size_px
    x, y = scale * (np.array(source.head.center_xy_px) - [source.crop.x_px, source.crop.y_px])
    box = FaceBox(x - side / 2, y - side / 2, side, side)
    fit = aligner.load().fit(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), box)
    temples = fit.xy_px[list(GROUPS["temples"]), 0]
    return np.ptp(temples)


def sizes(results, source):
    """Size of the result's head in each frame, relative to the source's: the mesh, not its skin."""
    own = 2 * source.face.pose.scale_px / source.crop.side_px  # a crop reaches from -1 to 1
    heads = [result.points.head for result in results]
    return np.array([1.0 if head is None else head.pose.scale_px / own for head in heads])


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
    expected, width = eyes_px(source.image, source), width_px(source.image, source)
    for number, result in enumerate(results):
        picture = result.picture.image
        if number < NOBODY:
            assert result.points.is_frozen
            assert np.abs(picture.astype(int) - source.image).mean() < 0.5
        elif number >= NOBODY + ENTERS + 4:
            assert not result.points.is_frozen
            assert eyes_px(picture, source) == pytest.approx(expected, rel=0.05), number
            assert width_px(picture, source) == pytest.approx(width, rel=0.05), number


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


@pytest.mark.parametrize("tracker", ["classical", "hybrid"])
def test_who_leaves_takes_neither_size_nor_shoulders_along(tracker, talking, tmp_path):
    """Half a face at the edge is fitted too large; the last whole one counts."""

    def pictures():
        wall = synthetic.textured(*talking[0].shape[:2], seed=3) // 2 + 90
        yield from talking[:8]
        for way in np.linspace(0, 1, 10)[1:]:
            image, gone = wall.copy(), round(way * wall.shape[1])
            image[:, gone:] = talking[8][:, : wall.shape[1] - gone]
            yield image
        yield from [wall] * 4

    job = RenderJob(pipeline=pipeline_config({"size": 128, "tracker": tracker}))
    driver = VideoDriver(folder_of(tmp_path, pictures()), job, pipeline_of(job))
    with driver.opened():
        results = [result for _, result in driver.animated()]
    assert sizes(results, driver._pipeline.source) == pytest.approx(1, abs=0.05)
    for result in results:  # the chest is never stretched
        if result.points.head is not None:
            stretch = np.linalg.svd(result.points.head.body[:, :2])[1]
            assert stretch == pytest.approx(1, abs=0.06)
    assert results[-1].points.is_frozen


@pytest.mark.skipif(not CASES.exists(), reason="needs ../shared/cases")
@pytest.mark.parametrize("tracker", ["classical", "hybrid"])
def test_a_real_person_who_walks_in_and_out_keeps_the_face_s_size(tracker):
    job = RenderJob(pipeline=pipeline_config({"size": 128, "tracker": tracker}))
    driver = VideoDriver(CASES / "face_enters_late.mp4", job, pipeline_of(job))
    source = driver._pipeline.source
    with driver.opened():
        results = [result for _, result in driver.animated()]
    assert sizes(results, source) == pytest.approx(1, abs=0.05)
    assert all(result.points.is_frozen for result in results[:25])
    assert not any(result.points.is_frozen for result in results[45:100])
    width = width_px(source.image, source)
    found = [width_px(result.picture.image, source) / width for result in results[48:100:4]]
    assert found == pytest.approx([1] * len(found), abs=0.05)


def other_person(size=240):
    return [frame.image for frame in synthetic.driving_head(4.3, 24, size, tone="dark")]


def test_a_still_face_larger_than_the_driver_s_is_a_picture(talking, tmp_path):
    poster = cv2.resize(other_person()[0], (360, 360), interpolation=cv2.INTER_CUBIC)

    def pictures():
        for one in talking:
            image = np.full((360, 600, 3), 150, np.uint8)
            image[:, :360], image[120:, 360:] = poster, one
            yield image

    driver = VideoDriver(folder_of(tmp_path, pictures()), JOB, pipeline_of())
    assert "never moves and is taken as a picture" in driver.notes[0]
    with driver.opened():
        heads = [result.tracks.head for _, result in driver.animated()]
    view = driver._pipeline.view
    for head in heads:
        x = head.center_xy_px[0] / view.scale + view.x_px
        assert 400 < x < 560
    plain = VideoDriver(folder_of(tmp_path, talking), JOB, pipeline_of())
    assert plain.notes == []


def test_several_people_are_told_of(talking, tmp_path):
    both = [np.hstack(two) for two in zip(talking, other_person(), strict=True)]
    driver = VideoDriver(folder_of(tmp_path, both), JOB, pipeline_of())
    assert [note[:40] for note in driver.notes] == ["The driving video shows several faces; o"]


def test_another_shot_with_another_size_is_told_of(talking, tmp_path):
    far = np.full((24, 240, 240, 3), 30, np.uint8)
    far[:, 40:210, 30:200] = other_person(170)
    driver = VideoDriver(folder_of(tmp_path, [*talking, *far]), JOB, pipeline_of())
    assert "changes to another shot by" in driver.notes[0]
    assert "the result keeps its own size" in driver.notes[0]


def test_the_reference_is_one_of_the_first_shot(talking, tmp_path):
    """In the second one the source itself is seen, smaller; the head would be larger before it."""
    far = np.full((24, 240, 240, 3), 30, np.uint8)
    far[:, 40:210, 30:200] = synthetic.photograph(170)
    path = folder_of(tmp_path, [*talking, *far])
    pipeline = pipeline_of()
    driver = VideoDriver(path, JOB, pipeline)
    assert "changes to another shot by" in driver.notes[0]
    sizes = []
    with driver.opened():
        for _, result in driver.animated():
            sizes.append(result.points.head.pose.scale_px)
    own = pipeline.source.face.pose.scale_px * 2 / pipeline.source.crop.side_px
    assert np.median(sizes[: len(talking)]) == pytest.approx(own, rel=0.1)
    assert np.median(sizes[-8:]) == pytest.approx(own, rel=0.05)
