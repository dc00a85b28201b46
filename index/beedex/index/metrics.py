"""Retrieval figures: how often the nearest photo is of the right family, and how well the rest is ranked.

Every figure is a mean over query photos with an interval from a bootstrap over groups (see `bootstrap`). Where the
cross-validation was repeated, a photo's value is its mean over the repeats: repeats are no further photos, and counting
them as such would narrow the interval falsely.

Shapes: Q queries, N reference photos, R repeats, F families.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.index.bootstrap import find_interval, find_perfect_doubt, resample
from beedex.index.figure import Figure

__all__ = [
    "FEWEST_GROUPS",
    "FamilyFigure",
    "Figure",
    "RetrievalScores",
    "average_repeats",
    "chance_recall_at_1",
    "estimate",
    "estimate_by_family",
    "estimate_macro",
    "expect_by_chance",
    "score_retrieval",
]

# A family of fewer groups is not judged: with 10 the interval of a share of 0.8 is half the scale wide, and with 3 that
# of a share of 0.6 holds the truth in 0.81 of cases instead of 0.95 (600 simulated galleries each).
FEWEST_GROUPS = 10


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """What each query reached; NaN for a query whose family has no reference photo.

    With R the number of right reference photos (https://arxiv.org/abs/2003.08505, section 3.2):

    Attributes:
        hit_at_1: (Q,) 1 where the nearest reference photo has the query's label, else 0.
        r_precision: (Q,) share of right photos among the R nearest.
        average_precision_at_r: (Q,) MAP@R's terms: precision averaged over the ranks of the right photos among the R
            nearest, those missing counting 0; at most R-precision.
    """

    hit_at_1: NDArray[np.float64]
    r_precision: NDArray[np.float64]
    average_precision_at_r: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyFigure:
    """One family's figure.

    Attributes:
        family: its name.
        figure: over its photos; NaN where none has a value.
        photos: how many have a value.
        groups: how many groups these are of.
        judged: whether that is at least `FEWEST_GROUPS`; otherwise the family is too small to judge.
    """

    family: str
    figure: Figure
    photos: int
    groups: int
    judged: bool


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
        >>> scores.hit_at_1, scores.r_precision  # right, wrong | R = 2
        (array([1.]), array([0.5]))
        >>> scores.average_precision_at_r  # (1/1 + 0) / 2
        array([0.5])
    """
    scores = RetrievalScores(*(np.full(len(query_labels), np.nan) for _ in range(3)))
    for i, label in enumerate(query_labels):
        right, farness = labels == label, -similarities[i]  # (N,)
        if excluded is not None:
            right &= ~excluded[i]
            farness[excluded[i]] = np.inf
        relevant = int(np.count_nonzero(right))
        if relevant == 0:
            continue
        first = right[_find_nearest(farness, relevant)]  # (R,)
        scores.hit_at_1[i] = first[0]
        scores.r_precision[i] = first.mean()
        scores.average_precision_at_r[i] = (np.cumsum(first) / np.arange(1, relevant + 1) * first).sum() / relevant
    return scores


def expect_by_chance(
    query_labels: NDArray[np.int64], labels: NDArray[np.int64], *, excluded: NDArray[np.bool_] | None = None
) -> RetrievalScores:
    """Return the expected scores of a ranking in random order, by query, exactly.

    With R right photos among N, a photo at any rank is right with probability p = R / N, and given that, one before it
    with q = (R - 1) / (N - 1). Hence Recall@1 and R-precision are p, and MAP@R is the mean over ranks i = 1..R of
    p (1 + (i - 1) q) / i, that is p (H + q (R - H)) / R with H the R-th harmonic number.

    Args:
        query_labels: (Q,).
        labels: (N,) of the reference photos.
        excluded: (Q, N) as for `score_retrieval`.

    Example:
        >>> labels = np.repeat(np.arange(6), 24)
        >>> by_chance = expect_by_chance(labels, labels, excluded=np.eye(144, dtype=np.bool_))
        >>> print(f"{by_chance.hit_at_1.mean():.3f} {by_chance.average_precision_at_r.mean():.3f}")
        0.161 0.047
    """
    relevant, counted = _count(query_labels, labels, excluded)  # (Q,)
    relevant[relevant == 0] = np.nan
    share = relevant / counted
    before = (relevant - 1) / np.maximum(counted - 1, 1)
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, len(labels) + 1)))[np.nan_to_num(relevant).astype(np.int64)]
    precision = share * (harmonic + before * (relevant - harmonic)) / relevant
    return RetrievalScores(share, share.copy(), precision)


def chance_recall_at_1(
    query_labels: NDArray[np.int64], labels: NDArray[np.int64], *, excluded: NDArray[np.bool_] | None = None
) -> float:
    """Return how often a reference photo drawn at random has the query's label; NaN if no query can be judged."""
    expected = expect_by_chance(query_labels, labels, excluded=excluded).hit_at_1
    judged = ~np.isnan(expected)
    return float(expected[judged].mean()) if judged.any() else float("nan")


