"""The learned renderer in the pipeline: same contract, weights by path, clear errors."""

from dataclasses import replace

import numpy as np
import pytest

from hybridanim.errors import InputError
from stages.pipeline import Pipeline
from tests import synthetic

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained network: its flow starts at the closed form and it paints almost nothing."""
    from hybridanim.networks import build
    from hybridanim.networks.weights import write_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    write_weights(path, animator=build.fast())
    return path


@pytest.fixture(scope="module")
def clip():
    affines = synthetic.wandering_affines(4, 256, seed=1)
    return synthetic.moved_picture(synthetic.photograph(256), affines).frames


def test_learned_pipeline_runs_and_fills_every_stage(weights, clip):
    pipeline = Pipeline.load(renderer="learned", weights=weights, size=128, runtime="torch")
    source = pipeline.set_source(synthetic.photograph(256))
    pictures = [pipeline.animate(image) for image in clip]
    assert all(picture.shape == (128, 128, 3) for picture in pictures)
    assert pipeline.last is not None
    assert list(pipeline.last.times_ms) == [stage.name for stage in pipeline.stages]
    for stage, output in zip(
        pipeline.stages[3:], (pipeline.last.motion, pipeline.last.picture), strict=True
    ):
        assert stage.draw(source.image, output).shape == source.image.shape
    # untrained it is a plain warp with a twentieth of grey paint: near the source, not the source
    difference = np.abs(pictures[0].astype(int) - source.image).mean()
    assert 0 < difference < 40


def test_a_new_source_is_encoded(weights, clip):
    pipeline = Pipeline.load(renderer="learned", weights=weights, size=128, runtime="torch")
    picture = synthetic.photograph(256)
    pipeline.set_source(picture)
    first = pipeline.animate(clip[0])
    pipeline.set_source(picture[:, ::-1].copy())
    second = pipeline.animate(clip[0])
    assert pipeline.source is not None
    to_new = np.abs(second.astype(int) - pipeline.source.image).mean()
    assert to_new < 0.5 * np.abs(second.astype(int) - first).mean()


def test_another_motion_is_refused(weights, clip):
    pipeline = Pipeline.load(renderer="learned", weights=weights, size=128, runtime="torch")
    pipeline.set_source(synthetic.photograph(256))
    pipeline.animate(clip[0])
    assert pipeline.last is not None
    with pytest.raises(InputError, match="move first"):
        pipeline.renderer.generate(
            pipeline.source, replace(pipeline.last.motion, features=None, face=None)
        )


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(InputError, match="nothing"):
        Pipeline.load(renderer="learned", weights=tmp_path / "none.safetensors")
