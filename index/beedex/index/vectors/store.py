"""Vectors by id: exact cosine search behind one small protocol.

Shape letters: Q queries, N stored vectors, K neighbors, D dimension.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from beedex.index.errors import SnapshotError

__all__ = ["NO_ID", "UNIT_NORM_TOLERANCE", "FaissStore", "Hits", "VectorStore", "check_unit_vectors"]

# Fills a row of hits when fewer than K were found; no vector may be stored under it.
NO_ID = -1

# float32 sums of a few hundred squares stray by 1e-6, vectors that went through float16 by 1e-3; a vector that was
# never normalized is farther off.
UNIT_NORM_TOLERANCE = 2e-3

# Read and written in pieces of this size, so that no second copy of the index is made on the way.
TRANSFER_CHUNK_BYTES = 1 << 20

_BATCH_THREADS: int = faiss.omp_get_max_threads()

# The library's own stubs lack the names used through this one.
_untyped_faiss: Any = faiss


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """What a search found.

    Attributes:
        ids: (Q, K) int64; nearest first, equal similarities by id; `NO_ID` where there are fewer than K.
        similarities: (Q, K) float32 cosines in [-1, 1], descending; -inf beside `NO_ID`.
    """

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]


class VectorStore(Protocol):
    """Unit vectors under 64-bit ids.

    Searches may run at the same time as each other, not at the same time as `add` or `remove`.
    """

    @property
    def dimension(self) -> int:
        """D."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) int64, in the order of storage."""
        ...

    def __len__(self) -> int: ...

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Store (N, D) float32 unit vectors under (N,) new ids; all of them or, with a ValueError, none."""
        ...

    def remove(self, ids: NDArray[np.int64]) -> int:
        """Forget the vectors of these ids and return how many there were; unknown ids are no error."""
        ...

    def get(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (N, D) vectors of (N,) ids; a LookupError names the first that is unknown."""
        ...

    def search(self, queries: NDArray[np.float32], k: int, *, allowed: NDArray[np.int64] | None = None) -> Hits:
        """Find the K nearest of each of (Q, D) unit queries, among the *allowed* ids only where they are given."""
        ...

    def save(self, path: Path) -> None:
        """Write everything to one file; equal contents give equal bytes."""
        ...


