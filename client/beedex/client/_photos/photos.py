"""The photo that a caller gives, as the bytes that travel."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Union

from beedex.client._errors import PhotoError
from beedex.client._photos.pixels import check_array, encode_array, encode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from typing_extensions import TypeIs

__all__ = [
    "PhotoSource",
    "Pixels",
    "count_bytes",
    "encode_photo",
    "is_array",
    "is_image",
    "name_photo",
    "open_photo",
    "read_photo",
]

# A path, the bytes of an image file, a file open for reading in binary mode, pixels as an array of uint8 of shape
# (H, W), (H, W, 3) or (H, W, 4), or an image of Pillow.
PhotoSource: TypeAlias = Union[
    str, os.PathLike[str], bytes, bytearray, memoryview, BinaryIO, "NDArray[np.uint8]", "Image.Image"
]

# What has no file yet.
Pixels: TypeAlias = Union["NDArray[np.uint8]", "Image.Image"]


def read_photo(photo: "PhotoSource") -> bytes:
    """Return the bytes of an image file; what they hold is the server's to judge.

    Pixels become a PNG file without loss. All else stays as it is.

    Raises:
        PhotoError: the file can't be read (reason NO_SUCH_FILE or UNREADABLE_FILE).
        TypeError: *photo* is none of the things that a photo can be.
        ValueError: pixels of a shape or a depth that no photo has.
    """
    return encode_photo(open_photo(photo))


def open_photo(photo: "PhotoSource") -> "bytes | Pixels":
    """Return the bytes of an image file, or pixels as they are; raise as `read_photo` does."""
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if isinstance(photo, str | os.PathLike):
        return _read_file(Path(photo))
    if is_array(photo):
        check_array(photo)
        return photo
    if is_image(photo):
        return photo
    read = getattr(photo, "read", None)
    content = read() if callable(read) else None
    if not isinstance(content, bytes):
        raise TypeError(
            "a photo is a path, bytes, a file opened in binary mode ('rb'), an array of uint8 or a PIL image, "
            f"received {type(photo).__name__}" + (f" of {type(content).__name__}" if callable(read) else "")
        )
    return content


def encode_photo(photo: "bytes | Pixels") -> bytes:
    """Return what `open_photo` returned as the bytes of an image file; raise as `read_photo` does."""
    if isinstance(photo, bytes):
        return photo
    return encode_array(photo) if is_array(photo) else encode_image(photo)


def name_photo(photo: "PhotoSource") -> str | None:
    """Return the path of a photo; None of one that was given by what it holds."""
    return str(photo) if isinstance(photo, str | os.PathLike) else None


def count_bytes(photo: "bytes | Pixels") -> int:
    """Return the size of a file, or how many bytes pixels have as they are."""
    if isinstance(photo, bytes):
        return len(photo)
    return photo.size if is_array(photo) else photo.width * photo.height * len(photo.getbands())


def is_array(photo: object) -> "TypeIs[NDArray[np.uint8]]":
    """Tell whether *photo* is an array of numpy, without importing it: who has an array has imported it."""
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and isinstance(photo, numpy.ndarray)


def is_image(photo: object) -> "TypeIs[Image.Image]":
    """Tell whether *photo* is an image of Pillow, without importing it."""
    pillow: Any = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(photo, pillow.Image)


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
