"""How like a photo is to those that an embedder was trained on, by the frozen backbone's features.

A head that was trained to tell six families apart forgets what doesn't help with it, and puts a carton of milk as near
to a bumblebee as another bumblebee: the best evidence doesn't part wild bees from things that are no bees (AUROC 0.52).
The features before the head still do (0.99); `tests/benchmarks/decisions.py` prints both.

The measure is a Gaussian with one mean a family and a common covariance (Lee et al. 2018,
https://arxiv.org/abs/1807.03888) in the plane of the training photos' main directions, together with what lies outside
of that plane, as in probabilistic principal components (Tipping and Bishop 1999,
https://doi.org/10.1111/1467-9868.00196). The first, squared, is divided by the number of directions, the second by its
mean over the training photos, and both count the same. The first alone overlooks what is foreign in directions that no
training photo varies in; the second alone finds any plain photo familiar.

Shapes: Q photos, F features, K directions, C families.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAMILIARITY_NAME", "Familiarity"]

FAMILIARITY_NAME = "familiarity.npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Familiarity:
    """A measure that `beedex.training` fits; 2 to 4 MB on disk.

    Attributes:
        mean: (F,) of the training photos' features.
        directions: (K, F) orthonormal but for their rounding to float16, as they are stored.
        whitening: (K, K), after which photos of a family are spread like a ball of size 1 around its mean.
        centers: (C, K) the families' means, whitened.
        remainder: mean squared length of what the directions leave of a training photo.

    Example:
        >>> plane = Familiarity(
        ...     mean=np.zeros(3, np.float32),
        ...     directions=np.eye(3, dtype=np.float32)[:1],
        ...     whitening=np.float32([[2]]),
        ...     centers=np.float32([[1], [-1]]),
        ...     remainder=0.25,
        ... )
        >>> plane.measure(np.float32([[0.5, 0, 0], [1, 0, 0], [0.5, 0.5, 0]])).round(2)
        array([1.  , 0.67, 0.67])
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    whitening: NDArray[np.float32]
    centers: NDArray[np.float32]
    remainder: float

    def measure(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return (Q,) familiarities in (0, 1] of photos with frozen features (Q, F): larger is more familiar.

        With d the mean of a photo's two parts, somewhat below 1 for training photos, it is 1 / (1 + d).

        Raises:
            ValueError: the features are of another dimension.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(
                f"`features` must be (photos, {len(self.mean)}), of the embedder that this was fitted for. "
                f"Received: shape={features.shape}"
            )
        centered = features - self.mean  # (Q, F)
        within = centered @ self.directions.T  # (Q, K)
        whitened = (within @ self.whitening.T).astype(np.float64)  # (Q, K)
        # scipy's cdist takes a tenth of a second to import; there are as many centers as families.
        nearest = np.min([np.square(whitened - center).sum(axis=1) for center in self.centers], axis=0)  # (Q,)
        lengths = np.square(centered).sum(axis=1, dtype=np.float64)
        outside = np.maximum(lengths - np.square(within).sum(axis=1, dtype=np.float64), 0)
        familiarities: NDArray[np.float64] = 1 / (1 + (nearest + outside / self.remainder) / 2)
        return familiarities

    def save(self, path: Path) -> None:
        """Write it as arrays without a pickle; the same measure gives the same bytes."""
        np.savez(
            path,
            mean=self.mean,
            directions=self.directions.astype(np.float16),
            whitening=self.whitening,
            centers=self.centers,
            remainder=np.float64(self.remainder),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: it is no such file.
            OSError: it can't be read.
        """
        try:
            # numpy leaves a file open that it can't read
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return cls(
                    mean=stored["mean"],
                    directions=stored["directions"].astype(np.float32),
                    whitening=stored["whitening"],
                    centers=stored["centers"],
                    remainder=float(stored["remainder"]),
                )
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no familiarity measure: {error}") from error