def average_repeats(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (Q,) each photo's mean over the repeats that judged it, NaN where none did; *values* is (Q,) or (R, Q)."""
    repeats = np.atleast_2d(values)  # (R, Q)
    judged = ~np.isnan(repeats)
    counts = judged.sum(axis=0)
    sums = np.where(judged, repeats, 0.0).sum(axis=0)
    averaged: NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return averaged


def estimate(values: NDArray[np.float64], groups: Sequence[str], *, seed: int = 0) -> Figure:
    """Return the mean of *values* with a 95 % interval from a bootstrap over groups.

    Where all values are 0 or all are 1 no resampling shows a doubt: then it is Wilson's interval for as many draws as
    there are groups. So it is for a single group, to both sides.

    Args:
        values: (Q,) or (R, Q) in [0, 1]; NaN values don't count, and (R, Q) are averaged over R first.
        groups: (Q,) which queries stand and fall together.
        seed: of the resampling.
    """
    return estimate_macro(values, np.zeros(len(groups), dtype=np.int64), groups, seed=seed)


def estimate_macro(
    values: NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str], *, seed: int = 0
) -> Figure:
    """Return the mean over families of their photos' means: every family counts the same, however many photos it has.

    Groups are drawn within each family, so that none is absent from a draw; a group with photos of two families counts
    as one of each. A family without a value is left out. One of a single group adds its value, but no doubt; where all
    families are such, the families themselves are drawn. The interval of 6 families held the truth in 0.95 of 400
    simulated galleries with 25 groups each, in 0.93 with 5, in 0.89 with 3, and in 0.88 where they had 60 to 3.

    Args:
        values: (Q,) or (R, Q), as for `estimate`.
        labels: (Q,) families.
        groups: (Q,).
        seed: of the resampling.

    Example:
        >>> hits, families = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0, 0, 0, 1])
        >>> estimate_macro(hits, families, ["a", "b", "c", "d"]).value
        0.5
    """
    averaged = average_repeats(values)
    kept = ~np.isnan(averaged)
    if not kept.any():
        return Figure(value=float("nan"), low=float("nan"), high=float("nan"))
    _, family_of = np.unique(np.asarray(labels)[kept], return_inverse=True)
    _, group_of = np.unique(np.asarray(groups)[kept], return_inverse=True)
    # Numbered by family first, so that a family's groups stand side by side.
    units, unit_of = np.unique(family_of * (group_of.max() + 1) + group_of, return_inverse=True)
    sums = np.bincount(unit_of, weights=averaged[kept]).astype(np.float64)
    counts = np.bincount(unit_of).astype(np.float64)
    strata = np.bincount(units // (group_of.max() + 1))  # (F,) groups of each family
    if len(strata) == len(units):
        sums, counts, strata = sums / counts, np.ones_like(counts), np.array([len(units)])
    starts = np.append(0, np.cumsum(strata)[:-1])

    def average(multiplicities: NDArray[np.float64]) -> NDArray[np.float64]:  # (B, G) -> (B,)
        of_family = np.add.reduceat(multiplicities * sums, starts, axis=1)
        drawn = np.add.reduceat(multiplicities * counts, starts, axis=1)
        means: NDArray[np.float64] = (of_family / drawn).mean(axis=1)
        return means

    value = float(average(np.ones((1, len(units))))[0])
    if value in (0.0, 1.0) or len(units) == 1:
        doubt = find_perfect_doubt(len(units))
        return Figure(value=value, low=max(0.0, value - doubt), high=min(1.0, value + doubt))
    low, high = find_interval(resample(average, strata.tolist(), seed=seed), freedom=len(units) - len(strata))
    return Figure(value=value, low=min(low, value), high=max(high, value))


def estimate_by_family(
    values: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    families: Sequence[str],
    *,
    seed: int = 0,
) -> tuple[FamilyFigure, ...]:
    """Return each family's figure, in the order of *families*, and whether it has groups enough to be judged.

    Args:
        values: (Q,) or (R, Q), as for `estimate`.
        labels: (Q,) indices into *families*.
        groups: (Q,).
        families: (F,) names.
        seed: of the resampling.
    """
    averaged, group_names = average_repeats(values), np.asarray(groups)
    found = []
    for number, family in enumerate(families):
        own = (labels == number) & ~np.isnan(averaged)
        of_groups = len(np.unique(group_names[own]))
        found.append(
            FamilyFigure(
                family=family,
                figure=estimate(averaged[own], group_names[own].tolist(), seed=seed),
                photos=int(own.sum()),
                groups=of_groups,
                judged=of_groups >= FEWEST_GROUPS,
            )
        )
    return tuple(found)


def _find_nearest(farness: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the indices of the *count* least of *farness* (N,), in order, ties by index.

    Only what is not farther than the count-th is sorted; `tests/benchmarks/ranking.py` times it.
    """
    farthest = np.partition(farness, count - 1)[count - 1]
    near = np.flatnonzero(farness <= farthest)
    order: NDArray[np.intp] = near[np.argsort(farness[near], kind="stable")[:count]]
    return order


def _count(
    query_labels: NDArray[np.int64], labels: NDArray[np.int64], excluded: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (Q,) how many right photos each query has, and how many photos at all."""
    if excluded is None:
        names, counts = np.unique(labels, return_counts=True)
        size_of = dict(zip(names.tolist(), counts.tolist(), strict=True))
        relevant = np.array([size_of.get(label, 0) for label in query_labels.tolist()], dtype=np.float64)
        return relevant, np.full(len(query_labels), float(len(labels)))
    right = (query_labels[:, np.newaxis] == labels[np.newaxis, :]) & ~excluded  # (Q, N)
    return right.sum(axis=1).astype(np.float64), (~excluded).sum(axis=1).astype(np.float64)
