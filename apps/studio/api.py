"""The request API below /api: submit, state, result, cancel. Multipart or JSON in, JSON out.

    POST   /api/animations               202, the state of a new animation
    GET    /api/animations/ID            its state
    GET    /api/animations/ID/result     the file, once it is done
    DELETE /api/animations/ID            cancel it

docs/guide/studio.md describes the fields. What cannot be used is answered by 422 with the
product's own line, {"error": "..."}; a file that is too large by 413, a full queue by 429.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import UploadFile

from hybridanim import schema
from hybridanim.config import RenderJob
from hybridanim.errors import InputError
from hybridanim.io import provenance

from . import work
from .context import Context
from .jobs import ENDED, Animation, QueueFull

FIELDS = ("source", "driving", "example", "options", "format", "consent")
OF_SERVER = ("output", "overwrite", "debug", "save_motion", "profile", "weights", "cache")
_MOST_OPTIONS = 20_000  # characters


@dataclass(frozen=True)
class Asked:
    """A submitted animation, its files written."""

    source: Path
    driving: Path
    options: Mapping[str, Any]
    format: str
    has_consent: bool


def make_router(context: Context) -> APIRouter:
    """The routes of the API."""
    router = APIRouter(prefix="/api")

    @router.post("/animations", status_code=202)
    async def submit(request: Request) -> JSONResponse:
        folder = Path(tempfile.mkdtemp(prefix="api-", dir=context.uploads))
        try:
            asked = await _read(request, context, folder)
            animation = await asyncio.to_thread(_submit, context, asked, folder)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, QueueFull):
                return _error(429, str(error), {"Retry-After": "10"})
            if isinstance(error, InputError):
                return _error(422, str(error))
            raise
        where = f"{request.url.path.rstrip('/')}/{animation.id}"
        return JSONResponse(state_of(context, animation), 202, {"Location": where})

    @router.get("/animations/{id}")
    def state(id: str) -> JSONResponse:
        return JSONResponse(state_of(context, _known(context, id)))

    @router.delete("/animations/{id}")
    def cancel(id: str) -> JSONResponse:
        animation = _known(context, id)
        context.queue.cancel(animation)
        return JSONResponse(state_of(context, animation), 202)

    @router.get("/animations/{id}/result")
    def result(id: str) -> Any:
        animation = _known(context, id)
        if animation.state not in ENDED:
            return _error(
                409,
                f"result: expected an animation that is done, got one that is"
                f" {animation.state}; ask for its state first",
            )
        if animation.summary is None or not animation.summary.output.is_file():
            return _error(
                404, f"result: expected a file, got none; {animation.error or 'cancelled'}"
            )
        path = animation.summary.output
        return FileResponse(path, filename=path.name)

    return router


def state_of(context: Context, animation: Animation) -> dict[str, Any]:
    """What the API says of an animation; the names are those of ``--progress json``."""
    progress = animation.progress
    found: dict[str, Any] = {
        "id": animation.id,
        "state": animation.state,
        "waiting_before": context.queue.place(animation),
        "stage": progress.step or None,
        "frames": progress.done,
        "frames_total": progress.total,
        "fps": progress.fps and round(progress.fps, 2),
        "seconds_left": None if progress.left_s is None else round(progress.left_s, 1),
        "is_late": animation.is_late,
        "error": animation.error or None,
        "result": None,
    }
    if animation.summary is not None:
        figures = animation.summary.figures()
        del figures["debug"]
        figures["notes"] = [*animation.summary.about, *animation.summary.notes]
        found["result"] = provenance.to_json(figures)
    return found


def _known(context: Context, id: str) -> Animation:
    animation = context.queue.get(id)
    if animation is None:
        raise HTTPException(404, "no such animation")
    return animation


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)


async def _read(request: Request, context: Context, folder: Path) -> Asked:
    """The fields of a request, its files in the folder."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        given = await _json_fields(request)
    elif kind == "multipart/form-data":
        form = await request.form(max_files=2, max_fields=len(FIELDS))
        given = dict(form)
    else:
        raise InputError(
            f"request: expected multipart/form-data or application/json, got {kind or 'nothing'};"
            " set Content-Type"
        )
    for name in given:
        if name not in FIELDS:
            schema.refuse_unknown(name, list(FIELDS), "request")
    return await asyncio.to_thread(_checked, given, context, folder)


