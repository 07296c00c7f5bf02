"""A time line as HTML: curves of the key frames, a handle for each key, and where the picture is.

``html_of`` draws it; ``SCRIPT`` lets a person choose a key by a click, drag it to another time, and
go to a time by a click beside it. With the keyboard: Tab reaches a key, the arrows move it by a
frame, Enter chooses it, Delete removes it.
"""

from __future__ import annotations

import numpy as np

from hybridanim.motion.by_hand import RANGES

from .posing import Edit, described

WIDTH, HEIGHT = 640, 110  # units of the drawing
_LEFT, _RIGHT, _MIDDLE, _SCALE = 18, 622, 62, 34
_LEAST_S, _MARGIN = 2.0, 1.25  # length that is shown: at least, and of the last key's time
_SAMPLES, _MOST_TICKS = 96, 10
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_HUES = {name: round(360 * n / len(RANGES)) for n, name in enumerate(RANGES)}


def shown_s(edit: Edit) -> float:
    """Length of the time line in seconds."""
    last = 0.0 if edit.keys is None else edit.keys.duration_s
    return round(max(_LEAST_S, _MARGIN * last), 1)


def html_of(edit: Edit, time_s: float) -> str:
    """The drawing; time_s: of the picture that is shown."""
    length = shown_s(edit)
    parts = [*_ticks(length), *_curves(edit, length), _playhead(time_s, length)]
    parts += _handles(edit, length)
    return (
        f'<svg class="time-line" viewBox="0 0 {WIDTH} {HEIGHT}" data-seconds="{length}"'
        f' data-left="{_LEFT}" data-right="{_RIGHT}" data-frame="{float(1 / edit.fps):.6f}"'
        f' role="group" aria-label="Time line of {length:g} seconds">{"".join(parts)}</svg>'
    )


def _x(time_s: float, length: float) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * min(time_s / length, 1.0), 1)


def _ticks(length: float) -> list[str]:
    step = next((one for one in _STEPS_S if length / one <= _MOST_TICKS), _STEPS_S[-1])
    out = [f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_MIDDLE}" y2="{_MIDDLE}"/>']
    for time_s in np.arange(0, length + 1e-9, step):
        x = _x(float(time_s), length)
        out.append(f'<line class="axis" x1="{x}" x2="{x}" y1="18" y2="24"/>')
        out.append(f'<text x="{x}" y="13" text-anchor="middle">{time_s:g} s</text>')
    return out


def _curves(edit: Edit, length: float) -> list[str]:
    """One curve for each control that is moved, over its range."""
    if edit.keys is None:
        return []
    times = np.linspace(0, length, _SAMPLES)
    poses = [edit.keys.at(float(time_s)) for time_s in times]
    out = []
    for name, (_, most) in RANGES.items():
        values = np.array([getattr(pose, name) for pose in poses]) / most
        if np.abs(values).max() < 1e-3:
            continue
        path = " ".join(
            f"{_x(float(t), length)},{_MIDDLE - _SCALE * v:.1f}"
            for t, v in zip(times, values, strict=True)
        )
        out.append(f'<polyline points="{path}" style="stroke: hsl({_HUES[name]} 60% 50%)"/>')
    return out


def _playhead(time_s: float, length: float) -> str:
    x = _x(time_s, length)
    return f'<line class="now" x1="{x}" x2="{x}" y1="18" y2="{HEIGHT - 8}"/>'


def _handles(edit: Edit, length: float) -> list[str]:
    out = []
    for index, key in enumerate(edit.keys.keys if edit.keys is not None else ()):
        x, name = _x(key.time_s, length), f"Key {index + 1} at {key.time_s:.2f} seconds: "
        chosen = index == edit.chosen
        out.append(
            f'<g class="key{" chosen" if chosen else ""}" data-key="{index}" tabindex="0"'
            f' role="button" aria-pressed="{str(chosen).lower()}"'
            f' aria-label="{name}{described(key.amounts)}" transform="translate({x} {_MIDDLE})">'
            '<rect x="-9" y="-9" width="18" height="18" transform="rotate(45)"/></g>'
        )
    return out


CSS = """
.time-line { width: 100%; height: auto; touch-action: none; user-select: none; }
.time-line .axis { stroke: var(--body-text-color-subdued, #888); }
.time-line text { fill: var(--body-text-color-subdued, #888); font-size: 13px; }
.time-line polyline { fill: none; stroke-width: 2; }
.time-line .now { stroke: var(--color-accent, #059669); stroke-width: 2; }
.time-line .key { cursor: grab; fill: var(--body-text-color, #222); }
.time-line .key:focus { outline: 3px solid var(--color-accent, #059669); outline-offset: 4px; }
.time-line .key.chosen { fill: var(--color-accent, #059669); }
"""

SCRIPT = """
let held = null;
const line = () => element.querySelector('svg.time-line');
const seconds = event => {
  const svg = line(), box = svg.getBoundingClientRect(), data = svg.dataset;
  const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
  const share = (x - data.left) / (data.right - data.left);
  return Math.min(1, Math.max(0, share)) * Number(data.seconds);
};
element.addEventListener('pointerdown', event => {
  if (!line()) return;
  const key = event.target.closest('.key');
  if (!key) { trigger('seek', {time_s: seconds(event)}); return; }
  held = {key: key, index: Number(key.dataset.key), x: event.clientX, moved: false};
  event.preventDefault();
  key.focus();
});
window.addEventListener('pointermove', event => {
  if (!held || !line()) return;
  held.moved = held.moved || Math.abs(event.clientX - held.x) > 3;
  if (!held.moved) return;
  const data = line().dataset;
  const share = seconds(event) / Number(data.seconds);
  const x = Number(data.left) + share * (data.right - data.left);
  const y = held.key.getAttribute('transform').split(' ')[1];
  held.key.setAttribute('transform', `translate(${x} ${y}`);
});
window.addEventListener('pointerup', event => {
  if (!held) return;
  const {index, moved} = held;
  held = null;
  if (moved) trigger('shift', {index: index, time_s: seconds(event)});
  else trigger('choose', {index: index});
});
element.addEventListener('keydown', event => {
  const key = event.target.closest('.key');
  if (!key) return;
  const index = Number(key.dataset.key), data = line().dataset;
  const steps = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (steps) {
    const x = Number(key.getAttribute('transform').match(/[0-9.]+/)[0]);
    const at = (x - data.left) / (data.right - data.left) * data.seconds;
    trigger('shift', {index: index, time_s: at + steps * Number(data.frame)});
  } else if (event.key === 'Enter' || event.key === ' ') trigger('choose', {index: index});
  else if (event.key === 'Delete') trigger('remove', {index: index});
  else return;
  event.preventDefault();
});
watch('value', () => {
  const chosen = element.querySelector('.key.chosen');
  if (chosen && element.contains(document.activeElement.parentElement)) chosen.focus();
});
"""
