"""The page in a browser: upload, run, cancel, errors, stages, keyboard, phone.

The fixture ``page`` also asserts that the console has no error and that nobody else is asked.
"""

import re
from pathlib import Path

import pytest
from skimage import data

from hybridanim import io
from hybridanim.files import EXAMPLE_DRIVING

from .conftest import PHONE

pytestmark = pytest.mark.slow

EXAMPLE = "#example-0"


def open_options(page) -> None:
    page.click("#more-options > button")
    page.click("text=Cut, sound, mark")


def choose_short(page, end: str = "0.2") -> None:
    open_options(page)
    page.fill("#option-end input", end)
    page.press("#option-end input", "Tab")


def upload(page, source: Path, driving: Path | None = EXAMPLE_DRIVING) -> None:
    page.set_input_files("#source-file input[type=file]", source)
    if driving is not None:
        page.set_input_files("#driving-file input[type=file]", driving)
        page.wait_for_selector("#driving-view img")


def figures(page) -> re.Match[str]:
    page.wait_for_selector("#status:has-text('frames in')")
    found = re.search(r"(done|cancelled.*): (\d+) frames", page.inner_text("#status"))
    assert found is not None
    return found


def test_the_example_and_its_stages(page, served):
    page.click(EXAMPLE)
    page.wait_for_selector("#source-framing img")
    page.wait_for_selector("#driving-view img")
    assert not page.is_visible("#source-consent")
    choose_short(page)
    page.check("#option-debug input")
    page.click("#run")
    assert figures(page).groups() == ("done", "6")
    page.wait_for_selector("#result-video video")
    page.wait_for_function("document.querySelector('#result-video video').readyState >= 2")
    assert page.evaluate("document.querySelector('#result-video video').videoWidth") == 64
    command = page.input_value("#command textarea")
    assert "astronaut.png driving.mp4 --output astronaut-driving.mp4" in command
    assert "--end 0.2" in command
    assert "done, 6 frames" in page.inner_text("#history")
    page.click("role=tab[name=Stages]")
    page.wait_for_selector("#stages-picture img")
    before = page.get_attribute("#stages-picture img", "src")
    page.fill("#stages-frame input[type=number]", "5")
    page.press("#stages-frame input[type=number]", "Enter")
    page.wait_for_selector("#stages-line:has-text('Frame 5')")
    page.wait_for_function(
        "src => document.querySelector('#stages-picture img').src != src", arg=before
    )
    page.check("#stages-stage >> text=4 Head mesh")
    page.wait_for_timeout(500)
    assert page.is_visible("#stages-picture img")
    assert "held nowhere" in page.inner_text("#stages-about")


def test_upload_consent_and_a_click_on_a_face(page, tmp_path):
    picture = data.astronaut()[:400]
    two = picture.repeat(1, 0).copy()
    two[250:370, 360:480] = picture[30:270:2, 100:340:2]
    io.write_picture(tmp_path / "two people.png", two)
    upload(page, tmp_path / "two people.png")
    page.wait_for_selector("#source-framing img")
    assert page.is_checked("#source-face input >> nth=0")
    box = page.locator("#source-view img").bounding_box()
    x, y = (420 / 512, 310 / 400)
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.wait_for_selector("#source-face label:nth-child(2) input:checked")
    choose_short(page)
    page.click("#run")
    page.wait_for_selector("#source-error [role=alert]:has-text('consent')")
    page.check("#source-consent input")
    page.click("#run")
    assert figures(page)[1] == "done"
    assert "--face 1" in page.input_value("#command textarea")
    assert not page.is_visible("#source-error [role=alert]")


def test_cancel_keeps_what_is_done(page):
    page.click(EXAMPLE)
    page.wait_for_selector("#driving-view img")
    page.wait_for_selector("#source-framing img")
    page.click("#run")
    page.wait_for_selector("#status progress[value]")
    page.click("#cancel")
    assert "cancelled" in figures(page)[1]
    page.wait_for_selector("#result-video video")


def test_errors_are_shown_where_the_input_is(page, tmp_path):
    page.click("#run")
    page.wait_for_selector("#source-error [role=alert]:has-text('source: expected a picture')")
    (tmp_path / "notes.png").write_text("no picture")
    upload(page, tmp_path / "notes.png", None)
    page.wait_for_selector("#source-error [role=alert]:has-text('text file')")
    (tmp_path / "notes.mp4").write_text("no video")
    page.set_input_files("#driving-file input[type=file]", tmp_path / "notes.mp4")
    page.wait_for_selector("#driving-error [role=alert]")
    page.click(EXAMPLE)
    page.wait_for_selector("#driving-view img")
    page.fill("#option-size input", "3")
    page.press("#option-size input", "Tab")
    page.click("#run")
    page.wait_for_selector("#run-error [role=alert]:has-text('--size: expected 64 to 4096')")


def test_the_webcam_records_a_driver(page):
    """Chromium's fake camera shows no face, which the page says."""
    page.click("text=Record by the webcam")
    page.click("#driving-webcam button:has-text('Click to Access Webcam')")
    button = "#driving-webcam button[aria-label='start recording']"  # and, pressed again, stop
    page.click(button)
    page.wait_for_timeout(1500)
    page.click(button)
    page.wait_for_selector("#driving-view img")
    page.wait_for_selector("#driving-error:has-text('No face found')")


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_readable_on_a_phone(page):
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    page.click(EXAMPLE)
    page.wait_for_selector("#source-framing img")
    open_options(page)
    page.wait_for_timeout(500)
    assert page.evaluate(wide) <= 0, "nothing sticks out at the right"
    narrow = page.evaluate(
        "[...document.querySelectorAll('.main-options .form > .block')]"
        ".filter(one => one.offsetParent && one.clientWidth < 150).length"
    )
    assert narrow == 0


def test_keyboard_and_labels(page):
    """Every input has a name for screen readers, and Tab reaches the button that runs."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=hidden]), textarea, button')]
        .filter(one => one.offsetParent && !one.labels?.length && !one.innerText?.trim()
            && !one.ariaLabel && !one.title && !one.getAttribute('aria-labelledby')
            && one.type != 'file')
        .map(one => one.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    page.focus(EXAMPLE)
    page.keyboard.press("Enter")
    page.wait_for_selector("#driving-view img")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "run":
            break
    assert page.evaluate("document.activeElement.id") == "run"
    page.keyboard.press("Enter")
    page.wait_for_selector("#status:has-text('animating')")
    page.click("#cancel")
    figures(page)