async def _json_fields(request: Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise InputError(f"request: expected JSON, got {error}; check it") from error
    if not isinstance(given, dict):
        raise InputError(f"request: expected a JSON object, got {type(given).__name__}; check it")
    return given


def _checked(given: Mapping[str, Any], context: Context, folder: Path) -> Asked:
    """The request of its fields; files are written."""
    format = given.get("format", "mp4")
    if format not in work.FORMATS:
        raise InputError(
            f"format: expected one of {', '.join(work.FORMATS)}, got {format!r}; choose one"
        )
    if _flag(given, "example"):
        example = context.examples[0]
        source, driving = example.source, example.driving
        if given.get("source") is not None:
            source = _file(given, "source", context, folder)
        if given.get("driving") is not None:
            driving = _file(given, "driving", context, folder)
    else:
        source = _file(given, "source", context, folder)
        driving = _file(given, "driving", context, folder)
    return Asked(source, driving, _options(given), format, _flag(given, "consent"))


def _flag(given: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false, in JSON or as text."""
    value = given.get(name, False)
    found = {"true": True, "1": True, "false": False, "0": False, "": False}
    if isinstance(value, str):
        value = found.get(value.lower(), value)
    if not isinstance(value, bool):
        raise InputError(f"{name}: expected true or false, got {value!r}; correct the value")
    return value


def _options(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options by their names, checked for what a request may not set."""
    found = given.get("options") or {}
    if isinstance(found, str):
        try:
            found = json.loads(found[:_MOST_OPTIONS])
        except (ValueError, RecursionError) as error:
            raise InputError(
                f'options: expected a JSON object such as {{"size": 256}}, got {error}; check it'
            ) from error
    if not isinstance(found, Mapping):
        raise InputError('options: expected a JSON object such as {"size": 256}; check it')
    found = {str(name).replace("-", "_"): value for name, value in found.items()}
    for name in found:
        if name in OF_SERVER:
            raise InputError(
                f"options: expected none that names a file of the server, got {name}; leave it out"
            )
        if name not in schema.all_names(RenderJob):
            schema.refuse_unknown(name, schema.all_names(RenderJob), "options")
    return found


def _file(given: Mapping[str, Any], name: str, context: Context, folder: Path) -> Path:
    """Write an uploaded file below its own name; InputError where there is none."""
    value = given.get(name)
    if value is None:
        raise InputError(f'{name}: expected a file, got none; send one as the field "{name}"')
    if isinstance(value, UploadFile):
        given_name, stream = value.filename or name, value.file
    else:
        given_name, stream = _decoded(value, name)
    suffix = Path(given_name.replace("\\", "/")).suffix[:12]
    stem = work.safe_stem(Path(given_name.replace("\\", "/")).stem) or name
    (folder / name).mkdir()
    path = folder / name / f"{stem}{suffix if suffix[1:].isalnum() else ''}"
    most = context.studio.most_mb * 1_000_000
    with path.open("wb") as file:
        while block := stream.read(1 << 20):
            file.write(block)
            if file.tell() > most:
                raise HTTPException(413, f"{name}: at most {context.studio.most_mb} MB")
    return path


def _decoded(value: Any, name: str) -> tuple[str, Any]:
    """Name and stream of a file in JSON: {"name": ..., "base64": ...}."""
    if not isinstance(value, Mapping) or set(value) != {"name", "base64"}:
        raise InputError(
            f'{name}: expected {{"name": "a.png", "base64": "..."}}, got something else; or send'
            " multipart/form-data"
        )
    try:
        data = base64.b64decode(str(value["base64"]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            f"{name}: expected base64, got {error}; encode the file's bytes"
        ) from error
    return str(value["name"]), io.BytesIO(data)


def _submit(context: Context, asked: Asked, folder: Path) -> Animation:
    """Check consent and options, and add the animation to the queue."""
    if asked.has_consent:
        context.consent.give(asked.source)
    context.consent.expect(asked.source)
    stem = work.result_stem(asked.source, asked.driving)
    output = context.new_output(stem, f".{asked.format}")
    job = work.with_options(context.animation, asked.options, output)
    work.refuse_files_of_the_server(job)
    animation = Animation(job, asked.source, asked.driving, context.studio.most_seconds)
    animation.at_end = lambda: shutil.rmtree(folder, ignore_errors=True)
    return context.queue.submit(animation)
