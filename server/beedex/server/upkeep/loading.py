"""The thread that loads beside the requests, and gives way to them."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

__all__ = ["LoadingThread"]

# A thread of niceness 5 gets a quarter of a core that one of 0 wants too, so that it holds up nobody for long who waits
# for something that it has, as the interpreter's lock. On two cores that 32 clients and their vector queries kept busy,
# the 99th percentile was 1.8 times the quiet one while another InceptionV3 took the place of the former, and is 1.1
# times with it. The network's own threads inherit it: beside as many photos as can be inferred, 640 vectors a second
# were answered in place of 320, and 20 photos in place of 24; of photos alone as many as before, 31 a second.
NICENESS = 5
MOST_NICENESS = 19

Result = TypeVar("Result")


class LoadingThread:
    """Does one thing after the other, with less of the processor than the requests get."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beedex-load", initializer=_give_way)

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call *function* on the thread, in the context at hand; what was begun goes on if the caller leaves."""
        call = partial(copy_context().run, function, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for what is running."""
        self._pool.shutdown()


def _give_way() -> None:
    # Elsewhere than on Linux, niceness is the whole process's.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(niceness + NICENESS, MOST_NICENESS))
