"""What every store must do, against numpy brute force.

To hold another store to it, add its `Kind` to `KINDS`. An approximate store is asked to look at `EVERYTHING` where the
oracle decides about each neighbor, and is taken as it is where only recall may be lost.
"""

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beedex.index.errors import SnapshotError
from beedex.index.vectors import NO_ID, ExactStore, IvfStore, VectorStore
from beedex.index.vectors.tuning import tune_efforts

EVERYTHING = 1 << 30

# What an approximate store is tuned to here; few vectors in few dimensions leave room for chance.
RECALL = 0.95


@dataclass(frozen=True)
class Kind:
    """How one kind of store is made, prepared for searching, and opened again."""

    make: Callable[[np.ndarray], VectorStore]  # given (N, D) vectors of the kind that it will hold
    prepare: Callable[[Any, Path], VectorStore]
    load: Callable[[Any, Path], VectorStore]


def tune(store, _directory):
    store.efforts = tune_efforts(store, 0.99)
    return store


def tune_and_map(store, directory):
    tune(store, directory)
    store.save(directory / "mapped.faiss")
    return IvfStore.load(directory / "mapped.faiss", store.efforts, mapped=True)


KINDS = {
    "exact": Kind(
        make=lambda vectors: ExactStore(vectors.shape[1]),
        prepare=lambda store, _: store,
        load=lambda _, path: ExactStore.load(path),
    ),
    "ivf": Kind(
        make=lambda vectors: IvfStore.train(vectors, lists=16),
        prepare=tune,
        load=lambda store, path: IvfStore.load(path, store.efforts),
    ),
    "mapped": Kind(
        make=lambda vectors: IvfStore.train(vectors, lists=16),
        prepare=tune_and_map,
        load=lambda store, path: IvfStore.load(path, store.efforts, mapped=True),
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def make_empty(kind, oracle):
    return lambda: kind.make(oracle.draw(64, seed=99))


@pytest.fixture
def fill_store(kind, make_empty, tmp_path):
    def fill(ids, vectors):
        store = make_empty()
        store.add(ids, vectors)
        return kind.prepare(store, tmp_path)

    return fill


@pytest.mark.parametrize("query_count", [1, 3, 40])
@pytest.mark.parametrize("k", [1, 7, 300])
def test_search_of_everything_equals_brute_force(fill_store, oracle, query_count, k):
    ids, vectors = oracle.draw_ids(300, seed=1), oracle.draw(300, seed=2)
    queries = oracle.draw(query_count, seed=3)

    hits = fill_store(ids, vectors).search(queries, k, effort=EVERYTHING)

    expected_ids, expected_similarities = oracle.search(ids, vectors, queries, k)
    np.testing.assert_array_equal(hits.ids, expected_ids)
    np.testing.assert_allclose(hits.similarities, expected_similarities, atol=1e-6)
    assert hits.ids.dtype == np.int64
    assert hits.similarities.dtype == np.float32


@pytest.mark.parametrize("k", [10, 50, 200])
def test_the_recall_that_was_asked_for_is_reached_on_other_queries(fill_store, oracle, k):
    ids, vectors = oracle.draw_ids(4000, seed=1), oracle.draw_clusters(4000, seed=1)
    queries = oracle.draw_clusters(200, seed=2)

    hits = fill_store(ids, vectors).search(queries, k)

    expected_ids, _ = oracle.search(ids, vectors, queries, k)
    shares = [np.isin(found, expected).mean() for found, expected in zip(hits.ids, expected_ids, strict=True)]
    assert np.mean(shares) >= RECALL


@pytest.mark.parametrize("query_count", [1, 30])
@pytest.mark.parametrize("effort", [None, 1, 3])
def test_what_is_found_has_its_true_cosine_and_stands_in_order(fill_store, oracle, query_count, effort):
    ids, vectors = oracle.draw_ids(1000, seed=1), oracle.draw_clusters(1000, seed=1)
    vectors[500:] = vectors[:500]
    queries = oracle.draw_clusters(query_count, seed=2)

    hits = fill_store(ids, vectors).search(queries, 20, effort=effort)

    row_by_id = {stored: row for row, stored in enumerate(ids.tolist())}
    found = vectors[[[row_by_id[hit] for hit in row] for row in hits.ids.tolist()]]  # (Q, K, D)
    np.testing.assert_allclose(hits.similarities, np.einsum("qkd,qd->qk", found, queries), atol=1e-6)
    order = np.lexsort((hits.ids, -hits.similarities), axis=1)
    np.testing.assert_array_equal(order, np.broadcast_to(np.arange(20), order.shape))
    assert all(len(set(row)) == 20 for row in hits.ids.tolist())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 60), k=st.integers(1, 70), seed=st.integers(0, 10_000))
