"""Training on a terminal: progress bar, log file, and Ctrl-C between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

from hybridanim.errors import InputError

if TYPE_CHECKING:
    from hybridanim.training.config import MonkeyNetConfig, TrainConfig
    from hybridanim.training.distributed import ProcessGroup

Report = Callable[[str], None]


class _Stopped(KeyboardInterrupt):
    """Ctrl-C was pressed; raised between two steps, so that the state is consistent."""


def run(config: TrainConfig | MonkeyNetConfig, group: ProcessGroup | None, message: Report) -> bool:
    """Train; returns False when Ctrl-C ended the run, with everything saved."""
    from hybridanim.training.animator.trainer import Trainer
    from hybridanim.training.config import MonkeyNetConfig
    from hybridanim.training.loop import CHECKPOINT
    from hybridanim.training.monkeynet.trainer import MonkeyNetTrainer

    with (
        _stop_signals() as is_stop_requested,
        _bar() as bar,
        (config.out / "train.log").open("a") as log,
    ):

        def report(line: str) -> None:
            log.write(line + "\n")
            log.flush()
            if line.startswith(("  ", "resumed", "starts")):
                tqdm.write(line)

        def watch(done: float, values: dict[str, float]) -> None:
            bar.n = round(100 * done, 2)
            rate, loss = values["samples_per_s"], values.get("loss", float("nan"))
            bar.set_postfix_str(f"loss {loss:.4f}, {rate:.1f} samples/s", refresh=False)
            bar.update(0)
            if is_stop_requested():
                raise _Stopped

        try:
            if isinstance(config, MonkeyNetConfig):
                trainer = MonkeyNetTrainer(config, report, group=group, watch=watch)
            else:
                trainer = Trainer(config, report, group=group, watch=watch)
        except (RuntimeError, KeyError) as error:
            if not (config.out / CHECKPOINT).is_file():
                raise
            raise InputError(
                f"--out {config.out}: expected a run of these networks, found another"
                f" ({str(error).splitlines()[0]}); choose another --out, or --overwrite"
            ) from error
        if trainer.progress() >= 1:
            message(
                "This run had its time: nothing is left to train. A longer --time-budget goes on."
            )
        try:
            trainer.run()
        except _Stopped:
            trainer.save()
            trainer.validate()
            return False
        except RuntimeError:
            if is_stop_requested():  # another process of the group was stopped first
                return False
            raise
    return True


@contextmanager
def _bar() -> Iterator[tqdm]:
    """Progress bar of the share of the run that is done, with the remaining time."""
    shape = "{desc}{percentage:3.0f}%|{bar}| {elapsed} < {remaining}, {postfix}"
    with tqdm(total=100.0, disable=None, bar_format=shape) as bar:
        yield bar


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and other signals end the training after the step; the second signal at once."""
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return

    def request_stop(number: int, frame: object) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, request_stop)) for number in taken]
    try:
        yield requested.is_set
    finally:
        for number, handler in before:
            signal.signal(number, handler)
