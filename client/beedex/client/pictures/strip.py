"""Small pictures side by side with a line of words under each, for people at a terminal."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.text import Text

from beedex.client.pictures.blocks import draw_blocks
from beedex.client.pictures.choice import PictureProtocol
from beedex.client.pictures.imagefile import PNG_SIGNATURE, Box, can_decode, decode_into, encode_png
from beedex.client.pictures.iterm2 import encode_iterm2
from beedex.client.pictures.kitty import encode_kitty
from beedex.client.pictures.sixel import encode_sixel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

__all__ = ["BOX", "PICTURE_SIDE_PX", "Picture", "count_fitting", "show_strip"]

# Five of them fit into 80 columns.
BOX = Box(columns=14, rows=7)
GAP = 2

# What is asked of a server: enough for a box on a screen of high density.
PICTURE_SIDE_PX = 256

SAVE_CURSOR, RESTORE_CURSOR = b"\x1b7", b"\x1b8"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file and what is written under it.

    Attributes:
        content: the bytes of the file; None where it can't be had.
        caption: a few words; what is too long for the box is cut.
    """

    content: bytes | None
    caption: str


def count_fitting(width: int) -> int:
    """Return how many pictures fit side by side into *width* columns."""
    return max(1, (width + GAP) // (BOX.columns + GAP))


def show_strip(console: "Console", pictures: Sequence[Picture], protocol: PictureProtocol) -> bool:
    """Show as many pictures as fit, and return whether any was shown.

    Nothing is printed when none can be shown: there are none, the terminal is too low, or they have to be decoded and
    Pillow isn't installed.
    """
    fitting = pictures[: count_fitting(console.width)]
    if protocol is PictureProtocol.BLOCKS:
        shown = _print_blocks(console, fitting)
    else:
        shown = _write_sequences(console, fitting, protocol)
    if shown:
        console.print(_lay_out([Text(picture.caption) for picture in fitting]), no_wrap=True)
    return shown


def _print_blocks(console: "Console", pictures: Sequence[Picture]) -> bool:
    if console.color_system is None or console.no_color:
        return False
    drawn = [_draw_blocks(picture.content) for picture in pictures]
    if not any(drawn):
        return False
    empty = [Text()] * BOX.rows
    for row in range(BOX.rows):
        console.print(_lay_out([(lines or empty)[row] for lines in drawn]), no_wrap=True)
    return True


def _draw_blocks(content: bytes | None) -> list[Text] | None:
    pixels = _decode(content, (BOX.columns, BOX.rows * 2))
    return None if pixels is None else draw_blocks(pixels, columns=BOX.columns, rows=BOX.rows)


def _lay_out(cells: Sequence[Text]) -> Text:
    """Return one line out of the lines of the boxes."""
    line = Text()
    for cell in cells:
        fitted = cell.copy()
        fitted.truncate(BOX.columns, overflow="ellipsis", pad=True)
        line.append_text(fitted).append(" " * GAP)
    line.rstrip()
    return line


def _write_sequences(console: "Console", pictures: Sequence[Picture], protocol: PictureProtocol) -> bool:
    box = _measure_cells(console)
    encode: Callable[[bytes, Box], bytes | None] | None = _ENCODERS.get(protocol)
    if encode is None or console.height <= box.rows + 1:
        return False
    sequences = [encode(picture.content, box) if picture.content else None for picture in pictures]
    if not any(sequences):
        return False
    # The rows are made first, so that a picture at the lower end of the screen has its place and nothing scrolls.
    parts = [b"\n" * box.rows, b"\x1b[%dA" % box.rows]
    for place, sequence in enumerate(sequences):
        if sequence:
            right = place * (BOX.columns + GAP)
            # Terminals disagree on where a picture leaves the cursor.
            parts += [SAVE_CURSOR, b"\x1b[%dC" % right if right else b"", sequence, RESTORE_CURSOR]
    parts += [b"\x1b[%dB" % box.rows, b"\r"]
    console.file.write(b"".join(parts).decode("ascii"))
    console.file.flush()
    return True


def _measure_cells(console: "Console") -> Box:
    """Return the box with the terminal's own size of a cell, where it tells."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
        import termios  # noqa: PLC0415 - the same

        told = fcntl.ioctl(console.file.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    except (ImportError, OSError):
        return BOX
    rows, columns, width_px, height_px = struct.unpack("HHHH", told)
    if not (rows and columns and width_px and height_px):
        return BOX
    return replace(BOX, cell_width_px=max(1, width_px // columns), cell_height_px=max(1, height_px // rows))


def _encode_for_kitty(content: bytes, box: Box) -> bytes | None:
    pixels = _decode(content, box.size_px)
    if pixels is None:
        # It shows PNG files by itself, but nothing else.
        size_px = _read_png_size(content)
        png = content
    else:
        size_px = pixels.shape[1], pixels.shape[0]
        png = encode_png(pixels)
    if size_px is None:
        return None
    columns, rows = _fit_cells(size_px, box)
    return encode_kitty(png, columns=columns, rows=rows)


def _encode_for_iterm2(content: bytes, box: Box) -> bytes:
    return encode_iterm2(content, columns=box.columns, rows=box.rows)


def _encode_for_sixel(content: bytes, box: Box) -> bytes | None:
    pixels = _decode(content, box.size_px)
    return None if pixels is None else encode_sixel(pixels)


_ENCODERS: dict[PictureProtocol, Callable[[bytes, Box], bytes | None]] = {
    PictureProtocol.KITTY: _encode_for_kitty,
    PictureProtocol.ITERM2: _encode_for_iterm2,
    PictureProtocol.SIXEL: _encode_for_sixel,
}


def _decode(content: bytes | None, size_px: tuple[int, int]) -> "NDArray[np.uint8] | None":
    """Return the pixels; None where there are none or Pillow isn't there to find them."""
    if content is None or not can_decode():
        return None
    try:
        return decode_into(content, size_px)
    except (OSError, ValueError):
        # A picture beside the answer; what is wrong with the photo, the answer says.
        return None


def _read_png_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height, which stand at the same place of every PNG file."""
    if not content.startswith(PNG_SIGNATURE) or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return (width, height) if width and height else None


def _fit_cells(size_px: tuple[int, int], box: Box) -> tuple[int, int]:
    """Return how many columns and rows a picture covers undistorted, as large as it can be within the box."""
    width, height = size_px
    scale = min(box.size_px[0] / width, box.size_px[1] / height)
    return max(1, round(width * scale / box.cell_width_px)), max(1, round(height * scale / box.cell_height_px))
