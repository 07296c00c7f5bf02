"""Write docs/guide/api.md from the docstrings: Pipeline, Motion, InputError, io, types, settings.

``python -m tools.make_api_reference`` parses the sources without importing them; public names only.
The same sources give the same text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path("docs/guide/api.md")
PIPELINE, ERRORS = Path("stages/pipeline.py"), Path("hybridanim/errors.py")
MOTION = Path("hybridanim/motion/motion_file.py")
IO, TYPES, CONFIG = (Path("hybridanim") / name for name in ("io", "types.py", "config.py"))
_HEAD = """# API reference

Written by `python -m tools.make_api_reference` from the docstrings; do not edit it.
`from hybridanim import Pipeline, Motion, InputError` imports the public names of the package;
functions for files are in `hybridanim.io`.
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """A source file: its tree, and its lines for the comments behind fields."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.tree, self.lines = ast.parse(text), text.splitlines()

    def find(self, name: str) -> ast.ClassDef | Function:
        """The class or function of that name."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return node
        raise LookupError(f"expected {name} at the top of a module, found none")

    def classes(self) -> Iterator[ast.ClassDef]:
        """Public classes, in their order."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node

    def comment(self, node: ast.AST) -> str:
        """The comment at the end of a field's line."""
        line = self.lines[(getattr(node, "end_lineno", None) or 1) - 1]
        return line.partition("  # ")[2].strip()


def reference(root: Path = ROOT) -> str:
    """The whole page."""
    pipeline, errors = Module(root / PIPELINE), Module(root / ERRORS)
    parts = [_HEAD, "## Pipeline\n", *_class(pipeline, "Pipeline", level=3)]
    motion = Module(root / MOTION)
    parts += ["## Motion\n", *_class(motion, "Motion", level=3)]
    parts += ["## InputError\n", _docstring(errors.find("InputError"))]
    parts += ["## Files: `hybridanim.io`\n", *_io(root)]
    parts += ["## Types: `hybridanim.types`\n", _module_docstring(root / TYPES)]
    parts += _types(Module(root / TYPES))
    parts += ["## Settings: `hybridanim.config`\n", _module_docstring(root / CONFIG)]
    parts += _settings(Module(root / CONFIG))
    return "\n".join(parts)


def _io(root: Path) -> Iterator[str]:
    """What hybridanim.io exports, functions first."""
    package = Module(root / IO / "__init__.py")
    places = {
        alias.name: root / IO / f"{node.module}.py"
        for node in package.tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    found = [(name, Module(places[name])) for name in _exported(package) if name in places]
    for name, module in found:
        node = module.find(name)
        if isinstance(node, ast.FunctionDef):
            yield from _function(node, f"io.{name}", 3)
    for name, module in found:
        node = module.find(name)
        if isinstance(node, ast.ClassDef):
            yield f"### `io.{name}`\n"
            yield _docstring(node)
            yield from _fields(module, node)
            yield from _methods(node, name, 4)


def _exported(package: Module) -> list[str]:
    for node in package.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value))
    raise LookupError("hybridanim/io/__init__.py: expected __all__, found none")


def _class(module: Module, name: str, level: int) -> Iterator[str]:
    node = module.find(name)
    assert isinstance(node, ast.ClassDef)
    yield _docstring(node)
    yield from _methods(node, name, level)


def _methods(owner: ast.ClassDef, name: str, level: int) -> Iterator[str]:
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from _function(node, f"{name}.{node.name}", level)


def _function(node: Function, name: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{name}`\n"
    yield f"```python\n{_signature(node, name)}\n```\n"
    yield _docstring(node)


def _signature(node: Function, name: str) -> str:
    """How it is called, one argument a line where that is long; a property without brackets."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
        return name + returns.replace(" ->", ":")
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    inside = ast.unparse(arguments)
    line = f"{name}({inside}){returns}"
    if len(line) <= 100:
        return line
    rows = ",\n".join(f"    {part}" for part in _split(inside))
    return f"{name}(\n{rows},\n){returns}"


def _split(text: str) -> list[str]:
    """An argument list at its outer commas."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _types(module: Module) -> Iterator[str]:
    for node in module.classes():
        yield f"### `{node.name}`\n"
        yield _docstring(node)
        yield from _fields(module, node)
        yield from _methods(node, node.name, 4)


def _fields(module: Module, owner: ast.ClassDef) -> Iterator[str]:
    """Table of a dataclass's fields with the comments behind them."""
    rows = [node for node in owner.body if isinstance(node, ast.AnnAssign)]
    rows = [node for node in rows if not ast.unparse(node.target).startswith("_")]
    if not rows:
        return
    yield "| field | type | meaning |\n|---|---|---|"
    for node in rows:
        kind = _cell(ast.unparse(node.annotation))
        yield f"| `{ast.unparse(node.target)}` | `{kind}` | {_cell(module.comment(node))} |"
    yield ""


def _settings(module: Module) -> Iterator[str]:
    """Tables of options: name, default, help."""
    for node in module.classes():
        rows = list(_options(node))
        if not rows:
            continue
        yield f"### `{node.name}`\n"
        yield _docstring(node)
        yield "| option | default | help |\n|---|---|---|"
        for name, kind, default, text in rows:
            flag, among = "--" + name.replace("_", "-"), _choices(kind)
            yield f"| `{flag}` | `{_cell(default)}` | {_cell(text)}{among and f' ({among})'} |"
        yield ""


def _choices(kind: str) -> str:
    """The values of a Literal, or nothing."""
    if not kind.startswith("Literal["):
        return ""
    values = ast.literal_eval(kind.removeprefix("Literal"))
    return ", ".join(f"`{value}`" for value in values)


def _options(owner: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """(name, type, default, help) of every field that has a help text below it."""
    for node, below in zip(owner.body, owner.body[1:], strict=False):
        if not isinstance(node, ast.AnnAssign) or not isinstance(below, ast.Expr):
            continue
        if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            default = ast.unparse(node.value) if node.value else "-"
            text = " ".join(below.value.value.split())
            yield ast.unparse(node.target), ast.unparse(node.annotation), default, text


def _docstring(node: ast.ClassDef | Function) -> str:
    return _text(ast.get_docstring(node) or "")


def _module_docstring(path: Path) -> str:
    return _text(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")


def _text(docstring: str) -> str:
    return docstring.replace("``", "`") + "\n" if docstring else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("``", "`")


def main() -> None:
    """Write the page."""
    (ROOT / PAGE).write_text(reference(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
