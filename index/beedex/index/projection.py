"""From unit vectors to a plane: principal components, and t-SNE that starts from a given plane.

t-SNE (van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html) keeps near entries near. It is
openTSNE's (Policar et al. 2024, https://doi.org/10.18637/jss.v109.i03), which is only loaded when it is used.

Shapes: N vectors, D dimension, K neighbors.
"""

import importlib.util
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from beedex.index.vectors import NO_ID, VectorStore

__all__ = ["find_neighbors", "has_tsne", "project_principal", "refine"]

Positions = NDArray[np.float64]

# The usual value (section 4.2 of the paper: 5 to 50 are much the same), and a tenth of the entries where they are few:
# on 144 drawn bees of six families, 30 keeps 0.68 of the 10 nearest; 15 keeps 0.73, and draws families three times as
# wide.
MOST_PERPLEXITY = 30
ENTRIES_PER_PERPLEXITY = 10

# Half of openTSNE's own: of the 10 nearest of 10,000 entries, 0.29 are kept instead of 0.30 (tests/benchmarks/maps.py).
EARLY_ITERATIONS = 125
LATE_ITERATIONS = 250
# From a former map. With a fifth of 1000 entries new, the 10 nearest are kept as well as by a map drawn afresh, and the
# others move by 0.007 of the map's half side on average; 375 iterations keep no more and move them by 0.026.
FURTHER_ITERATIONS = 50
EXAGGERATION = 12
MOMENTUM = 0.8

ITERATIONS_PER_NEWS = 25

# t-SNE unfolds best from a plane this small (Kobak and Berens 2019, https://doi.org/10.1038/s41467-019-13056-x).
START_DEVIATION = 1e-4

# 65,536 rows of 128 as float64 are 64 MiB.
ROWS_AT_ONCE = 1 << 16


def has_tsne() -> bool:
    """Say whether openTSNE is installed; it has no wheels for Linux on ARM."""
    return importlib.util.find_spec("openTSNE") is not None


def project_principal(store: VectorStore) -> Positions:
    """Return the two principal components of a store's vectors, (N, 2) in the order of its ids."""
    count, dimension = len(store), store.dimension
    if count == 0:
        return np.empty((0, 2))
    pieces = [store.ids[start : start + ROWS_AT_ONCE] for start in range(0, count, ROWS_AT_ONCE)]
    mean = sum(store.get(piece).sum(axis=0, dtype=np.float64) for piece in pieces) / count  # (D,)
    scatter = np.zeros((dimension, dimension))
    for piece in pieces:
        centered = store.get(piece) - mean  # (rows, D)
        scatter += centered.T @ centered
    axes = np.zeros((dimension, 2))
    main = np.linalg.eigh(scatter)[1][:, :-3:-1]  # (D, 2), or (1, 1)
    # An eigenvector's sign is chance.
    largest = np.abs(main).argmax(axis=0)
    axes[:, : main.shape[1]] = main * np.sign(main[largest, np.arange(main.shape[1])])
    return np.concatenate([(store.get(piece) - mean) @ axes for piece in pieces])


def refine(start: Positions, store: VectorStore, *, is_afresh: bool, report: Callable[[float], None]) -> Positions:
    """Move positions by t-SNE until neighbors among the vectors are neighbors in the plane.

    Args:
        start: (N, 2) in the order of the store's ids, in t-SNE's own unit, or *is_afresh* in any.
        store: the vectors, dozens at least, none twice.
        is_afresh: whether *start* comes from elsewhere, and is to be unfolded from the beginning.
        report: called with the share of the work that was just done.

    Returns:
        (N, 2), centered, in t-SNE's own unit: the same whatever the number of threads.
    """
    # Here, as it brings scikit-learn: a second that small builds, and servers, can do without.
    from openTSNE import TSNEEmbedding, affinity, nearest_neighbors  # noqa: PLC0415

    perplexity = min(MOST_PERPLEXITY, len(start) // ENTRIES_PER_PERPLEXITY)
    # Farther ones have next to no weight.
    graph = nearest_neighbors.PrecomputedNeighbors(*find_neighbors(store, 3 * perplexity))
    affinities = affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=graph)
    if is_afresh:
        start = start / start[:, 0].std() * START_DEVIATION
    total = EARLY_ITERATIONS + LATE_ITERATIONS if is_afresh else FURTHER_ITERATIONS

    def tell(_iteration: int, _error: float, _positions: Positions) -> bool:
        report(ITERATIONS_PER_NEWS / total)
        return False

    # In one thread: several wait for each other in loops, and where the cores are busy with something else, they take
    # 10 s for what takes one 0.7. Barnes and Hut's approximation is quicker than interpolation by Fourier transforms up
    # to 10,000 entries, where they are even.
    moving = TSNEEmbedding(
        start,
        affinities,
        negative_gradient_method="bh",
        n_jobs=1,
        momentum=MOMENTUM,
        callbacks=tell,
        callbacks_every_iters=ITERATIONS_PER_NEWS,
    )
    if is_afresh:
        moving.optimize(EARLY_ITERATIONS, exaggeration=EXAGGERATION, inplace=True)
    moving.optimize(LATE_ITERATIONS if is_afresh else FURTHER_ITERATIONS, inplace=True)
    return np.array(moving, np.float64)


def find_neighbors(store: VectorStore, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows (N, K) of each vector's *count* nearest others, and their Euclidean distances (N, K).

    They have the same bits whatever the number of threads, which a search for many queries at once hasn't: from 20 on,
    FAISS multiplies matrices.
    """
    ids = np.empty((len(store), count), np.int64)
    cosines = np.empty((len(store), count))
    for row, id64 in enumerate(store.ids.tolist()):
        query = store.get(np.array([id64], np.int64))
        hits = store.search(query, count + 1)
        if hits.ids[0, -1] == NO_ID:  # the lists that were looked at hold too few
            hits = store.search(query, count + 1, allowed=store.ids)
        # An approximate search may miss the vector itself: then it is the farthest that goes.
        others = np.flatnonzero(hits.ids[0] != id64)[:count]
        ids[row], cosines[row] = hits.ids[0, others], hits.similarities[0, others]
    return np.searchsorted(store.ids, ids), np.sqrt(np.maximum(2 - 2 * cosines, 0))
