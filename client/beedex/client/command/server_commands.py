"""The commands that ask a server about itself and its index: status, families, photo, snapshots."""

from pathlib import Path
from typing import Annotated

import typer

from beedex.client.command.connection import Connection, connected
from beedex.client.command.lines import print_json, say

__all__ = ["add_server_commands"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else on stdout.")]

# As the server refuses others.
LEAST_SIDE_PX, MOST_SIDE_PX = 16, 2048


def add_server_commands(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command("status", epilog="Example: beedex status --target bees.example:50051")(connected(show_status))
    app.command("families", epilog="Example: beedex families")(connected(list_families))
    app.command("photo", epilog="Example: beedex photo be7886b7fd5cbb6d --out bee.jpg")(connected(fetch_photo))
    app.command("snapshots", epilog="Example: beedex snapshots")(connected(list_snapshots))


def show_status(*, as_json: AsJson = False, connection: Connection) -> None:
    """Tell what a server serves: its embedder, its index and what it takes.

    Of an index on this machine, `beedex index status DIR` tells the same without a server.
    """
    with connection.open() as client:
        status = client.status()
    if as_json:
        print_json(status.to_dict())
        return
    judged = "calibrated" if status.calibrated else "not calibrated: no thresholds, no UNKNOWN"
    rows = {
        "server": f"beedex {status.server_version} at {connection.target}",
        "embedder": f"{status.backbone}, vectors of {status.dimension}, {judged}",
        "weights": status.weights_note,
        "fingerprint": status.fingerprint,
        "index": f"snapshot {status.snapshot}: {status.entries} photos of {status.families} families, "
        f"{status.index_kind}",
        "takes": f"{', '.join(status.limits.photo_formats)} of up to {status.limits.max_photo_bytes / 1e6:.0f} MB, "
        f"{status.limits.max_photo_pixels / 1e6:.0f} megapixels; up to {status.limits.max_k} neighbors",
    }
    _print_rows(list(rows.items()))


def list_families(*, as_json: AsJson = False, connection: Connection) -> None:
    """List the families of a server's index, and how many photos each has."""
    with connection.open() as client:
        families = client.families()
    if as_json:
        print_json(families.to_dict())
        return
    _print_rows([(str(family.entries), family.name) for family in families])


def fetch_photo(
    entry: Annotated[str, typer.Argument(help="16 hex digits, as answers show them.", metavar="ENTRY")],
    *,
    out: Annotated[Path, typer.Option(help="Where to write it.", metavar="FILE")],
    max_side_px: Annotated[
        int | None,
        typer.Option(
            "--max-side",
            help="Shrink it to a JPEG whose longer side is at most this; the file as it is by default.",
            metavar="PIXELS",
            min=LEAST_SIDE_PX,
            max=MOST_SIDE_PX,
        ),
    ] = None,
    as_json: AsJson = False,
    connection: Connection,
) -> None:
    """Fetch an indexed photo from a server that knows where its gallery is, with whose it is."""
    from beedex.client.command.output import replace_file

    with connection.open() as client:
        photo = client.photo(entry, max_side_px=max_side_px)
    replace_file(out, lambda file: file.write(photo.content))
    if as_json:
        print_json({"out": str(out), **photo.to_dict()})
        return
    described = ", ".join(text for text in (photo.entry.family, photo.entry.credit, photo.entry.license) if text)
    say(f"{photo.entry.path} ({described}), {photo.media_type}, {len(photo.content)} bytes -> {out}")


def list_snapshots(*, as_json: AsJson = False, connection: Connection) -> None:
    """List the snapshots of a server's index, oldest first; the served one is marked with an asterisk."""
    with connection.open() as client:
        snapshots = client.snapshots()
    if as_json:
        print_json(snapshots.to_dict())
        return
    for snapshot in snapshots:
        mark = "*" if snapshot.version == snapshots.snapshot else " "
        if snapshot.damage:
            print(f"{mark} {snapshot.version:>6}  can't be read: {snapshot.damage}")
            continue
        when = f"{snapshot.created_at:%Y-%m-%d %H:%M} UTC" if snapshot.created_at else ""
        print(
            f"{mark} {snapshot.version:>6}  {when}  {snapshot.entries} photos of {snapshot.families} families, "
            f"{snapshot.index_kind}, embedder {snapshot.fingerprint[:12]}"
        )


def _print_rows(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from beedex.client.command.printing import open_console

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    numbers = all(name.isdigit() for name, _ in rows)
    table.add_column(justify="right" if numbers else "left", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    open_console().print(table)
