"""P x K batches for any multiset of families and groups."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beedex.training.batches import Batches

# One (family, group) a photo.
photos = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), min_size=4, max_size=80)


def make_batches(labels: list[int], groups: list[str], *, p: int, k: int, seed: int = 0) -> Batches:
    generator = np.random.default_rng(seed)
    return Batches(labels, groups, families_per_batch=p, photos_per_family=k, generator=generator)


def has_enough_groups(labels: list[int], groups: list[str]) -> bool:
    groups_by_family = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    return sum(count >= 2 for count in groups_by_family.values()) >= 2


@settings(max_examples=200, deadline=None)
@given(photos=photos, p=st.integers(2, 10), k=st.integers(2, 6), seed=st.integers(0, 3))
def test_every_anchor_has_a_positive_of_another_group_and_every_photo_comes(
    photos: list[tuple[int, int]], p: int, k: int, seed: int
) -> None:
    labels = [family for family, _ in photos]
    groups = [f"{family}-{group}" for family, group in photos]
    assume(has_enough_groups(labels, groups))
    batches = make_batches(labels, groups, p=p, k=k, seed=seed)

    epoch = list(batches.draw_epoch())

    families = min(p, len({labels[i] for i in batches.trained}))
    for batch in epoch:
        assert len(batch) == families * k
        assert set(Counter(labels[i] for i in batch).values()) == {k}
        for anchor in batch:
            partners = [i for i in batch if labels[i] == labels[anchor] and groups[i] != groups[anchor]]
            assert partners
    assert set(np.concatenate(epoch).tolist()) == set(batches.trained.tolist())


def test_a_photo_is_repeated_in_a_batch_only_where_its_family_has_no_other() -> None:
    batches = make_batches([0] * 12 + [1] * 2, [str(i) for i in range(14)], p=2, k=4)

    batch = next(batches.draw_epoch())

    counts = Counter(batch.tolist())
    assert max(counts[i] for i in range(12)) == 1
    assert sum(counts[i] for i in (12, 13)) == 4


def test_families_of_one_group_take_no_part() -> None:
    batches = make_batches([0, 0, 1, 1, 2, 2], ["a", "b", "c", "d", "e", "e"], p=6, k=2)

    assert batches.trained.tolist() == [0, 1, 2, 3]


def test_two_hundred_families_share_the_batches_evenly() -> None:
    labels = [family for family in range(200) for _ in range(7)]
    batches = make_batches(labels, [str(i) for i in range(1400)], p=8, k=5)

    epoch = list(batches.draw_epoch())

    assert len(epoch) == batches.steps_per_epoch == 50
    assert len(np.unique(np.concatenate(epoch))) == 1400


def test_the_same_seed_draws_the_same_epochs() -> None:
    labels, groups = [0, 0, 0, 1, 1, 1], list("abcdef")

    first, second = (list(make_batches(labels, groups, p=2, k=2, seed=4).draw_epoch()) for _ in range(2))

    assert np.array_equal(first, second)


@pytest.mark.parametrize(("labels", "k"), [([0, 0, 0, 0], 2), ([0, 1, 2, 3], 2), ([0, 0, 1, 1], 1)])
def test_galleries_without_triplets_are_refused(labels: list[int], k: int) -> None:
    with pytest.raises(ValueError, match=r"[Rr]eceived"):
        make_batches(labels, ["a", "b", "c", "d"], p=2, k=k)
