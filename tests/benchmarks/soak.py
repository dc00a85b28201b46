"""Whether a server grows: a thousand swaps and two hundred thousand requests at once.

    python tests/benchmarks/soak.py [--swaps 1000] [--requests 200000] [--minutes 10]

A server in a process of its own serves drawn snapshots of two small embedders. 32 clients, each on a connection of its
own, ask by vector, by entry, by photos that come again and by others that don't, one by one and in streams; sometimes
they ask for what is refused, or don't wait for the answer. Meanwhile one snapshot after the other is activated, and
every other time that changes the embedder too. Both go on until there were enough of each.

Printed is what the process takes, as time goes on, and the slope of its memory with its 95 % interval (Theil and Sen's,
over what comes after the first quarter). Ends with 1 if even the lower end of the interval means more than --growth-mb
over the whole run, if there are clearly more threads, descriptors or mappings of deleted files in the last quarter than
there ever were in the second, if a request ended otherwise than it must, or if time is over.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count, cycle
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image
from scipy import stats
from served import (  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it by another name
    ServerProcess,
    Usage,
    draw_snapshot,
    draw_vectors,
    open_channel,
)

from beedex.index.bundle import load_bundle
from beedex.index.snapshots import activate_snapshot, load_snapshot
from beedex.v1 import (
    embedding_pb2,
    embedding_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    types_pb2,
)

# The tests' small bundle.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.conftest import TINY_DIMENSION, write_tiny_bundle

NAMES = ("first", "second", "other", "another")
CLIENTS = 32
ENTRIES = 2000
SAMPLES = 40
ITEMS = 20
DEADLINE_S = 60.0
IMPATIENT_S = 0.01

# Pools of threads grow late up to their size, and samples come while two engines are there.
SLACK = 4

OK = grpc.StatusCode.OK
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
LATE = grpc.StatusCode.DEADLINE_EXCEEDED
# By gRPC where the deadline had passed before the server got to see the request.
NOT_IN_TIME = (OK, LATE, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass
class Run:
    """What was done so far.

    Attributes:
        wanted: how many requests.
        wanted_swaps: how many swaps.
        requests: how many there were, by way of asking and code.
        swaps: how many there were.
        wrong: what ended otherwise than it must.
        samples: what the process took after so many requests.
    """

    wanted: int
    wanted_swaps: int
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    swaps: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, int, int, Usage]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether there was enough of both."""
        return self.requests.total() >= self.wanted and self.swaps >= self.wanted_swaps

    def note(self, way: str, code: grpc.StatusCode, expected: tuple[grpc.StatusCode, ...]) -> None:
        """Count a request."""
        self.requests[way, code.name] += 1
        if code not in expected:
            self.wrong[f"{way} ended in {code.name}"] += 1


