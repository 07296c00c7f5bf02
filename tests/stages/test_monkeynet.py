"""Monkey-Net in the pipeline: weights by path, relative keypoints, debug pictures, clear errors."""

from typing import Any

import numpy as np
import pytest

from hybridanim import geometry
from hybridanim.errors import InputError
from hybridanim.motion import transfer
from hybridanim.networks.weights import RENDERER
from hybridanim.types import Keypoints
from stages.pipeline import Pipeline
from tests import made_networks as made
from tests import synthetic

torch = pytest.importorskip("torch")
BOTH: dict[str, Any] = {"tracker": "monkeynet", "renderer": "monkeynet"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from hybridanim.networks.weights import write_monkeynet

    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    write_monkeynet(path, made.monkeynet())
    return path


@pytest.fixture(scope="module")
def clip():
    affines = synthetic.wandering_affines(4, 256, seed=1)
    return synthetic.moved_picture(synthetic.photograph(256), affines).frames


@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_a_run_from_end_to_end(weights, clip, runtime, tmp_path):
    pipeline = Pipeline.load(
        **BOTH, weights=weights, crop="none", size=64, runtime=runtime, cache=tmp_path
    )
    source = pipeline.set_source(synthetic.photograph(256))
    pictures = [pipeline.animate(image) for image in clip]
    assert all(x.shape == (64, 64, 3) and x.dtype == np.uint8 for x in pictures)
    assert pipeline.last is not None and len(source.keypoints.xy_norm) == 3
    assert pipeline.last.motion.weights is not None
    assert pipeline.last.motion.weights.shape == (4, 16, 16)
    outputs = (pipeline.last.tracks, pipeline.last.points, pipeline.last.motion)
    for stage, output in zip(pipeline.stages[1:4], outputs, strict=True):
        assert stage.draw(source.image, output).shape == source.image.shape
    assert 0 < pipeline.last.tracks.confidence_overall <= 1
    pipeline.reset()
    assert (pipeline.animate(clip[0]) == pictures[0]).all()


def test_its_own_first_frame_is_the_reconstruction(weights, clip):
    """Relative motion begins at the source's own keypoints: the flow of equal pictures."""
    pipeline = Pipeline.load(**BOTH, weights=weights, crop="none", size=64, runtime="torch")
    source = pipeline.set_source(clip[0])
    pipeline.animate(clip[0])
    assert pipeline.last is not None
    target = pipeline.last.points.target
    assert target.xy_norm == pytest.approx(source.keypoints.xy_norm, abs=1e-4)
    assert target.jacobian == pytest.approx(source.keypoints.jacobian, abs=1e-4)
    pipeline.animate(clip[2])
    assert np.abs(pipeline.last.points.target.xy_norm - target.xy_norm).max() > 1e-3


def test_relative_keypoints_and_covariances():
    """Section 3.6: p = p_S + p_D,t - p_D,1; covariances by the published ratio of three."""
    rng = np.random.default_rng(3)

    def drawn(scale):
        roots = np.stack([np.diag(rng.uniform(0.05, 0.2, 2)) for _ in range(4)]) * scale
        ones = np.ones(4, np.float32)
        xy = rng.uniform(-0.5, 0.5, (4, 2)).astype(np.float32)
        return Keypoints(xy, roots.astype(np.float32), ones)

    first, now, source = (drawn(scale) for scale in (1.0, 1.3, 0.8))
    found = transfer.relative(now, first, source, head_ratio=1.0)
    assert found.xy_norm == pytest.approx(source.xy_norm + now.xy_norm - first.xy_norm, abs=1e-6)
    covariances = [x.jacobian @ x.jacobian.transpose(0, 2, 1) for x in (now, first, source)]
    wanted = covariances[0] @ np.linalg.inv(covariances[1]) @ covariances[2]
    assert found.jacobian @ found.jacobian.transpose(0, 2, 1) == pytest.approx(wanted, rel=1e-3)
    assert geometry.inverse_2x2(first.jacobian) @ first.jacobian == pytest.approx(
        np.tile(np.eye(2), (4, 1, 1)), abs=1e-4
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BOTH, "--tracker monkeynet: expected --weights of a Monkey-Net, got none"),
        ({"tracker": "monkeynet"}, "got none"),
        ({"renderer": "monkeynet"}, "--renderer monkeynet: .* got none"),
        ({**BOTH, "weights": RENDERER.path}, "of a Monkey-Net, got others"),
        ({"tracker": "learned", "weights": ...}, "expected --tracker monkeynet for these"),
        ({"weights": ...}, "expected --tracker monkeynet for these"),
        (
            {"tracker": "monkeynet", "renderer": "learned", "weights": ...},
            "expected --renderer monkeynet for these",
        ),
    ],
)
def test_what_does_not_fit_is_refused(weights, options, words):
    if options.get("weights") is ...:
        options = {**options, "weights": weights}
    with pytest.raises(InputError, match=words):
        Pipeline.load(**options)


def test_the_closed_form_renders_its_keypoints(weights, clip):
    pipeline = Pipeline.load(
        tracker="monkeynet", renderer="warp", weights=weights, crop="none", size=64, runtime="torch"
    )
    pipeline.set_source(clip[0])
    assert pipeline.animate(clip[1]).shape == (64, 64, 3)
