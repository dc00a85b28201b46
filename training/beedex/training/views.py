"""Views: how a photo is varied before the frozen backbone sees it.

A view is drawn from the photo as decoded, before it is fitted into the square, so that a crop shows what was there.
Colours are changed little: they tell families apart.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from beedex.index.preprocessing import fit

__all__ = ["VIEWS_VERSION", "draw_view"]

# Part of the key under which features are cached: raise it when a view comes out differently.
VIEWS_VERSION = 1

# Of the photo's area; the animal fills a field photo's middle, and smaller crops lose it.
CROPPED_AREA = (0.6, 1.0)
LIGHT_FACTOR = (0.75, 1.3)
SATURATION_FACTOR = (0.85, 1.15)


def draw_view(image: NDArray[np.uint8], side_px: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Crop, mirror and relight a photo at random, then fit it.

    Args:
        image: (H, W, 3) uint8, as `decode` returns it.
        side_px: S.
        generator: the only source of chance.

    Returns:
        (S, S, 3) uint8.
    """
    height, width = image.shape[:2]
    side_share = float(np.sqrt(generator.uniform(*CROPPED_AREA)))
    crop_height, crop_width = max(1, round(height * side_share)), max(1, round(width * side_share))
    top = int(generator.integers(height - crop_height + 1))
    left = int(generator.integers(width - crop_width + 1))
    cropped = image[top : top + crop_height, left : left + crop_width]
    if generator.random() < 0.5:
        cropped = cropped[:, ::-1]
    view = Image.fromarray(np.ascontiguousarray(cropped))
    view = ImageEnhance.Brightness(view).enhance(generator.uniform(*LIGHT_FACTOR))
    view = ImageEnhance.Contrast(view).enhance(generator.uniform(*LIGHT_FACTOR))
    view = ImageEnhance.Color(view).enhance(generator.uniform(*SATURATION_FACTOR))
    return fit(np.asarray(view), side_px)
