"""The network: the backbone's features, a small head, a unit vector.

    image (299, 299, 3) uint8
      -> backbone -> features (F,), unit norm             what the trained embedder is compared with
      -> Dense (and one hidden layer, if asked for) -> embedding (D,), unit norm

The same network trains and serves. While the backbone is frozen, the features of a photo never change, so the head
trains on stored features alone and is joined to the backbone in the end.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import EMBEDDING_OUTPUT, FEATURES_OUTPUT
from beedex.training.features import Features
from beedex.training.weights import IMAGE_SIDE_PX

__all__ = [
    "HeadShape",
    "build_embedder",
    "build_head",
    "fold_standardization",
    "mirror_photos",
    "standardize",
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
    dropout: float = 0.5


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


def standardize(features: Features | NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the mean and the scale by which features are shifted and divided before a head sees them.

    Pooled ReLU features all point the same way; without the shift their cosines lie between 0.8 and 1 and the first
    steps of training only undo that.

    Args:
        features: of all views, read in pieces, or an array (..., F).

    Returns:
        (F,) mean, and one scale, chosen so that shifted and scaled features have a squared norm of 1 on average.
    """
    chunks = features.chunks() if isinstance(features, Features) else [features.reshape(-1, features.shape[-1])]
    count, total, squares = 0, 0.0, 0.0
    for chunk in chunks:
        rows = chunk.astype(np.float64)  # (n, F)
        count += len(rows)
        total = total + rows.sum(axis=0)  # (F,)
        squares += float((rows**2).sum())
    mean = np.asarray(total) / count
    # Unit vectors' squares in float64: the difference is exact to 1e-15.
    variance = squares / count - float(mean @ mean)
    return mean.astype(np.float32), float(np.sqrt(variance)) if variance > 1e-12 else 1.0


def fold_standardization(head: keras.Model, *, mean: NDArray[np.float32], scale: float) -> keras.Model:
    """Return a head for features as they are, given one for standardized features.

    The shift and the scale become part of the first Dense layer: W(x - m)/s + b is (W/s)x + (b - Wm/s).

    Args:
        head: as from `build_head`; it stays as it is.
        mean: (F,).
        scale: above 0.
    """
    folded = keras.models.clone_model(head)
    folded.set_weights(head.get_weights())
    first = next(layer for layer in folded.layers if isinstance(layer, keras.layers.Dense))
    kernel, bias = (array.astype(np.float64) for array in first.get_weights())
    first.set_weights([kernel / scale, bias - mean.astype(np.float64) @ kernel / scale])
    return folded


def build_embedder(
    backbone: keras.Model, head: keras.Model, *, mean: NDArray[np.float32], scale: float, test_views: int = 1
) -> keras.Model:
    """Join backbone and head into the network that serves.

    Args:
        backbone: as from `build_backbone`.
        head: as from `build_head`, trained on standardized features.
        mean: (F,), as from `standardize`.
        scale: above 0.
        test_views: 2 for `mirror_photos`, which doubles the work.

    Returns:
        A model (B, 299, 299, 3) uint8 -> {"embedding": (B, D), "features": (B, F)}.
    """
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    features = backbone(image)
    outputs = {
        EMBEDDING_OUTPUT: fold_standardization(head, mean=mean, scale=scale)(features),
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
