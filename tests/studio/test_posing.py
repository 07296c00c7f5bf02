"""Poses and time lines of the page, without the page."""

import re
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest

from apps.studio import head_view, timeline
from apps.studio.posing import Edit, Poser, data_uri, described, without_head
from apps.terminal import example_source
from hybridanim import io
from hybridanim.config import PipelineConfig, RenderConfig
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.motion.by_hand import RANGES, Controls
from hybridanim.motion.keyframes import Key, Keyframes
from tests import synthetic

SMALL = PipelineConfig(size=64, render=RenderConfig(renderer="warp"), avatar="off")


@pytest.fixture(scope="module")
def poser():
    return Poser(SMALL, mark=False)


def test_a_source_is_posed_and_another_one_between(poser, tmp_path):
    io.write_picture(tmp_path / "other.png", synthetic.photograph(256)[:, ::-1].copy())
    one, other = poser.load(example_source()), poser.load(tmp_path / "other.png")
    first = poser.picture(one, Controls(yaw=20))
    assert first.shape == (64, 64, 3)
    assert np.abs(poser.picture(other, Controls(yaw=20)).astype(int) - first).mean() > 3
    np.testing.assert_array_equal(poser.picture(one, Controls(yaw=20)), first)
    np.testing.assert_array_equal(poser.picture(one, Controls()), one.source.image)


def test_what_is_shown_has_the_mark_of_results():
    marked = Poser(PipelineConfig(size=128, render=RenderConfig(renderer="warp")))
    posed = marked.load(example_source())
    wanted = provenance.draw_mark(posed.source.image)
    np.testing.assert_array_equal(marked.picture(posed, Controls()), wanted)


def test_the_expression_of_a_picture_is_copied_without_its_head(poser, tmp_path):
    posed = poser.load(example_source())
    io.write_picture(tmp_path / "own.png", io.read_source_picture(example_source()))
    found = poser.copied(posed, tmp_path / "own.png")
    assert abs(found.jaw) < 0.15 and abs(found.yaw) < 3
    kept = without_head(Controls(yaw=9, jaw=0.4), Controls(yaw=-5, zoom=0.2, smile=1))
    assert kept == Controls(yaw=-5, zoom=0.2, jaw=0.4)


def test_a_picture_without_a_face_is_refused(poser, tmp_path):
    io.write_picture(tmp_path / "none.png", synthetic.textured(200, 200))
    with pytest.raises(InputError, match="face"):
        poser.load(tmp_path / "none.png")


def test_keys_are_set_chosen_moved_and_deleted():
    edit = Edit().with_set(0.0, Controls()).with_set(1.0, Controls(yaw=20, jaw=0.5), ("jaw",))
    assert edit.chosen == 1 and edit.keys is not None
    assert edit.keys.keys[1].amounts == {"jaw": 0.5}
    assert set(edit.keys.keys[0].amounts) == set(RANGES)
    edit = edit.with_moved(2.5)
    assert [key.time_s for key in edit.expect_keys().keys] == [0, 2.5] and edit.chosen == 1
    assert edit.at(2.5) == Controls(jaw=0.5)
    assert [row[:2] for row in edit.rows()] == [[1, "0.00"], [2, "2.50"]]
    left = edit.without_chosen()
    assert left.chosen is None and len(left.expect_keys().keys) == 1
    with pytest.raises(InputError, match="expected a key that is chosen"):
        left.without_chosen()
    with pytest.raises(InputError, match="expected at least one key"):
        Edit().expect_keys()
    with pytest.raises(InputError, match="times that grow"):
        edit.with_moved(0.0)


def test_the_rate_is_kept_when_a_file_is_loaded():
    keys = Keyframes((Key(0), Key(1)), Fraction(25))
    assert Edit().with_loaded(keys).fps == 25
    edit = Edit().with_rate(24).with_set(0, Controls())
    assert edit.expect_keys().fps == 24 and edit.with_rate(60).expect_keys().fps == 60


def test_the_time_line_has_a_handle_for_each_key_at_its_place():
    edit = Edit().with_set(0, Controls()).with_set(4, Controls(yaw=30))
    drawn = timeline.html_of(edit, 2.0)
    assert timeline.shown_s(edit) == 5.0
    places = [float(x) for x in re.findall(r'class="key.*?translate\(([0-9.]+) ', drawn)]
    assert places == pytest.approx([18, 18 + 604 * 0.8], abs=0.2)
    now = re.search(r'class="now" x1="([0-9.]+)"', drawn)
    assert now is not None and float(now[1]) == pytest.approx(18 + 604 * 0.4, abs=0.2)
    assert drawn.count("<polyline") == 1  # yaw alone is moved
    assert drawn.count('aria-pressed="true"') == 1
    assert timeline.html_of(Edit(), 0.0).count('class="key') == 0


def test_a_picture_is_in_the_html_itself():
    picture = synthetic.photograph(64)
    shown = head_view.html_of(picture, Controls(yaw=12.5, pitch=-3))
    assert 'data-yaw="12.50" data-pitch="-3.00"' in shown and data_uri(picture) in shown
    assert "http" not in shown and "alt=" in shown


def test_amounts_are_described_by_what_they_change():
    assert described(asdict(Controls(yaw=20, smile=-0.25))) == "yaw 20, smile -0.25"
    assert described({}) == described(asdict(Controls())) == "as in the picture"
