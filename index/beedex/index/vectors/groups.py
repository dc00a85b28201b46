"""The nearest groups of vectors, over any store: families, animals, observations, or whatever the labels say.

Shape letters: Q queries, N stored vectors, K hits, D dimension.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors.store import NO_ID, VectorStore

__all__ = ["Group", "search_groups"]

# A first look for this many hits a wanted member finds all groups of most queries.
FIRST_LOOK = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group and its nearest members.

    Attributes:
        label: the group's.
        ids: (up to the size asked for,) int64, nearest first, equal similarities by id.
        similarities: float32 cosines in [-1, 1] beside them, descending.
    """

    label: int
    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]


def search_groups(
    store: VectorStore,
    queries: NDArray[np.float32],
    labels: NDArray[np.integer],
    *,
    count: int,
    size: int = 1,
    effort: int | None = None,
) -> list[list[Group]]:
    """Find the nearest groups of each query: a group is as near as its nearest member.

    Args:
        store: what is searched. An approximate one may miss a group or a member, as it may miss a neighbor.
        queries: (Q, D) float32 unit vectors.
        labels: (N,) integers, the group of each of the store's ids, in the order of `VectorStore.ids`.
        count: how many groups; there may be fewer.
        size: how many members of each; a smaller group has fewer.
        effort: as in `VectorStore.search`.

    Returns:
        For each query its groups, nearest first; equally near ones by the ids of their nearest members.

    Raises:
        ValueError: there isn't one label for each vector, *count* or *size* is below 1, or a query is no unit vector.

    Example:
        >>> from beedex.index.vectors import ExactStore
        >>> store = ExactStore(2)
        >>> store.add(np.array([4, 7, 8]), np.array([[1, 0], [0, 1], [0, 1]], np.float32))
        >>> search_groups(store, np.array([[0.6, 0.8]], np.float32), np.array([0, 1, 1]), count=1)
        [[Group(label=1, ids=array([7]), similarities=array([0.8], dtype=float32))]]
    """
    if labels.shape != (len(store),):
        raise ValueError(f"every vector needs one label, expected shape ({len(store)},), received {labels.shape}")
    if count < 1 or size < 1:
        raise ValueError(
            f"groups need a number and a size, expected count >= 1 and size >= 1, received count={count}, size={size}"
        )
    first = store.search(queries, FIRST_LOOK * count * size, effort=effort)
    found = []
    for row in range(len(queries)):
        groups = _group(store, labels, first.ids[row], first.similarities[row])
        found.append(_complete(store, queries[row : row + 1], labels, groups, count=count, size=size))
    return found


def _group(
    store: VectorStore, labels: NDArray[np.integer], ids: NDArray[np.int64], similarities: NDArray[np.float32]
) -> list[Group]:
    """Return the groups among (K,) hits, nearest first."""
    ids, similarities = ids[ids != NO_ID], similarities[ids != NO_ID]
    of_hits = labels[np.searchsorted(store.ids, ids)]  # (K,)
    _, firsts = np.unique(of_hits, return_index=True)
    return [
        Group(label=int(label), ids=ids[of_hits == label], similarities=similarities[of_hits == label])
        for label in of_hits[np.sort(firsts)]
    ]


def _complete(
    store: VectorStore,
    query: NDArray[np.float32],
    labels: NDArray[np.integer],
    groups: list[Group],
    *,
    count: int,
    size: int,
) -> list[Group]:
    """Return *count* groups of *size* members, given those that a first look of a (1, D) query found."""
    while len(groups) < count:
        # Each round finds a group at least: all that are known are left out.
        others = store.ids[~np.isin(labels, [group.label for group in groups])]
        if len(others) == 0:
            break
        hits = store.search(query, FIRST_LOOK * count * size, allowed=others)
        groups += _group(store, labels, hits.ids[0], hits.similarities[0])
    # An approximate first look may have missed a group that is nearer than those it found.
    groups.sort(key=lambda group: (-group.similarities[0], group.ids[0]))
    return [_fill(store, query, labels, group, size) for group in groups[:count]]


def _fill(
    store: VectorStore, query: NDArray[np.float32], labels: NDArray[np.integer], group: Group, size: int
) -> Group:
    """Return the group with *size* members, or all that it has."""
    if len(group.ids) < size:
        members = store.ids[labels == group.label]
        if len(members) > len(group.ids):
            hits = store.search(query, min(size, len(members)), allowed=members)
            return Group(label=group.label, ids=hits.ids[0], similarities=hits.similarities[0])
    return replace(group, ids=group.ids[:size], similarities=group.similarities[:size])
