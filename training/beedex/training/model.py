"""The network: InceptionV3 without its top, pooled features, a small head, a unit vector.

    image (299, 299, 3) uint8
      -> scaling to [-1, 1] -> InceptionV3, tapped after three of its blocks
      -> mean and max over each tap's places, joined
      -> features (7168,), unit norm       what the trained embedder is compared with
      -> Dense (and one hidden layer, if asked for) -> embedding (128,), unit norm

The same network trains and serves. While the backbone is frozen, the features of a photo never change, so the head
trains on cached features alone and is joined to the backbone in the end.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import EMBEDDING_OUTPUT, FEATURES_OUTPUT
from beedex.training.weights import IMAGE_SIDE_PX

__all__ = ["TAPS", "HeadShape", "build_backbone", "build_embedder", "build_head", "measure_batchnorm", "standardize"]

# Late blocks know things, earlier ones texture: hair, veins, punctures. While the drawn gallery was made, joining them
# raised Recall@1 on 144 drawn bees from 0.73 to 0.78; on 154 field photos of wild bees it changed nothing that shows.
TAPS = ("mixed10", "mixed7", "mixed5")

# Photos in a forward pass that only measures statistics; larger ones need more memory for no gain.
STATISTICS_BATCH = 16


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


def build_backbone(inception: keras.Model) -> keras.Model:
    """Wrap InceptionV3 so that it takes a prepared photo and gives pooled features.

    Args:
        inception: without its top, input in [-1, 1].

    Returns:
        A model (B, 299, 299, 3) uint8 -> (B, 7168) float32 of unit norm. Mean and max are joined because the one sees
        how much of a pattern there is and the other whether it is there at all.
    """
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1, name="scaling")(image)
    tapped = keras.Model(inception.input, [inception.get_layer(tap).output for tap in TAPS], name="inception_v3")
    parts = []
    for tap, places in zip(TAPS, tapped(scaled), strict=True):  # (B, h, w, C)
        mean = keras.layers.GlobalAveragePooling2D(name=f"{tap}_mean")(places)
        highest = keras.layers.GlobalMaxPooling2D(name=f"{tap}_max")(places)
        # Every layer is named: Keras's own numbers go on counting from model to model, and with them the names in the
        # network file, and so the fingerprint, would depend on what else the process had built.
        parts.append(keras.layers.UnitNormalization(name=f"{tap}_mean_unit")(mean))
        parts.append(keras.layers.UnitNormalization(name=f"{tap}_max_unit")(highest))
    joined = keras.layers.Concatenate(name="joined")(parts)  # (B, 7168)
    features = keras.layers.UnitNormalization(name=FEATURES_OUTPUT)(joined)
    return keras.Model(image, features, name="backbone")


def build_head(feature_dimension: int, shape: HeadShape, *, seed: int) -> keras.Model:
    """Build the trained part: (B, F) features -> (B, D) unit vectors."""
    features = keras.Input((feature_dimension,), name="features_in")
    hidden = keras.layers.Dropout(shape.dropout, seed=seed, name="drop_features")(features)
    if shape.hidden_units:
        initializer = keras.initializers.HeNormal(seed=seed + 1)
        hidden = keras.layers.Dense(
            shape.hidden_units, activation="relu", kernel_initializer=initializer, name="hidden"
        )(hidden)
        hidden = keras.layers.Dropout(shape.dropout, seed=seed + 2, name="drop_hidden")(hidden)
    initializer = keras.initializers.GlorotUniform(seed=seed + 3)
    vector = keras.layers.Dense(shape.dimension, kernel_initializer=initializer, name="vector")(hidden)
    return keras.Model(features, keras.layers.UnitNormalization(name="unit_vector")(vector), name="head")


def standardize(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the mean and the scale by which features are shifted and divided before a head sees them.

    Pooled ReLU features all point the same way; without the shift their cosines lie between 0.8 and 1 and the first
    steps of training only undo that.

    Args:
        features: (..., F).

    Returns:
        (F,) mean, and one scale, chosen so that shifted and scaled features have a squared norm of 1 on average.
    """
    rows = features.reshape(-1, features.shape[-1]).astype(np.float64)
    mean = rows.mean(axis=0)
    scale = float(np.sqrt(((rows - mean) ** 2).sum(axis=1).mean()))
    return mean.astype(np.float32), scale if scale > 0 else 1.0


def build_embedder(backbone: keras.Model, head: keras.Model, *, mean: NDArray[np.float32], scale: float) -> keras.Model:
    """Join backbone and head into the network that serves.

    The shift and the scale of `standardize` become part of the head's first Dense layer: W(x - m)/s + b is
    (W/s)x + (b - Wm/s).

    Args:
        backbone: as from `build_backbone`.
        head: as from `build_head`, trained on standardized features.
        mean: (F,).
        scale: above 0.

    Returns:
        A model (B, 299, 299, 3) uint8 -> {"embedding": (B, D), "features": (B, F)}.
    """
    joined = keras.models.clone_model(head)
    joined.set_weights(head.get_weights())
    first = next(layer for layer in joined.layers if isinstance(layer, keras.layers.Dense))
    kernel, bias = (array.astype(np.float64) for array in first.get_weights())
    first.set_weights([kernel / scale, bias - mean.astype(np.float64) @ kernel / scale])
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    features = backbone(image)
    return keras.Model(image, {EMBEDDING_OUTPUT: joined(features), FEATURES_OUTPUT: features}, name="embedder")


def measure_batchnorm(backbone: keras.Model, images: NDArray[np.uint8]) -> None:
    """Set the moving statistics of every BatchNorm layer to those of *images*.

    A random backbone has statistics of 0 and 1, with which its activations fade or explode from block to block. A
    pretrained one needs none of this.

    Args:
        backbone: changed in place.
        images: (N, 299, 299, 3) uint8, in random order.
    """
    layers = [layer for layer in backbone._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]  # noqa: SLF001 - Keras has no public walk over nested layers
    momenta = [layer.momentum for layer in layers]
    for step, start in enumerate(range(0, len(images), STATISTICS_BATCH)):
        for layer in layers:
            layer.momentum = step / (step + 1)  # the running mean over batches
        backbone(images[start : start + STATISTICS_BATCH], training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
