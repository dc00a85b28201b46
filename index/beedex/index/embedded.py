"""What one inference says of a photo; apart from the embedder, so that a search needs no OpenVINO."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EmbeddedPhoto"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedPhoto:
    """A photo's two vectors, each of unit norm.

    Attributes:
        vector: (D,) float32, that is searched with.
        features: (F,) float32 of the frozen backbone, by which it is told how familiar the photo is.
    """

    vector: NDArray[np.float32]
    features: NDArray[np.float32]
