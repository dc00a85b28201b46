"""The two triplet losses of TensorFlow Addons, which ended with Keras 2, with their signatures.

The formulas are those of `tensorflow_addons.losses.triplet`, with these differences on purpose
(https://github.com/tensorflow/addons/blob/master/tensorflow_addons/losses/triplet.py):

* a batch without a pair of a label gives 0 with a gradient of 0; Addons' semi-hard loss gives NaN there;
* an anchor without a positive or without a negative adds nothing and isn't averaged over. Addons' hard loss takes a
  lone anchor for its own positive, and both give a batch of one label a loss about the size of the margin;
* the soft margin is finite at any distance; Addons' overflows from a difference of about 89 on;
* distances are summed in float64, so rows that almost coincide keep theirs;
* the result is of the loss's dtype, float32 by default, where Addons' is of the embeddings'.

Shapes: B batch, D dimension.
"""

from collections.abc import Callable
from typing import Any, Self

import keras
import tensorflow as tf

from beedex.training.losses.batch import read_batch
from beedex.training.losses.distances import Distance, pairwise_distances
from beedex.training.losses.mining import Mining, average_triplets
from beedex.training.losses.pairs import find_pairs
from beedex.training.losses.triplet import BatchLoss, require_margin

__all__ = ["TripletHardLoss", "TripletSemiHardLoss"]

DistanceMetric = str | Callable[[tf.Tensor], tf.Tensor]

_DISTANCE_BY_METRIC: dict[str, Distance] = {"L2": "l2", "squared-L2": "squared-l2", "angular": "cosine"}


class _AddonsLoss(BatchLoss):
    _mining: Mining
    _soft = False

    def __init__(self, margin: float, distance_metric: DistanceMetric, name: str | None, dtype: str | None) -> None:
        super().__init__(name=name, dtype=dtype)
        require_margin(margin)
        if not callable(distance_metric) and distance_metric not in _DISTANCE_BY_METRIC:
            raise ValueError(
                f"Unknown value for `distance_metric`. Expected one of {list(_DISTANCE_BY_METRIC)} or a function "
                f"(B, D) -> (B, B). Received: distance_metric={distance_metric!r}"
            )
        self.margin = margin
        self.distance_metric = distance_metric

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the batch's loss, a scalar float32."""
        batch = read_batch(y_true, y_pred)
        # Addons' soft margin has no margin in it.
        loss = average_triplets(
            self._measure(batch.embeddings),
            find_pairs(batch.labels),
            mining=self._mining,
            margin=0.0 if self._soft else self.margin,
            soft=self._soft,
        )
        return batch.spoil(loss)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs; a function for a distance must be registered with Keras."""
        metric = self.distance_metric
        return {
            "margin": self.margin,
            "distance_metric": keras.saving.serialize_keras_object(metric) if callable(metric) else metric,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a loss from what `get_config` returned."""
        metric = config["distance_metric"]
        if not isinstance(metric, str):
            metric = keras.saving.deserialize_keras_object(metric)
        return cls(**{**config, "distance_metric": metric})

    def _measure(self, embeddings: tf.Tensor) -> tf.Tensor:
        if isinstance(self.distance_metric, str):
            return pairwise_distances(embeddings, _DISTANCE_BY_METRIC[self.distance_metric])
        # Half precision is raised for a function of the caller's as Addons does it.
        precise = tf.cast(embeddings, tf.float32) if embeddings.dtype.size == 2 else embeddings
        return tf.cast(self.distance_metric(precise), tf.float32)


@keras.saving.register_keras_serializable(package="beedex")
class TripletSemiHardLoss(_AddonsLoss):
    """For every pair (a, p) the nearest n that is farther than p, or the farthest n where none is; mean over the pairs.

    Args:
        margin: in units of the distance.
        distance_metric: ``"L2"``, ``"squared-L2"``, ``"angular"`` (1 - cosine similarity) or a function
            (B, D) -> (B, B).
        name: the loss's name in logs.
        dtype: of the result; Keras's `floatx` by default.

    Example:
        >>> float(TripletSemiHardLoss()([0, 0, 1], [[0.0], [1.0], [1.5]]))  # (1 - 1.5 + 1, 1 - 0.5 + 1) / 2
        1.0
    """

    _mining = "semi-hard"

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(margin, distance_metric, name, dtype)


@keras.saving.register_keras_serializable(package="beedex")
class TripletHardLoss(_AddonsLoss):
    """For every anchor its farthest positive and its nearest negative; mean over the anchors.

    Args:
        margin: in units of the distance; without meaning where *soft*.
        soft: softplus of d(a, p) - d(a, n) instead of the hinge.
        distance_metric: as for `TripletSemiHardLoss`.
        name: the loss's name in logs.
        dtype: of the result; Keras's `floatx` by default.

    Example:
        >>> float(TripletHardLoss()([0, 0, 1], [[0.0], [1.0], [1.5]]))
        1.0
    """

    _mining = "batch-hard"

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,  # noqa: FBT001, FBT002 -- Addons' signature
        distance_metric: DistanceMetric = "L2",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(margin, distance_metric, name, dtype)
        self._soft = soft

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "soft": self._soft}
