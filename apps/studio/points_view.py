"""The face of a picture as SVG, with the points of the fitted head, which are dragged.

``html_of`` draws it; ``SCRIPT`` lets a person drag any vertex of the mesh, a named one or another.
With the keyboard: Tab reaches the named points, the arrows move one by a pixel (with Shift by 5),
Delete leaves it to the automatic fit.
"""

from __future__ import annotations

import json

import numpy as np

from hybridanim.face import face_model, mesh
from hybridanim.face.named_points import NAMES, vertex_of
from hybridanim.geometry import crop_image
from hybridanim.types import Array, Crop

from .posing import data_uri
from .texturing import Fitted

EMPTY = '<div class="points-view empty">Choose a picture first.</div>'
SIDE = 720  # pixels and units of the drawing
_MARGIN = 1.25  # side of the part, sizes of the mesh
_CONTOURS = (*mesh.EYES, mesh.OUTER_LIPS, mesh.INNER_LIPS, mesh.OUTLINE)


def html_of(now: Fitted, chosen: str = "") -> str:
    """The drawing; chosen: a point that is marked."""
    crop = _part(now)
    scale, corner = SIDE / crop.side_px, np.array([crop.x_px, crop.y_px])

    def placed(xy_px: Array) -> Array:
        return (np.asarray(xy_px) + 0.5 - corner) * scale - 0.5

    shown = placed(now.fit.vertices_px)
    picture = data_uri(crop_image(now.before.picture, crop, SIDE))
    points = json.dumps(np.round(shown, 1).tolist(), separators=(",", ":"))
    given = {vertex_of(name): np.array(place) for name, place in now.points.items()}
    parts = [f'<image href="{picture}" width="{SIDE}" height="{SIDE}"/>', _mesh(shown)]
    for number, place in given.items():
        (x0, y0), (x1, y1) = placed(now.fit.automatic_px[number]), placed(place)
        parts.append(
            f'<line class="moved" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'
        )
    parts += _handles(now, shown, given, chosen)
    return (
        f'<svg class="points-view" viewBox="0 0 {SIDE} {SIDE}" data-points="{points}"'
        f' data-scale="{scale:.6f}" data-x="{crop.x_px:.3f}" data-y="{crop.y_px:.3f}" role="group"'
        f' aria-label="The face with the points of the fitted head">{"".join(parts)}</svg>'
    )


def _part(now: Fitted) -> Crop:
    """The square of the picture that is shown; it stays while points are moved."""
    low, high = now.fit.automatic_px.min(0), now.fit.automatic_px.max(0)
    side = max(8.0, _MARGIN * float((high - low).max()))
    x, y = (low + high) / 2 + 0.5 - side / 2
    return Crop(float(x), float(y), side)


def _mesh(shown: Array) -> str:
    """Edges of the triangles, faintly, and the contours."""
    edges = set()
    for triangle in face_model.load().triangles.tolist():
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            edges.add((min(a, b), max(a, b)))
    path = "".join(
        f"M{shown[a, 0]:.0f} {shown[a, 1]:.0f}L{shown[b, 0]:.0f} {shown[b, 1]:.0f}"
        for a, b in sorted(edges)
    )
    lines = "".join(
        "M" + "L".join(f"{shown[n, 0]:.1f} {shown[n, 1]:.1f}" for n in contour) + "Z"
        for contour in _CONTOURS
    )
    return f'<path class="mesh" d="{path}"/><path class="contour" d="{lines}"/>'


def _handles(now: Fitted, shown: Array, given: dict[int, Array], chosen: str) -> list[str]:
    """A circle for each named point, and each one that was put right or chosen."""
    names = {number: name for name, number in NAMES.items()}
    names |= {vertex_of(name): name for name in (*now.points, *([chosen] if chosen else []))}
    marked = vertex_of(chosen) if chosen else -1
    out = []
    for number, name in names.items():
        kind = "point given" if number in given else "point"
        kind += " chosen" if number == marked else ""
        state = "put right" if number in given else "automatic"
        x, y = shown[number]
        out.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="6" data-vertex="{number}"'
            f' tabindex="0" role="button" aria-label="{name}, {state}"><title>{name}</title>'
            "</circle>"
        )
    return out


