"""Which searches the event loop does itself."""

import hashlib

import numpy as np
import pytest

from beedex.index.bundle import load_bundle
from beedex.index.entries import Entry
from beedex.index.publishing import publish_snapshot
from beedex.index.searcher import Searcher
from beedex.index.snapshots import load_snapshot
from beedex.index.vectors import SearchSettings
from beedex.server.quickness import QUICK_SCAN_BYTES, is_quick

DIMENSION = 256
COUNT = QUICK_SCAN_BYTES // (4 * DIMENSION)


@pytest.fixture
def open_searcher(tiny_bundle, tmp_path):
    """A searcher over so many drawn vectors of `DIMENSION`, searched as the settings say."""

    def open_searcher(count, **settings):
        digests = [hashlib.sha256(number.to_bytes(4, "big")).hexdigest() for number in range(count)]
        entries = [Entry(sha256=digest, family="mason", path=f"{digest}.jpg") for digest in digests]
        # Few places, so that inverted lists are worth it.
        generator = np.random.default_rng(0)
        places = generator.standard_normal((count // 40, DIMENSION))[generator.integers(0, count // 40, count)]
        vectors = (places + 0.1 * generator.standard_normal((count, DIMENSION))).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        bundle = load_bundle(tiny_bundle)
        publish_snapshot(
            tmp_path,
            entries=entries,
            vectors=vectors,
            fingerprint=bundle.card.fingerprint,
            search=SearchSettings(**settings),
            mapping="pca",
        )
        return Searcher(load_snapshot(tmp_path), bundle)

    return open_searcher


def test_so_many_vectors_are_looked_at_by_the_event_loop_and_no_more(open_searcher):
    assert is_quick(open_searcher(COUNT), k=10)
    assert not is_quick(open_searcher(COUNT + 1), k=10)


def test_of_inverted_lists_those_count_that_are_looked_at(open_searcher):
    searcher = open_searcher(2 * COUNT, kind="ivf", recall=0.9)

    assert is_quick(searcher, k=10)
    # Beyond what the search was tuned for, it looks at more.
    assert not is_quick(searcher, k=201)


def test_vectors_that_stay_in_their_file_are_left_to_a_thread(open_searcher):
    assert not is_quick(open_searcher(COUNT, kind="ivf", memory_mb=10), k=1)


def test_many_neighbors_are_left_to_a_thread(open_searcher):
    searcher = open_searcher(1000)

    assert is_quick(searcher, k=200)
    assert not is_quick(searcher, k=201)
