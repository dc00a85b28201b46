"""The loss in other people's Keras models: compiled, in half precision, saved and loaded, with labels as they come."""

import subprocess
import sys

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
    TripletHardLoss,
    TripletLoss,
    TripletSemiHardLoss,
    triplet_loss,
)

MININGS = ("batch-all", "semi-hard", "batch-hard")
MARGIN = 0.2
MODES = {"eager": {"run_eagerly": True}, "function": {"jit_compile": False}, "jit": {"jit_compile": True}}


def draw_points():
    """Three classes that overlap."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((3, 8))
    labels = np.repeat([0, 1, 2], 20)
    return labels, (centres[labels] + 0.8 * generator.standard_normal((60, 8))).astype(np.float32)


def build_model(*, dtype=None, normalized=True):
    dense = keras.layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(seed=1), dtype=dtype)
    return keras.Sequential([keras.Input((8,)), dense, *([keras.layers.UnitNormalization()] if normalized else [])])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mining", MININGS)
def test_compiled_model_trains_with_the_loss(mining, mode) -> None:
    labels, points = draw_points()
    model = build_model()
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=TripletLoss(mining, MARGIN), **MODES[mode])
    before = model.evaluate(points, labels, batch_size=60, verbose=0)

    model.fit(points, labels, batch_size=60, epochs=20, verbose=0)

    assert model.evaluate(points, labels, batch_size=60, verbose=0) < before


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("mining", MININGS)
def test_compiled_model_trains_under_a_mixed_policy(mining, policy) -> None:
    labels, points = draw_points()
    model = build_model(dtype=policy, normalized=False)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=TripletLoss(mining, MARGIN))
    before = model.evaluate(points, labels, batch_size=60, verbose=0)

    model.fit(points, labels, batch_size=60, epochs=20, verbose=0)

    assert model(points).dtype == policy.removeprefix("mixed_")
    assert model.evaluate(points, labels, batch_size=60, verbose=0) < before


def test_a_last_batch_of_another_size_is_no_trouble() -> None:
    labels, points = draw_points()
    model = build_model()
    model.compile(optimizer="sgd", loss=TripletLoss("semi-hard", MARGIN), metrics=[ActiveShare(MARGIN)])

    history = model.fit(points, labels, batch_size=23, epochs=2, verbose=0).history

    assert np.isfinite(history["loss"]).all()
    assert 0 < history["active_share"][-1] < 1


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_labels_that_differ_in_the_last_bit_stay_apart(dtype) -> None:
    """In float32 2**24 and 2**24 + 1 are the same number, in bfloat16 256 and 257."""
    labels, points = draw_points()
    model = build_model()
    model.compile(loss=TripletLoss(margin=MARGIN, dtype=dtype))

    found = model.evaluate(points, labels + 2**24, batch_size=60, verbose=0)

    expected = triplet_loss(labels, model(points), margin=MARGIN)
    assert found == pytest.approx(float(tf.cast(expected, dtype)), rel=1e-6)


@pytest.mark.parametrize(
    "turn", [list, np.float32, np.int8, lambda x: np.array(x)[:, np.newaxis], lambda x: [*map(str, x)]]
)
def test_labels_of_any_dtype_and_both_shapes_are_taken(turn, draw_batch) -> None:
    labels, rows = draw_batch("random", 4)

    assert float(TripletLoss()(turn(labels), rows)) == float(triplet_loss(labels, rows))


def test_shapes_may_be_unknown_until_the_graph_runs(draw_batch) -> None:
    labels, rows = draw_batch("random", 4)
    signature = [tf.TensorSpec(None, tf.int64), tf.TensorSpec(None, tf.float32)]
    compiled = tf.function(triplet_loss, input_signature=signature)

    assert float(compiled(labels, rows)) == pytest.approx(float(triplet_loss(labels, rows)), rel=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError):
        compiled(labels, rows[np.newaxis])


@pytest.mark.parametrize(
    ("labels", "embeddings", "message"),
    [
        ([0, 1], np.zeros((2, 3, 4)), r"must be a matrix \(batch, dimension\).*Received: shape=\(2, 3, 4\)"),
        ([0, 1], np.zeros(2), r"must be a matrix.*Received: shape=\(2,\)"),
        (np.eye(2), np.zeros((2, 3)), r"not one-hot. Received: shape=\(2, 2\)"),
        (0, np.zeros((2, 3)), r"one integer a row.*Received: shape=\(\)"),
        ([0, 1, 2], np.zeros((2, 3)), r"as many labels as embeddings. Received: labels.shape=\(3,\)"),
        ([0, 1], np.zeros((2, 3), int), "floating point. Received: dtype=int64"),
    ],
)
def test_wrong_shapes_are_refused_with_what_came(labels, embeddings, message) -> None:
    with pytest.raises(ValueError, match=message):
        triplet_loss(labels, embeddings)


def test_weights_by_row_are_refused() -> None:
    labels, points = draw_points()
    model = build_model()
    model.compile(loss=TripletLoss())

    with pytest.raises(ValueError, match=r"no weight for a row.*Received: sample_weight"):
        model.evaluate(points, labels, sample_weight=np.ones(60), verbose=0)


def test_a_scalar_weight_is_a_factor(draw_batch) -> None:
    labels, rows = draw_batch("random", 4)

    assert float(TripletLoss()(labels, rows, sample_weight=0.5)) == 0.5 * float(triplet_loss(labels, rows))


@pytest.mark.parametrize(
    "thing",
    [
        TripletLoss("semi-hard", 0.3, "cosine", soft=True, name="mine", dtype="float16"),
        TripletSemiHardLoss(0.5, "angular", name="mine"),
        TripletHardLoss(0.5, soft=True, distance_metric="squared-L2"),
        ActiveShare(0.3, "cosine", name="mine"),
        MeanPositiveDistance("squared-l2"),
        MeanNegativeDistance("squared-l2"),
        HardestPositive("cosine", name="mine"),
        HardestNegative("cosine"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_config_round_trip_keeps_every_setting(thing) -> None:
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))

    assert type(restored) is type(thing)
    assert restored.get_config() == thing.get_config()


LOAD = """
import sys
import keras
import numpy as np
import beedex.training.losses

