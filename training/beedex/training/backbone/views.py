"""Views: how a photo is varied before the frozen backbone sees it.

View 0 is the photo as it is served. View 1 is its mirror image, exactly: what a second view at test time adds can be
measured from stored features. Further views are drawn from the photo as decoded, before it is fitted into the square,
so that a crop shows what was there.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from beedex.index.photos import decode
from beedex.index.preprocessing import fit
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.weights import IMAGE_SIDE_PX

__all__ = [
    "AUGMENTATIONS",
    "FIXED_VIEWS",
    "VIEWS_VERSION",
    "Augmentation",
    "NamedAugmentation",
    "Views",
    "draw_views",
]

# Part of the key under which features are stored: raise it when a view comes out differently.
VIEWS_VERSION = 2

# The photo and its mirror image; the others are drawn.
FIXED_VIEWS = 2

# A photo whose long side is twice this or more is reduced before it is turned; half of it still has every detail that a
# fitted view can show.
TURNED_SIDE_PX = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How far drawn views may stray from the photo; each value is drawn evenly from its range.

    Attributes:
        cropped_area: share of the photo's area that is kept.
        light_factor: of brightness and, drawn again, of contrast.
        saturation_factor: of the colours' strength.
        rotation_deg: at most, either way; what turns in from outside is the photo mirrored at its edge.
        blur_px: standard deviation of the blur at most, in pixels of the fitted view.
        covered_area: share of the fitted view's area that a gray rectangle covers, at most.
    """

    cropped_area: tuple[float, float] = (1.0, 1.0)
    light_factor: tuple[float, float] = (1.0, 1.0)
    saturation_factor: tuple[float, float] = (1.0, 1.0)
    rotation_deg: float = 0.0
    blur_px: float = 0.0
    covered_area: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be drawn."""
        if not 0 < self.cropped_area[0] <= self.cropped_area[1] <= 1:
            raise ValueError(f"`cropped_area` must rise within (0, 1]. Received: cropped_area={self.cropped_area}")
        for name in ("light_factor", "saturation_factor"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"`{name}` must rise from 0 or more. Received: {name}={(low, high)}")
        for name, most in (("rotation_deg", 180.0), ("blur_px", 10.0), ("covered_area", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"`{name}` must lie in [0, {most:g}]. Received: {name}={getattr(self, name)}")


NamedAugmentation = Literal["none", "light", "strong"]

# Colours change little even in the strong one: they tell families apart. The animal fills a field photo's middle, and
# crops below the light one's begin to lose it.
AUGMENTATIONS: dict[NamedAugmentation, Augmentation] = {
    "none": Augmentation(),
    "light": Augmentation(cropped_area=(0.6, 1.0), light_factor=(0.75, 1.3), saturation_factor=(0.85, 1.15)),
    "strong": Augmentation(
        cropped_area=(0.3, 1.0),
        light_factor=(0.6, 1.5),
        saturation_factor=(0.7, 1.3),
        rotation_deg=20.0,  # a bee on a flower has no upright
        blur_px=1.5,  # it moves, and lenses focus on the flower
        covered_area=0.1,  # petals and leaves stand before it
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """Which views of a photo the network sees.

    Attributes:
        count: V, at least 1: the photo as it is served, its mirror image, then drawn ones.
        seed: of the drawn ones.
        augmentation: of the drawn ones.

    Raises:
        ValueError: there is no view, or the augmentation changes nothing and drawn views would repeat the photo.
    """

    count: int
    seed: int = 0
    augmentation: Augmentation = field(default_factory=lambda: AUGMENTATIONS["light"])

    def __post_init__(self) -> None:
        """Refuse what would be no view or a repeated one."""
        if self.count < 1:
            raise ValueError(f"`count` of views must be at least 1. Received: count={self.count}")
        if self.count > FIXED_VIEWS and self.augmentation == AUGMENTATIONS["none"]:
            raise ValueError(
                f"without augmentation a photo has {FIXED_VIEWS} views, itself and its mirror image; ask for fewer or "
                f"for an augmentation of {', '.join(get_args(NamedAugmentation)[1:])}. Received: count={self.count}"
            )

    def draw(self, photo: PhotoSource) -> list[NDArray[np.uint8]]:
        """Return the photo's views, V of (299, 299, 3) uint8.

        Raises:
            PhotoError: it can't be read.
            TrainingError: it is another photo by now.
        """
        image = decode(photo.read(), needed_side_px=IMAGE_SIDE_PX)
        # Chance depends on the photo's bytes and the seed alone: neither order nor neighbors change a view.
        generator = np.random.default_rng([self.seed, int(photo.sha256[:16], 16)])
        return draw_views(image, IMAGE_SIDE_PX, self, generator)


def draw_views(
    image: NDArray[np.uint8], side_px: int, views: Views, generator: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Return a photo's views, in order: the first ones don't depend on how many follow.

    Args:
        image: (H, W, 3) uint8, as `decode` returns it.
        side_px: S.
        views: how many, and how the drawn ones vary; its seed is not looked at.
        generator: the only source of chance.

    Returns:
        V of (S, S, 3) uint8.
    """
    served = fit(image, side_px)
    mirrored = np.ascontiguousarray(served[:, ::-1])
    drawn = (_draw_view(image, side_px, generator, views.augmentation) for _ in range(views.count - FIXED_VIEWS))
    return [served, mirrored, *drawn][: views.count]


