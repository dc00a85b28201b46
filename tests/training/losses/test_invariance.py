"""What must not change the loss, and how it must change where something does."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from beedex.training.losses import triplet_loss

MININGS = ("batch-all", "semi-hard", "batch-hard")
COMBINATIONS = list(itertools.product(MININGS, ("l2", "squared-l2", "cosine"), (False, True)))


@pytest.mark.parametrize(("mining", "distance", "soft"), COMBINATIONS)
def test_loss_ignores_order_names_and_rotation(mining, distance, soft, draw_batch) -> None:
    generator = np.random.default_rng(5)
    labels, rows = draw_batch("random", 5)
    order = generator.permutation(len(labels))
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0].astype(np.float32)
    renamed = np.array([40, 10, 30, 20])[labels]
    batches = [(labels, rows), (labels[order], rows[order]), (renamed, rows), (labels, rows @ rotation)]

    values = [float(triplet_loss(*batch, mining=mining, distance=distance, soft=soft)) for batch in batches]

    assert values == pytest.approx([values[0]] * 4, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("mining", MININGS)
def test_gradient_moves_with_the_rows(mining, draw_batch) -> None:
    labels, rows = draw_batch("random", 8)
    order = np.random.default_rng(1).permutation(len(labels))

    def differentiate(order):
        embeddings = tf.Variable(rows[order])
        with tf.GradientTape() as tape:
            loss = triplet_loss(labels[order], embeddings, mining=mining)
        return tape.gradient(loss, embeddings).numpy()

    assert differentiate(order) == pytest.approx(differentiate(np.arange(len(labels)))[order], abs=1e-6)


@pytest.mark.parametrize("mining", MININGS)
def test_loss_ignores_where_the_rows_are(mining, draw_batch) -> None:
    labels, rows = draw_batch("random", 5)

    moved = float(triplet_loss(labels, rows + np.float32(100), mining=mining))

    # A float32 of size 100 is right to 4e-6.
    assert moved == pytest.approx(float(triplet_loss(labels, rows, mining=mining)), abs=2e-5)


@pytest.mark.parametrize(("distance", "power"), [("l2", 1), ("squared-l2", 2)])
@pytest.mark.parametrize("mining", MININGS)
def test_loss_scales_with_rows_and_margin(mining, distance, power, draw_batch) -> None:
    labels, rows = draw_batch("random", 5)

    scaled = float(triplet_loss(labels, 8 * rows, mining=mining, margin=0.25 * 8**power, distance=distance))

    value = float(triplet_loss(labels, rows, mining=mining, margin=0.25, distance=distance))
    assert scaled == pytest.approx(8**power * value, rel=1e-5)


@pytest.mark.parametrize("mining", MININGS)
def test_cosine_ignores_lengths(mining, draw_batch) -> None:
    labels, rows = draw_batch("random", 5)
    lengths = np.random.default_rng(0).uniform(1e-3, 1e3, (len(labels), 1)).astype(np.float32)

    value = float(triplet_loss(labels, lengths * rows, mining=mining, distance="cosine"))

    assert value == pytest.approx(float(triplet_loss(labels, rows, mining=mining, distance="cosine")), rel=1e-5)


@pytest.mark.parametrize("mining", ["semi-hard", "batch-hard"])
def test_a_lone_row_that_is_far_away_changes_nothing(mining, draw_batch) -> None:
    labels, rows = draw_batch("duplicates", 5)

    value = float(
        triplet_loss(np.append(labels, 99), np.vstack([rows, np.full((1, 6), 50.0, np.float32)]), mining=mining)
    )

    if mining == "batch-hard":
        assert value == pytest.approx(float(triplet_loss(labels, rows, mining=mining)), rel=1e-5)
    else:
        # Pairs that had no farther negative have this one now, and no term any more.
        assert value <= float(triplet_loss(labels, rows, mining=mining))


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=9), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_batch_hard_bounds_semi_hard(labels, seed) -> None:
    """The farthest positive and the nearest negative make the largest term that an anchor has."""
    rows = np.random.default_rng(seed).standard_normal((len(labels), 3)).astype(np.float32)
    pairs = sum(labels.count(label) - 1 for label in labels) if len(set(labels)) > 1 else 0
    anchors = sum(labels.count(label) > 1 for label in labels) if len(set(labels)) > 1 else 0

    semi_hard = float(triplet_loss(labels, rows, mining="semi-hard", margin=0.2)) * pairs
    hard = float(triplet_loss(labels, rows, mining="batch-hard", margin=0.2)) * anchors

    assert 0 <= semi_hard <= hard * max(labels.count(label) - 1 for label in labels) + 1e-5
