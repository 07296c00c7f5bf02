"""Wrong calls of the pipeline are refused in words, and change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from hybridanim.errors import InputError
from stages.pipeline import Pipeline
from tests import synthetic

PICTURE = np.full((64, 64, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def pipeline():
    pipeline = Pipeline.load(size=96)
    pipeline.set_source(synthetic.photograph(256))
    return pipeline


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: p.detect(None), r"detect: .*uint8 RGB"),
        (lambda p: p.detect(np.zeros((9, 9, 3))), r"detect: .*uint8 RGB"),
        (lambda p: p.set_reference(None, "x"), r"reference: .*uint8 RGB"),
        (lambda p: p.set_reference(PICTURE, "x"), r"set_reference: .*a str; detect\(\)"),
        (lambda p: p.animate(PICTURE, "1"), "time_s: expected seconds, got '1'"),
        (lambda p: p.set_source(PICTURE, crop=3), "crop: expected text, got 3"),
        (lambda p: p.use_source(PICTURE), r"use_source: expected a Source.*set_source\(\)"),
        (lambda p: p.set_view("x"), "set_view: expected a View, got a str"),
        (lambda p: p.use_renderer(None), r"use_renderer: .*new_renderer\(\)"),
        (lambda p: p.track.adjust(corners="zzz"), "adjust of tracks: corners.*shi-tomasi"),
        (lambda p: p.track.adjust(nope=1), "adjust of tracks: .*'nope'"),
    ],
)
def test_it_is_refused_in_words(pipeline, call, words):
    with pytest.raises(InputError, match=words):
        call(pipeline)
    pipeline.reset()
    pipeline.animate(synthetic.photograph(256))
    pipeline.reset()


def test_a_frame_before_the_source_fixes_no_size():
    pipeline = Pipeline.load(size=96)
    with pytest.raises(InputError, match="set_source"):
        pipeline.animate(PICTURE)
    pipeline.set_source(synthetic.photograph(256))
    pipeline.animate(synthetic.photograph(256))
