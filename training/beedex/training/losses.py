"""Online triplet loss for Keras 3 on TensorFlow: the batch's own triplets, mined inside the loss.

With d the distance, a an anchor, p a positive (same label, another row) and n a negative (another label), a triplet's
term is `max(d(a, p) - d(a, n) + margin, 0)`, or its softplus. Three ways to choose triplets:

* batch-all: every triplet, averaged over those whose term is above 0 (Hermans et al. 2017, section 2,
  https://arxiv.org/abs/1703.07737). The average over all would fade as the easy triplets become many.
* semi-hard: for every pair (a, p) the nearest n that is farther than p, or the farthest n where none is
  (Schroff et al. 2015, section 3.2, https://arxiv.org/abs/1503.03832), averaged over the pairs.
* batch-hard: for every a its farthest p and its nearest n (Hermans et al. 2017, equation 5), averaged over the anchors.

The loss is total: an anchor without a positive or a negative adds nothing, and a batch without a triplet gives 0 with
a gradient of 0. Every anchor's negatives are sorted once and summed by prefix, so that memory grows with B x B, not
with the B x B x B triplets.

Shapes: B batch, D dimension.
"""

from typing import Any, Literal, get_args

import keras
import tensorflow as tf

__all__ = ["Distance", "Mining", "TripletLoss", "pairwise_distances", "triplet_loss"]

Mining = Literal["batch-all", "semi-hard", "batch-hard"]
Distance = Literal["l2", "squared-l2", "cosine"]

# Tuned margins of triplet losses on the unit sphere under L2 lie between 0.045 and 0.137
# (Musgrave et al. 2020, https://arxiv.org/abs/2003.08505, supplementary).
DEFAULT_MARGIN = 0.1


@keras.saving.register_keras_serializable(package="beedex")
class TripletLoss(keras.losses.Loss):
    """Online triplet loss over the rows of a batch.

    Args:
        mining: which triplets count: ``"batch-all"``, ``"semi-hard"`` or ``"batch-hard"``.
        margin: by how much a negative must be farther than a positive, in units of the distance.
        distance: ``"l2"``, ``"squared-l2"`` or ``"cosine"`` (1 - cosine similarity).
        soft: whether a term is softplus instead of the hinge; then every triplet is active.
        name: the loss's name in logs.

    Input shape:
        `y_true`: (B,) or (B, 1), labels, below 2**24 in size (Keras passes them as float32).
        `y_pred`: (B, D), any float dtype; computed in float32.

    Example:
        >>> loss = TripletLoss(mining="batch-hard", margin=0.5)
        >>> embeddings = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
        >>> round(float(loss([0, 0, 1], embeddings)), 4)  # (0.5 - 0.5858 -> 0 and sqrt(2) - sqrt(2) + 0.5) / 2
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
    ) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size")
        _require_choice("mining", mining, get_args(Mining))
        _require_choice("distance", distance, get_args(Distance))
        if not margin >= 0:
            raise ValueError(f"`margin` must be a number of at least 0. Received: margin={margin}")
        self.mining: Mining = mining
        self.margin = margin
        self.distance: Distance = distance
        self.soft = soft

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the batch's loss, a scalar."""
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
    """Return the scalar loss of a batch.

    Args:
        labels: (B,) or (B, 1), of any dtype that compares.
        embeddings: (B, D) float.
        mining: as for `TripletLoss`, like all that follows.
        margin: in units of the distance.
        distance: between rows.
        soft: softplus instead of the hinge.
    """
    labels = tf.reshape(labels, [-1])  # (B,)
    distances = pairwise_distances(embeddings, distance)  # (B, B)
    same = labels[:, tf.newaxis] == labels[tf.newaxis, :]  # (B, B)
    positive = same & ~tf.eye(tf.size(labels), dtype=tf.bool)  # (B, B), positive[a, p]
    mine = {"batch-all": _batch_all, "semi-hard": _semi_hard, "batch-hard": _batch_hard}[mining]
    return mine(distances, positive, ~same, margin, soft=soft)


def pairwise_distances(embeddings: tf.Tensor, distance: Distance) -> tf.Tensor:
    """Return the distances between all rows.

    Args:
        embeddings: (B, D) float.
        distance: as for `TripletLoss`.

    Returns:
        (B, B) float32; the diagonal, and between equal rows, exactly 0 with a gradient of 0.
    """
    # ||a - b||^2 = ||a||^2 - 2 <a, b> + ||b||^2 cancels: in float32 a true distance of 1e-4 between unit vectors
    # comes out as anything from 0 to 1e-3, in float64 it is right to 1e-8.
    rows = tf.cast(embeddings, tf.float64)  # (B, D)
    if distance == "cosine":
        rows = tf.math.l2_normalize(rows, axis=1, epsilon=1e-24)
        return tf.cast(1.0 - tf.linalg.matmul(rows, rows, transpose_b=True), tf.float32)  # (B, B)
    products = tf.linalg.matmul(rows, rows, transpose_b=True)  # (B, B)
    lengths = tf.reduce_sum(tf.square(rows), axis=1)  # (B,), not diag(products): the two round differently
    squared = tf.maximum(lengths[:, tf.newaxis] - 2.0 * products + lengths[tf.newaxis, :], 0.0)  # (B, B)
    if distance == "squared-l2":
        return tf.cast(squared, tf.float32)
    # The slope of the square root at 0 is infinite, and infinity times a gradient of 0 is NaN: the root is taken of
    # 1 where the rows are as good as equal. 1e-15 is what rounding leaves of 0 between unit vectors.
    apart = squared > 1e-15
    roots = tf.sqrt(tf.where(apart, squared, tf.ones_like(squared)))
    return tf.cast(tf.where(apart, roots, tf.zeros_like(roots)), tf.float32)


