"""One contract for all stages: declared type out, input unchanged, repeatable, survives nothing."""

import dataclasses
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from hybridanim import types
from hybridanim.errors import InputError
from hybridanim.motion import head_transfer
from stages.base import Stage
from stages.pipeline import Pipeline
from tests import synthetic

OUTPUTS = {
    "skin": types.SkinMask,
    "tracks": types.Tracks,
    "keypoints": types.SparseMotion,
    "motion": types.DenseMotion,
    "render": types.Picture,
}


VARIANTS = {  # between them every class of stage, and every tracker
    "classical": {"tracker": "classical", "renderer": "warp"},
    "learned": {"tracker": "learned", "renderer": "learned"},
    "hybrid": {"tracker": "hybrid", "renderer": "painted"},
}
STAGES = [(variant, index) for variant in VARIANTS for index in range(5)]


def make_pipeline(variant: str = "classical", **options: str) -> Pipeline:
    pipeline = Pipeline.load(size=128, precision="f32", **VARIANTS[variant], **options)
    pipeline.set_source(synthetic.photograph(256))
    return pipeline


@pytest.fixture(scope="module")
def clip():
    picture = synthetic.photograph(256)
    affines = synthetic.wandering_affines(6, 256, seed=1)
    return list(synthetic.moved_picture(picture, affines).frames)


@pytest.fixture(scope="module")
def calls(clip):
    """Variant -> (inputs, output) of each stage, of the last frame of a short run."""

    @cache
    def recorded(variant: str):
        pipeline = make_pipeline(variant)
        for image in clip:
            pipeline.animate(image)
        last, source = pipeline.last, pipeline.source
        assert last is not None
        return (
            ((last.frame,), last.mask),
            ((last.frame, last.mask), last.tracks),
            ((last.frame, last.tracks, source), last.points),
            ((source, last.points), last.motion),
            ((source, last.motion), last.picture),
        )

    return recorded


@pytest.fixture
def stage(variant, index) -> Stage:
    """A fresh stage, which no other stage of its pipeline has prepared."""
    return make_pipeline(variant).stages[index]


def arrays(value, path="") -> dict[str, np.ndarray]:
    """All arrays in nested dataclasses and mappings, copied."""
    if isinstance(value, np.ndarray):
        return {path: value.copy()}
    found = {}
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            found |= arrays(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, Mapping):
        for name, one in value.items():
            found |= arrays(one, f"{path}.{name}")
    return found


@pytest.mark.parametrize(("variant", "index"), STAGES)
def test_gives_its_declared_type_and_leaves_its_input_alone(variant, index, stage, calls):
    inputs, _ = calls(variant)[index]
    before = [arrays(value) for value in inputs]
    output = stage(*inputs)
    assert isinstance(output, OUTPUTS[stage.name])
    for old, value in zip(before, inputs, strict=True):
        now = arrays(value)
        for name, array in old.items():
            np.testing.assert_array_equal(now[name], array, err_msg=f"{stage.name} changed {name}")


@pytest.mark.parametrize(("variant", "index"), STAGES)
def test_repeats_itself_after_reset(variant, index, stage, calls):
    inputs, _ = calls(variant)[index]
    first = arrays(stage(*inputs))
    stage.reset()
    second = arrays(stage(*inputs))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=f"{stage.name}{name}")


@pytest.mark.parametrize(("variant", "index"), [case for case in STAGES if case[1] > 2])
def test_a_fresh_renderer_stage_repeats_the_run(variant, index, stage, calls):
    """Stages 4 and 5 keep no state: what they need comes with their inputs."""
    inputs, output = calls(variant)[index]
    np.testing.assert_equal(arrays(stage(*inputs)), arrays(output))


@pytest.mark.parametrize(("variant", "index"), STAGES)
def test_draws_a_picture_of_the_canvas_size(variant, index, stage, calls):
    _, output = calls(variant)[index]
    canvas = np.full((128, 128, 3), 90, np.uint8)
    kept = canvas.copy()
    drawn = stage.draw(canvas, output)
    assert drawn.shape == canvas.shape and drawn.dtype == np.uint8
    np.testing.assert_array_equal(canvas, kept)


SETTINGS = {
    "skin": {"learning_rate": 0.5},
    "tracks": {"anchor_every": 9},
    "keypoints": {"scale": 0.0},
    "motion": {"grid": 32},
    "render": {"pin_border": 0.2},
}


@pytest.mark.parametrize(("variant", "index"), STAGES)
def test_adjusts_its_settings_between_frames(variant, index, stage, calls):
    inputs, _ = calls(variant)[index]
    stage(*inputs)
    stage.adjust(**SETTINGS[stage.name])
    assert isinstance(stage(*inputs), OUTPUTS[stage.name])
    with pytest.raises(InputError, match="nothing_like_it"):
        stage.adjust(nothing_like_it=1)
    with pytest.raises(InputError, match=rf"adjust of {stage.name}"):
        stage.adjust(**dict.fromkeys(SETTINGS[stage.name], "zzz"))


def test_an_adjusted_setting_counts(calls):
    inputs, _ = calls("classical")[3]
    dense = make_pipeline().stages[3]
    dense.adjust(grid=32)
    source, points = inputs
    flat = dataclasses.replace(points, head=None)
    assert dense(source, flat).grid_norm.shape == (32, 32, 2)
    assert points.head is not None
    assert dense(source, points).grid_norm.shape == (96, 96, 2)  # finer: lips and lids are cuts


