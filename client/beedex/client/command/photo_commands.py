"""The commands that ask about photos: identify, neighbors, embed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beedex.client.command.connection import Connection, connected
from beedex.client.pictures.choice import PictureProtocol

if TYPE_CHECKING:
    from beedex.client.command.photolist import NamedPhoto

__all__ = ["add_photo_commands"]

# As beedex.client._calls.requests has it, which loads gRPC.
DEFAULT_K = 10


PHOTOS_HELP = "Photo files (JPEG, PNG, WebP), folders, patterns such as '*.jpg', or - for stdin."
Photos = Annotated[list[str], typer.Argument(help=PHOTOS_HELP, metavar="PHOTO")]
OptionalPhotos = Annotated[list[str] | None, typer.Argument(help=PHOTOS_HELP, metavar="PHOTO")]
Count = Annotated[int, typer.Option("-k", help="How many neighbors to show.", metavar="N", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else on stdout.")]
Pictures = Annotated[
    PictureProtocol,
    typer.Option(
        help="Show photos by kitty, iterm2, sixel, blocks or none; auto is what the terminal is known for.",
        metavar="HOW",
    ),
]
Watched = Annotated[
    Path | None,
    typer.Option(help="Identify the photos that arrive in this folder, until Ctrl-C.", metavar="DIR"),
]
WithExisting = Annotated[bool, typer.Option("--existing", help="With --watch: those that are there already, too.")]


def add_photo_commands(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command("identify", epilog="Example: beedex identify bee.jpg photos/ -k 3")(connected(identify_photos))
    app.command("neighbors", epilog="Example: beedex neighbors bee.jpg -k 5")(connected(find_neighbors))
    app.command("embed", epilog="Example: beedex embed photos/ --out vectors.npy")(connected(embed_photos))


def identify_photos(
    photos: OptionalPhotos = None,
    *,
    k: Count = DEFAULT_K,
    watch: Watched = None,
    existing: WithExisting = False,
    pictures: Pictures = PictureProtocol.AUTO,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Say which family each photo belongs to, and show the neighbors that speak for it.

    A photo that fails doesn't keep the others from being answered. Ctrl-C ends with what was answered so far, and exit
    code 130.

    With --watch, a photo is identified once it is complete, and a server that is away is waited for; --json then prints
    JSON Lines, one document a line, and Ctrl-C, the only end, gives exit code 0.
    """
    from beedex.client.command.answers import identify_listed
    from beedex.client.command.watching import identify_arrivals

    if watch is not None:
        if photos:
            raise typer.BadParameter("--watch takes no photos beside its folder; name one or the other")
        identify_arrivals(watch, connection, k=k, with_existing=existing, pictures=pictures, as_json=as_json)
        return
    if existing:
        raise typer.BadParameter("--existing goes with --watch DIR")
    if not photos:
        raise typer.BadParameter("expected PHOTO (a file, a folder, a pattern or -) or --watch DIR, received neither")
    identify_listed(_list_photos(photos), connection, k=k, pictures=pictures, as_json=as_json)


def find_neighbors(
    photos: Photos,
    *,
    k: Count = DEFAULT_K,
    pictures: Pictures = PictureProtocol.AUTO,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Find the indexed photos that are most like each photo, whatever their family.

    A photo that fails doesn't keep the others from being answered.
    """
    from beedex.client.command.answers import list_neighbors

    list_neighbors(_list_photos(photos), connection, k=k, pictures=pictures, as_json=as_json)


def embed_photos(
    photos: Photos,
    *,
    out: Annotated[Path, typer.Option(help="Where to write the vectors, one row a photo.", metavar="FILE.npy")],
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Turn photos into unit vectors and write them as a numpy array of shape (photos, dimension), float32.

    Nothing is written unless every photo can be embedded.
    """
    from beedex.client.command.vectorfile import embed_listed

    embed_listed(_list_photos(photos), out, connection, as_json=as_json)


def _list_photos(words: list[str]) -> "list[NamedPhoto]":
    from beedex.client.command.photolist import list_photos

    # Python has no stdin where the shell closed it.
    return list_photos(words, None if sys.stdin is None else sys.stdin.buffer)
