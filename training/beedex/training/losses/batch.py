"""A batch as every loss and metric here takes it, checked once.

Shapes: B batch, D dimension.
"""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Batch", "read_batch"]


class Batch(NamedTuple):
    """Labelled embeddings.

    Attributes:
        labels: (B,).
        embeddings: (B, D) float.
        finite: scalar bool; False only where nothing can be raised, which is under XLA.
    """

    labels: tf.Tensor
    embeddings: tf.Tensor
    finite: tf.Tensor

    def spoil(self, value: tf.Tensor) -> tf.Tensor:
        """Return *value*, a float scalar, or NaN where the batch is not finite."""
        return tf.where(self.finite, value, tf.constant(float("nan"), value.dtype))


def read_batch(labels: tf.Tensor, embeddings: tf.Tensor) -> Batch:
    """Check shapes and values.

    Args:
        labels: (B,) or (B, 1), of any dtype that compares.
        embeddings: (B, D) float.

    Raises:
        ValueError: shapes or dtype that can be known beforehand are wrong.
        tf.errors.InvalidArgumentError: a row has NaN or infinity, or the label NaN; the message has the rows' numbers.
            Raised while the graph runs, but not under XLA, which leaves checks out.
    """
    embeddings = tf.convert_to_tensor(embeddings)
    labels = tf.convert_to_tensor(labels)
    _require_shapes(labels, embeddings)
    labels = tf.reshape(labels, [-1])  # (B,)
    sound = tf.reduce_all(tf.math.is_finite(embeddings), axis=1)  # (B,)
    if labels.dtype.is_floating:
        sound &= ~tf.math.is_nan(labels)
    finite = tf.reduce_all(sound)
    message = "A triplet loss or metric expected finite embeddings and labels. Received NaN or infinity in the rows:"
    # The operation itself: `tf.debugging.Assert` wraps it into a branch of its own, which takes longer than the check.
    tf.raw_ops.Assert(condition=finite, data=[message, tf.where(~sound)[:, 0]], summarize=20)
    return Batch(labels, embeddings, finite)


def _require_shapes(labels: tf.Tensor, embeddings: tf.Tensor) -> None:
    if not embeddings.dtype.is_floating:
        raise ValueError(f"Embeddings must be floating point. Received: dtype={embeddings.dtype.name}")
    if embeddings.shape.rank is not None and embeddings.shape.rank != 2:
        raise ValueError(
            "Embeddings must be a matrix (batch, dimension); pool or flatten what comes before. "
            f"Received: shape={tuple(embeddings.shape)}"
        )
    rank = labels.shape.rank
    if rank is not None and not (rank == 1 or (rank == 2 and labels.shape[1] in (1, None))):
        raise ValueError(
            "Labels must be one integer a row, (batch,) or (batch, 1), not one-hot. "
            f"Received: shape={tuple(labels.shape)}"
        )
    if rank is not None and not labels.shape[:1].is_compatible_with(embeddings.shape[:1]):
        raise ValueError(
            "There must be as many labels as embeddings. "
            f"Received: labels.shape={tuple(labels.shape)}, embeddings.shape={tuple(embeddings.shape)}"
        )
