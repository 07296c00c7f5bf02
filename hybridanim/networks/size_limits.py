"""Bounds of what a weights file states: sizes, and numbers that have a meaning of their own.

Sizes are checked before networks are built from them: a header of a few bytes could otherwise ask
for any amount of memory or time. Needs no torch.
"""

from __future__ import annotations

from typing import Any

MOST_BYTES = 2**30
"""Of a weights file."""
MOST_KEYPOINTS = 512

NUMBERS = {  # last part of a tensor's name -> least and most
    "log_reach": (-7.0, 7.0),  # a keypoint's sigma is 1/1000 to 1000 of the object's size
    "loud": (-100.0, 100.0),  # a logit; beyond, one keypoint decides everywhere
    "running_var": (0.0, float("inf")),  # a variance
}
"""Ranges of tensors whose values are more than weights."""

_CHANNELS = (1, 1024)
_WIDTHS = (2, 8)  # entries of a U-Net's widths
_SIDE_PX = (8, 1024)
_ANIMATOR = {
    "motion_features": _CHANNELS,
    "deep": _CHANNELS,
    "fine": _CHANNELS,
    "half": _CHANNELS,
    "blocks": (0, 64),
    "encoder_blocks": (0, 64),
    "picture_px": _SIDE_PX,
}
_SWITCHES = ("openings", "jacobians", "occlusion", "blend", "optical")
_DETECTOR = {
    "count": (1, MOST_KEYPOINTS),
    "size": _SIDE_PX,
    "pool": (1, 16),
    "seen": (0, MOST_KEYPOINTS),
}


_MONKEYNET = {
    "count": (1, MOST_KEYPOINTS),
    "picture_px": _SIDE_PX,
    "motion_px": (4, 512),
    "blocks": (0, 64),
}
_MONKEYNET_SWITCHES = ("covariances", "flow", "coarse", "residual", "source")
_MONKEYNET_WIDTHS = ("detector_widths", "motion_widths", "widths")


def check_animator(table: dict[str, Any]) -> None:
    """Raise ValueError unless the fields of ``sizes.FastSizes`` that are given are possible."""
    _check(table, _ANIMATOR, _SWITCHES, "motion_widths")
    side, widths = table.get("picture_px"), table.get("motion_widths")
    if side is not None and widths is not None and side % (4 * 2 ** (len(widths) - 1)):
        raise ValueError(f"picture_px {side} with {len(widths)} motion_widths")


def check_detector(table: dict[str, Any]) -> None:
    """The same of ``sizes.DetectorSizes``."""
    _check(table, _DETECTOR, (), "widths")
    size, widths, pool = (table.get(name) for name in ("size", "widths", "pool"))
    if size is not None and widths is not None and size % 2 ** len(widths):
        raise ValueError(f"size {size} with {len(widths)} widths")
    if size is not None and size % (2 * (pool or 1)):
        raise ValueError(f"size {size} with a pool of {pool}")


def check_monkeynet(table: dict[str, Any]) -> None:
    """The same of ``sizes.MonkeyNetSizes``, whose fields must all be given."""
    _check(table, _MONKEYNET, _MONKEYNET_SWITCHES, *_MONKEYNET_WIDTHS)
    wanted = {*_MONKEYNET, *_MONKEYNET_SWITCHES, *_MONKEYNET_WIDTHS}
    if missing := wanted - table.keys():
        raise ValueError(f"sizes without {min(missing)}")
    side, cells = table["picture_px"], table["motion_px"]
    for name, of in (("detector_widths", cells), ("motion_widths", cells), ("widths", side)):
        if of % 2 ** (len(table[name]) - 1):
            raise ValueError(f"side {of} with {len(table[name])} {name}")
    if side % cells or side >> (len(table["widths"]) - 1) > cells or 2 * cells > side:
        raise ValueError(f"picture_px {side} with motion_px {cells}")
    if cells % (side >> (len(table["widths"]) - 1)):
        raise ValueError(f"motion_px {cells} with {len(table['widths'])} widths")
    if not (table["coarse"] or table["residual"]):
        raise ValueError("a flow of neither masks nor residual")


def _check(
    table: dict[str, Any],
    numbers: dict[str, tuple[int, int]],
    switches: tuple[str, ...],
    *widths: str,
) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"sizes that are a {type(table).__name__}")
    for name, value in table.items():
        if name in numbers:
            expect_within(name, value, *numbers[name])
        elif name in widths:
            if not isinstance(value, list | tuple):
                raise ValueError(f"{name} {str(value)[:40]!r}")
            expect_within(f"number of {name}", len(value), *_WIDTHS)
            for width in value:
                expect_within(name, width, *_CHANNELS)
        elif name not in switches or not isinstance(value, bool):
            raise ValueError(f"{str(name)[:40]} {str(value)[:40]!r}")


def expect_within(name: str, value: Any, least: int, most: int) -> None:
    """Raise ValueError unless the value is a whole number from ``least`` to ``most``."""
    if type(value) is not int or not least <= value <= most:  # a bool is an int, too
        raise ValueError(f"{name} {str(value)[:40]}, possible are {least} to {most}")
