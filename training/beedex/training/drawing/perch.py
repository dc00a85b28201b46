"""What the bee sits on: flower heads, leaves, bark, soil and stone, all in the ground's plane.

Perches are drawn without antialiasing: they are never wholly in focus, and the blur smooths them.

No perch belongs to a family: every type is drawn on every perch alike, so that none gives a type away.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from beedex.training.drawing.canvas import Floats
from beedex.training.drawing.colour import Colour, toned, varied

__all__ = ["PERCHES", "Ground", "Perch", "blotches", "draw_perch"]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The plane that the bee stands on, as the photo sees it.

    Attributes:
        size: (width, height) of the photo in pixels.
        view: (3, 3) world axes (x, y in the plane, z up) to view axes.
        origin: pixel (x, y) of the point below the bee's thorax.
        scale: pixels per mm.
    """

    size: tuple[int, int]
    view: Floats
    origin: tuple[float, float]
    scale: float

    def project(self, points: Floats) -> list[tuple[float, float]]:
        """World points (K, 3) in mm to pixels."""
        seen = points @ self.view[:2].T * self.scale + np.array(self.origin)
        return list(map(tuple, seen.tolist()))

    def reach_mm(self) -> float:
        """Half the photo's diagonal on the ground."""
        return float(np.hypot(*self.size)) / 2 / self.scale


Pen = ImageDraw.ImageDraw

PETALS: tuple[Colour, ...] = (
    (238, 236, 230), (232, 200, 84), (222, 170, 82), (172, 134, 190), (198, 122, 160), (138, 140, 196),
    (222, 186, 206), (202, 110, 98), (232, 228, 200),
)  # fmt: skip
DISCS: tuple[Colour, ...] = ((226, 172, 30), (198, 140, 26), (110, 72, 30), (160, 150, 50), (90, 45, 60))
GREENS: tuple[Colour, ...] = ((86, 128, 48), (58, 104, 44), (120, 146, 66), (70, 110, 80), (140, 150, 70))


