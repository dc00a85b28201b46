"""Folds that never split a group."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beedex.training.folds import Protocol, assign_folds, choose_protocol, draw_splits

PHOTOS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 15)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(photos=PHOTOS, folds=st.integers(2, 6), seed=st.integers(0, 5))
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


@settings(max_examples=200, deadline=None)
@given(photos=PHOTOS, folds=st.integers(2, 6), repeats=st.integers(1, 3), one=st.booleans(), seed=st.integers(0, 5))
def test_no_split_has_a_group_on_both_sides_and_each_repeat_holds_out_every_photo_once(
    photos: list[tuple[int, int]], folds: int, repeats: int, one: bool, seed: int
) -> None:
    labels, groups = np.array([family for family, _ in photos]), np.array([str(group) for _, group in photos])
    protocol = Protocol(folds=folds, held_out=1 if one else folds, repeats=repeats, why="")

    splits = list(draw_splits(labels, groups.tolist(), protocol, seed=seed))

    for split in splits:
        assert split.held_out.any()
        assert not set(groups[split.held_out]) & set(groups[~split.held_out])
    for repeat in range(repeats):
        times = np.sum([split.held_out for split in splits if split.repeat == repeat], axis=0)
        assert times.max() == 1
        assert one or times.min() == 1
    assert len(splits) <= protocol.splits


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=5),
    folds=st.integers(2, 6),
    seed=st.integers(0, 5),
)
def test_a_familys_photos_in_two_folds_differ_by_at_most_its_largest_group(
    sizes: list[list[int]], folds: int, seed: int
) -> None:
    labels = np.concatenate([np.full(sum(of_family), label) for label, of_family in enumerate(sizes)])
    groups = [
        f"{label}-{i}" for label, of_family in enumerate(sizes) for i, size in enumerate(of_family) for _ in range(size)
    ]

    fold_of = assign_folds(labels, groups, folds=folds, seed=seed)

    for label, of_family in enumerate(sizes):
        counts = np.bincount(fold_of[labels == label], minlength=folds)
        assert counts.max() - counts.min() <= max(of_family)


def test_repeats_draw_other_folds_and_the_same_ones_again() -> None:
    labels, groups = np.arange(60) % 3, [str(i) for i in range(60)]
    protocol = Protocol(folds=5, held_out=5, repeats=2, why="")

    splits, again = (list(draw_splits(labels, groups, protocol, seed=4)) for _ in range(2))

    first, second = ({split.held_out.tobytes() for split in splits if split.repeat == r} for r in range(2))
    assert len(first) == len(second) == 5
    assert not first & second
    assert [split.held_out.tobytes() for split in splits] == [split.held_out.tobytes() for split in again]


@pytest.mark.parametrize(
    ("photos", "per_group", "held_out", "repeats", "sentence"),
    [
        (
            154,
            1,
            5,
            3,
            "154 photos of 154 groups and 6 families are few: 5-fold cross-validation by group, 3 times over",
        ),
        (154, 1, 5, 3, "since one split of about 31 groups would leave an interval of +-0.18"),
        (2_000, 1, 5, 1, "are few: 5-fold cross-validation by group, since one split of about 400 groups"),
        (12_000, 1, 5, 1, "are few"),
        (12_010, 1, 1, 1, "are many: one split of about 2,402 groups is held out, which leaves an interval of at most"),
        (20_000, 10, 5, 1, "20,000 photos of 2,000 groups and 6 families are few"),
        (3, 1, 5, 3, "are few"),
    ],
)
def test_the_protocol_follows_the_number_of_groups_and_says_why(
    photos: int, per_group: int, held_out: int, repeats: int, sentence: str
) -> None:
    protocol = choose_protocol(np.arange(photos) % 6, [str(i // per_group) for i in range(photos)])

    assert (protocol.folds, protocol.held_out, protocol.repeats) == (5, held_out, repeats)
    assert sentence in protocol.why
