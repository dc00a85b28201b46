"""The loss against triple loops in numpy: every mining, margin, distance and dtype, on random and on bad batches."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from beedex.training.losses import Mining, TripletLoss, pairwise_distances, triplet_loss

MININGS: tuple[Mining, ...] = ("batch-all", "semi-hard", "batch-hard")
DISTANCES = ("l2", "squared-l2", "cosine")
DTYPES = ("float32", "float16", "bfloat16")
COMBINATIONS = list(itertools.product(MININGS, DISTANCES, (False, True)))
KINDS = (
    "random",
    "ties",
    "1e-7 apart",
    "all equal",
    "duplicates",
    "lone anchors",
    "all lone",
    "one class",
    "one row",
    "unbalanced",
    "long",
)
MARGIN = 0.2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mining", "distance", "soft"), COMBINATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_loss_equals_the_triple_loop(kind, mining, distance, soft, dtype, oracle, draw_batch) -> None:
    labels, rows = draw_batch(kind, 7)
    embeddings = tf.cast(rows, dtype)

    found = float(triplet_loss(labels, embeddings, mining=mining, margin=MARGIN, distance=distance, soft=soft))

    exact = tf.cast(embeddings, tf.float64).numpy()
    expected = oracle(labels, exact, mining=mining, distance=distance, margin=MARGIN, soft=soft)
    assert found == pytest.approx(expected, abs=2e-6, rel=1e-5)


@pytest.mark.parametrize("jit", [False, True], ids=["function", "jit"])
@pytest.mark.parametrize(
    ("mining", "distance", "soft"),
    # Distances and mining are compiled apart: every value of each is enough here, where compiling is what takes long.
    [*itertools.product(MININGS, ["l2"], (False, True)), *itertools.product(["semi-hard"], DISTANCES[1:], [False])],
)
def test_compiled_loss_equals_the_triple_loop(mining, distance, soft, jit, oracle, draw_batch) -> None:
    loss = TripletLoss(mining, MARGIN, distance, soft=soft)
    compiled = tf.function(loss, jit_compile=jit)
    batches = [draw_batch(kind, 5) for kind in KINDS if kind != "one row"]

    found = [float(compiled(tf.constant(labels), tf.constant(rows))) for labels, rows in batches]

    expected = [
        oracle(labels, rows.astype(np.float64), mining=mining, distance=distance, margin=MARGIN, soft=soft)
        for labels, rows in batches
    ]
    assert found == pytest.approx(expected, abs=2e-6, rel=1e-5)


@pytest.mark.parametrize("jit", [False, True], ids=["function", "jit"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_compiled_half_precision_equals_the_triple_loop(dtype, jit, oracle, draw_batch) -> None:
    labels, rows = draw_batch("random", 2)
    embeddings = tf.cast(rows, dtype)
    compiled = tf.function(TripletLoss("semi-hard", MARGIN), jit_compile=jit)

    found = float(compiled(tf.constant(labels), embeddings))

    exact = tf.cast(embeddings, tf.float64).numpy()
    expected = oracle(labels, exact, mining="semi-hard", distance="l2", margin=MARGIN, soft=False)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_distances_equal_the_double_loop(kind, distance, draw_batch, measure_oracle) -> None:
    _, rows = draw_batch(kind, 3)

    found = pairwise_distances(rows, distance).numpy()

    expected = np.array(measure_oracle(rows.astype(np.float64), distance))
    # A tenth of what the rows are apart; rounding leaves 1e-15 of a squared unit length, so 3e-8 of a distance of 0.
    assert found == pytest.approx(expected, abs=1e-8 if kind == "1e-7 apart" else 1e-7, rel=1e-6)
    assert (np.diagonal(found) == 0).all()


def test_distances_of_close_rows_keep_their_digits() -> None:
    """In float32 the products cancel and 1e-4 comes out as anything from 0 to 1e-3."""
    row = np.array([0.6, 0.8, 0.0])
    rows = np.array([row, row + np.array([0, 0, 1e-4])], np.float32)

    found = float(pairwise_distances(rows, "l2")[0, 1])

    assert found == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("size", [3, 128, 2048])
@pytest.mark.parametrize("length", [1e-3, 1.0, 1e4])
def test_equal_rows_are_exactly_0_apart(size, length) -> None:
    rows = np.random.default_rng(size).standard_normal((40, size)).astype(np.float32) * np.float32(length)
    rows[20:] = rows[:20]

    found = pairwise_distances(rows, "l2").numpy()

    assert (np.diagonal(found, 20) == 0).all()
    assert (found[:20, :20][~np.eye(20, dtype=bool)] > 0).all()


def test_a_batch_larger_than_its_classes_equals_the_triple_loop(oracle) -> None:
    """Many positives to an anchor and classes of many sizes: the walk over the positives is long and uneven."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(7), [40, 1, 2, 17, 3, 5, 9])
    order = generator.permutation(len(labels))
    labels, rows = labels[order], generator.standard_normal((len(labels), 3)).astype(np.float32)

    for mining, soft in itertools.product(MININGS, (False, True)):
        found = float(triplet_loss(labels, rows, mining=mining, margin=MARGIN, soft=soft))

        exact = rows.astype(np.float64)
        expected = oracle(labels, exact, mining=mining, distance="l2", margin=MARGIN, soft=soft)
        assert found == pytest.approx(expected, rel=1e-5), (mining, soft)
