"""The parts of beedex that bring commands, and the one command line that they make together.

A part is a module named in the entry-point group `beedex.commands` with these names:

    EXTRA    the extra that installs what it needs, such as "train"; "" for what is always there
    NEEDS    the importable names that it needs; looked for, never imported here
    ERRORS   its exceptions that are for the person at the command line, shown as one line; or a function `list_errors`
             that returns them, where importing them takes long
    app      a typer.Typer with its commands and groups

Importing a part's module must be quick. Groups of the same name become one. The commands of a part whose needs are
missing don't show; calling one says which extra brings it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Protocol, cast

import typer
from typer.main import get_command_name
from typer.models import CommandInfo, TyperInfo

__all__ = ["GROUP", "MissingExtraError", "Part", "describe_faults", "describe_missing", "join_parts", "load_parts"]

GROUP = "beedex.commands"


class MissingExtraError(Exception):
    """A command was called whose part is not installed."""


class CommandsModule(Protocol):
    """What a part's module has."""

    EXTRA: str
    NEEDS: tuple[str, ...]
    ERRORS: tuple[type[Exception], ...]
    app: typer.Typer


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part as it is on this machine.

    Attributes:
        extra: what installs its needs.
        missing: which of them are not there.
        fault: why its module can't be imported; empty when it can. Such a part has no commands.
        list_errors: returns its exceptions for people.
        app: its commands.
    """

    extra: str
    missing: tuple[str, ...] = ()
    fault: str = ""
    list_errors: Callable[[], tuple[type[Exception], ...]] = tuple
    app: typer.Typer = field(default_factory=typer.Typer)


def load_parts() -> tuple[Part, ...]:
    """Return the installed parts, by the name of their entry point."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple(_inspect(point) for point in points)


def _inspect(point: EntryPoint) -> Part:
    try:
        module = cast("CommandsModule", import_module(point.module))
    except ImportError as error:
        # One broken part must not take the others' commands away.
        return Part(extra=point.name, fault=str(error))
    missing = tuple(name for name in module.NEEDS if not _is_installed(name))
    return Part(extra=module.EXTRA, missing=missing, list_errors=_find_errors(module), app=module.app)


def _find_errors(module: CommandsModule) -> Callable[[], tuple[type[Exception], ...]]:
    listed: Callable[[], tuple[type[Exception], ...]] | None = getattr(module, "list_errors", None)
    return listed if listed is not None else lambda: module.ERRORS


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        # The package that a dotted name is in.
        return False


def join_parts(root: typer.Typer, parts: Iterable[Part]) -> None:
    """Give *root* the commands of all parts; those that can't run become hidden ones that say why."""
    # Those that can run come first, so that a group has its shown commands before the hidden ones.
    for part in sorted(parts, key=lambda part: bool(part.missing)):
        if part.missing:
            _stand_in_for(root, part.app, part.extra, path="beedex")
        else:
            _graft(root, part.app)


def describe_missing(parts: Iterable[Part]) -> str:
    """Return a sentence about the parts whose extra is not installed; empty when all are."""
    sentences = [
        f"{', '.join(_list_names(part.app))}: pip install 'beedex[{part.extra}]'" for part in parts if part.missing
    ]
    return f"Not installed here: {'; '.join(sentences)}." if sentences else ""


def describe_faults(parts: Iterable[Part]) -> list[str]:
    """Return a sentence about each part whose module can't be imported."""
    return [f"the part {part.extra!r} can't be loaded: {part.fault}" for part in parts if part.fault]


def _graft(target: typer.Typer, source: typer.Typer) -> None:
    target.registered_commands.extend(source.registered_commands)
    for group in source.registered_groups:
        branch = group.typer_instance
        if branch is None:
            continue
        if not _name_group(group):
            # What a part gathers from several modules.
            _graft(target, branch)
            continue
        known = _find_group(target, _name_group(group))
        if known is None:
            known = typer.Typer(help=_text_of(group.help, branch.info.help))
            known.registered_callback = branch.registered_callback
            target.add_typer(known, name=_name_group(group))
        _graft(known, branch)


def _stand_in_for(target: typer.Typer, source: typer.Typer, extra: str, *, path: str) -> None:
    for command in source.registered_commands:
        _add_stand_in(target, _name_command(command), extra, path=path)
    for group in source.registered_groups:
        name = _name_group(group)
        if not name:
            if group.typer_instance is not None:
                _stand_in_for(target, group.typer_instance, extra, path=path)
            continue
        known = _find_group(target, name)
        if known is None:
            known = typer.Typer(help=f"Not installed here: pip install 'beedex\\[{extra}]'.")
            known.callback(invoke_without_command=True)(_refuse_group(f"{path} {name}", extra))
            target.add_typer(known, name=name, hidden=True)
        if group.typer_instance is not None:
            _stand_in_for(known, group.typer_instance, extra, path=f"{path} {name}")


def _add_stand_in(target: typer.Typer, name: str, extra: str, *, path: str) -> None:
    def refuse() -> None:
        raise _miss(f"{path} {name}", extra)

    accept_anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    target.command(name, hidden=True, context_settings=accept_anything)(refuse)


def _refuse_group(path: str, extra: str) -> Callable[[typer.Context], None]:
    def refuse(context: typer.Context) -> None:
        # Its commands, which may be of several parts, refuse for themselves.
        if context.invoked_subcommand is None:
            raise _miss(path, extra)

    return refuse


def _miss(path: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"`{path}` is not installed here: expected the extra {extra!r}; install it with: pip install 'beedex[{extra}]'"
    )


def _list_names(app: typer.Typer) -> list[str]:
    names = [_name_command(command) for command in app.registered_commands]
    for group in app.registered_groups:
        if group.typer_instance is not None:
            names += [f"{_name_group(group)} {name}".strip() for name in _list_names(group.typer_instance)]
    return names


def _find_group(app: typer.Typer, name: str) -> typer.Typer | None:
    return next((group.typer_instance for group in app.registered_groups if _name_group(group) == name), None)


def _name_command(command: CommandInfo) -> str:
    if command.name is not None or command.callback is None:
        return command.name or ""
    return get_command_name(command.callback.__name__)


def _name_group(group: TyperInfo) -> str:
    inner = group.typer_instance.info.name if group.typer_instance is not None else None
    return _text_of(group.name, inner) or ""


def _text_of(*candidates: object) -> str | None:
    """Return the first that was really given: typer marks its defaults by an object of its own."""
    return next((candidate for candidate in candidates if isinstance(candidate, str)), None)
