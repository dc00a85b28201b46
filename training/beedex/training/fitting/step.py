"""One step of a training: a batch's rows in, new weights and the batch's numbers out.

Shapes: B batch, D dimension.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beedex.training.fitting.fitconfig import FitConfig
from beedex.training.fitting.inputs import Rows
from beedex.training.losses import Mining, triplet_loss_with_statistics

__all__ = ["TrainingStep", "compile_embedding"]


class TrainingStep:
    """A network's step, compiled once for each mining.

    Args:
        network: (B, ...) -> (B, D); its trainable variables change.
        config: loss and optimizer.

    Attributes:
        optimizer: its learning rate is that of the last step.
        mining: which triplets count; may be changed between steps.
    """

    def __init__(self, network: keras.Model, config: FitConfig) -> None:
        self._network, self._config = network, config
        self.optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
        self.optimizer.build(network.trainable_variables)
        self.mining: Mining = config.mining
        # Nothing in it needs AutoGraph, whose conversion takes 0.8 s of a process's first step.
        self._take = tf.function(self._trace, reduce_retracing=True, autograph=False)

    def take(self, rows: Rows, labels: NDArray[np.int64], rate: float) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one step.

        Args:
            rows: what the network is fed.
            labels: (B,).
            rate: the learning rate.

        Returns:
            (5,) the numbers of `history.MEASURED`, and (B, D) embeddings, both of the weights before the step;
            nothing waits for them until they are read.

        Raises:
            tf.errors.InvalidArgumentError: an embedding isn't finite.
        """
        measured, embeddings = self._take(
            _as_tensors(rows), tf.constant(labels), tf.constant(rate, tf.float32), self.mining
        )
        return measured, embeddings

    def forget(self) -> None:
        """Set the optimizer's moments back to 0: they are those of a way that was left."""
        for variable in self.optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))

    def _trace(
        self, rows: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor, mining: Mining
    ) -> tuple[tf.Tensor, tf.Tensor]:
        config = self._config
        with tf.GradientTape() as tape:
            embeddings = self._network(rows, training=True)  # (B, D)
            loss, seen = triplet_loss_with_statistics(
                labels,
                embeddings,
                mining=mining,
                margin=config.margin,
                distance=config.distance,
                soft=config.soft,
            )
        gradients = tape.gradient(loss, self._network.trainable_variables)
        self.optimizer.learning_rate.assign(rate)
        self.optimizer.apply(gradients, self._network.trainable_variables)
        distances = (seen.mean_positive_distance, seen.mean_negative_distance)
        return tf.stack([loss, seen.active_share, *distances, rate]), embeddings


def compile_embedding(network: keras.Model) -> Callable[[Rows], NDArray[np.float32]]:
    """Return a function that gives rows (B, ...) their vectors (B, D), compiled once for any B."""
    specs = [tf.TensorSpec((None, *rows.shape[1:]), rows.dtype) for rows in network.inputs]
    signature = tuple(specs) if len(specs) > 1 else specs[0]
    compiled = tf.function(lambda rows: network(rows, training=False), input_signature=[signature], autograph=False)

    def embed(rows: Rows) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = compiled(_as_tensors(rows)).numpy()
        return vectors

    return embed


def _as_tensors(rows: Rows) -> tf.Tensor | tuple[tf.Tensor, ...]:
    # A compiled function is compiled anew for each numpy array.
    return tuple(map(tf.constant, rows)) if isinstance(rows, tuple) else tf.constant(rows)
