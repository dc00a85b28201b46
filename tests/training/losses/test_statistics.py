"""What a batch's statistics and the Keras metrics say, against loops in numpy."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from beedex.training.losses import (
    ActiveShare,
    HardestNegative,
    HardestPositive,
    MeanNegativeDistance,
    MeanPositiveDistance,
    TripletLoss,
    measure_triplets,
    triplet_loss,
    triplet_loss_with_statistics,
)

DISTANCES = ("l2", "squared-l2", "cosine")
MARGIN = 0.2
KINDS = ("random", "ties", "all equal", "lone anchors", "all lone", "one class", "one row", "unbalanced")


def compute_statistics(labels, distances):
    everyone = range(len(labels))
    positive = [(a, p) for a, p in itertools.permutations(everyone, 2) if labels[a] == labels[p]]
    negative = [(a, n) for a, n in itertools.permutations(everyone, 2) if labels[a] != labels[n]]
    triplets = [(a, p, n) for (a, p) in positive for (b, n) in negative if a == b]
    near = [distances[a][p] for a, p in positive]
    far = [distances[a][n] for a, n in negative]
    return {
        "active_share": np.mean([distances[a][p] + MARGIN > distances[a][n] for a, p, n in triplets] or [0]),
        "mean_positive_distance": np.mean(near or [0]),
        "mean_negative_distance": np.mean(far or [0]),
        "hardest_positive": max(near, default=0),
        "hardest_negative": min(far, default=0),
        "triplets": len(triplets),
        "positive_pairs": len(positive),
        "negative_pairs": len(negative),
    }


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_statistics_equal_the_loops(kind, distance, draw_batch, measure_oracle) -> None:
    labels, rows = draw_batch(kind, 12)

    found = measure_triplets(labels, rows, margin=MARGIN, distance=distance)

    expected = compute_statistics(labels, measure_oracle(rows.astype(np.float64), distance))
    assert {name: float(value) for name, value in found._asdict().items()} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("mining", "jit"), [("batch-all", True), ("semi-hard", False), ("batch-hard", False)])
def test_loss_and_statistics_come_from_one_call(mining, jit, draw_batch) -> None:
    labels, rows = draw_batch("random", 2)

    @tf.function(jit_compile=jit)
    def take(labels, rows):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            loss, seen = triplet_loss_with_statistics(labels, rows, mining=mining, margin=MARGIN)
        return loss, seen, tape.gradient(loss, rows)

    loss, seen, gradient = take(tf.constant(labels), tf.constant(rows))

    assert float(loss) == pytest.approx(float(triplet_loss(labels, rows, mining=mining, margin=MARGIN)), rel=1e-6)
    expected = measure_triplets(labels, rows, margin=MARGIN, distance="l2")
    assert [float(value) for value in seen] == pytest.approx([float(value) for value in expected], rel=1e-6)
    assert gradient.numpy().any()


def test_statistics_have_no_gradient(draw_batch) -> None:
    labels, rows = draw_batch("random", 2)
    embeddings = tf.Variable(rows)
    with tf.GradientTape() as tape:
        seen = measure_triplets(labels, embeddings, margin=MARGIN, distance="l2")

    assert tape.gradient(seen.mean_positive_distance, embeddings) is None


def test_an_empty_batch_has_no_statistics() -> None:
    seen = measure_triplets(tf.zeros([0], tf.int64), tf.zeros([0, 3]), margin=MARGIN, distance="l2")

    assert [float(value) for value in seen] == [0] * 8


METRICS = (ActiveShare, MeanPositiveDistance, MeanNegativeDistance, HardestPositive, HardestNegative)


def list_names():
    return [metric().name for metric in METRICS]


def make_metrics(distance):
    return [ActiveShare(MARGIN, distance), *(metric(distance) for metric in METRICS[1:])]


@pytest.mark.parametrize(("distance", "jit"), [*((distance, False) for distance in DISTANCES), ("l2", True)])
def test_compiled_metrics_equal_the_statistics(distance, jit, draw_batch) -> None:
    labels, rows = draw_batch("random", 2)
    model = keras.Sequential([keras.layers.Identity()])
    model.compile(loss=TripletLoss(), metrics=make_metrics(distance), jit_compile=jit)

    found = model.evaluate(rows, labels, batch_size=len(labels), verbose=0, return_dict=True)

    seen = measure_triplets(labels, rows, margin=MARGIN, distance=distance)._asdict()
    assert [found[name] for name in list_names()] == pytest.approx(
        [float(seen[name]) for name in list_names()], rel=1e-6
    )


def test_metrics_weigh_batches_by_what_they_hold(draw_batch) -> None:
    batches = [draw_batch(kind, 2) for kind in ("random", "lone anchors", "all lone", "one class")]
    metrics = make_metrics("l2")
    for labels, rows in batches:
        for metric in metrics:
            metric.update_state(labels, rows)

    seen = [measure_triplets(labels, rows, margin=MARGIN, distance="l2") for labels, rows in batches]
    weights: dict[str, list[float]] = {
        "active_share": [float(batch.triplets) for batch in seen],
        "mean_positive_distance": [float(batch.positive_pairs) for batch in seen],
        "mean_negative_distance": [float(batch.negative_pairs) for batch in seen],
        "hardest_positive": [1, 1, 0, 1],
        "hardest_negative": [1, 1, 1, 0],
    }
    for metric in metrics:
        values = [float(getattr(batch, metric.name)) for batch in seen]
        assert float(metric.result()) == pytest.approx(np.average(values, weights=weights[metric.name]), rel=1e-5)


def test_metrics_start_again_after_a_reset(draw_batch) -> None:
    labels, rows = draw_batch("random", 2)
    for metric in make_metrics("l2"):
        metric.update_state(labels, 3 * rows)
        metric.reset_state()
        assert float(metric.result()) == 0

        metric.update_state(labels, rows)

        seen = measure_triplets(labels, rows, margin=MARGIN, distance="l2")
        assert float(metric.result()) == pytest.approx(float(getattr(seen, metric.name)), rel=1e-6)
