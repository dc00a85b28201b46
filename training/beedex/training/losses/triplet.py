"""Online triplet loss for Keras 3 on TensorFlow: the batch's own triplets, mined inside the loss.

With d the distance, a an anchor, p a positive (same label, another row) and n a negative (another label), a triplet's
term is `max(d(a, p) - d(a, n) + margin, 0)`, or its softplus. Three ways to choose triplets:

* batch-all: every triplet, averaged over those whose term is above 0 (Hermans et al. 2017, section 2,
  https://arxiv.org/abs/1703.07737). The average over all would fade as the easy triplets become many.
* semi-hard: for every pair (a, p) the nearest n that is farther than p, or the farthest n where none is
  (Schroff et al. 2015, section 3.2, https://arxiv.org/abs/1503.03832), averaged over the pairs.
* batch-hard: for every a its farthest p and its nearest n (Hermans et al. 2017, equation 5), averaged over the anchors.

The loss is total: an anchor without a positive or a negative adds nothing, and a batch without a triplet gives 0 with
a gradient of 0. Memory grows with B x B, not with the B x B x B triplets.

Shapes: B batch, D dimension.
"""

from typing import Any, get_args

import keras
import tensorflow as tf

from beedex.training.losses.batch import read_batch
from beedex.training.losses.distances import Distance, pairwise_distances
from beedex.training.losses.mining import Mining, average_triplets
from beedex.training.losses.pairs import find_pairs
from beedex.training.losses.statistics import TripletStatistics, measure_distances

__all__ = [
    "DEFAULT_MARGIN",
    "BatchLoss",
    "TripletLoss",
    "require_distance",
    "require_margin",
    "triplet_loss",
    "triplet_loss_with_statistics",
]

# Tuned margins of triplet losses on the unit sphere under L2 lie between 0.045 and 0.137
# (Musgrave et al. 2020, https://arxiv.org/abs/2003.08505, supplementary).
DEFAULT_MARGIN = 0.1


