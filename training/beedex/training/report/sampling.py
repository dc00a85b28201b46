"""Choosing some photos of many, so that small families are not lost among large ones."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["sample_evenly"]


def sample_evenly(labels: NDArray[np.int64], limit: int, *, kept: Iterable[int] = ()) -> NDArray[np.int64]:
    """Return at most *limit* numbers in rising order, as many of each family as its size allows.

    Args:
        labels: (N,) families.
        limit: how many.
        kept: taken before all others.

    Example:
        >>> sample_evenly(np.array([0, 0, 0, 0, 0, 0, 1, 1]), 4).tolist()
        [2, 4, 6, 7]
    """
    if len(labels) <= limit:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(0).permutation(len(labels))  # (N,)
    turn = np.empty(len(labels), dtype=np.int64)  # a photo's place in its family's queue
    for label in np.unique(labels):
        queue = shuffled[labels[shuffled] == label]
        turn[queue] = np.arange(len(queue))
    turn[list(kept)] = -1
    order = np.lexsort((labels, turn))
    return np.sort(order[:limit])
