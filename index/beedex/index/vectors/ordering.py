"""Putting what FAISS finds in order: cosines in [-1, 1], descending, equal ones by id, missing ones at the end."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors.store import NO_ID, Hits

__all__ = ["Found", "order_hits", "pad_hits", "search_whole_ties"]

# So many numbers are compared more quickly one by one than as an array.
FEW = 60

# (Q, width) float32 similarities, descending, and the int64 ids beside them, as FAISS gives them.
Found = tuple[NDArray[np.float32], NDArray[np.int64]]


def order_hits(found: Found, k: int) -> Hits:
    """Return the first *k* of each row in order."""
    similarities, ids = found
    if similarities.shape[1] == k and _is_ordered(similarities):
        return Hits(ids=ids, similarities=similarities)
    # In the place of a missing neighbor FAISS puts id -1 and the lowest float.
    similarities = np.where(ids == NO_ID, -np.inf, np.clip(similarities, -1, 1)).astype(np.float32)
    order = np.lexsort((ids, -similarities), axis=1)[:, :k]
    return Hits(ids=np.take_along_axis(ids, order, 1), similarities=np.take_along_axis(similarities, order, 1))


def _is_ordered(similarities: NDArray[np.float32]) -> bool:
    """Say whether no row has a tie, a cosine beyond 1, or a missing neighbor, as is so of nearly all."""
    if len(similarities) == 1 and similarities.shape[1] <= FEW:
        # A search of a thousand vectors takes 7 us, the lines below 3 us, these 1 us.
        row = similarities[0].tolist()
        return row[0] <= 1 and row[-1] >= -1 and len(set(row)) == len(row)
    is_within = similarities[:, 0].max() <= 1 and similarities[:, -1].min() >= -1
    return bool(is_within and (similarities[:, 1:] < similarities[:, :-1]).all())


def search_whole_ties(search: Callable[[int], Found], k: int, findable: int) -> Hits:
    """Search for more than *k* until no tie is cut, so that equal similarities can be ordered by id.

    Args:
        search: finds exactly the nearest of each query, as many as it is asked for.
        k: how many are wanted, at most *findable*.
        findable: how many there are.
    """
    width = min(k + 1, findable)
    while True:
        similarities, ids = search(width)
        if len(similarities) == 1 and _is_ordered(similarities):
            return Hits(ids=ids[:, :k], similarities=similarities[:, :k])
        clipped = np.minimum(similarities[:, [k - 1, -1]], 1)  # (Q, 2)
        is_cut = clipped[:, 0] == clipped[:, 1]
        if width == findable or not is_cut.any():
            return order_hits((similarities, ids), k)
        width = min(2 * width, findable)


def pad_hits(hits: Hits, k: int) -> Hits:
    """Return the hits with *k* columns, the last of them without a neighbor."""
    missing = ((0, 0), (0, k - hits.ids.shape[1]))
    return Hits(
        ids=np.pad(hits.ids, missing, constant_values=NO_ID),
        similarities=np.pad(hits.similarities, missing, constant_values=-np.inf),
    )
