"""How much faster identify_many is than a loop of identify, with both clients.

    .venv/bin/beedex serve --index DIR --set lane.cache_mb=0
    .venv/bin/python tests/benchmarks/identify_many.py --photos DIR

It prints photos a second in the loop, and of identify_many how many times that, each the median of rounds that take
turns. A server with an embedding cache would answer the second round out of it.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from beedex.client import AsyncClient, Client


def loop(target: str, photos: list[bytes], in_flight: int) -> float:
    """Return the seconds that one call after the other takes."""
    del in_flight
    with Client(target) as client:
        client.status()
        started = time.perf_counter()
        for photo in photos:
            client.identify(photo)
        return time.perf_counter() - started


def stream(target: str, photos: list[bytes], in_flight: int) -> float:
    """Return the seconds of `Client.identify_many`."""
    with Client(target) as client:
        client.status()
        started = time.perf_counter()
        for outcome in client.identify_many(photos, in_flight=in_flight):
            outcome.unwrap()
        return time.perf_counter() - started


def stream_async(target: str, photos: list[bytes], in_flight: int) -> float:
    """Return the seconds of `AsyncClient.identify_many`."""

    async def measure() -> float:
        async with AsyncClient(target) as client:
            await client.status()
            started = time.perf_counter()
            async for outcome in client.identify_many(photos, in_flight=in_flight):
                outcome.unwrap()
            return time.perf_counter() - started

    return asyncio.run(measure())


WAYS: dict[str, Callable[[str, list[bytes], int], float]] = {
    "loop of identify": loop,
    "Client.identify_many": stream,
    "AsyncClient.identify_many": stream_async,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="127.0.0.1:50051", help="the server")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEG files")
    parser.add_argument("--most", type=int, default=60, help="how many of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=32)
    options = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(options.photos.rglob("*.jpg"))[: options.most]]
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, measure in WAYS.items():
            seconds[way].append(measure(options.target, photos, options.in_flight))
    base_s = statistics.median(seconds["loop of identify"])
    for way, taken in seconds.items():
        median_s = statistics.median(taken)
        print(f"{way:26} {len(photos) / median_s:8.1f} photos/s  {base_s / median_s:5.2f} x")


if __name__ == "__main__":
    main()
