"""Thirty-two clients who ask in every way there is, and know what each snapshot answers."""

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from beedex.index.searcher import Searcher
from beedex.index.versions import list_snapshots
from beedex.v1 import embedding_pb2, embedding_pb2_grpc, search_pb2, search_pb2_grpc, types_pb2

CLIENTS = 32
K = 3

# Of float32 numbers that went over different ways.
CLOSE = 1e-4

# Items of a stream that are under way; fewer than a server takes.
WINDOW = 4

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """What is known of a snapshot: of its entries, the vectors and families by entry id."""

    fingerprint: str
    vectors: Mapping[str, Vector]
    families: Mapping[str, str]

    def check_origin(self, origin: types_pb2.Origin) -> None:
        assert origin.fingerprint == self.fingerprint

    def check_neighbors(self, query: Vector, neighbors: Any, *, exclude: str | None = None) -> None:
        cosines = {entry_id: float(vector @ query) for entry_id, vector in self.vectors.items() if entry_id != exclude}
        best = sorted(cosines.values(), reverse=True)[:K]
        assert len(neighbors) == len(best)
        for neighbor, expected in zip(neighbors, best, strict=True):
            assert abs(neighbor.similarity - expected) < CLOSE
            assert abs(neighbor.similarity - cosines[neighbor.entry.entry_id]) < CLOSE
            assert neighbor.entry.family == self.families[neighbor.entry.entry_id]

    def check_vector(self, entry_id: str, vector: types_pb2.Vector) -> None:
        np.testing.assert_allclose(np.frombuffer(vector.values, "<f4"), self.vectors[entry_id], atol=CLOSE)


def read_truths(index_dir: Path) -> dict[int, Truth]:
    """Return what is known of each snapshot of an index, by version."""
    truths = {}
    for version in list_snapshots(index_dir):
        with Searcher.open(index_dir, version) as searcher:
            ids = searcher.snapshot.entries.ids
            entries = searcher.snapshot.entries.read(ids)
            vectors = searcher.snapshot.vectors.get(ids)
            names = [entry.entry_id for entry in entries]
            families = {entry.entry_id: entry.family for entry in entries}
            truths[version] = Truth(searcher.fingerprint, dict(zip(names, vectors, strict=True)), families)
    return truths


@dataclass(frozen=True)
class Question:
    """One query, and how its answer is judged by the truth that the answer names."""

    query: dict[str, Any]
    find_vector: Callable[[Truth], Vector]
    entry_id: str
    exclude: str | None = None

    def check(self, truth: Truth, reply: Any) -> None:
        truth.check_origin(reply.origin)
        if isinstance(reply, embedding_pb2.EmbedResponse):
            truth.check_vector(self.entry_id, reply.vector)
            return
        truth.check_neighbors(self.find_vector(truth), reply.neighbors, exclude=self.exclude)
        if isinstance(reply, search_pb2.IdentifyResponse):
            assert {score.family for score in reply.families} == set(truth.families.values())


