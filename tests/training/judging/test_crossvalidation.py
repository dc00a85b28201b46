"""Held-out figures on features made for the purpose."""

import numpy as np
import pytest

from beedex.training.errors import TrainingError
from beedex.training.fitting.fit import FitConfig
from beedex.training.fitting.model import HeadShape
from beedex.training.judging.crossvalidation import LabelledFeatures, count_heads, cross_validate

QUICK = FitConfig(fewest_steps=40, epochs=1, learning_rate=1e-2, families_per_batch=3, photos_per_family=3)
SHAPE = HeadShape(dimension=8, dropout=0.0)


def make_data(families: int, per_family: int, *, groups_per_family: int, seed: int = 0) -> LabelledFeatures:
    """Features around one direction a family, so that anything sensible finds all of them."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(families), per_family)
    features = 3 * np.eye(families, 16)[labels][:, np.newaxis] + generator.normal(0, 0.3, (len(labels), 1, 16))
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    groups = tuple(f"{label}-{i % groups_per_family}" for label in range(families) for i in range(per_family))
    names = tuple(f"family {label}" for label in range(families))
    return LabelledFeatures(features=features.astype(np.float32), labels=labels, groups=groups, families=names)


def test_every_photo_is_judged_once_and_easy_ones_rightly() -> None:
    data = make_data(3, 10, groups_per_family=10)
    heads: list[int] = []

    found = cross_validate(data, SHAPE, QUICK, advance=heads.append)

    assert found.folds == 5
    assert sum(heads) == count_heads(3) == 8
    assert found.trained.hit_at_1.mean() == found.frozen.hit_at_1.mean() == 1.0
    assert found.evidence.shape == (30, 3)
    assert not np.isnan(found.evidence).any()
    assert found.evidence.argmax(axis=1).tolist() == data.labels.tolist()
    assert found.chance == pytest.approx(1 / 3, abs=0.05)


def test_photos_of_left_out_families_are_farther_than_known_ones() -> None:
    found = cross_validate(make_data(4, 8, groups_per_family=8), SHAPE, QUICK)

    assert found.outside_evidence.shape == (32,)
    assert np.median(found.outside_evidence) < np.median(found.evidence.max(axis=1))


def test_labels_without_meaning_are_judged_as_chance() -> None:
    """What a leak between folds would betray: photos of a group are alike, and their labels are drawn."""
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(40), 3)
    centres = generator.standard_normal((40, 16))
    features = centres[groups][:, np.newaxis] + generator.normal(0, 0.05, (120, 1, 16))
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    labels = generator.integers(0, 3, 40)[groups]
    data = LabelledFeatures(
        features=features.astype(np.float32),
        labels=labels,
        groups=tuple(map(str, groups)),
        families=("a", "b", "c"),
    )

    found = cross_validate(data, SHAPE, QUICK)

    assert found.trained.hit_at_1.mean() < 0.55
    assert found.frozen.hit_at_1.mean() < 0.55


def test_two_families_of_two_groups_cannot_be_held_out() -> None:
    with pytest.raises(TrainingError, match="no photo can be held out"):
        cross_validate(make_data(2, 4, groups_per_family=2), SHAPE, QUICK)


def test_a_family_of_two_groups_beside_larger_ones_is_judged_where_it_can_be() -> None:
    data = make_data(2, 10, groups_per_family=10)
    kept = np.ones(20, bool)
    kept[12:] = False  # the second family keeps two photos
    data = data.take(kept)

    found = cross_validate(data, SHAPE, QUICK)

    assert 0 < found.folds < 5
    assert np.isnan(found.trained.hit_at_1).any()
    assert (~np.isnan(found.trained.hit_at_1)).any()
