"""The form of the options: made from the settings, and back to a job."""

from dataclasses import replace

import pytest

pytest.importorskip("gradio", reason="the extra ui is not installed")

import gradio as gr

from apps.studio import forms, messages
from hybridanim import schema
from hybridanim.config import PipelineConfig, RenderJob
from hybridanim.errors import InputError

OWN = {"output": RenderJob().output, "debug": "d", "save_motion": "m"}


@pytest.fixture
def fields():
    with gr.Blocks(analytics_enabled=False):
        return forms.build(RenderJob())


def shown(fields, **other):
    return [other.get(f.option.name, f.component.value) for f in fields]


def test_every_option_is_there_with_its_help(fields):
    names = [field.option.name for field in fields]
    assert sorted([*names, *forms.ELSEWHERE]) == sorted(schema.all_names(RenderJob))
    assert names[:5] == list(forms.MAIN)
    size = fields[0].component
    assert size.info.startswith("Side of the animated square in pixels")


def test_what_is_shown_at_first_is_the_usual_job(fields):
    assert forms.job_of(RenderJob(), fields, shown(fields), **OWN) == RenderJob()


def test_values_of_each_kind(fields):
    other = {"size": 96.0, "renderer": "warp", "end": 2, "u_range": "3 9", "mark": False}
    other |= {"weights": "w", "profile": ["a", "b"], "debug": True, "scale": None}
    job = forms.job_of(RenderJob(), fields, shown(fields, **other), **OWN)
    assert (job.pipeline.size, job.end, job.mark, job.debug) == (96, 2.0, False, "d")
    assert isinstance(job.pipeline.size, int) and job.save_motion is None
    assert job.pipeline.segment.u_range == (3, 9)
    assert [str(path) for path in job.profile] == ["a", "b"]
    assert job.pipeline.keypoints.scale == 1.0, "an empty field is the usual value"


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"size": 3}, "--size: expected 64 to 4096"),
        ({"u_range": "9 3"}, "--u-range: expected two numbers"),
        ({"u_range": "x"}, "--u-range: expected 2 values"),
        ({"matte": "none"}, "--matte: expected one of network, classical"),
        ({"scale": 99.0}, "--scale: expected 0 to 5"),
    ],
)
def test_unfit_values_are_refused_in_the_settings_words(fields, other, text):
    with pytest.raises(InputError, match=text):
        forms.job_of(RenderJob(), fields, shown(fields, **other), **OWN)


def test_the_form_shows_the_settings_of_the_studio():
    usual = replace(RenderJob(), pipeline=PipelineConfig(size=128, tracker="hybrid"))
    with gr.Blocks(analytics_enabled=False):
        fields = forms.build(usual)
    assert forms.job_of(usual, fields, shown(fields), **OWN) == usual


def test_errors_go_beside_their_input():
    places = {
        "source: expected a picture": "source",
        "--face: expected 0 to 1": "source",
        "driving video: expected a face": "driving",
        "--end: expected more": "driving",
        "--size: expected 64": "run",
    }
    assert {text: messages.place_of(text) for text in places} == places
    assert "<b>" not in messages.error("<b>") and messages.error("") == ""
