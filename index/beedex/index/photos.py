"""A photo's bytes become an array of pixels, or one `PhotoError`.

Every byte that beedex did not make itself comes in through `decode`. The header is judged before a pixel is
decoded, each format is read by its own Pillow reader (never by whichever plugin recognises the bytes), and
whatever a reader raises leaves here as a `PhotoError` with its reason.
"""

import io
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from beedex.index.errors import PhotoError, PhotoReason

__all__ = ["DEFAULT_LIMITS", "PhotoLimits", "decode", "read_photo", "recognise_format"]


class JpegReader(JpegImagePlugin.JpegImageFile):
    """Pillow's JPEG reader without its search for a resolution, which parses and may trip over every EXIF tag."""

    def _read_dpi_from_exif(self) -> None:
        """Leave the resolution alone: nothing here asks for it."""


# The readers are called directly: Image.open would first warn or raise by Pillow's own process-wide limit
# (MAX_IMAGE_PIXELS), and for a WebP allocate the canvas before anyone could look at its size.
READERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "JPEG": JpegReader,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

# (offset, bytes, name): how a file of that format begins.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"BM", "BMP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "CR3 raw"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)

# A JPEG is decoded at reduced scale only down to this multiple of the side that is needed. Measured as the
# difference of the fitted pictures from those of a full decode, over 30 photos at 1/2, 1/4 and 1/8:
#   1x: 1.2 gray levels of 255 on average, at most 46;   2x: 0.5, 12;   3x: 0.3, 6;   4x: 0.2, 5.
# Saving the photo once more at quality 95 changes it by 0.1.
REDUCED_SIDE_FACTOR = 3

# A progressive JPEG is decoded in scans, usually ten. A scan that changes nothing takes 53 bytes of the file and
# 4 ms at 64 megapixels, so that 5 MB of them would hold a core for minutes. The margin is for the two bytes of a
# scan's marker turning up by chance in a film that a phone hangs behind its photo.
MAX_JPEG_SCANS = 1000
SCAN_MARKER = b"\xff\xda"

WHITE = (255, 255, 255)

# What undoes each value of the EXIF orientation tag (EXIF 2.32, section 4.6.4, tag 0x0112); 1 is upright.
UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, kw_only=True)
class PhotoLimits:
    """What a photo may be at most; each is checked before a pixel is decoded.

    Args:
        max_bytes: size of the file.
        max_pixels: width times height. A decoded pixel costs up to 7 bytes for the moment of decoding.
        max_side_px: the longer side.
        formats: names of the accepted formats, out of JPEG, PNG and WEBP.

    Raises:
        ValueError: a limit is not positive, or a format is not one of the three.
    """

    max_bytes: int = 32 * 1024 * 1024  # a 48-megapixel phone JPEG is about 25 MB
    max_pixels: int = 64_000_000  # above the 61 megapixels of a full-frame camera
    max_side_px: int = 20_000  # longer is a panorama or an attack
    formats: tuple[str, ...] = tuple(READERS)

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_side_px"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be positive. Received: {name}={getattr(self, name)}")
        if not self.formats or not set(self.formats) <= set(READERS):
            raise ValueError(f"`formats` must name some of {', '.join(READERS)}. Received: formats={self.formats}")


DEFAULT_LIMITS = PhotoLimits()


def decode(
    data: bytes, *, limits: PhotoLimits = DEFAULT_LIMITS, needed_side_px: int | None = None
) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG or WebP photo into upright 8-bit RGB.

    The EXIF orientation is applied. Of an animation the first frame is taken. 16-bit values keep their high
    byte. Transparent parts are laid on white, as on a page. Colour profiles are not applied.

    Args:
        data: the file, whole.
        limits: what is refused before decoding.
        needed_side_px: the long side that the caller will shrink the photo to. A JPEG may then come back at
            1/2, 1/4 or 1/8 of its size, with the very same aspect and a long side of at least three times this.

    Returns:
        The pixels: (H, W, 3) uint8, writable, rows from the top.

    Raises:
        PhotoError: the photo can't be decoded or is beyond a limit; `.reason` says which.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (4, 2), (255, 200, 0)).save(file, "PNG")
        >>> decode(file.getvalue()).shape
        (2, 4, 3)
    """
    reader = _choose_reader(data, limits)
    with _refuse_as_damaged():
        with reader(io.BytesIO(data)) as image:
            _check_size(image.size, limits)
            if needed_side_px is not None and isinstance(image, JpegReader):
                _reduce(image, needed_side_px)
            image.load()
            turn = UPRIGHT.get(read_orientation(image.info.get("exif")))
            rgb = _convert_to_rgb(image)
        return np.array(rgb if turn is None else rgb.transpose(turn))  # (H, W, 3)


def read_photo(path: Path, *, limits: PhotoLimits = DEFAULT_LIMITS) -> bytes:
    """Read a photo's file, unless it is too large or no file to read from.

    Args:
        path: the file.
        limits: of which `max_bytes` is checked before a byte is read.

    Returns:
        The whole file, for `decode`.

    Raises:
        PhotoError: with `UNREADABLE` or `TOO_MANY_BYTES`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            raise PhotoError(PhotoReason.UNREADABLE, "Not a file; expected a photo.")
        _check_bytes(status.st_size, limits)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(PhotoReason.UNREADABLE, f"The file can't be read: {reason}.") from error