class BatchLoss(keras.losses.Loss):
    """A loss of a batch as a whole, which takes labels as they come."""

    def __call__(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        """Return the batch's loss, a scalar of the loss's dtype.

        Args:
            y_true: (B,) or (B, 1).
            y_pred: (B, D).
            sample_weight: None or a scalar.

        Raises:
            ValueError: weights by row, or wrong shapes.
            tf.errors.InvalidArgumentError: NaN or infinity in a row; the message has the rows' numbers.
        """
        # Keras's own turns labels into the loss's dtype, in which 2**24 and 2**24 + 1, or in half precision 2048 and
        # 2049, are the same label; and it would average a weight by row over rows where a triplet has three.
        if sample_weight is not None and tf.convert_to_tensor(sample_weight).shape.rank != 0:
            raise ValueError(
                "A triplet loss has no weight for a row; draw rows more often instead, or give `loss_weights`. "
                "Received: sample_weight (or class_weight) with a weight for each row"
            )
        with tf.name_scope(self.name):
            loss = tf.cast(self.call(y_true, y_pred), self.dtype)
            return loss if sample_weight is None else loss * tf.cast(sample_weight, self.dtype)


@keras.saving.register_keras_serializable(package="beedex")
class TripletLoss(BatchLoss):
    """Online triplet loss over the rows of a batch.

    Args:
        mining: which triplets count: ``"batch-all"``, ``"semi-hard"`` or ``"batch-hard"``.
        margin: by how much a negative must be farther than a positive, in units of the distance.
        distance: ``"l2"``, ``"squared-l2"`` or ``"cosine"`` (1 - cosine similarity).
        soft: whether a term is softplus instead of the hinge; then every triplet is active.
        name: the loss's name in logs.
        dtype: of the result; Keras's `floatx` by default.

    Input shape:
        `y_true`: (B,) or (B, 1), labels of any dtype that compares. Integers are compared as they are; a pipeline that
        makes them float32 first merges labels from 2**24 on.
        `y_pred`: (B, D), any float dtype; computed in float32, with products in float64.

    A row with NaN or infinity raises `tf.errors.InvalidArgumentError` with its number, eager and in `tf.function`. XLA
    (`jit_compile=True`, which Keras's `compile` chooses by itself on a GPU) can't raise: there the loss is NaN.

    Example:
        >>> loss = TripletLoss(mining="batch-hard", margin=0.5)
        >>> embeddings = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
        >>> round(float(loss([0, 0, 1], embeddings)), 4)  # (sqrt(2) - 2 + 0.5 -> 0, sqrt(2) - sqrt(2) + 0.5) / 2
        0.25
    """

    def __init__(
        self,
        mining: Mining = "batch-all",
        margin: float = DEFAULT_MARGIN,
        distance: Distance = "l2",
        *,
        soft: bool = False,
        name: str = "triplet_loss",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size", dtype=dtype)
        _require_choice("mining", mining, get_args(Mining))
        require_distance(distance)
        require_margin(margin)
        self.mining: Mining = mining
        self.margin = margin
        self.distance: Distance = distance
        self.soft = soft

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the batch's loss, a scalar float32."""
        return triplet_loss(
            y_true, y_pred, mining=self.mining, margin=self.margin, distance=self.distance, soft=self.soft
        )

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {
            "mining": self.mining,
            "margin": self.margin,
            "distance": self.distance,
            "soft": self.soft,
            "name": self.name,
            "dtype": self.dtype,
        }


def triplet_loss(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    *,
    mining: Mining = "batch-all",
    margin: float = DEFAULT_MARGIN,
    distance: Distance = "l2",
    soft: bool = False,
) -> tf.Tensor:
    """Return the loss of a batch, a scalar float32; it can be differentiated once.

    Args:
        labels: (B,) or (B, 1), of any dtype that compares.
        embeddings: (B, D) float.
        mining: as for `TripletLoss`, like all that follows.
        margin: in units of the distance.
        distance: between rows.
        soft: softplus instead of the hinge.

    Raises:
        ValueError: the shapes are wrong.
        tf.errors.InvalidArgumentError: NaN or infinity, by row; under XLA the loss is NaN instead.
    """
    batch = read_batch(labels, embeddings)
    pairs = find_pairs(batch.labels)
    distances = pairwise_distances(batch.embeddings, distance)  # (B, B)
    return batch.spoil(average_triplets(distances, pairs, mining=mining, margin=margin, soft=soft))


def triplet_loss_with_statistics(
    labels: tf.Tensor,
    embeddings: tf.Tensor,
    *,
    mining: Mining = "batch-all",
    margin: float = DEFAULT_MARGIN,
    distance: Distance = "l2",
    soft: bool = False,
) -> tuple[tf.Tensor, TripletStatistics]:
    """Return what `triplet_loss` and `measure_triplets` return, from one matrix of distances.

    Args and errors are those of `triplet_loss`.

    Example:
        >>> loss, seen = triplet_loss_with_statistics([0, 0, 1], [[0.0], [1.0], [3.0]], margin=1.5)
        >>> float(loss), float(seen.active_share)
        (0.5, 0.5)
    """
    batch = read_batch(labels, embeddings)
    pairs = find_pairs(batch.labels)
    distances = pairwise_distances(batch.embeddings, distance)  # (B, B)
    loss = average_triplets(distances, pairs, mining=mining, margin=margin, soft=soft)
    statistics = measure_distances(distances, pairs, margin=margin)
    return batch.spoil(loss), TripletStatistics(*(batch.spoil(value) for value in statistics))


def require_distance(distance: str) -> None:
    """Refuse what is no distance's name."""
    _require_choice("distance", distance, get_args(Distance))


def require_margin(margin: float) -> None:
    """Refuse what is no margin."""
    if not 0 <= margin < float("inf"):
        raise ValueError(f"`margin` must be a finite number of at least 0. Received: margin={margin}")


def _require_choice(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"Unknown value for `{argument}`. Expected one of {list(allowed)}. Received: {argument}={value!r}"
        )