model = keras.models.load_model(sys.argv[1])
rows = np.load(sys.argv[2])
print(type(model.loss).__name__, *model.evaluate(rows["points"], rows["labels"], batch_size=60, verbose=0))
"""


@pytest.mark.slow
# Keras's own: it converts variables to arrays in a way that numpy 2 frowns on.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_saved_model_loads_in_a_fresh_process_without_custom_objects(tmp_path) -> None:
    labels, points = draw_points()
    model = build_model()
    model.compile(optimizer="adam", loss=TripletLoss("batch-hard", 0.3), metrics=[ActiveShare(0.3), HardestNegative()])
    model.fit(points, labels, batch_size=60, verbose=0)
    expected = model.evaluate(points, labels, batch_size=60, verbose=0)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "rows.npz", labels=labels, points=points)

    command = [sys.executable, "-c", LOAD, tmp_path / "model.keras", tmp_path / "rows.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    kind, *found = done.stdout.split()
    assert kind == "TripletLoss"
    assert [float(value) for value in found] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "settings", [{"mining": "hardest"}, {"distance": "manhattan"}, {"margin": -0.1}, {"margin": np.nan}]
)
def test_unknown_settings_are_refused_by_name(settings) -> None:
    name = next(iter(settings))

    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        TripletLoss(**settings)


def test_metrics_refuse_unknown_settings_by_name() -> None:
    with pytest.raises(ValueError, match=r"`distance`.*Received: distance='manhattan'"):
        MeanPositiveDistance("manhattan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`margin`.*Received: margin=-1"):
        ActiveShare(-1)
