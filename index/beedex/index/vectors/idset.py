"""The ids of a store, ascending, so that looking one up is a binary search and no hash table is kept."""

import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors.store import NO_ID, check_ids

__all__ = ["IdSet"]


class IdSet:
    """Distinct 64-bit ids.

    Attributes:
        values: (N,) int64, ascending.

    Example:
        >>> ids = IdSet()
        >>> ids.add(np.array([9, 4]))
        >>> ids.values, ids.contains(np.array([4, 5]))
        (array([4, 9]), array([ True, False]))
    """

    def __init__(self) -> None:
        self.values: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.values)

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of (M,) ids are here, (M,)."""
        if len(self.values) == 0:
            return np.zeros(len(ids), np.bool_)
        # An id beyond the last is compared with the last.
        places = np.minimum(np.searchsorted(self.values, ids), len(self.values) - 1)
        is_here: NDArray[np.bool_] = self.values[places] == ids
        return is_here

    def select(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of (M,) ids that are here, ascending, each once.

        Raises:
            ValueError: *ids* are not (M,) int64.
        """
        checked = check_ids(ids)
        # What a table of entries selects is sorted already, and sorting would cost as much as the search.
        is_ascending = bool((checked[1:] > checked[:-1]).all())
        distinct = checked if is_ascending else np.unique(checked)
        return distinct[self.contains(distinct)]

    def check_new(self, ids: NDArray[np.int64], vectors: NDArray[np.float32], *, may_be_here: bool = False) -> None:
        """Refuse what can't be stored under (M,) int64 ids.

        Raises:
            ValueError: an id occurs twice, is `NO_ID` or is here and may not be, or there is not one for each vector.
        """
        if len(ids) != len(vectors):
            raise ValueError(f"every vector needs one id, expected {len(vectors)} ids, received {len(ids)}")
        if (ids == NO_ID).any():
            raise ValueError(f"id {NO_ID} marks a missing neighbor and can't be stored; use another id")
        distinct, counts = np.unique(ids, return_counts=True)
        repeated = distinct[(counts > 1) if may_be_here else (counts > 1) | self.contains(distinct)]
        if len(repeated):
            raise ValueError(
                f"id {repeated[0]} would be stored twice (and {len(repeated) - 1} more); remove the old vector first"
            )

    def add(self, ids: NDArray[np.int64]) -> None:
        """Take in (M,) ids that `check_new` let pass."""
        # Two ascending runs: a stable sort merges them in one pass.
        self.values = np.sort(np.concatenate([self.values, np.sort(ids)]), kind="stable")

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Drop (M,) ids that are all here."""
        self.values = np.delete(self.values, np.searchsorted(self.values, ids))

    def require(self, ids: NDArray[np.int64]) -> None:
        """Refuse ids that are not here.

        Raises:
            LookupError: one isn't; the message names the first.
        """
        is_known = self.contains(ids)
        if not is_known.all():
            raise LookupError(
                f"no vector has id {ids[np.argmin(is_known)]}, expected one of the {len(self)} stored ids"
            )
