"""Rules that weigh families, and scores that tell photos of unknown families, for decisions.py to compare.

Shapes: Q photos asked about, N known photos, D dimension, F features, C families.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from beedex.index.decision import PHOTOS_OF_EVIDENCE, UNCALIBRATED_TEMPERATURE, soften
from beedex.training.judging.familiarity import SHRINKAGE, fit_familiarity

__all__ = ["ADJUSTED", "DEFAULT", "EVIDENCE", "FAMILIARITY", "PLAIN", "RULES", "Known", "score_unknown", "weigh"]

DEFAULT = f"mean of the {PHOTOS_OF_EVIDENCE} nearest (default)"
PLAIN = "nearest similarity"
EVIDENCE = "best evidence (default for vectors)"
FAMILIARITY = "features: familiarity"
ADJUSTED = "familiarity and evidence (default for photos)"

# Neighbors that vote.
VOTERS = 10

# Of the kernel density, in cosine.
BANDWIDTH = 0.05


@dataclass(frozen=True, kw_only=True)
class Known:
    """Photos that a head was trained on.

    Attributes:
        vectors: (N, D) of unit norm.
        features: (N, F) of unit norm.
        labels: (N,) families, each with a photo at least.
        families: C, those without a photo included.
    """

    vectors: NDArray[np.float32]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    families: int


Rule = Callable[[NDArray[np.float32], Known], NDArray[np.float64]]


def by_family(known: Known, weigh_one: Callable[[NDArray[np.bool_]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return (Q, C) of a function of each family's rows (N,); NaN for a family without a photo."""
    columns = [known.labels == family for family in range(known.families)]
    asked = len(weigh_one(columns[int(known.labels[0])]))
    return np.stack([weigh_one(own) if own.any() else np.full(asked, np.nan) for own in columns], axis=1)


