"""The regions of docs/command.md."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

from docs.reference.pages import write_table
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from beedex.client import command as entry
from beedex.client.command.connection import PANEL as CONNECTION
from beedex.client.command.layout import PANELS
from beedex.client.parts import load_parts

__all__ = ["COMMAND_MAKERS"]

# A command of typer; its own type is not public.
Command = Any


def write_overview() -> str:
    """Return a line for each command, in the order of `beedex --help`."""
    rows = []
    for panel, names in PANELS.items():
        for place, (path, command) in enumerate(_walk(names)):
            rows.append([panel if place == 0 else "", _link(path), _summarize(command)])
    return write_table(["for", "command", ""], rows)


def write_commands() -> str:
    """Return every command with its arguments and options, but those of the connection."""
    parts = []
    for panel, names in PANELS.items():
        parts.append(f"### {panel}")
        parts += [_write_command(path, command) for path, command in _walk(names)]
    return "\n\n".join(parts)


def write_connection() -> str:
    """Return the options that the commands have which ask a server."""
    described = {path: _tabulate(command, of_connection=True) for path, command in _walk(_root().commands)}
    asking = {path: table for path, table in described.items() if table}
    # All the same, or it would have to be said of each.
    for (path, table), (other, other_table) in pairwise(asking.items()):
        if table != other_table:
            raise ValueError(f"expected one connection for all commands, received others for {path} and {other}")
    names = ", ".join(f"`{path.removeprefix('beedex ')}`" for path in asking)
    return f"Of {names}.\n\n{next(iter(asking.values()))}"


def write_exit_codes() -> str:
    """Return what the command ends with."""
    rows = [
        ["0", "done"],
        [str(entry.EXIT_FAILED), "failed; one line on stderr says what is wrong, what was expected, and the way out"],
        [str(entry.EXIT_USAGE), "wrong usage, or a part that is not installed; one line on stderr"],
        [str(entry.EXIT_INTERRUPTED), "interrupted by Ctrl-C"],
    ]
    return write_table(["exit code", "meaning"], rows)


COMMAND_MAKERS: Mapping[str, Callable[[], str]] = {
    "overview": write_overview,
    "commands": write_commands,
    "connection": write_connection,
    "exit-codes": write_exit_codes,
}


@cache
def _root() -> TyperGroup:
    parts = load_parts()
    faulty = [part.extra for part in parts if part.missing or part.fault]
    if faulty:
        raise RuntimeError(f"the reference tells of all commands: expected all parts, received none of {faulty}")
    root = get_command(entry.build_app(parts))
    if not isinstance(root, TyperGroup):
        raise TypeError(f"expected a group of commands, received {root}")
    unplaced = sorted(set(root.commands) - {name for names in PANELS.values() for name in names})
    if unplaced:
        raise ValueError(f"expected every command in a panel of beedex.client.command.layout, received {unplaced}")
    return root


def _walk(names: Any) -> Iterator[tuple[str, Command]]:  # noqa: ANN401 - names, or what has them for keys
    """Return the commands of *names*, those of a group in its place."""
    for name in names:
        command = _root().commands[name]
        if not isinstance(command, TyperGroup):
            yield f"beedex {name}", command
            continue
        for inner, member in command.commands.items():
            if not member.hidden:
                yield f"beedex {name} {inner}", member


def _link(path: str) -> str:
    return f"[`{path.removeprefix('beedex ')}`](#{path.replace(' ', '-')})"


def _summarize(command: Command) -> str:
    return _escape(str(command.help or "").split("\n\n")[0])


def _escape(text: str) -> str:
    # Markdown would take <family> for a tag, and show nothing.
    return re.sub(r"<(?=\w)", r"\\<", text)


def _write_command(path: str, command: Command) -> str:
    arguments = "".join(f" {_name_argument(item)}" for item in command.params if isinstance(item, TyperArgument))
    example = str(command.epilog or "").removeprefix("Example: ")
    return "\n\n".join(
        part
        for part in (
            f"#### {path}",
            f"    {path}{arguments} [OPTIONS]",
            _escape(str(command.help or "")),
            f"Example: `{example}`" if example else "",
            _tabulate(command, of_connection=False),
            "Also the [options of a connection](#the-connection)." if _tabulate(command, of_connection=True) else "",
        )
        if part
    )


def _tabulate(command: Command, *, of_connection: bool) -> str:
    rows = [
        _describe(item)
        for item in command.params
        if not item.hidden and (item.rich_help_panel == CONNECTION) is of_connection and item.name != "help"
    ]
    return write_table(["argument or option", "default", "meaning"], rows) if rows else ""


def _describe(item: TyperArgument | TyperOption) -> list[str]:
    if isinstance(item, TyperArgument):
        return [f"`{_name_argument(item)}`", "required" if item.required else "", item.help or ""]
    names = " ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))
    value = "" if item.is_flag else f" `{item.metavar or _name_type(item)}`"
    variable = f" Variable: `{item.envvar}`." if item.envvar else ""
    return [f"{names}{value}", _default(item), f"{item.help or ''}{_bound(item)}{variable}"]


def _bound(item: TyperOption) -> str:
    if item.min is None or item.is_flag:
        return ""
    return f" At least {item.min}." if item.max is None else f" From {item.min} to {item.max}."


def _name_argument(item: TyperArgument) -> str:
    name = (item.metavar or str(item.name).upper()).removesuffix("...")
    many = f"{name}..." if item.nargs == -1 else name
    return many if item.required else f"[{many}]"


def _name_type(item: TyperOption) -> str:
    kind: Any = item.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return str(getattr(kind, "__name__", "TEXT")).upper()


def _default(item: TyperOption) -> str:
    if item.required:
        return "required"
    if item.is_flag or item.default in (None, (), ""):
        return ""
    value = item.default.value if isinstance(item.default, Enum) else item.default
    return f"`{value}`"
