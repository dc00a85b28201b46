"""Photos whose label the neighbors doubt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beedex.training.report import find_doubts


def test_a_flipped_label_among_sure_ones_is_found() -> None:
    generator = np.random.default_rng(0)
    true = np.repeat(np.arange(4), 20)
    probabilities = generator.dirichlet(np.full(4, 0.3), 80) * 0.1 + np.eye(4)[true] * 0.9
    probabilities[[7, 33]] = np.eye(4)[true[[7, 33]]]
    labels = true.copy()
    labels[[7, 33]] = 3, 0

    found = find_doubts(probabilities, labels)

    assert {(doubt.photo, doubt.said) for doubt in found} == {(7, 0), (33, 1)}


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 5))
def test_the_rule_is_confident_learnings(seed: int, count: int, families: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(families, 0.4), count)
    labels = generator.integers(0, families, count)

    found = find_doubts(probabilities, labels)

    expected = set()
    for i in range(count):
        for j in range(families):
            own = [probabilities[n, j] for n in range(count) if labels[n] == j]
            enough = max(0.5, np.mean(own)) if own else 1.0
            if j != labels[i] and probabilities[i, j] >= enough and probabilities[i, j] > probabilities[i, labels[i]]:
                expected.add((i, j))
    assert {(doubt.photo, doubt.said) for doubt in found} == expected
    gaps = [doubt.probability - doubt.label_probability for doubt in found]
    assert gaps == sorted(gaps, reverse=True)


def test_repeats_are_averaged_over_those_that_held_the_photo_out() -> None:
    nan = [np.nan, np.nan]
    repeats = np.array([[[0.9, 0.1], [0.2, 0.8], nan], [[0.7, 0.3], nan, nan]])

    found = find_doubts(repeats, np.array([0, 0, 1]))

    # Family 1 has no photo that was held out, so that nothing is known of how sure it can be.
    assert found == ()
    found = find_doubts(np.concatenate([repeats, [[nan, nan, [0.4, 0.6]]]]), np.array([0, 0, 1]))
    assert [(doubt.photo, doubt.probability, doubt.label_probability) for doubt in found] == [(1, 0.8, 0.2)]


def test_a_family_that_nothing_was_found_of_counts_as_zero() -> None:
    probabilities = np.array([[0.95, np.nan], [0.1, 0.9], [0.9, 0.1]])

    assert [doubt.photo for doubt in find_doubts(probabilities, np.array([1, 1, 0]))] == [0]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Received: probabilities of shape \(3, 2\), labels of shape \(4,\)"):
        find_doubts(np.zeros((3, 2)), np.zeros(4, np.int64))
