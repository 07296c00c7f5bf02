"""Every number a user may change, as one frozen dataclass per stage.

The command line, a TOML file (``--config``) and ``Pipeline.load(...)`` build the same objects.
The line below a field is its help text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SegmentConfig:
    """Stage 1: skin in the U,V plane, blobs, growing."""

    cloud: Literal["adaptive", "fixed"] = "adaptive"
    """adaptive learns the skin colour of the face in view; fixed uses the ranges below."""
    u_range: tuple[int, int] = (84, 127)
    """Fixed cloud: U between these counts as skin (0 to 255)."""
    v_range: tuple[int, int] = (134, 183)
    """Fixed cloud: V between these counts as skin (0 to 255)."""
    coarse_px: int = 160
    """Blobs are looked for at this longer side, in pixels."""
    learning_rate: float = 0.02
    """Share of each confident frame that the adaptive cloud takes in."""


@dataclass(frozen=True)
class TrackConfig:
    """Stage 2: head box, corners, optical flow, head rotation."""

    corners: Literal["shi-tomasi", "harris", "moravec"] = "shi-tomasi"
    """Which corner measure picks the features."""
    max_features: int = 160
    """Most features followed at once."""
    window_px: int = 15
    """Side of the optical-flow window, in pixels."""
    pyramid_levels: int = 3
    """Optical-flow pyramid levels above the full picture."""
    forward_backward_px: float = 1.0
    """A feature that does not return to within this many pixels is dropped."""
    least_likeness: float = 0.8
    """A feature less like its first appearance than this (correlation, 0 to 1) is dropped."""


@dataclass(frozen=True)
class KeypointsConfig:
    """Stage 3: anchors with local affines, smoothing, transfer to the source."""

    motion: Literal["relative", "absolute"] = "relative"
    """relative moves the source by the driver's change; absolute puts it in the driver's pose."""
    scale: float = 1.0
    """Motion strength: 1 = as the driver, 0 = still, 2 = twice as much."""
    smooth: float = 0.5
    """Smoothing of the motion, 0 = none to 1 = heavy (a One-Euro filter)."""


@dataclass(frozen=True)
class DenseConfig:
    """Stage 4: the local maps combined into one backward flow."""

    grid: int = 64
    """Side of the flow grid, in cells."""


@dataclass(frozen=True)
class RenderConfig:
    """Stage 5: warp the source, paint what it never showed, composite."""

    renderer: Literal["warp"] = "warp"
    """warp moves the source's own pixels."""
    interpolation: Literal["linear", "cubic", "lanczos"] = "cubic"
    """How the full-resolution source is sampled."""
    composite: Literal["layers", "sheet"] = "layers"
    """layers moves the person over a background that stands; sheet bends the whole picture."""
    pin_border: float = 0.06
    """Share of the crop's side over which motion fades to nothing at its border, 0 to 0.5."""
