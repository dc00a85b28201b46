"""Retrieval figures against plain loops."""

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.metrics import (
    FEWEST_GROUPS,
    chance_recall_at_1,
    estimate,
    estimate_by_family,
    estimate_macro,
    expect_by_chance,
    score_retrieval,
)


def rank_by_loop(similarities: NDArray[np.float32], labels: NDArray[np.int64], query: int) -> list[bool]:
    order = sorted(range(len(labels)), key=lambda i: (-similarities[i], i))
    return [bool(labels[i] == query) for i in order]


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_the_definitions(seed: int) -> None:
    generator = np.random.default_rng(seed)
    similarities = np.round(generator.uniform(-1, 1, (12, 30)), 1).astype(np.float32)  # with ties
    labels, queries = generator.integers(0, 4, 30), generator.integers(0, 4, 12)

    scores = score_retrieval(similarities, queries, labels)

    for row, query in enumerate(queries):
        ranked = rank_by_loop(similarities[row], labels, query)
        relevant = sum(ranked)
        terms = [sum(ranked[: i + 1]) / (i + 1) for i in range(relevant) if ranked[i]]
        assert scores.hit_at_1[row] == ranked[0]
        assert scores.r_precision[row] == pytest.approx(sum(ranked[:relevant]) / relevant)
        assert scores.average_precision_at_r[row] == pytest.approx(sum(terms) / relevant)


def test_excluded_photos_are_as_if_not_there() -> None:
    generator = np.random.default_rng(0)
    similarities = generator.uniform(-1, 1, (6, 20)).astype(np.float32)
    labels, queries = generator.integers(0, 3, 20), generator.integers(0, 3, 6)
    excluded = np.zeros((6, 20), bool)
    excluded[:, [1, 4, 9]] = True
    kept = np.setdiff1d(np.arange(20), [1, 4, 9])

    scores = score_retrieval(similarities, queries, labels, excluded=excluded)

    expected = score_retrieval(similarities[:, kept], queries, labels[kept])
    np.testing.assert_array_equal(scores.hit_at_1, expected.hit_at_1)
    np.testing.assert_array_equal(scores.r_precision, expected.r_precision)
    np.testing.assert_array_equal(scores.average_precision_at_r, expected.average_precision_at_r)
    assert chance_recall_at_1(queries, labels, excluded=excluded) == chance_recall_at_1(queries, labels[kept])


def test_a_query_without_a_right_photo_is_not_judged() -> None:
    scores = score_retrieval(np.array([[0.5, 0.4]], np.float32), np.array([7]), np.array([0, 1]))

    assert np.isnan(scores.hit_at_1).all()
    assert np.isnan(estimate(scores.hit_at_1, ["a"]).value)


def test_chance_is_the_share_of_right_photos() -> None:
    assert chance_recall_at_1(np.array([0, 1]), np.array([0, 0, 0, 1])) == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_scoring_leaves_the_similarities_as_they_were() -> None:
    similarities = np.array([[0.5, 0.4, 0.3]], np.float32)

    score_retrieval(similarities, np.array([0]), np.array([0, 0, 1]), excluded=np.array([[True, False, False]]))

    assert np.array_equal(similarities, np.array([[0.5, 0.4, 0.3]], np.float32))


def test_chance_is_what_random_rankings_reach_on_average() -> None:
    generator = np.random.default_rng(3)
    labels, queries = np.repeat([0, 1, 2], [2, 5, 9]), np.array([0, 1, 2, 2, 7])
    excluded = generator.random((5, 16)) < 0.2

    expected = expect_by_chance(queries, labels, excluded=excluded)

    drawn = [
        score_retrieval(generator.random((5, 16)).astype(np.float32), queries, labels, excluded=excluded)
        for _ in range(4000)
    ]
    for name in ("hit_at_1", "r_precision", "average_precision_at_r"):
        reached = np.mean([getattr(scores, name) for scores in drawn], axis=0)
        np.testing.assert_allclose(getattr(expected, name), reached, atol=0.025)
    assert np.isnan(expected.hit_at_1[4])


