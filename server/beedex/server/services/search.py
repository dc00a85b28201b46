"""SearchService: the family and the neighbors of a photo."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import Verdict
from beedex.index.embedded import EmbeddedPhoto
from beedex.index.searcher import Neighbor
from beedex.server.engine import Engine, EngineSlot
from beedex.server.errors import InvalidRequestError
from beedex.server.queries import choose_k, unpack_vector
from beedex.server.services.origin import describe_origin, take_engine
from beedex.v1 import search_pb2, search_pb2_grpc, types_pb2

if TYPE_CHECKING:
    import grpc

__all__ = ["SearchService"]

VERDICTS = MappingProxyType(
    {
        Verdict.MATCH: search_pb2.VERDICT_MATCH,
        Verdict.AMBIGUOUS: search_pb2.VERDICT_AMBIGUOUS,
        Verdict.UNKNOWN: search_pb2.VERDICT_UNKNOWN,
    }
)


class SearchService(search_pb2_grpc.SearchServiceServicer):
    """See search.proto."""

    def __init__(self, slot: EngineSlot, *, max_k: int) -> None:
        self._slot = slot
        self._max_k = max_k

    async def Identify(  # noqa: N802 - the protocol's name
        self, request: search_pb2.IdentifyRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> search_pb2.IdentifyResponse:
        """Decide the family of a query."""
        engine = take_engine(self._slot, request.expectation)
        k = choose_k(request.k if request.HasField("k") else None, self._max_k)
        query, own_entry = await _resolve(engine, request.query, context.time_remaining())
        answer = await engine.identify(query, k, exclude=own_entry)
        decision = answer.decision
        return search_pb2.IdentifyResponse(
            verdict=VERDICTS[decision.verdict],
            family=decision.family or "",
            probability=decision.probability,
            candidates=decision.candidates,
            reason=decision.reason,
            families=[
                search_pb2.FamilyScore(family=score.family, probability=score.probability, similarity=score.similarity)
                for score in decision.families
            ],
            neighbors=_pack_neighbors(answer.neighbors),
            origin=describe_origin(engine),
        )

    async def SearchNeighbors(  # noqa: N802 - the protocol's name
        self, request: search_pb2.SearchNeighborsRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> search_pb2.SearchNeighborsResponse:
        """Find the entries most like a query."""
        engine = take_engine(self._slot, request.expectation)
        k = choose_k(request.k if request.HasField("k") else None, self._max_k)
        query, own_entry = await _resolve(engine, request.query, context.time_remaining())
        vector = query.vector if isinstance(query, EmbeddedPhoto) else query
        neighbors = await engine.find_neighbors(vector, k, exclude=own_entry)
        return search_pb2.SearchNeighborsResponse(neighbors=_pack_neighbors(neighbors), origin=describe_origin(engine))

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


async def _resolve(
    engine: Engine, query: types_pb2.Query, timeout_s: float | None
) -> tuple[NDArray[np.float32] | EmbeddedPhoto, str | None]:
    """Return a query's (D,) unit vector, of a photo its features too, and the entry that it is, if it is one."""
    match query.WhichOneof("source"):
        case "photo":
            return await engine.embed(query.photo, field="query.photo", timeout_s=timeout_s), None
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


def _pack_neighbors(neighbors: Iterable[Neighbor]) -> list[types_pb2.Neighbor]:
    return [
        types_pb2.Neighbor(
            entry=types_pb2.Entry(
                entry_id=neighbor.entry.entry_id,
                family=neighbor.entry.family,
                path=neighbor.entry.path,
                group=neighbor.entry.group or "",
                species=neighbor.entry.species,
                source=neighbor.entry.source,
                license=neighbor.entry.license,
                credit=neighbor.entry.credit,
            ),
            similarity=neighbor.similarity,
        )
        for neighbor in neighbors
    ]
