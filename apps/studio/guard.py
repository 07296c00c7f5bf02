"""Who may send requests to the studio: ASGI middleware before page and API.

The rules are those of ``live --serve``: the Host header names this server, no other site has sent
the request, and the path begins with the token where there is one. Every answer forbids the
browser to load anything from other machines.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse

from hybridanim.live import access

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self'"
    " data:; connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri"
    " 'self'; form-action 'self'; frame-ancestors 'none'"
)
SAFE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


MOST_JSON_BYTES = 64 << 20  # a body of JSON is held in memory


class Limits:
    """Middleware that answers 413 to bodies that are too large, by header or as they come."""

    def __init__(self, app: Any, prefix: str, most_bytes: int) -> None:
        """prefix: of the paths that it counts for."""
        self._app, self._prefix, self._most = app, prefix, most_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").startswith("multipart/form-data")
        most = self._most if is_form else min(self._most, MOST_JSON_BYTES)
        refused = JSONResponse({"error": f"request: at most {most} bytes"}, 413)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            await refused(scope, receive, send)
            return
        taken = 0

        async def counted() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLarge
            return message

        try:
            await self._app(scope, counted, send)
        except _TooLarge:
            await refused(scope, receive, send)


class _TooLarge(Exception):
    pass


class Guard:
    """Middleware; asked: the address that the user gave, root: path that all others begin with."""

    def __init__(self, app: Any, asked: str, root: str) -> None:
        self._app, self._asked, self._root = app, asked, root

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self._reason_against(scope)
        if reason and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_safely(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers[name] = value
            await send(message)

        app = PlainTextResponse(f"{reason}\n", 403) if reason else self._app
        await app(scope, receive, send_safely)

    def _reason_against(self, scope: Any) -> str:
        """Why a request is refused, or ""; the token is asked for last."""
        headers = Headers(scope=scope)
        hosts, origin = headers.getlist("host"), headers.get("origin")
        here = tuple(scope["server"])
        is_named = len(hosts) == 1 and access.is_named(hosts[0], here, self._asked)
        is_same = origin is None or origin.lower() == f"http://{''.join(hosts).lower()}"
        is_plain = headers.get("sec-fetch-site") in (None, "none", "same-origin")
        if not (is_named and is_same and is_plain):
            return "only for pages of this server"
        if not access.is_below(scope["path"], self._root):
            return "only by the address that the program printed"
        return ""
