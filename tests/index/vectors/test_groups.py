"""Grouped search, against numpy brute force over every group."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beedex.index.vectors import ExactStore, IvfStore, search_groups


def fill_exact(ids, vectors):
    store = ExactStore(vectors.shape[1])
    store.add(ids, vectors)
    return store


def group_by_brute_force(oracle, ids, vectors, labels, query, count, size):
    """The labels of the nearest groups and the ids of their nearest members; ids ascending, labels beside them."""
    order = oracle.search(ids, vectors, query[np.newaxis], len(ids))[0][0]
    label_by_id = dict(zip(ids.tolist(), labels.tolist(), strict=True))
    members: dict[int, list[int]] = {}
    for one in order.tolist():
        members.setdefault(label_by_id[one], []).append(one)
    return [(label, group[:size]) for label, group in list(members.items())[:count]]


def as_pairs(groups):
    return [(group.label, group.ids.tolist()) for group in groups]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size_of_store=st.integers(1, 150),
    group_count=st.integers(1, 30),
    count=st.integers(1, 8),
    size=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_groups_equal_brute_force(oracle, size_of_store, group_count, count, size, seed):
    generator = np.random.default_rng(seed)
    ids = np.sort(oracle.draw_ids(size_of_store, seed=seed))
    vectors = oracle.draw(size_of_store, seed=seed, repeats=size_of_store // 4)
    labels = generator.integers(0, group_count, size_of_store)
    queries = np.concatenate([vectors[:2], oracle.draw(2, seed=seed + 1)])

    found = search_groups(fill_exact(ids, vectors), queries, labels, count=count, size=size)

    assert [as_pairs(groups) for groups in found] == [
        group_by_brute_force(oracle, ids, vectors, labels, query, count, size) for query in queries
    ]


def test_one_group_that_crowds_around_the_query_does_not_hide_the_others(oracle):
    vectors = oracle.draw_clusters(1000, seed=1, centers=5)
    labels = np.argmax(vectors @ oracle.draw_clusters(5, seed=7, centers=5).T, axis=1)
    ids = np.arange(1000)

    groups = search_groups(fill_exact(ids, vectors), vectors[:1], labels, count=5, size=3)[0]

    assert as_pairs(groups) == group_by_brute_force(oracle, ids, vectors, labels, vectors[0], 5, 3)


def test_members_come_with_their_cosines(oracle):
    ids, vectors = np.arange(60), oracle.draw(60, seed=1)
    labels = ids % 7

    for group in search_groups(fill_exact(ids, vectors), vectors[3:4], labels, count=7, size=4)[0]:
        np.testing.assert_allclose(group.similarities, vectors[group.ids] @ vectors[3], atol=1e-6)
        assert (labels[group.ids] == group.label).all()


def test_an_approximate_store_finds_nearly_the_same_groups(oracle):
    ids, vectors = np.arange(3000), oracle.draw_clusters(3000, seed=1)
    labels = np.random.default_rng(1).integers(0, 200, 3000)
    store = IvfStore.train(vectors, lists=60)
    store.add(ids, vectors)
    store.efforts = {10: 4}
    queries = oracle.draw_clusters(40, seed=2)

    found = search_groups(store, queries, labels, count=5, size=2)

    exact = search_groups(fill_exact(ids, vectors), queries, labels, count=5, size=2)
    shares = [
        np.isin([group.label for group in one], [group.label for group in other]).mean()
        for one, other in zip(found, exact, strict=True)
    ]
    assert np.mean(shares) >= 0.9
    assert all(len(groups) == 5 and all(len(group.ids) == 2 for group in groups) for groups in found)
    assert all(
        [group.similarities[0] for group in groups] == sorted((group.similarities[0] for group in groups), reverse=True)
        for groups in found
    )


def test_an_empty_store_has_no_groups(oracle):
    assert search_groups(ExactStore(oracle.dimension), oracle.draw(2, seed=1), np.array([], np.int64), count=3) == [
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("labels", "wrong", "message"),
    [
        (np.arange(4), {"count": 1}, r"every vector needs one label, expected shape \(5,\), received \(4,\)"),
        (np.zeros((5, 1), int), {"count": 1}, r"expected shape \(5,\), received \(5, 1\)"),
        (np.arange(5), {"count": 0}, "received count=0, size=1"),
        (np.arange(5), {"count": 1, "size": 0}, "received count=1, size=0"),
    ],
)
def test_wrong_labels_and_numbers_are_refused(oracle, labels, wrong, message):
    store = fill_exact(np.arange(5), oracle.draw(5, seed=1))

    with pytest.raises(ValueError, match=message):
        search_groups(store, oracle.draw(1, seed=1), labels, **wrong)
