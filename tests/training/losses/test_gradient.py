"""The loss's gradient: finite and connected everywhere, and equal to what differences and plain TensorFlow give."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from beedex.training.losses import triplet_loss

MININGS = ("batch-all", "semi-hard", "batch-hard")
DISTANCES = ("l2", "squared-l2", "cosine")
COMBINATIONS = list(itertools.product(MININGS, DISTANCES, (False, True)))
WITHOUT_TRIPLETS = ("one class", "all lone", "one row")
KINDS = (
    "random",
    "ties",
    "1e-7 apart",
    "all equal",
    "duplicates",
    "lone anchors",
    "unbalanced",
    "long",
    *WITHOUT_TRIPLETS,
)
MARGIN = 0.2


def differentiate(labels, rows, **settings):
    embeddings = tf.Variable(rows)
    with tf.GradientTape() as tape:
        loss = triplet_loss(labels, embeddings, margin=MARGIN, **settings)
    return tape.gradient(loss, embeddings)


@pytest.mark.parametrize(("mining", "distance", "soft"), COMBINATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_finite_and_connected(kind, mining, distance, soft, draw_batch) -> None:
    labels, rows = draw_batch(kind, 3)

    gradient = differentiate(labels, rows, mining=mining, distance=distance, soft=soft)

    assert gradient is not None
    assert np.isfinite(gradient.numpy()).all()
    if kind in WITHOUT_TRIPLETS:
        assert not gradient.numpy().any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("mining", "distance", "soft"), COMBINATIONS)
def test_gradient_comes_back_in_half_precision(mining, distance, soft, dtype, draw_batch) -> None:
    labels, rows = draw_batch("random", 3)
    half = tf.cast(rows, dtype)
    settings = {"mining": mining, "distance": distance, "soft": soft}

    gradient = differentiate(labels, half, **settings)

    assert gradient.dtype == dtype
    precise = differentiate(labels, tf.cast(half, tf.float32), **settings)
    assert tf.cast(gradient, tf.float32).numpy() == pytest.approx(precise.numpy(), rel=1e-2, abs=1e-4)


@pytest.mark.parametrize(("mining", "distance", "soft"), COMBINATIONS)
def test_gradient_equals_finite_differences(mining, distance, soft, oracle, draw_batch) -> None:
    labels, rows = draw_batch("random", 11)
    settings = {"mining": mining, "distance": distance, "soft": soft}
    gradient = differentiate(labels, rows, **settings).numpy()

    def differ(row, column):
        step = np.zeros(rows.shape)
        step[row, column] = 1e-6
        values = [oracle(labels, rows + sign * step, margin=MARGIN, rounded=False, **settings) for sign in (1, -1)]
        return (values[0] - values[1]) / 2e-6

    places = [(0, 0), (3, 2), (7, 5), (13, 1)]
    assert [gradient[place] for place in places] == pytest.approx([differ(*place) for place in places], abs=1e-5)


def compute_cubic(labels, embeddings, *, mining, distance, soft):
    """The loss as B x B x B tensors in float64, which TensorFlow differentiates by itself."""
    rows = tf.cast(embeddings, tf.float64)
    if distance == "cosine":
        rows = tf.math.l2_normalize(rows, axis=1)
        distances = 1 - tf.matmul(rows, rows, transpose_b=True)
    else:
        distances = tf.reduce_sum(tf.square(rows[:, tf.newaxis] - rows), axis=2)
        if distance == "l2":
            # Off the diagonal the rows of these tests differ.
            distances = tf.sqrt(distances + tf.eye(len(labels), dtype=tf.float64))
    same = labels[:, np.newaxis] == labels
    positive, negative = same & ~np.eye(len(labels), dtype=bool), ~same
    gaps = distances[:, :, tf.newaxis] - distances[:, tf.newaxis, :]  # [a, p, n]
    triplets = positive[:, :, np.newaxis] & negative[:, np.newaxis, :]
    if mining == "semi-hard":
        farther = np.where(triplets & (gaps.numpy() < 0), gaps.numpy(), -np.inf)  # the nearest of the farther: the max
        inside = np.where(triplets, gaps.numpy(), np.inf)  # the farthest of all: the min
        chosen = np.where(np.isfinite(farther).any(2), farther.argmax(2), inside.argmin(2))
        triplets &= np.arange(len(labels)) == chosen[:, :, np.newaxis]
    if mining == "batch-hard":
        hardest = np.where(triplets, gaps.numpy(), -np.inf).max((1, 2), keepdims=True)
        triplets &= gaps.numpy() == hardest
    terms = tf.boolean_mask(gaps, triplets) + MARGIN
    terms = tf.math.softplus(terms) if soft else tf.nn.relu(terms)
    if mining == "batch-all" and not soft:
        terms = tf.boolean_mask(terms, terms > 0)
    return tf.reduce_mean(terms)


@pytest.mark.parametrize(("mining", "distance", "soft"), COMBINATIONS)
def test_gradient_equals_the_cubic_forms(mining, distance, soft) -> None:
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 6, 50)
    embeddings = tf.Variable(generator.standard_normal((50, 8)), dtype=tf.float32)
    settings = {"mining": mining, "distance": distance, "soft": soft}
    with tf.GradientTape() as tape:
        expected = compute_cubic(labels, embeddings, **settings)

    gradient = differentiate(labels, embeddings, **settings)

    assert gradient.numpy() == pytest.approx(tape.gradient(expected, embeddings).numpy(), abs=1e-6, rel=1e-4)


@pytest.mark.parametrize(("mining", "soft"), list(itertools.product(MININGS, (False, True))))
def test_compiled_gradient_equals_the_eager_one(mining, soft, draw_batch) -> None:
    labels, rows = draw_batch("random", 9)
    compiled = tf.function(differentiate_compiled, jit_compile=True)

    found = compiled(tf.constant(labels), tf.constant(rows), mining, soft)

    expected = differentiate(labels, rows, mining=mining, soft=soft)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def differentiate_compiled(labels, rows, mining, soft):
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = triplet_loss(labels, rows, mining=mining, margin=MARGIN, soft=soft)
    return tape.gradient(loss, rows)


@pytest.mark.parametrize("soft", [False, True])
def test_gradient_of_the_gradient_is_refused(soft, draw_batch) -> None:
    """By hand written slopes are constants to TensorFlow: it would return 0 for a curvature that isn't."""
    labels, rows = draw_batch("random", 1)
    embeddings = tf.Variable(rows)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = triplet_loss(labels, embeddings, soft=soft)
        length = tf.reduce_sum(tf.square(inner.gradient(loss, embeddings)))

    with pytest.raises(NotImplementedError, match="second order"):
        outer.gradient(length, embeddings)


def test_loss_composes_with_what_is_around_it(draw_batch) -> None:
    """A factor on the loss is a factor on the gradient, and a layer below gets the chain rule."""
    labels, rows = draw_batch("random", 6)
    weights = tf.Variable(np.eye(6), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = 3.0 * triplet_loss(labels, tf.matmul(rows, weights), margin=MARGIN)

    expected = 3.0 * tf.matmul(rows, differentiate(labels, rows), transpose_a=True)
    assert tape.gradient(loss, weights).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
