"""The two losses of TensorFlow Addons against its formulas, written again in numpy, and where ours differ."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from beedex.training.losses import TripletHardLoss, TripletSemiHardLoss

METRICS = ("L2", "squared-L2", "angular")


def measure(rows, metric):
    """Addons' `pairwise_distance` and `angular_distance`."""
    if metric == "angular":
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.maximum(1 - units @ units.T, 1e-16)
    squared = ((rows[:, np.newaxis] - rows) ** 2).sum(2)
    return squared if metric == "squared-L2" else np.sqrt(squared)


def masked_minimum(data, mask):
    """Addons': over nothing it is the row's maximum."""
    most = data.max(1, keepdims=True)
    return ((data - most) * mask).min(1, keepdims=True) + most


def masked_maximum(data, mask):
    """Addons': over nothing it is the row's minimum."""
    least = data.min(1, keepdims=True)
    return ((data - least) * mask).max(1, keepdims=True) + least


def compute_semi_hard(labels, distances, margin):
    """Addons' `triplet_semihard_loss`, its B x B rows of B negatives and all."""
    size = len(labels)
    same = labels[:, np.newaxis] == labels
    tiled = np.tile(distances, (size, 1))  # row p * B + a: the distances of a
    farther = np.tile(~same, (size, 1)) & (tiled > distances.T.reshape(-1, 1))
    is_outside = farther.any(1).reshape(size, size).T
    outside = masked_minimum(tiled, farther).reshape(size, size).T
    inside = np.tile(masked_maximum(distances, ~same), (1, size))
    terms = margin + distances - np.where(is_outside, outside, inside)
    positives = same.astype(float) - np.eye(size)
    with np.errstate(invalid="ignore"):
        return np.maximum(terms * positives, 0).sum() / positives.sum()


def compute_hard(labels, distances, margin, soft):
    """Addons' `triplet_hard_loss`."""
    same = labels[:, np.newaxis] == labels
    near = masked_maximum(distances, same.astype(float) - np.eye(len(labels)))
    far = masked_minimum(distances, ~same)
    terms = np.log1p(np.exp(near - far)) if soft else np.maximum(near - far + margin, 0)
    return terms.mean()


