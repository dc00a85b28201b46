"""The client's own commands. See beedex.client.parts for what the names below mean."""

import typer

from beedex.client.command.doctor_commands import add_doctor_command
from beedex.client.command.photo_commands import add_photo_commands
from beedex.client.command.server_commands import add_server_commands

__all__ = ["EXTRA", "NEEDS", "app", "list_errors"]

EXTRA = ""
NEEDS: tuple[str, ...] = ()

app = typer.Typer()
add_photo_commands(app)
add_server_commands(app)
add_doctor_command(app)


def list_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that are for the person at the command line."""
    from beedex.client import ClientError
    from beedex.client.command.arrivals import WatchedFolderError
    from beedex.client.command.output import OutputError
    from beedex.client.command.photolist import NoPhotoError

    return ClientError, NoPhotoError, OutputError, WatchedFolderError
