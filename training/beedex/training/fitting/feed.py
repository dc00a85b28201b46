"""The feed of a training: batches of photos, a view of each drawn at random, and the rows of both.

Shapes: N photos, M of them trained, B batch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.training.fitting.batches import Batches, BatchSummary
from beedex.training.fitting.fitconfig import FitConfig
from beedex.training.fitting.inputs import Inputs, Rows

__all__ = ["Feed"]


class Feed:
    """An endless source of batches.

    Args:
        inputs: N photos.
        labels: (N,).
        groups: (N,).
        trained: (M,) numbers of the photos to draw from.
        config: P, K and the seed.

    Attributes:
        inputs: as given.

    Raises:
        ValueError: fewer than two families of the trained photos have two groups.
    """

    def __init__(
        self,
        inputs: Inputs,
        labels: NDArray[np.int64],
        groups: Sequence[str],
        trained: NDArray[np.int64],
        config: FitConfig,
    ) -> None:
        of_batches, self._of_views = np.random.default_rng(config.seed).spawn(2)
        self.inputs = inputs
        self._labels, self._trained = labels, trained
        self._batches = Batches(
            labels[trained],
            np.asarray(groups)[trained],
            families_per_batch=config.families_per_batch,
            photos_per_family=config.photos_per_family,
            generator=of_batches,
        )
        summary = self.describe()
        if summary.families < 2:
            raise ValueError(
                "triplets need two families with photos of two groups each, "
                f"received {summary.families} such among {len(np.unique(labels[trained]))}"
            )

    def describe(self) -> BatchSummary:
        """Count photos, steps, pairs and triplets."""
        return self._batches.describe()

    def draw(self) -> tuple[Rows, NDArray[np.int64]]:
        """Return the next batch: its rows, and (B,) labels."""
        photos = self._trained[self._batches.draw()]
        views = self._of_views.integers(self.inputs.views, size=len(photos))
        return self.inputs.take(photos, views), self._labels[photos]

    def state(self) -> dict[str, Any]:
        """Return, as JSON data, where both streams of chance are."""
        return {"batches": self._batches.state(), "views": self._of_views.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of a feed that was made with the same arguments."""
        self._batches.restore(state["batches"])
        self._of_views.bit_generator.state = state["views"]
