"""Taps, poolings, and blocks joined to features."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from beedex.training.backbone.taps import (
    ALL_BLOCKS,
    DEFAULT_BLOCKS,
    POOLINGS,
    TAPS,
    WHOLE_BLOCKS,
    Block,
    block_columns,
    build_backbone,
    build_blocks,
    measure_batchnorm,
    parse_blocks,
    pool_taps,
    sort_blocks,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 299, 299, 3), dtype=np.uint8)


def normalize(vectors: np.ndarray):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pool(places: np.ndarray, pooling: str):
    """(B, h, w, C) to (B, C) by the formulas."""
    if pooling == "mean":
        return places.mean(axis=(1, 2))
    if pooling == "max":
        return places.max(axis=(1, 2))
    return (places.astype(np.float64) ** 3).mean(axis=(1, 2)) ** (1 / 3)


@pytest.mark.parametrize(
    "text", ["mixed3:mean", "mixed7", "mixed7:median", ":max", "mixed7:mean:max", "mixed7@zoom", "mixed7:max@zoomed"]
)
def test_an_unknown_block_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"expected TAP:POOLING or TAP:POOLING@zoom with a tap of mixed5, .* Received: "
    ):
        parse_blocks(text)


def test_no_block_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="one at least"):
        parse_blocks(" , ")


def test_blocks_are_written_and_read_alike() -> None:
    assert [Block.parse(str(block)) for block in ALL_BLOCKS] == list(ALL_BLOCKS)
    assert len(set(map(str, ALL_BLOCKS))) == len(ALL_BLOCKS) == 2 * len(TAPS) * len(POOLINGS)


def test_the_order_in_which_blocks_are_named_does_not_matter() -> None:
    assert sort_blocks(reversed(ALL_BLOCKS)) == ALL_BLOCKS
    assert parse_blocks("mixed10:max, mixed5:mean, mixed10:max") == (Block("mixed5", "mean"), Block("mixed10", "max"))


@pytest.mark.parametrize("blocks", [WHOLE_BLOCKS, ALL_BLOCKS, ALL_BLOCKS[18:]], ids=["whole", "both", "zoomed"])
def test_each_block_is_its_taps_places_pooled_to_unit_norm(build_inception, blocks) -> None:
    inception = build_inception()
    columns = block_columns(inception, blocks)

    vectors = build_blocks(inception, blocks)(IMAGES).numpy()

    scaled = IMAGES.astype(np.float32) / 127.5 - 1
    middle = tf.image.resize(scaled[:, 60:239, 60:239], (299, 299)).numpy()  # 0.6 of 299 is 179
    for block in blocks:
        seen = middle if block.zoomed else scaled
        places = keras.Model(inception.input, inception.get_layer(block.tap).output)(seen).numpy()
        np.testing.assert_allclose(
            vectors[:, columns[block]], normalize(pool(places, block.pooling)), atol=2e-6, err_msg=str(block)
        )
    assert vectors.shape[1] == columns[blocks[-1]].stop


@pytest.mark.parametrize(
    "blocks", [DEFAULT_BLOCKS, ALL_BLOCKS, (Block("mixed8", "gem"),), (Block("mixed8", "max", zoomed=True),)]
)
def test_features_are_the_blocks_joined_to_unit_norm(build_inception, blocks) -> None:
    inception = build_inception()
    columns = block_columns(inception, ALL_BLOCKS)
    vectors = build_blocks(inception, ALL_BLOCKS)(IMAGES).numpy()

    features = build_backbone(inception, blocks)(IMAGES).numpy()

    joined = np.concatenate([vectors[:, columns[block]] for block in blocks], axis=1)
    np.testing.assert_allclose(features, joined / np.sqrt(len(blocks)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def test_a_channel_without_a_spark_has_a_finite_gradient_under_generalized_mean() -> None:
    places = keras.Input((4, 4, 3))
    model = keras.Model(places, pool_taps({"mixed7": places}, [Block("mixed7", "gem")])[0])
    values = tf.constant(np.random.default_rng(0).uniform(0, 1, (2, 4, 4, 3)) * [0, 1, 1e-7], tf.float32)

    with tf.GradientTape() as tape:
        tape.watch(values)
        sparked = tf.reduce_sum(model(values) * [1.0, 2.0, 3.0])

    gradient = tape.gradient(sparked, values).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[..., 0] == 0).all()
    assert (gradient[..., 1] != 0).any()


def test_batchnorm_statistics_become_those_of_the_photos() -> None:
    image = keras.Input((299, 299, 3), dtype="uint8")
    layer = keras.layers.BatchNormalization()
    inner = keras.Sequential([keras.Input((299, 299, 3)), layer])
    model = keras.Model(image, inner(keras.layers.Rescaling(1 / 255)(image)))
    photos = np.random.default_rng(0).integers(0, 200, (32, 299, 299, 3), dtype=np.uint8)

    measure_batchnorm(model, photos)

    np.testing.assert_allclose(layer.moving_mean.numpy(), (photos / 255).mean(axis=(0, 1, 2)), rtol=1e-3)
    assert layer.momentum == 0.99


@pytest.mark.slow
# Keras saves its variables by a call that numpy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_backbone_opens_without_beedex(build_inception, tmp_path) -> None:
    backbone = build_backbone(build_inception(), ALL_BLOCKS)
    backbone.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    code = (
        "import sys, keras, numpy as np; model = keras.saving.load_model('model.keras', compile=False); "
        "np.save('features.npy', model(np.load('images.npy')).numpy()); assert 'beedex' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)

    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), backbone(IMAGES).numpy(), atol=1e-6)


def test_inception_v3_has_the_taps() -> None:
    inception = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(299, 299, 3))

    columns = block_columns(inception)

    assert [columns[block].stop - columns[block].start for block in WHOLE_BLOCKS[::3]] == [768] * 3 + [1280] + [
        2048
    ] * 2
    assert build_blocks(inception).output.shape == (None, 23040)
