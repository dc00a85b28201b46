"""`python -m beedex.server --index DIR` is `beedex serve --index DIR`, where the client's command isn't wanted."""

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from beedex.server.commands import ERRORS, serve_app

__all__ = ["main"]

PROGRAM = "python -m beedex.server"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve, and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        # Without its standalone mode typer returns the exit code, or None when the command ran to its end.
        code = get_command(serve_app).main(args=argv, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')}; see `{PROGRAM} --help`", 2)
    except ERRORS as error:
        return _fail(str(error), 1)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"beedex: error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
