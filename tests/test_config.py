"""Settings from keywords and TOML files: every preset parses, nothing unknown passes."""

import dataclasses
from pathlib import Path

import pytest

from hybridanim import schema
from hybridanim.config import PipelineConfig, RenderJob, parse_crop, pipeline_config, read_job
from hybridanim.errors import InputError

PRESETS = sorted((Path(__file__).parent.parent / "examples" / "presets").glob("*.toml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_parse_and_change_something(path):
    assert read_job(path) != RenderJob()


def test_there_are_presets():
    assert PRESETS


def test_option_names_are_unique_so_that_they_need_no_prefix():
    names = schema.all_names(RenderJob)
    assert len(names) == len(set(names))


def test_keywords_reach_their_stage():
    config = pipeline_config({"motion": "absolute", "grid": 32, "corners": "harris", "size": 128})
    assert (config.keypoints.motion, config.dense.grid) == ("absolute", 32)
    assert (config.track.corners, config.size) == ("harris", 128)
    assert pipeline_config({}) == PipelineConfig()


def test_sections_and_flat_names_mean_the_same(tmp_path):
    flat, nested = tmp_path / "flat.toml", tmp_path / "nested.toml"
    flat.write_text("smooth = 0.25\npaste-back = true\nu_range = [80, 120]\n")
    nested.write_text(
        "paste_back = true\n[pipeline.keypoints]\nsmooth = 0.25\n"
        "[pipeline.segment]\nu_range = [80, 120]\n"
    )
    assert read_job(flat) == read_job(nested)
    assert read_job(flat).pipeline.segment.u_range == (80, 120)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("smoth = 1", "smooth"),
        ("smooth = true", "a number"),
        ("smooth = 7", "--smooth"),
        ("size = 12.5", "a whole number"),
        ('motion = "up"', "relative, absolute"),
        ("u_range = [1, 2, 3]", "u-range"),
        ("[keypoints]\nspeed = 1", "speed"),
        ("size = ", "TOML"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, said):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_job(path)


def test_every_field_has_a_help_text():
    """The line below a field is its help; one without would show nothing on the command line."""
    import ast

    import hybridanim.config

    tree = ast.parse(Path(hybridanim.config.__file__).read_text())
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and "default_factory" not in ast.unparse(field):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert is_text, f"{node.name}.{ast.unparse(field.target)} has no help"


@pytest.mark.parametrize(
    ("text", "value"), [("auto", None), ("none", None), ("1,2,30,40", (1, 2, 30, 40))]
)
def test_crop_option(text, value):
    assert parse_crop(text) == value


def test_settings_survive_as_plain_values():
    assert dataclasses.asdict(RenderJob())["pipeline"]["size"] == 0


@pytest.mark.parametrize(
    "options",
    [
        *({"window_px": 0}, {"window_px": 2}, {"pyramid_levels": -1}, {"max_features": 0}),
        *({"forward_backward_px": -1.0}, {"least_likeness": 1.5}, {"coarse_px": 0}),
        *({"learning_rate": 2.0}, {"pin_border": 0.6}, {"u_range": (120, 80)}),
        *({"v_range": (0, 256)}, {"crop": "0,0,inf,100"}, {"crop": "nan,0,100,100"}),
        {"crop": "0,0,100000,100000"},
    ],
    ids=str,
)
def test_numbers_beyond_their_range_are_refused(options):
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(InputError, match=flag):
        pipeline_config(options)
