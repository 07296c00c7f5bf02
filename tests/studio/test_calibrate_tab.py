"""The tab Calibrate in a real browser: skin by clicks, points of the head by dragging."""

import pytest

from apps.terminal import example_source
from hybridanim.profiles import SkinProfile, TextureProfile, load_profile

from .conftest import PHONE
from .test_pose_tab import drag, newest, open_tab, wait_text

pytestmark = pytest.mark.slow
CHIN = "#texture-view circle[data-vertex='152']"


def textured(page):
    open_tab(page, "Calibrate")
    page.get_by_role("tab", name="Points of the head").click()
    page.locator("#texture-file input[type=file]").set_input_files(str(example_source()))
    page.locator("#texture-view svg").wait_for()
    return page


def test_skin_is_clicked_and_saved(page, served):
    open_tab(page, "Calibrate")
    page.locator("#skin-save").click()
    wait_text(page, "#skin-error", "expected a picture first")
    page.locator("#skin-file input[type=file]").set_input_files(str(example_source()))
    image = page.locator("#skin-view img")
    image.wait_for()
    box = image.bounding_box()
    page.mouse.click(box["x"] + 0.47 * box["width"], box["y"] + 0.26 * box["height"])
    points = page.locator("#skin-points textarea, #skin-points input").first
    page.wait_for_function(
        "() => document.querySelector('#skin-points textarea, #skin-points input').value !== ''"
    )
    page.locator("#skin-save").click()
    page.locator("#skin-preview img").wait_for()
    saved = newest(served, "*-skin*.toml")
    profile = load_profile(saved)
    assert isinstance(profile, SkinProfile) and profile.origin.source == example_source().name
    points.fill("nonsense")
    points.press("Enter")
    wait_text(page, "#skin-error", "expected x,y in pixels")


def test_points_are_dragged_the_projection_chosen_and_the_profile_saved(page, served):
    textured(page)
    drag(page, page.locator(CHIN), 8, 24)
    page.locator(f"{CHIN}.given").wait_for()
    wait_text(page, "#texture-table", "chin")
    page.get_by_label("perspective", exact=True).check()
    page.locator("#texture-fov input[type=range]").wait_for()
    page.locator("#texture-turn").click()
    page.locator("#texture-turned img").wait_for()
    page.locator("#texture-save").click()
    page.locator("#texture-saved a").first.wait_for()
    profile = load_profile(newest(served, "*-texture*.toml"))
    assert isinstance(profile, TextureProfile) and profile.camera == "perspective"
    assert profile.field_of_view_deg == 30 and [row[0] for row in profile.points] == ["chin"]
    assert profile.largest_residual_px < 0.1
    page.locator("#texture-clear").click()
    page.wait_for_function("() => !document.querySelector('#texture-view circle.given')")


def test_points_are_moved_and_freed_by_keys(page):
    textured(page)
    page.locator(CHIN).focus()
    page.keyboard.press("Shift+ArrowDown")
    page.locator(f"{CHIN}.given").wait_for()
    page.wait_for_function("() => document.activeElement.dataset.vertex === '152'")
    page.keyboard.press("Delete")
    page.wait_for_function("() => !document.querySelector('#texture-view circle.given')")


def test_a_point_is_chosen_on_the_head(page):
    textured(page)
    image = page.locator("#texture-head img")
    image.wait_for()
    box = image.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 0.55 * box["height"])
    page.locator("#texture-view circle.chosen").wait_for()
    assert page.locator("#texture-point input").input_value() != ""


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_it_fits_a_phone(page):
    textured(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