class Client:
    """One that asks in all ways in turns.

    Args:
        channel: its own.
        run: is told of each request.
        number: of the client.
        entry_ids: of all snapshots alike.
    """

    def __init__(self, channel: grpc.aio.Channel, run: Run, number: int, entry_ids: list[str]) -> None:
        self._search: Any = search_pb2_grpc.SearchServiceStub(channel)
        self._embedding: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._run, self._entry_ids = run, entry_ids
        self._numbers = count(number * 1_000_000)
        self._vectors = draw_vectors(100, TINY_DIMENSION, number)
        self._jpeg = draw_jpeg(number % 4)

    async def ask_on(self) -> None:
        """Ask until there was enough."""
        ways: list[Callable[[], Awaitable[None]]] = [
            *(10 * [self._ask_by_vector]),
            *(4 * [self._ask_by_entry]),
            self._ask_by_known_photo,
            self._ask_by_photo,
            self._converse,
            self._ask_for_what_is_refused,
            self._ask_and_leave,
        ]
        for way in cycle(ways):
            if self._run.is_over:
                return
            await way()

    async def _identify(
        self, way: str, query: types_pb2.Query, *expected: grpc.StatusCode, deadline_s: float = DEADLINE_S
    ) -> None:
        try:
            reply = await self._search.Identify(search_pb2.IdentifyRequest(query=query, k=5), timeout=deadline_s)
        except grpc.aio.AioRpcError as error:
            self._run.note(way, error.code(), expected)
        else:
            self._check(way, reply, expected)

    def _check(self, way: str, reply: search_pb2.IdentifyResponse, expected: tuple[grpc.StatusCode, ...]) -> None:
        self._run.note(way, OK, expected)
        name = f"{NAMES[reply.origin.snapshot - 1]}-"
        if not all(score.family.startswith(name) for score in reply.families):
            self._run.wrong[f"{way} mixed snapshots"] += 1

    def _draw_vector(self) -> types_pb2.Query:
        values = self._vectors[next(self._numbers) % len(self._vectors)].tobytes()
        return types_pb2.Query(vector=types_pb2.Vector(values=values, dimension=TINY_DIMENSION))

    def _draw_photo(self) -> bytes:
        # What follows the end of a JPEG is no part of the picture, but makes it another photo.
        return self._jpeg + next(self._numbers).to_bytes(8, "big")

    async def _ask_by_vector(self) -> None:
        await self._identify("vector", self._draw_vector(), OK)

    async def _ask_by_entry(self) -> None:
        entry_id = self._entry_ids[next(self._numbers) % len(self._entry_ids)]
        await self._identify("entry", types_pb2.Query(entry_id=entry_id), OK)

    async def _ask_by_known_photo(self) -> None:
        await self._identify("known photo", types_pb2.Query(photo=self._jpeg), OK)

    async def _ask_by_photo(self) -> None:
        await self._identify("photo", types_pb2.Query(photo=self._draw_photo()), OK)

    async def _ask_for_what_is_refused(self) -> None:
        number = next(self._numbers)
        match number // 7 % 3:
            case 0:
                await self._identify("broken photo", types_pb2.Query(photo=self._draw_photo()[:-700]), OK, INVALID)
            case 1:
                await self._identify("unknown entry", types_pb2.Query(entry_id=f"{number:016x}"), NOT_FOUND)
            case _:
                await self._identify("empty query", types_pb2.Query(), INVALID)

    async def _ask_and_leave(self) -> None:
        await self._identify(
            "impatient photo", types_pb2.Query(photo=self._draw_photo()), *NOT_IN_TIME, deadline_s=IMPATIENT_S
        )

    async def _converse(self) -> None:
        async def list_items() -> AsyncIterator[embedding_pb2.EmbedStreamRequest]:
            for number in range(ITEMS):
                request = (
                    embedding_pb2.EmbedRequest(photo=self._draw_photo())
                    if number == 0
                    else embedding_pb2.EmbedRequest(entry_id=self._entry_ids[next(self._numbers) % ENTRIES])
                )
                yield embedding_pb2.EmbedStreamRequest(correlation_id=f"{number}", request=request)

        async for reply in self._embedding.EmbedStream(list_items(), timeout=DEADLINE_S):
            is_result = reply.WhichOneof("outcome") == "result"
            self._run.note("item", OK if is_result else grpc.StatusCode.UNKNOWN, (OK,))


async def swap_on(admin: Any, run: Run) -> None:
    """Activate one snapshot after the other, as often as fits to the requests."""
    # Every other time another embedder.
    for version in cycle((2, 3, 4, 1)):
        if run.is_over:
            return
        await admin.ActivateSnapshot(index_pb2.ActivateSnapshotRequest(version=version), timeout=DEADLINE_S)
        run.swaps += 1
        while run.swaps * run.wanted > run.requests.total() * run.wanted_swaps and not run.is_over:  # noqa: ASYNC110 - both are counted far too often for an event each time
            await asyncio.sleep(0.005)


