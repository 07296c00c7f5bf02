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
from collections.abc import Mapping, Sequence
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
class Option:
    """A field of the settings, as the command line and the studio's page show it."""

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
    fields = [
        (f"group_{index}", Annotated[_group(options, job), tyro.conf.arg(name=title)])
        for index, (title, options) in enumerate(groups(job, main, hidden).items())
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
    return found.files, filled(job, values)


def groups(job: Any, main: Sequence[str], hidden: Sequence[str] = ()) -> dict[str, list[Option]]:
    """Title -> its options, in the order of ``--help``; those of ``main`` come first, under "".

    hidden: names of those that are left out.
    """
    found: dict[str, list[Option]] = {"": [], "run": []}
    for option in (one for one in flat(job) if one.name not in hidden):
        title = "" if option.name in main else _STAGES.get(option.owner, "run")
        found.setdefault(title, []).append(option)
    found[""].sort(key=lambda option: main.index(option.name))
    return found


def words(job: Any, usual: Any) -> list[str]:
    """The arguments that make this job of the usual one: ``parse`` of them gives it again."""
    found: list[str] = []
    for option, before in zip(flat(job), flat(usual), strict=True):
        if option.value == before.value:
            continue
        flag = "--" + option.name.replace("_", "-")
        match option.value:
            case bool():
                found.append(flag if option.value else flag.replace("--", "--no-", 1))
            case tuple() if Ellipsis in typing.get_args(option.hint):
                found += [word for one in option.value for word in (flag, str(one))]
            case tuple():
                found += [flag, *map(str, option.value)]
            case _:
                found += [flag, str(option.value)]
    return found


def config_path(argv: Sequence[str]) -> Path | None:
    """The file of the last --config; its options are the defaults of the others."""
    found = None
    for argument, following in pairwise([*argv, ""]):
        name, _, value = argument.partition("=")
        if name == "--config" and (value or following):
            found = Path(value or following)
    return found


def flat(settings: Any) -> list[Option]:
    """Every option of nested settings, in order."""
    cls, found = type(settings), []
    hints, texts = typing.get_type_hints(cls), _texts(cls)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found += flat(value)
        else:
            text = texts.get(field.name, "")
            found.append(Option(field.name, hints[field.name], value, text, cls))
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


def _group(options: list[Option], job: Any) -> type:
    """A dataclass of these options; its docstring is that of the settings that most are of."""
    owners = [option.owner for option in options]
    owner = type(job) if type(job) in owners else owners[0]
    fields = [
        (o.name, Annotated[o.hint, _shown(o)], dataclasses.field(default=o.value)) for o in options
    ]
    return dataclasses.make_dataclass("Group", fields, namespace={"__doc__": owner.__doc__})


def _shown(option: Option) -> Any:
    """How ``--help`` shows an option; those that name an entry of a registry list the entries."""
    found = entries(option)
    return tyro.conf.arg(help=option.text, metavar="{" + ",".join(found) + "}" if found else None)


def entries(option: Option) -> tuple[str, ...]:
    """What an option that names an entry of a registry can be; () for others."""
    from hybridanim.tracking.registry import TRACKERS  # SciPy and OpenCV, for these words alone
    from stages.build import RENDERERS

    return tuple({"tracker": TRACKERS, "renderer": RENDERERS}.get(option.name, ()))


def filled(settings: Any, values: Mapping[str, Any]) -> Any:
    """The settings with these values of fields; raises InputError as the settings themselves do."""
    parts = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        is_nested = dataclasses.is_dataclass(value)
        parts[field.name] = filled(value, values) if is_nested else values.get(field.name, value)
    return type(settings)(**parts)
