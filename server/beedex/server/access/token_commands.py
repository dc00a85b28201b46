"""The commands about tokens."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from beedex.server.access.roles import Role

__all__ = ["token"]

token = typer.Typer(no_args_is_help=True, help="Make tokens, by which a server knows who asks.")


@token.command("new", epilog="Example: beedex token new --role reader --name bob --file tokens.txt")
def make_new(
    *,
    name: Annotated[str, typer.Option(help="Who gets it; the server's log calls them that.", metavar="NAME")],
    role: Annotated[Role, typer.Option(help="A reader may ask; an admin may change the index as well.")] = Role.READER,
    file: Annotated[
        Path | None, typer.Option(help="Add the line to this token file; made if it isn't there.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a token, print it this once, and print the line of it for the server's token file.

    The file holds only the token's sha256: nobody finds the token from it, so give it to its owner now.
    """
    from beedex.server.access.tokens import Holder, add_holder, hash_token, make_token, require_name

    secret = make_token()
    holder = Holder(name=require_name(name), role=role, digest=hash_token(secret))
    if file is not None:
        add_holder(file, holder)
    if as_json:
        print(json.dumps({"name": name, "role": role, "token": secret, "line": holder.line}, indent=2))
        return
    print(f"token (shown only now): {secret}")
    print(f"line of the token file: {holder.line}")
    if file is None:
        print("put the line into the file that `beedex serve --tokens FILE` names", file=sys.stderr)