async def sample_on(server: ServerProcess, run: Run) -> None:
    """Note what the process takes, now and again."""
    began_s = time.monotonic()
    print("  seconds  requests  swaps   RSS MB  threads  descriptors  mappings  of deleted files")
    while not run.is_over:
        if run.requests.total() >= len(run.samples) * run.wanted / SAMPLES:
            usage, seconds = server.measure(), time.monotonic() - began_s
            run.samples.append((seconds, run.requests.total(), run.swaps, usage))
            print(
                f"  {seconds:7.0f} {run.requests.total():9} {run.swaps:6} {usage.rss_mb:8.1f} {usage.threads:8} "
                f"{usage.descriptors:12} {usage.mappings:9} {usage.deleted:17}",
                flush=True,
            )
        await asyncio.sleep(0.01)


async def soak(server: ServerProcess, run: Run, entry_ids: list[str]) -> None:
    """Ask and swap until there was enough of both."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            client = Client(await open_channel(stack, server), run, number, entry_ids)
            group.create_task(client.ask_on())
        admin = index_pb2_grpc.IndexServiceStub(await open_channel(stack, server))
        group.create_task(swap_on(admin, run))
        group.create_task(sample_on(server, run))


def judge(run: Run, growth_mb: float) -> list[str]:
    """Print the slope, and return in what the server grew or failed."""
    quarter = len(run.samples) // 4
    later = run.samples[quarter:]
    requests = np.array([done for _, done, _, _ in later])
    fit: Any = stats.theilslopes([usage.rss_mb for *_, usage in later], requests)
    span = run.wanted
    print(
        f"  memory: {fit.slope * span:+.2f} MB over {span} requests and {run.wanted_swaps} swaps "
        f"(95 % interval {fit.low_slope * span:+.2f} to {fit.high_slope * span:+.2f})"
    )
    complaints = [f"{what}, {times} times" for what, times in run.wrong.items()]
    if fit.low_slope * span > growth_mb:
        complaints.append(f"memory grew: expected at most {growth_mb:g} MB")
    for name in ("threads", "descriptors", "deleted"):
        before = max(getattr(usage, name) for *_, usage in run.samples[quarter : 2 * quarter])
        after = float(np.median([getattr(usage, name) for *_, usage in run.samples[-quarter:]]))
        if after > before + SLACK:
            complaints.append(f"{name} grew: from at most {before} to {after:g}")
    return complaints


def main() -> int:
    """Print what the server takes; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--growth-mb", type=float, default=4.0)
    arguments = parser.parse_args()
    run = Run(arguments.requests, arguments.swaps)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder, "index")
        for seed, name in enumerate(NAMES):
            # The third and the fourth are the other embedder's.
            bundle = Path(folder, f"bundle-{seed // 2}")
            if not bundle.exists():
                write_tiny_bundle(bundle, seed=seed, calibration=None)
            draw_snapshot(index, load_bundle(bundle), name, ENTRIES, seed=0)
        activate_snapshot(index, 1)
        entries = load_snapshot(index, 1).entries
        entry_ids = [entry.entry_id for entry in entries.read(entries.ids)]
        with ServerProcess(index, "--threads", "1", "--set", "watch.log_level=error") as server:
            try:
                asyncio.run(asyncio.wait_for(soak(server, run, entry_ids), arguments.minutes * 60))
            except TimeoutError:
                run.wrong[f"time was over after {run.requests.total()} requests and {run.swaps} swaps"] += 1
    for (way, code), times in sorted(run.requests.items()):
        print(f"  {way:16} {code:20} {times:8}")
    complaints = judge(run, arguments.growth_mb)
    for complaint in complaints:
        print(f"  {complaint}")
    return int(bool(complaints))


def draw_jpeg(seed: int) -> bytes:
    """Return a small photo of coarse noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(coarse.repeat(10, 0).repeat(10, 1)).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