def test_ties_are_ordered_by_id_whatever_the_order_of_adding(fill_store, oracle, count, k, seed):
    ids, vectors = oracle.draw_ids(count, seed=seed), oracle.draw(count, seed=seed, repeats=count)
    queries = vectors[:3]
    shuffled = np.random.default_rng(seed).permutation(count)

    hits = fill_store(ids[shuffled], vectors[shuffled]).search(queries, k, effort=EVERYTHING)

    expected_ids, _ = oracle.search(ids, vectors, queries, k)
    np.testing.assert_array_equal(hits.ids[:, : min(k, count)], expected_ids)


@pytest.mark.parametrize("query_count", [1, 5])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 1])
@pytest.mark.parametrize("k", [1, 10, 1000])
def test_allowed_ids_are_searched_exactly_as_if_there_were_no_others(fill_store, oracle, share, k, query_count):
    ids, vectors = oracle.draw_ids(1000, seed=6), oracle.draw_clusters(1000, seed=7)
    vectors[:200] = vectors[200:400]
    queries = oracle.draw_clusters(query_count, seed=8)
    kept = np.random.default_rng(9).random(1000) < share
    elsewhere = np.array([12345], np.int64)

    hits = fill_store(ids, vectors).search(queries, k, allowed=np.concatenate([ids[kept], elsewhere, ids[kept][:3]]))

    expected_ids, expected_similarities = oracle.search(ids[kept], vectors[kept], queries, k)
    found = min(k, int(kept.sum()))
    assert hits.ids.shape == hits.similarities.shape == (query_count, k)
    np.testing.assert_array_equal(hits.ids[:, :found], expected_ids)
    np.testing.assert_allclose(hits.similarities[:, :found], expected_similarities, atol=1e-6)
    assert (hits.ids[:, found:] == NO_ID).all()


@pytest.mark.parametrize("allowed", [[], [12345]])
def test_nothing_allowed_finds_nothing(fill_store, oracle, allowed):
    store = fill_store(oracle.draw_ids(5, seed=1), oracle.draw(5, seed=1))

    hits = store.search(oracle.draw(2, seed=2), 3, allowed=np.array(allowed, np.int64))

    np.testing.assert_array_equal(hits.ids, np.full((2, 3), NO_ID))
    np.testing.assert_array_equal(hits.similarities, np.full((2, 3), -np.inf))


@pytest.mark.parametrize("effort", [None, 1, 2])
def test_many_queries_find_what_each_finds_alone(fill_store, oracle, effort):
    ids, vectors = oracle.draw_ids(400, seed=1), oracle.draw_clusters(400, seed=1)
    store = fill_store(ids, vectors)
    queries = oracle.draw_clusters(15, seed=2)

    together = store.search(queries, 40, effort=effort)

    for row in range(15):
        np.testing.assert_array_equal(together.ids[row], store.search(queries[[row]], 40, effort=effort).ids[0])


@pytest.mark.parametrize("effort", [None, 1])
def test_rows_are_full_until_k_exceeds_the_store(fill_store, oracle, effort):
    ids, vectors = oracle.draw_ids(30, seed=1), oracle.draw(30, seed=1)
    store = fill_store(ids, vectors)

    full, wide = store.search(vectors[:2], 30, effort=effort), store.search(vectors[:2], 35, effort=effort)

    expected_ids, _ = oracle.search(ids, vectors, vectors[:2], 30)
    np.testing.assert_array_equal(full.ids, expected_ids)
    np.testing.assert_array_equal(wide.ids[:, :30], expected_ids)
    assert wide.ids.shape == wide.similarities.shape == (2, 35)
    assert (wide.ids[:, 30:] == NO_ID).all()
    assert np.isneginf(wide.similarities[:, 30:]).all()


