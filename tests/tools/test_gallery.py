"""The gallery's maker: one row from small inputs, its page, and what the drawn people wear."""

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from hybridanim import io
from stages.pipeline import Pipeline
from tests import synthetic
from tools import make_driving, make_gallery
from tools.driving_head.looks import Looks
from tools.driving_head.script import Pose
from tools.gallery import drawing, drivers, page, portraits, styles

CELL = 48


@pytest.fixture
def short_clip(monkeypatch: pytest.MonkeyPatch) -> str:
    """Four frames of a head that turns, as a driver of that name."""
    heads = synthetic.driving_head(0.4, 4)
    clip = tuple(drivers.Moment(head.image, index / 10) for index, head in enumerate(heads))
    monkeypatch.setitem(drivers.DRAWN, "short", drivers.DRAWN["hand"])
    monkeypatch.setattr(drivers, "drawn", lambda name: clip)
    return "short"


def cell(picture: np.ndarray, column: int, line: int) -> np.ndarray:
    x, y = drawing.corner(column, line, CELL)
    return picture[y : y + CELL, x : x + CELL].astype(int)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("with_pixels", [True, False])
def test_a_row_shows_source_driver_and_both_results(
    tmp_path: Path, short_clip: str, with_pixels: bool
) -> None:
    entry = page.Entry("one", "easy", "One", "astronaut", short_clip, (0.0, 0.3), "Words.")
    found = make_gallery.make(tmp_path, [entry], size=64, cell_px=CELL, with_pixels=with_pixels)
    assert found == {"one": tmp_path / "pictures" / "gallery" / "one.jpg"}
    picture = io.read_picture(found["one"])
    x, y = drawing.corner(2, 2, CELL)
    assert abs(picture.shape[1] - x - CELL) < 8 and abs(picture.shape[0] - y - CELL) < 8
    source = Pipeline.load(size=64).set_source(portraits.picture("astronaut")).image
    wanted = cv2.resize(source, (CELL, CELL), interpolation=cv2.INTER_AREA)
    assert likeness(cell(picture, 0, 0), wanted) > 0.98
    for line in (1, 2):  # the first moment is near the reference: hardly moved
        assert likeness(cell(picture, 1, line), wanted) > 0.85
    driver = cell(picture, 1, 0)
    assert driver.std() > 5
    ground = 0.72 * np.array(drawing.GROUND)
    assert ((np.abs(driver - ground).max(-1) < 8).mean() < 0.3) == with_pixels


def test_the_page_names_every_row_once() -> None:
    entries = page.entries()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names) >= 12
    pictures = {name: Path(f"{name}.jpg") for name in names}
    text = page.text(entries, pictures)
    table = tomllib.loads(page.TABLE.read_text(encoding="utf-8"))
    for entry in entries:
        assert entry.group in table["groups"]
        assert entry.source in portraits.names()
        assert entry.driver == "example" or entry.driver in drivers.DRAWN
        assert text.count(f"(../pictures/gallery/{entry.name}.jpg)") == 1
        assert entry.text.strip() and entry.text.strip() in text


def test_the_page_in_the_repository_has_all_its_pictures() -> None:
    docs = make_gallery.ROOT / "docs"
    text = (docs / page.PAGE).read_text(encoding="utf-8")
    paths = [docs / page.PICTURES / f"{entry.name}.jpg" for entry in page.entries()]
    assert all(path.name in text and path.is_file() for path in paths)
    assert sum(path.stat().st_size for path in paths) < 1.5e6


@pytest.mark.parametrize("name", portraits.STYLES)
def test_styles_keep_the_size_and_change_the_picture(name: str) -> None:
    picture = synthetic.photograph(96)
    styled = portraits.STYLES[name](picture)
    assert styled.shape == picture.shape and styled.dtype == np.uint8
    assert np.abs(styled.astype(int) - picture).mean() > 2
    assert np.array_equal(styled, portraits.STYLES[name](picture))


def test_etching_is_ink_on_paper() -> None:
    light = styles.etching(synthetic.photograph(128)).mean(-1)
    assert ((light < 60) | (light > 215)).mean() > 0.6


def test_looks_change_only_who_it_is() -> None:
    plain, worn = (
        make_driving.render(0, make_driving.Options(160, 160, samples=1, looks=looks), Pose())
        for looks in (
            Looks(),
            Looks(hair_rgb=(200, 40, 30), beard=1.0, glasses=True, long_hair=True),
        )
    )
    assert np.array_equal(plain.landmarks_xy_px, worn.landmarks_xy_px)
    assert (worn.parts > 0).sum() > (plain.parts > 0).sum()  # hair beside the neck
    chin = tuple(int(v) for v in plain.landmark("chin"))
    beard, skin = (head.image[chin[1] - 3, chin[0]].astype(int).sum() for head in (worn, plain))
    assert beard < skin


def test_an_unknown_row_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_gallery.main(["--only", "nobody"])
    assert "nobody" in capsys.readouterr().err