class FaissStore:
    """Exact search: the inner product with every vector.

    At 100,000 vectors of 128 a query costs about 4 ms of one core, and no approximation can lose a neighbor.

    Never fork a process that has searched: the child inherits FAISS's OpenMP pool without its threads and its first
    search hangs (https://github.com/facebookresearch/faiss/issues/5206). Start processes by spawn.

    Example:
        >>> store = FaissStore(2)
        >>> store.add(np.array([7, 8]), np.array([[1, 0], [0, 1]], np.float32))
        >>> store.search(np.array([[0.6, 0.8]], np.float32), 2)
        Hits(ids=array([[8, 7]]), similarities=array([[0.8, 0.6]], dtype=float32))
    """

    def __init__(self, dimension: int) -> None:
        if dimension < 1:
            raise ValueError(f"a vector needs at least one component, expected dimension >= 1, received {dimension}")
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))

    @property
    def dimension(self) -> int:
        """D."""
        return int(self._index.d)

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) int64, in the order of storage."""
        stored: NDArray[np.int64] = faiss.vector_to_array(self._index.id_map)
        return stored

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Store (N, D) float32 unit vectors under (N,) new ids; all of them or, with a ValueError, none."""
        checked_ids = _check_ids(ids)
        checked = check_unit_vectors(vectors, self.dimension)
        if len(checked_ids) != len(checked):
            raise ValueError(f"every vector needs one id, expected {len(checked)} ids, received {len(checked_ids)}")
        if (checked_ids == NO_ID).any():
            raise ValueError(f"id {NO_ID} marks a missing neighbor and can't be stored; use another id")
        values, counts = np.unique(checked_ids, return_counts=True)
        repeated = np.union1d(values[counts > 1], np.intersect1d(values, self.ids, assume_unique=True))
        if len(repeated):
            raise ValueError(
                f"id {repeated[0]} would be stored twice (and {len(repeated) - 1} more); remove the old vector first"
            )
        self._index.add_with_ids(checked, checked_ids)

    def remove(self, ids: NDArray[np.int64]) -> int:
        """Forget the vectors of these ids and return how many there were; unknown ids are no error."""
        return int(self._index.remove_ids(faiss.IDSelectorBatch(_check_ids(ids))))

    def get(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (N, D) vectors of (N,) ids; a LookupError names the first that is unknown."""
        checked = _check_ids(ids)
        vectors = np.empty((len(checked), self.dimension), np.float32)
        for row, stored_id in enumerate(checked.tolist()):
            try:
                vectors[row] = self._index.reconstruct(stored_id)
            except RuntimeError as error:
                raise LookupError(
                    f"no vector has id {stored_id}, expected one of the {len(self)} stored ids"
                ) from error
        return vectors

    def search(self, queries: NDArray[np.float32], k: int, *, allowed: NDArray[np.int64] | None = None) -> Hits:
        """Find the K nearest of each of (Q, D) unit queries, among the *allowed* ids only where they are given.

        Raises:
            ValueError: a query is no finite unit vector of D components, or *k* is below 1.
        """
        checked = check_unit_vectors(queries, self.dimension)
        if k < 1:
            raise ValueError(f"a search needs a number of neighbors, expected k >= 1, received k={k}")
        selected = None if allowed is None else np.unique(_check_ids(allowed))
        findable = len(self) if selected is None else min(len(self), len(selected))
        if len(checked) == 0 or findable == 0:
            return _pad(np.empty((len(checked), 0), np.int64), np.empty((len(checked), 0), np.float32), k)
        # OpenMP would only spread queries over threads, and a server has as many searches at once as it has
        # requests: each would bring a pool of its own (https://github.com/facebookresearch/faiss/issues/2731). One
        # query therefore stays on its caller's thread. The setting belongs to the calling thread, not to the process.
        faiss.omp_set_num_threads(1 if len(checked) == 1 else _BATCH_THREADS)
        return self._search_whole_ties(checked, k, selected, findable)

    def _search_whole_ties(
        self, queries: NDArray[np.float32], k: int, selected: NDArray[np.int64] | None, findable: int
    ) -> Hits:
        """Search for more than *k* until no tie is cut, so that equal similarities can be ordered by id."""
        # The selector must outlive the search: SearchParameters keeps a bare pointer to it.
        selector = None if selected is None else faiss.IDSelectorBatch(selected)
        parameters = None if selector is None else _untyped_faiss.SearchParameters(sel=selector)
        width = min(k + 1, findable)
        while True:
            similarities, ids = self._index.search(queries, width, params=parameters)  # (Q, width) each
            # `allowed` may name ids that aren't stored; what faiss puts in their place is -1 and the lowest float.
            similarities = np.where(ids == NO_ID, -np.inf, np.clip(similarities, -1, 1)).astype(np.float32)
            is_cut = (similarities[:, -1] == similarities[:, min(k, width) - 1]) & (ids[:, -1] != NO_ID)
            if width == findable or not is_cut.any():
                break
            width = min(2 * width, findable)
        order = np.lexsort((ids, -similarities), axis=1)[:, :k]
        return _pad(np.take_along_axis(ids, order, 1), np.take_along_axis(similarities, order, 1), k)

    def save(self, path: Path) -> None:
        """Write everything to one file; equal contents in equal order give equal bytes.

        Raises:
            OSError: it can't be written, for instance because the disk is full.
        """
        # Not faiss.write_index(name): it leaves the last buffer to fclose and only prints when that fails.
        with path.open("wb") as file:
            faiss.write_index(self._index, _untyped_faiss.PyCallbackIOWriter(file.write, TRANSFER_CHUNK_BYTES))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Verify the file's checksum before: damaged bytes are not all recognizable.

        Raises:
            SnapshotError: the file can't be read or is no exact index with ids.
        """
        try:
            with path.open("rb") as file:
                index: Any = faiss.read_index(_untyped_faiss.PyCallbackIOReader(file.read, TRANSFER_CHUNK_BYTES))
        except (OSError, RuntimeError) as error:
            raise SnapshotError(
                f"{path} can't be read as vectors, expected a file that `beedex index build` wrote, received: "
                f"{str(error).splitlines()[0]}"
            ) from error
        flat = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexIDMap2) else None
        if not isinstance(flat, faiss.IndexFlatIP):
            kind = type(index if flat is None else flat).__name__
            raise SnapshotError(
                f"{path} holds another kind of index, expected IndexIDMap2 over IndexFlatIP, received {kind}; "
                "build the index again"
            )
        store = cls(int(index.d))
        store._index = index
        return store


def check_unit_vectors(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """Return *vectors* as a C-contiguous (N, D) array.

    Raises:
        ValueError: they are not (N, D) float32, not finite, or not of norm 1.
    """
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        kind = getattr(vectors, "dtype", type(vectors).__name__)
        raise ValueError(f"vectors must be a float32 array, received {kind}; convert with .astype(np.float32)")
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise ValueError(f"vectors have the wrong shape, expected (any number, {dimension}), received {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"vector {row} holds NaN or infinity, expected finite components")
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))  # (N,)
    strays = np.flatnonzero(np.abs(norms - 1) > UNIT_NORM_TOLERANCE)
    if len(strays):
        raise ValueError(
            f"vector {strays[0]} has norm {norms[strays[0]]:.4f}, expected 1 (within {UNIT_NORM_TOLERANCE}); "
            "divide by its norm"
        )
    return np.ascontiguousarray(vectors)


def _check_ids(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or ids.ndim != 1:
        received = f"{ids.shape} {ids.dtype}" if isinstance(ids, np.ndarray) else type(ids).__name__
        raise ValueError(f"ids must be a one-dimensional int64 array, received {received}")
    return np.ascontiguousarray(ids)


def _pad(ids: NDArray[np.int64], similarities: NDArray[np.float32], k: int) -> Hits:
    missing = ((0, 0), (0, k - ids.shape[1]))
    return Hits(
        ids=np.pad(ids, missing, constant_values=NO_ID),
        similarities=np.pad(similarities, missing, constant_values=-np.inf),
    )
