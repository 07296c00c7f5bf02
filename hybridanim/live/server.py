"""The result in a browser: MJPEG over HTTP, by the standard library.

``publish`` only stores the picture; each reader's own thread waits for it, and the first reader
encodes it for all. A slow reader misses pictures, one that never reads is disconnected, and without
readers nothing is encoded; there are at most eight. Requests that other pages or names make a
browser send are refused (``access``); where other machines reach the server, its URL holds a random
token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2

from hybridanim.errors import InputError
from hybridanim.types import Array

from . import access
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
        self.readers = 0  # of the stream
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

    def join(self) -> bool:
        """Count one more reader of the stream; False, and not counted, where there are enough."""
        with self._changed:
            has_room = self.readers < _MOST_READERS
            self.readers += has_room
            return has_room

    def leave(self) -> None:
        """The opposite of a ``join`` that was True."""
        with self._changed:
            self.readers -= 1

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
    """Serves the page and its stream until ``close``; ``port`` is the port in use.

    ``url`` ends with "/"; the page's other addresses are relative to it.
    """

    name = "browser"

    def __init__(
        self,
        port: int,
        address: str = "127.0.0.1",
        on_key: Callable[[str], None] = lambda letter: None,
    ) -> None:
        """port: 0 = any free one. on_key: called from other threads with a hotkey's letter,
        one that the page has.

        address: of this machine, by number or name; 0.0.0.0 or :: = all of its addresses. Raises
        InputError when there is no such address, or the port is not available.
        """
        bound = access.bound_address(address)
        self.broadcaster = FrameBroadcaster()
        broadcaster = self.broadcaster
        token = "" if bound.is_loopback else access.new_token()

        class Handler(_Handler):
            pass

        Handler.broadcaster, Handler.on_key = broadcaster, staticmethod(on_key)
        Handler.root = f"/{token}/" if token else "/"
        Handler.address = address
        family = socket.AF_INET if bound.version == 4 else socket.AF_INET6
        try:
            self._server = _QuietServer((str(bound), port), Handler, family)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--serve {port}: expected a free port of {address}, got"
                f" {getattr(error, 'strerror', None) or error}; choose another number, or 0"
            ) from error
        self.port = int(self._server.server_address[1])
        self.is_everywhere = bound.is_unspecified
        self.url = f"http://{access.in_url(bound)}:{self.port}{Handler.root}"
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

    def __init__(
        self, address: tuple[str, int], handler: type[_Handler], family: socket.AddressFamily
    ) -> None:
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the address's name, which may ask other machines."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # pyright: ignore

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: readers that disconnect are no error."""


class _Handler(BaseHTTPRequestHandler):
    """One request of a browser."""

    broadcaster: FrameBroadcaster
    on_key: Callable[[str], None]
    root: str  # path of the page: "/", or the token between two
    address: str  # that the server was asked to listen on
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hybridanim", ""
    timeout = _GONE_S

    def do_GET(self) -> None:
        """The page, its stream, one picture, or the status."""
        if not self._is_ours():
            return
        name = urlsplit(self.path).path.removeprefix(self.root)
        if name == "":
            self._answer(_PAGE.encode(), "text/html; charset=utf-8")
        elif name == "stream.mjpg":
            self._stream()
        elif name == "picture.jpg":
            found = self.broadcaster.next(0, _GONE_S)
            if found is None:
                self.send_error(503, "no picture yet")
            else:
                self._answer(found[2], "image/jpeg")
        elif name == "status.json":
            self._answer(json.dumps(self.broadcaster.status).encode(), "application/json")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """A hotkey of the page: /key?letter=r."""
        if not self._is_ours():
            return
        asked = urlsplit(self.path)
        letter = parse_qs(asked.query).get("letter", [""])[0]
        if asked.path != f"{self.root}key" or letter not in _KEYS:
            self.send_error(404)
            return
        type(self).on_key(letter)
        self._answer(b"", "text/plain")

    def _is_ours(self) -> bool:
        """Refuse requests that another page or a rebound name made the browser send.

        The token is asked for last, so that it is compared for nobody else.
        """
        hosts, origin = self.headers.get_all("Host") or [""], self.headers.get("Origin")
        here = self.connection.getsockname()[:2]
        is_named = len(hosts) == 1 and access.is_named(hosts[0], here, self.address)
        is_same = origin is None or origin.lower() == f"http://{hosts[0].lower()}"
        is_plain = self.headers.get("Sec-Fetch-Site") in (None, "none", "same-origin")
        if not (is_named and is_same and is_plain):
            return self._refuse("only for pages of this server")
        if not access.is_below(urlsplit(self.path).path, self.root):
            return self._refuse("only by the address that the program printed")
        return True

    def _refuse(self, reason: str) -> bool:
        self.close_connection = True
        self.send_error(403, reason)
        return False

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Send what belongs to every answer, errors included, and end the headers."""
        for name, value in _SAFE_HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _stream(self) -> None:
        """Send pictures as they come, until the reader disconnects or stops reading."""
        if not self.broadcaster.join():
            self.send_error(503, "too many readers")
            return
        try:
            self._begin_stream()
            self._send_pictures()
        except OSError:  # disconnected
            return
        finally:
            self.broadcaster.leave()

    def _begin_stream(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Connection", "close")
        self.end_headers()

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
_SHOWN = [  # of the buttons, with what they do; h and q are for the window alone
    (letter, what)
    for key, what in HELP
    if key not in ("h", "q")
    for letter in _LETTERS.get(key, (key,))
]
_KEYS = frozenset([*(letter for letter, _ in _SHOWN), *"=123456789"])  # all that the page sends
_BUTTONS = "".join(
    f'<button data-letter="{letter}" title="{what}">{letter}</button>' for letter, what in _SHOWN
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
<img id="picture" src="./stream.mjpg" alt="generated picture, live">
<p id="text" role="status"></p>
<p>{_BUTTONS}</p>
<script>
  const text = document.getElementById("text"), picture = document.getElementById("picture");
  const press = letter => fetch("key?letter=" + encodeURIComponent(letter), {{ method: "POST" }});
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => press(button.dataset.letter);
  document.onkeydown = event => {{
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ({json.dumps(sorted(_KEYS))}.includes(event.key)) press(event.key);
  }};
  picture.onerror = () => setTimeout(() => {{ picture.src = "stream.mjpg?" + Date.now(); }}, 1000);
  setInterval(async () => {{
    try {{
      const status = await (await fetch("status.json")).json();
      const message = status.notice || status.hint;
      text.textContent = [status.figures, message].filter(Boolean).join("  ·  ");
      text.className = !message ? "" : status.is_good && !status.notice ? "good" : "wrong";
    }} catch {{ text.textContent = "the live run has ended"; }}
  }}, 500);
</script>
"""


def _hash_of(tag: str) -> str:
    """The text between a tag of the page and its end, as a source of a content security policy."""
    found = re.search(f"<{tag}>(.*?)</{tag}>", _PAGE, re.DOTALL)
    assert found is not None
    digest = hashlib.sha256(found[1].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


_POLICY = (
    "default-src 'none'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    f" frame-ancestors 'none'; style-src {_hash_of('style')}; script-src {_hash_of('script')}"
)
_SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
