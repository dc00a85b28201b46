"""Drawing maps: the same for the same, known entries where they were, and any gallery whatever."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from beedex.index import projection
from beedex.index.entries import Entry
from beedex.index.map import encode_map
from beedex.index.mapping import FEWEST_FOR_TSNE, MOST_FOR_TSNE, draw_map
from beedex.index.publishing import publish_snapshot
from beedex.index.snapshots import load_snapshot
from beedex.index.vectors import ExactStore, SearchSettings, build_store

DIMENSION = 16
FAMILIES = 6

pytestmark = pytest.mark.skipif(not projection.has_tsne(), reason="openTSNE is not installed")


def draw_vectors(count, *, families=FAMILIES, seed=0, spread=0.3):
    """Unit vectors about the centers of families, the same ones for each seed; a row's family is its remainder."""
    centers = np.random.default_rng(99).standard_normal((families, DIMENSION))
    noise = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    vectors = (centers[np.arange(count) % families] + spread * noise).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_ids(count):
    """Scattered as those of photos are, so that their order is not that of the rows."""
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(count)]
    return np.array([int.from_bytes(digest[:8], "big", signed=True) for digest in digests], np.int64)


def fill(vectors, ids=None):
    store = ExactStore(vectors.shape[1])
    ids = make_ids(len(vectors)) if ids is None else ids
    order = np.argsort(ids)
    store.add(ids[order], vectors[order])
    return store


def list_places(drawn, ids):
    """(K, 2) positions of these ids."""
    rows, is_known = drawn.find(ids)
    assert is_known.all()
    return drawn.positions[rows]


def check_places(drawn, count):
    assert drawn.positions.shape == (count, 2)
    assert drawn.positions.dtype == np.float32
    assert np.abs(drawn.positions).max(initial=0) <= 1  # which NaN is not
    assert np.isfinite(drawn.scale)
    assert drawn.scale > 0


@pytest.fixture(scope="module")
def crowd():
    """A map of 240 entries."""
    return draw_map(fill(draw_vectors(240)))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, FEWEST_FOR_TSNE - 1, FEWEST_FOR_TSNE])
def test_any_number_of_entries_has_a_map(count):
    drawn = draw_map(fill(draw_vectors(count)))

    check_places(drawn, count)
    assert drawn.method == ("t-sne" if count >= FEWEST_FOR_TSNE else "pca")
    if count > 1:
        assert len(np.unique(drawn.positions, axis=0)) == count
        assert np.abs(drawn.positions).max() == pytest.approx(0.9)


def test_ten_thousand_entries_have_a_map_whose_families_lie_together(monkeypatch):
    monkeypatch.setattr(projection, "EARLY_ITERATIONS", 25)
    monkeypatch.setattr(projection, "LATE_ITERATIONS", 25)

    drawn = draw_map(fill(draw_vectors(10_000)))

    check_places(drawn, 10_000)
    assert share_of_nearest_in_family(drawn, 10_000, sample=200) > 0.9


def test_more_entries_than_t_sne_is_worth_are_drawn_by_principal_components():
    count = MOST_FOR_TSNE + 1
    vectors = np.random.default_rng(0).standard_normal((count, 2)).astype(np.float32)
    store = ExactStore(2)
    store.add(np.arange(count), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    drawn = draw_map(store)

    assert drawn.method == "pca"
    check_places(drawn, count)


def test_equal_vectors_have_one_place():
    for count in (5, 150):
        same = draw_map(fill(np.repeat(draw_vectors(1), count, axis=0)))
        assert same.method == "pca"
        np.testing.assert_allclose(same.positions, 0, atol=1e-6)

    vectors = draw_vectors(300)
    vectors[100:250] = vectors[7]
    ids = make_ids(300)
    drawn = draw_map(fill(vectors, ids))

    check_places(drawn, 300)
    assert drawn.method == "t-sne"
    assert len(np.unique(list_places(drawn, ids[[7, *range(100, 250)]]), axis=0)) == 1
    assert len(np.unique(drawn.positions, axis=0)) == 150


def test_vectors_that_differ_by_rounding_have_a_map_without_nan():
    vectors = np.repeat(draw_vectors(1), 200, axis=0)
    vectors += 1e-7 * np.random.default_rng(0).standard_normal(vectors.shape).astype(np.float32)

    check_places(draw_map(fill(vectors)), 200)


def test_two_places_with_a_hundred_entries_each_have_a_map():
    vectors = np.repeat(draw_vectors(2), 100, axis=0)

    drawn = draw_map(fill(vectors))

    check_places(drawn, 200)
    assert len(np.unique(drawn.positions.round(3), axis=0)) == 2


def test_one_family_has_a_map():
    check_places(draw_map(fill(draw_vectors(150, families=1))), 150)


@pytest.mark.parametrize("count", [6, 150])
def test_vectors_of_one_and_two_components_have_a_map(count):
    signs = np.where(np.arange(count) % 3 == 0, 1, -1).astype(np.float32)[:, np.newaxis]
    angles = np.linspace(0, 6, count)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    for vectors in (signs, circle):
        check_places(draw_map(fill(vectors)), count)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.sampled_from([-1, 0, 0.5, 1])
    ),
    st.integers(1, 11),
)
def test_few_vectors_of_any_kind_have_maps_that_go_on_from_each_other(vectors, known):
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(norms > 0, vectors / np.where(norms > 0, norms, 1), np.eye(1, vectors.shape[1])).astype(
        np.float32
    )
    former = draw_map(fill(vectors[:known]))

    for is_same_embedder in (True, False):
        check_places(draw_map(fill(vectors), former=former, is_same_embedder=is_same_embedder), len(vectors))


