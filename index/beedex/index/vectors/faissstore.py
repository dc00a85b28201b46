"""What the stores that FAISS keeps have in common: ids, checks, and the exact search of a few allowed vectors.

Shape letters: Q queries, N stored vectors, M allowed vectors, K neighbors, D dimension.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors.files import write_index
from beedex.index.vectors.idset import IdSet
from beedex.index.vectors.ordering import Found, pad_hits, search_whole_ties
from beedex.index.vectors.store import Hits, check_ids, check_unit_vectors

__all__ = ["FaissStore", "limit_threads"]

# Up to this share of a store, allowed vectors are gathered and compared; beyond, all are passed through with a filter.
# At a million vectors of 128, gathering is 11 to 17 times as quick where 0.1 % are allowed, 1.8 to 2.8 times at 1 %,
# 1.4 to 1.8 times at 3 %, and 0.9 to 1.6 times at 10 % (tests/benchmarks/vector_search.py).
FEW_ALLOWED = 0.1

BATCH_THREADS: int = faiss.omp_get_max_threads()


def limit_threads(query_count: int) -> None:
    """Keep a search for one query on its caller's thread, and let one for several use every core.

    OpenMP would only spread queries over threads, and a server has as many searches at once as it has requests: each
    would bring a pool of its own (https://github.com/facebookresearch/faiss/issues/2731). The setting belongs to the
    calling thread, not to the process.
    """
    faiss.omp_set_num_threads(1 if query_count == 1 else BATCH_THREADS)


class FaissStore(ABC):
    """A store on top of a FAISS index that maps ids to vectors.

    Never fork a process that has searched: the child inherits FAISS's OpenMP pool without its threads and its first
    search hangs (https://github.com/facebookresearch/faiss/issues/5206). Start processes by spawn.
    """

    def __init__(self, index: Any, ids: NDArray[np.int64]) -> None:  # noqa: ANN401 - FAISS has no types
        self._index = index
        self._dimension = int(index.d)
        self._ids = IdSet()
        self._ids.add(ids)

    @property
    def dimension(self) -> int:
        """D."""
        return self._dimension

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) int64, ascending. Not to be written to."""
        return self._ids.values

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Store (N, D) float32 unit vectors under (N,) new ids; all of them or, with a ValueError, none."""
        checked_ids, checked = check_ids(ids), check_unit_vectors(vectors, self.dimension)
        self._ids.check_new(checked_ids, checked)
        self._insert(checked_ids, checked)
        self._ids.add(checked_ids)

    def remove(self, ids: NDArray[np.int64]) -> int:
        """Forget the vectors of these ids and return how many there were; unknown ids are no error."""
        known = self._ids.select(ids)
        if len(known):
            self._delete(known)
            self._ids.remove(known)
        return len(known)

    def replace(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Store (N, D) unit vectors under (N,) ids in place of what these had; all or, with a ValueError, none."""
        checked_ids, checked = check_ids(ids), check_unit_vectors(vectors, self.dimension)
        self._ids.check_new(checked_ids, checked, may_be_here=True)
        self.remove(checked_ids)
        self.add(checked_ids, checked)

    def get(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (N, D) vectors of (N,) ids; a LookupError names the first that is unknown."""
        checked = check_ids(ids)
        self._ids.require(checked)
        return self._gather(checked)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        allowed: NDArray[np.int64] | None = None,
        effort: int | None = None,
    ) -> Hits:
        """Find the K nearest of each of (Q, D) unit queries, among the *allowed* ids only where they are given.

        Raises:
            ValueError: a query is no finite unit vector of D components, or *k* or *effort* is below 1.
        """
        checked = check_unit_vectors(queries, self.dimension)
        if k < 1:
            raise ValueError(f"a search needs a number of neighbors, expected k >= 1, received k={k}")
        if effort is not None and effort < 1:
            raise ValueError(f"a search looks somewhere, expected effort >= 1 or None, received effort={effort}")
        selected = None if allowed is None else self._ids.select(allowed)
        findable = len(self._ids) if selected is None else len(selected)
        if len(checked) == 0 or findable == 0:
            nothing = Hits(
                ids=np.empty((len(checked), 0), np.int64), similarities=np.empty((len(checked), 0), np.float32)
            )
            return pad_hits(nothing, k)
        width = min(k, findable)
        hits = (
            self._search_all(checked, width, effort)
            if selected is None
            else self._search_selected(checked, width, selected)
        )
        return hits if width == k else pad_hits(hits, k)

    def save(self, path: Path) -> None:
        """Write everything to one file; stores that were made alike, change by change, give equal bytes.

        Raises:
            OSError: it can't be written, for instance because the disk is full.
        """
        write_index(self._index, path)

    def _search_selected(self, queries: NDArray[np.float32], k: int, selected: NDArray[np.int64]) -> Hits:
        """Find exactly the nearest of (M,) known ids, at least *k* of them, ascending."""
        limit_threads(len(queries))
        if len(selected) <= FEW_ALLOWED * len(self):
            vectors = self._gather(selected)  # (M, D)

            def compare(width: int) -> Found:
                similarities, places = faiss.knn(queries, vectors, width, metric=faiss.METRIC_INNER_PRODUCT)
                return similarities, selected[places]

            return search_whole_ties(compare, k, len(selected))
        # The selector must outlive the search: FAISS's parameters keep a bare pointer to it.
        selector = faiss.IDSelectorBatch(selected)
        return search_whole_ties(lambda width: self._scan(queries, width, selector), k, len(selected))

    def _gather(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (M, D) vectors of (M,) known ids."""
        vectors: NDArray[np.float32] = self._index.reconstruct_batch(ids)
        return vectors

    @abstractmethod
    def _insert(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Put checked (M, D) vectors under checked (M,) ids."""

    @abstractmethod
    def _delete(self, ids: NDArray[np.int64]) -> None:
        """Take out (M,) known ids."""

    @abstractmethod
    def _search_all(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Hits:
        """Find the nearest of all, of which there are at least *k*."""

    @abstractmethod
    def _scan(self, queries: NDArray[np.float32], width: int, selector: faiss.IDSelector) -> Found:
        """Find exactly the nearest of those that a selector lets pass, of which there are at least *width*."""
