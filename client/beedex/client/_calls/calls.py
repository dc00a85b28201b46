"""What each call of a client is, before anything travels: both clients make their calls from these descriptions.

A `Call` says which photos are to be read, how the request is made of them, which method takes it and how its reply is
read. A client adds what differs between programs with and without an event loop: it reads, sends and waits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from beedex.client._calls import index_replies, methods, replies
from beedex.client._calls.requests import RequestBuilder, require_one

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from beedex.client._calls.methods import Method
    from beedex.client._photos.photos import PhotoSource
    from beedex.client._results.entries import EntryOutcomes, EntryToUpsert
    from beedex.client._results.results import Embedding, Families, Identification, Neighbors, Status
    from beedex.client._results.snapshots import Activation, Snapshots
    from beedex.client._results.thumbnails import Thumbnails
    from beedex.v1 import embedding_pb2, index_pb2, search_pb2

__all__ = ["Call", "Calls", "StreamCall"]

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Item = TypeVar("Item", bound=Message)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Reply_contra = TypeVar("Reply_contra", contravariant=True)


class Parser(Protocol[Reply_contra, Result_co]):
    """Reads a reply."""

    def __call__(self, reply: Reply_contra, /, *, request_id: str) -> Result_co:
        """Return the result; *request_id* is the call's name in the server's log."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[Request, Reply, Result]):
    """A call with one request and one reply.

    Attributes:
        method: where it goes.
        build: makes the request of the photos that travel; may raise ValueError.
        parse: reads the reply.
        photos: what the caller gave, to be read.
        shrink: whether a smaller photo does, of which the embedder sees the same.
    """

    method: "Method[Request, Reply]"
    build: Callable[[Sequence[bytes]], Request]
    parse: Parser[Reply, Result]
    photos: "tuple[PhotoSource, ...]" = ()
    shrink: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamCall(Generic[Item, Reply, Result]):
    """A call with a stream of photos and a stream of replies.

    Attributes:
        method: where it goes.
        build: makes an item of its correlation id and the photo that travels.
        parse: reads a reply that has a result.
        read: returns a reply's correlation id, and the status of one that has no result.
    """

    method: "Method[Item, Reply]"
    build: Callable[[str, bytes], Item]
    parse: Parser[Reply, Result]
    read: Callable[[Reply], tuple[str, status_pb2.Status | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """The calls of one client.

    Attributes:
        requests: makes the requests.
        target: the server's address, for messages.
        thumbnails: where answers find the photos of neighbors.
    """

    requests: RequestBuilder
    target: str
    thumbnails: "Thumbnails"

    def identify(
        self, photo: "PhotoSource | None", vector: "ArrayLike | Embedding | None", entry_id: str | None, k: int
    ) -> "Call[search_pb2.IdentifyRequest, search_pb2.IdentifyResponse, Identification]":
        """See `Client.identify`; TypeError unless there is exactly one source, as below."""
        require_one(photo=photo, vector=vector, entry_id=entry_id)
        return Call(
            method=methods.IDENTIFY,
            build=lambda photos: self.requests.identify(_first(photos), vector, entry_id, k),
            parse=partial(replies.parse_identification, thumbnails=self.thumbnails),
            photos=_list_photos(photo),
        )

    def neighbors(
        self,
        photo: "PhotoSource | None",
        vector: "ArrayLike | Embedding | None",
        entry_id: str | None,
        k: int,
        families: Iterable[str],
    ) -> "Call[search_pb2.SearchNeighborsRequest, search_pb2.SearchNeighborsResponse, Neighbors]":
        """See `Client.neighbors`."""
        require_one(photo=photo, vector=vector, entry_id=entry_id)
        if isinstance(families, str):
            raise TypeError(f"families are several names, expected for example [{families!r}], received a text")
        return Call(
            method=methods.SEARCH_NEIGHBORS,
            build=lambda photos: self.requests.neighbors(_first(photos), vector, entry_id, k, families),
            parse=partial(replies.parse_neighbors, thumbnails=self.thumbnails),
            photos=_list_photos(photo),
        )

    def embed(
        self, photo: "PhotoSource | None", entry_id: str | None
    ) -> "Call[embedding_pb2.EmbedRequest, embedding_pb2.EmbedResponse, Embedding]":
        """See `Client.embed`."""
        require_one(photo=photo, entry_id=entry_id)
        return Call(
            method=methods.EMBED,
            build=lambda photos: self.requests.embed(_first(photos), entry_id),
            parse=replies.parse_embedding,
            photos=_list_photos(photo),
        )

    def families(self) -> "Call[search_pb2.ListFamiliesRequest, search_pb2.ListFamiliesResponse, Families]":
        """See `Client.families`."""
        return _plain(methods.LIST_FAMILIES, self.requests.families, replies.parse_families)

    def status(self) -> "Call[index_pb2.GetStatusRequest, index_pb2.GetStatusResponse, Status]":
        """See `Client.status`."""
        return _plain(methods.GET_STATUS, self.requests.status, replies.parse_status)

    def upsert(
        self, entries: "Iterable[EntryToUpsert]"
    ) -> "Call[index_pb2.UpsertEntriesRequest, index_pb2.UpsertEntriesResponse, EntryOutcomes]":
        """See `Client.upsert`."""
        entries = tuple(entries)
        for entry in entries:
            require_one(photo=entry.photo, entry_id=entry.entry_id)
        return Call(
            method=methods.UPSERT_ENTRIES,
            build=lambda photos: self.requests.upsert(entries, photos),
            parse=partial(index_replies.parse_outcomes, target=self.target),
            photos=tuple(entry.photo for entry in entries if entry.photo is not None),
            # The index keeps the photo itself.
            shrink=False,
        )

    def delete(
        self, entry_ids: Iterable[str]
    ) -> "Call[index_pb2.DeleteEntriesRequest, index_pb2.DeleteEntriesResponse, EntryOutcomes]":
        """See `Client.delete`."""
        if isinstance(entry_ids, str):
            raise TypeError(f"entry_ids are several, expected for example [{entry_ids!r}], received a text")
        return _plain(
            methods.DELETE_ENTRIES,
            lambda: self.requests.delete(entry_ids),
            partial(index_replies.parse_outcomes, target=self.target),
        )

    def snapshots(self) -> "Call[index_pb2.ListSnapshotsRequest, index_pb2.ListSnapshotsResponse, Snapshots]":
        """See `Client.snapshots`."""
        return _plain(methods.LIST_SNAPSHOTS, self.requests.snapshots, index_replies.parse_snapshots)

    def activate(
        self, version: int
    ) -> "Call[index_pb2.ActivateSnapshotRequest, index_pb2.ActivateSnapshotResponse, Activation]":
        """See `Client.activate`."""
        return _plain(
            methods.ACTIVATE_SNAPSHOT, lambda: self.requests.activate(version), index_replies.parse_activation
        )

    def rollback(self) -> "Call[index_pb2.RollbackSnapshotRequest, index_pb2.RollbackSnapshotResponse, Activation]":
        """See `Client.rollback`."""
        return _plain(methods.ROLLBACK_SNAPSHOT, self.requests.rollback, index_replies.parse_activation)

    def identify_many(
        self, k: int
    ) -> "StreamCall[search_pb2.IdentifyStreamRequest, search_pb2.IdentifyStreamResponse, Identification]":
        """See `Client.identify_many`."""

        def build(correlation_id: str, photo: bytes) -> "search_pb2.IdentifyStreamRequest":
            request = self.requests.identify(photo, None, None, k)
            return methods.IDENTIFY_STREAM.request(correlation_id=correlation_id, request=request)

        def parse(reply: "search_pb2.IdentifyStreamResponse", /, *, request_id: str) -> "Identification":
            return replies.parse_identification(reply.result, request_id=request_id, thumbnails=self.thumbnails)

        return StreamCall(method=methods.IDENTIFY_STREAM, build=build, parse=parse, read=_read)

    def embed_many(
        self,
    ) -> "StreamCall[embedding_pb2.EmbedStreamRequest, embedding_pb2.EmbedStreamResponse, Embedding]":
        """See `Client.embed_many`."""

        def build(correlation_id: str, photo: bytes) -> "embedding_pb2.EmbedStreamRequest":
            request = self.requests.embed(photo, None)
            return methods.EMBED_STREAM.request(correlation_id=correlation_id, request=request)

        def parse(reply: "embedding_pb2.EmbedStreamResponse", /, *, request_id: str) -> "Embedding":
            return replies.parse_embedding(reply.result, request_id=request_id)

        return StreamCall(method=methods.EMBED_STREAM, build=build, parse=parse, read=_read)


def _plain(
    method: "Method[Request, Reply]", build: Callable[[], Request], parse: Parser[Reply, Result]
) -> Call[Request, Reply, Result]:
    """Return a call without photos."""
    return Call(method=method, build=lambda _photos: build(), parse=parse)


def _list_photos(photo: "PhotoSource | None") -> "tuple[PhotoSource, ...]":
    return () if photo is None else (photo,)


def _first(photos: Sequence[bytes]) -> bytes | None:
    return photos[0] if photos else None


def _read(
    reply: "search_pb2.IdentifyStreamResponse | embedding_pb2.EmbedStreamResponse",
) -> tuple[str, status_pb2.Status | None]:
    return reply.correlation_id, reply.error if reply.HasField("error") else None
