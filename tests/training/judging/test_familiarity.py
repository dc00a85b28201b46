"""Fitting the measure of familiarity, against numpy's own decompositions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.training.judging.familiarity import MOST_DIRECTIONS, MOST_DRAWN, SHRINKAGE, fit_familiarity

FEATURES = 60


def draw_photos(
    count: int, families: int = 3, seed: int = 0, *, varying: int = 8
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Photos that vary in a few directions around their family's mean, and a little in all."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % families
    basis, means = np.random.default_rng(99).standard_normal((2, max(varying, families), FEATURES))
    rows = means[labels] + generator.standard_normal((count, varying)) @ basis[:varying]
    return (rows + 0.5 * generator.standard_normal((count, FEATURES))).astype(np.float32), labels


def test_it_is_the_distance_in_the_plane_of_the_main_directions_and_from_it() -> None:
    photos, labels = draw_photos(40)
    asked, _ = draw_photos(15, seed=1)

    familiarities = fit_familiarity(photos, labels, seed=0, most_directions=10).measure(asked)

    mean = photos.mean(axis=0)
    directions = np.linalg.svd(photos - mean)[2][:10]  # (K, F)
    within, there = (photos - mean) @ directions.T, (asked - mean) @ directions.T
    centers = np.stack([within[labels == c].mean(axis=0) for c in range(3)])
    deviations = within - centers[labels]
    covariance = deviations.T @ deviations / 40
    inverse = np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 10 * np.eye(10))
    nearest = np.min([np.einsum("nk,kl,nl->n", there - c, inverse, there - c) for c in centers], axis=0) / 10
    left = ((photos - mean) ** 2).sum(axis=1) - (within**2).sum(axis=1)
    outside = (((asked - mean) ** 2).sum(axis=1) - (there**2).sum(axis=1)) / left.mean()
    np.testing.assert_allclose(familiarities, 1 / (1 + (nearest + outside) / 2), rtol=0.01)


def test_new_photos_of_the_families_are_more_familiar_than_what_varies_otherwise() -> None:
    measure = fit_familiarity(*draw_photos(120), seed=0)
    alike, _ = draw_photos(60, seed=1)
    noise = np.random.default_rng(2).standard_normal((60, FEATURES)).astype(np.float32)
    unlike = alike.mean(axis=0) + noise * alike.std() * 1.5

    assert measure.measure(alike).min() > measure.measure(unlike).max()


def test_a_family_of_three_photos_is_as_familiar_as_one_of_ninety() -> None:
    photos, _ = draw_photos(93, families=2)
    labels = np.concatenate([np.zeros(90, np.int64), np.ones(3, np.int64)])
    photos[labels == 1] += 3.0  # another place, and the same spread
    new, _ = draw_photos(400, families=2, seed=1)

    measure = fit_familiarity(photos, labels, seed=0)

    of_large, of_small = np.median(measure.measure(new)), np.median(measure.measure(new + np.float32(3)))
    assert of_small == pytest.approx(of_large, rel=0.25)


@pytest.mark.parametrize(("photos", "directions"), [(20, 10), (100, 50), (300, MOST_DIRECTIONS)])
def test_few_photos_have_as_many_directions_as_half_of_them(photos: int, directions: int) -> None:
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((photos, 400)).astype(np.float32)

    assert len(fit_familiarity(rows, np.arange(photos) % 4, seed=0).directions) == directions


def test_of_many_photos_some_set_the_directions_and_all_the_families_means() -> None:
    count = MOST_DRAWN + 200
    photos, labels = draw_photos(count)
    labels[:] = 0
    labels[np.random.default_rng(0).permutation(count)[MOST_DRAWN:]] = 1  # none of these is drawn

    measure = fit_familiarity(photos, labels, seed=0)

    assert len(measure.centers) == 2
    place = (photos[labels == 1].mean(axis=0) - measure.mean) @ measure.directions.T @ measure.whitening.T
    np.testing.assert_allclose(measure.centers[1], place, atol=1e-3)


def test_photos_that_are_all_the_same_are_familiar_and_others_are_not() -> None:
    photo = np.random.default_rng(0).standard_normal(FEATURES).astype(np.float32)

    measure = fit_familiarity(np.tile(photo, (6, 1)), np.arange(6) % 2, seed=0)

    assert measure.measure(photo[np.newaxis])[0] > 0.9
    assert measure.measure(photo[np.newaxis] + np.float32(0.1))[0] < 0.1
