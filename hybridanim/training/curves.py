"""The curves of a run: a CSV that grows by a row per validation, and TensorBoard when wanted."""

from __future__ import annotations

import csv
import importlib
import io
from pathlib import Path
from typing import Any

from hybridanim.errors import InputError
from hybridanim.files import atomic_write


class Curves:
    """Writes the numbers of each validation."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        """Raises InputError when TensorBoard is wanted and not installed."""
        self._path = folder / "curves.csv"
        self._board = _board(folder) if tensorboard else None

    def add(self, row: dict[str, float]) -> None:
        """Write the numbers of one validation, ``step`` among them."""
        append(self._path, row)
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["step"]))
            self._board.flush()


def append(path: Path, row: dict[str, float]) -> None:
    """Add a row to a CSV; a column that only some of the rows have is empty in the others."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append(row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _board(folder: Path) -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
    except ImportError as error:
        raise InputError(
            "--tensorboard: expected the package tensorboard, found none; pip install tensorboard,"
            " or leave the option out: curves.csv has the same numbers"
        ) from error
