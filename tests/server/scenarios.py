"""Running what happens in an event loop, for a bounded time: a server that never answers fails its test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

TIMEOUT_S = 60
SECONDS_BETWEEN_POLLS = 0.005


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """Return what a scenario comes to."""

    async def bounded() -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            return await scenario()

    return asyncio.run(bounded())


async def until(is_so: Callable[[], object]) -> None:
    """Return when what another thread or process brings about is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(SECONDS_BETWEEN_POLLS)
