"""A motion file replays as the video does: to the last bit of every picture."""

from __future__ import annotations

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.motion import replay
from hybridanim.motion.motion_file import Motion
from stages.pipeline import Pipeline
from tests import synthetic

FRAMES, SCANNED = 8, (0, 3, 6)


@pytest.fixture(scope="module")
def clip():
    picture = synthetic.photograph(256)
    affines = synthetic.wandering_affines(FRAMES, 256, seed=4, strength=2.0)
    return [
        np.ascontiguousarray(image) for image in synthetic.moved_picture(picture, affines).frames
    ]


@pytest.fixture(scope="module")
def observations(clip):
    pipeline = Pipeline.load(size=64)
    found = [pipeline.detect(clip[i], i, i / 30) for i in SCANNED]
    assert all(one is not None and one.is_clear for one in found)
    return found


def other_source():
    return synthetic.photograph(256)[:, ::-1].copy()


def from_video(clip, observations, source, reference=None, path=None, **options):
    """Pictures of a run from the video, which also writes a motion file if there is a path."""
    pipeline = Pipeline.load(size=96, **options)
    pipeline.set_source(source)
    pipeline.use_scan(observations, 256, 256)
    if reference is not None:
        assert pipeline.set_reference(clip[observations[reference].index], observations[reference])
    if path is None:
        return [pipeline.animate(image) for image in clip]
    with pipeline.record(path):
        return [pipeline.animate(image) for image in clip]


@pytest.fixture(scope="module")
def saved(clip, observations, tmp_path_factory):
    """A motion file, and the pictures of the run that wrote it."""
    path = tmp_path_factory.mktemp("motion") / "m.safetensors"
    pictures = from_video(clip, observations, synthetic.photograph(256), path=path)
    return Motion.load(path), pictures


def replayed(motion, source, reference="first", /, **options):
    pipeline = Pipeline.load(size=96, **options)
    pipeline.set_source(source)
    return list(pipeline.replay(motion, reference))


def test_saving_changes_nothing(clip, observations, saved):
    plain = from_video(clip, observations, synthetic.photograph(256))
    np.testing.assert_array_equal(saved[1], plain)


def test_the_same_source(saved):
    motion, pictures = saved
    np.testing.assert_array_equal(replayed(motion, synthetic.photograph(256)), pictures)
    assert np.abs(np.diff(np.array(pictures, np.int16), axis=0)).max() > 50  # it does move


@pytest.mark.parametrize(
    "options",
    [
        {"motion": "absolute"},
        {"head_motion": "2d"},
        {"background": "follow"},
        {"scale": 1.6, "smooth": 0.8},
    ],
    ids=lambda options: ",".join(options),
)
def test_options_of_the_replay_on_another_source(options, clip, observations, saved):
    source = other_source()
    wanted = from_video(clip, observations, source, **options)
    np.testing.assert_array_equal(replayed(saved[0], source, **options), wanted)


@pytest.mark.parametrize("options", [{}, {"motion": "absolute"}], ids=["relative", "absolute"])
def test_a_reference_frame_of_the_scan(options, clip, observations, saved):
    source = other_source()
    wanted = from_video(clip, observations, source, reference=1, **options)
    number = str(SCANNED[1])
    np.testing.assert_array_equal(replayed(saved[0], source, number, **options), wanted)


def test_the_automatic_reference_is_that_of_the_source(saved, observations):
    for source in (synthetic.photograph(256), other_source()):
        pipeline = Pipeline.load(size=64)
        prepared = pipeline.set_source(source)
        from hybridanim.prepare import driver_scan

        chosen = replay.choose_reference(saved[0], "auto", prepared)
        wanted = driver_scan.nearest(observations, prepared)
        assert chosen is not None and wanted is not None
        assert chosen.row == wanted.index


def test_any_other_frame_can_be_the_reference(saved):
    source = synthetic.photograph(256)
    pipeline = Pipeline.load(size=96, smooth=0.0, head_motion="2d")
    prepared = pipeline.set_source(source)
    away = []
    for _ in pipeline.replay(saved[0], "5"):
        assert pipeline.last is not None
        target = pipeline.last.points.target.xy_norm
        away.append(float(np.abs(target - prepared.keypoints.xy_norm).max()))
    assert away[5] < 1e-5 < 0.02 < away[0]  # that frame means "no motion"