def draw_pairs(seed):
    """A batch in which every anchor has a positive and a negative."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(5), [2, 3, 4, 5, 6]))
    return labels, generator.uniform(size=(20, 6)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("metric", "margin"), list(itertools.product(METRICS, (0.1, 1.0))))
@pytest.mark.parametrize("seed", range(3))
def test_semi_hard_loss_equals_addons(metric, margin, dtype, seed) -> None:
    labels, rows = draw_pairs(seed)
    embeddings = tf.cast(rows, dtype)

    found = float(TripletSemiHardLoss(margin, metric)(labels, embeddings))

    distances = measure(tf.cast(embeddings, tf.float64).numpy(), metric)
    assert found == pytest.approx(compute_semi_hard(labels, distances, margin), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("metric", "soft"), list(itertools.product(METRICS, (False, True))))
@pytest.mark.parametrize("seed", range(3))
def test_hard_loss_equals_addons(metric, soft, dtype, seed) -> None:
    labels, rows = draw_pairs(seed)
    embeddings = tf.cast(rows, dtype)

    found = float(TripletHardLoss(soft=soft, distance_metric=metric)(labels, embeddings))

    distances = measure(tf.cast(embeddings, tf.float64).numpy(), metric)
    assert found == pytest.approx(compute_hard(labels, distances, 1.0, soft), rel=1e-5)


def test_semi_hard_loss_equals_addons_with_lone_anchors_too() -> None:
    labels, rows = draw_pairs(0)
    labels[:4] = 10, 11, 12, 13

    found = float(TripletSemiHardLoss()(labels, rows))

    distances = measure(rows.astype(np.float64), "L2")
    assert found == pytest.approx(compute_semi_hard(labels, distances, 1.0), rel=1e-5)


def test_without_a_pair_semi_hard_is_0_where_addons_is_nan() -> None:
    labels, rows = np.arange(4), np.eye(4, dtype=np.float32)
    embeddings = tf.Variable(rows)
    with tf.GradientTape() as tape:
        loss = TripletSemiHardLoss()(labels, embeddings)

    assert np.isnan(compute_semi_hard(labels, measure(rows, "L2"), 1.0))
    assert float(loss) == 0
    assert tape.gradient(loss, embeddings).numpy().tolist() == np.zeros((4, 4)).tolist()


@pytest.mark.parametrize("loss", [TripletSemiHardLoss(), TripletHardLoss(), TripletHardLoss(soft=True)])
def test_one_label_gives_0_where_addons_gives_about_the_margin(loss) -> None:
    rows = np.eye(4, dtype=np.float32)

    assert compute_hard(np.zeros(4), measure(rows, "L2"), 1.0, soft=False) == pytest.approx(1.0)
    assert float(loss(np.zeros(4, int), rows)) == 0


def test_hard_loss_leaves_lone_anchors_out_where_addons_pairs_them_with_themselves() -> None:
    labels, rows = draw_pairs(1)
    labels[:3] = 10, 11, 12

    found = float(TripletHardLoss()(labels, rows))

    distances = measure(rows.astype(np.float64), "L2")
    gaps = [
        max(distances[a, p] for p in range(20) if p != a and labels[p] == labels[a])
        - distances[a, labels != labels[a]].min()
        for a in range(20)
        if (labels == labels[a]).sum() > 1
    ]
    assert found == pytest.approx(np.maximum(np.array(gaps) + 1, 0).mean(), rel=1e-5)
    assert found != pytest.approx(compute_hard(labels, distances, 1.0, soft=False), rel=1e-3)


def test_soft_hard_loss_is_finite_where_addons_overflows() -> None:
    rows = np.array([[0.0], [1000.0], [1.0]], np.float32)
    labels = np.array([0, 0, 1])

    with np.errstate(over="ignore"):
        assert np.isinf(compute_hard(labels, measure(rows, "L2"), 1.0, soft=True))
    assert np.isfinite(float(TripletHardLoss(soft=True)(labels, rows)))


@keras.saving.register_keras_serializable(package="tests")
def measure_manhattan(rows):
    return tf.reduce_sum(tf.abs(rows[:, tf.newaxis] - rows), axis=2)


@pytest.mark.parametrize("kind", [TripletSemiHardLoss, TripletHardLoss])
def test_a_function_may_be_the_distance(kind) -> None:
    labels, rows = draw_pairs(2)
    loss = kind(distance_metric=measure_manhattan)
    embeddings = tf.Variable(rows, dtype=tf.bfloat16)
    with tf.GradientTape() as tape:
        found = loss(labels, embeddings)

    exact = tf.cast(embeddings, tf.float64).numpy()
    distances = np.abs(exact[:, np.newaxis] - exact).sum(2)
    if kind is TripletSemiHardLoss:
        expected = compute_semi_hard(labels, distances, 1.0)
    else:
        expected = compute_hard(labels, distances, 1.0, soft=False)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert tf.cast(tape.gradient(found, embeddings), tf.float32).numpy().any()
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert restored.distance_metric is measure_manhattan


def test_unknown_distance_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"Expected one of \['L2', 'squared-L2', 'angular'\].*distance_metric='L_2'"):
        TripletSemiHardLoss(distance_metric="L_2")


def test_compiled_model_trains_with_both() -> None:
    labels, rows = draw_pairs(0)
    for loss in (TripletSemiHardLoss(), TripletHardLoss(soft=True)):
        model = keras.Sequential([keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))])
        model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss)

        history = model.fit(rows, labels, batch_size=20, epochs=30, verbose=0).history["loss"]

        assert history[-1] < history[0]
