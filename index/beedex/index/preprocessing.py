"""A decoded photo becomes the embedder's input: one path for the trainer, the indexer and the server."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from beedex.index.photos import DEFAULT_LIMITS, PhotoLimits, decode

__all__ = ["SIDE_PX", "Preprocessing", "fit", "prepare"]

SIDE_PX = 299  # InceptionV3's input, https://arxiv.org/abs/1512.00567 section 6

# Of a fine wave at 0.7 of the finest that 299 pixels can hold, 1200 pixels shrunk by Lanczos keep 95 % of the
# contrast, by bicubic 83 %, by bilinear 66 %; of one at 1.4, which could only come out as a false pattern, 5 %,
# 15 % and 15 %. Hair and wing veins are such waves. It takes 30 ms for two megapixels where bicubic takes 21.
# Of 500-pixel photos it takes 1.9 ms, bilinear 0.8, with which a build runs at 94.8 % of bare inference in place of
# 90.8; but with heads trained on bilinear features, Recall@1 on held-out wild bees fell by 0.028 (95 % 0.006 to 0.052,
# p = 0.02) and on the six types by 0.020 (0.002 to 0.040), MAP@R by 0.015 and 0.017.
RESAMPLE = Image.Resampling.LANCZOS


class Preprocessing(BaseModel):
    """What `prepare` does to a photo, as it is written into a bundle and hashed into the fingerprint.

    The fields have one value each, save the side: a bundle that asks for anything else was made by another
    version of beedex, and validation refuses it. Raise `version` with every change to a pixel that `decode` or
    `fit` returns. `model_dump_json()` is canonical: the fields always come in this order, without spaces.

    Example:
        >>> Preprocessing().model_dump()["side_px"]
        299
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    side_px: int = Field(default=SIDE_PX, ge=1)
    alpha: Literal["white"] = "white"
    resample: Literal["lanczos"] = "lanczos"
    fill: Literal["wrap"] = "wrap"
    scaling: Literal["[-1, 1], in the graph"] = "[-1, 1], in the graph"


def fit(image: NDArray[np.uint8], side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    """Fit a photo into a square: resize its long side, then repeat it along the short one.

    The aspect is kept. The short side is filled by the photo itself, from its top (a wide photo) or from its
    left (a tall one): row i of the result is row `i % h` of the resized photo. A wide result equals
    `np.resize(resized, (side, side, 3))`; a tall one equals that of the transposed photo, transposed back,
    since np.resize on the tall photo itself would shear it. A small photo is enlarged.

    Args:
        image: (H, W, 3) uint8, both sides at least 1.
        side_px: the side of the square.

    Returns:
        (side_px, side_px, 3) uint8.

    Raises:
        ValueError: the array is not (H, W, 3) uint8, or the side is not positive.

    Example:
        >>> wide = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
        >>> bool((fit(wide, 4) == np.resize(wide, (4, 4, 3))).all())
        True
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            "`image` must be uint8 of shape (H, W, 3), H and W positive. "
            f"Received: dtype={image.dtype}, shape={image.shape}"
        )
    if side_px < 1:
        raise ValueError(f"`side_px` must be positive. Received: side_px={side_px}")
    height, width = image.shape[:2]
    long_side = max(height, width)
    size = (max(1, round(width * side_px / long_side)), max(1, round(height * side_px / long_side)))
    resized: NDArray[np.uint8] = np.asarray(Image.fromarray(image).resize(size, RESAMPLE))  # (h, w, 3)
    short_axis = 0 if resized.shape[0] < side_px else 1
    repeats = -(-side_px // resized.shape[short_axis])
    # Copying whole pieces took 0.1 ms where picking rows and columns by number took 0.5.
    repeated = np.concatenate([resized] * repeats, axis=short_axis)
    square: NDArray[np.uint8] = np.ascontiguousarray(repeated[:side_px, :side_px])  # (side, side, 3)
    return square


def prepare(data: bytes, *, limits: PhotoLimits = DEFAULT_LIMITS, side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    """Decode a photo and fit it: what the embedder sees of these bytes, everywhere.

    Args:
        data: a JPEG, PNG or WebP file.
        limits: what is refused before decoding.
        side_px: the side of the embedder's input.

    Returns:
        (side_px, side_px, 3) uint8; the scaling to [-1, 1] is part of the embedder's graph.

    Raises:
        PhotoError: the photo can't be decoded or is beyond a limit.
    """
    return fit(decode(data, limits=limits, needed_side_px=side_px), side_px)
