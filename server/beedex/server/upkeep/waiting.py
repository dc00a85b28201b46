"""The first engine: loaded at once, or waited for where the configuration says so."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from beedex.index.errors import BeedexError
from beedex.server.config import ServerConfig
from beedex.server.engine import Engine, EngineSlot
from beedex.server.upkeep.following import SECONDS_BETWEEN_LOOKS, TRIES_APART
from beedex.server.upkeep.loading import LoadingThread
from beedex.server.watching.readiness import Readiness

__all__ = ["load_first"]

log = logging.getLogger(__name__)


async def load_first(
    config: ServerConfig,
    load: Callable[[ServerConfig], Engine],
    *,
    thread: LoadingThread,
    slot: EngineSlot,
    readiness: Readiness,
    stop: asyncio.Event,
) -> bool:
    """Load what is to be served first, and put it into its place.

    Args:
        config: names the index, and says whether to wait for it.
        load: opens an engine.
        thread: where that is done.
        slot: gets the engine; tells callers until then that there is no index.
        readiness: tells everybody else, and why.
        stop: ends the waiting.

    Returns:
        Whether there is an engine; not if *stop* was set before. It is not returned, since whoever keeps it keeps its
        memory when another took its place.

    Raises:
        BeedexError: it can't be loaded, and is not to be waited for.
    """
    while not stop.is_set():
        began_s = time.monotonic()
        try:
            slot.put(await thread.run(load, config))
        except BeedexError as error:
            if not config.wait_for_index:
                raise
            slot.note_no_index()
            if str(error) != readiness.problem:
                log.warning("waiting for an index to serve: %s", error)
            readiness.wait(str(error))
        else:
            return True
        pause_s = max(SECONDS_BETWEEN_LOOKS, TRIES_APART * (time.monotonic() - began_s))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
    return False
