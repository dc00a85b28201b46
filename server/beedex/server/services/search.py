"""SearchService: the family and the neighbors of a photo."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import Verdict
from beedex.index.embedded import EmbeddedPhoto
from beedex.index.searcher import Neighbor
from beedex.server.calls.queries import choose_families, choose_k, choose_side, unpack_vector
from beedex.server.calls.streams import Streams, attend_replies
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.engine import Engine, EngineSlot
from beedex.server.errors import InvalidRequestError
from beedex.server.photofiles import PhotoFiles
from beedex.server.services.entries import pack_entry
from beedex.server.services.origin import describe_origin, take_engine
from beedex.v1 import search_pb2, search_pb2_grpc, types_pb2

if TYPE_CHECKING:
    import grpc

__all__ = ["SearchService"]

STREAM_METHOD = "/beedex.v1.SearchService/IdentifyStream"
PHOTO_METHOD = "/beedex.v1.SearchService/GetPhoto"

VERDICTS = MappingProxyType(
    {
        Verdict.MATCH: search_pb2.VERDICT_MATCH,
        Verdict.AMBIGUOUS: search_pb2.VERDICT_AMBIGUOUS,
        Verdict.UNKNOWN: search_pb2.VERDICT_UNKNOWN,
    }
)


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """See search.proto."""

    def __init__(
        self, slot: EngineSlot, streams: Streams, photos: PhotoFiles, traffic: TrafficWatch, *, max_k: int
    ) -> None:
        self._slot, self._streams, self._photos, self._traffic = slot, streams, photos, traffic
        self._max_k = max_k

    async def Identify(  # noqa: N802 - the protocol's name
        self, request: search_pb2.IdentifyRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> search_pb2.IdentifyResponse:
        """Decide the family of a query."""
        return await self._identify(request, timeout_s=context.time_remaining(), flow=None)

    async def IdentifyStream(  # noqa: N802 - the protocol's name
        self,
        request_iterator: AsyncIterator[search_pb2.IdentifyStreamRequest],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[search_pb2.IdentifyStreamResponse]:
        """Decide the family of query after query."""
        flow = object()

        async def identify(request: search_pb2.IdentifyRequest) -> search_pb2.IdentifyResponse:
            return await self._identify(request, timeout_s=context.time_remaining(), flow=flow)

        answers = self._streams.answer(STREAM_METHOD, request_iterator, identify, search_pb2.IdentifyStreamResponse)
        async with aclosing(answers) as replies:
            async for reply in replies:
                yield reply

    async def _identify(
        self, request: search_pb2.IdentifyRequest, *, timeout_s: float | None, flow: object | None
    ) -> search_pb2.IdentifyResponse:
        engine = take_engine(self._slot, request.expectation)
        k = choose_k(request.k if request.HasField("k") else None, self._max_k)
        query, own_entry = await _resolve(engine, request.query, timeout_s, flow)
        answer = await engine.identify(query, k, exclude=own_entry)
        decision = answer.decision
        reply = search_pb2.IdentifyResponse(
            verdict=VERDICTS[decision.verdict],
            family=decision.family or "",
            probability=decision.probability,
            candidates=decision.candidates,
            reason=decision.reason,
            origin=describe_origin(engine),
        )
        for score in decision.families:
            packed = reply.families.add()
            packed.family, packed.probability, packed.similarity = score.family, score.probability, score.similarity
        _pack_neighbors(answer.neighbors, reply)
        return reply

    async def SearchNeighbors(  # noqa: N802 - the protocol's name
        self, request: search_pb2.SearchNeighborsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> search_pb2.SearchNeighborsResponse:
        """Find the entries most like a query."""
        engine = take_engine(self._slot, request.expectation)
        k = choose_k(request.k if request.HasField("k") else None, self._max_k)
        families = choose_families(request.families)
        query, own_entry = await _resolve(engine, request.query, context.time_remaining())
        vector = query.vector if isinstance(query, EmbeddedPhoto) else query
        neighbors = await engine.find_neighbors(vector, k, exclude=own_entry, families=families)
        reply = search_pb2.SearchNeighborsResponse(origin=describe_origin(engine))
        _pack_neighbors(neighbors, reply)
        return reply

    async def ListFamilies(  # noqa: N802 - the protocol's name
        self, request: search_pb2.ListFamiliesRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> search_pb2.ListFamiliesResponse:
        """List the families of the index."""
        del context
        engine = take_engine(self._slot, request.expectation)
        families = [
            search_pb2.Family(name=name, entries=entries)
            for name, entries in sorted(engine.searcher.families().items())
        ]
        return search_pb2.ListFamiliesResponse(families=families, origin=describe_origin(engine))

    async def GetPhoto(  # noqa: N802 - the protocol's name
        self, request: search_pb2.GetPhotoRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[search_pb2.GetPhotoResponse]:
        """Send an indexed photo, a header first."""
        del context
        with attend_replies(self._traffic, PHOTO_METHOD):
            engine = take_engine(self._slot, request.expectation)
            side_px = choose_side(request.max_side_px) if request.HasField("max_side_px") else None
            entry = await engine.fetch_entry(request.entry_id, field="entry_id")
            origin = describe_origin(engine)
            async with self._photos.show(entry, max_side_px=side_px) as photo:
                header = search_pb2.PhotoHeader(
                    entry=pack_entry(entry),
                    media_type=photo.media_type,
                    size_bytes=photo.size_bytes,
                    sha256=photo.sha256,
                )
                yield search_pb2.GetPhotoResponse(header=header, origin=origin)
                async for chunk in photo.chunks:
                    yield search_pb2.GetPhotoResponse(chunk=chunk, origin=origin)


async def _resolve(
    engine: Engine, query: types_pb2.Query, timeout_s: float | None, flow: object | None = None
) -> tuple[NDArray[np.float32] | EmbeddedPhoto, str | None]:
    """Return a query's (D,) unit vector, of a photo its features too, and the entry that it is, if it is one."""
    match query.WhichOneof("source"):
        case "photo":
            return await engine.embed(query.photo, field="query.photo", timeout_s=timeout_s, flow=flow), None
        case "vector":
            return unpack_vector(query.vector, engine.embedder.dimension), None
        case "entry_id":
            return await engine.fetch_vector(query.entry_id, field="query.entry_id"), query.entry_id
        case _:
            raise InvalidRequestError(
                "there is nothing to look for: expected a photo, a vector or an entry_id, received none of them",
                reason="SOURCE_MISSING",
                field="query.source",
            )


def _pack_neighbors(
    neighbors: Iterable[Neighbor], reply: search_pb2.IdentifyResponse | search_pb2.SearchNeighborsResponse
) -> None:
    # Messages that are made in their place cost half of those that are made first and copied there.
    for neighbor in neighbors:
        packed = reply.neighbors.add()
        packed.entry.CopyFrom(pack_entry(neighbor.entry))
        packed.similarity = neighbor.similarity