def test_a_cut_begins_with_its_own_reference(saved):
    pipeline = Pipeline.load(size=64, smooth=0.0, head_motion="2d")
    prepared = pipeline.set_source(synthetic.photograph(256))
    pictures = list(pipeline.replay(saved[0], "first", 2 / 30 - 1e-6, 5 / 30 - 1e-6))
    assert len(pictures) == 3
    (first, *_) = pipeline.followed(pipeline.replaying(saved[0], "first", 2 / 30 - 1e-6))
    off = np.abs(first.points.target.xy_norm - prepared.keypoints.xy_norm).max()
    assert off < 1e-5


@pytest.mark.parametrize("reference", ["99", "8"])
def test_a_reference_that_is_not_there_is_refused(reference, saved):
    with pytest.raises(InputError, match=f"--reference {reference}: expected"):
        replayed(saved[0], synthetic.photograph(256), reference)


def test_another_tracker_is_refused(saved, monkeypatch):
    pipeline = Pipeline.load(size=64)
    pipeline.set_source(synthetic.photograph(256))
    header = saved[0].header
    for tracker, weights, said in (
        ("learned", "", "--tracker classical, got one of 'learned'"),
        ("unknown", "", "'unknown'"),
        ("classical", "abc", "--weights"),
    ):
        from dataclasses import replace

        motion = replace(saved[0], header=replace(header, tracker=tracker, weights=weights))
        with pytest.raises(InputError, match=said):
            pipeline.replaying(motion)


def test_misuse_is_refused(saved, tmp_path, clip):
    pipeline = Pipeline.load(size=64)
    with pytest.raises(InputError, match="set_source"):
        pipeline.replaying(saved[0])
    pipeline.set_source(synthetic.photograph(256))
    with pytest.raises(InputError, match="expected a Motion"):
        pipeline.replaying("m.safetensors")  # type: ignore[arg-type]
    pipeline.animate(clip[0])
    with pytest.raises(InputError, match="before the first frame"):
        pipeline.record(tmp_path / "x.safetensors")


def test_an_error_leaves_no_file_and_an_interruption_what_was_seen(clip, tmp_path):
    pipeline = Pipeline.load(size=64)
    pipeline.set_source(synthetic.photograph(256))
    for error, count in ((ZeroDivisionError, 0), (KeyboardInterrupt, 2)):
        path = tmp_path / "m.safetensors"
        pipeline.reset()
        with pytest.raises(error), pipeline.record(path):
            pipeline.animate(clip[0])
            pipeline.animate(clip[1])
            raise error
        assert (Motion.load(path).count if count else 0) == count
        assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"][: bool(count)]


def test_a_lost_head_relaxes_as_with_the_video(clip, tmp_path):
    frames = [*clip[:3], *[np.full_like(clip[0], 90)] * 3, *clip[3:5]]
    source, path = synthetic.photograph(256), tmp_path / "m.safetensors"
    wanted = from_video(frames, (), source, path=path)
    motion = Motion.load(path)
    assert any(row.seen is None for row in motion.rows())
    np.testing.assert_array_equal(replayed(motion, source), wanted)


def test_a_new_reference_of_the_tracker_begins_a_stretch(clip, tmp_path, monkeypatch):
    from dataclasses import replace

    source, path = synthetic.photograph(256), tmp_path / "m.safetensors"

    def run(record):
        pipeline = Pipeline.load(size=96)
        pipeline.set_source(source)
        track = pipeline.track._tracker.step

        class Again:
            uses_skin = True

            def initial_state(self):
                return None

            def step(self, state, frame, mask):
                inner = None if state is None or frame.index == 4 else state
                inner, tracks = track(inner or tracker.initial_state(), frame, mask)
                return inner, replace(tracks, is_new_reference=frame.index == 4)

        tracker, pipeline.track._tracker = pipeline.track._tracker, Again()  # pyright: ignore
        pipeline.track.reset()
        if not record:
            return [pipeline.animate(image) for image in clip]
        with pipeline.record(path):
            return [pipeline.animate(image) for image in clip]

    wanted = run(record=True)
    motion = Motion.load(path)
    assert [one.row for one in motion.stretches] == [0, 4]
    np.testing.assert_array_equal(replayed(motion, source), wanted)
