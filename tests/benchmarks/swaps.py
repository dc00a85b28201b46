"""What a swap costs those who ask meanwhile, and what it leaves in memory.

    python tests/benchmarks/swaps.py --bundle beedex-demo/embedder [--entries 20000] [--rounds 5] [--clients 32]

A server in a process of its own serves drawn snapshots: two of the given embedder, and one of another embedder that
takes as long, which is made from it. 32 clients, each on a connection of its own, ask one query after the other: either
vectors, or photos of which none comes twice. In each round the snapshot stays as it is for a while; is then swapped for
another of the same embedder, and back, again and again; and then for the other embedder with its snapshot, and back.
What is compared with the quiet stretch is requests that a swap fell into, its aftermath included.

Printed are medians and 99th percentiles; the ratio of the 99th percentiles, over all requests, and as the median of
those of the rounds, which one slow moment of the machine doesn't change; how many requests failed, and how many replies
had families of another snapshot than they named; and the server's memory. Ends with 1 if a request failed, a reply was
mixed, the rounds' ratio is above 2, or more memory is taken afterwards than by one copy of everything.

The clients take as much of the processor as the server. On a machine that does something else beside, the ratios say
little.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path

import grpc
import numpy as np
from PIL import Image
from served import (  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it by another name
    PeakWatch,
    ServerProcess,
    draw_snapshot,
    draw_vectors,
    open_channel,
    turn_bundle,
)

from beedex.index.bundle import load_bundle
from beedex.index.snapshots import activate_snapshot
from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc, types_pb2

NAMES = ("first", "second", "other")
FIRST, SECOND, OTHER = 1, 2, 3

SECONDS = {"vectors": 2.0, "photos": 12.0}

# After its answer, a swap is not over: what was served before is closed and freed.
AFTERMATH_S = 0.2
SETTLING_S = 2.0
DEADLINE_S = 60.0
MOST_RATIO = 2.0

# Of the memory after a quiet stretch. InceptionV3 takes a fourth of a server's.
MOST_GROWTH = 1.2

Asked = Callable[[], search_pb2.IdentifyRequest]
Swap = Callable[["Stretch", float], Coroutine[None, None, None]]


@dataclass
class Stretch:
    """What happened in one stretch of time; times are those of time.perf_counter().

    Attributes:
        requests: when each began and ended.
        swaps: when each began and ended.
        failures: of requests.
        mixed: how many replies held families of another snapshot than they named.
    """

    requests: list[tuple[float, float]] = field(default_factory=list)
    swaps: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    mixed: int = 0

    def list_latencies(self) -> list[float]:
        """Return the seconds that requests took; if there were swaps, only of those that one of them fell into."""
        if not self.swaps:
            return [ended - began for began, ended in self.requests]
        starts, ends = np.array(self.swaps).T
        latencies = []
        for began, ended in self.requests:
            # The first swap that was not over when the request began.
            place = np.searchsorted(ends + AFTERMATH_S, began)
            if place < len(starts) and starts[place] < ended:
                latencies.append(ended - began)
        return latencies


class Crowd:
    """Clients that ask one query after the other.

    Args:
        stubs: one for each.
        ask: makes a request.
    """

    def __init__(self, stubs: "list[search_pb2_grpc.SearchServiceAsyncStub]", ask: Asked) -> None:
        self._stubs, self._ask = stubs, ask

    async def run(self, seconds: float, swap: Swap | None = None) -> Stretch:
        """Ask for so many seconds, and swap meanwhile."""
        stretch, end = Stretch(), time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            for stub in self._stubs:
                group.create_task(self._ask_on(stub, stretch, end))
            if swap is not None:
                group.create_task(swap(stretch, end))
        return stretch

    async def _ask_on(self, stub: "search_pb2_grpc.SearchServiceAsyncStub", stretch: Stretch, end: float) -> None:
        while (began := time.perf_counter()) < end:
            try:
                reply = await stub.Identify(self._ask(), timeout=DEADLINE_S)
            except grpc.aio.AioRpcError as error:
                stretch.failures.append(f"{error.code().name}: {error.details()}")
            else:
                stretch.requests.append((began, time.perf_counter()))
                name = f"{NAMES[reply.origin.snapshot - 1]}-"
                families = (*(score.family for score in reply.families), *(it.entry.family for it in reply.neighbors))
                stretch.mixed += not families or not all(family.startswith(name) for family in families)


def swap_to(version: int, admin: "index_pb2_grpc.IndexServiceAsyncStub", pause_s: float) -> Swap:
    """Return what swaps to a snapshot and back."""

    async def swap(stretch: Stretch, end: float) -> None:
        while time.perf_counter() < end:
            for wanted in (version, FIRST):
                began = time.perf_counter()
                reply = await admin.ActivateSnapshot(index_pb2.ActivateSnapshotRequest(version=wanted))
                stretch.swaps.append((began, time.perf_counter()))
                if reply.origin.snapshot != wanted:
                    stretch.failures.append(f"snapshot {wanted} was activated, {reply.origin.snapshot} is served")
                await asyncio.sleep(pause_s)

    return swap


def main() -> int:
    """Print the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--entries", type=int, default=20_000, help="of each snapshot (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--queries", choices=tuple(SECONDS), action="append", help="only these")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds from one swap to the next (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index, own = Path(folder, "index"), load_bundle(arguments.bundle)
        other = turn_bundle(own, Path(folder, "other"))
        for seed, (bundle, name) in enumerate(zip((own, own, other), NAMES, strict=True)):
            draw_snapshot(index, bundle, name, arguments.entries, seed=seed)
        activate_snapshot(index, FIRST)
        asked = {"vectors": ask_vectors(own.card.dimension), "photos": ask_photos()}
        codes = []
        for kind in arguments.queries or asked:
            # Each kind has a server of its own, so that each tells of its own memory.
            with ServerProcess(index, "--set", "watch.log_level=warning") as server:
                codes.append(asyncio.run(compare(server, kind, asked[kind], arguments)))
    return max(codes)


def ask_vectors(dimension: int) -> Asked:
    """Return what makes requests with vectors."""
    vectors = draw_vectors(1000, dimension, seed=99)
    requests = [
        search_pb2.IdentifyRequest(
            query=types_pb2.Query(vector=types_pb2.Vector(values=vector.tobytes(), dimension=dimension))
        )
        for vector in vectors
    ]
    numbers = count()
    return lambda: requests[next(numbers) % len(requests)]


def ask_photos() -> Asked:
    """Return what makes requests with photos: one JPEG with another comment each time."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(coarse.repeat(20, 0).repeat(20, 1)).save(file, "JPEG", quality=90)
    jpeg, numbers = file.getvalue(), count()

    def ask() -> search_pb2.IdentifyRequest:
        # After the two bytes that begin every JPEG: a comment of 8 bytes.
        comment = b"\xff\xfe\x00\x0a" + next(numbers).to_bytes(8, "big")
        return search_pb2.IdentifyRequest(query=types_pb2.Query(photo=jpeg[:2] + comment + jpeg[2:]))

    return ask


async def compare(server: ServerProcess, kind: str, ask: Asked, arguments: argparse.Namespace) -> int:
    """Take turns between quiet stretches and those with swaps; print what came out and return the exit code."""
    async with AsyncExitStack() as stack:
        stubs = [search_pb2_grpc.SearchServiceStub(await open_channel(stack, server)) for _ in range(arguments.clients)]
        admin = index_pb2_grpc.IndexServiceStub(await open_channel(stack, server))
        ways: dict[str, Swap | None] = {
            "quiet": None,
            "snapshot": swap_to(SECOND, admin, arguments.pause),
            "embedder": swap_to(OTHER, admin, arguments.pause),
        }
        stretches: dict[str, list[Stretch]] = {name: [] for name in ways}
        memory: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        crowd = Crowd(stubs, ask)
        await crowd.run(SECONDS[kind] / 2)
        await asyncio.sleep(SETTLING_S)
        before_mb = server.rss_mb
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                with PeakWatch(server) as watch:
                    stretches[name].append(await crowd.run(SECONDS[kind], way))
                    await asyncio.sleep(SETTLING_S)
                memory[name].append((watch.peak_mb, server.rss_mb))
    print(f"{kind}, {arguments.clients} clients, snapshots of {arguments.entries} entries")
    worst = report_times(stretches)
    print(f"  memory before {before_mb:.0f} MB; " + "; ".join(tell_memory(name, memory[name]) for name in memory))
    one_copy_mb = max(before_mb, memory["quiet"][0][1])
    is_back = all(each[-1][1] <= MOST_GROWTH * one_copy_mb for each in memory.values())
    is_right = not any(it.failures or it.mixed for each in stretches.values() for it in each)
    return int(worst > MOST_RATIO or not is_back or not is_right)


def report_times(stretches: dict[str, list[Stretch]]) -> float:
    """Print a line for each way; return the largest ratio of 99th percentiles."""
    latencies = {name: [stretch.list_latencies() for stretch in each] for name, each in stretches.items()}
    quiet, ratios = latencies["quiet"], [1.0]
    print("  way       requests failed mixed swaps  a swap   median      p99   p99 ratio (pooled; median of rounds)")
    for name, each in stretches.items():
        pooled, swaps = [it for one in latencies[name] for it in one], [it for one in each for it in one.swaps]
        p50, p99 = np.percentile(pooled, [50, 99]) * 1000
        in_pool = p99 / (np.percentile([it for one in quiet for it in one], 99) * 1000)
        ratios.append(
            statistics.median(
                float(np.percentile(mine, 99) / np.percentile(other, 99))
                for mine, other in zip(latencies[name], quiet, strict=True)
            )
        )
        failures, mixed = [it for one in each for it in one.failures], sum(one.mixed for one in each)
        swap_ms = statistics.median(ended - began for began, ended in swaps) * 1000 if swaps else 0
        print(
            f"  {name:9} {len(pooled):8} {len(failures):6} {mixed:5} {len(swaps):5} {swap_ms:4.0f} ms "
            f"{p50:5.1f} ms {p99:5.1f} ms   {in_pool:.2f}; {ratios[-1]:.2f}"
        )
        for failure in failures[:3]:
            print(f"    {failure}")
    return max(ratios)


def tell_memory(name: str, measured: list[tuple[float, float]]) -> str:
    """Return a way's memory in words."""
    return f"{name}: peak {max(peak for peak, _ in measured):.0f}, afterwards {measured[-1][1]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
