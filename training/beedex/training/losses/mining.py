"""The three ways to choose triplets, each as a sum of terms and its slope by every distance.

The slopes are written by hand: TensorFlow would keep every step of the walk over the positives for its own.

Shapes: B batch.
"""

from typing import Literal, NamedTuple, Protocol

import tensorflow as tf

from beedex.training.losses.gradients import keep_first_order
from beedex.training.losses.pairs import FAR, Pairs, add_at, walk_positives

__all__ = ["Mining", "average_triplets"]

Mining = Literal["batch-all", "semi-hard", "batch-hard"]


class _Sum(NamedTuple):
    """Terms added up.

    Attributes:
        total: scalar.
        slopes: (B, B), d total / d distances.
        count: scalar float32, what `total` is divided by.
    """

    total: tf.Tensor
    slopes: tf.Tensor
    count: tf.Tensor


# Terms added up by anchor (B,), and slopes as in `_Sum`.
_State = tuple[tf.Tensor, tf.Tensor]


class _Add(Protocol):
    def __call__(self, distances: tf.Tensor, pairs: Pairs, margin: float, *, soft: bool) -> _Sum: ...


def average_triplets(distances: tf.Tensor, pairs: Pairs, *, mining: Mining, margin: float, soft: bool) -> tf.Tensor:
    """Return the mean term of the triplets that the mining chooses, a scalar float32; 0 where there is none.

    Args:
        distances: (B, B) float32; differentiable by these, once.
        pairs: of the batch.
        mining: as for `TripletLoss`, like all that follows.
        margin: in units of the distance.
        soft: softplus instead of the hinge.
    """

    @tf.custom_gradient
    def average(source: tf.Tensor) -> tuple[tf.Tensor, object]:
        fixed = tf.stop_gradient(source)
        found = _add_unless_empty(_ADD_BY_MINING[mining], fixed, pairs, margin, soft=soft)

        def differentiate(upstream: tf.Tensor) -> tf.Tensor:
            # 0 / 0 is 0 here: no triplet, no slope, and yet a gradient that is connected.
            slopes = found.slopes * tf.math.divide_no_nan(upstream, found.count)  # (B, B)
            return keep_first_order(source, slopes)

        return tf.math.divide_no_nan(found.total, found.count), differentiate

    return average(distances)


def _add_unless_empty(add: _Add, distances: tf.Tensor, pairs: Pairs, margin: float, *, soft: bool) -> _Sum:
    # The nearest of no rows at all is an error in TensorFlow.
    nothing = _Sum(tf.constant(0.0), tf.zeros_like(distances), tf.constant(0.0))
    if distances.shape[0] == 0:
        return nothing
    if distances.shape[0] is not None:
        return add(distances, pairs, margin, soft=soft)
    found: _Sum = tf.cond(tf.size(distances) > 0, lambda: add(distances, pairs, margin, soft=soft), lambda: nothing)
    return found


def _add_all(distances: tf.Tensor, pairs: Pairs, margin: float, *, soft: bool) -> _Sum:
    add = _add_all_soft if soft else _add_all_hard
    return add(distances, pairs, margin)