def draw_perch(kind: str, ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    """Draw a perch on a transparent layer.

    Args:
        kind: one of `PERCHES`.
        ground: where it lies.
        rng: owned by the photo.

    Returns:
        An RGBA layer of the photo's size, and the colour it throws back at the bee.
    """
    return PERCHES[kind].draw(ground, rng)


def blotches(size: tuple[int, int], cell_px: float, rng: np.random.Generator) -> Floats:
    """Smooth noise of mean 0 and deviation about 1: (H, W); `cell_px` is the size of a blotch."""
    small = (max(2, round(size[0] / cell_px) + 1), max(2, round(size[1] / cell_px) + 1))
    noise = rng.standard_normal((small[1], small[0]), dtype=np.float32)
    field = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(field, dtype=np.float32) * 1.5


def _pick(colours: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    return varied(colours[int(rng.integers(len(colours)))], rng)


def _layer(ground: Ground) -> tuple[Image.Image, Pen]:
    image = Image.new("RGBA", ground.size)
    return image, ImageDraw.Draw(image)


def _ellipse(pen: Pen, ground: Ground, point: Floats, radius_mm: float, colour: Colour) -> None:
    ((x, y),) = ground.project(point[None, :])
    wide = radius_mm * ground.scale
    high = wide * (0.45 + 0.55 * abs(float(ground.view[2, 2])))
    pen.ellipse((x - wide, y - high, x + wide, y + high), fill=colour)


def _petal(
    pen: Pen,
    ground: Ground,
    centre: Floats,
    angle: float,
    reach: tuple[float, float, float],
    colour: Colour,
    rise: float,
) -> None:
    """A petal: `reach` is inner radius, outer radius and half width in mm; `rise` lifts its tip."""
    inner, outer, half = reach
    share = np.array([0, 0.2, 0.5, 0.8, 0.94, 1.0, 0.94, 0.8, 0.5, 0.2, 0.0], dtype=np.float32)
    breadth = np.array([0.35, 0.7, 1, 0.95, 0.6, 0.1, -0.6, -0.95, -1, -0.7, -0.35], dtype=np.float32) * half
    along = inner + (outer - inner) * share
    cos, sin = np.cos(angle), np.sin(angle)
    points = np.stack([cos * along - sin * breadth, sin * along + cos * breadth, rise * share**2], axis=1) + centre
    pen.polygon(ground.project(points.astype(np.float32)), fill=colour)
    darker = toned(colour, 0.86)
    for offset in (-0.4, 0.05, 0.45):
        line = np.stack(
            [cos * along[:5] - sin * half * offset, sin * along[:5] + cos * half * offset, rise * share[:5] ** 2],
            axis=1,
        )
        pen.line(
            ground.project((line + centre).astype(np.float32)),
            fill=darker,
            width=max(1, int(0.05 * half * ground.scale)),
        )


def _draw_disc(
    pen: Pen, ground: Ground, centre: Floats, radius: float, colour: Colour, rng: np.random.Generator
) -> None:
    """A dome of florets on the golden-angle spiral."""
    dark = toned(colour, 0.55)
    _ellipse(pen, ground, centre, radius, dark)
    count = int(np.clip(radius * ground.scale * 1.6, 60, 420))
    order = np.arange(count)
    rings, angles = radius * np.sqrt((order + 0.5) / count), order * 2.39996
    size = radius * 0.95 / np.sqrt(count)
    for ring, angle, jitter in zip(rings, angles, rng.normal(1, 0.12, count), strict=True):
        point = centre + np.array(
            [ring * np.cos(angle), ring * np.sin(angle), 0.18 * radius * (1 - (ring / radius) ** 2)]
        )
        tone = jitter * (0.74 + 0.34 * ring / radius)
        floret = toned(colour, tone)
        _ellipse(pen, ground, point, size, floret)


def _draw_daisy(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    image, pen = _layer(ground)
    petal, disc = _pick(PETALS, rng), _pick(DISCS, rng)
    radius = min(rng.uniform(10, 26), 1.5 * ground.reach_mm())
    inner = radius * rng.uniform(0.28, 0.5)
    count = int(rng.integers(10, 28))
    centre = np.array([*rng.normal(0, 0.35 * inner, 2), -0.12 * inner])
    half = radius * min(0.24, 2.6 / count)
    turn = rng.uniform(0, 2)
    for layer in range(2):
        for step in range(count):
            angle = turn + (step + 0.5 * layer) * 2 * np.pi / count + rng.normal(0, 0.05)
            reach = (0.8 * inner, radius * rng.uniform(0.88, 1.05), half * rng.uniform(0.85, 1.15))
            _petal(pen, ground, centre, angle, reach, varied(petal, rng, 0.07), rng.normal(-0.05, 0.10) * radius)
    _draw_disc(pen, ground, centre, inner, disc, rng)
    return image, disc


def _draw_dandelion(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    image, pen = _layer(ground)
    colour = _pick(PETALS, rng)
    radius = min(rng.uniform(12, 24), 1.5 * ground.reach_mm())
    centre = np.array([*rng.normal(0, 0.2 * radius, 2), -0.25 * radius])
    for ring in np.linspace(1, 0.25, 5):
        count = int(14 + 22 * ring)
        for step in range(count):
            angle = step * 2 * np.pi / count + rng.normal(0, 0.08) + ring * 9
            reach = (0.1 * radius, radius * ring * rng.uniform(0.88, 1.08), radius * rng.uniform(0.05, 0.075))
            _petal(pen, ground, centre, angle, reach, varied(colour, rng, 0.08), (1.05 - ring) * 0.3 * radius)
    return image, colour


def _draw_umbel(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    image, pen = _layer(ground)
    colour = _pick(PETALS, rng)
    reach = min(34.0, 1.15 * ground.reach_mm())
    size = float(np.clip(ground.reach_mm() * rng.uniform(0.045, 0.075), 0.8, 2.4))
    count = int(min(150, 2.1 * (reach / (3.1 * size)) ** 2 + 24))
    places = rng.uniform(-1, 1, (count, 2)) * reach
    places = places[np.hypot(*places.T) < reach]
    for place in places[np.argsort(-places[:, 1])]:
        centre = np.array([*place, rng.normal(-0.3, 0.25) * size])
        tone = varied(colour, rng, 0.08)
        for step in range(5):
            angle = step * 2 * np.pi / 5 + place[0]
            _petal(pen, ground, centre, angle, (0.1 * size, 1.5 * size, 0.55 * size), tone, 0.1 * size)
        _ellipse(pen, ground, centre, 0.34 * size, (150, 150, 60))
    return image, colour


def _draw_knapweed(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    """A thistle-like tuft of thin florets that stand up."""
    image, pen = _layer(ground)
    colour = _pick(PETALS, rng)
    radius = min(rng.uniform(9, 20), 1.3 * ground.reach_mm())
    centre = np.array([*rng.normal(0, 0.2 * radius, 2), -0.45 * radius])
    _ellipse(pen, ground, centre, 0.8 * radius, toned(colour, 0.45))
    count = 420
    angles, leans = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0.02, 1, count))
    width = max(1, int(0.035 * radius * ground.scale))
    for angle, lean in sorted(zip(angles, leans, strict=True), key=lambda each: -each[1]):
        tip = (
            np.array([np.cos(angle) * lean, np.sin(angle) * lean, 0.5 * (1 - lean**2)])
            * radius
            * rng.uniform(0.85, 1.08)
        )
        root = tip * 0.55
        tone = varied(colour, rng, 0.15)
        path = ground.project(np.stack([centre + root, centre + tip]).astype(np.float32))
        pen.line(path, fill=tone, width=width)
    return image, colour


def _draw_leaf(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    image, pen = _layer(ground)
    green = _pick(GREENS, rng)
    long, half = ground.reach_mm() * rng.uniform(1.2, 2.2), ground.reach_mm() * rng.uniform(0.5, 1.0)
    turn, centre = rng.uniform(0, 2 * np.pi), np.array([*rng.normal(0, 0.12 * ground.reach_mm(), 2), 0])
    spin = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])

    def place(x: Floats, y: Floats) -> list[tuple[float, float]]:
        flat = np.stack([x * long, y * half, -0.25 * half * np.abs(y) ** 2], axis=1)
        return ground.project((flat @ spin + centre).astype(np.float32))

    x = np.linspace(-1, 1, 40)
    edge = (1 - x**2) ** 0.6 * (1 - 0.25 * x) * (1 + 0.03 * np.sin(x * 60))
    pen.polygon(place(np.concatenate([x, x[::-1]]), np.concatenate([edge, -edge[::-1]])), fill=green)
    light = toned(green, 1.18, 12)
    width = max(2, int(0.018 * half * ground.scale))
    for start in np.linspace(-0.85, 0.75, 9):
        for side in (-1, 1):
            reach = np.linspace(0, 0.9, 6)
            pen.line(place(start + 0.28 * reach, side * reach * (1 - start**2) ** 0.6), fill=light, width=width)
    pen.line(place(x, np.zeros_like(x)), fill=light, width=3 * width)
    return _grained(image, ground, rng, 0.05), green


def _grained(image: Image.Image, ground: Ground, rng: np.random.Generator, strength: float) -> Image.Image:
    """Uneven light over a layer, its opacity kept."""
    pixels = np.asarray(image, dtype=np.float32)
    tone = 1 + strength * (blotches(ground.size, 60, rng) + 0.8 * blotches(ground.size, 7, rng))
    rgb = np.clip(pixels[..., :3] * tone[..., None], 0, 255)
    return Image.fromarray(np.concatenate([rgb, pixels[..., 3:]], axis=2).astype(np.uint8), "RGBA")


def _textured(ground: Ground, base: Colour, tone: Floats, rng: np.random.Generator) -> Image.Image:
    """An endless surface; seen flat, its far part fades into the background."""
    rgb = np.clip(np.array(base, dtype=np.float32) * np.clip(tone, 0.15, 1.9)[..., None], 0, 255)
    height = ground.size[1]
    row = np.arange(height, dtype=np.float32)[:, None]
    steep = abs(float(ground.view[2, 2]))
    far = ground.origin[1] - (0.25 + 1.6 * steep) * height * rng.uniform(0.5, 0.9)
    opacity = np.clip((row - far) / (0.12 * height) + 0.5, 0, 1) * 255 * np.ones_like(tone)
    return Image.fromarray(np.dstack([rgb, opacity]).astype(np.uint8), "RGBA")


def _draw_soil(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    base = _pick(((128, 98, 68), (150, 124, 92), (104, 82, 62), (176, 152, 116)), rng)
    size = ground.size
    tone = 1 + 0.10 * blotches(size, 80, rng) + 0.10 * blotches(size, 14, rng) + 0.06 * blotches(size, 4, rng)
    image = _textured(ground, base, tone, rng)
    pen = ImageDraw.Draw(image)
    squash = 0.4 + 0.6 * abs(float(ground.view[2, 2]))
    for _ in range(int(rng.integers(20, 90))):
        x, y, wide = rng.uniform(0, size[0]), rng.uniform(0.2 * size[1], size[1]), rng.uniform(2, 15)
        stone = varied(base, rng, 0.25)
        pen.ellipse((x - wide, y - wide * squash + 2, x + wide, y + wide * squash + 2), fill=(60, 45, 34, 255))
        pen.ellipse((x - wide, y - wide * squash, x + wide, y + wide * squash), fill=(*stone, 255))
    return image.filter(ImageFilter.GaussianBlur(0.7)), base


def _draw_bark(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    base = _pick(((112, 88, 68), (140, 118, 96), (90, 76, 66), (160, 130, 92)), rng)
    size = ground.size
    grain = blotches((size[0], max(8, size[1] // 9)), 9, rng)
    stretched = np.asarray(Image.fromarray(grain).resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    if rng.random() < 0.5:
        turned = np.asarray(
            Image.fromarray(np.ascontiguousarray(grain.T)).resize(size, Image.Resampling.BICUBIC), dtype=np.float32
        )
        stretched = turned
    cracks = np.clip(np.abs(stretched) * 2.2, 0, 1) * 0.4 + 0.62
    return _textured(ground, base, cracks + 0.10 * blotches(size, 5, rng) + 0.08 * blotches(size, 90, rng), rng), base


def _draw_stone(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, Colour]:
    base = _pick(((168, 162, 150), (140, 138, 134), (190, 176, 150), (170, 110, 84)), rng)
    size = ground.size
    tone = 1 + 0.08 * blotches(size, 120, rng) + 0.06 * blotches(size, 20, rng) + 0.05 * blotches(size, 3, rng)
    tone = np.where(blotches(size, 55, rng) > 2.0, tone * 1.18, tone)
    return _textured(ground, base, tone, rng), base


@dataclass(frozen=True, kw_only=True)
class Perch:
    """A kind of perch and how often bees are found on it."""

    draw: Callable[[Ground, np.random.Generator], tuple[Image.Image, Colour]]
    share: float


PERCHES: dict[str, Perch] = {
    "bark": Perch(draw=_draw_bark, share=0.05),
    "daisy": Perch(draw=_draw_daisy, share=0.22),
    "dandelion": Perch(draw=_draw_dandelion, share=0.10),
    "knapweed": Perch(draw=_draw_knapweed, share=0.04),
    "leaf": Perch(draw=_draw_leaf, share=0.36),
    "soil": Perch(draw=_draw_soil, share=0.07),
    "stone": Perch(draw=_draw_stone, share=0.11),
    "umbel": Perch(draw=_draw_umbel, share=0.05),
}
