"""What inverted lists do beyond the contract: efforts, and the tuning that sets them."""

import numpy as np
import pytest

from beedex.index.vectors import IvfStore
from beedex.index.vectors.tuning import estimate_visited, measure_ranks, tune_efforts


@pytest.fixture
def store(oracle):
    vectors = oracle.draw_clusters(2000, seed=1)
    made = IvfStore.train(vectors, lists=60)
    made.add(oracle.draw_ids(2000, seed=1), vectors)
    return made


def test_a_store_that_was_not_tuned_looks_at_everything(store, oracle):
    queries = oracle.draw_clusters(30, seed=2)

    np.testing.assert_array_equal(store.search(queries, 9).ids, store.search(queries, 9, effort=store.lists).ids)


def test_more_effort_finds_no_fewer_of_the_true_neighbors(store, oracle):
    queries = oracle.draw_clusters(50, seed=2)
    truth = store.search(queries, 10, effort=store.lists).ids

    shares = [
        np.mean([np.isin(row, true) for row, true in zip(store.search(queries, 10, effort=e).ids, truth, strict=True)])
        for e in (1, 2, 4, 8, 16, 32, 60)
    ]

    assert shares == sorted(shares)
    assert shares[0] < 1
    assert shares[-1] == 1


def test_the_effort_is_that_of_the_nearest_depth_above_k_and_grows_beyond_in_proportion(store):
    store.efforts = {10: 3, 50: 5, 200: 8}

    assert [store.choose_effort(k) for k in (1, 10, 11, 50, 51, 200, 201, 400, 10_000)] == [3, 3, 5, 5, 8, 8, 9, 16, 60]


def test_vectors_lie_in_the_list_of_the_nearest_centroid(store, oracle):
    vectors = oracle.draw_clusters(100, seed=3)

    expected = np.argmax(vectors @ store.centroids.T, axis=1)

    np.testing.assert_array_equal(store.assign(vectors), expected)
    assert store.list_sizes().sum() == len(store)


def test_ranks_foretell_the_recall_of_every_effort(store):
    ranks = measure_ranks(store, depth=10)
    asked = np.sort(np.random.default_rng(0).choice(store.ids, len(ranks), replace=False))
    truth = store.search(store.get(asked), 11, effort=store.lists).ids

    for effort in (2, 5, 20):
        found = store.search(store.get(asked), 11, effort=effort).ids
        # Each finds itself among the eleven.
        recall = np.mean([np.isin(true, row).sum() - 1 for row, true in zip(found, truth, strict=True)]) / 10
        foretold = (ranks < effort).mean()
        # Where the lists held less than eleven, more were looked at than was asked for.
        assert foretold - 1e-9 <= recall <= foretold + 0.02


def test_the_tuned_effort_is_above_the_target_and_one_less_is_not(store):
    ranks = measure_ranks(store, depth=10)

    effort = tune_efforts(store, 0.9)[10]

    shares = (ranks < effort).mean(axis=1)
    fewer = (ranks < effort - 1).mean(axis=1)
    assert shares.mean() - 2 * shares.std() / np.sqrt(len(shares)) >= 0.9
    assert fewer.mean() - 2 * fewer.std() / np.sqrt(len(fewer)) < 0.9


def test_a_target_out_of_reach_by_chance_alone_visits_every_list_that_holds_a_neighbor(store):
    assert tune_efforts(store, 0.999999)[200] <= store.lists


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_vectors_leave_nothing_to_tune(oracle, count):
    store = IvfStore.train(oracle.draw(8, seed=1), lists=2)
    store.add(np.arange(count), oracle.draw(count, seed=1))

    assert tune_efforts(store, 0.99) == {}


def test_copies_of_one_photo_can_be_tuned(oracle):
    store = IvfStore.train(oracle.draw(8, seed=1), lists=2)
    store.add(np.arange(300), oracle.draw(1, seed=1).repeat(300, axis=0))

    assert tune_efforts(store, 0.99) == {10: 1, 50: 1, 200: 1}


def test_the_share_that_is_visited_grows_with_the_effort_to_the_whole(store):
    shares = [estimate_visited(store, effort) for effort in (1, 10, 60)]

    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == pytest.approx(1 + 60 / 2000)


@pytest.mark.parametrize("lists", [0, 9])
def test_a_list_without_a_vector_to_train_on_is_refused(oracle, lists):
    with pytest.raises(ValueError, match=f"expected 1 <= lists <= 8, received {lists}"):
        IvfStore.train(oracle.draw(8, seed=1), lists)


def test_training_on_what_is_no_vector_is_refused(oracle):
    with pytest.raises(ValueError, match="has norm"):
        IvfStore.train(oracle.draw(8, seed=1) * np.float32(2), 2)


def test_the_memory_map_is_left_alone_by_changes(store, oracle, tmp_path):
    store.save(tmp_path / "a")
    mapped = IvfStore.load(tmp_path / "a", {}, mapped=True)
    news = oracle.draw(1, seed=5)

    mapped.replace(store.ids[:1], news)

    np.testing.assert_array_equal(mapped.get(store.ids[:1]), news)
    np.testing.assert_array_equal(IvfStore.load(tmp_path / "a", {}).get(store.ids), store.get(store.ids))
