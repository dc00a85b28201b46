"""Shrunk photos, made once while they are asked for again and again, and kept in a bounded cache."""

import asyncio
from collections import OrderedDict

from beedex.index.entries import Entry
from beedex.server.photofiles import PhotoFiles
from beedex.server.web.pool import PhotoLine

__all__ = ["Thumbnails"]

Key = tuple[str, int]


class Thumbnails:
    """Makes and keeps thumbnails; for one event loop.

    Args:
        photos: finds and shrinks the photos.
        most_bytes: of the cache; those least recently asked for go first.
    """

    def __init__(self, photos: PhotoFiles, *, most_bytes: int) -> None:
        self._photos, self._most_bytes = photos, most_bytes
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._size_bytes = 0
        self._under_way: dict[Key, asyncio.Task[bytes]] = {}
        self._line = PhotoLine()

    @property
    def size_bytes(self) -> int:
        """What the cache takes."""
        return self._size_bytes

    async def get(self, entry: Entry, side_px: int) -> bytes:
        """Return a JPEG whose longer side is at most *side_px*.

        Raises:
            PhotoNotAvailableError: the photo can't be shown.
            LaneFullError: too many photos wait to be shrunk.
        """
        key = (entry.sha256, side_px)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        making = self._under_way.get(key)
        if making is None:
            making = asyncio.create_task(self._make(key, entry))
            making.add_done_callback(_take_note)
            self._under_way[key] = making
        # It goes on if this caller leaves: others may wait for it, and it is kept.
        return await asyncio.shield(making)

    async def _make(self, key: Key, entry: Entry) -> bytes:
        try:
            # The work stands in the line, not the callers, who may leave it behind.
            async with self._line.stand(), self._photos.show(entry, max_side_px=key[1]) as shown:
                data = b"".join([chunk async for chunk in shown.chunks])
        finally:
            del self._under_way[key]
        if len(data) <= self._most_bytes:
            self._kept[key] = data
            self._size_bytes += len(data)
        while self._size_bytes > self._most_bytes:
            self._size_bytes -= len(self._kept.popitem(last=False)[1])
        return data


def _take_note(made: asyncio.Task[bytes]) -> None:
    # Whoever waits is told; where nobody does any more, asyncio would log that nobody was.
    if not made.cancelled():
        made.exception()
