"""The command that looks at this machine."""

import os
from typing import Annotated, Any

import typer

from beedex.client.command.connection import DEFAULT_TARGET, TARGET_VARIABLE, Connection, connected

__all__ = ["add_doctor_command"]


def add_doctor_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog="Example: beedex doctor --target bees.example:50051")(connected(see_doctor))


def see_doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, and nothing else on stdout.")
    ] = False,
    connection: Connection,
) -> None:
    """Look at what is installed, at the weights, the server and the terminal, and say what doesn't work.

    Exit code 0 when all that is installed works, 1 when something doesn't. A server counts only if it was named.
    It takes some seconds where TensorFlow is installed.
    """
    from beedex.client.command.doctor import examine
    from beedex.client.command.lines import print_json

    is_named = connection.target != DEFAULT_TARGET or TARGET_VARIABLE in os.environ
    found = examine(connection, is_server_named=is_named)
    if as_json:
        print_json(found)
    else:
        _print_findings(found)
    if not found["ok"]:
        raise typer.Exit(1)


def _print_findings(found: dict[str, Any]) -> None:
    from beedex.client.command.printing import open_console

    console = open_console()
    console.print(f"beedex {found['beedex']}, Python {found['python']}, {found['platform']}", markup=False)
    for title, lines in (
        ("libraries", [(not library["fault"], _word_library(library)) for library in found["libraries"]]),
        ("extras", [_word_extra(extra) for extra in found["extras"]]),
        ("weights", [_word_weights(weights) for weights in found["weights"]]),
        ("server", [_word_server(found["server"])]),
        ("terminal", [(None, _word_terminal(found["terminal"]))]),
    ):
        console.print(f"\n{title}", style="bold")
        for works, words in lines:
            mark, style = _MARK_BY_STATE[works]
            console.print(f"  {mark} ", style=style, end="")
            console.print(words, markup=False, soft_wrap=True)
    verdict = "All that is installed works." if found["ok"] else f"{len(found['faults'])} found:"
    console.print(f"\n{verdict}", style="bold green" if found["ok"] else "bold red")
    for fault in found["faults"]:
        console.print(f"  {fault}", markup=False, soft_wrap=True)


# More libraries that an extra lacks are counted.
MISSING_SHOWN = 4

# Works, doesn't, and isn't there, in letters that every terminal has.
_MARK_BY_STATE = {True: ("ok ", "green"), False: ("bad", "bold red"), None: ("-  ", "dim")}

Line = tuple[bool | None, str]


def _word_library(library: dict[str, Any]) -> str:
    fault = f": {library['fault']}" if library["fault"] else ""
    return f"{library['name']} {library['version'] or ''}{fault}"


def _word_extra(extra: dict[str, Any]) -> Line:
    if not extra["missing"]:
        return True, str(extra["name"])
    missing = extra["missing"]
    rest = f" and {len(missing) - MISSING_SHOWN} more" if len(missing) > MISSING_SHOWN else ""
    return None, f"{extra['name']}: {extra['get']} (lacks {', '.join(missing[:MISSING_SHOWN])}{rest})"


def _word_weights(weights: dict[str, Any]) -> Line:
    if weights["path"]:
        return True, f"{weights['name']}: {weights['path']}"
    return None, f"{weights['name']}: not on this machine; {weights['get']}"


def _word_server(server: dict[str, Any]) -> Line:
    how = f"{'TLS' if server['tls'] else 'no TLS'}, token: {server['token']}"
    if server["health"] != "SERVING":
        return None if server["health"] == "UNREACHABLE" else False, f"{server['target']} ({how}): {server['error']}"
    return True, (
        f"{server['target']} ({how}): SERVING, beedex {server['version']}, snapshot {server['snapshot']}, "
        f"{server['entries']} photos, embedder {server['fingerprint'][:12]}"
    )


def _word_terminal(terminal: dict[str, Any]) -> str:
    if not terminal["is_terminal"]:
        return "stdout is no terminal"
    return f"{terminal['columns']} columns, colours: {terminal['colours'] or 'none'}, pictures: {terminal['pictures']}"
