"""Online triplet losses and their metrics for Keras 3 on the TensorFlow backend.

Nothing here needs the rest of the trainer. To use the loss alone, give it to any model that ends in embeddings; labels
are integers, one a row:

    >>> import keras
    >>> import numpy as np
    >>> from beedex.training.losses import ActiveShare, TripletLoss
    >>> keras.utils.set_random_seed(1)
    >>> layers = [keras.layers.Dense(4), keras.layers.UnitNormalization()]
    >>> model = keras.Sequential(layers)
    >>> loss = TripletLoss(mining="semi-hard", margin=0.2)
    >>> model.compile(optimizer="adam", loss=loss, metrics=[ActiveShare(margin=0.2)])
    >>> labels = np.repeat([7, 8, 9], 10)
    >>> rows = np.eye(3, dtype="float32")[labels - 7] + np.random.default_rng(0).normal(0, 0.3, (30, 3))
    >>> history = model.fit(rows, labels, batch_size=30, epochs=100, verbose=0).history
    >>> history["loss"][-1] < history["loss"][0] and history["active_share"][-1] < history["active_share"][0]
    True

A batch is only as good as its pairs: draw it so that every row has another of its label. A batch with NaN or infinity
raises an error that names the rows; but XLA (`jit_compile=True`, which Keras's `compile` chooses by itself on a GPU)
can't raise: there the loss is NaN, and `keras.callbacks.TerminateOnNaN` stops the training.

A saved model loads without `custom_objects` wherever this package has been imported: Keras by itself imports nothing
that a file names.

Without Keras, inside `tf.function` and outside, `triplet_loss` is the loss, and `triplet_loss_with_statistics` the loss
and what it saw.
"""

from beedex.training.losses.addons import TripletHardLoss, TripletSemiHardLoss
from beedex.training.losses.distances import Distance, pairwise_distances
from beedex.training.losses.metrics import (
    ActiveShare,
    HardestNegative,
    HardestPositive,
    MeanNegativeDistance,
    MeanPositiveDistance,
)
from beedex.training.losses.mining import Mining
from beedex.training.losses.statistics import TripletStatistics, measure_triplets
from beedex.training.losses.triplet import DEFAULT_MARGIN, TripletLoss, triplet_loss, triplet_loss_with_statistics

__all__ = [
    "DEFAULT_MARGIN",
    "ActiveShare",
    "Distance",
    "HardestNegative",
    "HardestPositive",
    "MeanNegativeDistance",
    "MeanPositiveDistance",
    "Mining",
    "TripletHardLoss",
    "TripletLoss",
    "TripletSemiHardLoss",
    "TripletStatistics",
    "measure_triplets",
    "pairwise_distances",
    "triplet_loss",
    "triplet_loss_with_statistics",
]
