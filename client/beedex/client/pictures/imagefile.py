"""A picture as it comes from the server or the disk: an image file, and its pixels where Pillow is there."""

import io
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PNG_SIGNATURE", "Box", "can_decode", "decode_into", "encode_png"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of the terminal's grid, and of how many pixels a cell of it is.

    Attributes:
        columns: its width in cells.
        rows: its height in cells.
        cell_width_px: as the terminal says, or as the smallest have it.
        cell_height_px: the same.
    """

    columns: int
    rows: int
    cell_width_px: int = 6
    cell_height_px: int = 12

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.columns * self.cell_width_px, self.rows * self.cell_height_px


def can_decode() -> bool:
    """Tell whether Pillow is installed."""
    return find_spec("PIL") is not None


def decode_into(content: bytes, size_px: tuple[int, int]) -> "NDArray[np.uint8]":
    """Return the picture as (H, W, 3) uint8, as large as it can be within (W, H) *size_px*, upright.

    Raises:
        OSError, ValueError: it is none, or is damaged.
    """
    import numpy as np  # noqa: PLC0415 - only where pixels are needed
    from PIL import Image, ImageOps  # noqa: PLC0415 - not in the base install

    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
        image.draft("RGB", size_px)
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(ImageOps.contain(upright, size_px))


def encode_png(pixels: "NDArray[np.uint8]") -> bytes:
    """Return the bytes of a PNG file of (H, W, 3) pixels."""
    from PIL import Image  # noqa: PLC0415 - as above

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
