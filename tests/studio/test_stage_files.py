"""Debug outputs read again: each picture is that of the frame asked for."""

from dataclasses import replace

import numpy as np
import pytest

from apps.render import render
from apps.studio import stage_files
from apps.studio.stage_files import Row, StageFiles
from apps.terminal import example_source
from hybridanim import io
from hybridanim.errors import InputError
from hybridanim.files import EXAMPLE_DRIVING


def test_every_stage_of_every_frame(context):
    job = replace(
        context.animation,
        output=context.results / "a.mp4",
        debug=context.results / "a.stages",
        end=0.3,
    )
    summary = render(job, example_source(), EXAMPLE_DRIVING)
    assert stage_files.found_in(context.results) == [job.debug]
    found = StageFiles.read(job.debug)
    assert len(found.rows) == summary.frames == 9
    assert "All stages" in found.labels and "4 Head mesh" in found.labels
    with io.open_source(job.debug / "5_result.mp4") as reader:
        frames = [frame.image for frame in reader]
    for number in (0, 4, 8):
        picture = found.picture("5 Driver and result", number)
        differences = [float(np.abs(picture.astype(float) - one).mean()) for one in frames]
        assert differences[number] == min(differences) == 0
    assert found.picture("Source", 3).shape[2] == 3
    assert found.stretches() == []


def test_held_stretches():
    rows = [Row(n, n / 10, "no face" if n in (2, 3, 7) else "", 1, 0, 0, 0, 9) for n in range(9)]
    found = StageFiles(None, tuple(rows)).stretches()
    assert [(number, str(stretch)) for number, stretch in found] == [
        (2, "0:00.2 to 0:00.4: no face; held"),
        (7, "0:00.7 to 0:00.8: no face; held"),
    ]


def test_damaged_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"stages: expected frames\.csv"):
        StageFiles.read(tmp_path)
    (tmp_path / "frames.csv").write_text("index,time_s\n0,x\n")
    with pytest.raises(InputError, match=r"stages: expected frames\.csv"):
        StageFiles.read(tmp_path)
