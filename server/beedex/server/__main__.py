"""`python -m beedex.server --index DIR` is `beedex serve --index DIR`, where the client's command isn't wanted."""

import sys
from collections.abc import Sequence

from typer.main import get_command

from beedex.server.commands import ERRORS, app

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve, and return the exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        get_command(app).main(args=argv, prog_name="python -m beedex.server")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except ERRORS as error:
        print(f"beedex: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
