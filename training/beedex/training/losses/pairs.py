"""Which rows of a batch are positives and negatives of which, and a walk over the positives of every anchor at once.

The walk is why no tensor here has B x B x B entries: step r looks at the r-th positive of all anchors, a column of B
distances, against the (B, B) matrix. Its steps are the largest number of positives, its memory is that of one step. It
has no shape that depends on the labels, so XLA compiles it.

Shapes: B batch.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import tensorflow as tf

__all__ = ["FAR", "Pairs", "add_at", "find_pairs", "walk_positives"]

# Stands for "no such negative", and its opposite for "no such positive": beyond every distance and margin, and the
# difference of the two is still a float32.
FAR = 1e37

State = TypeVar("State")


class Pairs(NamedTuple):
    """What the rows of a batch are to each other.

    Attributes:
        positive: (B, B) bool, [a, p] whether p is another row with a's label.
        negative: (B, B) bool, [a, n] whether n has another label.
    """

    positive: tf.Tensor
    negative: tf.Tensor


def find_pairs(labels: tf.Tensor) -> Pairs:
    """Return the pairs of *labels* (B,), of any dtype that compares."""
    same = labels[:, tf.newaxis] == labels[tf.newaxis, :]  # (B, B)
    positive = tf.linalg.set_diag(same, tf.zeros_like(labels, dtype=tf.bool))  # (B, B)
    return Pairs(positive, ~same)


def walk_positives(
    distances: tf.Tensor, pairs: Pairs, step: Callable[[State, tf.Tensor, tf.Tensor], State], initial: State
) -> State:
    """Fold *step* over the positives of all anchors.

    Args:
        distances: (B, B).
        pairs: of the batch.
        step: takes the state, each anchor's distance to one of its positives (B, 1), which is `-FAR` where it has no
            more, and that positive's row (B,); returns the new state.
        initial: the state before, tensors of the shapes that *step* returns.
    """
    successors = _find_successors(pairs.positive)  # (B,)
    counts = tf.math.count_nonzero(pairs.positive, axis=1, dtype=tf.int32)  # (B,)
    most = tf.reduce_max(counts)

    def advance(rank: tf.Tensor, rows: tf.Tensor, state: State) -> tuple[tf.Tensor, tf.Tensor, State]:
        rows = tf.gather(successors, rows)  # (B,)
        near = tf.where(rank < counts, tf.gather(distances, rows, batch_dims=1), -FAR)  # (B,)
        return rank + 1, rows, step(state, near[:, tf.newaxis], rows)

    start = (tf.constant(0), tf.range(tf.size(counts)), initial)
    last: State = tf.while_loop(lambda rank, *_: rank < most, advance, start, parallel_iterations=1)[2]
    return last


def add_at(matrix: tf.Tensor, rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return *matrix* (B, B) with an anchor's *values* (B,) added at one of its *rows* (B,)."""
    places = tf.stack([tf.range(tf.size(rows)), rows], axis=1)  # (B, 2)
    return tf.tensor_scatter_nd_add(matrix, places, values)


def _find_successors(positive: tf.Tensor) -> tf.Tensor:
    """Return for each row the next one with its label, after the last the first, itself where it is alone.

    Args:
        positive: (B, B).

    Returns:
        (B,) int32; following it from an anchor meets each of its positives once.
    """
    size = tf.shape(positive)[0]
    rows = tf.range(size)  # (B,)
    candidates = tf.where(positive, rows[tf.newaxis, :], size)  # (B, B)
    first = tf.reduce_min(candidates, axis=1)  # (B,)
    later = tf.reduce_min(tf.where(rows[tf.newaxis, :] > rows[:, tf.newaxis], candidates, size), axis=1)  # (B,)
    return tf.where(later < size, later, tf.minimum(first, rows))
