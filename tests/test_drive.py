"""The option ``drive``: what it takes, and what it refuses in words."""

import pytest

from hybridanim.config import KeypointsConfig, pipeline_config, read_job
from hybridanim.drive import ALL, Drive, parse
from hybridanim.errors import InputError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (ALL, Drive(1, 1, 1, 1)),
        ("lips", Drive(0, 0, 1, 0)),
        ("pose=0.5,eyes", Drive(0.5, 0, 0, 1)),
        (" lips = 1.3 , expression ", Drive(0, 1, 1.3, 0)),
        ("pose=0,eyes=5", Drive(0, 0, 0, 5)),
    ],
)
def test_parts_and_strengths(text, wanted):
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mouth", r"--drive: expected pose, expression, lips, eyes.*'mouth'"),
        ("", r"got ''"),
        ("lips,", r"got ''"),
        ("lips,eyes,lips=2", "lips twice"),
        ("lips=-1", r"0 to 5 for lips, got '-1'"),
        ("lips=5.01", "0 to 5"),
        ("eyes=nan", "'nan'"),
        ("eyes=", "got ''"),
        ("eyes=much", "'much'"),
    ],
)
def test_what_it_refuses(text, said):
    with pytest.raises(InputError, match=said):
        pipeline_config({"drive": text})


def test_the_scale_multiplies_all_parts():
    config = KeypointsConfig(drive="pose=0.5,eyes", scale=1.5)
    assert config.strengths == (0.75, 0, 0, 1.5)
    assert KeypointsConfig(drive="eyes=4", scale=4).strengths.eyes == 5


@pytest.mark.parametrize("options", [{"head_motion": "2d"}, {"face_fit": False}])
def test_parts_need_three_dimensions(options):
    with pytest.raises(InputError, match="three dimensions"):
        pipeline_config({"drive": "lips", **options})
    half = ",".join(f"{part}=0.5" for part in Drive._fields)
    assert pipeline_config({"drive": half, **options}).keypoints.strength_of_all == 0.5


def test_a_file_takes_it(tmp_path):
    path = tmp_path / "drive.toml"
    path.write_text('[keypoints]\ndrive = "lips,eyes=0.5"\nneutral = "auto"\n')
    config = read_job(path).pipeline.keypoints
    assert config.strengths == (0, 0, 1, 0.5) and config.neutral == "auto"
