"""Judging the photos that a bundle was trained on: heads trained again by its settings, as its card has them."""

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.gallery import GalleryPhoto
from beedex.index.inspection import InspectedPhoto
from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import PLAIN_BLOCKS
from beedex.training.errors import TrainingError
from beedex.training.fitting.fit import FitConfig
from beedex.training.fitting.guard import GuardConfig
from beedex.training.fitting.model import HeadShape
from beedex.training.judging.crossvalidation import cross_validate
from beedex.training.judging.lookup import EmbeddedPhotos
from beedex.training.judging.retraining import cross_validate_bundle, judge_cross_validation
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe, TuneConfig
from beedex.training.run import TrainConfig

# None of these is a default.
FIT = FitConfig(
    mining="semi-hard",
    margin=0.4,
    families_per_batch=3,
    photos_per_family=3,
    epochs=1,
    fewest_steps=15,
    learning_rate=2e-2,
    evaluate_every=5,
    patience=1,
    seed=4,
    guard=GuardConfig(in_a_row=1),
)
RECIPE = Recipe(
    candidates=(PLAIN_BLOCKS,), shape=HeadShape(dimension=6, hidden_units=5), fit=FIT, other_learning_rates=()
)
FAMILIES = ("ant", "bee", "wasp")


def record(bundle: Bundle, recipe: Recipe) -> Bundle:
    """Return a bundle whose card says that it was trained so, as it would be read from the disk."""
    training = json.loads(json.dumps(TrainConfig(recipe=recipe).describe()))
    return replace(bundle, card=bundle.card.model_copy(update={"training": training}))


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(tiny_bundle)


@pytest.fixture
def photos() -> EmbeddedPhotos:
    """24 photos of three families in groups of two."""
    generator = np.random.default_rng(0)
    labels = np.tile(np.repeat(np.arange(3), 2), 4)
    features = generator.standard_normal((24, 12)) + 2 * np.eye(12)[labels]
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    found = tuple(
        InspectedPhoto(
            photo=GalleryPhoto(path=PurePosixPath(f"{i}.jpg"), family=FAMILIES[label]),
            sha256=str(i),
            perceptual_hash="0" * 16,
            group=f"group {i // 2}",
        )
        for i, label in enumerate(labels)
    )
    return EmbeddedPhotos(photos=found, embeddings=np.zeros((24, 4), np.float32), features=features)


def test_heads_are_trained_by_the_bundles_own_settings(bundle, photos, monkeypatch) -> None:
    monkeypatch.setattr("beedex.training.folds.FOLDS", 2)
    monkeypatch.setattr("beedex.training.folds.REPEATS", 1)

    judgement, why = cross_validate_bundle(record(bundle, RECIPE), photos)

    material = Material(
        features=Features.from_array(photos.features[:, np.newaxis]),
        labels=np.tile(np.repeat(np.arange(3), 2), 4),
        groups=tuple(photo.group for photo in photos.photos),
        families=FAMILIES,
    )
    expected = judge_cross_validation(cross_validate(material, RECIPE), material)
    assert judgement.describe() == expected.describe()
    np.testing.assert_array_equal(judgement.trained.average_precision_at_r, expected.trained.average_precision_at_r)
    assert judgement.unseen is not None
    assert "24 photos of 12 groups and 3 families are few: 2-fold cross-validation by group" in why


def test_a_bundle_whose_backbone_was_trained_too_is_refused(bundle, photos) -> None:
    tuned = record(bundle, replace(RECIPE, tune=TuneConfig(unfreeze_from="mixed9")))

    with pytest.raises(TrainingError, match=r"every photo was trained on, .* give another gallery, or read"):
        cross_validate_bundle(tuned, photos)


def test_a_bundle_that_does_not_say_how_it_was_trained_is_refused(bundle, photos) -> None:
    assert "recipe" not in bundle.card.training

    with pytest.raises(TrainingError, match="every photo was trained on"):
        cross_validate_bundle(bundle, photos)
