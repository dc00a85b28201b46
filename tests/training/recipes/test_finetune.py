"""Stage two against the whole network: the same numbers, the same gradients, the same embedder."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from beedex.index.preprocessing import prepare
from beedex.training.backbone.taps import (
    PLAIN_BLOCKS,
    TAPS,
    WHOLE_BLOCKS,
    Block,
    build_backbone,
    measure_batchnorm,
    parse_blocks,
)
from beedex.training.backbone.views import Views
from beedex.training.backbone.weights import load_inception
from beedex.training.fitting.model import HeadShape, build_embedder, build_head
from beedex.training.fitting.standardization import fit_standardization
from beedex.training.recipes.finetune import (
    build_tail_network,
    build_tuned_embedder,
    cache_activations,
    split_backbone,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 299, 299, 3), dtype=np.uint8)
# Without dropout, so that two networks can take the same step.
SHAPE = HeadShape(dimension=8, dropout=0.0)
TWO = Views(count=2)


class Stage:
    """A small backbone, a head, and the split between them, all by the same seeds."""

    def __init__(self, inception: keras.Model, blocks: tuple[Block, ...], unfreeze_from: str) -> None:
        self.inception, self.blocks = inception, blocks
        self.backbone = build_backbone(inception, blocks)
        features = self.backbone(IMAGES).numpy()
        self.standardization = fit_standardization(features)
        self.head = build_head(self.standardization.dimension, SHAPE, seed=0)
        self.split = split_backbone(inception, blocks, unfreeze_from=unfreeze_from)
        self.network = build_tail_network(self.split, self.head, self.standardization)

    def run_trunk(self, images: np.ndarray):
        return keras.tree.flatten(self.split.trunk(images))

    def embed(self, images: np.ndarray) -> dict[str, np.ndarray]:
        embedder = build_tuned_embedder(self.split, self.network, self.standardization)
        return {name: values.numpy() for name, values in embedder(images, training=False).items()}


@pytest.fixture
def stage(build_inception) -> Stage:
    return Stage(build_inception(), PLAIN_BLOCKS, "mixed9")


def measure_loss(vectors: tf.Tensor) -> tf.Tensor:
    """Any loss will do that sees all of the embedding."""
    wanted = np.random.default_rng(1).standard_normal((1, SHAPE.dimension)).astype(np.float32)
    return tf.reduce_mean(tf.reduce_sum((vectors - wanted) ** 2, axis=1))


def take_step(call, variables: list[keras.Variable], optimizer: keras.optimizers.Optimizer) -> None:
    with tf.GradientTape() as tape:
        value = measure_loss(call())
    optimizer.apply(tape.gradient(value, variables), variables)


def train_whole(stage: Stage, images: np.ndarray, optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """Take a step through the whole network, image to embedding, and return the weights that trained, by layer.

    Written without the split: layers of the inception itself, those behind the cut and no BatchNorm.
    """
    head = keras.models.clone_model(stage.head)
    head.set_weights(stage.head.get_weights())
    names = [layer.name for layer in stage.inception.layers]
    behind = stage.inception.layers[names.index(stage.split.cut) + 1 :]
    trained = [layer for layer in behind if isinstance(layer, keras.layers.Conv2D)]
    variables = [*(layer.kernel for layer in trained), *head.trainable_variables]
    found = stage.standardization

    def standardize(features: tf.Tensor) -> tf.Tensor:
        return tf.matmul((features - found.mean) / found.scale, found.directions)

    take_step(
        lambda: head(standardize(stage.backbone(images, training=False)), training=True),
        variables,
        optimizer,
    )
    return {layer.name: layer.kernel.numpy() for layer in trained} | {
        f"head {i}": weights for i, weights in enumerate(head.get_weights())
    }


def train_tail(stage: Stage, rows: list[np.ndarray], optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """Take the same step on activations."""
    take_step(lambda: stage.network(rows, training=True), stage.network.trainable_variables, optimizer)
    tail = stage.network.get_layer("tuned_tail")
    kernels = {layer.name: layer.kernel.numpy() for layer in find_layers(tail, keras.layers.Conv2D)}
    return kernels | {f"head {i}": weights for i, weights in enumerate(stage.network.get_layer("head").get_weights())}


def find_layers(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def assert_same_step(stage: Stage, images: np.ndarray, rows: list[np.ndarray], make_optimizer) -> None:
    before = {layer.name: layer.kernel.numpy() for layer in find_layers(stage.inception, keras.layers.Conv2D)}
    tuned = train_tail(stage, rows, make_optimizer())

    whole = train_whole(stage, images, make_optimizer())

    assert whole.keys() == tuned.keys()
    for name, weights in whole.items():
        np.testing.assert_allclose(tuned[name], weights, atol=1e-5, rtol=0, err_msg=name)
    assert all(np.abs(whole[name] - before[name]).max() > 1e-5 for name in whole.keys() & before.keys())


OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(1e-2),
    "AdamW": lambda: keras.optimizers.AdamW(1e-4, weight_decay=1e-4),
}


@pytest.mark.parametrize("unfreeze_from", TAPS)
@pytest.mark.parametrize("blocks", [PLAIN_BLOCKS, WHOLE_BLOCKS, parse_blocks("mixed10:gem")])
def test_trunk_and_tail_are_the_whole_backbone(build_inception, blocks, unfreeze_from: str) -> None:
    stage = Stage(build_inception(), blocks, unfreeze_from)
    expected = build_embedder(stage.backbone, stage.head, stage.standardization)(IMAGES)

    outputs = stage.embed(IMAGES)

    np.testing.assert_allclose(outputs["features"], expected["features"], atol=1e-6)
    np.testing.assert_allclose(outputs["embedding"], expected["embedding"], atol=1e-5)
    np.testing.assert_allclose(stage.network(stage.run_trunk(IMAGES)), expected["embedding"], atol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_on_activations_is_a_step_through_the_whole_network(stage, optimizer: str) -> None:
    assert_same_step(stage, IMAGES, stage.run_trunk(IMAGES), OPTIMIZERS[optimizer])


def test_nothing_trains_but_the_tail_without_its_batchnorm_and_the_head(stage) -> None:
    tail, head = stage.network.get_layer("tuned_tail"), stage.network.get_layer("head")
    kernels = [layer.kernel for layer in find_layers(tail, keras.layers.Conv2D)]

    assert {id(v) for v in stage.network.trainable_variables} == {id(v) for v in [*kernels, *head.weights]}
    assert len(kernels) == 2


def test_training_leaves_batchnorm_and_the_frozen_features_alone(stage) -> None:
    before = stage.embed(IMAGES)
    layers = find_layers(stage.network, keras.layers.BatchNormalization)
    statistics = [layer.get_weights() for layer in layers]

    for _ in range(3):
        train_tail(stage, stage.run_trunk(IMAGES), OPTIMIZERS["SGD"]())

    after = stage.embed(IMAGES)
    np.testing.assert_array_equal(after["features"], before["features"])
    assert np.abs(after["embedding"] - before["embedding"]).max() > 1e-3
    assert len(layers) == 2
    for layer, old in zip(layers, statistics, strict=True):
        for first, second in zip(layer.get_weights(), old, strict=True):
            np.testing.assert_array_equal(first, second)


def test_the_tuned_embedder_gives_what_was_trained(stage) -> None:
    for _ in range(3):
        train_tail(stage, stage.run_trunk(IMAGES), OPTIMIZERS["SGD"]())

    np.testing.assert_allclose(
        stage.embed(IMAGES)["embedding"], stage.network(stage.run_trunk(IMAGES), training=False), atol=1e-5
    )


def test_a_tuned_embedder_may_look_at_the_mirror_image_too(stage) -> None:
    train_tail(stage, stage.run_trunk(IMAGES), OPTIMIZERS["SGD"]())
    photos, mirrored = stage.embed(IMAGES), stage.embed(IMAGES[:, :, ::-1])

    embedder = build_tuned_embedder(stage.split, stage.network, stage.standardization, test_views=2)

    for name, vectors in embedder(IMAGES).items():
        both = photos[name] + mirrored[name]
        np.testing.assert_allclose(vectors, both / np.linalg.norm(both, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("blocks", [PLAIN_BLOCKS, parse_blocks("mixed10:max")])
def test_cached_activations_are_the_trunks(some_photos, build_inception, tmp_path, blocks) -> None:
    split = split_backbone(build_inception(), blocks, unfreeze_from="mixed9")

    activations = cache_activations(some_photos, split, views=TWO, cache=tmp_path)

    served = np.stack([prepare(photo.read()) for photo in some_photos])
    assert (activations.photos, activations.views) == (6, 2)
    for view, images in enumerate((served, served[:, :, ::-1])):
        expected = keras.tree.flatten(split.trunk(images))
        taken = activations.subset(np.array([5, 1, 2])).take(np.array([2, 0]), np.array([view, view]))
        assert len(taken) == len(expected) == len(split.shapes)
        for rows, whole in zip(taken, expected, strict=True):
            np.testing.assert_allclose(rows, whole.numpy()[[2, 5]], rtol=1e-5, atol=1e-4)


def test_activations_that_are_there_need_no_photo(photos, build_inception, tmp_path) -> None:
    split = split_backbone(build_inception(), PLAIN_BLOCKS, unfreeze_from="mixed9")
    first = cache_activations(photos, split, views=TWO, cache=tmp_path / "cache")
    for photo in photos:
        photo.path.unlink()

    again = cache_activations(photos, split, views=TWO, cache=tmp_path / "cache")

    np.testing.assert_array_equal(again.records[again.numbers], first.records[first.numbers])


def test_another_cut_has_activations_of_its_own(some_photos, build_inception, tmp_path) -> None:
    for unfreeze_from in ("mixed9", "mixed10"):
        split = split_backbone(build_inception(), PLAIN_BLOCKS, unfreeze_from=unfreeze_from)
        taken = cache_activations(some_photos[:1], split, views=Views(count=1), cache=tmp_path)
        assert taken.take(np.array([0]), np.array([0]))[0].shape[1:] == split.shapes[0]

    assert len(list((tmp_path / "activations").iterdir())) == 2


def test_a_split_is_cut_behind_the_block_before_the_first_that_trains(build_inception) -> None:
    split = split_backbone(build_inception(), PLAIN_BLOCKS, unfreeze_from="mixed9")

    assert split.cut == "mixed8"
    assert split.shapes == [(8, 8, 10), (2 * 7 + 2 * 9,)]  # mixed5 has 7 channels here, mixed7 9


def test_an_unknown_block_to_unfreeze_from_is_refused(build_inception) -> None:
    with pytest.raises(ValueError, match=r"one of mixed5, .* Received: 'mixed11'"):
        split_backbone(build_inception(), PLAIN_BLOCKS, unfreeze_from="mixed11")


def test_zoomed_blocks_are_refused_in_stage_two(build_inception) -> None:
    with pytest.raises(ValueError, match="expected blocks without @zoom"):
        split_backbone(build_inception(), parse_blocks("mixed10:max,mixed7:max@zoom"), unfreeze_from="mixed9")


def test_a_tail_without_features_is_refused(build_inception) -> None:
    with pytest.raises(ValueError, match="nothing would train: expected features from mixed9 or a later block"):
        split_backbone(build_inception(), parse_blocks("mixed7:max,mixed8:gem"), unfreeze_from="mixed9")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_on_cached_activations_of_inception_v3_gives_the_whole_networks_weights(
    some_photos, tmp_path, optimizer: str
) -> None:
    inception, _ = load_inception("random")
    images = np.stack([prepare(photo.read()) for photo in some_photos])
    measure_batchnorm(build_backbone(inception), images)
    stage = Stage(inception, PLAIN_BLOCKS, "mixed9")
    activations = cache_activations(some_photos, stage.split, views=Views(count=1), cache=tmp_path)
    every = np.arange(len(some_photos))

    assert_same_step(stage, images, list(activations.take(every, 0 * every)), OPTIMIZERS[optimizer])
