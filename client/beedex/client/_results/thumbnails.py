"""Small photos of entries, for a notebook that shows an answer long after it was given.

They come over a connection of their own, which lives as long as they take: the client may be closed by then, or belong
to an event loop that waits for the notebook.
"""

from contextlib import closing
from typing import TYPE_CHECKING

from beedex.client._calls.methods import GET_PHOTO
from beedex.client._connections.connection import Connection
from beedex.client._connections.deadline import Deadline
from beedex.client._errors import ClientError
from beedex.v1 import search_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from beedex.client._connections.channel import ChannelConfig

__all__ = ["Thumbnails"]

# Twice the width at which a notebook shows them, for screens of many pixels; about 8 kB.
SIDE_PX = 208

# For all photos of an answer together. A notebook does nothing else meanwhile.
TIMEOUT_S = 2.0

# Of one photo. A page is no place for what doesn't fit.
MOST_BYTES = 256 * 1024

MEDIA_TYPE = "image/jpeg"


class Thumbnails:
    """Where the photos of a client's answers are.

    Args:
        config: how the client is connected.
        timeout_s: how long all photos of one answer may take together, in seconds.
    """

    def __init__(self, config: "ChannelConfig", *, timeout_s: float = TIMEOUT_S) -> None:
        self._config = config
        self._timeout_s = timeout_s

    def fetch(self, entry_ids: "Sequence[str]") -> "Mapping[str, bytes]":
        """Return small JPEG files by entry id, without those that can't be had in time; it raises no `ClientError`."""
        if not entry_ids:
            return {}
        try:
            with closing(Connection(self._config)) as connection:
                photos = self._gather(connection, entry_ids)
        except ClientError:
            # There are no certificates or there is no token any more.
            return {}
        return {entry_id: photo for entry_id, photo in photos.items() if photo}

    def _gather(self, connection: Connection, entry_ids: "Sequence[str]") -> "dict[str, bytes]":
        deadline = Deadline.after(self._timeout_s)
        # All are asked for before the first is waited for.
        streams = {
            entry_id: connection.open(
                GET_PHOTO, search_pb2.GetPhotoRequest(entry_id=entry_id, max_side_px=SIDE_PX), deadline, retry=False
            )
            for entry_id in entry_ids
        }
        return {entry_id: _join(replies) for entry_id, replies in streams.items()}


def _join(replies: "Iterable[search_pb2.GetPhotoResponse]") -> bytes:
    """Return the photo that a stream sends; nothing if it fails, is no JPEG or too large."""
    photo = bytearray()
    try:
        for reply in replies:
            if reply.HasField("header") and reply.header.media_type != MEDIA_TYPE:
                return b""
            photo += reply.chunk
            if len(photo) > MOST_BYTES:
                return b""
    except ClientError:
        # Its file is gone, its time is up, or the server is: the page has a gap.
        return b""
    return bytes(photo)
