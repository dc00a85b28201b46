"""A photo of the index, put together from the parts in which it comes."""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from beedex.client._calls.replies import parse_entry
from beedex.client._errors import ServerFaultError
from beedex.client._results.entries import Entry
from beedex.client._results.result import Answer
from beedex.v1 import search_pb2

__all__ = ["PhotoAssembly", "StoredPhoto"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class StoredPhoto(Answer):
    """An indexed photo: an image file, as the server's gallery has it or shrunk.

    Attributes:
        entry: what is known of it, its credit and licence included.
        media_type: image/jpeg, image/png or image/webp.
        content: the bytes of the file, checked to be those that the server announced.
        sha256: of the content, 64 hex digits.
    """

    entry: Entry
    media_type: str
    content: bytes
    sha256: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, in place of one that is there, and return its path."""
        target = Path(path)
        target.write_bytes(self.content)
        return target

    def to_dict(self) -> dict[str, Any]:
        """Return what is said of the photo, with the size of its file in place of the file."""
        values = Answer.to_dict(replace(self, content=b""))
        return {key: value for key, value in values.items() if key != "content"} | {"size_bytes": len(self.content)}

    def _repr_html_(self) -> str:
        from beedex.client._results.notebook import show_photo  # noqa: PLC0415 - only notebooks need it

        return show_photo(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.entry!r}, {self.media_type}, {len(self.content)} bytes)"


class PhotoAssembly:
    """Takes the parts of a photo and never more bytes than were announced."""

    def __init__(self) -> None:
        self._header: search_pb2.PhotoHeader | None = None
        self._content = bytearray()
        self._last: search_pb2.GetPhotoResponse | None = None

    def add(self, part: search_pb2.GetPhotoResponse) -> None:
        """Take the next part.

        Raises:
            ServerFaultError: it doesn't fit to what was announced (reason PHOTO_DAMAGED).
        """
        if part.HasField("header") is (self._header is not None):
            raise _refuse("expected one header and then chunks, received them in another order")
        self._last = part
        if part.HasField("header"):
            self._header = part.header
            return
        self._content += part.chunk
        if self._header is not None and len(self._content) > self._header.size_bytes:
            raise _refuse(f"expected {self._header.size_bytes} bytes, received more")

    def finish(self, *, request_id: str = "") -> StoredPhoto:
        """Return the photo, of which all parts have come.

        Raises:
            ServerFaultError: they are not what was announced (reason PHOTO_DAMAGED).
        """
        if self._header is None or self._last is None:
            raise _refuse("expected a header, received nothing")
        content, header = bytes(self._content), self._header
        if len(content) != header.size_bytes:
            raise _refuse(f"expected {header.size_bytes} bytes, received {len(content)}")
        digest = hashlib.sha256(content).hexdigest()
        if digest != header.sha256:
            raise _refuse(f"expected bytes of sha256 {header.sha256}, received {digest}")
        return StoredPhoto(
            entry=parse_entry(header.entry),
            media_type=header.media_type,
            content=content,
            sha256=digest,
            fingerprint=self._last.origin.fingerprint,
            snapshot=self._last.origin.snapshot,
            request_id=request_id,
        )


def _refuse(what: str) -> ServerFaultError:
    return ServerFaultError(f"the photo was damaged on its way: {what}; ask for it again", reason="PHOTO_DAMAGED")
