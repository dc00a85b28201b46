"""Distances between all rows of a batch, exact enough for rows that almost coincide, with a finite gradient everywhere.

||a - b||^2 = ||a||^2 - 2 <a, b> + ||b||^2 cancels: in float32 a true distance of 1e-4 between unit vectors comes out as
anything from 0 to 1e-3. So products are summed in float64, which costs less than B x B x D differences would; only
what is left after the subtraction is float32.

Shapes: B batch, D dimension.
"""

from typing import Literal

import tensorflow as tf

from beedex.training.losses.gradients import keep_first_order

__all__ = ["LARGEST_DISTANCE", "Distance", "pairwise_distances"]

Distance = Literal["l2", "squared-l2", "cosine"]

# Sums over B x B x B distances of this size stay within float32 for any B, and so does the square.
LARGEST_DISTANCE = 1e18

# What rounding leaves of 0 between equal rows, as a share of their squared length: 1.8e-15 at most, measured with D
# from 3 to 2048, B from 2 to 200, with XLA and without. So rows nearer than 6.4e-8 of their length count as equal;
# float32 itself rounds a component by up to 6.0e-8 of it.
_NOTHING = 4e-15


def pairwise_distances(embeddings: tf.Tensor, distance: Distance) -> tf.Tensor:
    """Return the distances between all rows.

    Args:
        embeddings: (B, D) float.
        distance: ``"l2"``, ``"squared-l2"`` or ``"cosine"`` (1 - cosine similarity; 1 to a row of zeros).

    Returns:
        (B, B) float32, at most `LARGEST_DISTANCE`; the diagonal, and between equal rows, exactly 0 with a gradient
        of 0. NaN where a row is not finite.

    Example:
        >>> pairwise_distances(tf.constant([[3.0, 0.0], [0.0, 4.0]]), "l2").numpy().tolist()
        [[0.0, 5.0], [5.0, 0.0]]
    """
    measure = _measure_cosine if distance == "cosine" else _measure_l2
    return measure(embeddings, distance)


def _measure_l2(embeddings: tf.Tensor, distance: Distance) -> tf.Tensor:
    @tf.custom_gradient
    def measure(source: tf.Tensor) -> tuple[tf.Tensor, object]:
        rows = tf.cast(tf.stop_gradient(source), tf.float64)  # (B, D)
        products = tf.linalg.matmul(rows, rows, transpose_b=True)  # (B, B)
        lengths = tf.linalg.diag_part(products)  # (B,), summed in the order of the products: equal rows give 0
        squared = lengths[:, tf.newaxis] - 2.0 * products + lengths[tf.newaxis, :]  # (B, B)
        squared = tf.cast(squared, tf.float32)
        nothing = tf.cast(_NOTHING * lengths, tf.float32)[:, tf.newaxis]  # (B, 1)
        equal = squared <= nothing  # (B, B), False where NaN
        if distance == "squared-l2":
            distances = tf.where(equal, 0.0, tf.minimum(squared, LARGEST_DISTANCE))
        else:
            distances = tf.where(equal, 0.0, tf.sqrt(tf.minimum(squared, LARGEST_DISTANCE**2)))

        def differentiate(upstream: tf.Tensor) -> tf.Tensor:
            # d ||a - b|| = (a - b) / ||a - b||, and d ||a - b||^2 = 2 (a - b): a weight for each pair of rows.
            if distance == "squared-l2":
                weights = tf.where(distances < LARGEST_DISTANCE, 2.0 * upstream, 0.0)  # (B, B)
            else:
                weights = tf.math.divide_no_nan(upstream, distances)  # (B, B), 0 for equal rows
            weights = tf.cast(weights + tf.transpose(weights), tf.float64)
            own = tf.reduce_sum(weights, axis=1, keepdims=True) * rows  # (B, D)
            gradient = tf.cast(own - tf.linalg.matmul(weights, rows), source.dtype)  # (B, D)
            return keep_first_order(source, gradient)

        return distances, differentiate

    return measure(embeddings)


def _measure_cosine(embeddings: tf.Tensor, _: Distance) -> tf.Tensor:
    @tf.custom_gradient
    def measure(source: tf.Tensor) -> tuple[tf.Tensor, object]:
        rows = tf.cast(tf.stop_gradient(source), tf.float64)  # (B, D)
        lengths = tf.sqrt(tf.reduce_sum(tf.square(rows), axis=1, keepdims=True))  # (B, 1)
        units = tf.math.divide_no_nan(rows, lengths)  # (B, D), a row of zeros stays one
        distances = 1.0 - tf.linalg.matmul(units, units, transpose_b=True)  # (B, B)
        distances = tf.cast(tf.where(distances <= _NOTHING, tf.zeros_like(distances), distances), tf.float32)

        def differentiate(upstream: tf.Tensor) -> tf.Tensor:
            weights = tf.cast(upstream + tf.transpose(upstream), tf.float64)  # (B, B)
            pull = tf.linalg.matmul(weights, units)  # (B, D), minus the slope by the unit vectors
            along = tf.reduce_sum(pull * units, axis=1, keepdims=True) * units  # (B, D), what the norm takes out
            gradient = tf.cast(tf.math.divide_no_nan(along - pull, lengths), source.dtype)  # (B, D)
            return keep_first_order(source, gradient)

        return distances, differentiate

    return measure(embeddings)
