"""Drawing the map of a snapshot when it is built.

The same vectors give the same map, whatever their order and the number of threads. A map that follows another one
begins where that one ended, so that what people have learned to find stays where it was: entries that are known to
both keep their places but for what newcomers push aside. Only a new embedder, or another method, draws a map anew;
even then it is turned and mirrored to lie as near the former one as it can.

Shapes: N entries, M of them known to a former map.
"""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from beedex.index.map import PLACING_NEIGHBORS, GalleryMap, MapMethod
from beedex.index.progress import Advance, ignore_progress
from beedex.index.projection import has_tsne, project_principal, refine
from beedex.index.vectors import DEFAULT_SETTINGS, VectorStore, build_store

__all__ = ["FEWEST_FOR_TSNE", "MOST_FOR_TSNE", "MappingMethod", "draw_map"]

# Embedding so many photos takes two cores three seconds, and the library's import one. Principal components keep 0.40
# of the 10 nearest of so many, t-SNE 0.56; of 1000, 0.11 and 0.72 (tests/benchmarks/maps.py).
FEWEST_FOR_TSNE = 100

# The time grows with N log N, and so its share of the CPU seconds for embedding only slowly: 1 % at 1000 entries, 2.4 %
# at 10,000 (tests/benchmarks/maps.py).
MOST_FOR_TSNE = 100_000

# A former map is gone on from while at least so much of either map is the other's too.
SHARE_IN_COMMON = 0.5

# A new map leaves a margin for what will be added.
FILLED = 0.9
# One that was turned into a former one's place is drawn to size again when it is smaller than this.
LEAST_FILLED = 0.6

# Two points can be laid upon two others, but not tell the sides of the line between them.
FEWEST_TO_ALIGN = 3

# Vectors all of one place: their deviation is rounding.
LEAST_DEVIATION = 1e-6

MappingMethod = Literal["auto", "pca"]
Positions = NDArray[np.float64]


