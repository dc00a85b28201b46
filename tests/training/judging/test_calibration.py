"""Temperatures and thresholds from held-out evidence."""

from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.decision import Verdict, decide, soften
from beedex.training.judging.calibration import crossfit_probabilities, fit_calibration
from beedex.training.judging.thresholds import keep_rate

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
    assert "no known photo is certain enough for a MATCH that is right 90% of the time" in fitted.note
    assert fitted.match_precision is None
    assert fitted.match_share is not None
    assert fitted.match_share.value == 0.0


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
    assert fitted.calibration_error is None
    assert f"{count} held-out photos of {count} groups, 30 groups are needed" in fitted.note


def test_without_outside_photos_there_is_no_unknown() -> None:
    evidence, labels = draw_evidence(100)

    fitted = fit_calibration(evidence, labels, np.full(5, 0.1))

    assert fitted.match_from is not None
    assert fitted.unknown_below is None
    assert "no threshold for UNKNOWN" in fitted.note


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_many_photos_of_few_groups_are_few() -> None:
    evidence, labels = draw_evidence(300)

    fitted = fit_calibration(evidence, labels, np.full(100, 0.1), groups=[str(i // 15) for i in range(300)])

    assert fitted.match_from is None
    assert "300 held-out photos of 20 groups, 30 groups are needed" in fitted.note


def test_repeats_of_the_same_look_ups_change_nothing() -> None:
    """Were they counted as photos, MATCH and UNKNOWN would begin lower than so few photos allow."""
    evidence, labels = draw_sharp_evidence(150, seed=1)
    outside = np.random.default_rng(1).normal(0.5, 0.15, 150)

    once, thrice = (
        fit_calibration(
            np.stack([evidence] * repeats),
            labels,
            np.stack([outside] * repeats),
            groups=alone(150),
            outside_groups=alone(150),
            false_accept_rate=0.1,
        )
        for repeats in (1, 3)
    )

    assert once.match_from is not None
    assert 0.5 < once.match_from < 1
    assert thrice.match_from == pytest.approx(once.match_from, rel=1e-3)
    assert thrice.temperature == pytest.approx(once.temperature, rel=1e-3)
    assert thrice.held_out_photos == once.held_out_photos == 150
    for name in ("unknown_below", "false_accept_rate", "false_reject_rate"):
        assert getattr(thrice, name) == pytest.approx(getattr(once, name))
    for name in ("unseen_false_accept_rate", "unseen_false_reject_rate", "match_share", "open_set_auroc"):
        assert asdict(getattr(thrice, name)) == pytest.approx(asdict(getattr(once, name)))


@pytest.mark.parametrize(("count", "rate"), [(60, 0.1), (150, 0.05), (150, 0.2)])
def test_a_false_accept_rate_is_kept_on_new_photos_as_often_as_claimed(count: int, rate: float) -> None:
    """The claim is 90 %; of 150 fits, 123 are three deviations below that."""
    generator = np.random.default_rng(count)
    new = generator.normal(0.5, 0.15, 50_000)
    kept = 0
    for _ in range(150):
        threshold, sure = keep_rate(generator.normal(0.5, 0.15, count), np.ones(count), rate)
        assert sure
        kept += int((new >= threshold).mean() <= rate)

    assert kept >= 123


def test_the_lowest_threshold_that_keeps_the_rate_is_taken() -> None:
    outside = np.linspace(0.0, 0.99, 100)

    threshold, sure = keep_rate(outside, np.ones(100), 0.1)

    # Of 100, 5 accepted have an upper bound of 0.091, 6 of 0.103.
    assert sure
    assert (outside >= threshold).sum() == 5


def test_photos_of_one_group_are_no_more_evidence_of_a_rate_than_one() -> None:
    outside = np.linspace(0.0, 0.99, 100)

    alone_below, _ = keep_rate(outside, np.ones(100), 0.1)
    paired_below, _ = keep_rate(outside, np.full(100, 0.5), 0.1)

    assert paired_below > alone_below


def test_the_threshold_asked_for_goes_into_the_calibration_with_what_it_reaches() -> None:
    generator = np.random.default_rng(5)
    evidence, labels = draw_evidence(200)
    outside = generator.normal(0.4, 0.15, 200)

    fitted = fit_calibration(
        evidence, labels, outside, groups=alone(200), outside_groups=alone(200), false_accept_rate=0.1
    )

    assert fitted.unknown_below is not None
    assert fitted.target_false_accept_rate == 0.1
    assert fitted.false_accept_rate == pytest.approx((outside >= fitted.unknown_below).mean())
    assert (outside >= fitted.unknown_below).mean() < 0.1
    assert fitted.unseen_false_accept_rate is not None
    assert fitted.unseen_false_accept_rate.low < fitted.unseen_false_accept_rate.value < 0.13
    assert fitted.open_set_auroc is not None
    assert fitted.open_set_auroc.value > 0.9


def test_a_rate_that_loses_most_known_photos_is_said_to() -> None:
    evidence, labels = draw_evidence(200)
    outside = np.random.default_rng(6).normal(0.8, 0.1, 200)  # as near as known photos

    fitted = fit_calibration(evidence, labels, outside, false_accept_rate=0.05)

    assert fitted.false_reject_rate is not None
    assert fitted.false_reject_rate > 0.5
    assert f"to keep a false-accept rate of 0.05, {fitted.false_reject_rate:.0%} of known photos come out UNKNOWN" in (
        fitted.note
    )


def test_a_rate_that_so_few_groups_cannot_show_is_said_to() -> None:
    evidence, labels = draw_evidence(100)
    outside = np.linspace(0.0, 0.5, 100)

    fitted = fit_calibration(evidence, labels, outside, false_accept_rate=0.01)

    assert fitted.false_accept_rate == 0.0
    assert "100 groups can't show a false-accept rate of 0.01, it takes 230" in fitted.note


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    evidence, labels = draw_evidence(10)

    with pytest.raises(ValueError, match="above 0 and below 1"):
        fit_calibration(evidence, labels, np.empty(0), false_accept_rate=rate)


def test_probabilities_are_read_at_temperatures_of_other_groups() -> None:
    """A photo whose evidence is turned round does not change how it is read itself."""
    evidence, labels = draw_evidence(60)
    turned = evidence.copy()
    turned[:30] = 1 - turned[:30]
    groups = ["a"] * 30 + alone(30)

    as_drawn, as_turned = (crossfit_probabilities(e, labels, groups) for e in (evidence, turned))

    temperature = np.log(as_drawn[0, 0] / as_drawn[0, 1]) / (evidence[0, 0] - evidence[0, 1])
    turned_temperature = np.log(as_turned[0, 0] / as_turned[0, 1]) / (turned[0, 0] - turned[0, 1])
    assert turned_temperature == pytest.approx(temperature)


def test_photos_without_evidence_stay_without_probabilities() -> None:
    evidence, labels = draw_evidence(40)
    repeats = np.stack([evidence, evidence])
    repeats[1, 3] = np.nan

    probabilities = crossfit_probabilities(repeats, labels, alone(40))

    assert probabilities.shape == repeats.shape
    assert np.isnan(probabilities[1, 3]).all()
    assert np.isnan(probabilities).sum() == FAMILIES
    np.testing.assert_allclose(probabilities[0].sum(axis=1), 1)


def test_the_error_of_a_calibration_that_fits_is_not_told_from_none() -> None:
    """Evidence is drawn from its own softmax, so that the only error is that of the fitted temperature."""
    beginning_at_zero = 0
    for seed in range(30):
        fitted = fit_calibration(*draw_evidence(150, seed=seed), np.empty(0))
        assert fitted.calibration_error is not None
        beginning_at_zero += fitted.calibration_error.low < 0.02

    assert beginning_at_zero >= 26


def test_the_precision_told_is_that_of_new_photos() -> None:
    """Cross-fitted on 400 photos, its interval holds what 20,000 new ones get."""
    new_evidence, new_labels = draw_sharp_evidence(20_000, seed=999)
    held = told = 0
    for seed in range(30):
        fitted = fit_calibration(*draw_sharp_evidence(400, seed=seed), np.empty(0))
        assert fitted.match_from is not None
        probabilities = soften(new_evidence, fitted.temperature)
        named = probabilities.max(axis=1) >= fitted.match_from
        precision = (probabilities.argmax(axis=1) == new_labels)[named].mean()
        assert fitted.match_precision is not None
        assert fitted.match_share is not None
        held += fitted.match_precision.low <= precision <= fitted.match_precision.high
        told += fitted.match_share.low <= named.mean() <= fitted.match_share.high

    assert held >= 26
    assert told >= 22  # the threshold itself moves from fit to fit


def draw_sharp_evidence(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Evidence with many photos that are clear and some that are not."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, FAMILIES, count)
    evidence = generator.normal(0.4, 0.1, (count, FAMILIES))
    evidence[np.arange(count), labels] += generator.choice([0.0, 0.4], count, p=[0.3, 0.7])
    return evidence, labels


def draw_familiarity(count: int, outside: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) of known photos, and (M,) of outside ones that are less familiar."""
    generator = np.random.default_rng(seed)
    return generator.uniform(0.3, 0.6, count), generator.uniform(0.1, 0.4, outside)


def test_the_unfamiliar_threshold_parts_what_can_be_parted() -> None:
    evidence, labels = draw_evidence(200)
    known = np.random.default_rng(0).uniform(0.4, 0.6, 200)
    outside = np.random.default_rng(1).uniform(0.1, 0.3, 100)

    fitted = fit_calibration(
        evidence, labels, np.full(100, 0.5), familiarity=known, outside_familiarity=outside
    ).familiarity

    assert fitted is not None
    assert outside.max() < fitted.unfamiliar_below <= known.min()
    assert fitted.false_reject_rate.value <= 0.03  # only the least familiar of each part
    assert fitted.open_set_auroc is not None
    assert fitted.open_set_auroc.value == 1.0


def test_at_most_one_known_photo_of_ten_is_called_unfamiliar_where_nothing_can_be_parted() -> None:
    evidence, labels = draw_evidence(300)
    generator = np.random.default_rng(2)
    known, outside = generator.uniform(0.3, 0.6, 300), generator.uniform(0.3, 0.6, 300)

    fitted = fit_calibration(
        evidence, labels, np.full(300, 0.5), familiarity=known, outside_familiarity=outside
    ).familiarity

    assert fitted is not None
    assert (known < fitted.unfamiliar_below).mean() <= 0.1
    assert fitted.false_reject_rate.value <= 0.15


def test_an_asked_rate_decides_alone_how_many_known_photos_are_unfamiliar() -> None:
    evidence, labels = draw_evidence(300)
    known, outside = draw_familiarity(300, 200)

    calibration = fit_calibration(
        evidence,
        labels,
        np.full(200, 0.8),
        familiarity=known,
        outside_familiarity=outside,
        false_accept_rate=0.05,
    )

    fitted = calibration.familiarity
    assert fitted is not None
    accepted = [fitted.adjust(familiarity, 0.8) >= fitted.unfamiliar_below for familiarity in outside]
    assert np.mean(accepted) <= 0.05
    assert fitted.false_reject_rate.value > 0.1
    assert f"too unfamiliar, and so UNKNOWN, are {fitted.false_reject_rate.value:.0%} of held-out" in calibration.note


def test_without_families_left_out_nine_known_photos_of_ten_are_familiar() -> None:
    evidence, labels = draw_evidence(300)
    known, _ = draw_familiarity(300, 0)

    calibration = fit_calibration(evidence, labels, np.empty(0), familiarity=known, outside_familiarity=np.empty(0))

    fitted = calibration.familiarity
    assert fitted is not None
    refused = [
        fitted.adjust(*photo) < fitted.unfamiliar_below for photo in zip(known, evidence.max(axis=1), strict=True)
    ]
    assert np.mean(refused) == pytest.approx(0.1, abs=0.01)
    assert (fitted.false_accept_rate, fitted.open_set_auroc) == (None, None)
    assert calibration.unknown_below is None


def test_few_held_out_photos_have_no_unfamiliar_threshold() -> None:
    evidence, labels = draw_evidence(29)

    assert fit_calibration(evidence, labels, np.empty(0), familiarity=np.full(29, 0.5)).familiarity is None


def test_unfamiliar_rates_are_of_photos_that_did_not_set_the_threshold() -> None:
    """One group's photos are the least familiar: the others' threshold refuses it, its own would not."""
    evidence, labels = draw_evidence(200)
    groups = [str(i // 5) for i in range(200)]
    known = np.random.default_rng(0).uniform(0.4, 0.6, 200)
    known[:5] = 0.2
    outside = np.full(100, 0.1)

    fitted = fit_calibration(
        evidence, labels, np.full(100, 0.5), groups=groups, familiarity=known, outside_familiarity=outside
    ).familiarity

    assert fitted is not None
    assert 0.1 < fitted.unfamiliar_below <= 0.2  # on all photos nothing is refused
    assert 5 / 200 <= fitted.false_reject_rate.value <= 5 / 200 + 0.03


def test_a_photo_that_is_unfamiliar_is_no_match() -> None:
    labels = np.arange(100) % 2
    evidence = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)
    known = np.linspace(0.3, 0.6, 100)

    fitted = fit_calibration(evidence, labels, np.empty(0), familiarity=known, outside_familiarity=np.empty(0))

    assert fitted.match_share is not None
    assert fitted.familiarity is not None
    assert fitted.match_share.value == pytest.approx(1 - fitted.familiarity.false_reject_rate.value)


def test_the_evidence_counts_half_as_much_as_the_familiarity() -> None:
    evidence, labels = draw_evidence(300)
    known, _ = draw_familiarity(300, 0)
    best, log_odds = evidence.max(axis=1), np.log(known / (1 - known))

    fitted = fit_calibration(
        evidence, labels, np.empty(0), familiarity=known, outside_familiarity=np.empty(0)
    ).familiarity

    assert fitted is not None
    assert fitted.evidence_weight == pytest.approx(0.5 * log_odds.std() / best.std())
    adjusted = 1 / (1 + np.exp(-(log_odds + fitted.evidence_weight * (best - best.mean()))))
    np.testing.assert_allclose([fitted.adjust(*photo) for photo in zip(known, best, strict=True)], adjusted)


def test_evidence_that_never_varies_has_no_weight() -> None:
    labels = np.arange(100) % 2
    evidence = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)

    fitted = fit_calibration(
        evidence, labels, np.empty(0), familiarity=np.linspace(0.3, 0.6, 100), outside_familiarity=np.empty(0)
    ).familiarity

    assert fitted is not None
    assert fitted.evidence_weight == 0
    assert fitted.adjust(0.4, 0.1) == pytest.approx(0.4)