def _draw_view(
    image: NDArray[np.uint8], side_px: int, generator: np.random.Generator, augmentation: Augmentation
) -> NDArray[np.uint8]:
    """Crop, mirror, turn, relight, blur and cover a photo at random, and fit it."""
    view = Image.fromarray(_crop(_turn(image, generator, augmentation), generator, augmentation))
    view = ImageEnhance.Brightness(view).enhance(generator.uniform(*augmentation.light_factor))
    view = ImageEnhance.Contrast(view).enhance(generator.uniform(*augmentation.light_factor))
    view = ImageEnhance.Color(view).enhance(generator.uniform(*augmentation.saturation_factor))
    fitted = fit(np.asarray(view), side_px)
    if augmentation.blur_px:
        blur = ImageFilter.GaussianBlur(generator.uniform(0, augmentation.blur_px))
        fitted = np.asarray(Image.fromarray(fitted).filter(blur))
    return _cover(fitted, generator, augmentation)


def _turn(image: NDArray[np.uint8], generator: np.random.Generator, augmentation: Augmentation) -> NDArray[np.uint8]:
    """Turn a photo about its middle, keeping its shape."""
    if not augmentation.rotation_deg:
        return image
    # A JPEG comes reduced from `decode`; turning a large PNG whole would take a gigabyte.
    if (factor := max(image.shape[:2]) // TURNED_SIDE_PX) > 1:
        image = np.asarray(Image.fromarray(image).reduce(factor))
    degrees = generator.uniform(-augmentation.rotation_deg, augmentation.rotation_deg)
    height, width = image.shape[:2]
    # No corner comes from further outside than the longer half side.
    margin = max(height, width) // 2 + 1
    padded = Image.fromarray(np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric"))
    turned = padded.rotate(degrees, Image.Resampling.BICUBIC)
    return np.asarray(turned.crop((margin, margin, margin + width, margin + height)))


def _crop(image: NDArray[np.uint8], generator: np.random.Generator, augmentation: Augmentation) -> NDArray[np.uint8]:
    """Cut out a part of the photo's shape, and mirror it or not."""
    height, width = image.shape[:2]
    side_share = float(np.sqrt(generator.uniform(*augmentation.cropped_area)))
    crop_height, crop_width = max(1, round(height * side_share)), max(1, round(width * side_share))
    top = int(generator.integers(height - crop_height + 1))
    left = int(generator.integers(width - crop_width + 1))
    cropped = image[top : top + crop_height, left : left + crop_width]
    return np.ascontiguousarray(cropped[:, ::-1] if generator.random() < 0.5 else cropped)


def _cover(view: NDArray[np.uint8], generator: np.random.Generator, augmentation: Augmentation) -> NDArray[np.uint8]:
    """Lay a rectangle of the view's mean colour somewhere on it (DeVries and Taylor 2017, arXiv 1708.04552)."""
    if not augmentation.covered_area:
        return view
    side = view.shape[0]
    area_px = generator.uniform(0, augmentation.covered_area) * side**2
    stretch = float(np.exp(generator.uniform(-0.5, 0.5)))
    height = min(side, max(1, round(np.sqrt(area_px) * stretch)))
    width = min(side, max(1, round(np.sqrt(area_px) / stretch)))
    top, left = int(generator.integers(side - height + 1)), int(generator.integers(side - width + 1))
    covered = view.copy()
    covered[top : top + height, left : left + width] = view.mean(axis=(0, 1)).astype(np.uint8)
    return covered
