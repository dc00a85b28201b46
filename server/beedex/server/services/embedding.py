"""EmbeddingService: photos to vectors."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beedex.server.calls.streams import Streams
from beedex.server.engine import EngineSlot
from beedex.server.errors import InvalidRequestError
from beedex.server.services.origin import describe_origin, take_engine
from beedex.v1 import embedding_pb2, embedding_pb2_grpc, types_pb2

if TYPE_CHECKING:
    import grpc

__all__ = ["EmbeddingService"]

STREAM_METHOD = "/beedex.v1.EmbeddingService/EmbedStream"


class EmbeddingService(embedding_pb2_grpc.EmbeddingServiceServicer):
    """See embedding.proto."""

    def __init__(self, slot: EngineSlot, streams: Streams) -> None:
        self._slot, self._streams = slot, streams

    async def Embed(  # noqa: N802 - the protocol's name
        self, request: embedding_pb2.EmbedRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> embedding_pb2.EmbedResponse:
        """Embed a photo or fetch an entry's vector."""
        return await self._embed(request, timeout_s=context.time_remaining(), flow=None)

    async def EmbedStream(  # noqa: N802 - the protocol's name
        self,
        request_iterator: AsyncIterator[embedding_pb2.EmbedStreamRequest],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[embedding_pb2.EmbedStreamResponse]:
        """Embed photo after photo."""
        flow = object()

        async def embed(request: embedding_pb2.EmbedRequest) -> embedding_pb2.EmbedResponse:
            return await self._embed(request, timeout_s=context.time_remaining(), flow=flow)

        answers = self._streams.answer(STREAM_METHOD, request_iterator, embed, embedding_pb2.EmbedStreamResponse)
        async with aclosing(answers) as replies:
            async for reply in replies:
                yield reply

    async def _embed(
        self, request: embedding_pb2.EmbedRequest, *, timeout_s: float | None, flow: object | None
    ) -> embedding_pb2.EmbedResponse:
        engine = take_engine(self._slot, request.expectation)
        match request.WhichOneof("source"):
            case "photo":
                embedded = await engine.embed(request.photo, field="photo", timeout_s=timeout_s, flow=flow)
                vector = embedded.vector
            case "entry_id":
                vector = await engine.fetch_vector(request.entry_id, field="entry_id")
            case _:
                raise InvalidRequestError(
                    "there is nothing to embed: expected a photo or an entry_id, received neither",
                    reason="SOURCE_MISSING",
                    field="source",
                )
        return embedding_pb2.EmbedResponse(vector=_pack_vector(vector), origin=describe_origin(engine))


def _pack_vector(vector: NDArray[np.float32]) -> types_pb2.Vector:
    return types_pb2.Vector(values=vector.astype("<f4", copy=False).tobytes(), dimension=len(vector))
