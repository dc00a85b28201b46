"""Validation while a network trains: how well it finds held-out photos.

Shapes: N photos, Q held-out photos, R reference photos, D dimension.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.index.metrics import RetrievalScores, score_retrieval
from beedex.training.fitting.history import Evaluation

__all__ = ["Validation", "Validator"]

# Photos that are embedded again and again during training, at most. So many of 7,168 features take 0.15 s, about as
# long as the 25 steps between two evaluations. The standard error of a mean of 1,000 independent shares is below 0.016.
MOST_HELD_OUT = 1000
MOST_REFERENCE = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """Which photos a training holds out, to stop when it no longer gets better at them.

    Attributes:
        photos: (Q,) numbers; they are not trained on.
        reference: (R,) numbers of the photos that they are looked up among; None for all that are trained on. Photos of
            a query's own group don't count for it.
    """

    photos: NDArray[np.int64]
    reference: NDArray[np.int64] | None = None


class Validator:
    """Scores a network on held-out photos; of very many, on a random part.

    Args:
        validation: which photos.
        labels: (N,).
        groups: (N,).
        seed: of the random part.

    Attributes:
        trained: (M,) the photos that are not held out.
        queries: (Q,) the held-out photos that are looked up.

    Raises:
        ValueError: a group is on both sides, or no held-out photo has a reference photo of its family.
    """

    def __init__(self, validation: Validation, labels: NDArray[np.int64], groups: Sequence[str], *, seed: int) -> None:
        self.trained = np.setdiff1d(np.arange(len(labels)), validation.photos)
        names = np.asarray(groups)
        shared = np.intersect1d(names[validation.photos], names[self.trained])
        if len(shared):
            raise ValueError(
                f"no group may be both trained on and held out. Received: {len(shared)} such, among them {shared[0]!r}"
            )
        generator = np.random.default_rng(seed)
        reference = self.trained if validation.reference is None else validation.reference
        self.queries = _draw(validation.photos, MOST_HELD_OUT, generator)
        self._reference = _draw(reference, MOST_REFERENCE, generator)
        self._query_labels, self._labels = labels[self.queries], labels[self._reference]
        self._excluded = names[self.queries][:, np.newaxis] == names[self._reference]  # (Q, R)
        if not ((self._query_labels[:, np.newaxis] == self._labels) & ~self._excluded).any():
            raise ValueError(
                f"a held-out photo needs one of its family and of another group to be found. Received: none for "
                f"{len(self.queries)} held-out photos among {len(self._reference)} reference photos"
            )

    def evaluate(self, embed: Callable[[NDArray[np.int64]], NDArray[np.float32]], *, step: int) -> Evaluation:
        """Score a network.

        Args:
            embed: photos (n,) -> unit vectors (n, D).
            step: how many steps it was trained.

        Returns:
            Means over the held-out photos; NaN when a vector isn't finite.
        """
        scores = self.score(embed)
        if scores is None:
            return Evaluation(step=step, map_at_r=float("nan"), recall_at_1=float("nan"), standard_error=float("nan"))
        precisions = scores.average_precision_at_r[~np.isnan(scores.average_precision_at_r)]
        return Evaluation(
            step=step,
            map_at_r=float(precisions.mean()),
            recall_at_1=float(np.nanmean(scores.hit_at_1)),
            standard_error=float(precisions.std() / np.sqrt(len(precisions))),
        )

    def score(self, embed: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> RetrievalScores | None:
        """Return the (Q,) scores of `queries`; None when a vector isn't finite.

        Args:
            embed: photos (n,) -> unit vectors (n, D).
        """
        queries, reference = embed(self.queries), embed(self._reference)
        if not (np.isfinite(queries).all() and np.isfinite(reference).all()):
            return None
        return score_retrieval(queries @ reference.T, self._query_labels, self._labels, excluded=self._excluded)


def _draw(photos: NDArray[np.int64], most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    if len(photos) <= most:
        return np.asarray(photos, dtype=np.int64)
    return np.sort(generator.choice(photos, most, replace=False))
