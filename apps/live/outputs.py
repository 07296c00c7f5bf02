"""LiveJob -> the outputs it asks for: window, browser, virtual camera, file; any at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from apps.guards import note_remains, outputs_of, record_of
from hybridanim import paths
from hybridanim.config import replaces_background
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.live.config import LiveJob
from hybridanim.live.outputs import FileOutput, Outputs, ThreadedOutput, VirtualCamera
from hybridanim.live.server import Server
from hybridanim.live.window import DisplayCheck, Window
from hybridanim.types import Array

_QUEUE = {"file": 8, "virtual camera": 1}  # pictures; a file may catch up, a camera may not
_OTHERS = "give --serve 8080 (a browser), --output FILE.mp4 or --virtual-camera"


def open_outputs(
    job: LiveJob, display: DisplayCheck | None, still: Array, tags: dict[str, str], on_key: Any
) -> Outputs:
    """Open the outputs that the job asks for.

    still: a picture of the outputs' size, (h, w, 3) uint8 RGB. display: None when no window is
    wanted. on_key: called with a hotkey's letter. Raises InputError when an output cannot be
    opened, or the job asks for none.
    """
    outputs, size = Outputs(), (still.shape[1], still.shape[0])
    try:
        if job.output is not None:
            file = FileOutput(job.output, size, overwrite=job.overwrite, tags=tags)
            outputs.threaded.append(ThreadedOutput(file, size, _QUEUE["file"]))
            outputs.notes += note_remains(job.output)
        if job.virtual_camera:
            camera = VirtualCamera(job.camera_size, job.camera_rate)  # a size that programs know
            outputs.threaded.append(
                ThreadedOutput(camera, job.camera_size, _QUEUE["virtual camera"])
            )
            outputs.notes.append(f"Virtual camera: {camera.device}")
        if job.serve is not None:
            outputs.server = Server(job.serve, job.serve_address, on_key)
            outputs.notes.append(_place(outputs.server))
        _open_window(job, display, outputs)
    except BaseException:
        outputs.close()
        raise
    return outputs


def _place(server: Server) -> str:
    others = ", from other machines by this machine's address in place of that number"
    return f"In a browser: {server.url}{others if server.is_everywhere else ''}"


def _open_window(job: LiveJob, display: DisplayCheck | None, outputs: Outputs) -> None:
    reason = display.reason() if display is not None else "no window was asked for"
    has_other = bool(outputs.threaded or outputs.server)
    if not reason:
        try:
            outputs.window = Window()
        except cv2.error:
            reason = "this OpenCV has no windows"
    if outputs.window is not None:
        outputs.notes.append("In the window: h shows the keys, q ends.")
    elif job.window == "yes" or not (has_other or job.report):
        raise InputError(f"live: expected a display for the window, but {reason}; {_OTHERS}")
    elif job.window == "auto":
        outputs.notes.append(f"No window: {reason}.")


def build_record(job: LiveJob, source: Path, camera: str) -> dict[str, Any]:
    """The record written with an output file; cameras by name, since URLs hold passwords."""
    is_file = "://" not in job.camera and Path(job.camera).is_file()
    driving = Path(job.camera) if is_file else Path(camera)
    return provenance.describe(source, driving, replace(job, camera=driving.name))


def refuse_to_replace(job: LiveJob, sources: tuple[Path, ...], *more: Path) -> None:
    """Raise InputError when the output or the report would replace an input or another file.

    more: further files that are read. A report needs a folder that exists.
    """
    inputs = [*sources, *more, *job.profile]
    if "://" not in job.camera:
        inputs.append(Path(job.camera))
    if job.pipeline.render.weights is not None:
        inputs.append(job.pipeline.render.weights)
    background = job.pipeline.keypoints.background
    if replaces_background(background) and paths.is_file(background):
        inputs.append(Path(background))
    written, records = [], []
    if job.output is not None:
        written += outputs_of(job.output)
        records.append(record_of(job.output))
    if job.report is not None:
        written.append(("--report", job.report))
        if not paths.is_folder(job.report.absolute().parent) or paths.is_folder(job.report):
            raise InputError(
                f"--report: expected a file in a folder that exists, got {job.report}; create the"
                " folder, or choose another name"
            )
    paths.refuse_replacing(
        written,
        inputs,
        overwrite=job.overwrite,
        records=records,
        folders=[] if job.output is None else [job.output],
    )


def finish(job: LiveJob, report: dict[str, Any], outputs: Outputs, record: dict[str, Any]) -> None:
    """Write sidecar and report, print the summary; raises InputError when an output failed."""
    if job.output is not None and job.output.exists() and not outputs.failures:
        provenance.write_sidecar(job.output, record)
        print(f"{report['outputs']['file']['pictures']} pictures in {job.output}")
    if job.report is not None:
        _write_report(job.report, report, overwrite=job.overwrite)
    latency = report["latency_ms"]
    print(
        f"{report['pictures']} pictures, {report.get('pictures_per_s', 0):.1f} a second, camera to"
        f" output {latency['p50']:.0f} ms (95 %: {latency['p95']:.0f} ms)"
    )
    if report.get("without_a_face"):
        print(f"{report['without_a_face']} pictures without a face; there the motion was held.")
    if report["levels"]["said"]:
        print(f"Quality at the end {report['levels']['said']}.")
    if outputs.failures:
        raise InputError(outputs.failures[0])


def _write_report(path: Path, report: dict[str, Any], *, overwrite: bool) -> None:
    text = json.dumps(provenance.to_json(report), indent=2) + "\n"
    paths.write_whole("--report", path, text.encode(), overwrite=overwrite)
