"""The network: the backbone's features, a small head, a unit vector.

    image (299, 299, 3) uint8
      -> backbone -> features (F,), unit norm             what the trained embedder is compared with
      -> standardized (S,) -> Dense (and one hidden layer, if asked for) -> embedding (D,), unit norm

The same network trains and serves. While the backbone is frozen, the features of a photo never change, so the head
trains on stored features alone and is joined to the backbone in the end.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import EMBEDDING_OUTPUT, FEATURES_OUTPUT
from beedex.training.backbone.weights import IMAGE_SIDE_PX
from beedex.training.fitting.standardization import Standardization

__all__ = [
    "HeadShape",
    "build_embedder",
    "build_head",
    "fold_standardization",
    "mirror_photos",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadShape:
    """The head's layers.

    Attributes:
        dimension: D of the embedding.
        hidden_units: of a ReLU layer before it; 0 for none.
        dropout: share of a layer's inputs that training drops.
    """

    dimension: int = 128
    hidden_units: int = 0
    dropout: float = 0.0


def build_head(
    feature_dimension: int, shape: HeadShape, *, seed: int, kernel: NDArray[np.floating] | None = None
) -> keras.Model:
    """Build the trained part: (B, F) features -> (B, D) unit vectors.

    Args:
        feature_dimension: F.
        shape: its layers.
        seed: of initial weights and dropout.
        kernel: (F, D), what the only Dense layer starts from, its bias at 0; None for chance.

    Raises:
        ValueError: the kernel doesn't fit, or there is a hidden layer.
    """
    if kernel is not None and (shape.hidden_units or kernel.shape != (feature_dimension, shape.dimension)):
        raise ValueError(
            f"`kernel` must be {(feature_dimension, shape.dimension)} for a head without a hidden layer. "
            f"Received: shape={kernel.shape}, hidden_units={shape.hidden_units}"
        )
    features = keras.Input((feature_dimension,), name="features_in")
    hidden = keras.layers.Dropout(shape.dropout, seed=seed, name="drop_features")(features)
    if shape.hidden_units:
        initializer = keras.initializers.HeNormal(seed=seed + 1)
        hidden = keras.layers.Dense(
            shape.hidden_units, activation="relu", kernel_initializer=initializer, name="hidden"
        )(hidden)
        hidden = keras.layers.Dropout(shape.dropout, seed=seed + 2, name="drop_hidden")(hidden)
    initializer = keras.initializers.GlorotUniform(seed=seed + 3)
    layer = keras.layers.Dense(shape.dimension, kernel_initializer=initializer, name="vector")
    vector = keras.layers.UnitNormalization(name="unit_vector")(layer(hidden))
    if kernel is not None:
        layer.kernel.assign(kernel)
    return keras.Model(features, vector, name="head")


def fold_standardization(head: keras.Model, standardization: Standardization) -> keras.Model:
    """Return a head for features as they are, given one for standardized features.

    Args:
        head: as from `build_head`; it stays as it is.
        standardization: becomes part of the first Dense layer.
    """
    features = keras.Input((len(standardization.mean),), name="features_in")
    rows, first = features, True
    for layer in head.layers[1:]:
        copied = type(layer).from_config(layer.get_config())
        rows = copied(rows)
        if isinstance(layer, keras.layers.Dense):
            weights = layer.get_weights()
            copied.set_weights(standardization.fold(*weights) if first else weights)
            first = False
    return keras.Model(features, rows, name=head.name)


def build_embedder(
    backbone: keras.Model, head: keras.Model, standardization: Standardization, *, test_views: int = 1
) -> keras.Model:
    """Join backbone and head into the network that serves.

    Args:
        backbone: as from `build_backbone`.
        head: as from `build_head`, trained on standardized features.
        standardization: of the features that it was trained on.
        test_views: 2 for `mirror_photos`, which doubles the work.

    Returns:
        A model (B, 299, 299, 3) uint8 -> {"embedding": (B, D), "features": (B, F)}.
    """
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    features = backbone(image)
    outputs = {
        EMBEDDING_OUTPUT: fold_standardization(head, standardization)(features),
        FEATURES_OUTPUT: features,
    }
    return mirror_photos(keras.Model(image, outputs, name="embedder"), test_views=test_views)


def mirror_photos(embedder: keras.Model, *, test_views: int) -> keras.Model:
    """Let an embedder look at a photo and at its mirror image, and answer with the mean direction of both.

    It is part of the network, so that trainer, indexer and server can't disagree about it. The features are averaged
    like the embedding: what the mirror image adds must not be credited to the head.

    Args:
        embedder: a model (B, 299, 299, 3) uint8 -> {"embedding": (B, D), "features": (B, F)}, unit vectors.
        test_views: 1 to leave it as it is, or 2.

    Raises:
        ValueError: *test_views* is something else.
    """
    if test_views == 1:
        return embedder
    if test_views != 2:
        raise ValueError(f"`test_views` must be 1, or 2 for the mirror image too. Received: test_views={test_views}")
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    # One pass over 2B photos rather than two passes: the weights stand in the network's file once.
    both = keras.layers.Concatenate(axis=0, name="photo_and_mirror")([image, keras.ops.flip(image, axis=2)])
    outputs = {
        name: keras.layers.UnitNormalization(name=f"{name}_of_both")(
            keras.ops.mean(keras.ops.reshape(vectors, (2, -1, vectors.shape[-1])), axis=0)  # (B, ...)
        )
        for name, vectors in embedder(both).items()
    }
    return keras.Model(image, outputs, name="embedder")