def test_an_empty_store_finds_nothing(make_empty, oracle):
    store = make_empty()

    hits = store.search(oracle.draw(2, seed=1), 3)

    assert len(store) == len(store.ids) == 0
    assert store.dimension == oracle.dimension
    assert (hits.ids == NO_ID).all()
    assert store.remove(np.array([1, 2])) == 0


def test_no_query_gives_no_row(fill_store, oracle):
    hits = fill_store(oracle.draw_ids(4, seed=1), oracle.draw(4, seed=1)).search(oracle.draw(4, seed=1)[:0], 3)

    assert hits.ids.shape == hits.similarities.shape == (0, 3)


def test_a_vector_is_its_own_nearest_with_similarity_of_at_most_one(fill_store, oracle):
    ids, vectors = oracle.draw_ids(200, seed=1), oracle.draw(200, seed=1)

    hits = fill_store(ids, vectors).search(vectors, 1, effort=1)

    np.testing.assert_array_equal(hits.ids[:, 0], ids)
    assert hits.similarities.max() <= 1


def test_the_ids_are_there_in_ascending_order(fill_store, oracle):
    ids = oracle.draw_ids(50, seed=1)

    np.testing.assert_array_equal(fill_store(ids, oracle.draw(50, seed=1)).ids, np.sort(ids))


def test_removed_vectors_are_never_found_and_the_rest_keeps_its_ids(fill_store, oracle):
    ids, vectors = oracle.draw_ids(120, seed=1), oracle.draw(120, seed=2, repeats=30)
    store = fill_store(ids, vectors)
    gone = np.random.default_rng(3).random(120) < 0.4

    removed = store.remove(np.concatenate([ids[gone], ids[gone][:2], [99]]).astype(np.int64))

    expected_ids, _ = oracle.search(ids[~gone], vectors[~gone], vectors[:20], 120)
    assert removed == gone.sum()
    assert len(store) == (~gone).sum()
    np.testing.assert_array_equal(store.ids, np.sort(ids[~gone]))
    for allowed in (None, ids):
        hits = store.search(vectors[:20], 120, allowed=allowed, effort=EVERYTHING)
        np.testing.assert_array_equal(hits.ids[:, : len(store)], expected_ids)
        assert not np.isin(store.search(vectors[:20], 5, allowed=allowed).ids, ids[gone]).any()
    np.testing.assert_array_equal(store.get(ids[~gone]), vectors[~gone])
    with pytest.raises(LookupError, match="no vector has id"):
        store.get(ids[gone])


def test_a_removed_id_may_be_added_again_with_another_vector(fill_store, oracle):
    ids, vectors = oracle.draw_ids(3, seed=1), oracle.draw(4, seed=2)
    store = fill_store(ids, vectors[:3])

    store.remove(ids[:1])
    store.add(ids[:1], vectors[3:])

    np.testing.assert_array_equal(store.get(ids), vectors[[3, 1, 2]])
    np.testing.assert_array_equal(store.search(vectors[3:], 1).ids, [ids[:1]])
    assert ids[0] != store.search(vectors[:1], 1, effort=EVERYTHING).ids[0, 0]


def test_replacing_changes_the_vectors_of_the_ids_and_adds_the_new_ones(fill_store, oracle):
    ids, vectors, others = oracle.draw_ids(60, seed=1), oracle.draw(50, seed=2), oracle.draw(20, seed=3)
    store = fill_store(ids[:50], vectors)

    store.replace(ids[40:], others)

    expected = np.concatenate([vectors[:40], others])
    expected_ids, _ = oracle.search(ids, expected, expected, 5)
    assert len(store) == 60
    np.testing.assert_array_equal(store.get(ids), expected)
    np.testing.assert_array_equal(store.search(expected, 5, effort=EVERYTHING).ids, expected_ids)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(["add", "remove", "replace"]), st.integers(0, 999)), max_size=12))
