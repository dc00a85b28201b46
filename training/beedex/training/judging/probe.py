"""The linear probe: how far a linear classifier on the frozen features gets, the baseline that a head has to beat.

Multinomial logistic regression with an L2 penalty on standardised features (as in Kornblith et al. 2019,
https://arxiv.org/abs/1805.08974), by scikit-learn. Its strength is chosen by cross-validation by group among the
training photos alone.

There are many times more features than photos, but the penalised weights lie in the span of the photos (the
representer theorem), so that fitting on the photos' coordinates in that span gives the very same classifier at a cost
of N^2 F. It is a rotation, no reduction: nothing is lost.

Shapes: N training photos, Q photos asked about, F features, C families, S dimensions of the span.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from beedex.training.errors import TrainingError
from beedex.training.folds import assign_folds

__all__ = ["Probe", "fit_probe"]

# Penalties tried, as a share of the mean loss: C in scikit-learn is 1 / (strength N), and photos are scaled to a mean
# squared length of 1. From one that leaves every family as likely as another to one that fits every photo.
STRENGTHS = tuple(np.geomspace(0.1, 1e-6, 11).tolist())
FOLDS = 5

# Used where no photo can be held out, such as with one group a family.
FALLBACK_STRENGTH = 1e-3

# The span's N x N matrix is decomposed up to here, and the strength is chosen on so many photos, drawn by group.
MOST_SPANNED = 1000

# Directions whose share of the variance is below the rounding of float32.
SMALLEST_SHARE = 1e-7

MOST_STEPS = 1000

# Largest gradient at which a fit is done: in the span, a probability is then within 0.01 of the optimum's.
EXACT = 1e-6
QUICK = 1e-4


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A fitted probe; an affine map of raw features.

    Attributes:
        classes: (C,) the labels that it knows, sorted: those of its training photos.
        weights: (F, C).
        biases: (C,).
        strength: the penalty that was chosen.
    """

    classes: NDArray[np.int64]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]
    strength: float

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (Q, C) probabilities of `classes` for (Q, F) features, prepared as the training photos' were."""
        rows: NDArray[np.float32] = softmax(features @ self.weights + self.biases, axis=1)
        return rows

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (Q,) the likeliest label of each."""
        chosen: NDArray[np.int64] = self.classes[np.argmax(features @ self.weights + self.biases, axis=1)]
        return chosen

    def judge(self, features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (Q,) 1 where the likeliest label is right, else 0; NaN for labels that the probe doesn't know.

        So it is for a look-up, which can't find a family without a reference photo either.
        """
        return np.where(np.isin(labels, self.classes), self.predict(features) == labels, np.nan)


def fit_probe(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: Sequence[str], *, seed: int = 0
) -> Probe:
    """Fit a linear probe.

    Args:
        features: (N, F) of the training photos, and of no other.
        labels: (N,).
        groups: (N,); no group is divided when the strength is chosen.
        seed: of the folds.

    Raises:
        TrainingError: there are fewer than two families.

    Example:
        >>> features = np.float32([[0, 1], [0, 2], [1, 0], [2, 0]])
        >>> probe = fit_probe(features, np.array([3, 3, 8, 8]), list("abcd"))
        >>> probe.predict(np.float32([[0, 3], [3, 0]]))
        array([3, 8])
    """
    if len(np.unique(labels)) < 2:
        raise TrainingError(
            f"a probe tells families apart, expected photos of at least two, received {len(np.unique(labels))}; "
            "add photos of another family"
        )
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    scale *= np.sqrt(features.shape[1], dtype=np.float32)
    standardised = (features - mean) / scale  # (N, F)
    drawn = _draw_some(labels, groups, seed)
    names = [group for group, kept in zip(groups, drawn, strict=True) if kept]
    coordinates, _ = _find_span(standardised[drawn])
    # On matrices this small, threads wait for each other: one is up to 20 times as fast where the cores are busy.
    with threadpool_limits(1):
        strength = _choose_strength(coordinates, labels[drawn], names, seed)
    coordinates, basis = _find_span(standardised)
    spanned = basis is not None
    with threadpool_limits(1 if spanned else None):
        model = LogisticRegression(
            C=1 / (strength * len(labels)), max_iter=MOST_STEPS, tol=EXACT if spanned else QUICK
        ).fit(coordinates, labels)
    weights, biases = _read_maps(model)
    weights = (basis @ weights if basis is not None else weights) / scale[:, np.newaxis]
    return Probe(
        classes=model.classes_.astype(np.int64),
        weights=weights.astype(np.float32),
        biases=(biases - mean @ weights).astype(np.float32),
        strength=strength,
    )


def _draw_some(labels: NDArray[np.int64], groups: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Return (N,) which photos the strength is chosen on: all, or whole groups of about `MOST_SPANNED` photos."""
    parts = -(-len(labels) // MOST_SPANNED)
    if parts == 1:
        return np.ones(len(labels), dtype=np.bool_)
    drawn: NDArray[np.bool_] = assign_folds(labels, groups, folds=parts, seed=seed) == 0
    return drawn


def _find_span(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float32] | NDArray[np.float64], NDArray[np.float32] | None]:
    """Return the photos' coordinates (N, S) in their span and its orthonormal basis (F, S).

    Where that costs more than it saves, the rows themselves and None.
    """
    if len(rows) >= rows.shape[1] or len(rows) > MOST_SPANNED:
        return rows, None
    variances, directions = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    kept = variances > SMALLEST_SHARE * variances[-1]
    lengths = np.sqrt(variances[kept])
    coordinates = directions[:, kept] * lengths  # (N, S)
    return coordinates, rows.T @ (directions[:, kept] / lengths).astype(np.float32)  # (F, S)


def _choose_strength(
    rows: NDArray[np.float32] | NDArray[np.float64], labels: NDArray[np.int64], groups: Sequence[str], seed: int
) -> float:
    """Return the strength under which held-out photos' families are likeliest."""
    fold_of = assign_folds(labels, groups, folds=FOLDS, seed=seed)
    losses, judged = np.zeros(len(STRENGTHS)), 0
    for fold in range(FOLDS):
        known = fold_of != fold
        held_out = ~known & np.isin(labels, labels[known])
        if not held_out.any() or len(np.unique(labels[known])) < 2:
            continue
        judged += 1
        for i, strength in enumerate(STRENGTHS):
            model = LogisticRegression(C=1 / (strength * known.sum()), max_iter=MOST_STEPS)
            model.fit(rows[known], labels[known])
            weights, biases = _read_maps(model)
            likely = log_softmax(rows[held_out] @ weights + biases, axis=1)
            losses[i] -= likely[np.arange(len(likely)), np.searchsorted(model.classes_, labels[held_out])].sum()
    return STRENGTHS[int(np.argmin(losses))] if judged else FALLBACK_STRENGTH


def _read_maps(model: LogisticRegression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (S, C) and biases (C,); of two families scikit-learn keeps only the second's."""
    weights, biases = np.asarray(model.coef_).T, np.asarray(model.intercept_)
    if weights.shape[1] == 1:
        return np.hstack([np.zeros_like(weights), weights]), np.append(0.0, biases)
    return weights, biases
