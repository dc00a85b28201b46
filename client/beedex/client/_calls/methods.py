"""The RPCs of beedex.v1, and which of them may be made twice.

A call is repeated by itself only where a second time neither changes more than the first nor tells another answer: when
a connection breaks, nobody knows whether the server had done the work already. So reading is repeated, and putting
entries, which says of each what it is. Not repeated are DeleteEntries (it would answer that what it deleted was never
there), ActivateSnapshot (it would name the wrong former snapshot), RollbackSnapshot (it would go back two) and Rebuild
(another build would begin). Streams of items are not repeated as a whole either: gRPC would have to keep them all.

A server that refuses a call at its door, with RESOURCE_EXHAUSTED and RetryInfo, has done nothing: any unary call is
repeated after that.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from google.protobuf.message import Message

from beedex.v1 import embedding_pb2, index_pb2, search_pb2

__all__ = [
    "ACTIVATE_SNAPSHOT",
    "DELETE_ENTRIES",
    "EMBED",
    "EMBED_STREAM",
    "GET_PHOTO",
    "GET_STATUS",
    "IDENTIFY",
    "IDENTIFY_STREAM",
    "LIST_FAMILIES",
    "LIST_SNAPSHOTS",
    "METHODS",
    "REBUILD",
    "ROLLBACK_SNAPSHOT",
    "SEARCH_NEIGHBORS",
    "UPSERT_ENTRIES",
    "Method",
]

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Reply]):
    """An RPC.

    Attributes:
        service: without the package, such as SearchService.
        name: such as Identify.
        request: its message.
        reply: its message.
        is_repeatable: whether a call may be made again when nobody knows what became of it.
    """

    service: str
    name: str
    request: type[Request]
    reply: type[Reply]
    is_repeatable: bool = field(default=False, kw_only=True)

    @property
    def path(self) -> str:
        """What gRPC calls it."""
        return f"/beedex.v1.{self.service}/{self.name}"


_EMBEDDING, _SEARCH, _INDEX = "EmbeddingService", "SearchService", "IndexService"

EMBED = Method(_EMBEDDING, "Embed", embedding_pb2.EmbedRequest, embedding_pb2.EmbedResponse, is_repeatable=True)
EMBED_STREAM = Method(_EMBEDDING, "EmbedStream", embedding_pb2.EmbedStreamRequest, embedding_pb2.EmbedStreamResponse)
IDENTIFY = Method(_SEARCH, "Identify", search_pb2.IdentifyRequest, search_pb2.IdentifyResponse, is_repeatable=True)
IDENTIFY_STREAM = Method(_SEARCH, "IdentifyStream", search_pb2.IdentifyStreamRequest, search_pb2.IdentifyStreamResponse)
SEARCH_NEIGHBORS = Method(
    _SEARCH,
    "SearchNeighbors",
    search_pb2.SearchNeighborsRequest,
    search_pb2.SearchNeighborsResponse,
    is_repeatable=True,
)
LIST_FAMILIES = Method(
    _SEARCH, "ListFamilies", search_pb2.ListFamiliesRequest, search_pb2.ListFamiliesResponse, is_repeatable=True
)
GET_PHOTO = Method(_SEARCH, "GetPhoto", search_pb2.GetPhotoRequest, search_pb2.GetPhotoResponse, is_repeatable=True)
GET_STATUS = Method(_INDEX, "GetStatus", index_pb2.GetStatusRequest, index_pb2.GetStatusResponse, is_repeatable=True)
LIST_SNAPSHOTS = Method(
    _INDEX, "ListSnapshots", index_pb2.ListSnapshotsRequest, index_pb2.ListSnapshotsResponse, is_repeatable=True
)
ACTIVATE_SNAPSHOT = Method(
    _INDEX, "ActivateSnapshot", index_pb2.ActivateSnapshotRequest, index_pb2.ActivateSnapshotResponse
)
ROLLBACK_SNAPSHOT = Method(
    _INDEX, "RollbackSnapshot", index_pb2.RollbackSnapshotRequest, index_pb2.RollbackSnapshotResponse
)
REBUILD = Method(_INDEX, "Rebuild", index_pb2.RebuildRequest, index_pb2.RebuildResponse)
UPSERT_ENTRIES = Method(
    _INDEX, "UpsertEntries", index_pb2.UpsertEntriesRequest, index_pb2.UpsertEntriesResponse, is_repeatable=True
)
DELETE_ENTRIES = Method(_INDEX, "DeleteEntries", index_pb2.DeleteEntriesRequest, index_pb2.DeleteEntriesResponse)

METHODS = (
    ACTIVATE_SNAPSHOT,
    DELETE_ENTRIES,
    EMBED,
    EMBED_STREAM,
    GET_PHOTO,
    GET_STATUS,
    IDENTIFY,
    IDENTIFY_STREAM,
    LIST_FAMILIES,
    LIST_SNAPSHOTS,
    REBUILD,
    ROLLBACK_SNAPSHOT,
    SEARCH_NEIGHBORS,
    UPSERT_ENTRIES,
)
