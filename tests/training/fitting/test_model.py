"""Heads, standardization, and joining them to the network that serves."""

import keras
import numpy as np
import pytest

from beedex.training.backbone.features import Features
from beedex.training.backbone.forward import convert_to_openvino, run_forward
from beedex.training.backbone.taps import PLAIN_BLOCKS, build_backbone, measure_batchnorm
from beedex.training.fitting.model import HeadShape, build_embedder, build_head, fold_standardization
from beedex.training.fitting.standardization import fit_standardization

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 299, 299, 3), dtype=np.uint8)


def normalize(vectors: np.ndarray):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def draw_features(seed: int, *shape: int) -> np.ndarray:
    """Unit vectors that all point much the same way, as pooled ReLU features do."""
    vectors: np.ndarray = normalize(np.random.default_rng(seed).standard_normal(shape) + 3).astype(np.float32)
    return vectors


def embed(embedder: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values.numpy() for name, values in embedder(images, training=False).items()}


@pytest.mark.parametrize("hidden_units", [0, 24])
def test_a_head_gives_unit_vectors(hidden_units: int) -> None:
    head = build_head(20, HeadShape(dimension=6, hidden_units=hidden_units), seed=0)

    vectors = head(draw_features(0, 9, 20), training=False).numpy()

    assert vectors.shape == (9, 6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_head_starts_from_the_seed() -> None:
    first, again, other = (build_head(20, HeadShape(), seed=seed).get_weights() for seed in (3, 3, 4))

    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_a_head_starts_from_the_kernel_it_is_given() -> None:
    kernel = np.random.default_rng(0).standard_normal((20, 6))
    features = draw_features(0, 9, 20)

    head = build_head(20, HeadShape(dimension=6), seed=0, kernel=kernel)

    np.testing.assert_allclose(head(features, training=False), normalize(features @ kernel), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "kernel_shape"), [(HeadShape(dimension=6), (6, 20)), (HeadShape(dimension=6, hidden_units=8), (20, 6))]
)
def test_a_kernel_that_does_not_fit_is_refused(shape: HeadShape, kernel_shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"`kernel` must be \(20, 6\) .* Received"):
        build_head(20, shape, seed=0, kernel=np.zeros(kernel_shape))


def test_standardized_features_have_no_mean_and_unit_size() -> None:
    features = draw_features(3, 50, 2, 20)

    standardization = fit_standardization(features)

    standardized = standardization.apply(features)
    np.testing.assert_allclose(standardized.mean(axis=(0, 1)), 0, atol=1e-6)
    assert (standardized**2).sum(axis=-1).mean() == pytest.approx(1, abs=1e-5)


def test_features_in_pieces_are_standardized_like_the_whole(monkeypatch) -> None:
    features = draw_features(3, 50, 2, 20)
    monkeypatch.setattr("beedex.training.backbone.features.PHOTOS_AT_ONCE", 7)

    found = fit_standardization(Features.from_array(features).subset(np.arange(40)))

    rows = features[:40].reshape(80, 20).astype(np.float64)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-7)
    assert found.scale == pytest.approx(np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()), rel=1e-6)


def test_features_that_are_all_the_same_keep_their_scale() -> None:
    assert fit_standardization(np.tile(draw_features(0, 1, 20), (30, 1))).scale == 1.0


def test_turning_keeps_every_distance_between_the_rows_it_was_found_from() -> None:
    few = draw_features(4, 30, 2, 200)  # fewer rows than features
    many = draw_features(4, 300, 2, 20)

    for features in (few, many):
        turned = fit_standardization(features).apply(features).reshape(-1, 20 if features is many else 59)
        rows = features.reshape(-1, features.shape[-1])
        expected = np.linalg.norm(rows[:, np.newaxis] - rows, axis=-1) / fit_standardization(features).scale
        np.testing.assert_allclose(np.linalg.norm(turned[:, np.newaxis] - turned, axis=-1), expected, atol=1e-4)


def test_of_more_rows_than_are_looked_at_the_directions_of_largest_variance_are_found(monkeypatch) -> None:
    monkeypatch.setattr("beedex.training.fitting.standardization.MOST_DIRECTIONS", 3)
    generator = np.random.default_rng(0)
    spread = np.array([9, 7, 5, *[0.1] * 27], np.float32)
    features = generator.standard_normal((3000, 30)).astype(np.float32) * spread

    directions = fit_standardization(features).directions

    assert directions.shape == (30, 3)
    np.testing.assert_allclose(np.abs(directions[:3]), np.eye(3), atol=0.1)


