"""Paired comparisons against brute force, and under the null."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.comparison import MOST_EXACT_GROUPS, compare


def draw_outcomes(
    generator: np.random.Generator, groups: NDArray[np.int64], chances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Hits of photos at their groups' chances, alike within a group."""
    own, of_group = generator.random(len(groups)), generator.random(groups.max() + 1)[groups]
    return (np.where(generator.random(len(groups)) < 0.8, of_group, own) < chances[groups]).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_the_p_value_of_few_groups_is_that_of_all_sign_patterns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, 8, 24)
    first, second = ((generator.random(24) < chance).astype(float) for chance in (0.8, 0.5))

    found = compare(first, second, [*map(str, groups)])

    sums = [sum((first - second)[groups == group]) for group in range(8)]
    flipped = [abs(sum(s * d for s, d in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=8)]
    assert found.p_value == pytest.approx(np.mean([value >= abs(sum(sums)) for value in flipped]))
    assert found.difference == pytest.approx((first - second).mean())


def test_drawn_patterns_come_near_to_all_of_them() -> None:
    differing, alike = MOST_EXACT_GROUPS, 10
    first = np.concatenate([np.tile([1.0, 1.0, 1.0, 0.0], differing // 4), np.ones(alike)])
    second = np.concatenate([np.tile([0.0, 0.0, 0.0, 1.0], differing // 4), np.ones(alike)])
    # 12 of 16 to one side, or more: the two tails of a binomial.
    exact = compare(first, second, [str(i) for i in range(len(first))])

    more = compare(np.append(first, [1.0, 0.0]), np.append(second, [0.0, 1.0]), [str(i) for i in range(len(first) + 2)])

    assert exact.p_value == pytest.approx(2 * sum((1820, 560, 120, 16, 1)) / 2**16)
    # 13 of 18.
    assert more.p_value == pytest.approx(2 * sum((8568, 3060, 816, 153, 18, 1)) / 2**18, rel=0.15)


@pytest.mark.parametrize(("count", "repeats"), [(30, 1), (60, 3)])
def test_one_of_twenty_null_comparisons_is_called_a_difference(count: int, repeats: int) -> None:
    generator = np.random.default_rng(count)
    significant = shown = 0
    for trial in range(300):
        groups = np.repeat(np.arange(count), generator.integers(1, 4, count))
        chances = generator.beta(2, 1, count)
        first, second = (
            np.stack([draw_outcomes(generator, groups, chances) for _ in range(repeats)]) for _ in range(2)
        )
        found = compare(first, second, [*map(str, groups)], seed=trial)
        significant += found.p_value < 0.05
        shown += found.shown

    # 300 draws at 0.05: 15, give or take 3.8.
    assert 5 <= significant <= 27
    assert shown <= significant


def test_a_real_difference_is_found() -> None:
    generator = np.random.default_rng(2)
    groups = np.arange(140)
    found = 0
    for trial in range(50):
        first, second = (draw_outcomes(generator, groups, np.full(140, chance)) for chance in (0.85, 0.65))
        found += compare(first, second, [*map(str, groups)], seed=trial).words.startswith("The trained head beats")

    assert found >= 45


def test_the_words_turn_with_the_sides() -> None:
    groups = [str(i) for i in range(40)]
    better, worse = np.tile([1.0, 1.0, 1.0, 0.0], 10), np.tile([1.0, 0.0, 1.0, 0.0], 10)

    up, down = compare(better, worse, groups), compare(worse, better, groups)

    assert up.words.startswith("The trained head beats frozen features: Recall@1 +0.25 (95 % interval +0.1")
    assert down.words.startswith("The trained head is worse than frozen features: Recall@1 -0.25")
    assert down.p_value == up.p_value
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low), abs=0.03)


def test_equal_results_show_no_difference_and_keep_a_doubt() -> None:
    values = np.tile([1.0, 0.0], 10)

    found = compare(values, values, [str(i) for i in range(20)], first_name="the head", second_name="the probe")

    assert (found.difference, found.p_value, found.differing) == (0.0, 1.0, 0)
    assert found.low == -found.high < -0.1
    assert found.words.startswith("No difference between the head and the probe can be shown: Recall@1 +0.00")


def test_five_groups_cannot_show_a_difference_and_the_words_say_so() -> None:
    found = compare(np.ones(5), np.zeros(5), list("abcde"))

    assert found.p_value == pytest.approx(2 / 2**5)
    assert not found.shown
    assert found.words.endswith("they differ in 5, and it takes 6 to show one.")


def test_six_groups_can() -> None:
    assert compare(np.ones(6), np.zeros(6), list("abcdef")).words.startswith("The trained head beats")


def test_photos_that_one_side_did_not_judge_do_not_count() -> None:
    first, second = np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.0, 1.0, np.nan, 0.0])

    found = compare(first, second, list("abcd"))

    assert found.groups == 2
    assert found.difference == 0.5


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="none has two values"):
        compare(np.array([np.nan]), np.array([1.0]), ["a"])
