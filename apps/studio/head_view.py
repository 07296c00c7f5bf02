"""The posed picture as HTML that is dragged to turn the head, or turned by the arrow keys."""

from __future__ import annotations

from hybridanim.motion.by_hand import Controls
from hybridanim.types import Array

from .posing import data_uri

EMPTY = '<div class="head-view empty">Choose a picture first.</div>'


def html_of(picture: Array, by: Controls) -> str:
    """The picture (S, S, 3) uint8 RGB of a pose, in an element that ``SCRIPT`` listens to."""
    side = len(picture)
    return (
        f'<img class="head-view" src="{data_uri(picture)}" width="{side}" height="{side}"'
        f' data-yaw="{by.yaw:.2f}" data-pitch="{by.pitch:.2f}" tabindex="0" draggable="false"'
        ' alt="The posed picture. Drag it, or press the arrow keys, to turn the head."/>'
    )


CSS = """
.head-view { width: 100%; max-width: 640px; height: auto; display: block; margin: 0 auto;
  cursor: grab; touch-action: none; user-select: none; border-radius: 6px; }
.head-view:active { cursor: grabbing; }
.head-view:focus-visible { outline: 3px solid var(--color-accent, #059669); }
.head-view.empty { aspect-ratio: 1; display: grid; place-items: center; cursor: default;
  border: 1px dashed var(--border-color-primary, #888); }
"""

SCRIPT = """
const degrees = 120;  // over the picture's width
const most = {yaw: 60, pitch: 45};
let start = null, wanted = null, sent = null, timer = null;
const image = () => element.querySelector('img.head-view');
const within = (value, name) => Math.max(-most[name], Math.min(most[name], value));
const shown = () => ({yaw: Number(image().dataset.yaw), pitch: Number(image().dataset.pitch)});
const next = () => {  // one request at a time; of those that wait, the newest
  if (!wanted || sent || !image()) return;
  const now = shown();
  if (Math.hypot(wanted.yaw - now.yaw, wanted.pitch - now.pitch) < 0.05) return;
  sent = wanted;
  wanted = null;
  timer = setTimeout(answered, 3000);  // an error leaves the picture as it is
  trigger('turn', sent);
};
const answered = () => {
  clearTimeout(timer);
  sent = null;
  next();
};
const send = (yaw, pitch) => {
  wanted = {yaw: within(yaw, 'yaw'), pitch: within(pitch, 'pitch')};
  next();
};
element.addEventListener('pointerdown', event => {
  const img = image();
  if (!img || event.button) return;
  const width = img.getBoundingClientRect().width;
  start = {x: event.clientX, y: event.clientY, width: width, ...shown()};
  event.preventDefault();
  img.focus();
});
window.addEventListener('pointermove', event => {
  if (!start) return;
  const scale = degrees / start.width;
  send(start.yaw + scale * (event.clientX - start.x),
       start.pitch - scale * (event.clientY - start.y));
});
window.addEventListener('pointerup', () => { start = null; });
window.addEventListener('pointercancel', () => { start = null; });
element.addEventListener('keydown', event => {
  const step = {ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, 2], ArrowDown: [0, -2]};
  const img = image(), way = step[event.key];
  if (!img || !way) return;
  event.preventDefault();
  const now = wanted || sent || shown();
  send(now.yaw + way[0], now.pitch + way[1]);
});
let had = false;  // the picture keeps the focus when it is replaced
element.addEventListener('focusin', () => { had = true; });
element.addEventListener('focusout', event => { had = event.relatedTarget === null && had; });
watch('value', () => {
  if (had && image()) image().focus();
  answered();
});
"""
