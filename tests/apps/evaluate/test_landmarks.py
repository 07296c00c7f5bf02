"""``evaluate landmarks`` on a drawn clip whose labels are the first frame's, moved as the clip."""

import csv
import json
from fractions import Fraction

import numpy as np
import pytest

from apps.evaluate.command import command
from apps.evaluate.landmarks import evaluate_landmarks
from apps.evaluate.landmarks_clips import labels_in_view
from apps.evaluate.landmarks_job import LandmarksJob
from hybridanim import Pipeline, io
from hybridanim.errors import InputError
from hybridanim.evaluation.landmark_errors import NUMBERS
from hybridanim.evaluation.mesh_signals import eye_distance
from hybridanim.face import mesh_labels
from hybridanim.prepare.view import View
from tests import synthetic

COUNT = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Clips and labels: one as it is, one with labels of another clip, one without."""
    clips, labels = tmp_path_factory.mktemp("clips"), tmp_path_factory.mktemp("labels")
    picture = synthetic.photograph(240)
    affines = synthetic.wandering_affines(COUNT, 240, seed=3)
    frames = synthetic.moved_picture(picture, affines).frames
    for name in ("a", "b", "c"):
        with io.open_sink(clips / f"{name}.mp4", Fraction(25), (240, 240)) as sink:
            for index, image in enumerate(frames):
                sink.write(image, index / 25)
    first = Pipeline.load(crop="none", size=240).set_source(picture).landmarks_xy_px
    mesh = np.random.default_rng(0).uniform(60, 180, (478, 2))
    mesh[NUMBERS] = first
    xy = np.array([mesh @ a[:, :2].T + a[:, 2] + 0.5 for a in affines])
    points = np.concatenate([xy, np.zeros((COUNT, 478, 1))], -1).astype(np.float32)
    np.save(labels / "a.npy", points)
    np.save(labels / "b.npy", points[:-2])
    return clips, labels


@pytest.fixture(scope="module")
def measured(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    job = LandmarksJob(
        *folders, tracker="classical,learned", json=out / "l.json", csv=out / "l.csv"
    )
    return evaluate_landmarks(job), job


def test_landmarks_that_move_with_the_clip_are_near(measured):
    found = measured[0]["trackers"]["classical"]
    assert found["found"] == 1 and found["frames"] == COUNT
    assert found["points"] < 2 and found["roll_turn_deg"] < 2  # the clip shears a little, too


def test_labels_shifted_by_a_twentieth_are_five_percent_off(folders, tmp_path, measured):
    clips, labels = folders
    points = np.load(labels / "a.npy")
    points[..., 0] += 0.2 * eye_distance(points)[:, None]
    np.save(tmp_path / "a.npy", points)
    found = evaluate_landmarks(LandmarksJob(clips, tmp_path))["trackers"]["classical"]
    assert found["points"] == pytest.approx(20, abs=2)
    assert found["mouth"] == pytest.approx(measured[0]["trackers"]["classical"]["mouth"], abs=1e-4)


def test_a_learned_tracker_is_measured_by_its_fitted_face(measured):
    found = measured[0]["trackers"]["learned"]
    assert found["found"] == 1 and found["points"] < 2


def test_clips_that_were_left_out_are_named(measured):
    assert list(measured[0]["per_clip"]) == ["a.mp4"]
    assert len(measured[0]["skipped"]) == 2
    assert "b.mp4" in measured[0]["skipped"][0] and "24 frames" in measured[0]["skipped"][0]
    assert measured[0]["skipped"][1] == "c.mp4: no labels"


def test_json_and_csv_hold_what_was_found(measured):
    result, job = measured
    assert json.loads(job.json.read_text()) == result
    with job.csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["clip"], row["tracker"]) for row in rows] == [
        ("a.mp4", "classical"),
        ("a.mp4", "learned"),
    ]
    assert float(rows[0]["points"]) == result["per_clip"]["a.mp4"]["classical"]["points"]
    assert float(rows[1]["points"]) < 2
    with pytest.raises(InputError, match="--overwrite"):
        evaluate_landmarks(job)


def test_the_word_prints_its_tables(folders, capsys):
    clips, labels = folders
    words = ["landmarks", "--clips", str(clips), "--labels", str(labels), "--frames", "5"]
    assert command(words) == 0
    said = capsys.readouterr().out
    assert "landmarks: 2 clips, 10 frames" in said  # five frames of b have labels
    assert "points %" in said and "\nclassical " in said and "c.mp4: no labels" in said


@pytest.mark.parametrize(
    "array", [np.zeros((3, 468, 3), np.float32), np.zeros((3, 478, 3), int), np.array([{}])]
)
def test_other_files_are_no_labels(tmp_path, array):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match="label the clip again"):
        mesh_labels.read(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", a=1)
    (tmp_path / "b.npz").rename(tmp_path / "a.npy")
    with pytest.raises(InputError, match="an archive"):
        mesh_labels.read(tmp_path / "a.npy")


def test_labels_of_corners_are_corners_in_the_view():
    view = View(10, 20, 100, 60, 0.5)
    corners = np.array([[[10, 20, 4], [110, 80, -6]]], float)  # the view's own outer edges
    expected = [[[-0.5, -0.5, 2], [49.5, 29.5, -3]]]
    np.testing.assert_allclose(labels_in_view(corners, view), expected)


def test_what_cannot_be_measured_is_refused(folders, tmp_path):
    clips, labels = folders
    with pytest.raises(InputError, match="classical,learned,hybrid"):
        LandmarksJob(clips, labels, tracker="classical,optical")
    with pytest.raises(InputError, match="--labels"):
        LandmarksJob(clips, tmp_path / "nothing")
    with pytest.raises(InputError, match="face_labels"):
        evaluate_landmarks(LandmarksJob(clips, tmp_path))
