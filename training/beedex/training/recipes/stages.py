"""The stages of a training: choose blocks, train a head on their features, and then, if asked for, the tail along.

How long to train is found on photos that are held out for it, by group; then a new network is trained on all photos
for as many epochs. With few photos that is worth more than the quarter of them that would be lost.

Shapes: N photos, n photos to embed, F features, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.training.backbone.features import Features
from beedex.training.fitting.batches import find_trainable
from beedex.training.fitting.fit import Fitted, TrainedHead, Validation, fit, fit_head
from beedex.training.fitting.history import History
from beedex.training.fitting.outlets import Outlets
from beedex.training.folds import assign_folds
from beedex.training.recipes.finetune import build_tail_network
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.selection import Selection, choose_blocks

__all__ = ["Choices", "OpenOutlets", "TrainedStages", "open_no_outlets", "train_stages"]

# One of so many folds of the training photos is held out to find how long to train.
VALIDATION_FOLDS = 4

# Photos embedded at once by a tail: their activations take 42 MB at mixed8.
PHOTOS_AT_ONCE = 128

# Gives each part of a training what it writes to: "head-trial", "head", "tail-trial", "tail".
OpenOutlets = Callable[[str], Outlets]


def open_no_outlets(part: str, /) -> Outlets:
    """Let a part write nothing."""
    del part
    return Outlets()


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What was found on held-out photos; another training may take it over.

    Attributes:
        selection: of blocks; None where there was nothing to choose.
        head: share of the planned steps that the head trains.
        tail: likewise for stage two.
    """

    selection: Selection | None = None
    head: float = 1.0
    tail: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainedStages:
    """A trained embedder, before it is joined for serving.

    Attributes:
        recipe: that was followed.
        choices: that were made.
        head: of stage one.
        tail: the network of stage two, as `build_tail_network` gives it, or None.
        histories: by part, as `OpenOutlets` names them.
    """

    recipe: Recipe
    choices: Choices
    head: TrainedHead
    tail: keras.Model | None
    histories: dict[str, History]

    def embed(self, material: Material) -> NDArray[np.float32]:
        """Return the unit vectors (n, D) of photos as they will be served."""
        return _average([self._embed_view(material, view) for view in range(self.recipe.test_views)])

    def read_frozen(self, material: Material) -> NDArray[np.float32]:
        """Return the frozen features (n, F) that the head was trained on, of unit norm."""
        features = _select(material, self.recipe, self.choices.selection)
        return _average([features.matrix(view) for view in range(self.recipe.test_views)])

    def _embed_view(self, material: Material, view: int) -> NDArray[np.float32]:
        if self.tail is None or material.tail is None:
            return self.head.embed(_select(material, self.recipe, self.choices.selection).matrix(view))
        count = len(material.labels)
        parts = [np.arange(start, min(start + PHOTOS_AT_ONCE, count)) for start in range(0, count, PHOTOS_AT_ONCE)]
        rows = (material.tail.activations.take(part, np.full_like(part, view)) for part in parts)
        return np.concatenate([self.tail(list(row), training=False).numpy() for row in rows])


def train_stages(
    material: Material,
    recipe: Recipe,
    *,
    choices: Choices | None = None,
    open_outlets: OpenOutlets = open_no_outlets,
) -> TrainedStages:
    """Train an embedder.

    Args:
        material: the photos to train on; with a tail where the recipe has a stage two.
        recipe: how.
        choices: made by another training; None to make them on these photos.
        open_outlets: what the parts write to.

    Raises:
        ValueError: fewer than two families have photos of two groups.
        TrainingError: a network collapsed or diverged.
        StoppedBySignal: SIGTERM came, and the state is in the checkpoint.
    """
    stages = _Stages(material, recipe, choices, open_outlets)
    head, head_share = stages.train_head()
    tail, tail_share = stages.train_tail(head) if recipe.tune else (None, 1.0)
    made = Choices(selection=stages.selection, head=head_share, tail=tail_share)
    return TrainedStages(recipe=recipe, choices=made, head=head, tail=tail, histories=stages.histories)


