"""What a network is fed: any store of views of photos that gives the rows of a batch.

Shapes: N photos, M of them trained, V views, B batch, F features, S directions.
"""

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from beedex.training.backbone.features import HELD_BYTES, Features
from beedex.training.fitting.standardization import Standardization, fit_standardization

__all__ = ["Inputs", "Rows", "StandardizedInputs", "embed_photos", "first_rows"]

# A batch for the network: one array, or several for a network with several inputs; (B, ...) each.
Rows = NDArray[np.float32] | tuple[NDArray[np.float32], ...]

# Photos whose vectors are computed at once: features of 21,600 numbers take 11 MB, activations of 17 x 17 x 768 114 MB.
PHOTOS_AT_ONCE = 128


class Inputs(Protocol):
    """Views of photos, as `beedex.training.backbone.features.Features` has them."""

    @property
    def views(self) -> int:
        """V, at least 1; view 0 is the photo as it is served."""
        ...

    def take(self, photos: NDArray[np.int64], views: NDArray[np.int64], /) -> Rows:
        """Return the rows of photos (B,) in views (B,)."""
        ...


class StandardizedInputs:
    """Features as a head takes them: turned once where that is little, and batch by batch where it isn't.

    Args:
        source: of (B, F) features.
        standardization: of the features.

    Attributes:
        standardization: as given.
    """

    def __init__(self, source: Features, standardization: Standardization) -> None:
        self._source, self.standardization = source, standardization
        self._held: NDArray[np.float32] | None = None  # (N, V, S)
        if 4 * source.photos * source.views * standardization.dimension <= HELD_BYTES:
            rows = np.concatenate([standardization.apply(chunk) for chunk in source.chunks()])  # (N V, S)
            self._held = rows.reshape(source.photos, source.views, -1)

    @classmethod
    def fit(cls, source: Features, trained: NDArray[np.int64]) -> Self:
        """Standardize by the features of the photos that are trained on, (M,) numbers."""
        return cls(source, fit_standardization(source.subset(trained)))

    @property
    def views(self) -> int:
        """V."""
        return int(self._source.views)

    def take(self, photos: NDArray[np.int64], views: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Return (B, S)."""
        if self._held is not None:
            held: NDArray[np.float32] = self._held[photos, views]
            return held
        return self.standardization.apply(self._source.take(photos, views))


def first_rows(rows: Rows) -> NDArray[np.float32]:
    """Return a batch's only array, or its first."""
    return rows[0] if isinstance(rows, tuple) else rows


def embed_photos(
    embed: Callable[[Rows], NDArray[np.float32]], inputs: Inputs, photos: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the vectors (n, D) of photos (n,) as they are served, a few photos at a time.

    Args:
        embed: rows (B, ...) -> (B, D).
        inputs: to take view 0 from.
        photos: at least one.
    """
    parts = [photos[start : start + PHOTOS_AT_ONCE] for start in range(0, len(photos), PHOTOS_AT_ONCE)]
    return np.concatenate([embed(inputs.take(part, np.zeros_like(part))) for part in parts])