@pytest.mark.parametrize("hidden_units", [0, 24])
def test_the_joined_network_gives_the_heads_vectors(build_inception, hidden_units: int) -> None:
    """The standardization folded into the first Dense layer changes nothing."""
    backbone = build_backbone(build_inception())
    features = backbone(IMAGES).numpy()
    standardization = fit_standardization(features)
    head = build_head(standardization.dimension, HeadShape(dimension=16, hidden_units=hidden_units), seed=0)
    before = head.get_weights()

    outputs = embed(build_embedder(backbone, head, standardization), IMAGES)

    np.testing.assert_allclose(outputs["embedding"], head(standardization.apply(features), training=False), atol=1e-5)
    np.testing.assert_array_equal(outputs["features"], features)
    for first, second in zip(before, head.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_folding_leaves_a_head_for_features_as_they_are() -> None:
    features = draw_features(0, 9, 20)
    standardization = fit_standardization(features)
    head = build_head(standardization.dimension, HeadShape(dimension=6), seed=0)

    folded = fold_standardization(head, standardization)

    np.testing.assert_allclose(folded(features), head(standardization.apply(features)), atol=1e-5)


def build_embedders(backbone: keras.Model) -> dict[int, keras.Model]:
    """By the number of test views, the same head."""
    features = backbone(IMAGES).numpy()
    standardization = fit_standardization(features)
    head = build_head(standardization.dimension, HeadShape(dimension=16), seed=0)
    return {views: build_embedder(backbone, head, standardization, test_views=views) for views in (1, 2)}


def test_with_two_test_views_the_answer_is_the_mean_direction_of_photo_and_mirror_image(build_inception) -> None:
    embedders = build_embedders(build_backbone(build_inception()))
    photos, mirrored = embed(embedders[1], IMAGES), embed(embedders[1], IMAGES[:, :, ::-1])

    outputs = embed(embedders[2], IMAGES)

    for name in ("embedding", "features"):
        np.testing.assert_allclose(outputs[name], normalize(photos[name] + mirrored[name]), atol=1e-5)
        np.testing.assert_allclose(embed(embedders[2], IMAGES[:, :, ::-1])[name], outputs[name], atol=1e-5)
        assert np.abs(outputs[name] - photos[name]).max() > 1e-3


@pytest.mark.parametrize("views", [1, 2])
def test_openvino_gives_the_embedding_of_keras(build_inception, views: int) -> None:
    embedder = build_embedders(build_backbone(build_inception()))[views]
    expected = embed(embedder, IMAGES)

    rows = list(run_forward(embedder, IMAGES, engine="openvino"))

    for name in ("embedding", "features"):
        np.testing.assert_allclose(np.stack([row[name] for row in rows]), expected[name], atol=1e-5)


@pytest.mark.parametrize("views", [0, 3])
def test_other_numbers_of_test_views_are_refused(build_inception, views: int) -> None:
    backbone = build_backbone(build_inception())
    standardization = fit_standardization(backbone(IMAGES).numpy())
    head = build_head(standardization.dimension, HeadShape(), seed=0)

    with pytest.raises(ValueError, match=f"Received: test_views={views}"):
        build_embedder(backbone, head, standardization, test_views=views)


@pytest.mark.slow
def test_inception_v3_with_two_test_views_is_one_network_file_of_the_same_size() -> None:
    inception = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(299, 299, 3))
    backbone = build_backbone(inception, PLAIN_BLOCKS)
    measure_batchnorm(backbone, IMAGES)  # without it, random weights give all photos nearly the same features
    embedders = build_embedders(backbone)
    expected = embed(embedders[2], IMAGES[:1])

    networks = {views: convert_to_openvino(embedder) for views, embedder in embedders.items()}
    (row,) = run_forward(embedders[2], IMAGES[:1], engine="openvino")

    sizes = {
        views: sum(node.get_byte_size() for node in network.get_ordered_ops() if node.get_type_name() == "Constant")
        for views, network in networks.items()
    }
    assert sizes[2] == pytest.approx(sizes[1], rel=1e-3)
    np.testing.assert_allclose(row["embedding"], expected["embedding"][0], atol=1e-4)