def draw_map(
    store: VectorStore,
    *,
    former: GalleryMap | None = None,
    is_same_embedder: bool = False,
    method: MappingMethod = "auto",
    advance: Advance = ignore_progress,
) -> GalleryMap:
    """Give each vector of a store a position in the plane.

    Args:
        store: the vectors, under the entries' ids.
        former: the map that people know.
        is_same_embedder: whether *former* was drawn of the same embedder's vectors.
        method: ``auto`` for t-SNE where the number of different vectors suits it; ``pca`` for principal components.
        advance: called now and then with the number of entries that the work just done stands for.
    """
    progress = _Progress(len(store), advance)
    # The last bits of a product depend on how many threads share it.
    with threadpool_limits(1, user_api="blas"):
        chosen, distinct, rows = _choose(store, method)
        known = _Known.match(former, store.ids, rows, len(distinct))
        if former is None or not is_same_embedder or former.method != chosen or not known.is_most:
            principal = project_principal(distinct)
            raw = refine(principal, distinct, is_afresh=True, report=progress.add) if chosen == "t-sne" else principal
            places, scale = _settle(raw, known)
        elif known.is_all:
            places, scale = known.places, former.scale
        elif chosen == "t-sne":
            start = _place_newcomers(distinct, known) * former.scale
            places, scale = _settle(refine(start, distinct, is_afresh=False, report=progress.add), known)
        else:
            places, scale = _settle(project_principal(distinct), known)
    progress.finish()
    return GalleryMap(method=chosen, scale=scale, ids=store.ids.copy(), positions=places[rows].astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What a former map says of the vectors of a new one.

    Attributes:
        rows: (M,) of the vectors that are on it, ascending.
        places: (M, 2) where.
        is_most: whether the maps have enough in common for one to go on from the other.
        is_all: whether there is no newcomer.
    """

    rows: NDArray[np.int64]
    places: Positions
    is_most: bool
    is_all: bool

    @classmethod
    def match(cls, former: GalleryMap | None, ids: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> Self:
        """Look (N,) entries up, which stand for *count* different vectors in these (N,) *rows*."""
        if former is None:
            return cls(rows=np.empty(0, np.int64), places=np.empty((0, 2)), is_most=False, is_all=False)
        found, is_known = former.find(ids)
        known, first = np.unique(rows[is_known], return_index=True)
        places = former.positions[found[is_known][first]].astype(np.float64)
        is_most = int(is_known.sum()) >= SHARE_IN_COMMON * max(len(former), len(ids))
        return cls(rows=known, places=places, is_most=is_most, is_all=len(known) == count)


class _Progress:
    """Tells of shares of the work as whole entries."""

    def __init__(self, total: int, advance: Advance) -> None:
        self._total = total
        self._advance = advance
        self._share = 0.0
        self._told = 0

    def add(self, share: float) -> None:
        """Count what was just done."""
        self._share += share
        self._tell(min(int(self._share * self._total), self._total))

    def finish(self) -> None:
        """Count all of it as done."""
        self._tell(self._total)

    def _tell(self, done: int) -> None:
        self._advance(done - self._told)
        self._told = done


def _choose(store: VectorStore, method: MappingMethod) -> tuple[MapMethod, VectorStore, NDArray[np.int64]]:
    """Return the method, the vectors that are to be drawn, and the row among them of each of the store's (N,)."""
    if method == "auto" and FEWEST_FOR_TSNE <= len(store) <= MOST_FOR_TSNE and has_tsne():
        distinct, rows = _drop_copies(store)
        if len(distinct) >= FEWEST_FOR_TSNE and project_principal(distinct).std(axis=0)[0] > LEAST_DEVIATION:
            return "t-sne", distinct, rows
    return "pca", store, np.arange(len(store))


def _drop_copies(store: VectorStore) -> tuple[VectorStore, NDArray[np.int64]]:
    """Keep the first of equal vectors: t-SNE would spread hundreds of them out.

    Returns:
        A store of different vectors, and for each of the (N,) entries its row there.
    """
    vectors = store.get(store.ids)  # (N, D)
    _, firsts, of_entry = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    if len(firsts) == len(store):
        return store, np.arange(len(store))
    order = np.argsort(firsts)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    kept = firsts[order]
    return build_store(store.ids[kept], vectors[kept], DEFAULT_SETTINGS)[0], rank[of_entry]


def _place_newcomers(store: VectorStore, known: _Known) -> Positions:
    """Return (N, 2): the known places, and those that newcomers would have as queries."""
    places = np.empty((len(store), 2))
    places[known.rows] = known.places
    newcomers = np.setdiff1d(np.arange(len(store)), known.rows)
    ids = store.ids[known.rows]
    searched, _ = build_store(ids, store.get(ids), DEFAULT_SETTINGS)
    former = GalleryMap(method="t-sne", scale=1.0, ids=ids, positions=known.places.astype(np.float32))
    for row in newcomers:  # one by one, as where neighbors are found for t-SNE
        hits = searched.search(store.get(store.ids[[row]]), PLACING_NEIGHBORS)
        places[row] = former.place_each(hits.ids, hits.similarities)[0]
    return places


def _settle(raw: Positions, known: _Known) -> tuple[Positions, float]:
    """Bring positions into the square, as near the known places as they come by turning, mirroring and moving all.

    Returns:
        (N, 2) within [-1, 1], and how many units of *raw* one of theirs is.
    """
    places, scale = _align(raw, known)
    farthest = np.abs(places).max(initial=0.0)
    if len(known.rows) >= FEWEST_TO_ALIGN and LEAST_FILLED <= farthest <= 1:
        return places, scale
    if farthest == 0:
        return places, scale
    places = places - (places.min(axis=0) + places.max(axis=0)) / 2
    farthest = np.abs(places).max()
    factor = FILLED / farthest if farthest > LEAST_DEVIATION else 1.0
    return places * factor, scale / factor


def _align(raw: Positions, known: _Known) -> tuple[Positions, float]:
    """Lay positions upon the known ones, or leave them; returns as `_settle` does.

    Which way up a map comes out is chance. This is the orthogonal Procrustes problem (Schoenemann 1966,
    https://doi.org/10.1007/BF02289451), with the size of the known part for all.
    """
    if len(known.rows) < FEWEST_TO_ALIGN:
        return raw, 1.0
    center, known_center = raw[known.rows].mean(axis=0), known.places.mean(axis=0)
    mine, theirs = raw[known.rows] - center, known.places - known_center
    spread, known_spread = float(np.linalg.norm(mine)), float(np.linalg.norm(theirs))
    if min(spread, known_spread) < LEAST_DEVIATION:
        return raw, 1.0
    left, _, right = np.linalg.svd(mine.T @ theirs)
    size = known_spread / spread
    return (raw - center) @ (left @ right) * size + known_center, 1 / size
