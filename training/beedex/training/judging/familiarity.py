"""Fitting the measure of how like a photo is to the training photos: `beedex.index.familiarity`.

Shapes: N training photos, n of them drawn, F features, K directions, C families.
"""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from beedex.index.familiarity import Familiarity

__all__ = ["fit_familiarity"]

# With 32, drawn bees of types that were left out are told worse (AUROC 0.72 for 0.78), wild and studio ones a little
# better (0.58 for 0.56, 0.90 for 0.90). The file takes at most 4 MB.
MOST_DIRECTIONS = 64

# Of few photos only so many directions, as a share of them, are more than noise.
DIRECTIONS_PER_PHOTO = 0.5

# The directions are those of so many photos; all of them set the means and spreads.
MOST_DRAWN = 1000

# How far the covariance is drawn towards that of a ball, as a share. Of 100 photos in 50 directions the least spreads
# come out too small.
SHRINKAGE = 0.1

# Directions whose share of the variance is below the rounding of float32, and spreads of photos that are all the same.
SMALLEST_SHARE = 1e-7
SMALLEST_SPREAD = 1e-9


def fit_familiarity(
    features: NDArray[np.float32], labels: NDArray[np.int64], *, seed: int, most_directions: int = MOST_DIRECTIONS
) -> Familiarity:
    """Fit the measure on the features of photos that a head was trained on.

    Args:
        features: (N, F) frozen features of the photos as served, N >= 2.
        labels: (N,) families.
        seed: of which photos are drawn, where there are many.
        most_directions: K at most; with few photos there are fewer.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(features))[:MOST_DRAWN])
    mean: NDArray[np.float32] = features[drawn].mean(axis=0)
    with threadpool_limits(limits=1, user_api="blas"):
        directions = _find_directions(features[drawn] - mean, most_directions)
        within, outside = _project(features, mean, directions)  # (N, K), (N,)
        names, family_of = np.unique(labels, return_inverse=True)
        counts = np.bincount(family_of)[:, np.newaxis]
        means = np.zeros((len(names), within.shape[1]))  # (C, K)
        np.add.at(means, family_of, within)
        means /= counts
        deviations = within - means[family_of]
        whitening = _whiten(deviations)
    return Familiarity(
        mean=mean,
        directions=directions,
        whitening=whitening.astype(np.float32),
        centers=(means @ whitening.T).astype(np.float32),
        remainder=max(float(outside.mean()), SMALLEST_SPREAD),
    )


def _find_directions(centered: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """Return the main directions (K, F) of photos (n, F), rounded as they will be stored."""
    values, vectors = np.linalg.eigh((centered @ centered.T).astype(np.float64))
    first = np.argsort(-values)[: max(1, min(most, int(DIRECTIONS_PER_PHOTO * len(centered))))]
    # Of photos that are all the same there is one direction, of length 0.
    first = first[values[first] >= SMALLEST_SHARE * values.max()][: max(1, np.count_nonzero(values > 0))]
    lengths = np.sqrt(np.maximum(values[first], SMALLEST_SPREAD))
    directions = (vectors[:, first] / lengths).T.astype(np.float32) @ centered
    rounded: NDArray[np.float32] = directions.astype(np.float16).astype(np.float32)
    return rounded


def _project(
    features: NDArray[np.float32], mean: NDArray[np.float32], directions: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where photos lie in the plane (N, K), and the squared length (N,) of what it leaves of them."""
    within, outside = np.empty((len(features), len(directions))), np.empty(len(features))
    for rows in np.array_split(np.arange(len(features)), -(-len(features) // MOST_DRAWN)):
        centered = features[rows] - mean
        within[rows] = centered @ directions.T
        outside[rows] = np.square(centered).sum(axis=1, dtype=np.float64) - np.square(within[rows]).sum(axis=1)
    return within, np.maximum(outside, 0)


def _whiten(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K, K), after which deviations (N, K) have a covariance of about 1 / K: that of a ball of size 1."""
    count, dimension = deviations.shape
    covariance = deviations.T @ deviations / count
    spread = max(float(np.trace(covariance)) / dimension, SMALLEST_SPREAD)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * spread * np.eye(dimension)
    whitening: NDArray[np.float64] = np.linalg.inv(np.linalg.cholesky(shrunk)) / np.sqrt(dimension)
    return whitening
