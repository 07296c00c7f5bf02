"""Fixtures of the studio: its context, its server, and a browser that may ask nobody else.

``page`` is for the tests of every tab: it opens the served page, and at the end of the test there
may be no error on the console and no request to another machine.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from apps.studio import context as contexts
from apps.studio.config import StudioJob
from apps.studio.context import Context
from hybridanim.config import PipelineConfig, RenderConfig

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--no-first-run"),
)
SMALL = PipelineConfig(size=64, render=RenderConfig(renderer="warp"), avatar="off")
PHONE = {"width": 390, "height": 844}


def studio_context(folder: Path, **settings: Any) -> Context:
    """A studio whose files lie in this folder; its animations are small."""
    uploads = folder / "uploads"
    uploads.mkdir()
    job = StudioJob(results=folder / "results", browser=False, pipeline=SMALL, **settings)
    return contexts.make(job, uploads)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    found = studio_context(tmp_path)
    yield found
    found.queue.close()


@dataclass
class Served:
    """A studio that answers."""

    url: str
    context: Context


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    """The studio's own server, in a thread, on a free port of this machine."""
    pytest.importorskip("gradio", reason="the extra ui is not installed")
    import uvicorn

    folder = tmp_path_factory.mktemp("studio")
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    from apps.studio import server

    found = studio_context(folder)
    with server.bind("127.0.0.1", 0) as listening:
        config = uvicorn.Config(server.make_app(found), log_level="warning", access_log=False)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.05)
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}/", found)
        running.should_exit = True
        thread.join(10)
    found.queue.close()
    if before is None:
        del os.environ["GRADIO_TEMP_DIR"]
    else:
        os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = CHROMIUM if Path(CHROMIUM).is_file() else shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium on this system")
    with playwright.sync_playwright() as driver:
        fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
        browser = driver.chromium.launch(executable_path=path, args=[*ARGUMENTS, *fake])
        yield browser
        browser.close()


@dataclass
class Guard:
    """What a page must not do."""

    url: str
    faults: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        """Note errors on the console, and requests to other machines."""
        page.on("console", lambda one: self._console(one.type, one.text))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request.url))
        page.on("websocket", lambda socket: self._request(socket.url.replace("ws", "http", 1)))

    def _console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.faults.append(f"console: {text}")

    def _request(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.faults.append(f"request: {url}")


@pytest.fixture
def page(served: Served, chromium: Any, request) -> Iterator[Any]:
    """The studio's page; mark with ``pytest.mark.parametrize("page", [PHONE], indirect=True)``."""
    size = getattr(request, "param", {"width": 1280, "height": 1000})
    found, guard = chromium.new_page(viewport=size), Guard(served.url)
    found.set_default_timeout(90_000)
    guard.watch(found)
    found.goto(served.url)
    found.wait_for_selector("#run")
    yield found
    found.close()
    assert guard.faults == []
