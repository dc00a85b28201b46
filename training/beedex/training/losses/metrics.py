"""What a triplet loss saw, as Keras metrics for `model.compile(metrics=[...])`.

Each is an average over the batches since the last reset, weighted by how many triplets or pairs a batch has, so that a
batch without any doesn't count; the two extremes are averaged over the batches that have one. Of nothing they are 0.

Shapes: B batch, D dimension.
"""

from typing import Any

import keras
import tensorflow as tf

from beedex.training.losses.distances import Distance
from beedex.training.losses.statistics import TripletStatistics, measure_triplets
from beedex.training.losses.triplet import DEFAULT_MARGIN, require_distance, require_margin

__all__ = ["ActiveShare", "HardestNegative", "HardestPositive", "MeanNegativeDistance", "MeanPositiveDistance"]


class _TripletMetric(keras.metrics.Mean):
    """A mean of one of a batch's statistics.

    Args:
        distance: as for `TripletLoss`.
        name: the metric's name in logs.
        dtype: of the result; Keras's `floatx` by default.
    """

    _margin = 0.0

    def __init__(self, distance: Distance = "l2", *, name: str, dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        require_distance(distance)
        self.distance: Distance = distance

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Take a batch in.

        Args:
            y_true: (B,) or (B, 1), labels.
            y_pred: (B, D), embeddings.
            sample_weight: left out of account: a triplet has three rows.
        """
        del sample_weight
        statistics = measure_triplets(y_true, y_pred, margin=self._margin, distance=self.distance)
        value, weight = self._choose(statistics)
        super().update_state(value, sample_weight=weight)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "distance": self.distance}

    def _choose(self, statistics: TripletStatistics) -> tuple[tf.Tensor, tf.Tensor]:
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="beedex")
class ActiveShare(_TripletMetric):
    """Of all triplets, the share with d(a, p) + margin > d(a, n), whichever of them the loss mines.

    Args:
        margin: the loss's.
        distance: the loss's.
        name: the metric's name in logs.
        dtype: of the result; Keras's `floatx` by default.

    Example:
        >>> share = ActiveShare(margin=1.5)
        >>> float(share([0, 0, 1], [[0.0], [1.0], [3.0]]))
        0.5
    """

    def __init__(
        self,
        margin: float = DEFAULT_MARGIN,
        distance: Distance = "l2",
        *,
        name: str = "active_share",
        dtype: str | None = None,
    ) -> None:
        super().__init__(distance, name=name, dtype=dtype)
        require_margin(margin)
        self.margin = margin
        self._margin = margin

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "margin": self.margin}

    def _choose(self, statistics: TripletStatistics) -> tuple[tf.Tensor, tf.Tensor]:
        return statistics.active_share, statistics.triplets


@keras.saving.register_keras_serializable(package="beedex")
class MeanPositiveDistance(_TripletMetric):
    """The mean distance between two rows of a label. Args are those of `ActiveShare`, without the margin."""

    def __init__(
        self, distance: Distance = "l2", *, name: str = "mean_positive_distance", dtype: str | None = None
    ) -> None:
        super().__init__(distance, name=name, dtype=dtype)

    def _choose(self, statistics: TripletStatistics) -> tuple[tf.Tensor, tf.Tensor]:
        return statistics.mean_positive_distance, statistics.positive_pairs


@keras.saving.register_keras_serializable(package="beedex")
class MeanNegativeDistance(_TripletMetric):
    """The mean distance between rows of two labels. Args are those of `ActiveShare`, without the margin."""

    def __init__(
        self, distance: Distance = "l2", *, name: str = "mean_negative_distance", dtype: str | None = None
    ) -> None:
        super().__init__(distance, name=name, dtype=dtype)

    def _choose(self, statistics: TripletStatistics) -> tuple[tf.Tensor, tf.Tensor]:
        return statistics.mean_negative_distance, statistics.negative_pairs


@keras.saving.register_keras_serializable(package="beedex")
class HardestPositive(_TripletMetric):
    """The largest distance within a label. Args are those of `ActiveShare`, without the margin."""

    def __init__(self, distance: Distance = "l2", *, name: str = "hardest_positive", dtype: str | None = None) -> None:
        super().__init__(distance, name=name, dtype=dtype)

    def _choose(self, statistics: TripletStatistics) -> tuple[tf.Tensor, tf.Tensor]:
        return statistics.hardest_positive, tf.minimum(statistics.positive_pairs, 1.0)


@keras.saving.register_keras_serializable(package="beedex")
class HardestNegative(_TripletMetric):
    """The smallest distance between two labels. Args are those of `ActiveShare`, without the margin."""

    def __init__(self, distance: Distance = "l2", *, name: str = "hardest_negative", dtype: str | None = None) -> None:
        super().__init__(distance, name=name, dtype=dtype)

    def _choose(self, statistics: TripletStatistics) -> tuple[tf.Tensor, tf.Tensor]:
        return statistics.hardest_negative, tf.minimum(statistics.negative_pairs, 1.0)
