"""The pictures beside an answer: the query's own, and those of its neighbors from the server's gallery."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beedex.client.command.lines import say
from beedex.client.command.photolist import NamedPhoto
from beedex.client.pictures.choice import PictureProtocol, detect_protocol

if TYPE_CHECKING:
    from rich.console import Console

    from beedex.client import Client, Neighbor

__all__ = ["MOST_ILLUSTRATED", "Illustrator", "choose_protocol", "open_illustrator"]

# Of more photos than this, pictures are shown on request only: each is a call, and nobody looks at hundreds.
MOST_ILLUSTRATED = 12


def choose_protocol(
    wanted: PictureProtocol, environment: Mapping[str, str], *, is_terminal: bool, photos: int
) -> PictureProtocol:
    """Return how pictures are shown: as they are wanted, or, if that is AUTO, as the terminal is known to show them."""
    if wanted is not PictureProtocol.AUTO:
        return wanted
    if photos > MOST_ILLUSTRATED:
        return PictureProtocol.NONE
    return detect_protocol(environment, is_terminal=is_terminal)


def open_illustrator(client: "Client", console: "Console", wanted: PictureProtocol, *, photos: int) -> "Illustrator":
    """Return what shows the pictures of answers about so many *photos*, as `choose_protocol` says for this terminal."""
    protocol = choose_protocol(wanted, os.environ, is_terminal=console.is_terminal, photos=photos)
    return Illustrator(client, console, protocol, is_wanted=wanted is protocol)


class Illustrator:
    """Shows the pictures of one answer after the other.

    Args:
        client: where the neighbors' photos are from.
        console: where they are shown.
        protocol: how; NONE for not at all.
        is_wanted: whether they were asked for, so that it is said when there are none.
    """

    def __init__(self, client: "Client", console: "Console", protocol: PictureProtocol, *, is_wanted: bool) -> None:
        self._client = client
        self._console = console
        self._protocol = protocol
        self._is_wanted = is_wanted
        self._fault = ""

    def show(self, photo: NamedPhoto, neighbors: "Sequence[Neighbor]") -> None:
        """Show the photo and its neighbors side by side, as many as fit.

        What can't be shown is left out; why, is said once, if pictures were asked for.
        """
        if self._protocol is PictureProtocol.NONE or self._fault:
            return
        from beedex.client.pictures.strip import Picture, count_fitting, show_strip  # noqa: PLC0415 - seldom needed

        shown = neighbors[: count_fitting(self._console.width) - 1]
        found = [Picture(self._fetch(neighbor), f"{neighbor.similarity:.2f} {neighbor.family}") for neighbor in shown]
        if not show_strip(self._console, [Picture(_read(photo), "query"), *found], self._protocol):
            self._fault = _find_fault(self._protocol, self._console)
            if self._is_wanted:
                say(self._fault)

    def _fetch(self, neighbor: "Neighbor") -> bytes | None:
        from beedex.client import ClientError  # noqa: PLC0415 - loads gRPC
        from beedex.client.pictures.strip import PICTURE_SIDE_PX  # noqa: PLC0415 - seldom needed

        try:
            return self._client.photo(neighbor.entry_id, max_side_px=PICTURE_SIDE_PX).content
        except ClientError:
            # The answer is whole without it; a server needn't know where its gallery is.
            return None


def _read(photo: NamedPhoto) -> bytes | None:
    if isinstance(photo.source, bytes):
        return photo.source
    path = Path(photo.source)
    try:
        # A pipe gave its photo already, and would be waited for.
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None


def _find_fault(protocol: PictureProtocol, console: "Console") -> str:
    from beedex.client.pictures.imagefile import can_decode  # noqa: PLC0415 - seldom needed

    if protocol in {PictureProtocol.BLOCKS, PictureProtocol.SIXEL, PictureProtocol.KITTY} and not can_decode():
        return (
            f"pictures by {protocol} are decoded here: expected Pillow; install it with: pip install 'beedex[photos]'"
        )
    if protocol is PictureProtocol.BLOCKS and (console.color_system is None or console.no_color):
        return "pictures by blocks need colours: expected a terminal that has them, or FORCE_COLOR=1"
    return "no pictures: the terminal is too low for them, or neither the photos nor their neighbors can be had"
