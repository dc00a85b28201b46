"""The embedding lane: the bounded way of photos through decoding and inference.

A photo goes through two stages, decoding on threads and inference in OpenVINO's requests. Each stage runs as many at
once as it has places; the others wait in order. What is admitted is bounded: one photo more is refused at the door,
which costs nothing. A photo whose deadline passed, or whose caller went away, leaves the line without being worked on.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from beedex.server.errors import LaneFullError, LateError

__all__ = ["EmbeddingLane", "PhotoDecoder", "PhotoEmbedder", "ThreadedDecoder"]

# What a refused caller is told to wait: in a second two cores embed a quarter of a full lane.
RETRY_AFTER_S = 1.0

Work = TypeVar("Work")
Product = TypeVar("Product")
Embedded = TypeVar("Embedded")


class PhotoDecoder(Protocol):
    """From the bytes of a photo to what the embedder takes."""

    @property
    def parallelism(self) -> int:
        """How many photos are decoded at once."""
        ...

    def submit(self, photo: bytes, /) -> "Future[NDArray[np.uint8]]":
        """Start decoding; the future holds (S, S, 3) uint8 or a PhotoError."""
        ...


class PhotoEmbedder(Protocol[Embedded]):
    """From a prepared photo to what is made of it, such as its vector."""

    @property
    def parallelism(self) -> int:
        """How many photos are embedded at once; one more `submit` may block."""
        ...

    def submit(self, image: NDArray[np.uint8], /) -> "Future[Embedded]":
        """Start embedding (S, S, 3) uint8."""
        ...


class ThreadedDecoder:
    """A `PhotoDecoder` that calls a function on threads of its own (Pillow releases the GIL while it decodes).

    Args:
        prepare: from the bytes of a photo to (S, S, 3) uint8.
        threads: how many photos are decoded at once.
    """

    def __init__(self, prepare: Callable[[bytes], NDArray[np.uint8]], *, threads: int) -> None:
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="beedex-decode")
        self.parallelism = threads

    def submit(self, photo: bytes) -> "Future[NDArray[np.uint8]]":
        """Start decoding."""
        return self._pool.submit(self._prepare, photo)

    def close(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown()


class EmbeddingLane(Generic[Embedded]):
    """Takes photos through decoding and inference, at most `capacity` of them at a time; for one event loop.

    Args:
        decoder: the first stage.
        embedder: the second.
        capacity: how many photos may be in the lane, those being worked on included.
        clock: seconds that never go back; what deadlines are measured by.

    Attributes:
        depth: how many photos are in the lane now.
    """

    def __init__(
        self,
        decoder: PhotoDecoder,
        embedder: PhotoEmbedder[Embedded],
        *,
        capacity: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.depth = 0
        self._capacity = capacity
        self._clock = clock
        self._decoder = decoder
        self._embedder = embedder
        # A semaphore's waiters are served in the order of their arrival, and a cancelled one leaves the line.
        self._decoding = asyncio.Semaphore(decoder.parallelism)
        self._embedding = asyncio.Semaphore(embedder.parallelism)

    async def embed(self, photo: bytes, *, timeout_s: float | None = None) -> Embedded:
        """Return what the embedder makes of a photo.

        Args:
            photo: the bytes of an image file.
            timeout_s: how long the caller waits; None for as long as it takes.

        Raises:
            LaneFullError: at once, when the lane is full.
            LateError: the time was over before the photo's turn came.
            PhotoError: the photo can't be used.
        """
        return await self._admit(partial(self._decode_and_embed, photo), timeout_s)

    async def embed_image(
        self, image: NDArray[np.uint8], *, timeout_s: float | None = None, flow: object | None = None
    ) -> Embedded:
        """Return what the embedder makes of a photo that is prepared already, (S, S, 3) uint8; otherwise as `embed`."""
        del flow
        return await self._admit(partial(self._pass, self._embedding, self._embedder.submit, image), timeout_s)

    async def _admit(self, work: Callable[[float], Awaitable[Embedded]], timeout_s: float | None) -> Embedded:
        if self.depth >= self._capacity:
            raise LaneFullError(
                f"too many photos are waiting: expected fewer than {self._capacity}, found {self.depth}; "
                f"try again in {RETRY_AFTER_S:g} s",
                reason="LANE_FULL",
                values={"capacity": self._capacity, "depth": self.depth},
                retry_after_s=RETRY_AFTER_S,
            )
        deadline = math.inf if timeout_s is None else self._clock() + timeout_s
        self.depth += 1
        try:
            return await work(deadline)
        finally:
            self.depth -= 1

    async def _decode_and_embed(self, photo: bytes, deadline: float) -> Embedded:
        image = await self._pass(self._decoding, self._decoder.submit, photo, deadline)
        return await self._pass(self._embedding, self._embedder.submit, image, deadline)

    async def _pass(
        self, places: asyncio.Semaphore, submit: "Callable[[Work], Future[Product]]", work: Work, deadline: float
    ) -> Product:
        """Wait for a place in a stage, work there, and leave it."""
        await places.acquire()
        try:
            self._drop_if_late(deadline)
            running = submit(work)
        except BaseException:
            places.release()
            raise
        # The place is free when the work is done, not when the caller stops waiting for it: otherwise the next submit
        # would block the event loop.
        loop = asyncio.get_running_loop()
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(places.release))
        return await asyncio.shield(asyncio.wrap_future(running))

    def _drop_if_late(self, deadline: float) -> None:
        if self._clock() >= deadline:
            raise LateError(
                "the deadline passed while the photo waited for its turn; allow more time, or send fewer at once",
                reason="DEADLINE_PASSED",
            )