def test_any_changes_leave_what_the_same_changes_of_a_dictionary_leave(fill_store, oracle, changes):
    ids, vectors = oracle.draw_ids(40, seed=1), oracle.draw(40, seed=1)
    store = fill_store(ids[:20], vectors[:20])
    kept = dict(zip(ids[:20].tolist(), vectors[:20], strict=True))

    for change, seed in changes:
        some = np.random.default_rng(seed).choice(ids, 6, replace=False)
        if change == "add":
            some = np.array([one for one in some.tolist() if one not in kept], np.int64)
        news = oracle.draw(len(some), seed=seed)
        if change == "remove":
            assert store.remove(some) == sum(one in kept for one in some.tolist())
            kept = {one: vector for one, vector in kept.items() if one not in some.tolist()}
        else:
            getattr(store, change)(some, news)
            kept |= dict(zip(some.tolist(), news, strict=True))

    remaining = np.array(sorted(kept), np.int64)
    np.testing.assert_array_equal(store.ids, remaining)
    if kept:
        contents = np.array([kept[one] for one in remaining.tolist()])
        np.testing.assert_array_equal(store.get(remaining), contents)
        hits = store.search(vectors[:3], len(kept), effort=EVERYTHING)
        np.testing.assert_array_equal(hits.ids, oracle.search(remaining, contents, vectors[:3], len(kept))[0])


def test_getting_an_unknown_id_names_it(fill_store, oracle):
    store = fill_store(np.array([4, 5], np.int64), oracle.draw(2, seed=1))

    with pytest.raises(LookupError, match="no vector has id 6, expected one of the 2 stored ids"):
        store.get(np.array([5, 6], np.int64))


def test_getting_gives_every_bit_in_the_order_asked_for_and_repeated(fill_store, oracle):
    ids, vectors = oracle.draw_ids(30, seed=1), oracle.draw(30, seed=1)
    rows = np.array([3, 3, 29, 0])

    store = fill_store(ids, vectors)

    np.testing.assert_array_equal(store.get(ids[rows]), vectors[rows])
    assert store.get(ids[:0]).shape == (0, oracle.dimension)


def test_saving_and_loading_keeps_every_byte(kind, fill_store, oracle, tmp_path):
    ids, vectors = oracle.draw_ids(500, seed=1), oracle.draw(500, seed=2)
    store = fill_store(ids, vectors)
    store.save(tmp_path / "a.faiss")

    loaded = kind.load(store, tmp_path / "a.faiss")
    hits, expected = loaded.search(vectors[:9], 10), store.search(vectors[:9], 10)
    loaded.save(tmp_path / "b.faiss")

    np.testing.assert_array_equal(loaded.ids, np.sort(ids))
    np.testing.assert_array_equal(loaded.get(ids), vectors)
    np.testing.assert_array_equal(hits.ids, expected.ids)
    assert loaded.dimension == oracle.dimension
    assert (tmp_path / "a.faiss").read_bytes() == (tmp_path / "b.faiss").read_bytes()


