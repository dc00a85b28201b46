"""Features once: what the frozen backbone says of a few views of each photo, computed once and kept on disk.

Every block's vector of every view is stored as float16 (`records`), in a folder named by all that decides it but the
photo: preprocessing, backbone weights, blocks, views, augmentation, seed. A run that is killed goes on where it was;
other runs, every fold of a cross-validation and the choice of blocks read the same file. It is mapped into memory,
never loaded, so that a gallery may be larger than the machine's memory.

Shapes: N photos, V views, B photos of a batch, F features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.progress import Advance, ignore_progress
from beedex.training.backbone.forward import choose_engine
from beedex.training.backbone.recording import record_views
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.taps import POOLING_VERSION, WHOLE_BLOCKS, Block, block_columns, build_blocks, sort_blocks
from beedex.training.backbone.views import Views

__all__ = ["HELD_BYTES", "Features", "compute_features"]

# Chosen columns are held in memory, as float32, when they take no more than this.
HELD_BYTES = 512 * 2**20

# Photos read at once by those who go through all of them: 74 MB of all blocks in four views, as stored.
PHOTOS_AT_ONCE = 400


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The chosen columns of stored records.

    Attributes:
        records: (R, V, F_all).
        numbers: (N,) of the photos' records.
        columns: of each block, or None for records that have none.
        chosen: the blocks taken, or None for all columns as they are.
        last: what was chosen last: a cross-validation asks for the same blocks again and again.
    """

    records: NDArray[Any]
    numbers: NDArray[np.int64]
    columns: Mapping[Block, slice] | None
    chosen: tuple[Block, ...] | None
    last: dict[tuple[Block, ...], "_Columns"] = field(default_factory=dict)

    @cached_property
    def indices(self) -> NDArray[np.int64] | slice:
        if self.chosen is None or self.columns is None:
            return slice(None)
        spans = [self.columns[block] for block in self.chosen]
        if all(before.stop == after.start for before, after in pairwise(spans)):
            return slice(spans[0].start, spans[-1].stop)
        return np.concatenate([np.arange(span.start, span.stop) for span in spans])

    def choose(self, chosen: tuple[Block, ...]) -> "_Columns":
        """Return some blocks' columns; the last ones that were asked for are kept, with what they hold in memory."""
        last = self.last.get(chosen)
        if last is None:
            last = _Columns(records=self.records, numbers=self.numbers, columns=self.columns, chosen=chosen)
            self.last.clear()
            self.last[chosen] = last
        return last

    @cached_property
    def dimension(self) -> int:
        return len(np.arange(self.records.shape[2])[self.indices])

    @cached_property
    def held(self) -> NDArray[np.float32] | None:
        """(N, V, F) in memory, where that is little."""
        shape = (len(self.numbers), self.records.shape[1], self.dimension)
        if 4 * int(np.prod(shape)) > HELD_BYTES:
            return None
        held = np.empty(shape, np.float32)
        for start in range(0, len(held), PHOTOS_AT_ONCE):
            part = slice(start, start + PHOTOS_AT_ONCE)
            held[part] = self.join(self.records[self.numbers[part]])
        return held

    def take(self, photos: NDArray[np.int64], views: NDArray[np.int64] | int | slice) -> NDArray[np.float32]:
        """Return (..., F) of photos by their place in `numbers`."""
        if self.held is not None:
            held: NDArray[np.float32] = self.held[photos, views]
            return held
        return self.join(self.records[self.numbers[photos], views])

    def join(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Take the chosen columns (..., F); blocks, which have unit norm each, are brought to unit norm together."""
        taken: NDArray[np.float32] = rows[..., self.indices].astype(np.float32, order="C")
        if self.chosen is None:
            return taken
        # Not the root of the number of blocks: a block's norm is off by 1e-4 where rounding to float16 met a few large
        # channels, and the similarity of two photos by as much.
        norms: NDArray[np.float32] = np.linalg.norm(taken, axis=-1, keepdims=True)
        taken /= np.maximum(norms, np.float32(1e-12))
        return taken


class Features:
    """Features of N photos in V views, on disk or in memory; `compute_features` and `from_array` make them.

    Attributes:
        photos: N.
        views: V.
        dimension: F.
        blocks: that can be selected; empty where the columns belong to none.

    Example:
        >>> features = Features.from_array(np.arange(12, dtype=np.float32).reshape(3, 2, 2))
        >>> features.take(np.array([2, 0]), np.array([1, 0])).tolist()
        [[10.0, 11.0], [0.0, 1.0]]
        >>> features.subset(np.array([2])).matrix().tolist()
        [[8.0, 9.0]]
    """

    def __init__(self, columns: _Columns, photos: NDArray[np.int64]) -> None:
        self._columns, self._photos = columns, photos
        self.photos, self.views, self.dimension = len(photos), columns.records.shape[1], columns.dimension
        self.blocks = tuple(columns.columns or ())

    @classmethod
    def from_array(cls, array: NDArray[np.floating], *, columns: Mapping[Block, slice] | None = None) -> Self:
        """Take features as they are.

        Args:
            array: (N, V, F).
            columns: where blocks of unit norm lie in it, for `select`.

        Raises:
            ValueError: the array has another shape.
        """
        if array.ndim != 3:
            raise ValueError(f"`array` must be (photos, views, features). Received: shape={array.shape}")
        every = np.arange(len(array))
        return cls(_Columns(records=array, numbers=every, columns=columns, chosen=None), every)

    def select(self, blocks: Sequence[Block]) -> "Features":
        """Return the features that a backbone of these blocks gives, of unit norm.

        Raises:
            ValueError: a block isn't there.
        """
        chosen = sort_blocks(blocks)
        missing = [block for block in chosen if block not in self.blocks]
        if missing:
            raise ValueError(
                f"features lack blocks {', '.join(map(str, missing))}: expected some of "
                f"{', '.join(map(str, self.blocks)) or 'none'}; compute them with these blocks"
            )
        return Features(self._columns.choose(chosen), self._photos)

    def subset(self, photos: NDArray[np.int64] | NDArray[np.bool_]) -> "Features":
        """Return the features of some photos, given by number in the order wanted, or by an (N,) mask."""
        return Features(self._columns, self._photos[photos])

    def take(self, photos: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (B, F): of each photo (B,) the view (B,) asked for."""
        return self._columns.take(self._photos[photos], views)

    def matrix(self, view: int = 0) -> NDArray[np.float32]:
        """Return one view of all photos, (N, F), in memory: 4 bytes times N times F."""
        return np.concatenate([np.empty((0, self.dimension), np.float32), *self.chunks(view)])

    def chunks(self, view: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield all rows (n, F) in order, of one view or, with None, photo by photo of all views.

        A chunk has the rows of at most `PHOTOS_AT_ONCE` photos.
        """
        for start in range(0, self.photos, PHOTOS_AT_ONCE):
            chosen = slice(None) if view is None else view
            rows = self._columns.take(self._photos[start : start + PHOTOS_AT_ONCE], chosen)
            yield rows.reshape(-1, self.dimension)


def compute_features(
    photos: Sequence[PhotoSource],
    inception: keras.Model,
    *,
    views: Views,
    cache: Path,
    blocks: Sequence[Block] = WHOLE_BLOCKS,
    advance: Advance = ignore_progress,
) -> Features:
    """Return each photo's features, from the cache where they are there.

    Args:
        photos: N readable photos.
        inception: frozen.
        views: of each photo.
        cache: the folder to keep them in; it may be deleted while nothing uses it.
        blocks: whose vectors are computed and stored; 184 kB a photo for all of them in four views.
        advance: called with the number of photos just done.

    Returns:
        Features whose columns are the blocks' vectors side by side: `select` some of them.

    Raises:
        BeedexError: a photo can't be read, or is another one by now.
        OSError: the cache can't be read or written, with the file's name.
    """
    columns = block_columns(inception, blocks)
    # float16 costs nothing that shows: of 100 field photos with the bundled weights, features of the default blocks as
    # stored and as computed have a cosine above 1 - 3e-8, and no similarity of two photos is off by more than 3e-5.
    records, numbers = record_views(
        photos,
        build_blocks(inception, blocks),
        views,
        key={"blocks": [str(block) for block in columns], "pooling": POOLING_VERSION},
        engine=choose_engine(),
        dtype=np.float16,
        folder=cache / "features",
        advance=advance,
    )
    every = np.arange(len(photos))
    return Features(_Columns(records=records, numbers=numbers, columns=columns, chosen=None), every)
