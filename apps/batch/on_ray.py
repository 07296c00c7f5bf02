"""Workers as actors of a Ray cluster, the extra ``batch``.

An actor lives as long as the run: its node reads weights and compiles networks once for it, not for
each job, and the actors of a node share the compiled networks in the cache folder there. Sources,
drivers and the output folder must lie on a file system that all nodes have under the same names.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

from hybridanim import extras
from hybridanim.errors import InputError
from hybridanim.files import PACKAGE

from .work import Message, Task, limit_threads, perform


class Actor:
    """What runs on a node."""

    def __init__(self, share: float) -> None:
        self._share, self._messages = share, list[Message]()
        self._lock = threading.Lock()
        limit_threads(share)

    def perform(self, task: Task) -> Message:
        """Do a task."""
        return perform(task, self._share, self._send)

    def told(self) -> list[Message]:
        """Messages since the last call."""
        with self._lock:
            told, self._messages = self._messages, []
        return told

    def where(self) -> str:
        """Its node and process."""
        return f"{os.uname().nodename if hasattr(os, 'uname') else 'node'}:{os.getpid()}"

    def _send(self, message: Message) -> None:
        with self._lock:
            self._messages.append(message)


class RayActors:
    """A pool of actors, see ``work.Pool``."""

    def __init__(self, address: str, count: int) -> None:
        """address: of a cluster, or local for one of this machine; count: actors."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
        self._ray = ray = extras.ray()
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            self._connect(address, count)
        total = float(ray.cluster_resources().get("CPU", 1))
        self._share = max(1.0, min(total // count, _smallest_node(ray)))
        self._actors = [self._start() for _ in range(count)]
        self._names: list[str | None] = [None] * count
        self._running: dict[Any, int] = {}  # result to come -> actor
        self._telling: dict[Any, int] = {}

    def _connect(self, address: str, count: int) -> None:
        local = {"num_cpus": count} if address == "local" else {}
        root = str(PACKAGE.parent)  # of a checkout; the nodes of a cluster have it installed
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        env = {"env_vars": {"PYTHONPATH": path}} if address == "local" else None
        try:
            self._ray.init(
                address=address,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level="error",
                runtime_env=env,
                **local,
            )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"--ray {address}: expected the address of a Ray cluster, or local, got '{reason}';"
                " see docs/guide/batch.md"
            ) from error

    def __len__(self) -> int:
        return len(self._actors)

    def about(self, worker: int) -> str:
        """Its node and process; "" before it has begun."""
        if self._names[worker] is None:
            with suppress(self._ray.exceptions.RayError):
                asked = self._actors[worker].where.remote()
                self._names[worker] = self._ray.get(asked, timeout=60)
        return self._names[worker] or ""

    def give(self, worker: int, task: Task) -> None:
        """See ``work.Pool``."""
        self._running[self._actors[worker].perform.remote(task)] = worker

    def wait(self, timeout_s: float) -> list[tuple[int, Message]]:
        """See ``work.Pool``."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        found = self._told(set(ready))
        for one in ready:
            worker = self._running.pop(one)
            try:
                found.append((worker, self._ray.get(one)))
            except self._ray.exceptions.RayError as error:
                reason = type(error).__name__
                self._actors[worker], self._names[worker] = self._start(), None
                found.append((worker, Message("died", text=f"its worker was lost ({reason})")))
        return found

    def _told(self, ready: set[Any]) -> list[tuple[int, Message]]:
        """What running actors have told; all that those tell that have just ended."""
        ended = {self._running[one] for one in ready}
        asked = set(self._telling.values())
        for worker in self._running.values():
            if worker not in asked or worker in ended:
                self._telling[self._actors[worker].told.remote()] = worker
        if not self._telling:
            return []
        last = [one for one, worker in self._telling.items() if worker in ended]
        if last:
            self._ray.wait(last, num_returns=len(last), timeout=10)
        done, _ = self._ray.wait(list(self._telling), num_returns=len(self._telling), timeout=0)
        found = []
        for one in done:
            worker = self._telling.pop(one)
            with suppress(self._ray.exceptions.RayError):  # of an actor that has died
                found += [(worker, message) for message in self._ray.get(one)]
        return found

    def close(self) -> None:
        """See ``work.Pool``; a cluster of this machine is ended, too."""
        for actor in self._actors:
            with suppress(Exception):
                self._ray.kill(actor)
        if self._is_ours:
            self._ray.shutdown()

    def _start(self) -> Any:
        make: Any = self._ray.remote(
            num_cpus=self._share,
            max_concurrency=2,  # it tells of its progress while it works
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )(Actor)
        return make.remote(self._share)


def _smallest_node(ray: Any) -> float:
    """Processors of the node that has the fewest."""
    nodes = [node for node in ray.nodes() if node.get("Alive")]
    return min((float(node["Resources"].get("CPU", 1)) for node in nodes), default=1.0)
