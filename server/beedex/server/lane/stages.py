"""The two stages of the embedding lane, decoding photos and running the network on them: so many at once, in order."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from beedex.server.calls.work import Stage, note_stage

__all__ = ["BoundedStage", "StageRunner", "ThreadedDecoder"]

Material = TypeVar("Material")
Material_contra = TypeVar("Material_contra", contravariant=True)
Product = TypeVar("Product")


class StageRunner(Protocol[Material_contra, Product]):
    """What does a stage's work: from the bytes of a photo to (S, S, 3) uint8, or from there to an embedding."""

    @property
    def parallelism(self) -> int:
        """How many are worked on at once; one more `submit` may block."""
        ...

    def submit(self, material: Material_contra, /) -> "Future[Product]":
        """Start working on one."""
        ...


class ThreadedDecoder:
    """Decodes by a function, on threads of its own (Pillow releases the GIL while it decodes).

    Args:
        prepare: from the bytes of a photo to (S, S, 3) uint8, or a PhotoError.
        threads: how many photos are decoded at once.
    """

    def __init__(self, prepare: Callable[[bytes], NDArray[np.uint8]], *, threads: int) -> None:
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="beedex-decode")
        self.parallelism = threads

    def submit(self, photo: bytes, /) -> "Future[NDArray[np.uint8]]":
        """Start decoding."""
        return self._pool.submit(self._prepare, photo)

    def close(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown()


class BoundedStage(Generic[Material, Product]):
    """A stage with as many places as its runner works on at once; for one event loop.

    Args:
        stage: what it is called in the work at hand.
        runner: does the work.
        clock: that of the stages noted.
    """

    def __init__(
        self, stage: Stage, runner: StageRunner[Material, Product], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stage = stage
        self._runner = runner
        self._clock = clock
        # A semaphore's waiters are served in the order of their arrival, and a cancelled one leaves the line.
        self._places = asyncio.Semaphore(runner.parallelism)

    async def run(self, material: Material, *, before: Callable[[], None]) -> Product:
        """Wait for a place, work there, and leave it; the waiting and the work are noted.

        Args:
            material: what is worked on.
            before: is called when there is a place; what it raises comes in place of the work.
        """
        arrived_s = self._clock()
        await self._places.acquire()
        began_s = self._clock()
        if began_s > arrived_s:
            note_stage(Stage.QUEUE, arrived_s, began_s)
        try:
            before()
            running = self._runner.submit(material)
        except BaseException:
            self._places.release()
            raise
        return await self._finish(running, began_s)

    async def _finish(self, running: "Future[Product]", began_s: float) -> Product:
        loop, ended_s = asyncio.get_running_loop(), math.nan
        product: asyncio.Future[Product] = loop.create_future()

        # These functions are given what is done instead of holding it, since it holds them: only the garbage collector
        # would free them then, and a former embedder with them.
        def conclude(done: "Future[Product]") -> None:
            # The place is free when the work is done, not when the caller stops waiting for it: otherwise the next
            # submit would block the event loop.
            self._places.release()
            if product.cancelled():
                return
            error = done.exception()
            if error is None:
                product.set_result(done.result())
            else:
                product.set_exception(error)

        def hand_over(done: "Future[Product]") -> None:
            nonlocal ended_s
            ended_s = self._clock()
            loop.call_soon_threadsafe(conclude, done)

        running.add_done_callback(hand_over)
        try:
            return await product
        finally:
            # Work that nobody waits for any more is not over yet.
            note_stage(self._stage, began_s, self._clock() if math.isnan(ended_s) else ended_s)
