"""Embedding many photos: reading, decoding, inference and commits to the catalog, all at once."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.catalog import Catalog
from beedex.index.embedder import Embedder
from beedex.index.errors import BundleError, PhotoError
from beedex.index.photos import PhotoLimits, read_photo
from beedex.index.preprocessing import prepare
from beedex.index.progress import Advance
from beedex.index.vectors import check_unit_vectors

__all__ = ["ChangedPhotoError", "embed_photos"]

# What a killed build loses at most, whichever comes first. A commit costs one fsync, a few milliseconds.
PHOTOS_PER_COMMIT = 64
SECONDS_PER_COMMIT = 1.0

# Prepared photos waiting for each that is inferred: enough for a large file to be decoded meanwhile. One is 270 kB.
PHOTOS_AHEAD = 4


class ChangedPhotoError(Exception):
    """A file is not the photo any more that it was when its sha256 was computed."""


Failures = dict[str, PhotoError | ChangedPhotoError]
Reader = Callable[[str, Path], NDArray[np.uint8]]


def embed_photos(
    paths: Mapping[str, Path], bundle: Bundle, catalog: Catalog, *, limits: PhotoLimits, advance: Advance
) -> Failures:
    """Embed photos into the catalog.

    Args:
        paths: a file of each photo by its sha256.
        bundle: the embedder, whose files are verified before they run.
        catalog: open for writing; what it has got stays there whatever happens afterwards.
        limits: what is refused.
        advance: called with the number of photos just embedded or given up.

    Returns:
        Why photos could not be embedded, by sha256.

    Raises:
        BundleError: the bundle is damaged, or makes vectors that are no finite unit vectors.
        IndexDirectoryError: the catalog can't be written.
    """
    read = partial(_read_prepared, limits=limits, side_px=bundle.card.preprocessing.side_px)
    failures, readable = _pass_over_unreadable(paths, read)
    advance(len(failures))
    if not readable:
        return failures
    with (
        Embedder.open(load_bundle(bundle.path)) as embedder,
        ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decoding") as pool,
    ):
        batch = _Batch(catalog, embedder)
        for sha256, vector in _stream(readable, read, embedder, pool):
            if isinstance(vector, np.ndarray):
                batch.add(sha256, vector)
            else:
                failures[sha256] = vector
            advance(1)
        batch.commit()
    return failures


def _read_prepared(sha256: str, path: Path, *, limits: PhotoLimits, side_px: int) -> NDArray[np.uint8]:
    """Return the photo, (S, S, 3), if the file still is the one that has this sha256."""
    data = read_photo(path, limits=limits)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ChangedPhotoError("the file changed while the index was built; build again")
    return prepare(data, limits=limits, side_px=side_px)


def _pass_over_unreadable(paths: Mapping[str, Path], read: Reader) -> tuple[Failures, dict[str, Path]]:
    """Return what is wrong with the first photos, and the rest from the first good one on.

    Unreadable photos are tried again by every build, for the fault may have been elsewhere. When there are no others,
    as usual in a second build, this saves compiling the network.
    """
    failures: Failures = {}
    for sha256, path in paths.items():
        try:
            read(sha256, path)
        except (PhotoError, ChangedPhotoError) as error:
            failures[sha256] = error
        else:
            break
    return failures, {sha256: path for sha256, path in paths.items() if sha256 not in failures}


def _stream(
    paths: Mapping[str, Path], read: Reader, embedder: Embedder, pool: ThreadPoolExecutor
) -> Iterator[tuple[str, NDArray[np.float32] | PhotoError | ChangedPhotoError]]:
    """Yield each photo's vector (D,), or what is wrong with it, in order, with few photos under way."""

    def start(sha256: str, path: Path) -> Future[NDArray[np.float32]]:
        return embedder.submit(read(sha256, path))

    waiting = iter(paths.items())
    under_way: deque[tuple[str, Future[Future[NDArray[np.float32]]]]] = deque()
    while True:
        while len(under_way) < PHOTOS_AHEAD * embedder.parallelism and (photo := next(waiting, None)):
            under_way.append((photo[0], pool.submit(start, *photo)))
        if not under_way:
            return
        sha256, started = under_way.popleft()
        try:
            vector = started.result().result()
        except (PhotoError, ChangedPhotoError) as error:
            yield sha256, error
        else:
            yield sha256, vector


class _Batch:
    """Vectors on their way into the catalog."""

    def __init__(self, catalog: Catalog, embedder: Embedder) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._sha256s: list[str] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._committed_at = time.monotonic()

    def add(self, sha256: str, vector: NDArray[np.float32]) -> None:
        self._sha256s.append(sha256)
        self._vectors.append(vector)
        is_due = time.monotonic() - self._committed_at >= SECONDS_PER_COMMIT
        if is_due or len(self._sha256s) >= PHOTOS_PER_COMMIT:
            self.commit()

    def commit(self) -> None:
        if self._sha256s:
            self._catalog.add_embeddings(self._embedder.fingerprint, self._sha256s, self._stack())
            self._sha256s, self._vectors = [], []
        self._committed_at = time.monotonic()

    def _stack(self) -> NDArray[np.float32]:
        try:
            return check_unit_vectors(np.stack(self._vectors), self._embedder.dimension)
        except ValueError as error:
            raise BundleError(
                f"the embedder {self._embedder.fingerprint[:12]} made a vector that can't be indexed: {error}; "
                "train it again"
            ) from error
