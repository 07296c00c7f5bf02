"""Which parts of the driver's motion move the source, and how strongly: the option ``drive``."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .errors import InputError

MOST = 5.0
"""Largest strength, of one part and of a part times the motion's scale."""


class Drive(NamedTuple):
    """Strengths of the parts: 0 = the source's own, 1 = as the driver."""

    pose: float = 1.0  # rotation, size and place of the head; the shoulders
    expression: float = 1.0  # brows, cheeks, nose: the face without the parts below
    lips: float = 1.0  # jaw and lips
    eyes: float = 1.0  # lids and gaze

    @property
    def is_uniform(self) -> bool:
        """Whether all parts have the same strength."""
        return len(set(self)) == 1

    @property
    def is_even(self) -> bool:
        """Whether all parts of the face have the same strength."""
        return self.expression == self.lips == self.eyes

    def capped(self) -> Drive:
        """The strengths, each at most 1."""
        return Drive(*(min(1.0, strength) for strength in self))

    def times(self, scale: float) -> Drive:
        """All strengths times ``scale``, each at most ``MOST``."""
        return Drive(*(min(MOST, scale * strength) for strength in self))


PARTS = Drive._fields
"""The names that the option takes."""
ALL = ",".join(PARTS)
"""The option's default."""


@cache
def parse(text: str) -> Drive:
    """The strengths of an option such as ``pose=0.5,eyes``; parts that are not named have 0.

    Raises InputError for unknown or repeated names, and strengths outside 0 to 5.
    """
    found: dict[str, float] = {}
    for one in text.split(","):
        name, sign, number = (part.strip() for part in one.partition("="))
        if name not in PARTS:
            raise InputError(
                f"--drive: expected {', '.join(PARTS)}, separated by commas, got {name!r};"
                " for example --drive pose=0.5,eyes"
            )
        if name in found:
            raise InputError(f"--drive: expected each part once, got {name} twice; leave one out")
        found[name] = _strength(name, number) if sign else 1.0
    return Drive(**dict.fromkeys(PARTS, 0.0) | found)


def _strength(name: str, number: str) -> float:
    try:
        strength = float(number)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= MOST:  # not NaN either
        raise InputError(
            f"--drive: expected a strength of 0 to {MOST:g} for {name}, got {number!r};"
            f" for example {name}=0.5"
        )
    return strength
