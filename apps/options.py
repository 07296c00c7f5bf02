"""Command-line options from the settings' dataclasses, in groups that a reader can find.

The settings are nested by stage; the options are flat and their names are unique. ``--help`` shows
the options that most people need first, then those of the run, then those of each stage. tyro makes
one group of each dataclass, so one dataclass is made for each group and the settings are put
together again from the values.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from hybridanim import config

Job = TypeVar("Job")
Given = TypeVar("Given")
_STAGES = {  # settings -> title of their group; the others are those of the run
    config.SegmentConfig: "skin",
    config.TrackConfig: "tracks",
    config.KeypointsConfig: "keypoints",
    config.DenseConfig: "dense motion",
    config.RenderConfig: "render",
    config.RuntimeConfig: "networks",
}


@dataclasses.dataclass(frozen=True)
class _Option:
    name: str
    hint: Any  # its type
    value: Any  # its default
    text: str  # its help
    owner: type  # the dataclass that it is a field of


def parse(
    argv: list[str],
    given: Given,
    job: Job,
    main: Sequence[str],
    prog: str,
    description: str,
    hidden: Sequence[str] = (),
) -> tuple[Given, Job]:
    """The command line's files and settings; tyro ends the process on arguments that do not fit.

    given: a dataclass of positional arguments with its defaults. job: the settings and their
    defaults. main: names of the settings that are shown first. hidden: of those that stay as they
    are.
    """
    groups: dict[str, list[_Option]] = {"": [], "run": []}
    for option in (one for one in _flat(job) if one.name not in hidden):
        title = "" if option.name in main else _STAGES.get(option.owner, "run")
        groups.setdefault(title, []).append(option)
    groups[""].sort(key=lambda option: main.index(option.name))
    fields = [
        (f"group_{index}", Annotated[_group(options, job), tyro.conf.arg(name=title)])
        for index, (title, options) in enumerate(groups.items())
        if options
    ]
    files = Annotated[type(given), tyro.conf.arg(name="")]
    found: Any = tyro.cli(
        dataclasses.make_dataclass("Arguments", [*fields, ("files", files, given)], kw_only=True),
        args=argv,
        prog=prog,
        description=description,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.UseAppendAction),
    )
    values: dict[str, Any] = {}
    for name, _ in fields:
        values |= vars(getattr(found, name))
    return found.files, _filled(job, values)


def config_path(argv: Sequence[str]) -> Path | None:
    """The file of the last --config; its options are the defaults of the others."""
    found = None
    for argument, following in pairwise([*argv, ""]):
        name, _, value = argument.partition("=")
        if name == "--config" and (value or following):
            found = Path(value or following)
    return found


def _flat(settings: Any) -> list[_Option]:
    """Every option of nested settings, in order."""
    cls, found = type(settings), []
    hints, texts = typing.get_type_hints(cls), _texts(cls)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found += _flat(value)
        else:
            text = texts.get(field.name, "")
            found.append(_Option(field.name, hints[field.name], value, text, cls))
    return found


def _texts(cls: type) -> dict[str, str]:
    """The text below each field of a dataclass, on one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    texts, name = {}, ""
    for statement in body.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                texts[name] = " ".join(text.split())
                name = ""
    return texts


def _group(options: list[_Option], job: Any) -> type:
    """A dataclass of these options; its docstring is that of the settings that most are of."""
    owners = [option.owner for option in options]
    owner = type(job) if type(job) in owners else owners[0]
    fields = [
        (o.name, Annotated[o.hint, _shown(o)], dataclasses.field(default=o.value)) for o in options
    ]
    return dataclasses.make_dataclass("Group", fields, namespace={"__doc__": owner.__doc__})


def _shown(option: _Option) -> Any:
    """How ``--help`` shows an option; those that name an entry of a registry list the entries."""
    from hybridanim.tracking.registry import TRACKERS  # SciPy and OpenCV, for these words alone
    from stages.build import RENDERERS

    entries = {"tracker": TRACKERS, "renderer": RENDERERS}.get(option.name)
    metavar = "{" + ",".join(entries) + "}" if entries else None
    return tyro.conf.arg(help=option.text, metavar=metavar)


def _filled(settings: Any, values: dict[str, Any]) -> Any:
    """The settings with these values; raises InputError as the settings themselves do."""
    parts = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        is_nested = dataclasses.is_dataclass(value)
        parts[field.name] = _filled(value, values) if is_nested else values.get(field.name, value)
    return type(settings)(**parts)
