"""The photo that a caller gives, as the bytes that travel."""

import os
from pathlib import Path
from typing import BinaryIO

from beedex.client._errors import PhotoError

__all__ = ["PhotoSource", "read_photo"]

# A path, the bytes of an image file, or a file open for reading in binary mode.
PhotoSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def read_photo(photo: PhotoSource) -> bytes:
    """Return the bytes of an image file; what they hold is the server's to judge.

    Raises:
        PhotoError: the file can't be read (reason NO_SUCH_FILE or UNREADABLE_FILE).
        TypeError: *photo* is none of the things that a photo can be.
    """
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, str | os.PathLike):
        return _read_file(Path(photo))
    read = getattr(photo, "read", None)
    content = read() if callable(read) else None
    if not isinstance(content, bytes):
        raise TypeError(
            "a photo is a path, bytes or a file opened in binary mode ('rb'), "
            f"received {type(photo).__name__}" + (f" of {type(content).__name__}" if callable(read) else "")
        )
    return content


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError(
            f"there is no photo {path}; check the path", reason="NO_SUCH_FILE", details={"path": str(path)}
        ) from error
    except OSError as error:
        raise PhotoError(
            f"the photo {path} can't be read: expected an image file, received: {error.strerror or error}",
            reason="UNREADABLE_FILE",
            details={"path": str(path)},
        ) from error