def share_of_nearest_in_family(drawn, count, *, sample):
    """How often the nearest point on the map is of the same family."""
    places = list_places(drawn, make_ids(count)).astype(np.float64)
    chosen = np.random.default_rng(0).choice(count, sample, replace=False)
    distances = np.linalg.norm(places[chosen, np.newaxis] - places, axis=2)
    distances[np.arange(sample), chosen] = np.inf
    return np.mean(distances.argmin(axis=1) % FAMILIES == chosen % FAMILIES)


def test_families_lie_together(crowd):
    assert share_of_nearest_in_family(crowd, 240, sample=240) > 0.95


def test_the_order_of_entries_does_not_matter(crowd):
    vectors, ids = draw_vectors(240), make_ids(240)
    order = np.random.default_rng(1).permutation(240)

    assert encode_map(draw_map(fill(vectors[order], ids[order]))) == encode_map(crowd)


DRAWING = """
import hashlib
import numpy as np
from beedex.index.map import encode_map
from beedex.index.mapping import draw_map
from beedex.index.projection import find_neighbors
from beedex.index.vectors import ExactStore

def fill(count):
    vectors = np.random.default_rng(0).standard_normal((count, 128)).astype(np.float32)
    store = ExactStore(128)
    store.add(np.arange(count), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return store

for count in (60, 150):
    store = fill(count)
    former = draw_map(store)
    print(hashlib.sha256(encode_map(former)).hexdigest())
    store.add(np.array([count]), np.eye(1, 128, dtype=np.float32))
    print(hashlib.sha256(encode_map(draw_map(store, former=former, is_same_embedder=True))).hexdigest())
for part in find_neighbors(fill(2000), 90):
    print(hashlib.sha256(part).hexdigest())
"""


def test_the_number_of_threads_does_not_matter():
    told = set()
    for threads in ("1", "3"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", DRAWING]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        told.add(done.stdout)

    (only,) = told
    assert len(set(only.split())) == 6


@pytest.mark.parametrize("count", [30, 240])
def test_entries_stay_where_they_are_when_a_few_are_added(count):
    vectors, ids = draw_vectors(count), make_ids(count)
    old = np.arange(count) % 30 != 7
    before = draw_map(fill(vectors[old], ids[old]))

    after = draw_map(fill(vectors, ids), former=before, is_same_embedder=True)

    moved = np.linalg.norm(list_places(after, ids[old]) - list_places(before, ids[old]), axis=1)
    check_places(after, count)
    assert np.median(moved) < 0.05
    assert moved.max() < 0.25
    # Two points drawn at random are about 0.8 apart.
    newcomers = list_places(after, ids[~old])
    families = np.flatnonzero(~old) % FAMILIES
    for place, family in zip(newcomers, families, strict=True):
        own = list_places(after, ids[old & (np.arange(count) % FAMILIES == family)])
        assert np.linalg.norm(own - place, axis=1).min() < 0.35


def test_a_gallery_that_grows_day_by_day_keeps_its_map_and_its_quality():
    vectors, ids = draw_vectors(240), make_ids(240)
    drawn = draw_map(fill(vectors[:180], ids[:180]))
    first = drawn
    for count in range(190, 241, 10):
        drawn = draw_map(fill(vectors[:count], ids[:count]), former=drawn, is_same_embedder=True)

    moved = np.linalg.norm(list_places(drawn, ids[:180]) - list_places(first, ids[:180]), axis=1)
    assert np.median(moved) < 0.15
    assert share_of_nearest_in_family(drawn, 240, sample=240) > 0.95


def test_without_newcomers_nothing_moves(crowd):
    vectors, ids = draw_vectors(240), make_ids(240)
    kept = np.arange(240) % 5 != 0

    same = draw_map(fill(vectors, ids), former=crowd, is_same_embedder=True)
    fewer = draw_map(fill(vectors[kept], ids[kept]), former=crowd, is_same_embedder=True)

    assert encode_map(same) == encode_map(crowd)
    np.testing.assert_array_equal(fewer.positions, list_places(crowd, fewer.ids))


def test_a_copy_of_a_known_entry_falls_on_it_whichever_id_is_lower(crowd):
    vectors, ids = draw_vectors(240), make_ids(240)
    copies = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])

    drawn = draw_map(
        fill(np.concatenate([vectors, vectors[[3, 4]]]), np.concatenate([ids, copies])),
        former=crowd,
        is_same_embedder=True,
    )

    np.testing.assert_array_equal(list_places(drawn, ids), list_places(crowd, ids))
    np.testing.assert_array_equal(list_places(drawn, copies), list_places(crowd, ids[[3, 4]]))


