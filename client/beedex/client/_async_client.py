"""The client for asyncio programs: the same calls as `Client`, awaited."""

import asyncio
import warnings
from typing import TYPE_CHECKING, Self, TypeVar

import grpc

from beedex.client._channel import DEFAULT_ATTEMPTS, DEFAULT_TARGET, DEFAULT_TIMEOUT_S, ChannelConfig, Deadline
from beedex.client._errors import ClosedClientError
from beedex.client._failures import translate_failure
from beedex.client._intake import PhotoIntake
from beedex.client._photos import open_photo
from beedex.client._replies import (
    parse_embedding,
    parse_families,
    parse_identification,
    parse_neighbors,
    parse_status,
)
from beedex.client._requests import DEFAULT_K, RequestBuilder
from beedex.client._thumbnails import Thumbnails
from beedex.v1 import embedding_pb2_grpc, index_pb2_grpc, search_pb2_grpc

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import ArrayLike

    from beedex.client._photos import PhotoSource
    from beedex.client._results import Embedding, Families, Identification, Neighbors, Status

__all__ = ["AsyncClient"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class _Stubs:
    """The channel and what is called through it."""

    def __init__(self, config: ChannelConfig) -> None:
        self.channel = grpc.aio.insecure_channel(config.target, options=config.options())
        self.embedding = embedding_pb2_grpc.EmbeddingServiceStub(self.channel)
        self.search = search_pb2_grpc.SearchServiceStub(self.channel)
        self.index = index_pb2_grpc.IndexServiceStub(self.channel)


class AsyncClient:
    """A connection to a beedex server, for one event loop.

    Args:
        target: HOST:PORT of the server.
        timeout_s: the deadline of a call that names none, in seconds.
        attempts: how often a call is tried while the server is UNAVAILABLE, from 1 (no retry) to 5, all within the
            deadline.
        expected_fingerprint: the embedder that is relied on; a server with another one answers `PreconditionError`.
        shrink: bring large photos to the size that the embedder looks at before they travel, where Pillow is
            installed (`pip install 'beedex[photos]'`). What the embedder sees is the same.

    Example:
        >>> async with AsyncClient("127.0.0.1:50051") as client:  # doctest: +SKIP
        ...     (await client.identify("bee.jpg")).family
        'mason'
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        attempts: int = DEFAULT_ATTEMPTS,
        expected_fingerprint: str | None = None,
        shrink: bool = True,
    ) -> None:
        self._closed = False
        # Made by the first call: a channel belongs to the event loop that runs when it is made.
        self._stubs: _Stubs | None = None
        self._config = ChannelConfig(target=target, timeout_s=timeout_s, attempts=attempts)
        self._requests = RequestBuilder(expected_fingerprint=expected_fingerprint)
        self._intake = PhotoIntake(shrink=shrink)
        self._thumbnails = Thumbnails(self._config)

    async def identify(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        timeout_s: float | None = None,
    ) -> "Identification":
        """Ask which family a photo, a vector or an indexed photo belongs to; see `Client.identify`."""
        stubs, deadline = self._start(timeout_s)
        packed = await self._pack(photo, stubs, deadline)
        request = self._requests.identify(packed, vector, entry_id, k)
        reply = await self._call(stubs.search.Identify, request, deadline)
        return parse_identification(reply, thumbnails=self._thumbnails)

    async def neighbors(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        timeout_s: float | None = None,
    ) -> "Neighbors":
        """Find the *k* indexed photos most like a photo, a vector or an indexed photo; see `Client.neighbors`."""
        stubs, deadline = self._start(timeout_s)
        packed = await self._pack(photo, stubs, deadline)
        request = self._requests.neighbors(packed, vector, entry_id, k)
        reply = await self._call(stubs.search.SearchNeighbors, request, deadline)
        return parse_neighbors(reply, thumbnails=self._thumbnails)

    async def embed(
        self, photo: "PhotoSource | None" = None, *, entry_id: str | None = None, timeout_s: float | None = None
    ) -> "Embedding":
        """Turn a photo into a unit vector, or fetch the stored one of an indexed photo; see `Client.embed`."""
        stubs, deadline = self._start(timeout_s)
        packed = await self._pack(photo, stubs, deadline)
        request = self._requests.embed(packed, entry_id)
        return parse_embedding(await self._call(stubs.embedding.Embed, request, deadline))

    async def families(self, *, timeout_s: float | None = None) -> "Families":
        """List the families of the index, by name."""
        stubs, deadline = self._start(timeout_s)
        return parse_families(await self._call(stubs.search.ListFamilies, self._requests.families(), deadline))

    async def status(self, *, timeout_s: float | None = None) -> "Status":
        """Ask what the server has loaded and what it takes."""
        return await self._read_status(*self._start(timeout_s))

    async def close(self) -> None:
        """Close the connection; calls still running are cancelled."""
        self._closed = True
        if self._stubs is not None:
            await self._stubs.channel.close()

    def _start(self, timeout_s: float | None) -> tuple[_Stubs, Deadline]:
        if self._closed:
            raise ClosedClientError
        if self._stubs is None:
            self._stubs = _Stubs(self._config)
        return self._stubs, Deadline.after(self._config.timeout_s if timeout_s is None else timeout_s)

    async def _pack(self, photo: "PhotoSource | None", stubs: _Stubs, deadline: Deadline) -> bytes | None:
        if photo is None:
            return None
        # Reading a photo's file may block, and shrinking it takes a while.
        opened = await asyncio.to_thread(open_photo, photo)
        if self._intake.needs_status(opened):
            self._intake.learn(await self._read_status(stubs, deadline))
        pack = self._intake.pack
        return pack(opened) if self._intake.is_quick(opened) else await asyncio.to_thread(pack, opened)

    async def _read_status(self, stubs: _Stubs, deadline: Deadline) -> "Status":
        return parse_status(await self._call(stubs.index.GetStatus, self._requests.status(), deadline))

    async def _call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Reply]", request: Request, deadline: Deadline
    ) -> Reply:
        try:
            return await method(request, timeout=deadline.remaining_s())
        except grpc.RpcError as failure:
            raise translate_failure(failure, target=self._config.target, timeout_s=deadline.timeout_s) from failure
        except grpc.aio.UsageError as failure:
            # What grpc raises when another task closed the channel.
            raise ClosedClientError from failure

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.target}{' closed' if self._closed else ''}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_stubs", None) is not None and not self._closed:
            warnings.warn(f"{self!r} was never closed; use `async with`", ResourceWarning, stacklevel=2, source=self)
