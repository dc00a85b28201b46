"""What a batch says of the network that embedded it, in a few numbers.

Shapes: B batch, D dimension.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Observation", "effective_rank", "measure_spread", "observe_batch"]

# Singular values below this share of the rows' norms are what float32 leaves of 0.
RANK_FLOOR = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One batch, in numbers.

    Attributes:
        step: of the training.
        loss: of the batch.
        collapsed_loss: what the loss is when all embeddings are equal: the margin, or its softplus.
        active_share: of the batch's triplets, in [0, 1].
        families: in the batch.
        triplets: whether there are any: a positive pair, and another family.
        mean_distance: between all pairs of embeddings, L2.
        effective_rank: of the embeddings.
        input_spread: of what the network was fed; see `measure_spread`.
    """

    step: int
    loss: float
    collapsed_loss: float
    active_share: float
    families: int
    triplets: bool
    mean_distance: float
    effective_rank: float
    input_spread: float


def observe_batch(
    step: int,
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    loss: float,
    collapsed_loss: float,
    active_share: float,
    input_spread: float,
) -> Observation:
    """Measure a batch.

    Args:
        step: of the training.
        embeddings: (B, D).
        labels: (B,).
        loss: of the batch.
        collapsed_loss: as in `Observation`, like all that follows.
        active_share: in [0, 1].
        input_spread: at least 0.
    """
    rows = embeddings.astype(np.float64)
    families, counts = np.unique(labels, return_counts=True)
    return Observation(
        step=step,
        loss=loss,
        collapsed_loss=collapsed_loss,
        active_share=active_share,
        families=len(families),
        triplets=bool(len(families) > 1 and counts.max() > 1),
        mean_distance=_mean_distance(rows),
        effective_rank=effective_rank(rows),
        input_spread=input_spread,
    )


def effective_rank(embeddings: NDArray[np.floating[Any]]) -> float:
    """Return in how many directions the rows spread: exp of the entropy of the normalized singular values.

    Roy and Vetterli 2007, "The effective rank", EUSIPCO, definition 2.1; of the centred rows.

    Args:
        embeddings: (B, D).

    Returns:
        From 1 to min(B - 1, D); 0 where all rows are equal, NaN where a row isn't finite.

    Example:
        >>> round(effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
        2.0
    """
    if not np.isfinite(embeddings).all():
        return float("nan")
    rows = embeddings.astype(np.float64)
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    values = values[values > RANK_FLOOR * np.linalg.norm(rows)]
    if len(values) == 0:
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def measure_spread(rows: NDArray[np.float32]) -> float:
    """Return how far rows (B, ...) lie from their mean: the root of the mean squared distance."""
    flat = rows.reshape(len(rows), -1)
    return float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _mean_distance(rows: NDArray[np.float64]) -> float:
    squared = (rows**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squared[:, np.newaxis] - 2 * rows @ rows.T + squared, 0.0))  # (B, B)
    return float(distances.sum() / max(len(rows) * (len(rows) - 1), 1))
