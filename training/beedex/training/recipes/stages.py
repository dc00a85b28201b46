"""The stages of a training: choose blocks, train a head on their features, and then, if asked for, the tail along.

The learning rate and how long to train are found on photos that are held out for it, by group; then a new network is
trained on all photos for as many epochs. With few photos that is worth more than the quarter of them that would be
lost.

Shapes: N photos, n photos to embed, F features, D dimension.
"""

from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.training.backbone.features import Features
from beedex.training.fitting.fit import Fitted, TrainedHead, Validation, fit, fit_head
from beedex.training.fitting.history import History
from beedex.training.fitting.outlets import Outlets
from beedex.training.recipes.finetune import build_tail_network
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.selection import Selection, choose_blocks
from beedex.training.recipes.trials import HEAD_TRIAL, OpenOutlets, RateChoice, Trials, run_trials

__all__ = ["Choices", "OpenOutlets", "TrainedStages", "open_no_outlets", "train_stages"]

# Photos embedded at once by a tail: their activations take 42 MB at mixed8.
PHOTOS_AT_ONCE = 128


def open_no_outlets(part: str, /) -> Outlets:
    """Let a part write nothing."""
    del part
    return Outlets()


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What was found on held-out photos; another training may take it over.

    Attributes:
        selection: of blocks; None where there was nothing to choose.
        rate: of learning; None likewise.
        head: share of the planned steps that the head trains.
        tail: likewise for stage two.
    """

    selection: Selection | None = None
    rate: RateChoice | None = None
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
    made = Choices(selection=stages.selection, rate=stages.rate, head=head_share, tail=tail_share)
    return TrainedStages(recipe=recipe, choices=made, head=head, tail=tail, histories=stages.histories)


class _Stages:
    """One training's stages, which share photos, choices and outlets."""

    def __init__(self, material: Material, recipe: Recipe, choices: Choices | None, open_outlets: OpenOutlets) -> None:
        self._material, self._recipe, self._choices, self._open = material, recipe, choices, open_outlets
        self.selection = choices.selection if choices else _choose(material, recipe)
        self.histories: dict[str, History] = {}
        self._features = _select(material, recipe, self.selection)
        self.rate = choices.rate if choices else None
        self._trials: Trials | None = None

    def train_head(self) -> tuple[TrainedHead, float]:
        """Find at which rate and how long, and train."""
        recipe, material = self._recipe, self._material
        share = self._choices.head if self._choices else 1.0
        if self._choices is None:
            self._trials = run_trials(
                self._features,
                material.labels,
                material.groups,
                recipe.shape,
                recipe.fit,
                recipe.learning_rates,
                open_outlets=self._open,
            )
        if self._trials:
            self.rate = self._trials.rate
            self.histories[HEAD_TRIAL] = self._trials.head.history
            share = self._trials.head.fitted.harmless_share
        rate = self.rate.learning_rate if self.rate else recipe.fit.learning_rate
        head = fit_head(
            self._features,
            material.labels,
            material.groups,
            recipe.shape,
            replace(recipe.fit, learning_rate=rate),
            share=share,
            outlets=self._open("head"),
        )
        self.histories["head"] = head.history
        return head, share

    def train_tail(self, head: TrainedHead) -> tuple[keras.Model, float]:
        """Find how long, from a head that didn't see the held-out photos either, and train."""
        share = self._choices.tail if self._choices else 1.0
        if self._trials:
            _, fitted = self._fit_tail("tail-trial", self._trials.head, validation=self._trials.validation)
            share = fitted.harmless_share
        network, _ = self._fit_tail("tail", head, share=share)
        return network, share

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


def _average(vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the unit vectors (n, D) in the mean direction of each photo's views, (n, D) each."""
    if len(vectors) == 1:
        return vectors[0]
    total = np.sum(vectors, axis=0)
    norms: NDArray[np.float32] = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), np.float32(1e-12))
    averaged: NDArray[np.float32] = total / norms
    return averaged
