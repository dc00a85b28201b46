"""Approximate search by inverted lists: the vectors in the lists nearest to a query are looked at.

HNSW was measured beside it and not taken (tests/benchmarks/vector_search.py: clustered vectors of 128, equal recall,
one thread). At 100,000 vectors it answers half as often, at a million a fifth to a half as often; it is built 1.5 to 4
times as long, takes 15 % more memory, cannot forget a vector, and is the same twice only if one thread builds it.

Shape letters: Q queries, N stored vectors, L lists, K neighbors, D dimension.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from beedex.index.errors import SnapshotError
from beedex.index.vectors.faissstore import FaissStore, limit_threads
from beedex.index.vectors.files import map_index, read_index, write_index
from beedex.index.vectors.ordering import Found, order_hits, search_whole_ties
from beedex.index.vectors.store import NO_ID, Hits, check_unit_vectors

__all__ = ["SAMPLE_PER_LIST", "IvfStore"]

# At 100,000 clustered vectors of 128, twice as many of either spare one list in 14 and take up to twice as long.
SAMPLE_PER_LIST = 64
KMEANS_ROUNDS = 10

# By how much the lists grow when they held less than K vectors.
WIDENING = 4

# The library's own stubs lack the names used through this one.
_untyped_faiss: Any = faiss


class IvfStore(FaissStore):
    """Keeps each vector in the list of the nearest of L centroids and looks at some lists only.

    The unit of `effort` is one list; at L lists the search is exact. When a query's lists hold fewer than K vectors,
    more are looked at, so that K neighbors are found wherever there are K.

    Attributes:
        efforts: how many lists are looked at for up to that many neighbors; beyond the largest number in proportion.
            Empty for all lists.

    Example:
        >>> vectors = np.eye(4, dtype=np.float32)
        >>> store = IvfStore.train(vectors, lists=2)
        >>> store.add(np.arange(4), vectors)
        >>> store.search(vectors[2:3], 1).ids
        array([[2]])
    """

    def __init__(self, index: Any, efforts: Mapping[int, int]) -> None:  # noqa: ANN401 - FAISS has no types
        super().__init__(index, _read_ids(index))
        self.efforts = dict(sorted(efforts.items()))
        self._lists = int(index.nlist)
        self._parameters: dict[int, Any] = {}
        index.set_direct_map_type(_untyped_faiss.DirectMap.Hashtable)

    @classmethod
    def train(cls, vectors: NDArray[np.float32], lists: int) -> Self:
        """Find L centroids by k-means and return an empty store.

        The same vectors give the same centroids on processors of one kind: the seed is fixed and one thread adds up.

        Args:
            vectors: (at least L, D) float32 unit vectors, of the kind that will be stored.
            lists: L.

        Raises:
            ValueError: the vectors are not of that kind, or too few.
        """
        dimension = vectors.shape[-1] if vectors.ndim else 0
        checked = check_unit_vectors(vectors, dimension)
        if not 1 <= lists <= len(checked):
            raise ValueError(
                f"every list needs a vector to be trained on, expected 1 <= lists <= {len(checked)}, received {lists}"
            )
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.spherical = True
        index.cp.niter = KMEANS_ROUNDS
        index.cp.max_points_per_centroid = SAMPLE_PER_LIST
        # FAISS would print a warning below 39 a list.
        index.cp.min_points_per_centroid = 1
        faiss.omp_set_num_threads(1)
        index.train(checked)
        return cls(index, {})

    @classmethod
    def load(cls, path: Path, efforts: Mapping[int, int], *, mapped: bool = False) -> Self:
        """Read what `save` wrote. Verify the file's checksum before: damaged bytes are not all recognizable.

        Args:
            path: the file.
            efforts: as the attribute.
            mapped: leave the vectors in the file; it may be deleted afterwards, but neither written to nor cut.

        Raises:
            SnapshotError: the file can't be read or holds no inverted lists.
        """
        index = map_index(path) if mapped else read_index(path)
        if not isinstance(index, faiss.IndexIVFFlat) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise SnapshotError(
                f"{path} holds another kind of index, expected IndexIVFFlat of inner products, received "
                f"{type(index).__name__}; build the index again"
            )
        return cls(index, efforts)

    @property
    def lists(self) -> int:
        """L."""
        return self._lists

    @property
    def centroids(self) -> NDArray[np.float32]:
        """(L, D)."""
        found: NDArray[np.float32] = self._index.quantizer.reconstruct_n(0, self.lists)
        return found

    def list_sizes(self) -> NDArray[np.int64]:
        """Return how many vectors each list holds, (L,)."""
        return np.array([self._index.get_list_size(number) for number in range(self.lists)], np.int64)

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the list that each of (N, D) vectors belongs in, (N,)."""
        numbers: NDArray[np.int64] = self._index.quantizer.search(vectors, 1)[1]  # (N, 1)
        return numbers.reshape(-1)

    def choose_effort(self, k: int) -> int:
        """Return how many lists are looked at for *k* neighbors when a search doesn't say."""
        if not self.efforts:
            return self.lists
        for depth, effort in self.efforts.items():
            if k <= depth:
                return effort
        depth, effort = next(reversed(self.efforts.items()))
        return min(math.ceil(effort * k / depth), self.lists)

    def save(self, path: Path) -> None:
        """Write everything but the efforts to one file; stores that were made alike give equal bytes.

        Raises:
            OSError: it can't be written, for instance because the disk is full.
        """
        self._bring_into_memory()
        # The order of the hash table is that of its history.
        self._index.set_direct_map_type(_untyped_faiss.DirectMap.NoMap)
        try:
            write_index(self._index, path)
        finally:
            self._index.set_direct_map_type(_untyped_faiss.DirectMap.Hashtable)

    def _insert(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        self._bring_into_memory()
        # One thread, as in training: what lies between two lists must fall into the same one every time.
        faiss.omp_set_num_threads(1)
        self._index.add_with_ids(vectors, ids)

    def _delete(self, ids: NDArray[np.int64]) -> None:
        self._bring_into_memory()
        selector = faiss.IDSelectorArray(ids)
        self._index.remove_ids(selector)

    def _search_all(self, queries: NDArray[np.float32], k: int, effort: int | None) -> Hits:
        if len(queries) > 1:
            # Lists are searched for one query on the caller's thread anyway; to say so takes 3 us, a search 100.
            limit_threads(len(queries))
        lists = min(effort or self.choose_effort(k), self.lists)
        parameters = self._choose_parameters(lists)
        if lists == self.lists:
            return search_whole_ties(lambda width: self._index.search(queries, width, params=parameters), k, len(self))
        hits = order_hits(self._index.search(queries, k, params=parameters), k)
        if NO_ID in hits.ids[:, -1].tolist():
            rows = np.flatnonzero(hits.ids[:, -1] == NO_ID)
            wider = self._search_all(queries[rows], k, WIDENING * lists)
            hits.ids[rows], hits.similarities[rows] = wider.ids, wider.similarities
        return hits

    def _scan(self, queries: NDArray[np.float32], width: int, selector: faiss.IDSelector) -> Found:
        parameters = _untyped_faiss.SearchParametersIVF(nprobe=self.lists, sel=selector)
        found: Found = self._index.search(queries, width, params=parameters)
        return found

    def _choose_parameters(self, lists: int) -> Any:  # noqa: ANN401 - FAISS has no types
        """Return the parameters of a search, which take 7 us to make, where a search takes 100."""
        if lists not in self._parameters:
            self._parameters[lists] = _untyped_faiss.SearchParametersIVF(nprobe=lists)
        return self._parameters[lists]

    def _bring_into_memory(self) -> None:
        """Copy lists that were left in a file, which can't be changed."""
        mapped = self._index.invlists
        if not isinstance(faiss.downcast_InvertedLists(mapped), faiss.OnDiskInvertedLists):
            return
        lists = _untyped_faiss.ArrayInvertedLists(self.lists, self._index.code_size)
        for number in range(self.lists):
            size = mapped.list_size(number)
            if size:
                lists.add_entries(number, size, mapped.get_ids(number), mapped.get_codes(number))
        # The index takes them over and frees the others.
        self._index.replace_invlists(lists, True)  # noqa: FBT003 - FAISS's own
        lists.this.disown()


def _read_ids(index: Any) -> NDArray[np.int64]:  # noqa: ANN401 - FAISS has no types
    """Return the (N,) ids of all lists, list by list."""
    lists = index.invlists
    sizes = [lists.list_size(number) for number in range(index.nlist)]
    parts = [
        faiss.rev_swig_ptr(lists.get_ids(number), size).astype(np.int64) for number, size in enumerate(sizes) if size
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
