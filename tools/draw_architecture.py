"""Draw the packages and their imports: docs/pictures/architecture.svg and a table in the guide.

``python -m tools.draw_architecture`` parses all modules of hybridanim, stages, apps and calibration
without importing them, joins them to packages, and places these by LAYERS of
tests/test_architecture.py. An arrow that a chain of others implies is in the table only. A red
arrow would point up or sideways. The same sources give the same text.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

ROOT = Path(__file__).parents[1]
PICTURE = Path("docs/pictures/architecture.svg")
PAGE = Path("docs/guide/architecture.md")
BEGIN, END = "<!-- arrows: python -m tools.draw_architecture -->", "<!-- end of arrows -->"
FILES = "hybridanim (root)"  # the files that lie in hybridanim itself, as one box
SCRIPT = "run_pipeline"
TOP = ("apps", "stages", "calibration")
PUBLIC = ("hybridanim", "hybridanim.notebook")  # their imports are the public interface

Arrows = dict[str, set[str]]  # package -> the packages that it imports
Layers = Sequence[Sequence[str]]
Point = tuple[float, float]

_WIDTH, _BOX, _HEIGHT, _ROW, _MARGIN = 960, 150, 34, 78, 24
_SLOTS = [_WIDTH * (i + 0.5) / 5 for i in range(5)]  # middles of the columns
_COLOURS = {"right": "#1f4e79", "wrong": "#c00000"}


def read_layers(root: Path = ROOT) -> Layers:
    """LAYERS of the architecture test, upper first, read without importing it."""
    tree = ast.parse((root / "tests/test_architecture.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    if not isinstance(layers := values.get("LAYERS"), ast.Tuple):
        raise LookupError("tests/test_architecture.py: expected a tuple LAYERS, found none")
    rows = [row.elts for row in layers.elts if isinstance(row, ast.Tuple)]
    return [[ast.literal_eval(values.get(ast.unparse(e), e)) for e in row] for row in rows]


def read_arrows(root: Path = ROOT) -> Arrows:
    """Package -> the other packages that it imports, at any place in its modules.

    Left out: hybridanim/__init__.py hands out stages' Pipeline under the package's name, and
    hybridanim/notebook.py the Studio of apps.
    """
    paths = {_name(path, root): path for path in _modules(root)}
    arrows: Arrows = {}
    for name, path in sorted(paths.items()):
        package = _package(name, root)
        found = arrows.setdefault(package, set())
        for target in _imports(path, name, paths):
            if name not in PUBLIC:
                found.add(_package(target, root))
        found.discard(package)
    return arrows


def _modules(root: Path) -> Iterator[Path]:
    if (root / f"{SCRIPT}.py").is_file():
        yield root / f"{SCRIPT}.py"
    for top in (*TOP, "hybridanim"):
        yield from (root / top).rglob("*.py")


def _name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _package(module: str, root: Path) -> str:
    """The box of a module."""
    top, _, rest = module.partition(".")
    if top != "hybridanim":
        return top
    name = rest.partition(".")[0]
    return name if (root / "hybridanim" / name).is_dir() and name else FILES


def _imports(path: Path, name: str, known: Mapping[str, Path]) -> Iterator[str]:
    """The project's own modules that a file imports, by their whole names."""
    above = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = above[: len(above) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            whole = [f"{source}.{alias.name}" for alias in node.names]
            names = [name if name in known else source for name in whole]
        else:
            continue
        yield from (name for name in names if name in known)


def wrong_arrows(arrows: Arrows, layers: Layers) -> list[tuple[str, str]]:
    """Arrows that do not lead to a lower layer."""
    rank = {name: i for i, layer in enumerate(layers) for name in layer}
    return [(a, b) for a in arrows for b in sorted(arrows[a]) if rank[b] <= rank[a]]


def circle(arrows: Arrows) -> list[str]:
    """The packages of one circle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def reached(arrows: Arrows, start: str) -> set[str]:
    """All packages that can be reached from one, without itself unless there is a circle."""
    found: set[str] = set()
    waiting = list(arrows.get(start, ()))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += arrows.get(name, ())
    return found


def implied(arrows: Arrows, a: str, b: str) -> bool:
    """Whether another import of ``a`` leads to ``b`` as well."""
    return any(b in reached(arrows, other) for other in arrows[a] - {b})


def svg(arrows: Arrows, layers: Layers) -> str:
    """The figure: layers from top to bottom, arrows from the importing to the imported package."""
    height = 2 * _MARGIN + _ROW * (len(layers) - 1) + _HEIGHT
    wrong = set(wrong_arrows(arrows, layers))
    shown = [
        (a, b)
        for a in arrows
        for b in sorted(arrows[a])
        if (a, b) in wrong or not implied(arrows, a, b)
    ]
    places = _places(layers, shown)
    kinds = [("wrong" if pair in wrong else "right", pair) for pair in shown]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            ' font-family="sans-serif" font-size="14">',
            "<title>Packages, and what they import</title>",
            *(_head(kind) for kind in _COLOURS),
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            *(_line(places[a], places[b], kind) for kind, (a, b) in kinds),
            *(_box(name, x, y) for name, (x, y) in places.items()),
            "</svg>",
            "",
        ]
    )


def _places(layers: Layers, shown: Sequence[tuple[str, str]]) -> dict[str, Point]:
    """Middle of each box's upper edge: columns by which few arrows cross or run behind boxes."""
    places: dict[str, Point] = {}
    for row, layer in enumerate(layers):
        for i, name in enumerate(layer):
            slot = round((i + 0.5) * len(_SLOTS) / len(layer) - 0.5)
            places[name] = (_SLOTS[slot], float(_MARGIN + _ROW * row))
    for _ in range(3):  # one box at a time, to its best column
        for name, (_, y) in list(places.items()):
            free = [x for x in _SLOTS if not any((x, y) == at for at in places.values())]
            best = [places[name], *((x, y) for x in free)]
            places[name] = min(best, key=lambda at: _cost(places | {name: at}, shown))
    return places


def _cost(places: Mapping[str, Point], shown: Sequence[tuple[str, str]]) -> float:
    """How hard a layout is to read."""
    curves = np.array([_curve(places[a], places[b]) for a, b in shown])  # (arrows, points, 2)
    middles = np.add(list(places.values()), (0, _HEIGHT / 2))
    off = np.abs(curves[:, :, None] - middles)  # (arrows, points, boxes, 2)
    is_within = np.all(off < (_BOX / 2 + 8, _HEIGHT / 2 + 4), axis=-1)
    is_behind = np.any(is_within, axis=1)  # (arrows, boxes)
    is_own = np.array([[name in pair for name in places] for pair in shown])
    behind = int((is_behind & ~is_own).sum())
    pairs = [(p, q) for i, p in enumerate(shown) for q in shown[:i] if not {*p} & {*q}]
    crossings = sum(_cross(*(places[name] for name in (*p, *q))) for p, q in pairs)
    length = sum(abs(places[a][0] - places[b][0]) for a, b in shown)
    centre = sum(abs(x - _WIDTH / 2) for x, _ in places.values())
    return 1000 * behind + 400 * crossings + length + 0.3 * centre


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments a-b and c-d cross."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _controls(start: Point, end: Point) -> tuple[Point, Point, Point, Point]:
    """Cubic Bezier curve from a box's lower edge to another one's upper edge."""
    (x0, y0), (x1, y1) = start, end
    y0 += _HEIGHT
    bend = max(24.0, 0.35 * (y1 - y0))
    return (x0, y0), (x0, y0 + bend), (x1, y1 - bend), (x1, y1 - 1)


def _curve(start: Point, end: Point) -> np.ndarray:
    """(23, 2) points of the curve, without its ends."""
    t = np.linspace(0, 1, 25)[1:-1, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
    return weights @ np.array(_controls(start, end))


def _head(kind: str) -> str:
    return (
        f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        f' orient="auto"><path d="M0 0L8 4L0 8z" fill="{_COLOURS[kind]}"/></marker>'
    )


def _line(start: Point, end: Point, kind: str) -> str:
    a, b, c, d = (f"{x:.0f} {y:.0f}" for x, y in _controls(start, end))
    return (
        f'<path d="M{a}C{b} {c} {d}" fill="none" stroke="{_COLOURS[kind]}"'
        f' stroke-width="1.4" marker-end="url(#{kind})"/>'
    )


def _box(name: str, x: float, y: float) -> str:
    fill = "#eaf1f8" if name in (SCRIPT, *TOP) else "#f7f7f2"
    return (
        f'<rect x="{x - _BOX / 2:.0f}" y="{y:.0f}" width="{_BOX}" height="{_HEIGHT}" rx="5"'
        f' fill="{fill}" stroke="#44546a"/>'
        f'<text x="{x:.0f}" y="{y + 22:.0f}" text-anchor="middle">{escape(name)}</text>'
    )


def table(arrows: Arrows, layers: Layers, root: Path = ROOT) -> str:
    """Markdown: each package, what it holds, and what it imports."""
    rows = ["| package | content | imports |", "|---|---|---|"]
    order = [name for layer in layers for name in layer]
    for name in order:
        imports = ", ".join(other for other in order if other in arrows[name]) or "-"
        rows.append(f"| {_link(name)} | {_content(name, root)} | {imports} |")
    return "\n".join(rows)


def _place(name: str) -> str:
    """The file or folder of a box."""
    if name in (SCRIPT, *TOP):
        return f"{name}.py" if name == SCRIPT else name
    return "hybridanim" if name == FILES else f"hybridanim/{name}"


def _link(name: str) -> str:
    return f"[{name}](../../{_place(name)})"


def _content(name: str, root: Path) -> str:
    """First paragraph of the package's docstring."""
    place = root / _place(name)
    text = (place if place.suffix else place / "__init__.py").read_text(encoding="utf-8")
    words = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    return " ".join(words.split()).replace("|", "\\|")


def page(text: str, arrows: Arrows, layers: Layers, root: Path = ROOT) -> str:
    """The guide's page with its table anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(arrows, layers, root)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write figure and table."""
    arrows, layers = read_arrows(), read_layers()
    (ROOT / PICTURE).write_text(svg(arrows, layers), encoding="utf-8")
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    (ROOT / PAGE).write_text(page(text, arrows, layers), encoding="utf-8")
    for a, b in wrong_arrows(arrows, layers):
        print(f"not downwards: {a} imports {b}")
    print(f"{PICTURE}: {len(arrows)} packages, {sum(map(len, arrows.values()))} arrows")


if __name__ == "__main__":
    main()