@pytest.mark.parametrize("seed", range(3))
def test_chance_without_exclusions_is_chance_with_none(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, queries = generator.integers(0, 5, 40), generator.integers(0, 6, 30)

    free = expect_by_chance(queries, labels)

    excluding = expect_by_chance(queries, labels, excluded=np.zeros((30, 40), bool))
    np.testing.assert_array_equal(free.average_precision_at_r, excluding.average_precision_at_r)
    np.testing.assert_array_equal(free.r_precision, excluding.r_precision)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        values = (generator.random(80) < 0.7).astype(float)
        figure = estimate(values, [str(i) for i in range(80)], seed=trial)
        held += figure.low <= 0.7 <= figure.high

    assert 0.9 <= held / 200 <= 0.99


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_perfect_score_keeps_a_doubt(value: float) -> None:
    figure = estimate(np.full(24, value), [str(i // 2) for i in range(24)])

    # Wilson's interval for 12 of 12 groups.
    assert figure.high - figure.low == pytest.approx(0.2425, abs=1e-3)
    assert figure.low <= figure.value <= figure.high


def test_groups_widen_the_interval() -> None:
    values = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0], 20)

    alone, together = (estimate(values, groups) for groups in ([str(i) for i in range(100)], list("abcde" * 20)))
    grouped = estimate(values, [name for name in "abcde" for _ in range(20)])

    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    assert alone.value == together.value == grouped.value


def test_intervals_of_few_groups_hold_the_truth_as_well() -> None:
    """Ten groups of one to five photos that are alike: a plain bootstrap holds 0.8 in 0.89 of cases."""
    generator = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        sizes, chances = generator.integers(1, 6, 10), generator.beta(2.4, 0.6, 10)
        groups = np.repeat(np.arange(10), sizes)
        figure = estimate(
            (generator.random(len(groups)) < chances[groups]).astype(float), [*map(str, groups)], seed=trial
        )
        held += figure.low <= 0.8 <= figure.high

    assert 0.91 <= held / 200 <= 0.99


def test_repeats_are_no_further_photos() -> None:
    generator = np.random.default_rng(6)
    once, groups = (generator.random(60) < 0.7).astype(float), [str(i) for i in range(60)]

    assert estimate(np.stack([once] * 5), groups) == estimate(once, groups)


def test_a_photo_counts_with_its_mean_over_the_repeats_that_judged_it() -> None:
    values = np.array([[1.0, 0.0, np.nan], [0.0, np.nan, np.nan]])

    assert estimate(values, ["a", "b", "c"]).value == pytest.approx((0.5 + 0.0) / 2)


def test_one_group_alone_shows_next_to_nothing() -> None:
    figure = estimate(np.array([1.0, 0.0, 1.0]), ["a", "a", "a"])

    assert (figure.low, figure.high) == (0.0, 1.0)


def test_every_family_counts_the_same_in_a_macro_figure() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 4])
    values = np.concatenate([np.ones(50), np.tile([1.0, 0.0], 5), np.zeros(4)])

    figure = estimate_macro(values, labels, [str(i) for i in range(64)])

    assert figure.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert figure.low < figure.value < figure.high


def test_a_macro_figure_of_one_family_is_the_plain_one() -> None:
    values, groups = np.tile([1.0, 0.0, 1.0], 10), [str(i // 2) for i in range(30)]

    assert estimate_macro(values, np.full(30, 4), groups) == estimate(values, groups)


def test_macro_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(7)
    labels = np.repeat(np.arange(4), [40, 20, 12, 12])
    chances = np.array([0.9, 0.7, 0.6, 0.5])
    held = 0
    for trial in range(200):
        values = (generator.random(84) < chances[labels]).astype(float)
        figure = estimate_macro(values, labels, [str(i) for i in range(84)], seed=trial)
        held += figure.low <= chances.mean() <= figure.high

    assert 0.9 <= held / 200 <= 0.99


def test_families_of_one_group_each_still_leave_a_doubt() -> None:
    figure = estimate_macro(np.array([1.0, 0.0, 1.0, 1.0]), np.arange(4), list("abcd"))

    assert figure.value == 0.75
    assert figure.high - figure.low > 0.5


def test_a_group_of_two_families_counts_as_one_of_each() -> None:
    values, labels = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1])

    figure = estimate_macro(values, labels, ["a", "b", "a", "c"])

    assert figure.value == 0.5


def test_families_too_small_to_judge_are_said_to_be() -> None:
    labels = np.repeat([0, 1, 2], [2 * FEWEST_GROUPS, 2 * (FEWEST_GROUPS - 1), 3])
    values = np.concatenate([np.tile([1.0, 0.0], 2 * FEWEST_GROUPS - 1), [np.nan] * 3])
    groups = [str(i // 2) for i in range(len(labels) - 3)] + ["x", "y", "z"]

    large, small, unseen = estimate_by_family(values, labels, groups, ("honey", "mason", "mining"))

    assert (large.family, large.photos, large.groups, large.judged) == ("honey", 20, 10, True)
    assert (small.family, small.photos, small.groups, small.judged) == ("mason", 18, 9, False)
    assert (unseen.photos, unseen.groups, unseen.judged) == (0, 0, False)
    assert np.isnan(unseen.figure.value)
    assert large.figure == estimate(values[:20], groups[:20])
