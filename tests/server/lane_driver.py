"""A lane that a test drives by hand: it decides when a stage finishes and what time it is."""

import asyncio
from concurrent.futures import Future
from typing import Any

from beedex.server.lane.cache import EmbeddingCache
from beedex.server.lane.lane import EmbeddingLane


class HandDriven:
    """A stage whose work the test finishes."""

    def __init__(self, parallelism):
        self.parallelism: int = parallelism
        self.started: list[tuple[Any, Future[Any]]] = []

    def submit(self, material: Any, /) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.started.append((material, future))
        return future

    def finish(self, number, product):
        self.started[number][1].set_result(product)

    def works(self):
        return [material for material, _ in self.started]

    def running(self):
        return [future for _, future in self.started if not future.done()]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def run(scenario):
    """Run it; a lane that forgets someone fails the test instead of hanging it."""
    return asyncio.run(asyncio.wait_for(scenario(), timeout=20))


async def settle():
    """Let everything run that can run now: callbacks from futures take a few turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


def make_lane(*, decoders=1, embedders=1, capacity=8, cache_bytes=0) -> tuple[Any, HandDriven, HandDriven, Clock]:
    decoder, embedder, clock = HandDriven(decoders), HandDriven(embedders), Clock()
    cache = EmbeddingCache(cache_bytes, len) if cache_bytes else None
    lane = EmbeddingLane(decoder, embedder, capacity=capacity, cache=cache, clock=clock)
    return lane, decoder, embedder, clock


async def embed_one(lane, decoder, embedder, clock, *, takes_s=0.1, photo=b"photo"):
    """Take one photo through a lane that is empty."""
    answer = asyncio.create_task(lane.embed(photo))
    await settle()
    clock.now += takes_s
    decoder.finish(-1, photo + b"'s image")
    await settle()
    embedder.finish(-1, photo + b"'s vector")
    return await answer
