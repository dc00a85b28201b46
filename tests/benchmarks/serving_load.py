"""The callers of serving.py, in a process of their own: closed loops, open loops, and one call after the other."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np

from beedex.v1 import search_pb2, types_pb2

__all__ = ["IDENTIFY", "SEARCH", "Outcome", "Payload", "Task", "serve_tasks"]

IDENTIFY = "/beedex.v1.SearchService/Identify"
SEARCH = "/beedex.v1.SearchService/SearchNeighbors"

# A JPEG's comment segment that makes each photo one of its own: marker, length, eight bytes.
COMMENT = b"\xff\xfe\x00\x0a"

CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be called, and how.

    Attributes:
        address: HOST:PORT.
        method: the RPC's full name.
        photos: each call brings one of them, made different from all others; empty for vectors.
        query: the bytes that each call brings instead.
        callers: how many call one after the other; 0 in an open loop.
        rate: calls a second of an open loop.
        deadline_s: of each call; None for none.
        warm_s: how long calls go on before they count.
        seconds: how long they count.
    """

    address: str
    method: str
    photos: tuple[bytes, ...] = ()
    query: bytes = b""
    callers: int = 0
    rate: float = 0.0
    deadline_s: float | None = None
    warm_s: float = 0.5
    seconds: float = 2.0


@dataclass
class Outcome:
    """What became of the calls that counted.

    Attributes:
        seconds: how long they counted.
        cpu_s: what this process took of the processors meanwhile.
        latencies_s: of each call, by the code that it ended with.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    latencies_s: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_s.get("OK", ())) / self.seconds


class Payload:
    """Makes the bytes of the calls."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._count = time.monotonic_ns()

    def make(self) -> bytes:
        """Return the bytes of the next call."""
        if not self._task.photos:
            return self._task.query
        self._count += 1
        photo = self._task.photos[self._count % len(self._task.photos)]
        marked = photo[:2] + COMMENT + self._count.to_bytes(8, "big") + photo[2:]
        return search_pb2.IdentifyRequest(query=types_pb2.Query(photo=marked)).SerializeToString()


class _Caller:
    """Calls as a task says, and keeps what became of the calls that began while they counted."""

    def __init__(self, task: Task, channel: grpc.aio.Channel) -> None:
        self._task = task
        self._payload = Payload(task)
        self._method: Any = channel.unary_unary(task.method)
        self._outcome = Outcome(seconds=task.seconds)
        self._begin_s = time.perf_counter() + task.warm_s

    async def run(self) -> Outcome:
        loops = self._close_loop if self._task.callers else self._open_loop
        measuring = asyncio.create_task(self._measure())
        await loops()
        await measuring
        return self._outcome

    async def _measure(self) -> None:
        await asyncio.sleep(self._begin_s - time.perf_counter())
        began_s = time.process_time()
        await asyncio.sleep(self._begin_s + self._task.seconds - time.perf_counter())
        self._outcome.cpu_s = time.process_time() - began_s

    @property
    def _end_s(self) -> float:
        return self._begin_s + self._task.seconds

    async def _close_loop(self) -> None:
        async def call_on() -> None:
            while time.perf_counter() < self._end_s:
                await self._call(by_end=True)

        await asyncio.gather(*(call_on() for _ in range(self._task.callers)))

    async def _open_loop(self) -> None:
        gaps = np.random.default_rng(0).exponential(1 / self._task.rate, 1_000_000)
        calls, due_s = set(), time.perf_counter()
        for gap in gaps:
            due_s += float(gap)
            if due_s > self._end_s:
                break
            await asyncio.sleep(due_s - time.perf_counter())
            call = asyncio.create_task(self._call(by_end=False))
            calls.add(call)
            call.add_done_callback(calls.discard)
        if calls:
            await asyncio.wait(calls)

    async def _call(self, *, by_end: bool) -> None:
        """Call once; it counts by its end, or else by its beginning."""
        request, began_s, code = self._payload.make(), time.perf_counter(), "OK"
        try:
            await self._method(request, timeout=self._task.deadline_s)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        ended_s = time.perf_counter()
        if self._begin_s <= (ended_s if by_end else began_s) < self._end_s:
            self._outcome.latencies_s.setdefault(code, []).append(ended_s - began_s)


async def _run(task: Task) -> Outcome:
    async with grpc.aio.insecure_channel(task.address, options=CHANNEL_OPTIONS) as channel:
        await channel.channel_ready()
        return await _Caller(task, channel).run()


def serve_tasks(pipe: Connection) -> None:
    """Carry out what comes through the pipe, until it closes."""
    while (task := pipe.recv()) is not None:
        pipe.send(asyncio.run(_run(task)))


def count_codes(outcome: Outcome) -> Counter[str]:
    """Return how many calls ended with each code."""
    return Counter({code: len(each) for code, each in outcome.latencies_s.items()})
