"""Which store is taken, what it is tuned to, and that equal vectors give equal bytes."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from beedex.index.errors import MemoryBudgetError
from beedex.index.vectors import (
    EXACT_UP_TO,
    ExactStore,
    IvfStore,
    SearchPlan,
    SearchSettings,
    build_store,
    load_store,
)

# Prints the sha256 of the file of a store of vectors on a circle in 16 dimensions.
BUILD_AND_HASH = """
import hashlib, sys
import numpy as np
from pathlib import Path
from beedex.index.vectors import SearchSettings, build_store
generator = np.random.default_rng(0)
vectors = generator.standard_normal((20_000, 16)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
store, plan = build_store(np.arange(20_000), vectors, SearchSettings(kind="ivf"))
store.save(Path(sys.argv[1]))
print(hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest(), plan.model_dump_json())
"""


def draw_beyond_exact(dimension, *, spread):
    """Vectors around 100 centers, one more than are searched exactly; a wide spread leaves no clusters."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((EXACT_UP_TO + 1, dimension)).astype(np.float32) * spread
    vectors += np.linalg.qr(generator.standard_normal((dimension, dimension)))[0][generator.integers(0, dimension, 1)]
    vectors += generator.standard_normal((100, dimension))[generator.integers(0, 100, len(vectors))]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_few_vectors_are_searched_exactly(oracle):
    store, plan = build_store(np.arange(500), oracle.draw_clusters(500, seed=1), SearchSettings())

    assert isinstance(store, ExactStore)
    assert (plan.kind, plan.lists, plan.efforts, plan.mapped) == ("flat", 0, {}, False)


def test_many_vectors_in_clusters_are_searched_by_lists():
    vectors = draw_beyond_exact(8, spread=0.1)

    store, plan = build_store(np.arange(len(vectors)), vectors, SearchSettings())

    assert isinstance(store, IvfStore)
    assert plan.kind == "ivf"
    assert store.lists == plan.lists == round(4 * np.sqrt(len(vectors)))
    assert store.efforts == plan.efforts
    assert sorted(plan.efforts) == [10, 50, 200]


def test_vectors_without_clusters_are_searched_exactly_as_lists_would_save_little():
    vectors = draw_beyond_exact(64, spread=100)

    store, plan = build_store(np.arange(len(vectors)), vectors, SearchSettings())

    assert isinstance(store, ExactStore)
    assert plan.kind == "flat"


@pytest.mark.parametrize("count", [1, 2, 40, 700])
def test_lists_can_be_had_for_any_number_of_vectors(oracle, count):
    ids, vectors = oracle.draw_ids(count, seed=1), oracle.draw_clusters(count, seed=1)

    store, plan = build_store(ids, vectors, SearchSettings(kind="ivf"))

    assert plan.kind == "ivf"
    np.testing.assert_array_equal(store.search(vectors, 1).ids[:, 0], ids)


def test_a_lower_recall_takes_less_effort(oracle):
    ids, vectors = oracle.draw_ids(4000, seed=1), oracle.draw_clusters(4000, seed=1)

    efforts = [
        build_store(ids, vectors, SearchSettings(kind="ivf", recall=recall))[1].efforts[10]
        for recall in (0.5, 0.9, 0.999)
    ]

    assert efforts == sorted(set(efforts))


@pytest.mark.parametrize("kind", ["exact", "ivf"])
def test_vectors_in_any_order_give_equal_bytes(oracle, tmp_path, kind):
    ids, vectors = oracle.draw_ids(3000, seed=1), oracle.draw_clusters(3000, seed=1)
    order = np.random.default_rng(1).permutation(3000)

    plans = []
    for name, rows in (("a", slice(None)), ("b", order)):
        store, plan = build_store(ids[rows], vectors[rows], SearchSettings(kind=kind))
        store.save(tmp_path / name)
        plans.append(plan)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert plans[0] == plans[1]


def test_processes_with_any_number_of_threads_give_equal_bytes(tmp_path):
    printed = {
        subprocess.run(
            [sys.executable, "-c", BUILD_AND_HASH, tmp_path / threads],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for threads in ("1", "2", "3")
    }

    assert len(printed) == 1
    assert hashlib.sha256((tmp_path / "1").read_bytes()).hexdigest() in printed.pop()


def test_vectors_beyond_the_memory_stay_in_their_file(oracle, tmp_path):
    ids, vectors = oracle.draw_ids(12_000, seed=1), oracle.draw_clusters(12_000, seed=1)

    built, plan = build_store(ids, vectors, SearchSettings(memory_mb=1))
    built.save(tmp_path / "vectors.faiss")
    loaded = load_store(tmp_path / "vectors.faiss", plan)

    assert (plan.kind, plan.mapped) == ("ivf", True)
    assert plan.memory_bytes <= 1 << 20 < SearchPlan.model_validate(plan).memory_bytes + vectors.nbytes
    np.testing.assert_array_equal(loaded.search(vectors[:50], 10).ids, built.search(vectors[:50], 10).ids)


def test_vectors_that_fit_the_memory_are_kept_in_it(oracle):
    _, plan = build_store(np.arange(12_000), oracle.draw_clusters(12_000, seed=1), SearchSettings(memory_mb=2))

    assert (plan.kind, plan.mapped) == ("flat", False)


@pytest.mark.parametrize(
    ("kind", "count", "least"), [("exact", 12_000, "at least 2 MiB"), ("auto", 20_000, "at least 2 MiB")]
)
def test_what_fits_no_way_is_refused_with_the_memory_it_needs(oracle, kind, count, least):
    with pytest.raises(MemoryBudgetError, match=f"don't fit into the memory .*expected {least}, received 1 MiB"):
        build_store(np.arange(count), oracle.draw(count, seed=1), SearchSettings(kind=kind, memory_mb=1))


@pytest.mark.parametrize(
    "wrong", [{"kind": "hnsw"}, {"recall": 0}, {"recall": 1}, {"recall": 99}, {"memory_mb": 0}, {"threads": 1}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        SearchSettings.model_validate(wrong)


def test_repeated_ids_are_refused(oracle):
    with pytest.raises(ValueError, match="would be stored twice"):
        build_store(np.array([1, 2, 1]), oracle.draw(3, seed=1), SearchSettings())
