"""Pages that are made from the sources are as the sources make them now."""

import re

import pytest

from tools import draw_architecture, make_api_reference

ROOT = draw_architecture.ROOT


@pytest.fixture(scope="module")
def arrows():
    return draw_architecture.read_arrows()


@pytest.fixture(scope="module")
def layers():
    return draw_architecture.read_layers()


def test_no_arrow_points_up_or_sideways(arrows, layers):
    assert draw_architecture.wrong_arrows(arrows, layers) == []


def test_there_is_no_circle(arrows):
    assert draw_architecture.circle(arrows) == []


def test_each_package_has_its_place(arrows, layers):
    assert sorted(arrows) == sorted(name for layer in layers for name in layer)


def test_the_figure_is_up_to_date(arrows, layers):
    made = draw_architecture.svg(arrows, layers)
    kept = (ROOT / draw_architecture.PICTURE).read_text(encoding="utf-8")
    assert made == kept, "run python -m tools.draw_architecture"


def test_the_figure_shows_no_upward_arrow(layers):
    text = (ROOT / draw_architecture.PICTURE).read_text(encoding="utf-8")
    lines = re.findall(r'<path d="M\d+ (\d+)C.* (\d+)" fill="none" stroke="([^"]+)"', text)
    assert len(lines) >= sum(map(len, layers)) - 2
    for start, end, colour in lines:
        assert int(start) < int(end)
        assert colour == draw_architecture._COLOURS["right"]


def test_the_table_is_up_to_date(arrows, layers):
    text = (ROOT / draw_architecture.PAGE).read_text(encoding="utf-8")
    made = draw_architecture.page(text, arrows, layers)
    assert made == text, "run python -m tools.draw_architecture"


def test_the_api_reference_is_up_to_date():
    kept = (ROOT / make_api_reference.PAGE).read_text(encoding="utf-8")
    assert make_api_reference.reference() == kept, "run python -m tools.make_api_reference"


def package(root, name, text):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(text)


@pytest.fixture
def small(tmp_path):
    package(tmp_path, "hybridanim", '"""The library."""\n')
    package(tmp_path, "hybridanim/face", '"""Faces."""\nfrom hybridanim import geometry\n')
    package(tmp_path, "hybridanim/motion", '"""Motion."""\nfrom hybridanim.face import anchors\n')
    (tmp_path / "hybridanim/geometry.py").write_text("")
    (tmp_path / "hybridanim/face/anchors.py").write_text("from . import cascade\n")
    (tmp_path / "hybridanim/face/cascade.py").write_text("import numpy\nfrom .. import geometry\n")
    return tmp_path


SMALL = [["motion"], ["face"], [draw_architecture.FILES]]


def test_arrows_of_a_small_package(small):
    found = draw_architecture.read_arrows(small)
    files = draw_architecture.FILES
    assert found == {"motion": {"face"}, "face": {files}, files: set()}
    assert draw_architecture.wrong_arrows(found, SMALL) == []


@pytest.mark.parametrize(
    "line",
    ["from hybridanim.motion import x", "import hybridanim.motion", "from ..motion import x"],
)
def test_an_upward_import_is_found(small, line):
    late = f"def later():\n    {line}\n"
    (small / "hybridanim/face/cascade.py").write_text(late)
    found = draw_architecture.read_arrows(small)
    assert draw_architecture.wrong_arrows(found, SMALL) == [("face", "motion")]
    assert {"face", "motion"} <= set(draw_architecture.circle(found))
    assert draw_architecture._COLOURS["wrong"] in draw_architecture.svg(found, SMALL).replace(
        f'fill="{draw_architecture._COLOURS["wrong"]}"', ""
    )


def test_an_implied_arrow_is_known():
    found = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert draw_architecture.implied(found, "a", "c")
    assert not draw_architecture.implied(found, "a", "b")


def test_the_public_interface_is_left_out(small):
    package(small, "stages", '"""Stages."""\n')
    (small / "hybridanim/__init__.py").write_text("import stages\n")
    assert draw_architecture.read_arrows(small)[draw_architecture.FILES] == set()
