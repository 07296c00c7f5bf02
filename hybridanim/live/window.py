"""The window of a live run, by OpenCV, and whether one can be opened at all."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys

import cv2

from hybridanim.types import Array

TITLE = "hybridanim: a generated picture"


class Window:
    """An OpenCV window; all calls from the main thread."""

    def __init__(self) -> None:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._size: tuple[int, ...] = ()
        self._is_shown = False

    def write(self, image: Array) -> None:
        """Show (H, W, 3) uint8 RGB; the window is resized when the picture's size changes."""
        if image.shape != self._size:
            self._size = image.shape
            cv2.resizeWindow(TITLE, image.shape[1], image.shape[0])
        cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._is_shown = True

    def key(self) -> int:
        """The code of the key that was pressed, or -1; also lets the window redraw."""
        code = cv2.pollKey()
        is_gone = self._is_shown and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        return ord("q") if is_gone else code

    def close(self) -> None:
        """Close the window."""
        with contextlib.suppress(cv2.error):
            cv2.destroyWindow(TITLE)


class DisplayCheck:
    """Tests in a process of its own whether a window opens: Qt aborts without a display."""

    def __init__(self) -> None:
        self._probe: subprocess.Popen | None = None
        self._answer = ""
        is_linux = platform.system() == "Linux"
        if is_linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            self._answer = "there is no display"
            return
        code = "import cv2; cv2.namedWindow('probe'); cv2.destroyAllWindows()"
        self._probe = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def reason(self) -> str:
        """Why no window can be opened, or ""; waits for the test."""
        if self._probe is not None:
            try:
                is_well = self._probe.wait(20) == 0
            except subprocess.TimeoutExpired:
                self._probe.kill()
                is_well = False
            self._answer = "" if is_well else "the display cannot be opened by this OpenCV"
            self._probe = None
        return self._answer