def test_stores_made_alike_give_equal_bytes(fill_store, oracle, tmp_path):
    for name in "ab":
        ids, vectors = oracle.draw_ids(500, seed=1), oracle.draw(500, seed=2)
        store = fill_store(ids, vectors)
        store.remove(ids[::7])
        store.replace(ids[1:20:7], vectors[:3])
        store.save(tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_store_can_be_changed_after_loading(kind, fill_store, oracle, tmp_path):
    ids, vectors = oracle.draw_ids(60, seed=1), oracle.draw(60, seed=2)
    store = fill_store(ids[:50], vectors[:50])
    store.save(tmp_path / "a.faiss")
    before = (tmp_path / "a.faiss").read_bytes()

    loaded = kind.load(store, tmp_path / "a.faiss")
    loaded.remove(ids[:5])
    loaded.add(ids[50:], vectors[50:])

    expected_ids, _ = oracle.search(ids[5:], vectors[5:], vectors[:4], 10)
    np.testing.assert_array_equal(loaded.search(vectors[:4], 10, effort=EVERYTHING).ids, expected_ids)
    assert (tmp_path / "a.faiss").read_bytes() == before


def test_a_loaded_store_outlives_its_file(kind, fill_store, oracle, tmp_path):
    ids, vectors = oracle.draw_ids(60, seed=1), oracle.draw(60, seed=2)
    store = fill_store(ids, vectors)
    store.save(tmp_path / "a.faiss")

    loaded = kind.load(store, tmp_path / "a.faiss")
    (tmp_path / "a.faiss").unlink()

    np.testing.assert_array_equal(loaded.get(ids), vectors)


def test_saving_to_a_full_disk_is_an_error_and_the_store_stays_of_use(fill_store, oracle):
    ids, vectors = oracle.draw_ids(50, seed=1), oracle.draw(50, seed=2)
    store = fill_store(ids, vectors)

    with pytest.raises(OSError, match="No space left") as caught:
        store.save(Path("/dev/full"))

    assert caught.value.errno == errno.ENOSPC
    np.testing.assert_array_equal(store.get(ids), vectors)


@pytest.mark.parametrize("content", [None, b"", b"IxM2", b"no index at all, but long enough to be one" * 10])
def test_loading_what_is_no_index_is_an_error(kind, fill_store, oracle, tmp_path, content):
    store = fill_store(oracle.draw_ids(5, seed=1), oracle.draw(5, seed=1))
    if content is not None:
        (tmp_path / "vectors.faiss").write_bytes(content)

    with pytest.raises(SnapshotError, match=r"vectors\.faiss can't be read as vectors"):
        kind.load(store, tmp_path / "vectors.faiss")


def test_loading_a_truncated_index_is_an_error(kind, fill_store, oracle, tmp_path):
    store = fill_store(oracle.draw_ids(50, seed=1), oracle.draw(50, seed=2))
    store.save(tmp_path / "whole.faiss")
    whole = (tmp_path / "whole.faiss").read_bytes()

    for share in (0.1, 0.5, 0.99):
        (tmp_path / "half.faiss").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(SnapshotError, match=r"half\.faiss can't be read as vectors"):
            kind.load(store, tmp_path / "half.faiss")


@pytest.mark.parametrize(("name", "other"), [("exact", "ivf"), ("ivf", "exact"), ("mapped", "exact")])
def test_loading_another_kind_of_store_is_an_error(oracle, tmp_path, name, other):
    training = oracle.draw(64, seed=1)
    store = KINDS[name].prepare(KINDS[name].make(training), tmp_path)
    KINDS[other].make(training).save(tmp_path / "other.faiss")

    with pytest.raises(SnapshotError, match="another kind of index, expected Index"):
        KINDS[name].load(store, tmp_path / "other.faiss")


WRONG_VECTORS = [
    (lambda v: v[:, :-1], r"wrong shape, expected \(any number, 24\), received \(3, 23\)"),
    (lambda v: v[0], r"wrong shape, expected \(any number, 24\), received \(24,\)"),
    (lambda v: v.astype(np.float64), "must be a float32 array, received float64"),
    (lambda v: v.tolist(), "must be a float32 array, received list"),
    (lambda v: v * np.array([[1], [2], [1]], np.float32), "vector 1 has norm 2.0000, expected 1"),
    (lambda v: v * np.array([[1], [1], [0]], np.float32), "vector 2 has norm 0.0000, expected 1"),
    (lambda v: np.where(np.arange(3)[:, None] == 1, np.float32(np.nan), v), "vector 1 holds NaN or infinity"),
    (lambda v: np.where(np.arange(3)[:, None] == 2, np.float32(np.inf), v), "vector 2 holds NaN or infinity"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG_VECTORS)
def test_wrong_vectors_are_refused_by_add_replace_and_search_alike(make_empty, oracle, spoil, message):
    store = make_empty()
    spoiled = spoil(oracle.draw(3, seed=1))

    with pytest.raises(ValueError, match=message):
        store.add(np.arange(3), spoiled)
    with pytest.raises(ValueError, match=message):
        store.replace(np.arange(3), spoiled)
    with pytest.raises(ValueError, match=message):
        store.search(spoiled, 1)

    assert len(store) == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v * np.float32(1.003), "vector 0 has norm 1.0030, expected 1"),
        (lambda v: v * np.float32(1e30), "vector 0 has norm"),
        (lambda v: v * np.float32(np.nan), "vector 0 holds NaN or infinity"),
    ],
)
def test_a_single_wrong_query_is_refused_as_one_of_many_is(fill_store, oracle, spoil, message):
    store = fill_store(oracle.draw_ids(3, seed=1), oracle.draw(3, seed=1))

    with pytest.raises(ValueError, match=message):
        store.search(spoil(oracle.draw(1, seed=2)), 1)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([1, 2, 1]), r"id 1 would be stored twice \(and 0 more\)"),
        (np.array([1, -1, 2]), "id -1 marks a missing neighbor"),
        (np.array([1, 2]), "expected 3 ids, received 2"),
        (np.array([1, 2, 3], np.int32), r"one-dimensional int64 array, received \(3,\) int32"),
        ([1, 2, 3], "one-dimensional int64 array, received list"),
    ],
)
def test_wrong_ids_are_refused_and_nothing_changes(fill_store, oracle, ids, message):
    stored = oracle.draw(2, seed=2)
    store = fill_store(np.array([1, 101], np.int64), stored)
    store.remove(np.array([1]))

    with pytest.raises(ValueError, match=message):
        store.add(ids, oracle.draw(3, seed=1))
    with pytest.raises(ValueError, match=message):
        store.replace(ids, oracle.draw(3, seed=1))

    np.testing.assert_array_equal(store.ids, [101])
    np.testing.assert_array_equal(store.get(np.array([101])), stored[1:])


