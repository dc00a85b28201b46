"""The embedder at run time: a prepared photo in, a unit vector out, on OpenVINO and without TensorFlow."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.embedded import EmbeddedPhoto
from beedex.index.errors import BundleError
from beedex.index.inference import InferencePool, Outputs
from beedex.index.photos import read_photo
from beedex.index.preprocessing import fit, prepare

__all__ = ["EMBEDDING_OUTPUT", "FEATURES_OUTPUT", "Embedder", "Photo"]

# A photo as people have it: a file, its bytes, or (H, W, 3) uint8 pixels.
Photo = Path | str | bytes | NDArray[np.uint8]

# The names of the IR's two outputs: the unit vector, and the pooled backbone features before the trained head, which
# is what a trained embedder is compared with.
EMBEDDING_OUTPUT = "embedding"
FEATURES_OUTPUT = "features"

Product = TypeVar("Product")


class Embedder:
    """A bundle's network, ready to run.

    `submit` is safe from any thread; one more than `parallelism` at once blocks until a request is free.

    Attributes:
        fingerprint: which embedder this is (64 hex digits).
        dimension: D, the length of a vector.
        side_px: S, the side of a prepared photo.
        parallelism: how many photos are embedded at the same time.

    Example:
        >>> with Embedder.load("embedder") as embedder:
        ...     vector = embedder.embed_photo("new-photo.jpg")
        >>> vector.shape, vector.dtype, round(float(vector @ vector), 3)
        ((32,), dtype('float32'), 1.0)
    """

    def __init__(self, pool: InferencePool, *, fingerprint: str, side_px: int) -> None:
        missing = {EMBEDDING_OUTPUT, FEATURES_OUTPUT} - set(pool.shapes)
        if missing:
            raise BundleError(
                f"the network lacks outputs: expected {EMBEDDING_OUTPUT!r} and {FEATURES_OUTPUT!r}, "
                f"received {sorted(pool.shapes)}; train the embedder again with `beedex train`"
            )
        if pool.input_shape != (side_px, side_px, 3):
            raise BundleError(
                f"the network takes other photos than the bundle says: expected {(side_px, side_px, 3)}, received "
                f"{pool.input_shape}; train the embedder again with `beedex train`"
            )
        self._pool = pool
        self.fingerprint = fingerprint
        self.side_px = side_px
        self.dimension = pool.shapes[EMBEDDING_OUTPUT][0]
        self.parallelism = pool.parallelism

    @classmethod
    def open(cls, bundle: Bundle, *, threads: int | None = None) -> Self:
        """Compile a bundle's network (about a second for InceptionV3).

        Args:
            bundle: as `load_bundle` returns it.
            threads: how many CPU threads inference may use; None for all.
        """
        pool = InferencePool(bundle.network_path, threads=threads)
        return cls(pool, fingerprint=bundle.card.fingerprint, side_px=bundle.card.preprocessing.side_px)

    @classmethod
    def load(cls, path: Path | str, *, threads: int | None = None) -> Self:
        """Check every byte of a bundle and compile its network.

        Args:
            path: what `beedex train` wrote.
            threads: as for `open`.

        Raises:
            BundleError: the bundle is missing, damaged or of another version.
        """
        return cls.open(load_bundle(Path(path)), threads=threads)

    def embed_photo(self, photo: Photo) -> NDArray[np.float32]:
        """Return a photo's (D,) unit vector.

        Raises:
            PhotoError: it can't be read or decoded.
            ValueError: pixels are not (H, W, 3) uint8.
        """
        return self.submit(self.prepare_photo(photo)).result()

    def prepare_photo(self, photo: Photo) -> NDArray[np.uint8]:
        """Return what the embedder sees of a photo, (S, S, 3); raises as `embed_photo` does."""
        if isinstance(photo, np.ndarray):
            return fit(photo, self.side_px)
        data = photo if isinstance(photo, bytes) else read_photo(Path(photo))
        return prepare(data, side_px=self.side_px)

    def submit(self, image: NDArray[np.uint8]) -> "Future[NDArray[np.float32]]":
        """Start embedding one prepared photo.

        Args:
            image: (S, S, 3) uint8, as `prepare` returns it.

        Returns:
            A future of the (D,) unit vector; it completes on a thread of OpenVINO's.
        """
        return self._submit(image, lambda outputs: outputs[EMBEDDING_OUTPUT])

    def submit_whole(self, image: NDArray[np.uint8]) -> "Future[EmbeddedPhoto]":
        """Start the same inference as `submit`, and keep the features too."""
        return self._submit(
            image, lambda outputs: EmbeddedPhoto(vector=outputs[EMBEDDING_OUTPUT], features=outputs[FEATURES_OUTPUT])
        )

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed prepared photos.

        Args:
            images: (B, S, S, 3) uint8.

        Returns:
            (B, D) float32 unit vectors, in order.
        """
        return self._run(images, EMBEDDING_OUTPUT)

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the frozen backbone's pooled features, (B, F) float32, of unit norm."""
        return self._run(images, FEATURES_OUTPUT)

    def stream(
        self, images: Iterable[NDArray[np.uint8]], *, advance: Callable[[int], None]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Yield (embedding (D,), features (F,)) of each photo in order, with few photos in memory."""
        for outputs in self._pool.run(images):
            advance(1)
            yield outputs[EMBEDDING_OUTPUT], outputs[FEATURES_OUTPUT]

    def close(self) -> None:
        """Wait for what is running; nothing may be submitted afterwards."""
        self._pool.close()

    def _run(self, images: NDArray[np.uint8], output: str) -> NDArray[np.float32]:
        self._check(images.shape[1:], images.dtype)
        rows = [outputs[output] for outputs in self._pool.run(images)]
        return np.stack(rows) if rows else np.empty((0, *self._pool.shapes[output]), np.float32)

    def _submit(self, image: NDArray[np.uint8], take: Callable[[Outputs], Product]) -> "Future[Product]":
        self._check(image.shape, image.dtype)
        chained: Future[Product] = Future()
        chained.set_running_or_notify_cancel()
        self._pool.submit(image).add_done_callback(lambda done: _forward(done, take, chained))
        return chained

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[np.uint8]) -> None:
        expected = (self.side_px, self.side_px, 3)
        if shape != expected or dtype != np.uint8:
            raise ValueError(
                f"an image of {shape} {dtype} was given to the embedder, expected {expected} uint8: "
                "prepare photos with beedex.index.preprocessing.prepare"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _forward(done: "Future[Outputs]", take: Callable[[Outputs], Product], chained: "Future[Product]") -> None:
    error = done.exception()
    if error is not None:
        chained.set_exception(error)
    else:
        chained.set_result(take(done.result()))
