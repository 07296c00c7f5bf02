"""MediaPipe's attention mesh of pictures, by a process in a virtual environment of its own.

The attention mesh (Grishchenko et al. 2020) gives 478 points whose lids, irises and lips follow the
picture. Its networks come with the wheel ``mediapipe``, which needs another NumPy than this package
and is not part of it. The process is ``attention_mesh_worker``. A request is three little-endian
int32 (stream, height, width) and the picture's bytes; its answer is 478 x 3 float32.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, ClassVar

import numpy as np

from hybridanim import paths
from hybridanim.errors import InputError
from hybridanim.face.mesh import COUNT
from hybridanim.types import Array

from .attention_mesh_worker import GREETING

STILL = 0  # the stream of pictures that have nothing to do with each other
PACKAGES = ("mediapipe==0.10.21", "numpy<2")
LIMIT_S = 300.0
"""Seconds for the answer to one picture, which takes milliseconds."""
_LOAD_S = 300.0  # for loading the networks, which takes seconds
_END_S = 5.0  # a process that has nothing left to do ends within milliseconds
_WORKER = Path(__file__).with_name("attention_mesh_worker.py")
_HEADER = struct.Struct("<iii")
_QUIET = {"GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}


class MeshError(InputError):
    """The environment, or the process in it, cannot be used: no picture can be measured."""


def interpreter(environment: Path) -> Path:
    """The Python of a virtual environment; MeshError where the folder is none."""
    place = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = environment.joinpath(*place)
    if not paths.is_file(python):
        raise MeshError(
            f"environment {environment}: expected a virtual environment with mediapipe, found none;"
            " python -m calibration.face_labels --install makes one"
        )
    return python


def install(environment: Path) -> None:
    """Make the virtual environment if it is missing, and install PACKAGES in it by pip.

    An environment that has them is left as it is. Raises MeshError where that does not succeed, or
    the folder holds something else.
    """
    if paths.is_folder(environment) and any(environment.iterdir()):
        own = Path(sys.prefix).resolve() == environment.resolve()
        if own or not paths.is_file(environment / "pyvenv.cfg"):
            raise MeshError(
                f"environment {environment}: expected a virtual environment of its own, got"
                f" {'that of this program' if own else 'another folder'}; its packages need NumPy"
                " 1, so name a new folder"
            )
        python = interpreter(environment)
    else:
        _run([sys.executable, "-m", "venv", str(environment)], environment)
        python = interpreter(environment)
    check = "import numpy, mediapipe.python.solutions.face_mesh; assert numpy.__version__ < '2'"
    try:
        command = [python, "-I", "-c", check]
        done = subprocess.run(command, capture_output=True, timeout=_LOAD_S)
        is_there = not done.returncode
    except OSError as error:
        raise paths.unusable(environment, error) from error
    except subprocess.TimeoutExpired as error:
        raise MeshError(
            f"environment {environment}: expected a Python that answers within {_LOAD_S:g} s, got"
            " none; name a new folder"
        ) from error
    if not is_there:
        _run([str(python), "-I", "-m", "pip", "install", *PACKAGES], environment)


def _run(words: list[str], environment: Path) -> None:
    """Run a command; MeshError with the last line that it wrote where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise paths.unusable(environment, error) from error
    if done.returncode:
        raise MeshError(
            f"environment {environment}: expected to install {' and '.join(PACKAGES)} in it, got"
            f" '{_last_line(done.stderr)}'; the wheel is for Python 3.9 to 3.12"
        )


