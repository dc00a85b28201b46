"""The linear probe against scikit-learn fitted the long way."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from beedex.training.errors import TrainingError
from beedex.training.judging.probe import FALLBACK_STRENGTH, MOST_SPANNED, STRENGTHS, fit_probe


def draw_photos(
    count: int, features: int, families: int, *, seed: int = 0, distance: float = 0.4
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(N, F) features around a direction for each family, and (N,) labels."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((families, features)) * distance
    labels = np.arange(count) % families
    return (5 + 2 * (centres[labels] + generator.standard_normal((count, features)))).astype(np.float32), labels


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


@pytest.mark.parametrize("families", [2, 5])
@pytest.mark.parametrize("features", [30, 600])  # fewer than photos, and more
def test_the_probe_is_logistic_regression_on_all_standardised_features(families: int, features: int) -> None:
    photos, labels = draw_photos(80, features, families)
    others, _ = draw_photos(40, features, families, seed=1)

    probe = fit_probe(photos, labels, alone(80))

    mean, scale = photos.mean(axis=0), photos.std(axis=0) * np.sqrt(features)
    direct = LogisticRegression(C=1 / (probe.strength * 80), max_iter=5000, tol=1e-7)
    direct.fit((photos - mean).astype(np.float64) / scale, labels)
    expected = direct.predict_proba((others - mean) / scale)
    np.testing.assert_allclose(probe.probabilities(others), expected, atol=0.01)
    assert (probe.predict(others) == direct.predict((others - mean) / scale)).mean() >= 0.97


def test_families_that_a_line_parts_are_told_apart() -> None:
    photos, labels = draw_photos(120, 2000, 6)
    others, others_labels = draw_photos(120, 2000, 6, seed=1)

    probe = fit_probe(photos, labels, alone(120))

    assert (probe.predict(others) == others_labels).mean() > 0.95
    np.testing.assert_allclose(probe.probabilities(others).sum(axis=1), 1, atol=1e-5)


def test_large_galleries_are_fitted_on_all_photos() -> None:
    photos, labels = draw_photos(MOST_SPANNED + 100, 400, 3, distance=0.2)
    others, others_labels = draw_photos(300, 400, 3, seed=1, distance=0.2)

    probe = fit_probe(photos, labels, alone(len(photos)))

    assert (probe.predict(others) == others_labels).mean() > 0.95


def test_photos_that_are_alike_within_a_group_do_not_weaken_the_penalty() -> None:
    """Labels drawn by group: chosen photo by photo, the strength would praise what only knows the groups again."""
    generator = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), 4)
    centres = generator.standard_normal((30, 400))
    photos = (centres[groups] + generator.normal(0, 0.2, (120, 400))).astype(np.float32)
    labels = generator.integers(0, 3, 30)[groups]

    by_group, by_photo = fit_probe(photos, labels, [*map(str, groups)]), fit_probe(photos, labels, alone(120))

    assert by_group.strength == STRENGTHS[0]
    assert by_photo.strength <= 1e-3


def test_labels_keep_their_numbers() -> None:
    photos, labels = draw_photos(40, 50, 2)
    numbers = np.array([7, 3])[labels]

    probe = fit_probe(photos, numbers, alone(40))

    assert probe.classes.tolist() == [3, 7]
    assert (probe.predict(photos) == numbers).all()


def test_the_same_photos_give_the_same_probe() -> None:
    photos, labels = draw_photos(60, 300, 4)

    first, second = (fit_probe(photos, labels, alone(60), seed=3) for _ in range(2))

    assert np.array_equal(first.weights, second.weights)
    assert first.strength == second.strength


def test_a_feature_that_never_varies_changes_nothing() -> None:
    photos, labels = draw_photos(40, 50, 2)
    photos[:, 7] = 1.5

    probe = fit_probe(photos, labels, alone(40))

    assert np.isfinite(probe.weights).all()
    assert not probe.weights[7].any()


def test_families_of_one_group_are_fitted_at_a_stated_strength() -> None:
    photos, labels = draw_photos(20, 50, 2)

    probe = fit_probe(photos, labels, [str(label) for label in labels])

    assert probe.strength == FALLBACK_STRENGTH
    assert (probe.predict(photos) == labels).all()


def test_a_small_family_beside_large_ones_is_fitted() -> None:
    photos, labels = draw_photos(60, 50, 2)
    labels = np.where(np.arange(60) < 2, 2, labels)

    probe = fit_probe(photos, labels, ["a", "a", *alone(58)])

    assert probe.classes.tolist() == [0, 1, 2]


def test_one_family_is_refused() -> None:
    photos, _ = draw_photos(10, 20, 2)

    with pytest.raises(TrainingError, match="at least two"):
        fit_probe(photos, np.zeros(10, np.int64), alone(10))
