"""Workers as processes of this machine.

Each is a fresh process that ignores Ctrl-C, takes tasks from a pipe, and ends as soon as its parent
does, however that ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from apps.guards import undisturbed
from hybridanim import processors

from .work import Message, Task, limit_threads, perform

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    is_busy: bool = False


class Processes:
    """A pool of processes, see ``work.Pool``."""

    def __init__(self, count: int) -> None:
        """count: workers, which share the processors."""
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the networks
        self._share = max(1.0, processors.count() / count)
        self._workers = [self._start() for _ in range(count)]

    def __len__(self) -> int:
        return len(self._workers)

    def about(self, worker: int) -> str:
        """The number of its process."""
        return str(self._workers[worker].process.pid)

    def give(self, worker: int, task: Task) -> None:
        """See ``work.Pool``."""
        with suppress(OSError):  # of one that has died: ``wait`` says so
            self._workers[worker].pipe.send(task)
        self._workers[worker].is_busy = True

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        """See ``work.Pool``; messages of a worker that died come before that it died."""
        wanted = [w.pipe for w in self._workers] + [w.process.sentinel for w in self._workers]
        wait(wanted, timeout_s)
        found = []
        for index, worker in enumerate(self._workers):
            is_dead = not worker.process.is_alive()
            messages = list(_received(worker.pipe))
            if any(one.kind in ("done", "failed") for one in messages):
                worker.is_busy = False
            if is_dead:
                if worker.is_busy:
                    messages.append(Message("died", text=_reason(worker.process.exitcode)))
                worker.pipe.close()
                self._workers[index] = self._start()
            found += [(index, message) for message in messages]
        return found

    def close(self) -> None:
        """See ``work.Pool``."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._share), name="batch worker", daemon=True
        )
        with undisturbed(), _threads(max(1, round(self._share))):
            process.start()
        theirs.close()
        return _Worker(process, ours)


def _received(pipe: Connection) -> Iterator[Message]:
    """The messages that wait; what a process that was killed sent in part is left out."""
    try:
        while pipe.poll():
            yield pipe.recv()
    except (EOFError, OSError, ValueError):
        return


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            name = signal.Signals(-code).name
            hint = "; where memory was short, give fewer --workers" if name == "SIGKILL" else ""
            return f"its worker was ended by {name}{hint}"
    return f"its worker ended with exit code {code}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """The environment of a process whose libraries use so many threads; the user's own wins."""
    names = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


def _serve(pipe: Connection, share: float) -> None:
    """A worker: tasks from the pipe until it is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads(share)
    lock = threading.Lock()  # a task may report from several threads

    def send(message: Message) -> None:
        with lock:
            pipe.send(message)

    with suppress(EOFError, OSError):
        while True:
            send(perform(pipe.recv(), share, send))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