class AttentionMesh:
    """Finds the mesh of one face per picture; a context manager.

    Within a stream, the search starts where the last picture of that stream had its face. Not
    thread-safe. Raises MeshError where the environment cannot be used.
    """

    kind: ClassVar[str] = ""  # word that the process is started with
    greeting: ClassVar[bytes] = GREETING
    count: ClassVar[int] = COUNT  # points of an answer

    def __init__(self, environment: Path, limit_s: float = LIMIT_S) -> None:
        """limit_s: a process that takes longer for a picture is killed, and MeshError raised."""
        self._environment, self._limit_s, self._is_ready = environment, limit_s, False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, closed by _end
        keep = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        try:
            self._process = subprocess.Popen(
                [str(interpreter(environment)), "-I", str(_WORKER), *self.kind.split()],
                bufsize=0,  # closing a pipe must not wait until what is buffered was read
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=keep | _QUIET,
                start_new_session=True,  # Ctrl-C is handled here alone
            )
        except OSError as error:
            raise paths.unusable(environment, error) from error
        self.close = weakref.finalize(self, _end, self._process, self._errors)

    def __enter__(self) -> AttentionMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Wait until the process has loaded its networks; MeshError where it cannot."""
        if not self._is_ready and self._ask(b"", len(self.greeting), _LOAD_S) != self.greeting:
            _kill(self._process)
            raise self._failure()
        self._is_ready = True

    def __call__(self, image: Array, stream: int = STILL) -> Array | None:
        """(478, 3) float32 points of (H, W, 3) uint8 RGB, or None without a face.

        x and y in pixels from the outer edge of the first one, as MediaPipe counts: half a pixel
        more than ``_px`` elsewhere; z away from the camera in the same unit. The stream is any
        number of the caller; pictures of one stream are consecutive frames of one clip.
        """
        self.wait()
        height, width = image.shape[:2]
        request = _HEADER.pack(stream, height, width) + np.ascontiguousarray(image).tobytes()
        answer = self._ask(request, self.count * 3 * 4, self._limit_s)
        points = np.frombuffer(answer, "<f4").reshape(self.count, 3)
        return None if np.isnan(points[0, 0]) else points.astype(np.float32)

    def end(self, stream: int) -> None:
        """Forget a stream: its next picture is searched anew."""
        self.wait()
        self._ask(_HEADER.pack(stream, 0, 0), 0, self._limit_s)

    def kill(self) -> None:
        """End the process at once: whoever waits for its answer gets MeshError."""
        _kill(self._process)

    def _ask(self, request: bytes, count: int, limit_s: float) -> bytes:
        """Send a request and return the ``count`` bytes of its answer.

        Raises MeshError when the process ends before, or is killed because it takes too long.
        """
        with _limited(self._process, limit_s) as is_late:
            data = _exchanged(self._process, request, count)
            if data is None:
                self._process.wait()  # the answers end before the process does
        if data is not None:
            return data
        if is_late.is_set():
            raise MeshError(
                f"environment {self._environment}: expected an answer of {PACKAGES[0]} within"
                f" {limit_s:g} s, got none; allow it more time, or take the picture out"
            )
        raise self._failure()

    def _failure(self) -> MeshError:
        """The error for a process that has ended, with the last line that it wrote."""
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace")
        return MeshError(
            f"environment {self._environment}: expected a Python that runs {PACKAGES[0]}, got"
            f" '{_last_line(said)}'; python -m calibration.face_labels --install installs it"
        )


def _exchanged(process: subprocess.Popen[bytes], request: bytes, count: int) -> bytes | None:
    """Write a request and read ``count`` bytes; None where the process does not take or give it."""
    assert process.stdin is not None and process.stdout is not None
    left, data = memoryview(request), bytearray()
    try:
        while left:  # the pipes are not buffered, so that each call may do a part
            left = left[process.stdin.write(left) :]
        while len(data) < count:
            if not (more := process.stdout.read(count - len(data))):
                return None
            data += more
    except OSError:
        return None
    return bytes(data)


@contextlib.contextmanager
def _limited(process: subprocess.Popen[bytes], limit_s: float) -> Iterator[threading.Event]:
    """Kill the process when the block takes longer; the event is set before that."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _kill(process)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with what it started, which would hold its pipes open."""
    if process.returncode is not None:  # its number may be another's by now
        return
    try:
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except OSError:  # it has ended
        return


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Close the pipes, which ends the process; kill one that goes on nevertheless."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # the process had ended before it read everything
                pipe.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
    errors.close()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
