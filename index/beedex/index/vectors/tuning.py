"""How many lists reach a recall target, measured on stored vectors that look for their own neighbors.

Shape letters: Q queries, K neighbors, L lists, D dimension.
"""

import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors.inverted import IvfStore

__all__ = ["TUNED_DEPTHS", "estimate_visited", "measure_ranks", "tune_efforts"]

# Neighbors a query: the few that are shown, and the many that a family decision weighs.
TUNED_DEPTHS = (10, 50, 200)

# 5,000 neighbors at depth 10: where 99 % of them are found, the mean is known to about 0.2 %.
TUNING_QUERIES = 500

# Standard errors that the mean must be above the target, so that other queries reach it too.
CERTAINTY = 2.0


def measure_ranks(store: IvfStore, *, depth: int, seed: int = 0) -> NDArray[np.int64]:
    """Return where the lists of the true neighbors stand in the order in which a query visits lists.

    A neighbor is found when its list is visited, so that the ranks give the recall of every effort at once.

    Args:
        store: at least two vectors.
        depth: K, how many neighbors of each query; fewer if there aren't as many.
        seed: of the choice of queries.

    Returns:
        (Q, K) from 0 to L - 1, nearest neighbor first.
    """
    generator = np.random.default_rng(seed)
    count = min(TUNING_QUERIES, len(store))
    asked = np.sort(generator.choice(store.ids, count, replace=False))
    queries = store.get(asked)  # (Q, D)
    nearest = min(depth + 1, len(store))
    truth = store.search(queries, nearest, effort=store.lists).ids  # (Q, K + 1)
    # A query is its own nearest, but a copy of it may stand before it; where copies push it out, the last one goes.
    is_other = truth != asked[:, np.newaxis]
    is_other[is_other.all(axis=1), -1] = False
    neighbors = truth[is_other].reshape(count, nearest - 1)  # (Q, K)
    distinct, places = np.unique(neighbors, return_inverse=True)
    list_by_neighbor = store.assign(store.get(distinct))[places.reshape(neighbors.shape)]  # (Q, K)
    ranks = np.empty(neighbors.shape, np.int64)
    rank_by_list = np.empty(store.lists, np.int64)
    for row, to_lists in enumerate(queries @ store.centroids.T):  # (L,) each
        rank_by_list[np.argsort(-to_lists, kind="stable")] = np.arange(store.lists)
        ranks[row] = rank_by_list[list_by_neighbor[row]]
    return ranks


def tune_efforts(store: IvfStore, recall: float) -> dict[int, int]:
    """Return the fewest lists that find the share *recall* of the nearest, for each of `TUNED_DEPTHS`.

    Args:
        store: whatever is in it; with less than two vectors there is nothing to measure, and the result is empty.
        recall: of the true neighbors, from 0 to 1.
    """
    if len(store) < 2:
        return {}
    ranks = measure_ranks(store, depth=TUNED_DEPTHS[-1])
    return {depth: _find_effort(ranks[:, :depth], recall) for depth in TUNED_DEPTHS}


def estimate_visited(store: IvfStore, effort: int) -> float:
    """Return the share of all vectors that a query looks at, its comparison with the centroids included."""
    # Queries come where vectors are: a list is visited in proportion to its size.
    sizes = store.list_sizes()
    visited = effort * float((sizes**2).sum()) / float(sizes.sum())
    return (min(visited, len(store)) + store.lists) / len(store)


def _find_effort(ranks: NDArray[np.int64], recall: float) -> int:
    for effort in (np.unique(ranks) + 1).tolist():
        shares = (ranks < effort).mean(axis=1)  # (Q,)
        if shares.mean() - CERTAINTY * shares.std() / np.sqrt(len(shares)) >= recall:
            return int(effort)
    return int(ranks.max()) + 1
