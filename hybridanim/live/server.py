"""The result in a browser: MJPEG over HTTP, by the standard library, to this machine alone.

``publish`` only stores the picture; each reader's own thread waits for it, and the first reader
encodes it for all. A slow reader misses pictures, one that never reads is disconnected, and without
readers nothing is encoded. Requests that other pages or names make a browser send are refused.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2

from hybridanim.errors import InputError
from hybridanim.types import Array

from .keys import HELP

BOUNDARY = "picture"
_QUALITY = 88
_GONE_S = 5.0  # a reader that takes nothing for so long is disconnected
_SEND_BYTES = 256 * 1024  # send buffer of a reader: a few pictures
_MOST_READERS = 8


class FrameBroadcaster:
    """Hands the newest picture to any number of reader threads, encoded once."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}  # shown on the page
        self.readers = 0
        self._changed = threading.Condition()
        self._image: Array | None = None
        self._number, self._time_s = 0, 0.0
        self._encoded = (0, b"")
        self._encoding = threading.Lock()
        self.is_closed = False

    def publish(self, image: Array, time_s: float) -> None:
        """Store (H, W, 3) uint8 RGB taken at ``time_s``; it must not be changed afterwards."""
        with self._changed:
            self._image, self._time_s = image, time_s
            self._number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End all readers."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    def next(self, seen: int, timeout_s: float) -> tuple[int, float, bytes] | None:
        """Number, time and JPEG of a picture newer than number ``seen``; None after the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > seen or self.is_closed, timeout_s)
            if self._number <= seen or self._image is None:
                return None
            number, image, time_s = self._number, self._image, self._time_s
        with self._encoding:
            if self._encoded[0] != number:
                self._encoded = (number, _jpeg(image))
            return number, time_s, self._encoded[1]


def _jpeg(image: Array) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    is_well, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not is_well:
        raise RuntimeError("the picture could not be encoded as JPEG")
    return data.tobytes()


class Server:
    """Serves the page and its stream until ``close``; ``port`` is the port in use."""

    name = "browser"

    def __init__(
        self,
        port: int,
        address: str = "127.0.0.1",
        on_key: Callable[[str], None] = lambda letter: None,
    ) -> None:
        """port: 0 = any free one. on_key: called from other threads with a hotkey's letter.

        Raises InputError when the port is not available.
        """
        self.broadcaster = FrameBroadcaster()
        broadcaster = self.broadcaster
        is_local = address in ("127.0.0.1", "localhost", "::1")

        class Handler(_Handler):
            pass

        Handler.broadcaster, Handler.on_key, Handler.is_local = (
            broadcaster,
            staticmethod(on_key),
            is_local,
        )
        try:
            self._server = _QuietServer((address, port), Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--serve {port}: expected a free port of {address}, got"
                f" {getattr(error, 'strerror', None) or error}; choose another number, or 0"
            ) from error
        self.port = int(self._server.server_address[1])
        self.url = f"http://{'127.0.0.1' if is_local else address}:{self.port}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True
        )
        self._thread.start()

    def write(self, image: Array, time_s: float) -> None:
        """Send a picture to all readers."""
        self.broadcaster.publish(image, time_s)

    def close(self) -> None:
        """End all streams and release the port."""
        self.broadcaster.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a hanging reader must not delay the end
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: readers that disconnect are no error."""


