"""A batch on a local Ray cluster."""

import json
import os
import signal
from dataclasses import replace
from importlib.util import find_spec

import pytest

from apps.batch.plan import plan
from apps.batch.run import Change, Settings, run
from apps.main import main
from tests.apps.batch.test_run import SMALL


def test_without_ray_it_says_what_to_install(inputs, tmp_path, monkeypatch, capsys):
    def without(name: str, *arguments: object):
        return None if name == "ray" else find_spec(name, *arguments)

    monkeypatch.setattr("hybridanim.extras.find_spec", without)
    words = ["--sources", str(inputs / "sources"), "--drivers", str(inputs / "drivers")]
    assert main(["batch", *words, "--out", str(tmp_path), "--ray", "local"]) == 2
    assert 'pip install "hybridanim[batch]"' in capsys.readouterr().err


@pytest.mark.slow
def test_a_local_cluster_gives_the_same_files(inputs, tmp_path):
    """Two actors, one of which dies once: the files of two processes."""
    pytest.importorskip("ray", reason="the extra batch is not installed")

    def jobs(out):
        folders = {"sources": inputs / "sources", "drivers": inputs / "drivers"}
        whole = plan(out=tmp_path / out, **folders, common=SMALL)
        return replace(whole, jobs=whole.jobs[:6])

    killed: list[str] = []

    def report(change: Change) -> None:
        if change.step and not killed:
            killed.append(change.worker)
            os.kill(int(change.worker.rpartition(":")[2]), signal.SIGKILL)

    found = run(jobs("ray"), Settings(workers=2, ray="local"), report)
    assert found.counts()["done"] == 6 and killed
    notes = [note for entry in found.listed for note in entry.notes]
    assert len([note for note in notes if "Tried again" in note]) == 1
    usual = run(jobs("processes"), Settings(workers=2))
    assert [e.sha256 for e in usual.listed] == [e.sha256 for e in found.listed]
    table = json.loads((tmp_path / "ray" / "batch.json").read_text())
    assert table["counts"]["done"] == 6


@pytest.mark.slow
def test_an_address_that_is_none_is_refused(inputs, tmp_path, capsys):
    pytest.importorskip("ray", reason="the extra batch is not installed")
    words = ["--sources", str(inputs / "sources"), "--drivers", str(inputs / "drivers")]
    assert main(["batch", *words, "--out", str(tmp_path), "--ray", "no address"]) == 2
    assert "--ray no address" in capsys.readouterr().err
