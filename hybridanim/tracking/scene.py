"""Corners of body and background, tracked since the first frame with a head.

Every corner is searched by its patch of the first frame, starting from its last position (Lucas and
Kanade 1981, forward and backward), so that it does not drift; only where that fails it is tracked
from the last frame. The window is fixed and small: the head box has 80 pixels in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from hybridanim.fitting import fit_global_affine
from hybridanim.types import Array, Frame, HeadBox, SceneTracks, Tracks

from . import corners, lucas_kanade
from .lucas_kanade import Window

_WORKING_PX = 80.0  # side of the head box in the window
_BODY, _BACKGROUND = 48, 60  # corners at most
_SPACING_PX = 5.0
_RETURN_PX = 0.6  # forward-backward error, window pixels
_SEARCH_FRAMES = 4  # interval of searches of lost corners
_CARRIED = 0.4  # confidence of a corner tracked from the last frame only
_LEAST = 3  # least corners for a fit that predicts the lost ones


@dataclass(frozen=True)
class SceneState:
    """State between frames; positions are pixels of the window."""

    window: Window | None = None
    shape: tuple[int, ...] = ()
    first: Array | None = None  # (h, w) uint8, the window of the first frame
    last: Array | None = None  # of the last frame
    reference: Array | None = None  # (N, 2) float32 in the first frame
    now: Array | None = None  # (N, 2) float32 in the last frame
    confidence: Array | None = None  # (N,) float32: 1 = found by the first patch, 0 = lost
    is_body: Array | None = None  # (N,) bool
    steps: int = 0


def observed(
    state: SceneState, frame: Frame, tracks: Tracks, *, track_background: bool = True
) -> tuple[SceneState, Tracks]:
    """Add the corners of body and background to the head's tracks of the next frame.

    track_background: also track corners of the background.
    """
    if tracks.is_new_reference:
        state = SceneState()
    if tracks.head is None and state.window is None:
        return state, tracks
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    state, found = step(
        state, grey, tracks.head if tracks else None, track_background=track_background
    )
    return state, replace(tracks, scene=found)


def step(
    state: SceneState, grey: Array, head: HeadBox | None, *, track_background: bool = True
) -> tuple[SceneState, SceneTracks | None]:
    """Track the corners into the next frame.

    grey: (H, W) uint8, the whole frame. head: the head box, or None while it is lost; the first
    frame with one is the reference. Returns None before that and when the frame size changed.
    """
    if state.window is None or state.shape != grey.shape:
        if head is None:
            return SceneState(), None
        state = _start(grey, head, _BACKGROUND if track_background else 0)
        return state, _build_surroundings(state)
    assert state.last is not None and state.now is not None and state.confidence is not None
    small = state.window.cut(grey)
    is_alive = state.confidence > 0
    is_search = state.steps % _SEARCH_FRAMES == 0
    guess = _predict(state) if is_search else state.now
    now, confidence = _track_from_first(state, small, guess, np.flatnonzero(is_alive | is_search))
    missed = np.flatnonzero(is_alive & (confidence == 0))
    if len(missed):
        start = state.now[missed]
        found, error = lucas_kanade.follow(state.last, small, start, start, window_px=11, levels=2)
        kept = error < _RETURN_PX
        now[missed[kept]], confidence[missed[kept]] = found[kept], _CARRIED
    state = replace(state, last=small, now=now, confidence=confidence, steps=state.steps + 1)
    return state, _build_surroundings(state)


def _track_from_first(
    state: SceneState, small: Array, guess: Array, rows: Array
) -> tuple[Array, Array]:
    """(N, 2) positions in the window ``small`` and (N,) confidence, 1 or 0, by the first patches.

    guess: (N, 2), kept where a corner is not found. rows: indices of the corners to search.
    """
    assert state.first is not None and state.reference is not None
    now, confidence = guess.copy(), np.zeros(len(guess), np.float32)
    found, error = lucas_kanade.follow(
        state.first, small, state.reference[rows], guess[rows], window_px=11, levels=2
    )
    seen = error < _RETURN_PX
    now[rows[seen]], confidence[rows[seen]] = found[seen], 1.0
    return now, confidence


def elsewhere(state: SceneState, image: Array, there: HeadBox, here: HeadBox) -> SceneTracks | None:
    """Find the first frame's corners in another picture of the same size, uint8, RGB or grey.

    here, there: the head box in the first frame and in that picture. Each corner is searched at its
    own position and then at that position shifted like the head, with which bodies move.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if state.window is None or state.shape != grey.shape or state.reference is None:
        return None
    small = state.window.cut(grey)
    now, confidence = _track_from_first(
        state, small, state.reference, np.arange(len(state.reference))
    )
    missed = np.flatnonzero(confidence == 0)
    if len(missed):
        shift = np.subtract(there.center_xy_px, here.center_xy_px) * state.window.scale
        with_head = _track_from_first(
            state, small, state.reference + shift.astype(np.float32), missed
        )
        now[missed], confidence[missed] = (value[missed] for value in with_head)
    return _build_surroundings(replace(state, now=now, confidence=confidence))


