"""Pictures out of half blocks: the upper half of a cell in the character's colour, the lower in the background's."""

from typing import TYPE_CHECKING

from rich.color import Color
from rich.style import Style
from rich.text import Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["draw_blocks"]

UPPER_HALF = "▀"


def draw_blocks(pixels: "NDArray[np.uint8]", *, columns: int, rows: int) -> list[Text]:
    """Return *rows* lines of *columns* cells that show (H, W, 3) pixels, H at most 2 x rows and W at most columns."""
    lines = []
    for row in range(rows):
        line = Text()
        for upper, lower in zip(pixels[2 * row : 2 * row + 1].tolist(), _lower_rows(pixels, row), strict=False):
            for above, below in zip(upper, lower, strict=True):
                background = Color.from_rgb(*below) if below is not None else None
                line.append(UPPER_HALF, Style(color=Color.from_rgb(*above), bgcolor=background))
        line.append(" " * (columns - len(line)))
        lines.append(line)
    return lines


def _lower_rows(pixels: "NDArray[np.uint8]", row: int) -> list[list[list[int] | None]]:
    """Return the row of pixels below, in a list; nothing is below the last one of an odd height."""
    below: list[list[list[int] | None]] = pixels[2 * row + 1 : 2 * row + 2].tolist()
    return below or [[None] * pixels.shape[1]]
