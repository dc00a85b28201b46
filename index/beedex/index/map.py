"""The map of a snapshot: every entry in two dimensions, and where a query falls among them.

Whoever reads a map needs numpy and nothing else; `beedex.index.mapping` draws it.

Shapes: N entries, Q queries, K neighbors.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beedex.index.errors import SnapshotError

__all__ = ["PLACING_NEIGHBORS", "GalleryMap", "MapMethod", "decode_map", "encode_map"]

MapMethod = Literal["pca", "t-sne"]

# On a map of 144 drawn bees of six families, held-out ones fall 0.06 from their own family's center, which is 0.07 of
# their distance from any, and 97 % are nearest to it; by 5 neighbors at 0.08 and 96 % (tests/benchmarks/maps.py).
PLACING_NEIGHBORS = 10

# In cosine. Of float32 unit vectors with themselves it strays from 1 by 3e-7; nearer than this, two photos are one.
SAME_WITHIN = 1e-5

# One row of the file, in the order of the ids.
ROW = np.dtype([("id", "<i8"), ("x", "<f4"), ("y", "<f4")])


@dataclass(frozen=True, kw_only=True, eq=False)
class GalleryMap:
    """Where each entry of a snapshot lies. Safe from any thread.

    Near entries are alike; how far apart two distant ones lie means little.

    Attributes:
        method: how it was drawn: t-SNE, or principal components where there are too few entries for it, or too many.
        scale: how many of the method's own units one of the map's is, so that a later map can go on from this one.
        ids: (N,) int64, ascending, as the snapshot's.
        positions: (N, 2) float32, finite, within [-1, 1]; both directions have one scale.
    """

    method: MapMethod
    scale: float
    ids: NDArray[np.int64]
    positions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the rows of ids of any shape, and whether they are on the map; other rows mean nothing."""
        if len(self.ids) == 0:
            return np.zeros(ids.shape, np.int64), np.zeros(ids.shape, bool)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return rows, self.ids[rows] == ids

    def place(self, ids: NDArray[np.int64], similarities: NDArray[np.float32]) -> tuple[float, float] | None:
        """Return where a query falls: the mean of its nearest entries' positions, weighted by 1 / (1 - cosine).

        Between unit vectors 1 - cosine is half the squared distance, so that the nearest count most, and an indexed
        photo, whose cosine with itself is 1, falls on itself.

        Args:
            ids: (K,) the nearest entries, as a search finds them; `PLACING_NEIGHBORS` are enough. Those that are not
                on the map don't count.
            similarities: (K,) their cosines with the query.

        Returns:
            x and y within [-1, 1]; None if none of the entries is on the map.

        Example:
            >>> line = GalleryMap(
            ...     method="pca", scale=1.0, ids=np.array([3, 7]), positions=np.array([[-1, 0], [1, 0]], np.float32)
            ... )
            >>> line.place(np.array([7, 3]), np.array([0.75, 0.25], np.float32))
            (0.5, 0.0)
        """
        positions, is_placed = self.place_each(ids[np.newaxis], similarities[np.newaxis])
        if not is_placed[0]:
            return None
        x, y = positions[0].tolist()
        return x, y

    def place_each(
        self, ids: NDArray[np.int64], similarities: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Place many queries at once by (Q, K) neighbors; see `place`.

        Returns:
            (Q, 2) positions, and (Q,) whether there was a neighbor on the map; where not, the position is the middle.
        """
        rows, is_known = self.find(ids)  # (Q, K) each
        gaps = np.maximum(1.0 - similarities.astype(np.float64), 0.0)
        is_same = is_known & (gaps <= SAME_WITHIN)
        weights = np.where(is_known, 1.0 / np.maximum(gaps, SAME_WITHIN), 0.0)
        weights = np.where(is_same.any(axis=1, keepdims=True), is_same, weights)
        total = weights.sum(axis=1, keepdims=True)  # (Q, 1)
        if len(self.ids) == 0:
            return np.zeros((len(ids), 2), np.float32), np.zeros(len(ids), bool)
        summed = np.einsum("qk,qkc->qc", weights, self.positions[rows].astype(np.float64))
        positions = summed / np.where(total > 0, total, 1.0)
        return positions.astype(np.float32), total[:, 0] > 0


def encode_map(drawn: GalleryMap) -> bytes:
    """Return the bytes of a map's file, ``.npy`` of rows of id, x and y; equal maps give equal bytes."""
    rows = np.empty(len(drawn), ROW)
    rows["id"] = drawn.ids
    rows["x"], rows["y"] = drawn.positions.T
    file = io.BytesIO()
    np.save(file, rows, allow_pickle=False)
    return file.getvalue()


def decode_map(path: Path, *, method: MapMethod, scale: float) -> GalleryMap:
    """Read what `encode_map` gave. Verify the file's checksum before.

    Args:
        path: the file.
        method: as the manifest says.
        scale: as the manifest says.

    Raises:
        SnapshotError: the file can't be read or is no map.
    """
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SnapshotError(
            f"{path} can't be read as a map, expected a file that `beedex index build` wrote, received: {error}"
        ) from error
    if not isinstance(rows, np.ndarray) or rows.dtype != ROW or rows.ndim != 1:
        kind = f"{rows.dtype} of {rows.ndim} dimensions" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise SnapshotError(f"{path} is no map, expected rows of id, x and y, received {kind}; build the index again")
    positions = np.stack([rows["x"], rows["y"]], axis=1)
    if not (np.abs(positions) <= 1).all():  # NaN is not below 1 either
        raise SnapshotError(f"{path} is no map: a position lies outside of [-1, 1]; build the index again")
    return GalleryMap(method=method, scale=scale, ids=rows["id"].copy(), positions=positions)
