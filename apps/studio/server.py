"""The server: page and request API on one port. Context -> a FastAPI app, and running it.

Requests that other pages or names make a browser send are refused, and where other machines reach
the server, all addresses begin with a random token (``hybridanim.live.access``, as ``live
--serve``).
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import socket
import threading
import webbrowser
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from hybridanim.errors import InputError
from hybridanim.live import access

from . import api, page
from .context import Context
from .guard import Guard, Limits
from .theme import CSS, THEME


def make_app(context: Context, token: str = "") -> FastAPI:
    """Page and API of a studio; token: the first part of every path, "" for none."""
    app = FastAPI(title="hybridanim studio", docs_url=None, redoc_url=None, openapi_url=None)
    root = f"/{token}" if token else ""
    app.include_router(api.make_router(context), prefix=root)
    app = gr.mount_gradio_app(
        app,
        page.make(context),
        path=root or "/",
        footer_links=[],
        run_history=False,
        allowed_paths=[str(path) for path in _readable(context)],
        max_file_size=f"{context.studio.most_mb}mb",
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        theme=THEME,
        css=CSS,
    )
    most_bytes = 2 * context.studio.most_mb * 1_000_000 + (1 << 20)
    app.add_middleware(Limits, prefix=f"{root}/api/", most_bytes=most_bytes)
    app.add_middleware(Guard, asked=context.studio.address, root=f"{root}/")
    return app


def _readable(context: Context) -> list[Path]:
    """What the page may show: results and examples."""
    return [context.results, *(p for e in context.examples for p in (e.source, e.driving))]


def bind(address: str, port: int) -> socket.socket:
    """A listening socket; InputError where the port is not available."""
    bound = access.bound_address(address)
    family = socket.AF_INET if bound.version == 4 else socket.AF_INET6
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((str(bound), port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"--port {port}: expected a free port of {address}, got '{error.strerror}'; choose"
            " another number, or 0"
        ) from error
    return listening


def serve(context: Context) -> None:
    """Serve until Ctrl-C."""
    studio = context.studio
    bound = access.bound_address(studio.address)
    token = "" if bound.is_loopback else access.new_token()
    with bind(studio.address, studio.port) as listening:
        port = listening.getsockname()[1]
        url = f"http://{access.in_url(bound)}:{port}/" + (f"{token}/" if token else "")
        config = uvicorn.Config(make_app(context, token), log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        print(f"The studio: {url}\nResults: {context.results}\nCtrl-C ends it.", flush=True)
        if studio.browser:
            threading.Timer(1.0, webbrowser.open, (url,)).start()
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            pass  # the usual way to end
        finally:
            context.queue.close()
