"""The settings of a live run."""

from pathlib import Path

import pytest

from hybridanim.errors import InputError
from hybridanim.live.config import LiveJob, read_live_job


def test_settings_out_of_range_are_refused():
    for wrong in ({"serve": 70000}, {"camera_rate": 0.0}, {"latency": 0.0}, {"seconds": -1.0}):
        with pytest.raises(InputError, match="expected"):
            LiveJob(**wrong)


def test_presets_hold_for_live_too(tmp_path):
    presets = sorted((Path(__file__).parents[2] / "examples" / "presets").glob("*.toml"))
    assert presets
    for path in presets:
        assert read_live_job(path).pipeline.size == 256
    (tmp_path / "mine.toml").write_text('size = 320\nserve = 8080\n[track]\ncorners = "harris"\n')
    job = read_live_job(tmp_path / "mine.toml")
    assert (job.pipeline.size, job.serve, job.pipeline.track.corners) == (320, 8080, "harris")
    (tmp_path / "wrong.toml").write_text("servr = 1\n")
    with pytest.raises(InputError, match="serve"):
        read_live_job(tmp_path / "wrong.toml")
