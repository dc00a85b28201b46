"""Pixels in memory become an image file, since only image files travel.

An array is written as PNG with the standard library, as the client may be installed without Pillow.
"""

import io
import struct
import zlib
from typing import TYPE_CHECKING

from beedex.client._errors import PhotoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["check_array", "encode_array", "encode_image", "turn_upright"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# PNG's colour types by the number of channels (https://www.w3.org/TR/png-3/#11IHDR).
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}

# Each row less the one above it (https://www.w3.org/TR/png-3/#9Filters). Of photos that makes two thirds to three
# quarters of the bytes, in four fifths of the time: 24 to 35 ms for a megapixel.
FILTER_UP = 2

# Of level 6 the file is as large, and takes four to seven times as long.
COMPRESSION_LEVEL = 1


def check_array(photo: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Return an array of pixels as (H, W, C), C being 1, 3 or 4.

    Raises:
        TypeError: its numbers are not uint8.
        ValueError: its shape is not (H, W), (H, W, 3) or (H, W, 4) with H and W at least 1.
    """
    if photo.dtype != "uint8":
        raise TypeError(
            f"the pixels of a photo are uint8 from 0 to 255, received {photo.dtype}; "
            "convert them, for example with (255 * photo).round().astype('uint8') if they are from 0 to 1"
        )
    if not (photo.ndim == 2 or (photo.ndim == 3 and photo.shape[2] in (3, 4))) or 0 in photo.shape:
        raise ValueError(
            "an array that is a photo is of shape (H, W) for gray, (H, W, 3) for RGB or (H, W, 4) for RGBA, "
            f"received {photo.shape}; move the channels last, make one call for each photo, "
            "and give an embedding as vector="
        )
    return photo.reshape(*photo.shape[:2], -1)


def encode_array(photo: "NDArray[np.uint8]") -> bytes:
    r"""Return the PNG file of an array of pixels; raise as `check_array` does.

    Example:
        >>> import numpy as np
        >>> encode_array(np.zeros((2, 4, 3), np.uint8))[:4]
        b'\x89PNG'
    """
    import numpy as np  # noqa: PLC0415 - see beedex.client._results.embeddings

    pixels = check_array(photo)  # (H, W, C)
    height, width, channels = pixels.shape
    flat = pixels.reshape(height, -1)
    rows = np.empty((height, 1 + flat.shape[1]), np.uint8)
    rows[:, 0] = FILTER_UP
    rows[0, 1:] = flat[0]
    # Modulo 256, as PNG has it.
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.data, COMPRESSION_LEVEL)), (b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(_pack_chunk(kind, content) for kind, content in chunks)


def _pack_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def turn_upright(image: "Image.Image") -> "Image.Image":
    """Return an image's pixels upright, in a mode that the server reads them in.

    An orientation that the image carries in its EXIF data is applied, as `PIL.ImageOps.exif_transpose` does it and
    nothing more: whoever has applied it in that way has no orientation left. The image itself stays as it is.

    Raises:
        PhotoError: its file is damaged (reason UNREADABLE_FILE).
        ValueError: it is of a mode that Pillow doesn't turn into RGB as it looks: more than 8 bits, or LAB.
    """
    from PIL import ImageOps  # noqa: PLC0415 - Pillow is there when an image is

    if image.mode.startswith(("I", "F", "LAB")):
        raise ValueError(
            f"a photo as a PIL image has 8 bits a channel, for example RGB, received mode {image.mode}; "
            "give the file itself, or convert the image"
        )
    try:
        upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError) as error:
        # An opened image is read from its file only now.
        raise PhotoError(
            f"the PIL image can't be read: expected a whole image file, received: {error}", reason="UNREADABLE_FILE"
        ) from error
    if upright.has_transparency_data:
        return upright.convert("RGBA")
    return upright if upright.mode in ("L", "RGB") else upright.convert("RGB")


def encode_image(image: "Image.Image") -> bytes:
    """Return the PNG file of a PIL image, upright; raise as `turn_upright` does."""
    file = io.BytesIO()
    turn_upright(image).save(file, "PNG", compress_level=COMPRESSION_LEVEL)
    return file.getvalue()
