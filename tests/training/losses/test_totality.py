"""No batch, however bad, gives a number that isn't one, unless it came with one; and then the rows are named."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from beedex.training.losses import TripletLoss, measure_triplets, pairwise_distances, triplet_loss

MININGS = ("batch-all", "semi-hard", "batch-hard")
DISTANCES = ("l2", "squared-l2", "cosine")


def compute(labels, rows, **settings):
    """Loss and gradient."""
    embeddings = tf.convert_to_tensor(rows)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        loss = triplet_loss(labels, embeddings, **settings)
    return loss, tape.gradient(loss, embeddings)


@pytest.mark.parametrize("far", [1e2, 1e6, 1e15, 1e30, 3e38])
@pytest.mark.parametrize(("mining", "distance", "soft"), list(itertools.product(MININGS, DISTANCES, (False, True))))
def test_loss_is_finite_at_any_distance(far, mining, distance, soft) -> None:
    rows = np.array([[0.0, 0.0], [far, -far], [0.0, 1.0], [-far, far]], np.float32)

    loss, gradient = compute([0, 0, 1, 1], rows, mining=mining, distance=distance, soft=soft)

    assert np.isfinite(float(loss))
    assert np.isfinite(gradient.numpy()).all()


@pytest.mark.parametrize("small", [1e-45, 1e-38, 1e-20])
@pytest.mark.parametrize(("mining", "distance"), list(itertools.product(MININGS, DISTANCES)))
def test_loss_is_finite_for_rows_next_to_nothing(small, mining, distance) -> None:
    rows = np.array([[0.0, 0.0], [small, 0.0], [0.0, small], [0.0, 0.0]], np.float32)

    loss, gradient = compute([0, 0, 1, 1], rows, mining=mining, distance=distance)

    assert np.isfinite(float(loss))
    if distance != "cosine":  # its slope is 1 / length, and 1e45 is beyond float32
        assert np.isfinite(gradient.numpy()).all()


def test_softplus_at_a_large_distance_is_that_distance() -> None:
    loss, _ = compute(
        [0, 0, 1], np.array([[0.0], [1e6], [1.0]], np.float32), mining="batch-hard", margin=0.0, soft=True
    )

    # The two anchors' terms: 1e6 - 1 and 1e6 - (1e6 - 1).
    assert float(loss) == pytest.approx((1e6 - 1 + 1 + np.log1p(np.exp(-1))) / 2, rel=1e-6)


def test_rows_of_zeros_are_at_cosine_distance_1_without_a_gradient() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]], np.float32)

    loss, gradient = compute([0, 0, 1], rows, distance="cosine", margin=1.0)

    assert pairwise_distances(rows, "cosine").numpy()[0].tolist() == [1.0, 1.0, 1.0]
    assert np.isfinite(float(loss))
    assert gradient.numpy()[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("jit", [None, False, True], ids=["eager", "function", "jit"])
@pytest.mark.parametrize("mining", MININGS)
def test_an_empty_batch_gives_0(mining, jit) -> None:
    run = compute if jit is None else tf.function(compute, jit_compile=jit)

    loss, gradient = run(tf.zeros([0], tf.int64), tf.zeros([0, 3]), mining=mining)

    assert float(loss) == 0
    assert gradient.shape == (0, 3)


@pytest.mark.parametrize("mining", MININGS)
def test_a_batch_of_unknown_size_may_be_empty(mining) -> None:
    signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 3], tf.float32)]
    compiled = tf.function(lambda labels, rows: compute(labels, rows, mining=mining), input_signature=signature)
    rows = np.eye(3, dtype=np.float32)

    for size in (0, 1, 3):
        loss, gradient = compiled(np.array([0, 0, 1])[:size], rows[:size])

        expected, _ = compute(np.array([0, 0, 1])[:size], rows[:size], mining=mining)
        assert float(loss) == pytest.approx(float(expected))
        assert gradient.shape == (size, 3)


@pytest.mark.parametrize("wrap", [lambda function: function, tf.function], ids=["eager", "function"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("take", [triplet_loss, lambda *batch: measure_triplets(*batch, margin=0.1, distance="l2")])
def test_nan_and_infinity_raise_with_the_rows(take, bad, wrap) -> None:
    rows = np.ones((6, 2), np.float32)
    rows[[1, 4], 0] = bad

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"NaN or infinity in the rows:\] \[1 4\]"):
        wrap(take)(tf.constant([0, 0, 1, 1, 2, 2]), tf.constant(rows))


def test_a_label_that_is_nan_raises_with_the_row() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"rows:\] \[2\]"):
        triplet_loss([0.0, 0.0, np.nan], np.eye(3, dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mining", MININGS)
def test_under_xla_nan_and_infinity_make_loss_and_gradient_nan(mining, bad) -> None:
    """XLA leaves checks out: nothing is raised, but no finite number hides what came in."""
    rows = np.eye(4, dtype=np.float32)
    rows[2, 1] = bad
    compiled = tf.function(compute, jit_compile=True)

    loss, gradient = compiled(tf.constant([0, 0, 1, 1]), tf.constant(rows), mining=mining)

    assert np.isnan(float(loss))
    assert np.isnan(gradient.numpy()).any()


def test_under_xla_statistics_of_nan_are_nan() -> None:
    compiled = tf.function(lambda *batch: measure_triplets(*batch, margin=0.1, distance="l2"), jit_compile=True)

    found = compiled(tf.constant([0, 0, 1]), tf.constant([[0.0], [np.nan], [1.0]]))

    assert np.isnan(found.active_share)
    assert np.isnan(found.mean_negative_distance)


def make_model(**settings):
    model = keras.Sequential([keras.layers.Identity()])
    model.compile(optimizer="sgd", loss=TripletLoss(), **settings)
    return model


def test_keras_names_the_row_that_is_nan_without_xla() -> None:
    rows = np.eye(4, dtype=np.float32)
    rows[3] = np.nan

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"rows:\] \[3\]"):
        make_model(jit_compile=False).evaluate(rows, np.array([0, 0, 1, 1]), verbose=0)


def test_keras_gives_nan_with_xla() -> None:
    rows = np.eye(4, dtype=np.float32)
    rows[3] = np.nan

    loss = make_model(jit_compile=True).evaluate(rows, np.array([0, 0, 1, 1]), verbose=0)

    assert np.isnan(loss)