class _Handler(BaseHTTPRequestHandler):
    """One request of a browser."""

    broadcaster: FrameBroadcaster
    on_key: Callable[[str], None]
    is_local: bool
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hybridanim", ""
    timeout = _GONE_S

    def do_GET(self) -> None:
        """The page, its stream, one picture, or the status."""
        if not self._is_ours():
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._answer(_PAGE.encode(), "text/html; charset=utf-8")
        elif path == "/stream.mjpg":
            self._stream()
        elif path == "/picture.jpg":
            found = self.broadcaster.next(0, _GONE_S)
            if found is None:
                self.send_error(503, "no picture yet")
            else:
                self._answer(found[2], "image/jpeg")
        elif path == "/status.json":
            self._answer(json.dumps(self.broadcaster.status).encode(), "application/json")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """A hotkey: /key?letter=r."""
        if not self._is_ours():
            return
        asked = urlsplit(self.path)
        letter = parse_qs(asked.query).get("letter", [""])[0]
        if asked.path != "/key" or len(letter) != 1:
            self.send_error(404)
            return
        type(self).on_key(letter)
        self._answer(b"", "text/plain")

    def _is_ours(self) -> bool:
        """Refuse requests that another page or a rebound name made the browser send."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        origin = self.headers.get("Origin")
        is_named = host in ("127.0.0.1", "localhost", "[::1]") or not self.is_local
        is_same = origin is None or urlsplit(origin).netloc == self.headers.get("Host")
        is_plain = self.headers.get("Sec-Fetch-Site") in (None, "none", "same-origin")
        if is_named and is_same and is_plain:
            return True
        self.close_connection = True
        self.send_error(403, "only for pages of this server")
        return False

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self._headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _stream(self) -> None:
        """Send pictures as they come, until the reader disconnects or stops reading."""
        if self.broadcaster.readers >= _MOST_READERS:
            self.send_error(503, "too many readers")
            return
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send_response(200)
        self._headers(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Connection", "close")
        self.end_headers()
        self.broadcaster.readers += 1
        try:
            self._send_pictures()
        except OSError:  # disconnected
            return
        finally:
            self.broadcaster.readers -= 1

    def _send_pictures(self) -> None:
        seen = 0
        while not self.broadcaster.is_closed:
            found = self.broadcaster.next(seen, 1.0)
            if found is None:
                continue
            seen, time_s, data = found
            head = (
                f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n"
                f"X-Number: {seen}\r\nX-Taken-S: {time_s:.6f}\r\n\r\n"
            )
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""


# The page that shows the stream: one picture, rate and latency, and buttons for the hotkeys.
_LETTERS = {"+ -": ("+", "-")}
_BUTTONS = "".join(
    f'<button data-letter="{letter}" title="{what}">{letter}</button>'
    for key, what in HELP
    if key not in ("h", "q")
    for letter in _LETTERS.get(key, (key,))
)

_PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>hybridanim, live: generated pictures</title>
<style>
  html {{ color-scheme: dark; background: #16181c; color: #eceef1; font: 15px/1.5 system-ui; }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
    align-content: center; gap: .7rem; }}
  img {{ width: min(96vw, 82vh); height: min(96vw, 82vh); object-fit: contain;
    background: #22252b; }}
  p {{ margin: 0; min-height: 1.5em; }}
  .good {{ color: #58d6ab; }} .wrong {{ color: #f0b429; }}
  button {{ font: inherit; min-width: 2.4em; margin: 0 .15em; }}
</style>
<img id="picture" src="/stream.mjpg" alt="generated picture, live">
<p id="text" role="status"></p>
<p>{_BUTTONS}</p>
<script>
  const text = document.getElementById("text"), picture = document.getElementById("picture");
  const press = letter => fetch("/key?letter=" + encodeURIComponent(letter), {{ method: "POST" }});
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => press(button.dataset.letter);
  document.onkeydown = event => {{
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ("rnmd+-=p123456789".includes(event.key)) press(event.key);
  }};
  picture.onerror = () => setTimeout(() => {{ picture.src = "/stream.mjpg?" + Date.now(); }}, 1000);
  setInterval(async () => {{
    try {{
      const status = await (await fetch("/status.json")).json();
      const message = status.notice || status.hint;
      text.textContent = [status.figures, message].filter(Boolean).join("  ·  ");
      text.className = !message ? "" : status.is_good && !status.notice ? "good" : "wrong";
    }} catch {{ text.textContent = "the live run has ended"; }}
  }}, 500);
</script>
"""