def test_a_whole_clip_is_deterministic(clip):
    runs = []
    for _ in range(2):
        pipeline = make_pipeline()
        runs.append([pipeline.animate(image) for image in clip])
    for one, two in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_first_frame_is_the_reference(clip):
    pipeline = make_pipeline(head_motion="2d")
    first = pipeline.animate(clip[0])
    assert pipeline.source is not None
    assert np.abs(first.astype(int) - pipeline.source.image).max() <= 1


def test_the_first_frame_leaves_the_heads_pose_but_has_the_drivers_expression(clip):
    pipeline = make_pipeline()
    pipeline.animate(clip[0])
    assert pipeline.last is not None and pipeline.source is not None
    head = pipeline.last.points.head
    assert head is not None and pipeline.source.face is not None
    own = head_transfer.in_crop(pipeline.source.face.pose, pipeline.source)
    np.testing.assert_allclose(head.pose.rotation, own.rotation, atol=1e-6)
    np.testing.assert_allclose(head.pose.shift_px, own.shift_px, atol=1e-6)
    assert head.pose.scale_px == pytest.approx(own.scale_px)


@pytest.mark.parametrize("kind", ["black", "noise", "white"])
def test_nothing_to_see_leaves_the_source_at_rest(kind, clip):
    rng = np.random.default_rng(0)
    nothing = {
        "black": np.zeros_like(clip[0]),
        "white": np.full_like(clip[0], 255),
        "noise": rng.integers(0, 256, clip[0].shape, np.uint8),
    }[kind]
    pipeline = make_pipeline()
    for _ in range(3):
        picture = pipeline.animate(nothing)
    assert pipeline.last is not None and pipeline.source is not None
    assert pipeline.last.tracks.lost
    assert pipeline.last.points.is_frozen
    np.testing.assert_array_equal(picture, pipeline.source.image)


def test_motion_comes_back_after_the_head_was_gone(clip):
    pipeline = make_pipeline()
    for image in clip:
        pipeline.animate(image)
    for _ in range(10):
        pipeline.animate(np.zeros_like(clip[0]))
    assert pipeline.last is not None and pipeline.last.points.is_frozen
    for image in clip * 4:
        pipeline.animate(image)
    assert not pipeline.last.points.is_frozen
    assert not pipeline.last.tracks.lost


def test_times_every_stage(clip):
    pipeline = make_pipeline()
    pipeline.animate(clip[0])
    assert pipeline.last is not None
    assert list(pipeline.last.times_ms) == [stage.name for stage in pipeline.stages]
    assert all(value >= 0 for value in pipeline.last.times_ms.values())


def test_animate_before_set_source_says_what_to_call(clip):
    with pytest.raises(InputError, match="set_source"):
        Pipeline.load().animate(clip[0])


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(InputError, match="smooth"):
        Pipeline.load(smoth=0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"motion": "sideways"}, "relative, absolute"),
        ({"size": 3}, "--size"),
        ({"scale": -1.0}, "--scale"),
        ({"crop": "left"}, "--crop"),
        ({"smooth": "much"}, "a number"),
    ],
)
def test_wrong_values_are_refused_in_the_users_words(options, words):
    with pytest.raises(InputError, match=words):
        Pipeline.load(**options)


def test_source_without_a_face_says_what_to_try():
    with pytest.raises(InputError, match="--crop"):
        Pipeline.load().set_source(np.full((200, 200, 3), 120, np.uint8))


def test_source_of_the_wrong_kind_is_refused():
    with pytest.raises(InputError, match="uint8 RGB"):
        Pipeline.load().set_source(np.zeros((10, 10), np.float32))


@pytest.mark.parametrize(
    "picture",
    [None, "me.png", [[0]], np.zeros((0, 0, 3), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9))],
    ids=["none", "path", "list", "empty", "float", "flat"],
)
def test_what_is_no_picture_is_refused_in_words(picture):
    pipeline = Pipeline.load()
    for call in (pipeline.set_source, pipeline.frame):
        with pytest.raises(InputError, match=r"uint8 RGB.*to_rgb8.*read_picture"):
            call(picture)


def test_frames_of_another_size_ask_for_a_reset(clip):
    pipeline = make_pipeline()
    pipeline.frame(clip[0])
    with pytest.raises(InputError, match="reset"):
        pipeline.frame(clip[0][:-2])
    pipeline.reset()
    pipeline.frame(clip[0][:-2])


def test_the_callers_array_may_be_used_again(clip):
    image = clip[0].copy()
    frame = make_pipeline().frame(image)
    assert not np.shares_memory(frame.image, image)


def test_a_time_is_a_number(clip):
    with pytest.raises(InputError, match="time_s"):
        Pipeline.load().frame(clip[0], float("nan"))


def test_options_are_keywords_and_may_be_of_numpy():
    with pytest.raises(InputError, match="keywords"):
        Pipeline.load({"size": 256})  # type: ignore[arg-type]
    config = Pipeline.load(size=np.int64(256), scale=np.float32(1.5)).config
    assert (config.size, config.keypoints.scale) == (256, 1.5)
