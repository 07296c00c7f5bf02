"""The tab Batch: in a browser, and what it refuses."""

from fractions import Fraction

import pytest

from apps.batch.plan import plan_pairs
from apps.batch.run import Settings
from hybridanim import io
from hybridanim.errors import InputError
from tests import synthetic


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    picture = synthetic.photograph(192)
    for n in range(2):
        io.write_picture(folder / f"p{n}.png", picture[:, :: 1 - 2 * n])
    moved = synthetic.moved_picture(picture, synthetic.wandering_affines(8, 192, seed=1))
    with io.open_sink(folder / "v.mp4", Fraction(25), (192, 192)) as sink:
        for image in moved.frames:
            sink.write(image)
    return folder


def test_one_batch_at_a_time(pair, tmp_path, monkeypatch):
    from threading import Event

    from apps.studio import batches as module
    from hybridanim.config import RenderJob

    entered, leave = Event(), Event()

    def run(plan, settings, report, stop):
        entered.set()
        leave.wait(10)
        raise InputError("batch: expected room, got none; make some")

    monkeypatch.setattr(module, "run", run)
    batches = module.Batches()
    plan = plan_pairs([pair / "p0.png"], [pair / "v.mp4"], out=tmp_path, common=RenderJob())
    batches.start(plan, Settings())
    assert entered.wait(10) and batches.is_running and batches.rows() == []
    with pytest.raises(InputError, match="stop it first"):
        batches.start(plan, Settings())
    leave.set()
    batches.stop()
    assert not batches.is_running and "expected room" in batches.error


@pytest.mark.slow
def test_pairs_are_animated_and_shown(page, served, pair):
    page.click("role=tab[name=Batch]")
    page.click("#batch-start")
    page.wait_for_selector("#batch-status:has-text('expected pictures and driving videos')")
    page.set_input_files("#batch-sources input[type=file]", [pair / "p0.png", pair / "p1.png"])
    page.wait_for_selector("#batch-sources >> text=p1")
    page.set_input_files("#batch-drivers input[type=file]", pair / "v.mp4")
    page.wait_for_selector("#batch-drivers >> text=v.mp4")
    page.click("#batch-start")
    page.wait_for_selector("#batch-status:has-text('consent of the person')")
    page.check("#batch-consent input")
    page.fill("#batch-folder input, #batch-folder textarea", "evening")
    page.fill("#batch-workers input", "1")
    page.click("#batch-start")
    page.wait_for_selector("#batch-status:has-text('2 of 2 done, 0 failed')", timeout=120_000)
    assert "p1-v.mp4" in page.inner_text("#batch-table")
    page.click("#batch-result input")
    page.click("role=option >> text=p1-v.mp4")
    page.wait_for_selector("#batch-video video")
    page.wait_for_function("document.querySelector('#batch-video video').readyState >= 2")
    assert (served.context.results / "evening" / "batch.json").is_file()