def _add_all_hard(distances: tf.Tensor, pairs: Pairs, margin: float) -> _Sum:
    far = tf.where(pairs.negative, distances, FAR)  # (B, B)

    def step(slopes: tf.Tensor, near: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        active = tf.cast(near + margin > far, tf.float32)  # (B, B), active[a, n]
        return add_at(slopes - active, rows, tf.reduce_sum(active, axis=1))

    slopes = walk_positives(distances, pairs, step, tf.zeros_like(distances))  # (B, B)
    # The hinge is linear where it is active, so the slopes give the sum; in float64, as it cancels.
    count = tf.reduce_sum(tf.nn.relu(slopes))
    linear = tf.reduce_sum(tf.cast(slopes, tf.float64) * tf.cast(distances, tf.float64))
    total = linear + margin * tf.cast(count, tf.float64)
    return _Sum(tf.cast(total, tf.float32), slopes, count)


def _add_all_soft(distances: tf.Tensor, pairs: Pairs, margin: float) -> _Sum:
    far = tf.where(pairs.negative, distances, FAR)  # (B, B)

    def step(state: _State, near: tf.Tensor, rows: tf.Tensor) -> _State:
        totals, slopes = state
        excess = near + margin - far  # (B, B), excess[a, n]
        shares = tf.math.sigmoid(excess)  # (B, B)
        slopes = add_at(slopes - shares, rows, tf.reduce_sum(shares, axis=1))
        return totals + tf.reduce_sum(tf.math.softplus(excess), axis=1), slopes

    initial = (tf.zeros_like(tf.linalg.diag_part(distances)), tf.zeros_like(distances))
    totals, slopes = walk_positives(distances, pairs, step, initial)  # (B,), (B, B)
    positives = tf.math.count_nonzero(pairs.positive, axis=1, dtype=tf.float32)  # (B,)
    negatives = tf.math.count_nonzero(pairs.negative, axis=1, dtype=tf.float32)  # (B,)
    return _Sum(tf.reduce_sum(totals), slopes, tf.reduce_sum(positives * negatives))


def _add_semi_hard(distances: tf.Tensor, pairs: Pairs, margin: float, *, soft: bool) -> _Sum:
    known = tf.where(pairs.negative, distances, -FAR)  # (B, B)
    farthest = tf.argmax(known, axis=1, output_type=tf.int32)  # (B,)

    def step(state: _State, near: tf.Tensor, rows: tf.Tensor) -> _State:
        totals, slopes = state
        farther = tf.where(known > near, known, FAR)  # (B, B)
        nearest = tf.argmin(farther, axis=1, output_type=tf.int32)  # (B,)
        is_farther = tf.gather(farther, nearest, batch_dims=1) < FAR  # (B,)
        chosen = tf.where(is_farther, nearest, farthest)  # (B,)
        far = tf.gather(known, chosen, batch_dims=1)  # (B,)
        near = tf.squeeze(near, axis=1)  # (B,)
        terms, shares = _take_terms(near - far + margin, (near > -FAR) & (far > -FAR), soft=soft)  # (B,), (B,)
        slopes = add_at(add_at(slopes, chosen, -shares), rows, shares)
        return totals + terms, slopes

    initial = (tf.zeros_like(tf.linalg.diag_part(distances)), tf.zeros_like(distances))
    totals, slopes = walk_positives(distances, pairs, step, initial)  # (B,), (B, B)
    counted = pairs.positive & tf.reduce_any(pairs.negative, axis=1, keepdims=True)  # (B, B)
    return _Sum(tf.reduce_sum(totals), slopes, tf.math.count_nonzero(counted, dtype=tf.float32))


def _add_hard(distances: tf.Tensor, pairs: Pairs, margin: float, *, soft: bool) -> _Sum:
    near = tf.where(pairs.positive, distances, -FAR)  # (B, B)
    far = tf.where(pairs.negative, distances, FAR)  # (B, B)
    farthest, nearest = tf.reduce_max(near, axis=1), tf.reduce_min(far, axis=1)  # (B,), (B,)
    counted = (farthest > -FAR) & (nearest < FAR)  # (B,)
    terms, shares = _take_terms(farthest - nearest + margin, counted, soft=soft)  # (B,), (B,)
    size = tf.shape(distances)[0]
    # One row each, the first of those that tie.
    hardest = tf.one_hot(tf.argmax(near, axis=1), size) - tf.one_hot(tf.argmin(far, axis=1), size)  # (B, B)
    slopes = shares[:, tf.newaxis] * hardest
    return _Sum(tf.reduce_sum(terms), slopes, tf.math.count_nonzero(counted, dtype=tf.float32))


def _take_terms(excess: tf.Tensor, counted: tf.Tensor, *, soft: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the terms of d(a, p) - d(a, n) + margin and their slopes, 0 where not *counted*."""
    excess = tf.where(counted, excess, -FAR)
    if soft:
        return tf.math.softplus(excess), tf.math.sigmoid(excess)
    return tf.nn.relu(excess), tf.cast(excess > 0.0, tf.float32)


_ADD_BY_MINING: dict[Mining, _Add] = {"batch-all": _add_all, "semi-hard": _add_semi_hard, "batch-hard": _add_hard}
