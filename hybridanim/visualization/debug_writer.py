"""The debug folder: the source, a video of each stage, an overview video, a table, a report.

DebugWriter(folder, ...).write(Results) ... .close(). Everything is made in a new hidden folder next
to FOLDER and moved into it at the end, so that FOLDER never holds half of a run; files of other
names in it are left alone. Memory does not grow with the length of the video.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hybridanim import files, paths
from hybridanim.errors import InputError
from hybridanim.io import open_sink
from hybridanim.io.images import save_picture
from hybridanim.resampling import resized, side_by_side
from hybridanim.text import encoded
from hybridanim.types import Array, Results, Source

from . import drawing, flow
from .overview import SQUARE_PX, Overview, moment, panels, stages_row
from .report.page import OPTICAL, PICTURE, write_report
from .run_statistics import RunStatistics, columns, frame_row
from .sheet import fit
from .thumbnails import Thumbnails, jpeg

STAGES = ("skin", "tracks", "keypoints", "motion", "render")
VIDEOS = {  # file -> panels side by side in it
    "1_skin.mp4": ("skin",),
    "2_tracks.mp4": ("tracks",),
    "3_keypoints.mp4": ("keypoints_driving", "keypoints_source"),
    "4_flow.mp4": ("flow",),
    "4_grid.mp4": ("grid",),
    "4_occlusion.mp4": ("occlusion",),
    "4_depth.mp4": ("depth",),
    "4_mesh.mp4": ("mesh",),
    "5_result.mp4": ("driving", "result"),
}
OVERVIEW, TABLE, REPORT, CONFIG = "overview.mp4", "frames.csv", "report.html", "config.json"
FILES = (PICTURE, *VIDEOS, OPTICAL, OVERVIEW, TABLE, REPORT, CONFIG)
SOURCE_PX = 1024  # largest side of the source's picture
FLUSH_FRAMES = 50


class DebugWriter:
    """Use as ``with DebugWriter(...) as debug: debug.write(results)``.

    folder: where the files go; made if missing. Raises InputError where it cannot be written, or
    holds an earlier run and ``overwrite`` is off. fps: of the driving video. stage_names: keys of
    ``Results.times_ms`` in order. settings and versions go to CONFIG and the report.
    """

    def __init__(
        self,
        folder: str | Path,
        fps: Fraction | float,
        source: Source,
        *,
        stage_names: tuple[str, ...] = STAGES,
        settings: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        advice: Mapping[str, str] | None = None,
        title: str = "",
        overwrite: bool = False,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.source = source
        self._fps, self._stages, self._overwrite = fps, stage_names, overwrite
        self._settings, self._versions = dict(settings or {}), dict(versions or {})
        self._advice, self._title = dict(advice or {}), title
        self._partial = make_partial(self.folder, overwrite)
        self._statistics = RunStatistics(stage_names, float(fps))
        self._thumbnails = Thumbnails()
        self._trails: dict[int, Array] = {}
        self._source_jpeg = b""
        self._sinks: dict[str, tuple[Any, tuple[int, int]]] = {}
        self._open_sinks = ExitStack()  # closes every one, also when another fails
        self._overview: Overview | None = None
        self._frames, self._is_open = 0, True
        with _as_input_error(self.folder):
            self._stream = (self._partial / TABLE).open("w", newline="", encoding="utf-8")
            self._table = csv.DictWriter(self._stream, columns(stage_names))
            self._table.writeheader()

    def write(self, results: Results) -> None:
        """Draw one frame and add it to every file; InputError where the disk does not take it."""
        with _as_input_error(self.folder):
            self._write(results)

    def _write(self, results: Results) -> None:
        if not self._frames:
            self._write_source()
        if results.tracks:
            self._trails = drawing.extend_trails(self._trails, results.tracks)
        row = frame_row(results, self._stages)
        self._table.writerow(row)
        self._statistics.add(row)
        pictures = panels(results, self.source, self._trails)
        time_s = results.frame.time_s
        for name, parts in VIDEOS.items():
            image = pictures[parts[0]]
            if len(parts) == 2:
                image = side_by_side(image, pictures[parts[1]], gap_px=8)
            self._put(name, image, time_s)
        seen = results.points.optical
        if seen is not None or OPTICAL in self._sinks:
            still = resized(self.source.image, SQUARE_PX, SQUARE_PX)
            shown = still if seen is None else flow.optical(still, seen)
            self._put(OPTICAL, shown, time_s)
        if self._overview is None:
            shapes = [(p.shape[0], p.shape[1]) for p in pictures.values()]
            self._overview = Overview(shapes, self._stages)
        self._put(OVERVIEW, self._overview(results, pictures), time_s)
        self._thumbnails.add(row, lambda: moment(results), lambda: stages_row(pictures))
        self._frames += 1
        if self._frames % FLUSH_FRAMES == 0:
            self._stream.flush()

    def _write_source(self) -> None:
        """Draw the source with its fitted face, once."""
        side_px = int(np.clip(len(self.source.image), SQUARE_PX, SOURCE_PX))
        picture = drawing.source(resized(self.source.image, side_px, side_px), self.source)
        with (self._partial / PICTURE).open("wb") as file:
            save_picture(file, picture, Path(PICTURE).suffix, {})
        self._source_jpeg = jpeg(resized(picture, SQUARE_PX, SQUARE_PX))

    def _put(self, name: str, image: Array, time_s: float) -> None:
        """Add a picture to a video; the first one sets its size (even, as H.264 wants it)."""
        if name not in self._sinks:
            size = ((image.shape[1] + 1) // 2 * 2, (image.shape[0] + 1) // 2 * 2)
            made = open_sink(self._partial / name, Fraction(self._fps), size=size, overwrite=True)
            self._sinks[name] = (self._open_sinks.enter_context(made), size)
        sink, size = self._sinks[name]
        sink.write(fit(image, *size), time_s)

    def close(self, stopped: str = "") -> None:
        """Finish all files and move them into the folder; nothing is left without a frame.

        stopped: why the run ended early, for the report. Raises InputError where that fails.
        """
        if not self._is_open:
            return
        self._is_open = False
        with _as_input_error(self.folder):
            self._finish(stopped)

    def discard(self) -> None:
        """Remove what was written; the folder stays as it was."""
        if not self._is_open:
            return
        self._is_open = False
        for sink, _ in self._sinks.values():
            sink.discard()
        with suppress(OSError):
            self._stream.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def _finish(self, stopped: str) -> None:
        try:
            with self._open_sinks:
                self._stream.close()
            if self._frames:
                self._write_texts(stopped)
                self.folder.mkdir(parents=True, exist_ok=True)
                for name in FILES:
                    if name == OPTICAL and name not in self._sinks:
                        (self.folder / name).unlink(missing_ok=True)  # of an earlier run
                        continue
                    (self._partial / name).replace(self.folder / name)
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _write_texts(self, stopped: str) -> None:
        write_report(
            self._partial / REPORT,
            self._statistics.summary(stopped, has_source_face=self.source.face is not None),
            self._statistics.series,
            self._thumbnails.pictures,
            settings=self._settings,
            versions=self._versions,
            advice=self._advice,
            title=self._title,
            uses_optical_flow=OPTICAL in self._sinks,
            source_jpeg=self._source_jpeg,
        )
        saved = {"settings": self._settings, "versions": self._versions}
        text = json.dumps(saved, indent=2, default=str, ensure_ascii=False)
        (self._partial / CONFIG).write_bytes(encoded(text + "\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        text = "" if kind is None else "interrupted" if kind is KeyboardInterrupt else str(error)
        self.close(text or (kind.__name__ if kind else ""))


@contextmanager
def _as_input_error(folder: Path) -> Iterator[None]:
    """Turn OSError (a full disk, missing rights and the like) into InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--debug {folder}: expected a folder that can be written, got “{error.strerror}”; "
            "free some space or give another one"
        ) from error


def make_partial(folder: Path, overwrite: bool) -> Path:
    """Make an empty folder next to the wanted one to work in, under a random name.

    Its parents are made where they are missing. Raises InputError where something is in the way.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--debug {folder}: expected a folder, found a file; give another name")
    existing = [name for name in FILES if (folder / name).exists()]
    if existing and not overwrite:
        raise InputError(
            f"--debug {folder}: expected a new or empty folder, found {existing[0]} of an earlier "
            "run; add --overwrite or give another name"
        )
    if (folder / CONFIG).exists() and not _is_settings(folder / CONFIG):
        raise InputError(
            f"--debug {folder}: expected no {CONFIG} or that of an earlier run, found one of your "
            "own; give another name"
        )
    with _as_input_error(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        return files.part_folder(folder, ".partial")


def _is_settings(path: Path) -> bool:
    """Whether this is a CONFIG that DebugWriter wrote."""
    try:
        saved = json.loads(paths.read_text(path))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(saved, dict) and set(saved) == {"settings", "versions"}
