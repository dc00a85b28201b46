"""What a map costs beside embedding its entries, and what it keeps of who is near whom.

    python tests/benchmarks/maps.py EMBEDDER [--entries N ...] [--index DIR --held-out GALLERY]

Times are CPU seconds, as a ratio to embedding as many photos with EMBEDDER, a few of which are embedded in the same
run. The vectors are drawn: families of five clusters each. `kept` is the share of the 10 nearest entries by cosine that
are among the 10 nearest on the map. A twentieth of the entries is then taken for newcomers: what going on from the map
of the others costs and keeps, and how far these move, in the map's half sides; beside it, one drawn afresh and turned.

With --index and --held-out, photos that the index doesn't hold fall on its map: their distance from the center of their
own family, over that from a center drawn at random, by the rule with several weights and numbers of neighbors.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import Embedder
from beedex.index.gallery import scan_gallery
from beedex.index.map import PLACING_NEIGHBORS, GalleryMap
from beedex.index.mapping import draw_map
from beedex.index.searcher import Searcher
from beedex.index.vectors import ExactStore

DIMENSION = 128
CLUSTERS = 5
NEAREST = 10
QUERIES = 500
EMBEDDED = 24
NEW_SHARE = 0.05

Vectors = NDArray[np.float32]


class Timed(NamedTuple):
    """A map and the CPU seconds that it took."""

    drawn: GalleryMap
    seconds: float


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("--entries", type=int, nargs="+", default=[150, 1000, 10_000])
    parser.add_argument("--families", type=int, default=20)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--held-out", type=Path)
    options = parser.parse_args()
    photo_s = time_embedding(options.embedder)
    print(f"embedding a photo takes {1000 * photo_s:.0f} ms of CPU")
    draw_map(fill(draw_vectors(100, options.families)))  # loads the library
    for count in options.entries:
        measure(draw_vectors(count, options.families), photo_s)
    if options.index and options.held_out:
        measure_placing(options.index, options.held_out)


def time_embedding(path: Path) -> float:
    """Return the CPU seconds that a photo takes."""
    with Embedder.load(path) as embedder:
        side = embedder.side_px
        photos = np.random.default_rng(0).integers(0, 256, (EMBEDDED, side, side, 3), np.uint8)
        embedder.embed(photos)
        began = time.process_time()
        embedder.embed(photos)
        return (time.process_time() - began) / EMBEDDED


def draw_vectors(count: int, families: int) -> Vectors:
    """Return (N, D) unit vectors of so many families in `CLUSTERS` clusters each."""
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((families, 1, DIMENSION)) + 0.55 * generator.standard_normal(
        (families, CLUSTERS, DIMENSION)
    )
    chosen = centers.reshape(-1, DIMENSION)[generator.integers(0, families * CLUSTERS, count)]
    vectors = (chosen + 1.1 * generator.standard_normal((count, DIMENSION))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def fill(vectors: Vectors) -> ExactStore:
    """Return a store of these vectors under their rows' numbers."""
    store = ExactStore(vectors.shape[1])
    store.add(np.arange(len(vectors)), vectors)
    return store


def measure(vectors: Vectors, photo_s: float) -> None:
    """Print what the maps of these vectors cost and keep."""
    count = len(vectors)
    old = count - int(NEW_SHARE * count)
    whole = time_map(lambda: draw_map(fill(vectors)))
    principal = time_map(lambda: draw_map(fill(vectors), method="pca"))
    former = draw_map(fill(vectors[:old]))
    further = time_map(lambda: draw_map(fill(vectors), former=former, is_same_embedder=True))
    turned = time_map(lambda: draw_map(fill(vectors), former=former, is_same_embedder=False))
    print(f"\n{count} entries, embedded in {count * photo_s:.1f} s of CPU")
    rows = [("afresh", whole), ("principal components", principal), ("gone on", further), ("afresh, turned", turned)]
    for name, (drawn, seconds) in rows:
        line = (
            f"  {name:22}{seconds:8.2f} s, {100 * seconds / (count * photo_s):5.1f} %   kept {keep(vectors, drawn):.3f}"
        )
        if drawn in (further.drawn, turned.drawn):
            moved = np.linalg.norm(drawn.positions[:old] - former.positions, axis=1)
            line += f"   moved {moved.mean():.3f} on average, {np.quantile(moved, 0.99):.3f} at most but for 1 %"
        print(line)


def time_map(draw: Callable[[], GalleryMap]) -> Timed:
    """Return the map and what it took."""
    began = time.process_time()
    drawn = draw()
    return Timed(drawn, time.process_time() - began)


def keep(vectors: Vectors, drawn: GalleryMap) -> float:
    """Return the share of the nearest entries that are nearest on the map too."""
    chosen = np.random.default_rng(1).choice(len(vectors), min(QUERIES, len(vectors)), replace=False)
    own = (np.arange(len(chosen)), chosen)
    cosines = vectors[chosen] @ vectors.T
    cosines[own] = -np.inf
    distances = ((drawn.positions[chosen, np.newaxis] - drawn.positions) ** 2).sum(axis=2)
    distances[own] = np.inf
    pairs = zip(np.argsort(-cosines)[:, :NEAREST].tolist(), np.argsort(distances)[:, :NEAREST].tolist(), strict=True)
    return float(np.mean([len({*near} & {*mapped}) / NEAREST for near, mapped in pairs]))


def measure_placing(index_dir: Path, held_out: Path) -> None:
    """Print how far held-out photos fall from their family's center."""
    gallery = scan_gallery(held_out)
    with Searcher.open(index_dir) as searcher:
        drawn = searcher.snapshot.map
        if drawn is None:
            raise SystemExit(f"the index {index_dir} has no map; build it again")
        queries = np.stack([searcher.embed(gallery.root / photo.path) for photo in gallery.photos])
        families = np.array(searcher.view.list_families(drawn.ids))
        hits = searcher.snapshot.vectors.search(queries, 2 * PLACING_NEIGHBORS)
    known = np.unique(families)
    centers = np.stack([drawn.positions[families == family].mean(axis=0) for family in known])  # (C, 2)
    own = np.searchsorted(known, [photo.family for photo in gallery.photos])
    print(f"\n{len(queries)} held-out photos on a map of {len(drawn)} entries by {drawn.method}")
    for neighbors in (1, PLACING_NEIGHBORS // 2, PLACING_NEIGHBORS, 2 * PLACING_NEIGHBORS):
        gaps = np.maximum(1 - hits.similarities[:, :neighbors].astype(np.float64), 1e-5)
        weights = {"equal": np.ones_like(gaps), "1 / (1 - cosine)": 1 / gaps, "its square": 1 / gaps**2}
        rows, _ = drawn.find(hits.ids[:, :neighbors])
        for name, weight in weights.items():
            places = np.einsum("qk,qkc->qc", weight / weight.sum(axis=1, keepdims=True), drawn.positions[rows])
            distances = np.linalg.norm(places[:, np.newaxis] - centers, axis=2)  # (Q, C)
            from_own = distances[np.arange(len(own)), own].mean()
            nearest = (distances.argmin(axis=1) == own).mean()
            print(
                f"  {neighbors:2} neighbors, {name:16}: {from_own:.3f} from the own center, "
                f"{from_own / distances.mean():.2f} of that from any; nearest to the own one {100 * nearest:.0f} % "
                f"(by chance {100 / len(known):.0f} %)"
            )


if __name__ == "__main__":
    main()
