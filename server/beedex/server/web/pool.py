"""Work with photos that goes beside the embedding lane: a thread, and a bounded line in front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import TypeVar

from beedex.server.errors import LaneFullError

__all__ = ["PhotoLine", "PhotoPool"]

# A page of a gallery asks for some fifty thumbnails at once, each of which takes some 10 ms.
MOST_WAITING = 128

BUSY_RETRY_AFTER_S = 1.0

Result = TypeVar("Result")


class PhotoLine:
    """Counts who waits for a thread, and refuses who would be one too many."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most, self._waiting = most, 0

    @asynccontextmanager
    async def stand(self) -> AsyncIterator[None]:
        """Stand in the line while the block runs.

        Raises:
            LaneFullError: too many do.
        """
        if self._waiting >= self._most:
            raise LaneFullError(
                f"too many photos are waiting to be shown: expected fewer than {self._most}; try again in "
                f"{BUSY_RETRY_AFTER_S:g} s",
                reason="PHOTOS_WAITING",
                values={"most": self._most},
                retry_after_s=BUSY_RETRY_AFTER_S,
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


class PhotoPool:
    """One thread, with a line in front of it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beedex-web")
        self._line = PhotoLine()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Return what *work* comes to; what nobody waits for any more isn't begun.

        Raises:
            LaneFullError: too much of it waits.
        """
        async with self._line.stand():
            return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, work)

    def close(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown(cancel_futures=True)