def _choose_reader(data: bytes, limits: PhotoLimits) -> Callable[[io.BytesIO], Image.Image]:
    """Judge everything that the bytes tell without a reader."""
    if not data:
        raise PhotoError(PhotoReason.EMPTY, f"The photo is empty; expected a {_either(limits)} file.")
    _check_bytes(len(data), limits)
    name = recognise_format(data)
    if name is None:
        raise PhotoError(
            PhotoReason.NOT_A_PHOTO,
            f"The file is not a photo: expected {_either(limits)}, received bytes that begin with {data[:8]!r}.",
        )
    if name not in limits.formats:
        raise PhotoError(
            PhotoReason.UNSUPPORTED_FORMAT,
            f"The photo is {name}; expected {_either(limits)}. Convert it first.",
        )
    if name == "WEBP":
        _check_size(_read_webp_size(data), limits)
    if name == "JPEG" and data.count(SCAN_MARKER) > MAX_JPEG_SCANS:
        raise PhotoError(
            PhotoReason.DAMAGED,
            f"The photo has {data.count(SCAN_MARKER)} scans; expected at most {MAX_JPEG_SCANS}. Save it again.",
        )
    return READERS[name]


def _either(limits: PhotoLimits) -> str:
    return " or ".join(limits.formats)


def recognise_format(data: bytes) -> str | None:
    """Return the name of the format that a file's first bytes (32 are enough) are of, such as JPEG; None if of none."""
    for offset, signature, name in SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            return name
    return None


@contextmanager
def _refuse_as_damaged() -> Iterator[None]:
    """Turn whatever Pillow raises into one `PhotoError`."""
    try:
        yield
    except PhotoError:
        raise
    # Pillow's parsers raise what they stumble over: OSError, SyntaxError, ValueError, struct.error, EOFError,
    # KeyError, MemoryError, zlib.error and more; none of them may bring down a server or a build.
    except Exception as error:
        fault = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise PhotoError(
            PhotoReason.DAMAGED, f"The photo is damaged or cut off: {fault}. Save or copy it again."
        ) from error


def _check_bytes(size_bytes: int, limits: PhotoLimits) -> None:
    if size_bytes > limits.max_bytes:
        raise PhotoError(
            PhotoReason.TOO_MANY_BYTES,
            f"The photo has {size_bytes} bytes; at most {limits.max_bytes} are accepted. Shrink it.",
        )


def _check_size(size: tuple[int, int], limits: PhotoLimits) -> None:
    width, height = size
    if max(size) > limits.max_side_px:
        raise PhotoError(
            PhotoReason.SIDE_TOO_LONG,
            f"The photo is {width} x {height}; a side may have at most {limits.max_side_px} pixels. Shrink it.",
        )
    if width * height > limits.max_pixels:
        raise PhotoError(
            PhotoReason.TOO_MANY_PIXELS,
            f"The photo is {width} x {height} = {width * height} pixels; "
            f"at most {limits.max_pixels} are accepted. Shrink it.",
        )


def _read_webp_size(data: bytes) -> tuple[int, int]:
    """Read (width, height) from the first chunk; (0, 0), which no reader accepts, if there is none.

    The layout is https://developers.google.com/speed/webp/docs/riff_container and, for VP8, RFC 6386 9.1.
    """
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return 0, 0
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[i : i + 3], "little") for i in (4, 7))
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def _reduce(image: JpegReader, needed_side_px: int) -> None:
    """Let libjpeg decode at 1/8, 1/4 or 1/2 where that leaves `REDUCED_SIDE_FACTOR` times the need.

    Only a scale that divides both sides is taken. Else libjpeg rounds them up, the aspect shifts a little, and
    the short side of the fitted picture can be a pixel longer, which moves every repeated row.
    """
    width, height = image.size
    for scale in (8, 4, 2):
        left_over = width % scale or height % scale
        if not left_over and max(image.size) >= needed_side_px * REDUCED_SIDE_FACTOR * scale:
            image.draft(None, (width // scale, height // scale))
            return


def read_orientation(exif: bytes | None) -> int:
    """Read the orientation tag out of an EXIF block; 1 (upright) where there is none or the block is damaged.

    Pillow's own reader parses every tag and warns or raises on a bad one; a photo whose camera wrote a bad tag
    is still a good photo.
    """
    tiff = (exif or b"").removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == 0x0112 and kind == 3:  # a SHORT, stored in the entry itself
                return int(value)
    except struct.error:
        return 1
    return 1


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        image = _narrow(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGB", image.size, WHITE)
    page.paste(layer, mask=layer)
    return page


def _narrow(image: Image.Image) -> Image.Image:
    """Keep the high byte of 16-bit gray, as Pillow does for 16-bit colour; its convert() would clip at 255."""
    values = np.asarray(image)  # (H, W) uint16
    gray = Image.fromarray((values >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return gray
