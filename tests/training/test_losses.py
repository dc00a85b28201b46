"""The triplet loss against a triple loop in numpy, and at the edges where such losses usually break."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from beedex.training.losses import Distance, Mining, TripletLoss, pairwise_distances, triplet_loss

MININGS: tuple[Mining, ...] = ("batch-all", "semi-hard", "batch-hard")
DISTANCES: tuple[Distance, ...] = ("l2", "squared-l2", "cosine")
MARGIN = 0.2


def measure(a: NDArray[np.float64], b: NDArray[np.float64], distance: Distance) -> float:
    if distance == "cosine":
        return float(1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    squared = float(((a - b) ** 2).sum())
    return squared if distance == "squared-l2" else squared**0.5


def list_terms(labels: NDArray[np.int64], rows: NDArray[np.float64], mining: Mining, distance: Distance) -> list[float]:
    """d(a, p) - d(a, n) of every triplet that the mining chooses."""
    everyone = range(len(labels))
    d = [[measure(rows[a], rows[b], distance) for b in everyone] for a in everyone]
    gaps: list[float] = []
    for a in everyone:
        positives = [p for p in everyone if p != a and labels[p] == labels[a]]
        negatives = [n for n in everyone if labels[n] != labels[a]]
        if not positives or not negatives:
            continue
        if mining == "batch-hard":
            gaps.append(max(d[a][p] for p in positives) - min(d[a][n] for n in negatives))
            continue
        for p in positives:
            if mining == "batch-all":
                gaps += [d[a][p] - d[a][n] for n in negatives]
            else:
                farther = [d[a][n] for n in negatives if d[a][n] > d[a][p]]
                gaps.append(d[a][p] - (min(farther) if farther else max(d[a][n] for n in negatives)))
    return gaps


def compute_oracle(
    labels: NDArray[np.int64], rows: NDArray[np.float64], mining: Mining, distance: Distance, *, soft: bool
) -> float:
    gaps = np.array(list_terms(labels, rows, mining, distance)) + MARGIN
    if len(gaps) == 0:
        return 0.0
    if soft:
        return float(np.logaddexp(0, gaps).mean())
    terms = np.maximum(gaps, 0)
    if mining == "batch-all":
        return float(terms[terms > 0].mean()) if (terms > 0).any() else 0.0
    return float(terms.mean())


def make_rows(kind: str, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    labels = generator.integers(0, 4, size=14)
    rows = generator.standard_normal((14, 6))
    if kind == "unbalanced":
        labels = np.array([0] * 11 + [1, 2, 2])
    if kind == "one class":
        labels = np.zeros(14, np.int64)
    if kind == "all lone":
        labels = np.arange(14)
    if kind == "one row":
        labels, rows = labels[:1], rows[:1]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if kind == "duplicates":
        rows[1] = rows[0]
        rows[5] = rows[4]
        labels[:2] = 0
        labels[4:6] = 1, 2
    if kind == "all equal":
        rows[:] = rows[0]
    if kind == "nearly equal":
        rows = rows[:1] + generator.uniform(-1e-4, 1e-4, rows.shape)
    return labels, rows.astype(np.float32)


KINDS = ("random", "unbalanced", "one class", "all lone", "one row", "duplicates", "all equal", "nearly equal")


@pytest.mark.parametrize(("mining", "distance", "soft"), list(itertools.product(MININGS, DISTANCES, (False, True))))
@pytest.mark.parametrize("kind", KINDS)
def test_loss_equals_the_triple_loop(kind: str, mining: Mining, distance: Distance, soft: bool) -> None:
    labels, rows = make_rows(kind, np.random.default_rng(7))

    found = float(triplet_loss(labels, rows, mining=mining, margin=MARGIN, distance=distance, soft=soft))

    expected = compute_oracle(labels, rows.astype(np.float64), mining, distance, soft=soft)
    assert found == pytest.approx(expected, abs=2e-6, rel=1e-5)


@pytest.mark.parametrize(("mining", "distance", "soft"), list(itertools.product(MININGS, DISTANCES, (False, True))))
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_finite_and_connected(kind: str, mining: Mining, distance: Distance, soft: bool) -> None:
    labels, rows = make_rows(kind, np.random.default_rng(3))
    embeddings = tf.Variable(rows)
    with tf.GradientTape() as tape:
        loss = triplet_loss(labels, embeddings, mining=mining, margin=MARGIN, distance=distance, soft=soft)

    gradient = tape.gradient(loss, embeddings)

    assert gradient is not None
    assert np.isfinite(gradient.numpy()).all()
    if kind in ("one class", "all lone", "one row"):
        assert not gradient.numpy().any()


@pytest.mark.parametrize(("mining", "distance"), list(itertools.product(MININGS, DISTANCES)))
def test_gradient_equals_finite_differences(mining: Mining, distance: Distance) -> None:
    labels, rows = make_rows("random", np.random.default_rng(11))
    embeddings = tf.Variable(rows)
    with tf.GradientTape() as tape:
        loss = triplet_loss(labels, embeddings, mining=mining, margin=MARGIN, distance=distance)
    gradient = tape.gradient(loss, embeddings).numpy()

    def differ(row: int, column: int) -> float:
        step = np.zeros(rows.shape)
        step[row, column] = 1e-6
        above, below = (
            compute_oracle(labels, rows.astype(np.float64) + sign * step, mining, distance, soft=False)
            for sign in (1, -1)
        )
        return (above - below) / 2e-6

    places = [(0, 0), (3, 2), (7, 5), (13, 1)]
    assert [gradient[place] for place in places] == pytest.approx([differ(*place) for place in places], abs=1e-4)


@pytest.mark.parametrize("mining", MININGS)
def test_loss_ignores_order_names_and_rotation(mining: Mining) -> None:
    generator = np.random.default_rng(5)
    labels, rows = make_rows("random", generator)
    order = generator.permutation(len(labels))
    rotation = np.linalg.qr(generator.standard_normal((6, 6)))[0].astype(np.float32)
    renamed = np.array([40, 10, 30, 20])[labels]

    values = [
        float(triplet_loss(*batch, mining=mining))
        for batch in ((labels, rows), (labels[order], rows[order]), (renamed, rows), (labels, rows @ rotation))
    ]

    assert values == pytest.approx([values[0]] * 4, rel=1e-4)


@pytest.mark.parametrize("far", [1e4, 1e6])
@pytest.mark.parametrize("mining", MININGS)
def test_softplus_is_finite_at_any_distance(mining: Mining, far: float) -> None:
    rows = np.array([[0.0, 0.0], [far, 0.0], [0.0, 1.0]], np.float32)
    variable = tf.Variable(rows)
    with tf.GradientTape() as tape:
        loss = triplet_loss([0, 0, 1], variable, mining=mining, soft=True)

    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()


def test_distances_of_close_rows_keep_their_digits() -> None:
    """In float32 the products cancel and 1e-4 comes out as anything from 0 to 1e-3."""
    row = np.array([0.6, 0.8, 0.0])
    rows = np.array([row, row + np.array([0, 0, 1e-4])], np.float32)

    found = float(pairwise_distances(rows, "l2")[0, 1])

    assert found == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_close(dtype: str) -> None:
    labels, rows = make_rows("random", np.random.default_rng(1))

    found = float(TripletLoss(margin=MARGIN)(labels, tf.cast(rows, dtype)))

    expected = compute_oracle(labels, rows.astype(np.float64), "batch-all", "l2", soft=False)
    assert found == pytest.approx(expected, rel=2e-2)


@pytest.mark.parametrize("mining", MININGS)
def test_compiled_model_trains_with_the_loss(mining: Mining) -> None:
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((3, 8))
    labels = np.repeat([0, 1, 2], 20)
    data = (centres[labels] + 0.8 * generator.standard_normal((60, 8))).astype(np.float32)
    layers = [keras.layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(seed=1))]
    model = keras.Sequential([*layers, keras.layers.UnitNormalization()])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=TripletLoss(mining=mining, margin=MARGIN))
    before = model.evaluate(data, labels, batch_size=60, verbose=0)

    model.fit(data, labels, batch_size=60, epochs=30, verbose=0)

    assert model.evaluate(data, labels, batch_size=60, verbose=0) < before


def test_config_round_trip_keeps_every_setting() -> None:
    loss = TripletLoss(mining="semi-hard", margin=0.3, distance="cosine", soft=True)

    restored = TripletLoss.from_config(loss.get_config())

    assert restored.get_config() == loss.get_config()


@pytest.mark.parametrize("settings", [{"mining": "hardest"}, {"distance": "manhattan"}, {"margin": -0.1}])
def test_unknown_settings_are_refused_by_name(settings: dict[str, object]) -> None:
    name = next(iter(settings))

    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        TripletLoss(**settings)  # type: ignore[arg-type]
