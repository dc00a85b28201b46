"""Queries against a snapshot that was built from photos, with numpy as the oracle."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from beedex.index.bundle import load_bundle
from beedex.index.decision import EVIDENCE_NEIGHBORS, Verdict, decide
from beedex.index.embedders import locate_embedder
from beedex.index.entries import Entry
from beedex.index.errors import BundleError, FingerprintMismatchError, IndexDirectoryError
from beedex.index.publishing import publish_snapshot
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher
from beedex.index.snapshots import load_snapshot

DIMENSION = 32
FAMILIES = ("amber", "blue", "clover")


@pytest.fixture(scope="module")
def index_dir(tiny_gallery, tiny_bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("searched") / "index"
    build_index(tiny_gallery, tiny_bundle, path)
    return path


@pytest.fixture(scope="module")
def searcher(index_dir):
    return Searcher.open(index_dir)


@pytest.fixture(scope="module")
def crowd(tiny_bundle, tmp_path_factory):
    """A searcher over more entries than count as evidence, of very unequal families, with its vectors."""
    path = tmp_path_factory.mktemp("crowd")
    entries = [
        Entry(sha256=f"{number:064x}"[::-1], family=FAMILIES[min(number % 40, 2)], path=f"{number}.jpg")
        for number in range(600)
    ]
    vectors = draw_unit_vectors(600, seed=1)
    bundle = load_bundle(tiny_bundle)
    publish_snapshot(path, entries=entries, vectors=vectors, fingerprint=bundle.card.fingerprint)
    return Searcher(load_snapshot(path), bundle), entries, vectors


def draw_unit_vectors(count, *, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rank_by_brute_force(entries, vectors, query):
    """Entry ids by descending cosine, and the cosines."""
    cosines = vectors.astype(np.float64) @ query
    order = np.argsort(-cosines)
    return [entries[i].entry_id for i in order], cosines[order]


def list_entries(searcher):
    return searcher.snapshot.entries.read(searcher.snapshot.entries.ids)


def test_it_knows_its_embedder_and_families(searcher, tiny_bundle):
    card = load_bundle(tiny_bundle).card

    assert searcher.fingerprint == card.fingerprint
    assert searcher.calibration == card.calibration
    assert searcher.dimension == DIMENSION
    assert searcher.families() == {"amber": 6, "blue": 6, "clover": 6}


@pytest.mark.parametrize("k", [1, 5, 600, 1000])
def test_neighbors_are_those_of_brute_force(crowd, k):
    searcher, entries, vectors = crowd
    query = draw_unit_vectors(1, seed=2)[0]

    neighbors = searcher.neighbors(query, k)

    expected_ids, expected_similarities = rank_by_brute_force(entries, vectors, query)
    assert [neighbor.entry.entry_id for neighbor in neighbors] == expected_ids[:k]
    np.testing.assert_allclose([n.similarity for n in neighbors], expected_similarities[:k], atol=1e-6)
    by_id = {entry.entry_id: entry for entry in entries}
    assert all(neighbor.entry == by_id[neighbor.entry.entry_id] for neighbor in neighbors)


def test_an_entry_is_nearest_to_itself_unless_it_is_excluded(crowd):
    searcher, entries, vectors = crowd
    expected_ids, _ = rank_by_brute_force(entries, vectors, vectors[7])
    query = searcher.vector_of(entries[7].entry_id)

    with_itself = searcher.neighbors(query, 5)
    without = searcher.neighbors(query, 5, exclude=entries[7].entry_id)

    assert [neighbor.entry.entry_id for neighbor in with_itself] == expected_ids[:5]
    assert [neighbor.entry.entry_id for neighbor in without] == expected_ids[1:6]
    assert expected_ids[0] == entries[7].entry_id


def test_excluding_an_entry_that_is_not_near_still_gives_k(crowd):
    searcher, entries, vectors = crowd
    query = draw_unit_vectors(1, seed=2)[0]
    expected_ids, _ = rank_by_brute_force(entries, vectors, query)

    neighbors = searcher.neighbors(query, 5, exclude=expected_ids[-1])

    assert [neighbor.entry.entry_id for neighbor in neighbors] == expected_ids[:5]


@pytest.mark.parametrize("families", [{"amber"}, {"amber", "blue"}, {"amber", "nowhere"}])
def test_neighbors_of_some_families_are_found_however_far(crowd, families):
    searcher, entries, vectors = crowd
    query = draw_unit_vectors(1, seed=3)[0]
    wanted = [i for i, entry in enumerate(entries) if entry.family in families]
    expected_ids, _ = rank_by_brute_force([entries[i] for i in wanted], vectors[wanted], query)

    neighbors = searcher.neighbors(query, 40, families=families)

    assert [neighbor.entry.entry_id for neighbor in neighbors] == expected_ids[:40]


def test_no_family_has_no_neighbor(searcher):
    assert searcher.neighbors(draw_unit_vectors(1, seed=1)[0], 5, families=()) == ()


def test_photos_of_a_family_are_identified_as_that_family(searcher):
    for entry in list_entries(searcher):
        answer = searcher.identify(searcher.vector_of(entry.entry_id), 3, exclude=entry.entry_id)

        assert (answer.decision.verdict, answer.decision.family) == (Verdict.MATCH, entry.family)
        assert len(answer.neighbors) == 3
        assert entry.entry_id not in {neighbor.entry.entry_id for neighbor in answer.neighbors}
        assert sum(score.probability for score in answer.decision.families) == pytest.approx(1)


def test_what_is_far_from_everything_is_unknown(searcher):
    vectors = np.stack([searcher.vector_of(entry.entry_id) for entry in list_entries(searcher)])  # (18, 32)
    perpendicular = np.linalg.svd(vectors).Vh[-1]  # to all of them, for there are more dimensions than entries

    assert searcher.identify(perpendicular, 3).decision.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("k", [1, 10, 250, 600])
def test_the_decision_rests_on_the_evidence_whatever_k_is(crowd, k):
    searcher, entries, vectors = crowd
    query = draw_unit_vectors(1, seed=4)[0]
    family_by_id = {entry.entry_id: entry.family for entry in entries}
    expected_ids, similarities = rank_by_brute_force(entries, vectors, query)
    expected = decide(
        similarities[:EVIDENCE_NEIGHBORS].astype(np.float32),
        [family_by_id[entry_id] for entry_id in expected_ids[:EVIDENCE_NEIGHBORS]],
        sizes=searcher.families(),
        calibration=searcher.calibration,
    )

    answer = searcher.identify(query, k)

    assert [score.family for score in answer.decision.families] == [score.family for score in expected.families]
    np.testing.assert_allclose(
        [score.probability for score in answer.decision.families],
        [score.probability for score in expected.families],
        atol=1e-4,
    )
    assert [neighbor.entry.entry_id for neighbor in answer.neighbors] == expected_ids[:k]


def test_a_single_entry_identifies_but_not_by_itself(tiny_bundle, tmp_path):
    bundle = load_bundle(tiny_bundle)
    entry = Entry(sha256="0" * 64, family="amber", path="1.jpg")
    vectors = draw_unit_vectors(1, seed=1)
    publish_snapshot(tmp_path, entries=[entry], vectors=vectors, fingerprint=bundle.card.fingerprint)
    searcher = Searcher(load_snapshot(tmp_path), bundle)

    assert searcher.identify(vectors[0], 5).decision.family == "amber"
    with pytest.raises(ValueError, match="a decision needs neighbors"):
        searcher.identify(vectors[0], 5, exclude=entry.entry_id)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(DIMENSION, np.float32), "norm"),
        (draw_unit_vectors(1, seed=1)[0][:-1], r"expected \(any number, 32\), received \(1, 31\)"),
        (draw_unit_vectors(1, seed=1), r"expected shape \(32,\), received \(1, 32\)"),
        (draw_unit_vectors(1, seed=1)[0].astype(np.float64), "float64"),
        (np.full(DIMENSION, np.nan, np.float32), "NaN"),
    ],
)
def test_queries_that_are_no_unit_vector_are_refused(searcher, vector, message):
    with pytest.raises(ValueError, match=message):
        searcher.neighbors(vector, 3)
    with pytest.raises(ValueError, match=message):
        searcher.identify(vector, 3)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(searcher, k):
    query = draw_unit_vectors(1, seed=1)[0]

    with pytest.raises(ValueError, match=f"expected k >= 1, received k={k}"):
        searcher.neighbors(query, k)
    with pytest.raises(ValueError, match=f"expected k >= 1, received k={k}"):
        searcher.identify(query, k)


def test_unknown_entries_are_refused(searcher):
    with pytest.raises(LookupError, match="no entry has id 0000000000000000, expected one of the 18"):
        searcher.vector_of("0" * 16)
    with pytest.raises(ValueError, match="received 'bee'"):
        searcher.neighbors(draw_unit_vectors(1, seed=1)[0], 3, exclude="bee")


def test_searches_from_many_threads_agree_with_one(crowd):
    searcher, _, _ = crowd
    queries = draw_unit_vectors(40, seed=5)
    expected = [searcher.identify(query, 7) for query in queries]
    answers = [None] * len(queries)

    def identify_some(first):
        for i in range(first, len(queries), 4):
            answers[i] = searcher.identify(queries[i], 7)

    threads = [threading.Thread(target=identify_some, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == expected


def test_another_version_can_be_opened(tiny_gallery_copy, tiny_bundle, tmp_path):
    build_index(tiny_gallery_copy, tiny_bundle, tmp_path / "index")
    (tiny_gallery_copy / "blue" / "blue_000.jpg").unlink()
    build_index(tiny_gallery_copy, tiny_bundle, tmp_path / "index")

    assert Searcher.open(tmp_path / "index").families()["blue"] == 5
    assert Searcher.open(tmp_path / "index", 1).families()["blue"] == 6


def test_a_bundle_that_did_not_make_the_snapshot_is_refused_with_both_fingerprints(searcher, other_tiny_bundle):
    other = load_bundle(other_tiny_bundle)

    with pytest.raises(FingerprintMismatchError) as caught:
        Searcher(searcher.snapshot, other)

    assert searcher.fingerprint in str(caught.value)
    assert other.card.fingerprint in str(caught.value)


def test_an_index_without_its_embedder_is_one_error(index_dir, searcher, tmp_path):
    copy = Path(shutil.copytree(index_dir, tmp_path / "copy"))
    shutil.rmtree(locate_embedder(copy, searcher.fingerprint))

    with pytest.raises(BundleError, match="is no embedder bundle"):
        Searcher.open(copy)


def test_what_is_no_index_is_one_error(tmp_path):
    with pytest.raises(IndexDirectoryError, match="holds no snapshot yet"):
        Searcher.open(tmp_path)


SEARCH_ELSEWHERE = """
import sys
from pathlib import Path
from beedex.index.searcher import Searcher

searcher = Searcher.open(Path(sys.argv[1]))
entry_id = searcher.snapshot.entries.read(searcher.snapshot.entries.ids)[0].entry_id
print(searcher.identify(searcher.vector_of(entry_id), 1).neighbors[0].entry.entry_id == entry_id)
print(sorted({"openvino", "tensorflow", "grpc"} & set(sys.modules)))
"""


def test_searching_needs_no_openvino(index_dir):
    done = subprocess.run(
        [sys.executable, "-c", SEARCH_ELSEWHERE, index_dir], check=True, capture_output=True, text=True, timeout=60
    )

    assert done.stdout == "True\n[]\n"