def average_nearest(similarities: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Return (Q,) mean of the *count* largest of (Q, n), or of all."""
    nearest: NDArray[np.float64] = -np.sort(-similarities.astype(np.float64), axis=1)[:, :count].mean(axis=1)
    return nearest


def take_nearest(asked: NDArray[np.float32], known: Known, count: int) -> NDArray[np.float64]:
    """Weigh a family by the mean similarity of its nearest photos."""
    similarities = asked @ known.vectors.T
    return by_family(known, lambda own: average_nearest(similarities[:, own], count))


def average_family(asked: NDArray[np.float32], known: Known) -> NDArray[np.float64]:
    """Weigh a family by the similarity to the direction of its mean."""

    def weigh_one(own: NDArray[np.bool_]) -> NDArray[np.float64]:
        mean = known.vectors[own].mean(axis=0, dtype=np.float64)
        similarities: NDArray[np.float64] = asked @ mean / np.linalg.norm(mean)
        return similarities

    return by_family(known, weigh_one)


def vote(asked: NDArray[np.float32], known: Known, *, weighted: bool) -> NDArray[np.float64]:
    """Weigh a family by its share of the votes of the nearest, in logarithms, with one vote more for each."""
    similarities = asked @ known.vectors.T  # (Q, N)
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :VOTERS]
    near = np.take_along_axis(similarities, nearest, axis=1).astype(np.float64)
    weights = np.maximum(near, 0) if weighted else np.ones_like(near)
    votes = np.zeros((len(asked), known.families))
    np.add.at(votes, (np.arange(len(asked))[:, np.newaxis], known.labels[nearest]), weights)
    one = weights.mean(axis=1, keepdims=True)
    # Of equal votes the nearer family wins.
    shares = np.log((votes + one) / (weights.sum(axis=1, keepdims=True) + known.families * one))
    present = np.isin(np.arange(known.families), known.labels)
    return np.where(present, shares + 1e-6 * take_nearest(asked, known, 1), np.nan)


def smooth(asked: NDArray[np.float32], known: Known) -> NDArray[np.float64]:
    """Weigh a family by the density of its photos: the mean of their kernels, in logarithms."""
    scaled = (asked @ known.vectors.T).astype(np.float64) / BANDWIDTH
    return by_family(known, lambda own: BANDWIDTH * (logsumexp(scaled[:, own], axis=1) - np.log(own.sum())))


def measure_gaussian(asked: NDArray[np.float32], known: Known) -> NDArray[np.float64]:
    """Weigh a family by a Gaussian around its mean, of one covariance for all."""
    vectors = known.vectors.astype(np.float64)
    means = by_family(known, lambda own: vectors[own].mean(axis=0)).T  # (C, D)
    inverse = invert(vectors - means[known.labels])
    scale = 20 * vectors.shape[1]  # to temperatures that are looked for
    return np.stack([-measure(asked - mean, inverse) / scale for mean in means], axis=1)


RULES: dict[str, Rule] = {
    DEFAULT: lambda asked, known: take_nearest(asked, known, PHOTOS_OF_EVIDENCE),
    "1-NN": lambda asked, known: take_nearest(asked, known, 1),
    f"vote of the {VOTERS} nearest": lambda asked, known: vote(asked, known, weighted=False),
    f"vote of the {VOTERS} nearest, weighted": lambda asked, known: vote(asked, known, weighted=True),
    "nearest family mean": average_family,
    "mean of default and family mean": lambda asked, known: (
        (take_nearest(asked, known, PHOTOS_OF_EVIDENCE) + average_family(asked, known)) / 2
    ),
    f"kernel density, bandwidth {BANDWIDTH:g}": smooth,
    "Gaussian, one covariance": measure_gaussian,
}


def weigh(asked: NDArray[np.float32], known: Known) -> dict[str, NDArray[np.float64]]:
    """Return (Q, C) by rule."""
    return {name: rule(asked, known) for name, rule in RULES.items()}


def score_unknown(
    asked: NDArray[np.float32], features: NDArray[np.float32], known: Known
) -> dict[str, NDArray[np.float64]]:
    """Return (Q,) by score, larger for photos of known families: first of vectors (Q, D), then of features (Q, F)."""
    evidence = take_nearest(asked, known, PHOTOS_OF_EVIDENCE)
    evidence = evidence[:, ~np.isnan(evidence).all(axis=0)]
    ordered = np.sort(evidence, axis=1)
    similarities = features @ known.features.T
    in_features = by_family(known, lambda own: average_nearest(similarities[:, own], PHOTOS_OF_EVIDENCE))
    temperature = UNCALIBRATED_TEMPERATURE
    return {
        PLAIN: (asked @ known.vectors.T).max(axis=1).astype(np.float64),
        EVIDENCE: ordered[:, -1],
        "best probability": soften(evidence, temperature).max(axis=1),
        "margin of the evidence": ordered[:, -1] - ordered[:, -2],
        "energy": temperature * np.asarray(logsumexp(evidence / temperature, axis=1)),
        "features: nearest similarity": similarities.max(axis=1).astype(np.float64),
        "features: best evidence": np.nanmax(in_features, axis=1),
        **score_plane(features, known),
        "features: familiarity, 32 directions": fit_familiarity(
            known.features, known.labels, seed=0, most_directions=32
        ).measure(features),
        FAMILIARITY: fit_familiarity(known.features, known.labels, seed=0).measure(features),
    }


def score_plane(features: NDArray[np.float32], known: Known) -> dict[str, NDArray[np.float64]]:
    """Return what the parts of the familiarity tell alone, and the relative Mahalanobis distance."""
    plane = fit_familiarity(known.features, known.labels, seed=0)

    def project(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return ((rows - plane.mean) @ plane.directions.T).astype(np.float64)

    within, there = project(known.features), project(features)
    means = by_family(known, lambda own: within[own].mean(axis=0)).T  # (C, K)
    of_families, of_all = invert(within - means[known.labels]), invert(within)
    nearest = np.nanmin([measure(there - mean, of_families) for mean in means], axis=0)
    left = np.square(features - plane.mean).sum(axis=1, dtype=np.float64) - np.square(there).sum(axis=1)
    return {
        "features: distance from the plane": -left,
        "features: Mahalanobis in the plane": -nearest,
        "features: relative Mahalanobis": measure(there, of_all) - nearest,
    }


def invert(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse (K, K) of a covariance that is shrunk as that of the familiarity."""
    covariance = deviations.T @ deviations / len(deviations)
    spread = float(np.trace(covariance)) / len(covariance)
    shrunk: NDArray[np.float64] = (1 - SHRINKAGE) * covariance + SHRINKAGE * spread * np.eye(len(covariance))
    return np.asarray(np.linalg.inv(shrunk), dtype=np.float64)


def measure(deviations: NDArray[np.float64], inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (Q,) squared Mahalanobis lengths of (Q, K)."""
    lengths: NDArray[np.float64] = ((deviations @ inverse) * deviations).sum(axis=1)
    return lengths
