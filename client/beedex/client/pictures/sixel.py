"""Sixel graphics, as DEC's VT340 has them: six rows of pixels at a time, a pass for each colour.

H and W are the height and width of the picture, K the number of its colours.
"""

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["encode_sixel"]

# What terminals keep at least; a VT340 had 16.
COLOURS = 64

BAND_ROWS = 6

# The character of six empty pixels; each of the six is a bit above it, the upper one the lowest.
EMPTY = 0x3F

# A run of fewer is shorter written out than as !N and the character.
FEWEST_TO_COUNT = 4


def encode_sixel(pixels: "NDArray[np.uint8]") -> bytes:
    """Return the escape sequence that shows (H, W, 3) pixels from the cursor on, in at most `COLOURS` colours."""
    indices, palette = _quantize(pixels)
    height, width = indices.shape
    # P2=1 leaves what isn't drawn as it was; square pixels.
    parts = [f'\x1bP0;1;0q"1;1;{width};{height}']
    for number, colour in enumerate(palette):
        red, green, blue = (round(int(level) * 100 / 255) for level in colour)
        parts.append(f"#{number};2;{red};{green};{blue}")
    parts.extend(_encode_band(indices[top : top + BAND_ROWS]) for top in range(0, height, BAND_ROWS))
    return ("".join(parts) + "\x1b\\").encode("ascii")


def _quantize(pixels: "NDArray[np.uint8]") -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """Return the number of each pixel's colour (H, W), and the colours (K, 3)."""
    import numpy as np  # noqa: PLC0415 - only where pixels are needed
    from PIL import Image  # noqa: PLC0415 - not in the base install

    reduced = Image.fromarray(pixels).quantize(COLOURS)
    indices = np.asarray(reduced)
    palette = np.array(reduced.getpalette() or [], np.uint8).reshape(-1, 3)
    return indices, palette[: int(indices.max()) + 1]


def _encode_band(band: "NDArray[np.uint8]") -> str:
    """Return up to six rows (at most 6, W): one pass for each colour, back to the left after each, then down."""
    import numpy as np  # noqa: PLC0415 - as above

    bits = (1 << np.arange(len(band)))[:, np.newaxis]
    passes = []
    for number in np.unique(band):
        codes = EMPTY + ((band == number) * bits).sum(axis=0)  # (W,)
        passes.append(f"#{number}{_write_runs(codes.tolist())}")
    return "$".join(passes) + "-"


def _write_runs(codes: list[int]) -> str:
    runs = ((chr(code), sum(1 for _ in same)) for code, same in groupby(codes))
    return "".join(
        f"!{count}{character}" if count >= FEWEST_TO_COUNT else character * count for character, count in runs
    )
