"""Calibration error and open-set figures against brute force and known truths."""

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.decision import soften
from beedex.index.reliability import estimate_auroc, estimate_calibration_error, reliability_bins

FAMILIES = 5
TRUE_TEMPERATURE = 0.1


def draw_read_photos(
    count: int, temperature: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Probabilities as read at *temperature*, labels, and how likely the best family truly is."""
    evidence = generator.uniform(0.3, 0.9, (count, FAMILIES))
    true = soften(evidence, TRUE_TEMPERATURE)
    labels = (true.cumsum(axis=1) > generator.random((count, 1))).argmax(axis=1)
    probabilities = soften(evidence, temperature)
    return probabilities, labels, true[np.arange(count), probabilities.argmax(axis=1)]


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_bins_hold_equal_counts_and_their_means() -> None:
    generator = np.random.default_rng(0)
    probabilities, labels, _ = draw_read_photos(103, 0.1, generator)

    bins = reliability_bins(probabilities, labels)

    order = np.argsort(probabilities.max(axis=1))
    right = (probabilities.argmax(axis=1) == labels)[order]
    assert sum(dot.count for dot in bins) == 103
    assert {dot.count for dot in bins} <= {10, 11}
    start = 0
    for dot in bins:
        own = slice(start, start + dot.count)
        assert dot.confidence == pytest.approx(probabilities.max(axis=1)[order][own].mean())
        assert dot.share_right == pytest.approx(right[own].mean())
        start += dot.count


def test_equal_confidences_share_a_bin_and_few_photos_get_few() -> None:
    certain = np.tile([1.0, 0.0], (60, 1))

    assert [dot.count for dot in reliability_bins(certain, np.zeros(60, np.int64))] == [60]
    assert len(reliability_bins(*draw_read_photos(25, 0.1, np.random.default_rng(1))[:2])) == 2
    assert reliability_bins(np.full((4, 2), np.nan), np.zeros(4, np.int64)) == ()


def test_rows_without_probabilities_do_not_count() -> None:
    probabilities, labels, _ = draw_read_photos(80, 0.1, np.random.default_rng(2))
    repeats = np.stack([probabilities, np.full_like(probabilities, np.nan)])

    assert reliability_bins(repeats, labels) == reliability_bins(probabilities, labels)
    assert estimate_calibration_error(repeats, labels, alone(80)) == estimate_calibration_error(
        probabilities, labels, alone(80)
    )


@pytest.mark.parametrize("temperature", [0.1, 0.07, 0.03])  # right, too sure, far too sure
def test_intervals_of_the_calibration_error_hold_the_truth(temperature: float) -> None:
    generator = np.random.default_rng(3)
    probabilities, _, true = draw_read_photos(200_000, temperature, generator)
    confidences = probabilities.max(axis=1)
    order = np.argsort(confidences)
    error = np.mean([abs((confidences - true)[part].mean()) for part in np.array_split(order, 10)])
    held, values = 0, []
    for trial in range(100):
        figure = estimate_calibration_error(*draw_read_photos(150, temperature, generator)[:2], alone(150), seed=trial)
        held += figure.low - 2e-3 <= error <= figure.high
        values.append(figure.value)

    assert held >= 82
    # Uncorrected, the mean of a perfect calibration would be 0.09.
    assert np.mean(values) == pytest.approx(error, abs=0.07)


def test_photos_of_a_group_widen_the_interval_of_the_calibration_error() -> None:
    generator = np.random.default_rng(4)
    probabilities, labels, _ = draw_read_photos(40, 0.04, generator)
    repeated = np.repeat(probabilities, 5, axis=0)
    together = [str(i // 5) for i in range(200)]

    grouped, single = (
        estimate_calibration_error(repeated, np.repeat(labels, 5), groups) for groups in (together, alone(200))
    )

    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)


def test_one_group_says_nothing_of_calibration() -> None:
    probabilities, labels, _ = draw_read_photos(20, 0.1, np.random.default_rng(5))

    assert np.isnan(estimate_calibration_error(probabilities, labels, ["a"] * 20).value)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_share_of_pairs_in_order(seed: int) -> None:
    generator = np.random.default_rng(seed)
    known, outside = np.round(generator.normal(0.6, 0.2, 30), 1), np.round(generator.normal(0.4, 0.2, 20), 1)

    figure = estimate_auroc(known, outside, groups=alone(30), outside_groups=alone(20))

    pairs = [(k > o) + 0.5 * (k == o) for k in known for o in outside]
    assert figure.value == pytest.approx(np.mean(pairs))
    assert figure.low < figure.value < figure.high


def test_intervals_of_auroc_hold_the_truth() -> None:
    """Two normal distributions one deviation apart: 0.76. Groups of two photos that are alike, on both sides."""
    generator = np.random.default_rng(6)
    groups = [str(i // 2) for i in range(80)]
    held = 0
    for trial in range(150):
        alike, own = generator.normal(0, 0.8, (2, 40)).repeat(2, axis=1), generator.normal(0, 0.6, (2, 80))
        known, outside = np.array([[1.0], [0.0]]) + alike + own
        figure = estimate_auroc(known, outside, groups=groups, outside_groups=groups, seed=trial)
        held += figure.low <= 0.7602 <= figure.high

    assert 0.9 <= held / 150 <= 0.99


def test_sides_without_a_common_group_are_both_in_every_draw() -> None:
    figure = estimate_auroc(
        np.array([0.5, 0.7]), np.array([0.6, 0.1, 0.2]), groups=["a", "b"], outside_groups=["x", "y", "z"]
    )

    assert np.isfinite([figure.low, figure.high]).all()


def test_parted_sides_keep_a_doubt() -> None:
    figure = estimate_auroc(
        np.linspace(0.6, 0.9, 30), np.linspace(0, 0.5, 12), groups=alone(30), outside_groups=alone(12)
    )

    assert figure.value == figure.high == 1.0
    assert figure.low == pytest.approx(1 - 0.2425, abs=1e-3)  # Wilson's, for 12 of 12


def test_an_empty_side_has_no_auroc() -> None:
    assert np.isnan(estimate_auroc(np.array([0.5]), np.empty(0), groups=["a"], outside_groups=[]).value)