def _start(grey: Array, head: HeadBox, most_behind: int) -> SceneState:
    window = _window(grey, head)
    small = window.cut(grey)
    height, width = small.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    places = window.outside(np.stack([columns, rows], -1).astype(np.float32))
    across, down = np.moveaxis((places - np.array(head.center_xy_px)) / head.size_px, -1, 0)
    body = corners.detect(small, _body(across, down), _BODY, spacing_px=_SPACING_PX)
    behind = corners.detect(small, _behind(across, down), most_behind, spacing_px=_SPACING_PX)
    reference = np.concatenate([body, behind])
    is_body = np.arange(len(reference)) < len(body)
    sure = np.ones(len(reference), np.float32)
    return SceneState(window, grey.shape, small, small, reference, reference, sure, is_body, 1)


def _window(grey: Array, head: HeadBox) -> Window:
    (height, width), size = grey.shape, head.size_px
    x, y = head.center_xy_px
    left, right = max(0, int(x - 2.3 * size)), min(width, int(x + 2.3 * size))
    top, bottom = max(0, int(y - 1.9 * size)), min(height, int(y + 2.2 * size))
    return Window(left, top, right - left, bottom - top, min(1.0, _WORKING_PX / size))


def _body(across: Array, down: Array) -> Array:
    """(h, w) uint8: chest and shoulders of an upright person.

    across, down: (h, w) offset from the head's centre in head sizes.
    """
    half = 0.3 + 2.0 * np.maximum(0, down - 0.5)
    return ((down > 0.5) & (np.abs(across) < half)).astype(np.uint8)


def _behind(across: Array, down: Array) -> Array:
    """(h, w) uint8: the background, neither head, hair nor body; arguments as ``_body``."""
    is_clear = (np.abs(across) > 0.58) | (down < -0.95)
    half = 0.58 + 2.2 * np.maximum(0, down - 0.3)
    is_body = (down > 0.25) & (np.abs(across) < half)
    return (is_clear & ~is_body).astype(np.uint8)


def _predict(state: SceneState) -> Array:
    """(N, 2) start positions: the last ones, or by an affine of the found corners of its kind."""
    assert state.reference is not None and state.now is not None
    assert state.confidence is not None and state.is_body is not None
    guess, is_sure = state.now.copy(), state.confidence == 1
    for kind in (state.is_body, ~state.is_body):
        known, lost = kind & is_sure, kind & ~is_sure
        if known.sum() < _LEAST or not lost.any():
            continue
        weight = np.ones(int(known.sum()))
        found = fit_global_affine(state.reference[known], state.now[known], weight, 1.0)
        guess[lost] = state.reference[lost] @ found[:, :2].T + found[:, 2]
    return guess


def _build_surroundings(state: SceneState) -> SceneTracks:
    assert state.window is not None and state.reference is not None and state.now is not None
    assert state.confidence is not None and state.is_body is not None
    rows = state.confidence > 0
    return SceneTracks(
        state.window.outside(state.now[rows]),
        state.window.outside(state.reference[rows]),
        state.confidence[rows],
        state.is_body[rows],
    )
