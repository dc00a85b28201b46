"""Training a network on batches of triplets, and a head on stored features.

`fit` knows nothing of bees, heads or features: any network that turns rows into unit vectors will do. With held-out
photos it stops when it no longer gets better at them and keeps the best weights; how many steps those took is what a
training on all photos should take, along the same way down of the learning rate (`Fitted.harmless_share`).

The same arguments give the same weights bit for bit, in one process or in several that were killed in between.

Shapes: N photos, V views, F features, D dimension.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.training.backbone.features import Features
from beedex.training.fitting.feed import Feed
from beedex.training.fitting.fitconfig import FitConfig, Schedule
from beedex.training.fitting.history import History
from beedex.training.fitting.inputs import Inputs, StandardizedInputs
from beedex.training.fitting.interruption import StopRequest, await_sigterm
from beedex.training.fitting.loop import TrainingLoop
from beedex.training.fitting.model import HeadShape, build_head
from beedex.training.fitting.outlets import Outlets
from beedex.training.fitting.standardization import Standardization
from beedex.training.fitting.validation import Validation, Validator

__all__ = ["FitConfig", "Fitted", "Outlets", "Schedule", "TrainedHead", "Validation", "fit", "fit_head"]

# Rows that a head is given at once: features of 21,600 numbers take 86 MB.
ROWS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """How a training went.

    Attributes:
        history: of all steps, those after the best ones too.
        steps: taken.
        best_step: after which the network's weights are taken; None without held-out photos, when they are the last.
        schedule: that was followed.
    """

    history: History
    steps: int
    best_step: int | None
    schedule: Schedule

    @property
    def harmless_share(self) -> float:
        """The share of the planned steps that a training on all photos should take: as far as it did no harm.

        That is up to the last evaluation whose MAP@R isn't below the best one's by more than that one's standard error.
        The best of a dozen evaluations on 30 photos is mostly luck, and often an early one, before the rate has come
        down: on 154 field photos Recall@1 was 0.52 when trainings on all photos stopped at the best step, and 0.55 when
        they went on. A share and not a number of steps: more photos have longer epochs.
        """
        if self.best_step is None:
            return self.steps / self.schedule.planned_steps
        precisions, steps = self.history.validation_map_at_r, self.history.validation_steps
        best = int(np.flatnonzero(steps == self.best_step)[-1])
        enough = precisions[best] - self.history.validation_standard_error[best]
        return int(steps[precisions >= enough].max()) / self.schedule.planned_steps


def fit(
    network: keras.Model,
    inputs: Inputs,
    labels: NDArray[np.int64],
    groups: Sequence[str],
    config: FitConfig,
    *,
    validation: Validation | None = None,
    share: float = 1.0,
    outlets: Outlets | None = None,
) -> Fitted:
    """Train a network in place.

    Args:
        network: rows (B, ...) -> unit vectors (B, D). In the end it has the best weights by validation, or the last.
        inputs: what it is fed; each step draws one of each photo's views.
        labels: (N,).
        groups: (N,).
        config: how.
        validation: which photos are held out; a family may be among them alone.
        share: of the steps that *config* plans for a gallery of this size, how many are taken.
        outlets: checkpoint, TensorBoard and progress.

    Raises:
        ValueError: fewer than two families of the trained photos have two groups, or the held-out photos can't be
            looked up.
        TrainingError: the network collapsed or diverged.
        StoppedBySignal: SIGTERM came, and the state is in the checkpoint.
    """
    outlets = outlets or Outlets()
    validator = Validator(validation, labels, groups, seed=config.seed) if validation else None
    trained = validator.trained if validator else np.arange(len(labels))
    feed = Feed(inputs, labels, groups, trained, config)
    planned = config.plan(feed.describe().steps_per_epoch)
    schedule = replace(planned, stop_at=round(share * planned.planned_steps))
    if outlets.checkpoint:
        key = _extend_key(outlets.checkpoint.key, network, labels, groups, config, schedule, validation)
        outlets = replace(outlets, checkpoint=replace(outlets.checkpoint, key=key))
    with await_sigterm() if outlets.checkpoint else nullcontext(StopRequest()) as request:
        loop = TrainingLoop(network, feed, config, schedule=schedule, validator=validator, outlets=outlets)
        history = loop.run(request)
    best_step = loop.best.step if loop.best else None
    return Fitted(history=history, steps=loop.steps, best_step=best_step, schedule=schedule)


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """A head and how features are standardized for it.

    Attributes:
        head: (B, S) standardized features -> (B, D) unit vectors.
        standardization: of the features (B, F).
        fitted: how the training went.
    """

    head: keras.Model
    standardization: Standardization
    fitted: Fitted

    @property
    def history(self) -> History:
        """The training's, step by step."""
        return self.fitted.history

    def embed(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the unit vectors (N, D) of features (N, F) as `compute_features` gives them."""
        parts = [features[start : start + ROWS_AT_ONCE] for start in range(0, max(len(features), 1), ROWS_AT_ONCE)]
        vectors = [self.head(self.standardization.apply(part), training=False).numpy() for part in parts]
        return np.concatenate(vectors)


def fit_head(
    features: Features | StandardizedInputs | NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    shape: HeadShape,
    config: FitConfig,
    *,
    validation: Validation | None = None,
    share: float = 1.0,
    outlets: Outlets | None = None,
) -> TrainedHead:
    """Train a head.

    Args:
        features: of N photos in V views, or an array (N, V, F); or these as several heads are to take them, without the
            held-out photos' part in it.
        labels: (N,).
        groups: (N,).
        shape: the head's layers.
        config: how.
        validation: as for `fit`, like all that follows; held-out photos don't enter the standardization either.
        share: as for `fit`.
        outlets: what to write to.

    Raises:
        ValueError: as `fit`.
        TrainingError: as `fit`.
        StoppedBySignal: as `fit`.
    """
    if not isinstance(features, StandardizedInputs):
        held_out = validation.photos if validation else np.empty(0, np.int64)
        source = features if isinstance(features, Features) else Features.from_array(features)
        features = StandardizedInputs.fit(source, np.setdiff1d(np.arange(source.photos), held_out))
    head = build_head(features.standardization.dimension, shape, seed=config.seed)
    fitted = fit(head, features, labels, groups, config, validation=validation, share=share, outlets=outlets)
    return TrainedHead(head, features.standardization, fitted)


def _extend_key(
    key: str,
    network: keras.Model,
    labels: NDArray[np.int64],
    groups: Sequence[str],
    config: FitConfig,
    schedule: Schedule,
    validation: Validation | None,
) -> str:
    """Return a hash of the caller's key and of all else that decides a training but the inputs."""
    content = {
        "key": key,
        "config": asdict(config),
        "schedule": asdict(schedule),
        "labels": labels.tolist(),
        "groups": list(groups),
        "held_out": validation.photos.tolist() if validation else None,
        "reference": validation.reference.tolist() if validation and validation.reference is not None else None,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for variable in network.variables:  # the initial weights, and the seeds of dropout
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
