"""What every store of vectors does, and what may be stored in one.

Shape letters: Q queries, N vectors, K neighbors, D dimension.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_ID", "UNIT_NORM_TOLERANCE", "Hits", "VectorStore", "check_ids", "check_unit_vectors"]

# Fills a row of hits when fewer than K were found; no vector may be stored under it.
NO_ID = -1

# float32 sums of a few hundred squares stray by 1e-6, vectors that went through float16 by 1e-3; a vector that was
# never normalized is farther off.
UNIT_NORM_TOLERANCE = 2e-3


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

    An approximate store may miss a neighbor and find a farther one in its place; whatever else is said here holds for
    every store. Searches may run at the same time as each other, not at the same time as a change or a `save`.
    """

    @property
    def dimension(self) -> int:
        """D."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) int64, ascending. Not to be written to."""
        ...

    def __len__(self) -> int: ...

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Store (N, D) float32 unit vectors under (N,) new ids; all of them or, with a ValueError, none."""
        ...

    def remove(self, ids: NDArray[np.int64]) -> int:
        """Forget the vectors of these ids and return how many there were; unknown ids are no error."""
        ...

    def replace(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Store (N, D) unit vectors under (N,) ids in place of what these had; all or, with a ValueError, none."""
        ...

    def get(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (N, D) vectors of (N,) ids; a LookupError names the first that is unknown."""
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        allowed: NDArray[np.int64] | None = None,
        effort: int | None = None,
    ) -> Hits:
        """Find the K nearest of each of (Q, D) unit queries.

        Args:
            queries: (Q, D) float32 of norm 1.
            k: how many, at least 1.
            allowed: find these ids only, exactly, whatever kind of store it is; ids that aren't stored are no error.
            effort: how much of an approximate store is looked at, at least 1, in the store's own unit; None for what
                its recall target asks for. An exact store looks at everything.

        Raises:
            ValueError: a query is no finite unit vector of D components, or *k* or *effort* is below 1.
        """
        ...

    def save(self, path: Path) -> None:
        """Write everything to one file; stores that were made alike, change by change, give equal bytes."""
        ...


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
    if not _has_unit_norms(vectors):
        _refuse_norms(vectors)
    return np.ascontiguousarray(vectors)


def check_ids(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return *ids* as a contiguous (N,) array.

    Raises:
        ValueError: they are not (N,) int64.
    """
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or ids.ndim != 1:
        received = f"{ids.shape} {ids.dtype}" if isinstance(ids, np.ndarray) else type(ids).__name__
        raise ValueError(f"ids must be a one-dimensional int64 array, received {received}")
    return np.ascontiguousarray(ids)


def _has_unit_norms(vectors: NDArray[np.float32]) -> bool:
    """Say whether each norm is 1 within the tolerance; NaN and infinity are no norm."""
    if len(vectors) == 1:
        # A search of a million vectors takes 80 us, the lines below 9 us, this one 1 us.
        return abs(math.sqrt(np.vdot(vectors, vectors)) - 1) <= UNIT_NORM_TOLERANCE
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))  # (N,)
    return bool((np.abs(norms - 1) <= UNIT_NORM_TOLERANCE).all())


def _refuse_norms(vectors: NDArray[np.float32]) -> None:
    is_finite = np.isfinite(vectors).all(axis=1)  # (N,)
    if not is_finite.all():
        raise ValueError(f"vector {np.argmin(is_finite)} holds NaN or infinity, expected finite components")
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))  # (N,)
    row = int(np.argmax(np.abs(norms - 1) > UNIT_NORM_TOLERANCE))
    raise ValueError(
        f"vector {row} has norm {norms[row]:.4f}, expected 1 (within {UNIT_NORM_TOLERANCE}); divide by its norm"
    )
