"""Folds that never split a group."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from beedex.training.folds import assign_folds


@settings(max_examples=200, deadline=None)
@given(
    photos=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 15)), min_size=1, max_size=60),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
)
def test_a_group_is_never_split(photos: list[tuple[int, int]], folds: int, seed: int) -> None:
    labels = [family for family, _ in photos]
    groups = [str(group) for _, group in photos]  # some groups hold several families

    fold_of = assign_folds(labels, groups, folds=folds, seed=seed)

    for group in set(groups):
        assert len({fold_of[i] for i in range(len(photos)) if groups[i] == group}) == 1
    assert ((fold_of >= 0) & (fold_of < folds)).all()


def test_families_are_spread_evenly() -> None:
    labels = np.repeat([0, 1, 2], [30, 10, 5])

    fold_of = assign_folds(labels, [str(i) for i in range(45)], folds=5, seed=1)

    assert [np.bincount(fold_of[labels == label], minlength=5).tolist() for label in range(3)] == [
        [6] * 5,
        [2] * 5,
        [1] * 5,
    ]


def test_seeds_draw_different_folds() -> None:
    labels, groups = [0] * 20, [str(i) for i in range(20)]

    first, second = (assign_folds(labels, groups, folds=5, seed=seed) for seed in (0, 1))

    assert not np.array_equal(first, second)
