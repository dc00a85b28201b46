"""A large photo is brought to the size that the embedder looks at, before it travels.

It is reduced by what the server would do to it: JPEG decoded at a reduced scale by the same rule, then Lanczos to the
side of the embedder's input. The small photo travels without loss, so that the server's own reduction finds nothing
left to do. Of an upright photo the embedder sees the very pixels that it would have seen. Of one that its EXIF
orientation turns by 90 degrees it sees them to 0.2 gray levels on average, and to 7 at most, in drawn bees: the
resampling goes over rows first, and rounds between its two passes.

That takes Pillow, which `pip install 'beedex[photos]'` brings; without it, photos travel as they are. So does every
photo that can't be read here: what is wrong with it is the server's to say.
"""

import io
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from beedex.client._photos.photos import count_bytes, is_array
from beedex.client._photos.pixels import turn_upright

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from beedex.client._photos.photos import Pixels
    from beedex.client._results.results import Limits

__all__ = ["can_shrink", "is_worth_shrinking", "shrink_file", "shrink_pixels"]

# The rule of beedex.index.photos, which this module may not import; a test holds that the pixels are the same: a JPEG
# is decoded at 1/8, 1/4 or 1/2 where that divides both sides and leaves three times the side that is needed.
JPEG_SCALES = (8, 4, 2)
REDUCED_SIDE_FACTOR = 3

# A progressive JPEG of more scans is an attack, which the server refuses without decoding it.
MAX_JPEG_SCANS = 1000
SCAN_MARKER = b"\xff\xda"

CHANNELS = 3

# The first that the server takes is sent. Of 30 field photos at 299 pixels, lossless WebP was 105 kB on average and
# took 2 ms to write and 1.4 to read, PNG 139 kB, 6 ms and 2.4. Smaller WebP takes 64 ms, JPEG (41 kB) changes pixels.
LOSSLESS_FORMATS: tuple[tuple[str, dict[str, object]], ...] = (
    ("WEBP", {"lossless": True, "method": 0, "quality": 0}),
    ("PNG", {"compress_level": 1}),
)

WHITE = (255, 255, 255)


@cache
def can_shrink() -> bool:
    """Tell whether Pillow is installed."""
    return find_spec("PIL") is not None


def is_worth_shrinking(photo: "bytes | Pixels", side_px: int) -> bool:
    """Tell whether a photo has more bytes than the pixels that the embedder looks at.

    Args:
        photo: a file, whose header isn't looked at, or pixels.
        side_px: the side of the embedder's input.
    """
    return count_bytes(photo) > CHANNELS * side_px * side_px


def shrink_file(photo: bytes, side_px: int, limits: "Limits") -> bytes:
    """Return a smaller image file that the embedder sees as it sees *photo*, or *photo* itself where there is none.

    Args:
        photo: an image file, or what is taken for one.
        side_px: the side of the embedder's input. A photo whose longer side is no longer stays as it is.
        limits: the server's. A photo beyond them isn't decoded.
    """
    small = photo
    # Pillow's readers raise whatever they stumble over.
    with suppress(Exception):
        read = _choose_reader(photo, limits)
        if read is not None:
            with read(io.BytesIO(photo)) as image:
                if _is_shrinkable(image, side_px, limits):
                    _reduce(image, side_px)
                    # The orientation is in there, for the server to read as it would have.
                    exif = image.info.get("exif", b"")
                    small = _encode(_resize(image, side_px), limits, exif)
    return min(small, photo, key=len)


def shrink_pixels(photo: "Pixels", side_px: int, limits: "Limits") -> bytes | None:
    """Return pixels as a small image file; None where their longer side is no longer than *side_px*.

    Raises:
        ValueError: a PIL image of more than 8 bits.
    """
    from PIL import Image  # noqa: PLC0415 - an extra, and nothing to load before the first large photo

    upright = Image.fromarray(photo) if is_array(photo) else turn_upright(photo)
    if max(upright.size) <= side_px or not _choose_format(limits):
        return None
    return _encode(_resize(upright, side_px), limits, b"")


def _choose_reader(photo: bytes, limits: "Limits") -> "Callable[[io.BytesIO], Image.Image] | None":
    """Return Pillow's reader of a file; Image.open would warn of large photos, and guess at other formats."""
    from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: PLC0415 - as above

    found: tuple[str, Callable[[io.BytesIO], Image.Image]] | None = None
    if photo.startswith(b"\xff\xd8\xff") and photo.count(SCAN_MARKER) <= MAX_JPEG_SCANS:
        found = ("JPEG", JpegImagePlugin.JpegImageFile)
    elif photo.startswith(b"\x89PNG\r\n\x1a\n"):
        found = ("PNG", PngImagePlugin.PngImageFile)
    elif photo[8:12] == b"WEBP":
        found = ("WEBP", WebPImagePlugin.WebPImageFile)
    return found[1] if found and found[0] in limits.photo_formats and _choose_format(limits) else None


def _is_shrinkable(image: "Image.Image", side_px: int, limits: "Limits") -> bool:
    width, height = image.size
    is_accepted = max(image.size) <= limits.max_photo_side_px and width * height <= limits.max_photo_pixels
    # Gray of 16 bits, of which Pillow knows no white, is left to the server.
    return side_px < max(image.size) and is_accepted and not image.mode.startswith(("I", "F"))


def _reduce(image: "Image.Image", side_px: int) -> None:
    """Have libjpeg decode a JPEG at a reduced scale, by the server's rule."""
    if image.format != "JPEG":
        return
    width, height = image.size
    for scale in JPEG_SCALES:
        if not width % scale and not height % scale and max(image.size) >= side_px * REDUCED_SIDE_FACTOR * scale:
            image.draft(None, (width // scale, height // scale))
            return


def _resize(image: "Image.Image", side_px: int) -> "Image.Image":
    """Bring the longer side to *side_px* by Lanczos; what is transparent is laid on white first."""
    from PIL import Image  # noqa: PLC0415 - as above

    if image.has_transparency_data:
        layer = image.convert("RGBA")
        page = Image.new("RGB", image.size, WHITE)
        page.paste(layer, mask=layer)
    else:
        page = image.convert("RGB")
    width, height = page.size
    longer = max(page.size)
    size = (max(1, round(width * side_px / longer)), max(1, round(height * side_px / longer)))
    return page.resize(size, Image.Resampling.LANCZOS)


def _choose_format(limits: "Limits") -> tuple[str, dict[str, object]] | None:
    return next((choice for choice in LOSSLESS_FORMATS if choice[0] in limits.photo_formats), None)


def _encode(image: "Image.Image", limits: "Limits", exif: bytes) -> bytes:
    name, options = _choose_format(limits) or LOSSLESS_FORMATS[-1]
    file = io.BytesIO()
    image.save(file, name, exif=exif, **options)
    return file.getvalue()
