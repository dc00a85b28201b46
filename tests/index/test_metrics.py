"""Retrieval figures against plain loops."""

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.metrics import chance_recall_at_1, estimate, score_retrieval


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
    np.testing.assert_array_equal(scores.average_precision_at_r, expected.average_precision_at_r)
    assert chance_recall_at_1(queries, labels, excluded=excluded) == chance_recall_at_1(queries, labels[kept])


def test_a_query_without_a_right_photo_is_not_judged() -> None:
    scores = score_retrieval(np.array([[0.5, 0.4]], np.float32), np.array([7]), np.array([0, 1]))

    assert np.isnan(scores.hit_at_1).all()
    assert np.isnan(estimate(scores.hit_at_1, ["a"]).value)


def test_chance_is_the_share_of_right_photos() -> None:
    assert chance_recall_at_1(np.array([0, 1]), np.array([0, 0, 0, 1])) == pytest.approx((3 / 4 + 1 / 4) / 2)


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