class _Stages:
    """One training's stages, which share photos, choices and outlets."""

    def __init__(self, material: Material, recipe: Recipe, choices: Choices | None, open_outlets: OpenOutlets) -> None:
        self._material, self._recipe, self._choices, self._open = material, recipe, choices, open_outlets
        self.selection = choices.selection if choices else _choose(material, recipe)
        self.histories: dict[str, History] = {}
        self._features = _select(material, recipe, self.selection)
        self._validation = None if choices else _hold_out(material, seed=recipe.fit.seed)
        self._head_of_trial: TrainedHead | None = None

    def train_head(self) -> tuple[TrainedHead, float]:
        """Find how long, and train."""
        share = self._choices.head if self._choices else 1.0
        if self._validation:
            self._head_of_trial = self._fit_head("head-trial", validation=self._validation)
            share = self._head_of_trial.fitted.harmless_share
        return self._fit_head("head", share=share), share

    def train_tail(self, head: TrainedHead) -> tuple[keras.Model, float]:
        """Find how long, from a head that didn't see the held-out photos either, and train."""
        share = self._choices.tail if self._choices else 1.0
        if self._validation and self._head_of_trial:
            _, fitted = self._fit_tail("tail-trial", self._head_of_trial, validation=self._validation)
            share = fitted.harmless_share
        network, _ = self._fit_tail("tail", head, share=share)
        return network, share

    def _fit_head(self, part: str, *, validation: Validation | None = None, share: float = 1.0) -> TrainedHead:
        trained = fit_head(
            self._features,
            self._material.labels,
            self._material.groups,
            self._recipe.shape,
            self._recipe.fit,
            validation=validation,
            share=share,
            outlets=self._open(part),
        )
        self.histories[part] = trained.history
        return trained

    def _fit_tail(
        self,
        part: str,
        head: TrainedHead,
        *,
        validation: Validation | None = None,
        share: float = 1.0,
    ) -> tuple[keras.Model, Fitted]:
        if self._material.tail is None or self._recipe.tune is None:
            raise ValueError("stage two needs `Material.tail` and `Recipe.tune`. Received: None")
        network = build_tail_network(self._material.tail.split, head.head, head.standardization)
        fitted = fit(
            network,
            self._material.tail.activations,
            self._material.labels,
            self._material.groups,
            self._recipe.tune.adapt(self._recipe.fit),
            validation=validation,
            share=share,
            outlets=self._open(part),
        )
        self.histories[part] = fitted.history
        return network, fitted


def _choose(material: Material, recipe: Recipe) -> Selection | None:
    if material.grams is None or len(recipe.candidates) == 1:
        return None
    return choose_blocks(material.grams, material.labels, material.groups, recipe.candidates, seed=recipe.fit.seed)


def _select(material: Material, recipe: Recipe, selection: Selection | None) -> Features:
    if not material.features.blocks:
        return material.features
    return material.features.select(selection.blocks if selection else recipe.candidates[0])


def _hold_out(material: Material, *, seed: int) -> Validation | None:
    """Hold out a fold whose photos can be looked up among the others, and leave two families to train on."""
    fold_of = assign_folds(material.labels, material.groups, folds=VALIDATION_FOLDS, seed=seed)
    groups = np.asarray(material.groups)
    for fold in range(VALIDATION_FOLDS):
        known = fold_of != fold
        findable = np.isin(material.labels[~known], material.labels[known]).any()
        if findable and len(find_trainable(material.labels[known], groups[known].tolist())) >= 2:
            return Validation(photos=np.flatnonzero(~known))
    return None


def _average(vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the unit vectors (n, D) in the mean direction of each photo's views, (n, D) each."""
    if len(vectors) == 1:
        return vectors[0]
    total = np.sum(vectors, axis=0)
    norms: NDArray[np.float32] = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), np.float32(1e-12))
    averaged: NDArray[np.float32] = total / norms
    return averaged
