"""The tab Pose in a real browser: drag, sliders, key frames, clip, copied expression."""

import tomllib

import pytest

from apps.terminal import example_source
from hybridanim import io
from hybridanim.motion import keyframes
from hybridanim.motion.motion_file import Motion
from tests import synthetic

from .conftest import PHONE

pytestmark = pytest.mark.slow
IMAGE = "#pose-view img"


def opened(page, source=None):
    """The tab with a source."""
    open_tab(page, "Pose")
    if source is None:
        page.locator("#pose-example").click()
    else:
        page.locator("#pose-file input[type=file]").set_input_files(str(source))
    return page


def open_tab(page, name):
    """Open a tab; on a narrow screen it may be in the menu of those that do not fit."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text=name).click()
    else:
        tab.click()


def choose_file(page, button, path):
    """Give a file to a button that asks for one."""
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files(str(path))


def newest(served, pattern):
    """The last result of a name."""
    return max(served.context.results.glob(pattern), key=lambda path: path.stat().st_mtime_ns)


def number(page, name):
    return float(page.locator(f"#pose-{name} input[type=number]").input_value())


def slide(page, name, value):
    """Move a slider, and wait for its picture."""
    image = page.locator(IMAGE)
    before = image.get_attribute("src")
    slider = page.locator(f"#pose-{name} input[type=range]")
    script = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }"
    slider.evaluate(script, str(value))
    changed = "s => document.querySelector('#pose-view img').src !== s"
    page.wait_for_function(changed, arg=before)


def wait_text(page, selector, text):
    page.wait_for_function(
        "([s, t]) => document.querySelector(s).innerText.includes(t)", arg=[selector, text]
    )


def set_key(page, time_s, count):
    page.locator("#pose-time input").fill(str(time_s))
    page.locator("#pose-set-key").click()
    page.wait_for_function(
        "n => document.querySelectorAll('#pose-line .key').length === n", arg=count
    )


def drag(page, locator, x, y):
    """Press in the middle and move by x, y pixels, in steps."""
    box = locator.bounding_box()
    start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*start)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(start[0] + x * step / 5, start[1] + y * step / 5)
        page.wait_for_timeout(30)
    page.mouse.up()


def test_the_head_is_dragged_and_turned_by_keys(page):
    image = opened(page).locator(IMAGE)
    image.wait_for()
    width = image.bounding_box()["width"]
    drag(page, image, width / 6, 0)  # 120 degrees over the width
    page.wait_for_function(
        "() => Number(document.querySelector('#pose-view img').dataset.yaw) > 19"
    )
    assert number(page, "yaw") == pytest.approx(20, abs=1)
    assert number(page, "pitch") == pytest.approx(0, abs=1)
    before = number(page, "yaw")
    image.focus()
    page.keyboard.press("ArrowLeft")
    changed = "v => Math.abs(Number(document.querySelector('#pose-view img').dataset.yaw) - v) < .2"
    page.wait_for_function(changed, arg=before - 2)
    page.locator("#pose-reset").click()
    page.wait_for_function(changed, arg=0)
    assert number(page, "yaw") == 0


def test_sliders_keys_and_a_clip(page, served, tmp_path):
    opened(page).locator(IMAGE).wait_for()
    page.locator("#pose-set-key").click()
    page.locator("#pose-line .key").first.wait_for()
    slide(page, "jaw", 0.6)
    slide(page, "yaw", -20)
    set_key(page, 0.4, 2)
    page.get_by_text("yaw -20, jaw 0.6").wait_for()
    page.locator("#pose-line .key").first.click()  # chosen: its pose is shown
    page.wait_for_function(
        "() => document.querySelector('#pose-jaw input[type=number]').value == 0"
    )
    drag(page, page.locator("#pose-line .key").nth(1), 40, 0)  # to a later time
    page.wait_for_function("() => Number(document.querySelector('#pose-time input').value) > 0.45")
    page.locator("#pose-save-keys").click()
    page.locator("#pose-saved a").first.wait_for()
    saved = newest(served, "astronaut-posed-keys*.toml")
    keys = keyframes.load(saved)
    assert keys.duration_s > 0.45 and keys.keys[1].amounts["yaw"] == -20
    page.locator("#pose-save-motion").click()
    wait_text(page, "#pose-saved", "safetensors")
    motion = Motion.load(newest(served, "astronaut-posed*.safetensors"))
    assert motion.count == keys.count
    page.locator("#pose-clip").click()
    wait_text(page, "#pose-progress", "done")
    clip = newest(served, "astronaut-posed*.mp4")
    with io.open_source(clip) as reader:
        assert reader.frame_count == keys.count
    assert clip.with_suffix(".json").is_file()  # its record
    assert page.locator("#pose-video video").count() == 1


def test_the_last_key_is_deleted_and_a_file_loaded(page, tmp_path):
    opened(page).locator(IMAGE).wait_for()
    set_key(page, 0, 1)
    page.locator("#pose-remove-key").click()
    page.wait_for_function("() => !document.querySelector('#pose-line .key')")
    page.locator("#pose-remove-key").click()
    wait_text(page, "#pose-key-error", "expected a key that is chosen")
    file = tmp_path / "k.toml"
    keyframes.save(keyframes.Keyframes((keyframes.Key(0), keyframes.Key(1, {"yaw": 9}))), file)
    choose_file(page, "#pose-load-keys", file)
    page.get_by_text("yaw 9").wait_for()
    page.locator("#pose-play").click()
    page.wait_for_function(
        "() => Number(document.querySelector('#pose-view img').dataset.yaw) === 9"
    )
    file.write_text('kind = "skin"\n')
    choose_file(page, "#pose-load-keys", file)
    wait_text(page, "#pose-key-error", 'expected kind = "keyframes"')


def test_consent_is_asked_for_a_new_picture_once(page, tmp_path):
    picture = tmp_path / "someone.png"
    io.write_picture(picture, synthetic.photograph(256)[:, ::-1].copy())
    opened(page, picture)
    wait_text(page, "#pose-error", "consent")
    assert page.locator(IMAGE).count() == 0
    page.locator("#pose-consent input").check()
    page.locator(IMAGE).wait_for()
    assert page.locator("#pose-error").inner_text().strip() == ""


def test_an_expression_is_copied_from_a_picture(page, tmp_path):
    opened(page).locator(IMAGE).wait_for()
    page.get_by_role("button", name="Copy expression from a picture").click()
    page.locator("#pose-copy").click()
    wait_text(page, "#pose-copy-error", "picture to copy from")
    turned = tmp_path / "turned.png"
    io.write_picture(turned, posed_picture())
    page.locator("#pose-copy-file input[type=file]").set_input_files(str(turned))
    page.locator("#pose-copy").click()
    page.wait_for_function(
        "() => Number(document.querySelector('#pose-roll input[type=number]').value) > 10"
    )
    assert number(page, "jaw") > 0.2


def posed_picture():
    """The example's face tilted by 15 degrees, with an open mouth."""
    from hybridanim import Pipeline

    pipeline = Pipeline.load(size=384)
    pipeline.set_source(io.read_source_picture(example_source()))
    return pipeline.pose(roll=15, jaw=0.7)


def test_a_still_is_saved_with_its_record(page, served):
    opened(page).locator(IMAGE).wait_for()
    slide(page, "yaw", 15)
    page.locator("#pose-still").click()
    wait_text(page, "#pose-progress", "done")
    still = newest(served, "astronaut-posed*.png")
    assert io.read_picture(still).shape == (64, 64, 3)
    used = newest(served, "astronaut-posed-keys*.toml")
    assert tomllib.loads(used.read_text())["key"][0]["yaw"] == 15


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_it_fits_a_phone(page):
    opened(page).locator(IMAGE).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
