"""Exact search against numpy brute force, and the errors of wrong arguments."""

import errno
import threading
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beedex.index.errors import SnapshotError
from beedex.index.vectors import NO_ID, FaissStore

DIMENSION = 24


def draw_unit_vectors(count, *, seed, repeats=0):
    """(count, D) float32; *repeats* of them are copies of others, so that similarities tie."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if repeats:
        vectors[generator.integers(0, count, repeats)] = vectors[generator.integers(0, count, repeats)]
    return vectors


def draw_ids(count, *, seed):
    """(count,) distinct int64 over the whole signed range, in no order."""
    return np.random.default_rng(seed).choice(np.iinfo(np.int64).max, count).astype(np.int64) * (-1) ** np.arange(count)


def fill_store(ids, vectors):
    store = FaissStore(DIMENSION)
    store.add(ids, vectors)
    return store


def search_by_brute_force(ids, vectors, queries, k):
    """(Q, K) ids and similarities: by descending cosine, then by ascending id."""
    cosines = np.clip(queries.astype(np.float64) @ vectors.T.astype(np.float64), -1, 1)
    # Rounded so that equal vectors tie here too; the gaps between different ones are far wider.
    order = np.lexsort((np.broadcast_to(ids, cosines.shape), -np.round(cosines, 9)))[:, :k]
    return ids[order], np.take_along_axis(cosines, order, 1)


@pytest.mark.parametrize("query_count", [1, 3, 40])
@pytest.mark.parametrize("k", [1, 7, 300])
def test_search_equals_brute_force(query_count, k):
    ids, vectors = draw_ids(300, seed=1), draw_unit_vectors(300, seed=2)
    queries = draw_unit_vectors(query_count, seed=3)

    hits = fill_store(ids, vectors).search(queries, k)

    expected_ids, expected_similarities = search_by_brute_force(ids, vectors, queries, k)
    np.testing.assert_array_equal(hits.ids, expected_ids)
    np.testing.assert_allclose(hits.similarities, expected_similarities, atol=1e-6)
    assert hits.ids.dtype == np.int64
    assert hits.similarities.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), k=st.integers(1, 70), seed=st.integers(0, 10_000))
def test_ties_are_ordered_by_id_whatever_the_order_of_adding(count, k, seed):
    ids, vectors = draw_ids(count, seed=seed), draw_unit_vectors(count, seed=seed, repeats=count)
    queries = vectors[:3]
    shuffled = np.random.default_rng(seed).permutation(count)

    hits = fill_store(ids[shuffled], vectors[shuffled]).search(queries, k)

    expected_ids, _ = search_by_brute_force(ids, vectors, queries, k)
    found = min(k, count)
    np.testing.assert_array_equal(hits.ids[:, :found], expected_ids)


def test_a_tie_wider_than_k_gives_the_lowest_ids():
    ids = draw_ids(500, seed=4)
    vectors = draw_unit_vectors(1, seed=5).repeat(500, axis=0)

    hits = fill_store(ids, vectors).search(vectors[:1], 10)

    np.testing.assert_array_equal(hits.ids[0], np.sort(ids)[:10])


@pytest.mark.parametrize("k", [1, 10, 200])
def test_allowed_ids_are_searched_as_if_there_were_no_others(k):
    ids, vectors = draw_ids(200, seed=6), draw_unit_vectors(200, seed=7, repeats=50)
    queries = draw_unit_vectors(5, seed=8)
    kept = np.random.default_rng(9).random(200) < 0.3
    elsewhere = np.array([12345], np.int64)

    hits = fill_store(ids, vectors).search(queries, k, allowed=np.concatenate([ids[kept], elsewhere]))

    expected_ids, expected_similarities = search_by_brute_force(ids[kept], vectors[kept], queries, k)
    found = min(k, int(kept.sum()))
    np.testing.assert_array_equal(hits.ids[:, :found], expected_ids)
    np.testing.assert_allclose(hits.similarities[:, :found], expected_similarities, atol=1e-6)
    assert (hits.ids[:, found:] == NO_ID).all()


def test_nothing_allowed_finds_nothing():
    store = fill_store(draw_ids(5, seed=1), draw_unit_vectors(5, seed=1))

    hits = store.search(draw_unit_vectors(2, seed=2), 3, allowed=np.array([], np.int64))

    np.testing.assert_array_equal(hits.ids, np.full((2, 3), NO_ID))
    np.testing.assert_array_equal(hits.similarities, np.full((2, 3), -np.inf))


def test_rows_are_padded_when_k_exceeds_the_store():
    ids, vectors = draw_ids(4, seed=1), draw_unit_vectors(4, seed=1)

    hits = fill_store(ids, vectors).search(vectors[:2], 9)

    assert hits.ids.shape == hits.similarities.shape == (2, 9)
    assert (hits.ids[:, 4:] == NO_ID).all()
    assert np.isneginf(hits.similarities[:, 4:]).all()


def test_an_empty_store_finds_nothing():
    hits = FaissStore(DIMENSION).search(draw_unit_vectors(2, seed=1), 3)

    assert (hits.ids == NO_ID).all()


def test_no_query_gives_no_row():
    hits = fill_store(draw_ids(4, seed=1), draw_unit_vectors(4, seed=1)).search(np.empty((0, DIMENSION), np.float32), 3)

    assert hits.ids.shape == (0, 3)


def test_a_vector_is_its_own_nearest_with_similarity_of_at_most_one():
    ids, vectors = draw_ids(200, seed=1), draw_unit_vectors(200, seed=1)

    hits = fill_store(ids, vectors).search(vectors, 1)

    np.testing.assert_array_equal(hits.ids[:, 0], ids)
    assert hits.similarities.max() <= 1


def test_removed_vectors_are_never_found_and_the_rest_keeps_its_ids():
    ids, vectors = draw_ids(120, seed=1), draw_unit_vectors(120, seed=2, repeats=30)
    store = fill_store(ids, vectors)
    gone = np.random.default_rng(3).random(120) < 0.4

    removed = store.remove(np.concatenate([ids[gone], [99]]).astype(np.int64))

    hits = store.search(vectors[:20], 120)
    expected_ids, _ = search_by_brute_force(ids[~gone], vectors[~gone], vectors[:20], 120)
    assert removed == gone.sum()
    assert len(store) == (~gone).sum()
    np.testing.assert_array_equal(hits.ids[:, : len(store)], expected_ids)
    np.testing.assert_array_equal(store.get(ids[~gone]), vectors[~gone])


def test_a_removed_id_may_be_added_again_with_another_vector():
    ids, vectors = draw_ids(3, seed=1), draw_unit_vectors(4, seed=2)
    store = fill_store(ids, vectors[:3])

    store.remove(ids[:1])
    store.add(ids[:1], vectors[3:])

    np.testing.assert_array_equal(store.get(ids), vectors[[3, 1, 2]])


def test_getting_an_unknown_id_names_it():
    store = fill_store(np.array([4, 5], np.int64), draw_unit_vectors(2, seed=1))

    with pytest.raises(LookupError, match="no vector has id 6, expected one of the 2 stored ids"):
        store.get(np.array([5, 6], np.int64))


def test_saving_and_loading_keeps_every_byte(tmp_path):
    ids, vectors = draw_ids(50, seed=1), draw_unit_vectors(50, seed=2)
    store = fill_store(ids, vectors)
    store.save(tmp_path / "a.faiss")

    loaded = FaissStore.load(tmp_path / "a.faiss")
    loaded.save(tmp_path / "b.faiss")

    np.testing.assert_array_equal(loaded.ids, ids)
    np.testing.assert_array_equal(loaded.get(ids), vectors)
    assert loaded.dimension == DIMENSION
    assert (tmp_path / "a.faiss").read_bytes() == (tmp_path / "b.faiss").read_bytes()


def test_saving_to_a_full_disk_is_an_error():
    store = fill_store(draw_ids(50, seed=1), draw_unit_vectors(50, seed=2))

    with pytest.raises(OSError, match="No space left") as caught:
        store.save(Path("/dev/full"))

    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("content", [b"", b"IxM2", b"no index at all, but long enough to be one" * 10])
def test_loading_what_is_no_index_is_an_error(tmp_path, content):
    (tmp_path / "vectors.faiss").write_bytes(content)

    with pytest.raises(SnapshotError, match=r"vectors\.faiss can't be read as vectors"):
        FaissStore.load(tmp_path / "vectors.faiss")


def test_loading_a_truncated_index_is_an_error(tmp_path):
    fill_store(draw_ids(50, seed=1), draw_unit_vectors(50, seed=2)).save(tmp_path / "whole.faiss")
    whole = (tmp_path / "whole.faiss").read_bytes()
    (tmp_path / "half.faiss").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(SnapshotError, match=r"half\.faiss can't be read as vectors"):
        FaissStore.load(tmp_path / "half.faiss")


@pytest.mark.parametrize(
    "make", [faiss.IndexFlatIP, faiss.IndexFlatL2, lambda d: faiss.IndexIDMap2(faiss.IndexFlatL2(d))]
)
def test_loading_another_kind_of_index_is_an_error(tmp_path, make):
    faiss.write_index(make(DIMENSION), str(tmp_path / "other.faiss"))

    with pytest.raises(SnapshotError, match="another kind of index, expected IndexIDMap2 over IndexFlatIP"):
        FaissStore.load(tmp_path / "other.faiss")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v[:, :-1], r"wrong shape, expected \(any number, 24\), received \(3, 23\)"),
        (lambda v: v[0], r"wrong shape, expected \(any number, 24\), received \(24,\)"),
        (lambda v: v.astype(np.float64), "must be a float32 array, received float64"),
        (lambda v: v.tolist(), "must be a float32 array, received list"),
        (lambda v: v * np.array([[1], [2], [1]], np.float32), "vector 1 has norm 2.0000, expected 1"),
        (lambda v: v * np.array([[1], [1], [0]], np.float32), "vector 2 has norm 0.0000, expected 1"),
        (lambda v: np.where(np.arange(3)[:, None] == 1, np.float32(np.nan), v), "vector 1 holds NaN or infinity"),
        (lambda v: np.where(np.arange(3)[:, None] == 2, np.float32(np.inf), v), "vector 2 holds NaN or infinity"),
    ],
)
def test_wrong_vectors_are_refused_by_add_and_search_alike(spoil, message):
    store = FaissStore(DIMENSION)
    spoiled = spoil(draw_unit_vectors(3, seed=1))

    with pytest.raises(ValueError, match=message):
        store.add(np.arange(3), spoiled)
    with pytest.raises(ValueError, match=message):
        store.search(spoiled, 1)

    assert len(store) == 0


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1, 2, 1]), r"id 1 would be stored twice \(and 0 more\)"),
        (np.array([1, 100, 101]), r"id 100 would be stored twice \(and 1 more\)"),
        (np.array([1, -1, 2]), "id -1 marks a missing neighbor"),
        (np.array([1, 2]), "expected 3 ids, received 2"),
        (np.array([1, 2, 3], np.int32), r"one-dimensional int64 array, received \(3,\) int32"),
        ([1, 2, 3], "one-dimensional int64 array, received list"),
    ],
)
def test_wrong_ids_are_refused_and_nothing_is_added(ids, message):
    store = fill_store(np.array([100, 101], np.int64), draw_unit_vectors(2, seed=2))

    with pytest.raises(ValueError, match=message):
        store.add(ids, draw_unit_vectors(3, seed=1))

    np.testing.assert_array_equal(store.ids, [100, 101])


def test_k_below_one_is_refused():
    store = fill_store(draw_ids(2, seed=1), draw_unit_vectors(2, seed=1))

    with pytest.raises(ValueError, match="expected k >= 1, received k=0"):
        store.search(draw_unit_vectors(1, seed=1), 0)


def test_a_store_without_dimension_is_refused():
    with pytest.raises(ValueError, match="expected dimension >= 1, received 0"):
        FaissStore(0)


def test_vectors_in_any_memory_order_are_stored_alike():
    vectors = draw_unit_vectors(6, seed=1)
    ids = np.arange(6)

    store = fill_store(ids, np.asfortranarray(vectors))

    np.testing.assert_array_equal(store.get(ids), vectors)


def test_searches_from_many_threads_agree_with_one():
    ids, vectors = draw_ids(2000, seed=1), draw_unit_vectors(2000, seed=2)
    store = fill_store(ids, vectors)
    queries = draw_unit_vectors(64, seed=3)
    expected = store.search(queries, 10)
    allowed = ids[::2]
    expected_allowed = store.search(queries, 10, allowed=allowed)
    wrong = []

    def search_own_rows(first):
        for row in range(first, 64, 8):
            whole = store.search(queries[row : row + 1], 10)
            filtered = store.search(queries[row : row + 1], 10, allowed=allowed)
            if not np.array_equal(whole.ids[0], expected.ids[row]):
                wrong.append(row)
            if not np.array_equal(filtered.ids[0], expected_allowed.ids[row]):
                wrong.append(row)

    threads = [threading.Thread(target=search_own_rows, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
