"""What lies out of focus: the garden behind the perch, and now and then a petal before the bee."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from beedex.training.drawing.colour import Colour, varied

__all__ = ["draw_backdrop", "draw_occluder"]

# Foliage in sun and shade, dry grass, sky, soil, a lawn.
GARDENS: tuple[tuple[Colour, ...], ...] = (
    ((70, 104, 44), (38, 62, 30), (120, 150, 74), (160, 176, 96)),
    ((92, 120, 62), (150, 168, 110), (60, 84, 52), (206, 204, 150)),
    ((150, 134, 88), (186, 170, 120), (108, 96, 60), (124, 132, 80)),
    ((150, 184, 214), (196, 214, 226), (120, 150, 120), (104, 140, 160)),
    ((92, 76, 58), (134, 112, 84), (64, 58, 48), (96, 110, 70)),
    ((30, 40, 30), (50, 64, 44), (24, 28, 26), (84, 96, 60)),
)
BLOSSOMS: tuple[Colour, ...] = (
    (250, 220, 70), (236, 236, 230), (190, 120, 200), (220, 100, 140), (120, 130, 220), (240, 150, 60),
)  # fmt: skip

# Nothing behind the perch is sharper than this share of the photo, so it is drawn that much smaller.
REDUCTION = 6


def draw_backdrop(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """An RGB picture of the photo's size: blurred foliage, blossoms and bokeh discs."""
    garden = GARDENS[int(rng.integers(len(GARDENS)))]
    small = (size[0] // REDUCTION + 1, size[1] // REDUCTION + 1)
    image = Image.new("RGB", small, garden[0])
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(18, 46))):
        x, y, wide = rng.uniform(0, small[0]), rng.uniform(0, small[1]), rng.uniform(0.04, 0.28) * small[0]
        pen.ellipse(
            (x - wide, y - wide, x + wide, y + wide), fill=varied(garden[int(rng.integers(len(garden)))], rng, 0.15)
        )
    for _ in range(int(rng.integers(0, 6))):
        start, end = rng.uniform(0, small[0], 2)
        pen.line((start, small[1], end, 0), fill=varied(garden[2], rng, 0.15), width=int(rng.integers(1, 5)))
    blossom = BLOSSOMS[int(rng.integers(len(BLOSSOMS)))]
    for _ in range(int(rng.poisson(1.2))):
        x, y, wide = rng.uniform(0, small[0]), rng.uniform(0, small[1]), rng.uniform(0.03, 0.10) * small[0]
        pen.ellipse((x - wide, y - wide, x + wide, y + wide), fill=varied(blossom, rng, 0.15))
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(2.0, 6.0))))
    if rng.random() < 0.3:
        image = _add_bokeh(image, rng)
    return image.resize(size, Image.Resampling.BICUBIC)


def _add_bokeh(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Bright discs where light falls through leaves."""
    shine = Image.new("RGB", image.size)
    pen = ImageDraw.Draw(shine)
    wide = rng.uniform(0.02, 0.06) * image.size[0]
    for _ in range(int(rng.integers(4, 16))):
        x, y = rng.uniform(0, image.size[0]), rng.uniform(0, image.size[1])
        pen.ellipse((x - wide, y - wide, x + wide, y + wide), fill=varied((74, 78, 58), rng, 0.15))
    soft = shine.filter(ImageFilter.GaussianBlur(0.8))
    total = np.asarray(image, dtype=np.uint16) + np.asarray(soft, dtype=np.uint16)
    return Image.fromarray(np.minimum(total, 255).astype(np.uint8))


def draw_occluder(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A blurred leaf or petal that reaches in from an edge: RGBA of the photo's size."""
    small = (size[0] // 3, size[1] // 3)
    colour = (BLOSSOMS + GARDENS[0] + GARDENS[1])[int(rng.integers(len(BLOSSOMS) + 8))]
    image = Image.new("RGBA", small, (*colour, 0))
    angle = rng.uniform(0, 2 * np.pi)
    outward = np.array([np.cos(angle), np.sin(angle)])
    middle = np.array(small) / 2
    root = middle + outward * 0.75 * max(small)
    tip = middle + outward * rng.uniform(0.10, 0.24) * max(small)
    across = np.array([-outward[1], outward[0]]) * rng.uniform(0.06, 0.14) * max(small)
    corners = [root + across, tip + (root - tip) * 0.3 + across, tip, tip + (root - tip) * 0.3 - across, root - across]
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=(*varied(colour, rng, 0.15), 235))
    blurred = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.5, 4))))
    return blurred.resize(size, Image.Resampling.BILINEAR)
