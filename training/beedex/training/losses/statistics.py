"""What a batch looks like to a triplet loss: how much of it still teaches, and how far apart its rows are.

Shapes: B batch, D dimension.
"""

from typing import NamedTuple

import tensorflow as tf

from beedex.training.losses.batch import read_batch
from beedex.training.losses.distances import Distance, pairwise_distances
from beedex.training.losses.pairs import FAR, Pairs, find_pairs, walk_positives

__all__ = ["TripletStatistics", "measure_distances", "measure_triplets"]


class TripletStatistics(NamedTuple):
    """Scalars, float32; a mean, share or extreme of nothing is 0, and the counts tell it from a true 0.

    Attributes:
        active_share: of all triplets, those with d(a, p) + margin > d(a, n). At 0 a loss with a hard margin has nothing
            left to teach.
        mean_positive_distance: over the ordered pairs of a label.
        mean_negative_distance: over the ordered pairs of two labels. As small as the one above, it shows collapse.
        hardest_positive: the largest distance within a label.
        hardest_negative: the smallest distance between two labels.
        triplets: (a, p, n) in the batch.
        positive_pairs: (a, p) in the batch, in order.
        negative_pairs: (a, n) in the batch, in order.
    """

    active_share: tf.Tensor
    mean_positive_distance: tf.Tensor
    mean_negative_distance: tf.Tensor
    hardest_positive: tf.Tensor
    hardest_negative: tf.Tensor
    triplets: tf.Tensor
    positive_pairs: tf.Tensor
    negative_pairs: tf.Tensor


def measure_triplets(
    labels: tf.Tensor, embeddings: tf.Tensor, *, margin: float, distance: Distance
) -> TripletStatistics:
    """Return the statistics of a batch; they have no gradient.

    Args:
        labels: (B,) or (B, 1), of any dtype that compares.
        embeddings: (B, D) float.
        margin: in units of the distance.
        distance: as for `TripletLoss`.

    Raises:
        ValueError: the shapes are wrong.
        tf.errors.InvalidArgumentError: NaN or infinity, by row; under XLA every mean and extreme is NaN instead.

    Example:
        >>> found = measure_triplets([0, 0, 1], [[0.0], [1.0], [3.0]], margin=1.5, distance="l2")
        >>> float(found.active_share), float(found.mean_positive_distance), float(found.hardest_negative)
        (0.5, 1.0, 2.0)
    """
    batch = read_batch(labels, embeddings)
    pairs = find_pairs(batch.labels)
    statistics = measure_distances(pairwise_distances(batch.embeddings, distance), pairs, margin=margin)
    return TripletStatistics(*(batch.spoil(value) for value in statistics))


def measure_distances(distances: tf.Tensor, pairs: Pairs, *, margin: float) -> TripletStatistics:
    """Return the statistics of a batch whose *distances* (B, B) and *pairs* are known."""
    distances = tf.stop_gradient(distances)
    positives = tf.math.count_nonzero(pairs.positive, axis=1, dtype=tf.float32)  # (B,)
    negatives = tf.math.count_nonzero(pairs.negative, axis=1, dtype=tf.float32)  # (B,)
    positive_pairs, negative_pairs = tf.reduce_sum(positives), tf.reduce_sum(negatives)
    triplets = tf.reduce_sum(positives * negatives)
    near = tf.where(pairs.positive, distances, 0.0)  # (B, B)
    far = tf.where(pairs.negative, distances, 0.0)  # (B, B)
    nearest = tf.reduce_min(tf.where(pairs.negative, distances, FAR))
    return TripletStatistics(
        active_share=tf.math.divide_no_nan(_count_active(distances, pairs, margin), triplets),
        mean_positive_distance=tf.math.divide_no_nan(tf.reduce_sum(near), positive_pairs),
        mean_negative_distance=tf.math.divide_no_nan(tf.reduce_sum(far), negative_pairs),
        hardest_positive=tf.where(positive_pairs > 0.0, tf.reduce_max(near), 0.0),
        hardest_negative=tf.where(negative_pairs > 0.0, nearest, 0.0),
        triplets=triplets,
        positive_pairs=positive_pairs,
        negative_pairs=negative_pairs,
    )


def _count_active(distances: tf.Tensor, pairs: Pairs, margin: float) -> tf.Tensor:
    far = tf.where(pairs.negative, distances, FAR)  # (B, B)

    def step(counts: tf.Tensor, near: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return counts + tf.math.count_nonzero(near + margin > far, axis=1, dtype=tf.float32)

    counts = walk_positives(distances, pairs, step, tf.zeros_like(tf.linalg.diag_part(distances)))  # (B,)
    return tf.reduce_sum(counts)
