"""P x K batches for any multiset of families and groups."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from beedex.training.fitting.batches import Batches

# One (family, group) a photo.
photos = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), min_size=2, max_size=80)


def make_batches(labels: list[int], groups: list[str], *, p: int, k: int, seed: int = 0) -> Batches:
    generator = np.random.default_rng(seed)
    return Batches(labels, groups, families_per_batch=p, photos_per_family=k, generator=generator)


def name_groups(photos: list[tuple[int, int]]) -> tuple[list[int], list[str]]:
    """Labels and groups of photos; only those with a family of two groups can be batched."""
    groups_by_family = Counter(family for family, _ in set(photos))
    assume(max(groups_by_family.values()) >= 2)
    return [family for family, _ in photos], [f"{family}-{group}" for family, group in photos]


def check_batch(batch: NDArray[np.int64], labels: list[int], groups: list[str], *, p: int, k: int) -> None:
    """P families of K rows, every row with a positive of another group, none repeated without need."""
    sizes = Counter(labels)
    assert len(batch) == p * k
    assert set(Counter(labels[i] for i in batch).values()) == {k}
    for anchor in batch:
        assert any(labels[i] == labels[anchor] and groups[i] != groups[anchor] for i in batch)
    for photo, times in Counter(batch.tolist()).items():
        assert times == 1 or sizes[labels[photo]] < k


@settings(max_examples=200, deadline=None)
@given(photos=photos, p=st.integers(1, 10), k=st.integers(2, 6), seed=st.integers(0, 3))
def test_every_anchor_has_a_positive_of_another_group_and_every_photo_comes(
    photos: list[tuple[int, int]], p: int, k: int, seed: int
) -> None:
    labels, groups = name_groups(photos)
    batches = make_batches(labels, groups, p=p, k=k, seed=seed)

    for _ in range(2):
        epoch = list(batches.draw_epoch())

        families = min(p, len({labels[i] for i in batches.trained}))
        for batch in epoch:
            check_batch(batch, labels, groups, p=families, k=k)
        assert set(np.concatenate(epoch).tolist()) == set(batches.trained.tolist())
        assert len(epoch) == batches.describe().steps_per_epoch


@settings(max_examples=100, deadline=None)
@given(photos=photos, p=st.integers(1, 10), k=st.integers(2, 6), before=st.integers(0, 40))
def test_restored_batches_go_on_where_the_saved_ones_were(
    photos: list[tuple[int, int]], p: int, k: int, before: int
) -> None:
    labels, groups = name_groups(photos)
    first, second = make_batches(labels, groups, p=p, k=k, seed=1), make_batches(labels, groups, p=p, k=k, seed=2)
    for _ in range(before):
        first.draw()

    second.restore(json.loads(json.dumps(first.state())))

    for _ in range(2 * first.steps_per_epoch + 1):
        np.testing.assert_array_equal(first.draw(), second.draw())
        assert first.epoch == second.epoch


@settings(max_examples=100, deadline=None)
@given(photos=photos, p=st.integers(1, 10), k=st.integers(2, 6))
def test_the_description_counts_what_the_batches_hold(photos: list[tuple[int, int]], p: int, k: int) -> None:
    labels, groups = name_groups(photos)
    batches = make_batches(labels, groups, p=p, k=k)

    epoch = list(batches.draw_epoch())
    described = batches.describe()

    pairs = triplets = 0
    for batch in epoch:
        same = np.equal.outer(np.array(labels)[batch], np.array(labels)[batch])
        pairs += int(same.sum()) - len(batch)
        triplets += sum((int(row.sum()) - 1) * int((~row).sum()) for row in same)
    assert (described.pairs_per_epoch, described.triplets_per_epoch) == (pairs, triplets)
    assert described.pairs_per_batch * len(epoch) == pairs
    assert described.triplets_per_batch * len(epoch) == triplets
    assert described.photos + described.left_out == len(labels)
    assert described.families == len({labels[i] for i in batches.trained})
    assert described.families_per_batch * described.photos_per_family == len(epoch[0])


@pytest.mark.parametrize(
    ("sizes", "p", "k", "steps"),
    [
        ([2], 8, 5, 1),
        ([2, 2], 8, 5, 1),
        ([7] * 200, 8, 5, 50),
        ([30, 3, 24, 41, 12, 9], 8, 5, 9),
        ([1] * 5 + [4], 2, 4, 1),
    ],
    ids=["one family of two", "P above the families", "200 families", "a long tail", "families of one photo"],
)
def test_an_epoch_has_as_few_steps_as_it_can(sizes: list[int], p: int, k: int, steps: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes).tolist()
    batches = make_batches(labels, [str(i) for i in range(len(labels))], p=p, k=k)

    epoch = list(batches.draw_epoch())

    assert len(epoch) == batches.steps_per_epoch == steps
    assert set(np.concatenate(epoch).tolist()) == set(batches.trained.tolist())


def test_a_group_that_is_most_of_its_family_is_spread_over_more_hands() -> None:
    labels = [0] * 21 + [1] * 2
    batches = make_batches(labels, ["film"] * 20 + ["a", "b", "c"], p=2, k=5)

    epoch = list(batches.draw_epoch())

    assert len(epoch) == 5  # 20 frames, 4 beside the photo of another group
    assert all(20 in batch for batch in epoch)


def test_a_photo_is_repeated_in_a_batch_only_where_its_family_has_no_other() -> None:
    batches = make_batches([0] * 12 + [1] * 2, [str(i) for i in range(14)], p=2, k=4)

    counts = Counter(batches.draw().tolist())

    assert max(counts[i] for i in range(12)) == 1
    assert sum(counts[i] for i in (12, 13)) == 4


def test_families_of_one_group_take_no_part() -> None:
    batches = make_batches([0, 0, 1, 1, 2, 2], ["a", "b", "c", "d", "e", "e"], p=6, k=2)

    assert batches.trained.tolist() == [0, 1, 2, 3]


def test_families_that_are_done_come_again_in_turn() -> None:
    """One long family needs 20 steps; the four short ones share its company."""
    sizes = [100, 5, 5, 5, 5]
    labels = np.repeat(np.arange(5), sizes)
    batches = make_batches(labels.tolist(), [str(i) for i in range(120)], p=3, k=5)

    seen = Counter(int(label) for batch in batches.draw_epoch() for label in labels[batch][::5])

    assert seen == {0: 20, 1: 10, 2: 10, 3: 10, 4: 10}


def test_the_same_seed_draws_the_same_epochs_and_another_seed_others() -> None:
    labels, groups = [0, 0, 0, 0, 1, 1, 1, 1], list("abcdefgh")

    first, second, other = (list(make_batches(labels, groups, p=2, k=2, seed=s).draw_epoch()) for s in (4, 4, 5))

    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_state_of_other_batches_is_refused() -> None:
    state = make_batches([0, 0, 1, 1], list("abcd"), p=2, k=2).state()

    with pytest.raises(ValueError, match="expected 3 photos"):
        make_batches([0, 0, 0], list("abc"), p=2, k=2).restore(state)


@pytest.mark.parametrize(
    ("labels", "groups", "p", "k"),
    [([0, 1, 2, 3], "abcd", 2, 2), ([0, 0, 1, 1], "aabb", 2, 2), ([0, 0, 1, 1], "abcd", 2, 1), ([0, 0], "ab", 0, 2)],
)
def test_galleries_without_a_pair_are_refused(labels: list[int], groups: str, p: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"[Rr]eceived"):
        make_batches(labels, list(groups), p=p, k=k)
