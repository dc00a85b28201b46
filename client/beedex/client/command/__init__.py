"""The `beedex` command: the commands of every installed part, one way of failing."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from beedex.client.command.layout import CommandLayout, lay_out
from beedex.client.command.lines import print_error
from beedex.client.parts import MissingExtraError, Part, describe_faults, describe_missing, join_parts, load_parts

__all__ = ["build_app", "main"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells say it

SUMMARY = "Which family of bee is on this photo, and which known photos are most like it?"
EXAMPLE = "Example: beedex identify bee.jpg"


def build_app(parts: Sequence[Part]) -> typer.Typer:
    """Return the whole command line of these parts."""
    notes = [EXAMPLE, describe_missing(parts), *describe_faults(parts)]
    app = typer.Typer(
        name="beedex",
        cls=CommandLayout,
        help=SUMMARY,
        # An extra in brackets would be taken for markup.
        epilog="\n\n".join(note.replace("[", "\\[") for note in notes if note),
    )
    app.callback(invoke_without_command=True)(_begin)
    join_parts(app, parts)
    lay_out(app)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's protocol
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - seldom asked for

        typer.echo(f"beedex {version('beedex')}")
        raise typer.Exit


def _begin(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `beedex`; None for the process's own.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    _accept_all_characters()
    parts = load_parts()
    try:
        return _run(build_app(parts), argv)
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except MissingExtraError as error:
        return _fail(str(error), EXIT_USAGE)
    except typer.TyperException as error:
        return _fail(_word_usage(error, parts), EXIT_USAGE)
    except Exception as error:
        # Only now: a part's errors may take long to import.
        if not isinstance(error, tuple(kind for part in parts for kind in part.list_errors())):
            raise
        return _fail(str(error), EXIT_FAILED)


def _accept_all_characters() -> None:
    # A file's name may hold bytes that are no text, and a terminal's encoding may lack the bars.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(app: typer.Typer, argv: Sequence[str] | None) -> int:
    try:
        # Without its standalone mode typer returns the exit code, or None when a command ran to its end.
        code = get_command(app).main(args=argv, prog_name="beedex", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as end:
        # How typer ends a command whose output nobody reads any more.
        return end.code if isinstance(end.code, int) else EXIT_FAILED
    except BrokenPipeError:
        # The same, noticed only now; the interpreter's own flush at the end must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _word_usage(error: typer.TyperException, parts: Sequence[Part]) -> str:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    # A command that isn't there may be one of a broken part.
    faults = [f"; {fault}" for fault in describe_faults(parts)] if context.parent is None else []
    return f"{message}; see `{context.command_path} --help`{''.join(faults)}"


def _fail(message: str, code: int) -> int:
    print_error(message)
    return code
