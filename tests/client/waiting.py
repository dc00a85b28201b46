"""To wait for what happens in another thread or task, and to see what is left running."""

import asyncio
import threading
import time

WAIT_S = 20.0


def wait_until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.005)


def list_threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("beedex-")}


async def settle(before, *, within_s=WAIT_S):
    """Return the tasks beyond those of *before* that don't end."""
    tasks = asyncio.all_tasks() - before
    return (await asyncio.wait(tasks, timeout=within_s))[1] if tasks else set()