@dataclass
class Crowd:
    """The clients.

    Attributes:
        truths: by version.
        photos: the bytes of indexed photos by entry id; each of them is in every snapshot.
        seen: how many right answers there were by way of asking and version.
        refused: which calls ended in an error, by way of asking, and when, in seconds of time.monotonic().
        ended: set it, and they leave once what they asked is answered.
        unanswered: how many items of streams had no answer when their stream ended.
    """

    truths: dict[int, Truth]
    photos: dict[str, bytes]
    seen: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    refused: list[tuple[str, float, grpc.aio.AioRpcError]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    unanswered: int = 0

    @classmethod
    def of(cls, index_dir: Path, gallery: Path) -> Self:
        """Make clients who know an index and the photos that are in each of its snapshots."""
        photos = [path.read_bytes() for path in sorted(gallery.rglob("*.jpg"))]
        return cls(read_truths(index_dir), {hashlib.sha256(photo).hexdigest()[:16]: photo for photo in photos})

    def __post_init__(self) -> None:
        self._numbers = count()
        self._changed = asyncio.Event()
        self._ways = [
            self._identify,
            self._find_neighbors,
            self._embed,
            self._identify_in_a_stream,
            self._embed_in_a_stream,
        ]

    async def run(self, address: str) -> None:
        """Ask until `ended` is set, or, each client, until it is refused; an answer that is not right raises."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                channel = await stack.enter_async_context(
                    grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
                )
                group.create_task(self._ask_on(self._ways[number % len(self._ways)], channel))

    async def until_all_saw(self, version: int) -> None:
        """Return when every way of asking was answered by this snapshot once more."""
        before = {name: counter[version] for name, counter in self.seen.items()}
        await self.until(
            lambda: (
                len(self.seen) == len(self._ways)
                and all(counter[version] > before.get(name, 0) for name, counter in self.seen.items())
            )
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when *is_so*, which is asked after each answer."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    async def _ask_on(
        self, way: Callable[[grpc.aio.Channel], Coroutine[None, None, None]], channel: grpc.aio.Channel
    ) -> None:
        try:
            while not self.ended.is_set():
                await way(channel)
        except grpc.aio.AioRpcError as error:
            self.refused.append((way.__name__.lstrip("_"), time.monotonic(), error))
            self._changed.set()

    def _make_question(self, *, has_vector: bool = True) -> Question:
        """Ask by photo, by photo that was never sent, by entry, or by vector, in turns."""
        number = next(self._numbers)
        entry_id = list(self.photos)[number % len(self.photos)]
        match number % (4 if has_vector else 3):
            case 0:
                return Question({"photo": self.photos[entry_id]}, lambda truth: truth.vectors[entry_id], entry_id)
            case 1:
                # What follows the end of a JPEG is no part of the picture.
                photo = self.photos[entry_id] + number.to_bytes(8, "big")
                return Question({"photo": photo}, lambda truth: truth.vectors[entry_id], entry_id)
            case 2:
                return Question({"entry_id": entry_id}, lambda truth: truth.vectors[entry_id], entry_id, entry_id)
            case _:
                dimension = len(next(iter(self.truths[1].vectors.values())))
                vector = np.random.default_rng(number).standard_normal(dimension).astype(np.float32)
                vector /= np.linalg.norm(vector)
                packed = types_pb2.Vector(values=vector.tobytes(), dimension=dimension)
                return Question({"vector": packed}, lambda _: vector, entry_id)

    def _check(self, way: str, question: Question, reply: Any) -> None:
        question.check(self.truths[reply.origin.snapshot], reply)
        self.seen[way][reply.origin.snapshot] += 1
        self._changed.set()

    async def _identify(self, channel: grpc.aio.Channel) -> None:
        question = self._make_question()
        request = search_pb2.IdentifyRequest(query=types_pb2.Query(**question.query), k=K)
        stub: Any = search_pb2_grpc.SearchServiceStub(channel)
        self._check("identify", question, await stub.Identify(request))

    async def _find_neighbors(self, channel: grpc.aio.Channel) -> None:
        question = self._make_question()
        request = search_pb2.SearchNeighborsRequest(query=types_pb2.Query(**question.query), k=K)
        stub: Any = search_pb2_grpc.SearchServiceStub(channel)
        self._check("find_neighbors", question, await stub.SearchNeighbors(request))

    async def _embed(self, channel: grpc.aio.Channel) -> None:
        question = self._make_question(has_vector=False)
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._check("embed", question, await stub.Embed(embedding_pb2.EmbedRequest(**question.query)))

    async def _identify_in_a_stream(self, channel: grpc.aio.Channel) -> None:
        stub: Any = search_pb2_grpc.SearchServiceStub(channel)

        def pack(name: str, question: Question) -> search_pb2.IdentifyStreamRequest:
            request = search_pb2.IdentifyRequest(query=types_pb2.Query(**question.query), k=K)
            return search_pb2.IdentifyStreamRequest(correlation_id=name, request=request)

        await self._converse("identify_in_a_stream", stub.IdentifyStream, self._make_question, pack)

    async def _embed_in_a_stream(self, channel: grpc.aio.Channel) -> None:
        stub: Any = embedding_pb2_grpc.EmbeddingServiceStub(channel)

        def pack(name: str, question: Question) -> embedding_pb2.EmbedStreamRequest:
            return embedding_pb2.EmbedStreamRequest(
                correlation_id=name, request=embedding_pb2.EmbedRequest(**question.query)
            )

        await self._converse("embed_in_a_stream", stub.EmbedStream, lambda: self._make_question(has_vector=False), pack)

    async def _converse(
        self, way: str, call: Any, make: Callable[[], Question], pack: Callable[[str, Question], Any]
    ) -> None:
        """Keep one stream open until the end."""
        asked: dict[str, Question] = {}
        places = asyncio.Semaphore(WINDOW)

        async def list_items() -> AsyncIterator[Any]:
            for number in count():
                await places.acquire()
                if self.ended.is_set():
                    return
                asked[f"{number}"] = question = make()
                yield pack(f"{number}", question)

        try:
            async for reply in call(list_items()):
                assert reply.WhichOneof("outcome") == "result", reply
                self._check(way, asked.pop(reply.correlation_id), reply.result)
                places.release()
        finally:
            self.unanswered += len(asked)