def _batch_all(
    distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float, *, soft: bool
) -> tf.Tensor:
    if soft:
        return _batch_all_soft(distances, positive, negative, margin)
    ordered, sums = _sort_negatives(distances, negative)
    reach = distances + margin  # (B, B), reach[a, p]: nearer negatives are active
    active = tf.searchsorted(ordered, reach, side="left")  # (B, B), how many of a's negatives are nearer
    terms = tf.cast(active, tf.float32) * reach - tf.gather(sums, active, batch_dims=1)  # (B, B), summed over n
    counts = tf.where(positive, active, tf.zeros_like(active))
    return _mean(tf.where(positive, terms, tf.zeros_like(terms)), tf.reduce_sum(tf.cast(counts, tf.float32)))


def _batch_all_soft(distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float) -> tf.Tensor:
    # softplus has no prefix sums, so only the pairs (a, p) that exist meet all B rows: B x P x B, not B x B x B.
    pairs = tf.where(positive)  # (pairs, 2)
    nearest = tf.gather_nd(distances, pairs)  # (pairs,)
    others = tf.gather(distances, pairs[:, 0])  # (pairs, B)
    counted = tf.gather(negative, pairs[:, 0])  # (pairs, B)
    terms = tf.math.softplus(nearest[:, tf.newaxis] - others + margin)
    return _mean(tf.where(counted, terms, tf.zeros_like(terms)), tf.math.count_nonzero(counted, dtype=tf.float32))


def _semi_hard(
    distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float, *, soft: bool
) -> tf.Tensor:
    ordered, _ = _sort_negatives(distances, negative)
    amount = tf.math.count_nonzero(negative, axis=1, dtype=tf.int32)[:, tf.newaxis]  # (B, 1)
    # The first negative farther than p; past the end, the farthest.
    chosen = tf.minimum(tf.searchsorted(ordered, distances, side="right"), tf.maximum(amount - 1, 0))  # (B, B)
    terms = _term(distances - tf.gather(ordered, chosen, batch_dims=1) + margin, soft=soft)  # (B, B)
    counted = positive & (amount > 0)
    return _mean(tf.where(counted, terms, tf.zeros_like(terms)), tf.math.count_nonzero(counted, dtype=tf.float32))


def _batch_hard(
    distances: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor, margin: float, *, soft: bool
) -> tf.Tensor:
    farthest = tf.reduce_max(tf.where(positive, distances, tf.zeros_like(distances)), axis=1)  # (B,)
    ceiling = tf.fill(tf.shape(distances), distances.dtype.max)
    nearest = tf.reduce_min(tf.where(negative, distances, ceiling), axis=1)  # (B,)
    counted = tf.reduce_any(positive, axis=1) & tf.reduce_any(negative, axis=1)  # (B,)
    gaps = tf.where(counted, farthest - nearest, tf.zeros_like(farthest))
    terms = _term(gaps + margin, soft=soft)
    return _mean(tf.where(counted, terms, tf.zeros_like(terms)), tf.math.count_nonzero(counted, dtype=tf.float32))


def _sort_negatives(distances: tf.Tensor, negative: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each anchor's negatives nearest first, and the sums of the first 0, 1, 2, ... of them.

    Returns:
        (B, B), with the type's largest number after the negatives, and (B, B + 1), which doesn't count those.
    """
    ceiling = tf.fill(tf.shape(distances), distances.dtype.max)
    ordered = tf.sort(tf.where(negative, distances, ceiling), axis=1)  # (B, B)
    summed = tf.cumsum(tf.where(ordered < ceiling, ordered, tf.zeros_like(ordered)), axis=1)  # (B, B)
    return ordered, tf.pad(summed, [[0, 0], [1, 0]])


def _term(excess: tf.Tensor, *, soft: bool) -> tf.Tensor:
    return tf.math.softplus(excess) if soft else tf.nn.relu(excess)


def _mean(terms: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    # 0 / 0 is 0 here, and so is its gradient, which stays connected to the embeddings.
    return tf.math.divide_no_nan(tf.reduce_sum(terms), count)


def _require_choice(argument: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(
            f"Unknown value for `{argument}`. Expected one of {list(allowed)}. Received: {argument}={value!r}"
        )