def test_an_id_that_is_stored_is_refused_by_add_and_nothing_is_added(fill_store, oracle):
    store = fill_store(np.array([100, 101], np.int64), oracle.draw(2, seed=2))

    with pytest.raises(ValueError, match=r"id 100 would be stored twice \(and 1 more\)"):
        store.add(np.array([1, 100, 101]), oracle.draw(3, seed=1))

    np.testing.assert_array_equal(store.ids, [100, 101])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"k": 0}, "expected k >= 1, received k=0"), ({"k": 1, "effort": 0}, "expected effort >= 1 or None, received")],
)
def test_k_or_effort_below_one_is_refused(fill_store, oracle, wrong, message):
    store = fill_store(oracle.draw_ids(2, seed=1), oracle.draw(2, seed=1))

    with pytest.raises(ValueError, match=message):
        store.search(oracle.draw(1, seed=1), **wrong)


def test_vectors_in_any_memory_order_are_stored_alike(fill_store, oracle):
    vectors, ids = oracle.draw(6, seed=1), np.arange(6)

    store = fill_store(ids, np.asfortranarray(vectors))

    np.testing.assert_array_equal(store.get(ids), vectors)
    np.testing.assert_array_equal(store.search(np.asfortranarray(vectors), 1).ids[:, 0], ids)


def test_searches_from_many_threads_agree_with_one(fill_store, oracle):
    ids, vectors = oracle.draw_ids(2000, seed=1), oracle.draw(2000, seed=2)
    store = fill_store(ids, vectors)
    queries = oracle.draw(64, seed=3)
    filters = (None, ids[::2], ids[::50])
    expected = [store.search(queries, 10, allowed=allowed) for allowed in filters]
    wrong = []

    def search_own_rows(first):
        for row in range(first, 64, 8):
            for allowed, whole in zip(filters, expected, strict=True):
                found = store.search(queries[row : row + 1], 10, allowed=allowed)
                if not np.array_equal(found.ids[0], whole.ids[row]):
                    wrong.append(row)

    threads = [threading.Thread(target=search_own_rows, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
