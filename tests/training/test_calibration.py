"""Temperatures and thresholds from held-out evidence."""

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.decision import Verdict, decide, soften
from beedex.training.calibration import fit_calibration

FAMILIES = 5
TRUE_TEMPERATURE = 0.1


def draw_evidence(count: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(N, F) evidence and labels drawn from its softmax at `TRUE_TEMPERATURE`."""
    generator = np.random.default_rng(seed)
    evidence = generator.uniform(0.3, 0.9, (count, FAMILIES))
    probabilities = soften(evidence, TRUE_TEMPERATURE)
    labels = (probabilities.cumsum(axis=1) > generator.random((count, 1))).argmax(axis=1)
    return evidence, labels


def test_the_temperature_is_found_again() -> None:
    evidence, labels = draw_evidence(4000)

    fitted = fit_calibration(evidence, labels, np.empty(0))

    assert fitted.temperature == pytest.approx(TRUE_TEMPERATURE, rel=0.1)


@pytest.mark.parametrize("count", [144, 500])
def test_nine_of_ten_matches_on_new_photos_are_right(count: int) -> None:
    """Averaged over fits: a single small one may be off by its own noise."""
    new_evidence, new_labels = draw_evidence(20_000, seed=999)
    precisions = []
    for seed in range(40):
        fitted = fit_calibration(*draw_evidence(count, seed=seed), np.empty(0))
        assert fitted.match_from is not None
        probabilities = soften(new_evidence, fitted.temperature)
        named = probabilities.max(axis=1) >= fitted.match_from
        if named.any():
            precisions.append((probabilities.argmax(axis=1) == new_labels)[named].mean())

    assert np.mean(precisions) >= 0.89


def test_a_gallery_without_an_error_does_not_demand_certainty() -> None:
    labels = np.arange(40) % 2
    evidence = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)

    fitted = fit_calibration(evidence, labels, np.empty(0))
    decision = decide(np.array([0.6, 0.4], np.float32), ["a", "b"], sizes={"a": 1, "b": 1}, calibration=fitted)

    assert fitted.match_from == 0.5
    assert decision.verdict is Verdict.MATCH


def test_photos_that_no_threshold_makes_reliable_are_never_a_match() -> None:
    generator = np.random.default_rng(3)
    evidence = generator.uniform(0.3, 0.9, (100, FAMILIES))

    fitted = fit_calibration(evidence, generator.integers(0, FAMILIES, 100), np.empty(0))

    assert fitted.match_from == 1.0
    assert "none are certain enough for a MATCH" in fitted.note


def test_the_unknown_threshold_parts_what_can_be_parted() -> None:
    generator = np.random.default_rng(1)
    evidence, labels = draw_evidence(200)
    outside = generator.uniform(-0.2, 0.3, 100)

    fitted = fit_calibration(evidence, labels, outside)

    assert fitted.unknown_below is not None
    assert outside.max() < fitted.unknown_below <= evidence.max(axis=1).min()
    assert (fitted.false_accept_rate, fitted.false_reject_rate) == (0.0, 0.0)


def test_the_rates_are_those_of_the_photos_given() -> None:
    generator = np.random.default_rng(2)
    evidence, labels = draw_evidence(300)
    outside = generator.uniform(0.5, 0.95, 150)

    fitted = fit_calibration(evidence, labels, outside)

    assert fitted.unknown_below is not None
    assert fitted.false_accept_rate == pytest.approx((outside >= fitted.unknown_below).mean())
    assert fitted.false_reject_rate == pytest.approx((evidence.max(axis=1) < fitted.unknown_below).mean())


@pytest.mark.parametrize("count", [0, 10, 29])
def test_too_few_photos_give_no_threshold_and_say_so(count: int) -> None:
    evidence, labels = draw_evidence(count)

    fitted = fit_calibration(evidence, labels, np.full(100, 0.1))

    assert fitted.match_from is None
    assert fitted.unknown_below is None
    assert f"{count} held-out photos, 30 are needed" in fitted.note


def test_without_outside_photos_there_is_no_unknown() -> None:
    evidence, labels = draw_evidence(100)

    fitted = fit_calibration(evidence, labels, np.full(5, 0.1))

    assert fitted.match_from is not None
    assert fitted.unknown_below is None
    assert "no threshold for UNKNOWN" in fitted.note
