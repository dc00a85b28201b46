"""The contact sheet: a few photos of every family on one picture, for a person to look at."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from beedex.index.durable import replace_file
from beedex.index.errors import GalleryError
from beedex.training.drawing.marks import FAMILIES

__all__ = ["draw_contact_sheet"]

CELL_PX = 240
GAP_PX = 6
LABEL_PX = 26
PAPER, INK = (246, 245, 240), (40, 38, 34)


def draw_contact_sheet(gallery: Path, sheet: Path, *, columns: int = 8) -> None:
    """Draw the first photos of each family, one family a row, as a PNG.

    Args:
        gallery: a drawn gallery.
        sheet: the PNG to write.
        columns: photos of each family at most.

    Raises:
        GalleryError: the gallery has no photos of the six types.
    """
    rows = {family: sorted((gallery / family).glob("*.jpg"))[:columns] for family in FAMILIES}
    widest = max(len(photos) for photos in rows.values())
    if not widest:
        raise GalleryError(f"no photos of {', '.join(FAMILIES)} in {gallery}; draw a gallery there first")
    step = CELL_PX + GAP_PX
    image = Image.new("RGB", (widest * step + GAP_PX, len(rows) * (step + LABEL_PX) + GAP_PX), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=18)
    for row, (family, photos) in enumerate(rows.items()):
        top = GAP_PX + row * (step + LABEL_PX)
        pen.text((GAP_PX + 2, top + 2), family, fill=INK, font=font)
        for column, photo in enumerate(photos):
            image.paste(_crop(photo), (GAP_PX + column * step, top + LABEL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    replace_file(sheet, buffer.getvalue())


def _crop(photo: Path) -> Image.Image:
    """The middle square of a photo."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
