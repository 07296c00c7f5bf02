"""The curves of a run: a CSV that grows by a row per validation, and TensorBoard when wanted."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

from hybridanim.errors import InputError


class Curves:
    """Where a run's numbers go."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        """Raises InputError when TensorBoard is wanted and not installed."""
        self._path = folder / "curves.csv"
        self._board = _board(folder) if tensorboard else None

    def add(self, row: dict[str, float]) -> None:
        """One validation; ``step`` among its numbers."""
        append(self._path, row)
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["step"]))
            self._board.flush()


def append(path: Path, row: dict[str, float]) -> None:
    """Add a row; a column that an older row lacks stays empty there."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append(row)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)


def _board(folder: Path) -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
    except ImportError as error:
        raise InputError(
            "--tensorboard: expected the package tensorboard, found none; pip install tensorboard,"
            " or leave the option out: curves.csv has the same numbers"
        ) from error
