"""Photograph the studio's page for README and guide, with the package's example alone.

    python -m tools.make_screenshots

Starts the studio on a free port, animates two seconds of the example in the system's Chromium, and
writes docs/pictures/studio.jpg (the page) and studio_stages.jpg (the tab Stages). Needs gradio,
playwright and a Chromium.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybridanim import io
from hybridanim.resampling import resized

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH_PX, HEIGHT_PX, SHOWN_PX = 1180, 900, 1000
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, opened(url) as page:
        page.click("#example-0")
        page.wait_for_selector("#source-framing img")
        page.wait_for_selector("#driving-view img")
        page.click("#more-options > button")
        page.click("text=Cut, sound, mark")
        page.fill("#option-end input", "2")
        page.check("#option-debug input")
        page.click("#more-options > button")
        page.click("#run")
        page.wait_for_selector("#result-video video", timeout=600_000)
        page.evaluate("document.querySelectorAll('video').forEach(one => one.pause())")
        for one in ("#driver-video video", "#result-video video"):
            page.eval_on_selector(one, "one => { one.currentTime = 1.1; }")
        page.wait_for_timeout(2000)
        keep(page, "studio.jpg")
        page.click("role=tab[name=Stages]")
        page.wait_for_selector("#stages-picture img")
        page.fill("#stages-frame input[type=number]", "33")
        page.press("#stages-frame input[type=number]", "Enter")
        page.wait_for_selector("#stages-line:has-text('Frame 33')")
        page.wait_for_timeout(1500)
        keep(page, "studio_stages.jpg")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a studio whose results go to a folder that is not kept."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    import uvicorn

    from apps.studio import context, server
    from apps.studio.config import StudioJob

    (folder / "uploads").mkdir()
    before = Path.cwd()
    os.chdir(folder)
    made = context.make(StudioJob(results=Path("out"), browser=False), folder / "uploads")
    os.chdir(before)
    with server.bind("127.0.0.1", 0) as listening:
        running = uvicorn.Server(uvicorn.Config(server.make_app(made), log_level="warning"))
        sockets = {"sockets": [listening]}
        thread = threading.Thread(target=running.run, kwargs=sockets, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.1)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        running.should_exit = True
        thread.join(10)
    made.queue.close()


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """The page in a browser without a window."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("make_screenshots: expected a Chromium, found none; install one")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*ARGUMENTS])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.set_default_timeout(90_000)
        page.goto(url)
        page.wait_for_selector("#run")
        yield page
        browser.close()


def keep(page: Any, name: str) -> None:
    """Write the whole page as a small JPEG."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        page.screenshot(path=path, full_page=True)
        picture = io.read_picture(path)
    height = round(picture.shape[0] * SHOWN_PX / picture.shape[1])
    io.write_picture(PICTURES / name, resized(picture, SHOWN_PX, height))


if __name__ == "__main__":
    main()
