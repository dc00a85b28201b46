"""Training a head on cached features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beedex.training.batches import Batches
from beedex.training.losses import DEFAULT_MARGIN, Distance, Mining, TripletLoss
from beedex.training.model import HeadShape, build_head, standardize

__all__ = ["FitConfig", "TrainedHead", "fit_head"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """How a head is trained.

    Attributes:
        mining: which triplets of a batch count.
        margin: in units of the distance.
        distance: between embeddings.
        soft: softplus instead of the hinge.
        families_per_batch: P.
        photos_per_family: K.
        epochs: passes over the photos, as far as `fewest_steps` and `most_steps` let them.
        fewest_steps: a gallery of a few dozen photos has two batches an epoch and needs this many to settle.
        most_steps: a head on frozen features is done by then, however large the gallery.
        learning_rate: of AdamW at the start; it falls to 0 along a cosine.
        weight_decay: of AdamW.
        seed: of initial weights, dropout and batches.
    """

    mining: Mining = "batch-all"
    margin: float = DEFAULT_MARGIN
    distance: Distance = "l2"
    soft: bool = False
    families_per_batch: int = 8
    photos_per_family: int = 5
    epochs: int = 60
    fewest_steps: int = 300
    most_steps: int = 4000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no training can do."""
        for name in ("families_per_batch", "photos_per_family"):
            if getattr(self, name) < 2:
                raise ValueError(f"`{name}` must be at least 2. Received: {name}={getattr(self, name)}")
        TripletLoss(self.mining, self.margin, self.distance, soft=self.soft)


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """A head and how features are standardized for it.

    Attributes:
        head: (B, F) standardized features -> (B, D) unit vectors.
        mean: (F,).
        scale: above 0.
        losses: (steps,) of the training.
    """

    head: keras.Model
    mean: NDArray[np.float32]
    scale: float
    losses: NDArray[np.float32]

    def embed(self: Self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unit vectors (N, D) of features (N, F) as `compute_features` gives them."""
        standardized = (features - self.mean) / self.scale
        vectors: NDArray[np.float32] = self.head(standardized, training=False).numpy()
        return vectors


def fit_head(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    shape: HeadShape,
    config: FitConfig,
) -> TrainedHead:
    """Train a head.

    Args:
        features: (N, V, F), V views of each photo; each step draws one of them.
        labels: (N,).
        groups: (N,).
        shape: the head's layers.
        config: how.

    Raises:
        ValueError: fewer than two families have photos of two groups.
    """
    generator = np.random.default_rng(config.seed)
    batches = Batches(
        labels,
        groups,
        families_per_batch=config.families_per_batch,
        photos_per_family=config.photos_per_family,
        generator=generator,
    )
    steps = int(np.clip(config.epochs * batches.steps_per_epoch, config.fewest_steps, config.most_steps))
    mean, scale = standardize(features)
    head = build_head(features.shape[-1], shape, seed=config.seed)
    take_step = _compile_step(head, config, steps)
    losses: list[tf.Tensor] = []
    while len(losses) < steps:
        for batch in batches.draw_epoch():
            views = generator.integers(features.shape[1], size=len(batch))
            rows = (features[batch, views] - mean) / scale  # (B, F)
            losses.append(take_step(tf.constant(rows), tf.constant(labels[batch])))
            if len(losses) == steps:
                break
    return TrainedHead(head, mean, scale, np.array([float(loss) for loss in losses], dtype=np.float32))


def _compile_step(head: keras.Model, config: FitConfig, steps: int) -> tf.types.experimental.PolymorphicFunction:
    loss = TripletLoss(config.mining, config.margin, config.distance, soft=config.soft)
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.build(head.trainable_variables)

    def take_step(rows: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(labels, head(rows, training=True))
        gradients = tape.gradient(value, head.trainable_variables)
        optimizer.apply(gradients, head.trainable_variables)
        return value

    return tf.function(take_step, reduce_retracing=True)
