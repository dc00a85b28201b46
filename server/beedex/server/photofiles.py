"""The files of indexed photos, to be shown: found, proved to be the indexed photo, and read in pieces.

What an index says of a photo's path may come from anybody who wrote the index. A file is read only within the gallery,
whatever links lead to it, and nothing of it is told unless its sha256 is the entry's.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

from PIL import Image

from beedex.index.changes import locate_photo
from beedex.index.entries import Entry
from beedex.index.errors import PhotoError
from beedex.index.photos import DEFAULT_LIMITS, decode, recognise_format
from beedex.server.config import ServerConfig
from beedex.server.errors import PhotoNotAvailableError

__all__ = ["CHUNK_BYTES", "PhotoFiles", "ShownPhoto"]

# One message; small enough for a page to show a photo while it comes.
CHUNK_BYTES = 64 * 1024

# What one visit of a thread reads.
PIECE_BYTES = 16 * CHUNK_BYTES

# As a JPEG of this quality, a photo of 2048 pixels has some 500 kB.
SHRUNK_QUALITY = 85

# Decoding takes up to 450 MB for a photo at the limits, so it is done one at a time.
SHRINKING_THREADS = 1

MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
LONGEST_SIGNATURE_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPhoto:
    """A photo on its way to a caller.

    Attributes:
        media_type: such as image/jpeg.
        size_bytes: of all that follows.
        sha256: of all that follows, 64 hex digits.
        chunks: the bytes, to be read once.
    """

    media_type: str
    size_bytes: int
    sha256: str
    chunks: AsyncIterator[bytes]


class PhotoFiles:
    """Finds the photos of an index: copies that the index keeps, or files of the gallery.

    Args:
        config: says where both are, and what may be decoded.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._index_dir, self._gallery_dir = config.index_dir, config.gallery_dir
        self._limits = config.limits.photo
        # No photo that was indexed is larger; without this, a file that grew would be read to its end.
        self._max_bytes = max(self._limits.max_bytes, DEFAULT_LIMITS.max_bytes)
        self._shrinking = ThreadPoolExecutor(SHRINKING_THREADS, thread_name_prefix="beedex-shrink")

    @asynccontextmanager
    async def show(self, entry: Entry, *, max_side_px: int | None) -> AsyncIterator[ShownPhoto]:
        """Yield an entry's photo.

        Args:
            entry: whose.
            max_side_px: shrink it to a JPEG whose longer side is at most this; None for the file as it is.

        Raises:
            PhotoNotAvailableError: there is no such file, it holds another photo, or it can't be decoded.
        """
        if max_side_px is not None:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(self._shrinking, self._shrink, entry, max_side_px)
            async with aclosing(_cut(data)) as chunks:
                sha256 = hashlib.sha256(data).hexdigest()
                yield ShownPhoto(media_type=MEDIA_TYPES["JPEG"], size_bytes=len(data), sha256=sha256, chunks=chunks)
            return
        with closing(await self._open_apart(entry)) as file:
            head = await asyncio.to_thread(os.pread, file.fileno(), LONGEST_SIGNATURE_BYTES, 0)
            async with aclosing(_read_chunks(file, entry)) as chunks:
                yield ShownPhoto(
                    media_type=MEDIA_TYPES.get(recognise_format(head) or "", "application/octet-stream"),
                    size_bytes=os.fstat(file.fileno()).st_size,
                    sha256=entry.sha256,
                    chunks=chunks,
                )

    def close(self) -> None:
        """Wait for what is being shrunk."""
        self._shrinking.shutdown()

    def _shrink(self, entry: Entry, max_side_px: int) -> bytes:
        with self._open(entry) as file:
            data = file.read(self._max_bytes)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise _refuse(entry, "its file has just changed")
        try:
            image = Image.fromarray(decode(data, limits=self._limits, needed_side_px=max_side_px))
        except PhotoError as error:
            raise _refuse(entry, f"it can't be shrunk: {error}") from error
        image.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
        shrunk = BytesIO()
        image.save(shrunk, "JPEG", quality=SHRUNK_QUALITY)
        return shrunk.getvalue()

    async def _open_apart(self, entry: Entry) -> BufferedReader:
        """Open the file on a thread; one that is opened when the caller is gone is closed again."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open, entry))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise

    def _open(self, entry: Entry) -> BufferedReader:
        """Return the file, at its beginning, once it is known to hold the entry's photo."""
        for path in self._list_places(entry):
            try:
                file = _open_regular(path)
            except OSError:
                continue
            try:
                if os.fstat(file.fileno()).st_size <= self._max_bytes and _hash(file) == entry.sha256:
                    file.seek(0)
                    return file
            except OSError:
                pass
            file.close()
        if self._gallery_dir is None:
            raise _refuse(entry, "the server was not told where the gallery is; start it with gallery_dir")
        raise _refuse(entry, "its file is gone, can't be read, or holds another photo by now; build the index again")

    def _list_places(self, entry: Entry) -> Iterator[Path]:
        # As a name the sha256 stays where it belongs: it is 64 hex digits, or no file's.
        if len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef"):
            yield locate_photo(self._index_dir, entry.sha256)
        if self._gallery_dir is not None and (path := _resolve_within(self._gallery_dir, entry.path)):
            yield path


def _resolve_within(root: Path, relative: str) -> Path | None:
    """Return where *relative* leads, all links followed; None if that is nowhere or not within *root*."""
    try:
        path, root = (root / relative).resolve(strict=True), root.resolve(strict=True)
    # A ValueError is a null byte, a RuntimeError a circle of links.
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(root) else None


def _open_regular(path: Path) -> BufferedReader:
    """Open a file; a pipe or a device is none, and opening one must not wait for its writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def _close_opened(opening: "asyncio.Future[BufferedReader]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _hash(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


async def _read_chunks(file: BufferedReader, entry: Entry) -> AsyncGenerator[bytes, None]:
    """Yield the rest of a file; the last chunk only if all of it was the entry's photo.

    Raises:
        PhotoNotAvailableError: the file was written to since it was opened.
    """
    digest = hashlib.sha256()
    piece = await asyncio.to_thread(_read_piece, file, digest)
    while piece:
        following = await asyncio.to_thread(_read_piece, file, digest)
        if not following and digest.hexdigest() != entry.sha256:
            raise _refuse(entry, "its file has just changed")
        async for chunk in _cut(piece):
            yield chunk
        piece = following


def _read_piece(file: BufferedReader, digest: "hashlib._Hash") -> bytes:
    piece = file.read(PIECE_BYTES)
    digest.update(piece)
    return piece


async def _cut(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def _refuse(entry: Entry, why: str) -> PhotoNotAvailableError:
    return PhotoNotAvailableError(
        f"the photo of entry {entry.entry_id} can't be shown: {why}",
        reason="PHOTO_NOT_AVAILABLE",
        values={"entry_id": entry.entry_id},
        field="entry_id",
    )
