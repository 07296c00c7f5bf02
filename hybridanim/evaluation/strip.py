"""Measured frames -> a strip of those worth looking at, each beside its source and its driver.

That is where mouth, eyes or pose differ most from the source, not the middle of the clip; or, when
asked for, where the figures are worst.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hybridanim.types import Array
from hybridanim.visualization import sheet

from .face_evaluator import Seen

# how much of each counts as much: a wide open mouth, closed eyes, a clear turn in degrees
_FULL = {"mouth": 0.4, "eyes": 0.2, "pose": 15.0}
_FULL_L1 = 0.2
_MOST_ROWS = 14
_APART = 12  # frames between two of a clip's worst
_WORST_A_CLIP = 3
# the figure that is shown, the first of these that was measured; and what is a bad one
_UNITS = {"akd_px": "px", "pose_deg": "deg", "l1": "L1"}
_BAD = {"akd_px": 1.5, "pose_deg": 5.0, "l1": 0.05}


@dataclass(frozen=True)
class Shown:
    """One row of the strip."""

    clip: str
    index: int
    kind: str  # what differs from the source
    amount: float  # how much, 1 = a lot
    cells: tuple[Array, ...]  # source, driving, each method
    labels: tuple[str, ...]  # of each method
    badness: float  # of the last method


@dataclass
class Gallery:
    """The candidates of one clip."""

    clip: str = ""
    rows: dict[str, Shown] = field(default_factory=dict)  # the most different of each kind
    worst: list[Shown] = field(default_factory=list)

    def offer(
        self,
        index: int,
        apart: dict[str, float],
        cells: tuple[Array, ...],
        figures: dict[str, dict[str, float]],
    ) -> None:
        """A measured frame: what differs, source, driver and results, and the methods' figures."""
        last = [*figures.values()][-1]
        name = next((n for n in _UNITS if n in last), "")
        bad = last.get(name, 0.0) / _BAD.get(name, 1.0) + 4 * (1 - last.get("csim", 1.0))
        labels = tuple(
            f"{method}  {row[name]:.3g} {_UNITS[name]}" if name in row else method
            for method, row in figures.items()
        )
        for kind, amount in apart.items():
            if kind not in self.rows or amount > self.rows[kind].amount:
                self.rows[kind] = Shown(self.clip, index, kind, amount, cells, labels, bad)
        kind = max(apart, key=apart.__getitem__)
        shown = Shown(self.clip, index, kind, apart[kind], cells, labels, bad)
        near = [one for one in self.worst if abs(one.index - index) <= _APART]
        if all(one.badness < bad for one in near):
            far = [one for one in self.worst if abs(one.index - index) > _APART]
            self.worst = sorted([*far, shown], key=_badness)[:_WORST_A_CLIP]


def amounts(before: Seen | None, now: Seen | None, apart: float) -> dict[str, float]:
    """How much mouth, eyes and pose have changed, 1 = a lot; without faces how unlike they are.

    apart: L1 of the pictures.
    """
    if before is None or now is None:
        return {"picture": apart / _FULL_L1}
    found = {
        "mouth": abs(now.mouth - before.mouth) / _FULL["mouth"],
        "eyes": abs(now.eyes - before.eyes) / _FULL["eyes"],
    }
    if before.angles_deg is not None and now.angles_deg is not None:
        turn = np.subtract(now.angles_deg, before.angles_deg)
        found["pose"] = float(np.linalg.norm(turn)) / _FULL["pose"]
    return found


def strip(galleries: list[Gallery], worst: int = 0, cell_px: int = 192) -> Array:
    """A contact sheet: per row source, driving and each method's result with its figure.

    worst: this many frames with the worst figures of the last method; 0 = the most different.
    """
    if worst:
        rows = sorted((shown for one in galleries for shown in one.worst), key=_badness)[:worst]
    else:
        rows = _most_different(galleries)
    cells, labels = [], []
    for row in rows:
        cells += row.cells
        labels += [row.clip, f"{row.index}: {row.kind}", *row.labels]
    return sheet.contact_sheet(cells, labels, cell_px, columns=len(rows[0].cells) if rows else None)


def _most_different(galleries: list[Gallery]) -> list[Shown]:
    """At most one row a clip, the kinds in turn, the largest differences first."""
    left = {one.clip: one.rows for one in galleries if one.rows}
    kinds = sorted({kind for rows in left.values() for kind in rows})
    chosen: list[Shown] = []
    while left and len(chosen) < _MOST_ROWS:
        kind = kinds[len(chosen) % len(kinds)]
        with_it = [rows[kind] for rows in left.values() if kind in rows]
        others = [shown for rows in left.values() for shown in rows.values()]
        chosen.append(max(with_it or others, key=lambda shown: shown.amount))
        left.pop(chosen[-1].clip)
    return chosen


def _badness(shown: Shown) -> float:
    return -shown.badness
