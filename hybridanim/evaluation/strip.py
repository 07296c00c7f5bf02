"""Measured frames -> a picture of the frames with the largest differences, with source and driver.

These are the frames where mouth, eyes or pose differ most from the source or, on request, those
with the worst metric values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hybridanim.types import Array
from hybridanim.visualization import sheet

from .face_evaluator import FaceMeasurement

# differences that weigh the same: a wide open mouth, closed eyes, a clear turn in degrees
_FULL = {"mouth": 0.4, "eyes": 0.2, "pose": 15.0}
_FULL_L1 = 0.2
_MOST_ROWS = 14
_APART = 12  # frames, at least, between two of a clip's worst
_WORST_A_CLIP = 3
# the first of these metrics that was measured is shown; and a bad value of each
_UNITS = {"akd_px": "px", "pose_deg": "deg", "l1": "L1"}
_BAD = {"akd_px": 1.5, "pose_deg": 5.0, "l1": 0.05}


@dataclass(frozen=True)
class Row:
    """One row of the picture."""

    clip: str
    index: int
    kind: str  # what differs from the source
    amount: float  # how much, 1 = a lot
    cells: tuple[Array, ...]  # source, driving, each method
    labels: tuple[str, ...]  # of each method
    badness: float  # of the last method


@dataclass
class Candidates:
    """The frames of one clip that may be shown."""

    clip: str = ""
    rows: dict[str, Row] = field(default_factory=dict)  # the most different of each kind
    worst: list[Row] = field(default_factory=list)

    def add(
        self,
        index: int,
        changes: dict[str, float],
        cells: tuple[Array, ...],
        values: dict[str, dict[str, float]],
    ) -> None:
        """Consider a measured frame.

        changes: see face_changes. cells: source, driver and each method's result. values: metric
        values by method.
        """
        last = [*values.values()][-1]
        name = next((n for n in _UNITS if n in last), "")
        bad = last.get(name, 0.0) / _BAD.get(name, 1.0) + 4 * (1 - last.get("csim", 1.0))
        labels = tuple(
            f"{method}  {row[name]:.3g} {_UNITS[name]}" if name in row else method
            for method, row in values.items()
        )
        for kind, amount in changes.items():
            if kind not in self.rows or amount > self.rows[kind].amount:
                self.rows[kind] = Row(self.clip, index, kind, amount, cells, labels, bad)
        kind = max(changes, key=changes.__getitem__)
        shown = Row(self.clip, index, kind, changes[kind], cells, labels, bad)
        near = [one for one in self.worst if abs(one.index - index) <= _APART]
        if all(one.badness < bad for one in near):
            far = [one for one in self.worst if abs(one.index - index) > _APART]
            self.worst = sorted([*far, shown], key=_badness)[:_WORST_A_CLIP]


def face_changes(
    before: FaceMeasurement | None, now: FaceMeasurement | None, apart: float
) -> dict[str, float]:
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


def draw(candidates: list[Candidates], worst: int = 0, cell_px: int = 192) -> Array:
    """A contact sheet: per row source, driving frame and each method's result with its value.

    worst: this many frames with the worst values of the last method; 0 = the most different.
    """
    if worst:
        rows = sorted((shown for one in candidates for shown in one.worst), key=_badness)[:worst]
    else:
        rows = _most_different(candidates)
    cells, labels = [], []
    for row in rows:
        cells += row.cells
        labels += [row.clip, f"{row.index}: {row.kind}", *row.labels]
    return sheet.contact_sheet(cells, labels, cell_px, columns=len(rows[0].cells) if rows else None)


def _most_different(candidates: list[Candidates]) -> list[Row]:
    """At most one row a clip, the kinds in turn, the largest differences first."""
    left = {one.clip: one.rows for one in candidates if one.rows}
    kinds = sorted({kind for rows in left.values() for kind in rows})
    chosen: list[Row] = []
    while left and len(chosen) < _MOST_ROWS:
        kind = kinds[len(chosen) % len(kinds)]
        with_it = [rows[kind] for rows in left.values() if kind in rows]
        others = [shown for rows in left.values() for shown in rows.values()]
        chosen.append(max(with_it or others, key=lambda shown: shown.amount))
        left.pop(chosen[-1].clip)
    return chosen


def _badness(shown: Row) -> float:
    return -shown.badness