@pytest.mark.parametrize("count", [30, 240])
def test_another_embedder_draws_the_map_anew_but_does_not_turn_it_around(count):
    vectors, ids = draw_vectors(count), make_ids(count)
    before = draw_map(fill(vectors, ids))
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((DIMENSION, DIMENSION)))[0]
    others = (vectors @ turned).astype(np.float32)
    others /= np.linalg.norm(others, axis=1, keepdims=True)

    anew = draw_map(fill(others, ids), former=before, is_same_embedder=False)

    moved = np.linalg.norm(anew.positions - before.positions, axis=1).mean()
    mirrored = np.linalg.norm(anew.positions * [-1, 1] - before.positions, axis=1).mean()
    assert moved < 0.5 * mirrored


@pytest.mark.parametrize("size", [20, 300])
def test_a_gallery_that_was_mostly_replaced_is_drawn_anew(size, crowd):
    vectors = draw_vectors(size, seed=5)
    ids = make_ids(240 + size)[240:]
    ids[0] = crowd.ids[0]

    drawn = draw_map(fill(vectors, ids), former=crowd, is_same_embedder=True)

    assert encode_map(drawn) == encode_map(draw_map(fill(vectors, ids)))


def test_principal_components_can_be_asked_for():
    drawn = draw_map(fill(draw_vectors(240)), method="pca")

    assert drawn.method == "pca"
    check_places(drawn, 240)


def test_inverted_lists_give_a_map_as_well():
    vectors, ids = draw_vectors(240), make_ids(240)
    store, plan = build_store(ids, vectors, SearchSettings(kind="ivf", recall=0.5))

    drawn = draw_map(store)

    assert (plan.kind, drawn.method) == ("ivf", "t-sne")
    check_places(drawn, 240)
    assert share_of_nearest_in_family(drawn, 240, sample=240) > 0.9


def test_progress_adds_up_to_the_entries():
    for count in (0, 10, 150):
        steps: list[int] = []
        draw_map(fill(draw_vectors(count)), advance=steps.append)
        assert sum(steps) == count
        assert min(steps) >= 0
        assert len(steps) > (10 if count == 150 else 0)


def publish(index_dir, vectors, fingerprint="a" * 64):
    entries = [
        Entry(sha256=hashlib.sha256(str(number).encode()).hexdigest(), family="mason", path=f"{number}.jpg")
        for number in range(len(vectors))
    ]
    publish_snapshot(index_dir, entries=entries, vectors=vectors, fingerprint=fingerprint)
    return load_snapshot(index_dir)


def test_a_snapshot_goes_on_from_the_map_of_the_one_before(tmp_path):
    vectors = draw_vectors(40)
    first, second = publish(tmp_path, vectors[:38]), publish(tmp_path, vectors)
    assert first.map is not None
    assert second.map is not None

    expected = draw_map(fill(vectors), former=first.map, is_same_embedder=True)

    assert encode_map(second.map) == encode_map(expected)


def test_a_damaged_map_before_is_no_hindrance(tmp_path):
    vectors = draw_vectors(40)
    publish(tmp_path, vectors[:38])
    (tmp_path / "snapshots" / "000001" / "map.npy").write_bytes(b"damaged")

    drawn = publish(tmp_path, vectors).map

    assert drawn is not None
    assert encode_map(drawn) == encode_map(draw_map(fill(vectors)))
