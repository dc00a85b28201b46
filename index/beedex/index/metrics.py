"""Retrieval figures: how often the nearest photo is of the right family, and how well the rest is ranked.

Every figure is a mean over query photos with an interval from a bootstrap over *groups*: photos of one animal stand
and fall together, and drawing them one by one would make the interval too narrow.

Shapes: Q queries, N reference photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Figure", "RetrievalScores", "chance_recall_at_1", "estimate", "score_retrieval"]

BOOTSTRAP_DRAWS = 2000
INTERVAL_PERCENTILES = (2.5, 97.5)
WILSON_Z = 1.96


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A mean with its 95 % interval.

    Attributes:
        value: the mean over queries.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """What each query reached; NaN for a query whose family has no reference photo.

    Attributes:
        hit_at_1: (Q,) 1 where the nearest reference photo has the query's label, else 0.
        average_precision_at_r: (Q,) MAP@R's terms, in [0, 1]: precision averaged over the ranks of right photos
            among the first R, with R the number of right photos (https://arxiv.org/abs/2003.08505, section 3.2).
    """

    hit_at_1: NDArray[np.float64]
    average_precision_at_r: NDArray[np.float64]


def score_retrieval(
    similarities: NDArray[np.float32],
    query_labels: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    excluded: NDArray[np.bool_] | None = None,
) -> RetrievalScores:
    """Score each query's ranking of the reference photos.

    Args:
        similarities: (Q, N) cosines; larger is closer. Ties go to the lower index.
        query_labels: (Q,).
        labels: (N,) of the reference photos.
        excluded: (Q, N), true where a reference photo doesn't count for a query, such as the query itself and the
            other photos of its group.

    Example:
        >>> scores = score_retrieval(np.float32([[0.9, 0.8, 0.1]]), np.array([1]), np.array([1, 0, 1]))
        >>> scores.hit_at_1, scores.average_precision_at_r  # right, wrong | R = 2: (1/1 + 0) / 2
        (array([1.]), array([0.5]))
    """
    hits = np.full(len(query_labels), np.nan)
    precisions = np.full(len(query_labels), np.nan)
    for i, label in enumerate(query_labels):
        counted = np.flatnonzero(~excluded[i]) if excluded is not None else np.arange(len(labels))
        right = labels[counted] == label
        relevant = int(right.sum())
        if relevant == 0:
            continue
        order = np.argsort(-similarities[i, counted], kind="stable")[:relevant]
        first = right[order]
        hits[i] = first[0]
        precisions[i] = (np.cumsum(first) / np.arange(1, relevant + 1) * first).sum() / relevant
    return RetrievalScores(hits, precisions)


def chance_recall_at_1(
    query_labels: NDArray[np.int64], labels: NDArray[np.int64], *, excluded: NDArray[np.bool_] | None = None
) -> float:
    """Return how often a reference photo drawn at random has the query's label."""
    right = query_labels[:, np.newaxis] == labels[np.newaxis, :]  # (Q, N)
    counted = ~excluded if excluded is not None else np.ones_like(right)
    judged = (right & counted).any(axis=1)
    if not judged.any():
        return float("nan")
    shares = (right & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    return float(shares[judged].mean())


def estimate(values: NDArray[np.float64], groups: Sequence[str], *, seed: int = 0) -> Figure:
    """Return the mean of *values* with a 95 % interval from a bootstrap over groups.

    Where all values are 0 or all are 1 no resampling shows a doubt: then it is Wilson's interval for as many draws as
    there are groups.

    Args:
        values: (Q,); NaN values don't count.
        groups: (Q,) which queries stand and fall together.
        seed: of the resampling.
    """
    kept = ~np.isnan(values)
    if not kept.any():
        return Figure(value=float("nan"), low=float("nan"), high=float("nan"))
    _, member = np.unique(np.asarray(groups)[kept], return_inverse=True)
    sums = np.bincount(member, weights=values[kept])
    sizes = np.bincount(member)
    generator = np.random.default_rng(seed)
    value = float(values[kept].mean())
    if value in (0.0, 1.0):
        doubt = WILSON_Z**2 / (len(sums) + WILSON_Z**2)
        return Figure(value=value, low=max(0.0, value - doubt), high=min(1.0, value + doubt))
    means = np.empty(BOOTSTRAP_DRAWS)
    for i in range(BOOTSTRAP_DRAWS):
        drawn = generator.integers(len(sums), size=len(sums))
        means[i] = sums[drawn].sum() / sizes[drawn].sum()
    low, high = np.percentile(means, INTERVAL_PERCENTILES)
    return Figure(value=value, low=float(low), high=float(high))