CSS = """
.points-view { width: 100%; max-width: 720px; display: block; margin: 0 auto; touch-action: none;
  user-select: none; cursor: crosshair; }
.points-view.empty { aspect-ratio: 1; display: grid; place-items: center; cursor: default;
  border: 1px dashed var(--border-color-primary, #888); }
.points-view .mesh { fill: none; stroke: rgb(94 224 178 / 30%); stroke-width: 1; }
.points-view .contour { fill: none; stroke: rgb(176 255 222 / 80%); stroke-width: 1.5; }
.points-view .moved { stroke: #ff9d2e; stroke-width: 2; }
.points-view .point { fill: #58b7ff; stroke: #06263d; stroke-width: 1.5; cursor: grab; }
.points-view .point.given { fill: #ff9d2e; stroke: #4a2a00; }
.points-view .point.chosen { stroke: #fff04a; stroke-width: 4; }
.points-view .point:focus { outline: 3px solid #fff04a; }
"""

SCRIPT = """
const most = 14;  // units from a vertex at which a press takes it
const ns = 'http://www.w3.org/2000/svg';
let held = null;
const view = () => element.querySelector('svg.points-view');
const place = event => {
  const svg = view(), box = svg.getBoundingClientRect();
  const scale = svg.viewBox.baseVal.width / box.width;
  return {x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale};
};
const pixels = at => {
  const data = view().dataset;
  return {x: (at.x + 0.5) / data.scale + Number(data.x) - 0.5,
          y: (at.y + 0.5) / data.scale + Number(data.y) - 0.5};
};
const handle = vertex => {
  let circle = view().querySelector(`circle[data-vertex="${vertex}"]`);
  if (circle) return circle;
  circle = document.createElementNS(ns, 'circle');
  circle.setAttribute('class', 'point chosen');
  circle.setAttribute('r', 6);
  circle.dataset.vertex = vertex;
  view().appendChild(circle);
  return circle;
};
const nearest = event => {
  if (event.target.dataset && event.target.dataset.vertex) return event.target.dataset.vertex;
  const at = place(event), points = JSON.parse(view().dataset.points);
  let found = null, least = most;
  points.forEach((point, number) => {
    const away = Math.hypot(point[0] - at.x, point[1] - at.y);
    if (away < least) { least = away; found = number; }
  });
  return found;
};
element.addEventListener('pointerdown', event => {
  if (!view() || event.button) return;
  const vertex = nearest(event);
  if (vertex === null) return;
  event.preventDefault();
  const circle = handle(vertex);
  held = {vertex: String(vertex), circle: circle, moved: false, start: place(event)};
  if (circle.focus) circle.focus();
});
window.addEventListener('pointermove', event => {
  if (!held || !view()) return;
  const at = place(event);
  held.moved = held.moved || Math.hypot(at.x - held.start.x, at.y - held.start.y) > 2;
  if (!held.moved) return;
  held.circle.setAttribute('cx', at.x);
  held.circle.setAttribute('cy', at.y);
});
window.addEventListener('pointerup', event => {
  if (!held) return;
  const {vertex, moved} = held, at = place(event);
  held = null;
  if (moved) trigger('put', {vertex: vertex, ...pixels(at)});
  else trigger('choose', {vertex: vertex});
});
let focused = null;
element.addEventListener('keydown', event => {
  const circle = event.target.closest('circle');
  if (!circle) return;
  const size = event.shiftKey ? 5 : 1, vertex = circle.dataset.vertex;
  const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  const way = ways[event.key], at = name => Number(circle.getAttribute(name));
  if (way) {
    const now = pixels({x: at('cx'), y: at('cy')});
    focused = vertex;
    trigger('put', {vertex: vertex, x: now.x + size * way[0], y: now.y + size * way[1]});
  } else if (event.key === 'Delete') { focused = vertex; trigger('free', {vertex: vertex}); }
  else if (event.key === 'Enter' || event.key === ' ') trigger('choose', {vertex: vertex});
  else return;
  event.preventDefault();
});
watch('value', () => {
  const circle = focused && view() && view().querySelector(`circle[data-vertex="${focused}"]`);
  focused = null;
  if (circle) circle.focus();
});
"""
