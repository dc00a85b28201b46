"""The client for asyncio programs: the same calls as `Client`, awaited."""

import asyncio
import warnings
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import TYPE_CHECKING, Self, TypeVar

from beedex.client._calls.index_replies import parse_news
from beedex.client._calls.methods import GET_PHOTO, REBUILD
from beedex.client._calls.requests import DEFAULT_K
from beedex.client._connections.async_connection import AsyncConnection
from beedex.client._connections.deadline import Deadline
from beedex.client._face import BUILD_TIMEOUT_S, DEFAULT_IN_FLIGHT, Face
from beedex.client._photos.photos import open_photo
from beedex.client._relays.async_streams import relay_in_tasks
from beedex.client._results.outcomes import UNUSABLE, explain_unusable, require_many
from beedex.client._results.stored_photos import PhotoAssembly

if TYPE_CHECKING:
    from types import TracebackType

    from google.protobuf.message import Message
    from numpy.typing import ArrayLike

    from beedex.client._calls.calls import Call, StreamCall
    from beedex.client._connections.channel import ChannelConfig
    from beedex.client._errors import ClientError
    from beedex.client._photos.photos import PhotoSource
    from beedex.client._results.entries import EntryOutcomes, EntryToUpsert
    from beedex.client._results.outcomes import Outcome
    from beedex.client._results.rebuilds import RebuildProgress, RebuildSummary
    from beedex.client._results.results import Embedding, Families, Identification, Neighbors, Status
    from beedex.client._results.snapshots import Activation, Snapshots
    from beedex.client._results.stored_photos import StoredPhoto

__all__ = ["AsyncClient"]

Request = TypeVar("Request", bound="Message")
Reply = TypeVar("Reply", bound="Message")
Result = TypeVar("Result")


class AsyncClient(Face[AsyncConnection]):
    """A connection to a beedex server, for one event loop.

    Args:
        target: as for `Client`, and so are all others.
        timeout_s: the deadline of a call that names none, in seconds.
        attempts: how often a call is tried, from 1 (no retry) to 5.
        tls: how the connection is encrypted; None for not at all.
        token: what the server knows the caller by.
        allow_insecure_token: let the token travel unencrypted beyond this machine.
        expected_fingerprint: the embedder that is relied on.
        expected_snapshot: the version of the index that is relied on.
        shrink: bring large photos to the size that the embedder looks at before they travel.

    Example:
        >>> import asyncio
        >>> async def ask(photo):
        ...     async with AsyncClient("127.0.0.1:50051") as client:
        ...         return await client.identify(photo)
        >>> asyncio.run(ask("bee.jpg")).family
        'mason'
    """

    async def identify(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        timeout_s: float | None = None,
        retry: bool = True,
    ) -> "Identification":
        """Ask which family a photo, a vector or an indexed photo belongs to; see `Client.identify`."""
        return await self._run(self._calls.identify(photo, vector, entry_id, k), timeout_s, retry=retry)

    def identify_many(
        self,
        photos: "Iterable[PhotoSource] | AsyncIterable[PhotoSource]",
        *,
        k: int = DEFAULT_K,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> "AsyncGenerator[Outcome[Identification], None]":
        """Ask which family each of many photos belongs to; see `Client.identify_many`.

        Args:
            photos: any iterable. One that has to wait for its photos should be asynchronous: an ordinary one is read in
                the event loop.
            k: as for `identify`.
            in_flight: how many photos may have been read whose outcome was not taken yet, at least 1.
            timeout_s: how long one photo may take from when it was read to its answer, in seconds.

        Returns:
            an async generator. Who leaves its loop early closes it with `contextlib.aclosing`, or leaves that to the
            event loop.

        Example:
            >>> import asyncio
            >>> async def ask(photos):
            ...     async with AsyncClient("127.0.0.1:50051") as client:
            ...         return [outcome.unwrap().family async for outcome in client.identify_many(photos)]
            >>> asyncio.run(ask(["bee.jpg", "other-bee.jpg"]))
            ['mason', 'carpenter']
        """
        return self._relay(self._calls.identify_many(k), photos, in_flight, timeout_s)

    async def neighbors(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        families: Iterable[str] = (),
        timeout_s: float | None = None,
        retry: bool = True,
    ) -> "Neighbors":
        """Find the *k* indexed photos most like a photo, a vector or an indexed photo; see `Client.neighbors`."""
        return await self._run(self._calls.neighbors(photo, vector, entry_id, k, families), timeout_s, retry=retry)

    async def embed(
        self,
        photo: "PhotoSource | None" = None,
        *,
        entry_id: str | None = None,
        timeout_s: float | None = None,
        retry: bool = True,
    ) -> "Embedding":
        """Turn a photo into a unit vector, or fetch the stored one of an indexed photo; see `Client.embed`."""
        return await self._run(self._calls.embed(photo, entry_id), timeout_s, retry=retry)

    def embed_many(
        self,
        photos: "Iterable[PhotoSource] | AsyncIterable[PhotoSource]",
        *,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> "AsyncGenerator[Outcome[Embedding], None]":
        """Turn many photos into unit vectors; all is as for `identify_many`."""
        return self._relay(self._calls.embed_many(), photos, in_flight, timeout_s)

    async def families(self, *, timeout_s: float | None = None, retry: bool = True) -> "Families":
        """List the families of the index, by name."""
        return await self._run(self._calls.families(), timeout_s, retry=retry)

    async def photo(
        self, entry_id: str, *, max_side_px: int | None = None, timeout_s: float | None = None, retry: bool = True
    ) -> "StoredPhoto":
        """Fetch an indexed photo, as its file is or shrunk; see `Client.photo`."""
        deadline = self._connection.start(timeout_s)
        assembly = PhotoAssembly()
        request = self._calls.requests.photo(entry_id, max_side_px)
        async with await self._connection.open(GET_PHOTO, request, deadline, retry=retry) as parts:
            async for part in parts:
                assembly.add(part)
            return assembly.finish(request_id=parts.request_id)

    async def status(self, *, timeout_s: float | None = None, retry: bool = True) -> "Status":
        """Ask what the server has loaded and what it takes."""
        return await self._run(self._calls.status(), timeout_s, retry=retry)

    async def upsert(
        self, entries: "Iterable[EntryToUpsert]", *, timeout_s: float | None = None, retry: bool = True
    ) -> "EntryOutcomes":
        """Put photos into the index, or change what it says of indexed ones; see `Client.upsert`."""
        return await self._run(self._calls.upsert(entries), timeout_s, retry=retry)

    async def delete(
        self, entry_ids: Iterable[str], *, timeout_s: float | None = None, retry: bool = True
    ) -> "EntryOutcomes":
        """Take entries out of the index, each alone; see `Client.delete`."""
        return await self._run(self._calls.delete(entry_ids), timeout_s, retry=retry)

    def rebuild(self, *, timeout_s: float | None = None) -> "AsyncGenerator[RebuildProgress | RebuildSummary, None]":
        """Bring the index up to date with the server's gallery, and have the result served; see `Client.rebuild`.

        Example:
            >>> import asyncio
            >>> async def build():
            ...     async with AsyncClient("127.0.0.1:50051") as client:
            ...         return [news async for news in client.rebuild()]
            >>> asyncio.run(build())[-1].skipped_count
            0
        """
        return self._follow_build(self._connection.start(BUILD_TIMEOUT_S if timeout_s is None else timeout_s))

    async def snapshots(self, *, timeout_s: float | None = None, retry: bool = True) -> "Snapshots":
        """List the snapshots that can be activated, oldest first."""
        return await self._run(self._calls.snapshots(), timeout_s, retry=retry)

    async def activate(self, version: int, *, timeout_s: float | None = None, retry: bool = True) -> "Activation":
        """Have another snapshot served, here and by every server of the same index; this takes the role admin."""
        return await self._run(self._calls.activate(version), timeout_s, retry=retry)

    async def rollback(self, *, timeout_s: float | None = None, retry: bool = True) -> "Activation":
        """Have the snapshot before the current one served again; this takes the role admin."""
        return await self._run(self._calls.rollback(), timeout_s, retry=retry)

    async def close(self) -> None:
        """Close the connection; calls still running are cancelled."""
        await self._connection.close()

    def _connect(self, config: "ChannelConfig") -> AsyncConnection:
        return AsyncConnection(config)

    async def _run(self, call: "Call[Request, Reply, Result]", timeout_s: float | None, *, retry: bool) -> Result:
        return await self._make(call, self._connection.start(timeout_s), retry=retry)

    async def _make(self, call: "Call[Request, Reply, Result]", deadline: Deadline, *, retry: bool) -> Result:
        photos = [await self._pack(photo, deadline, shrink=call.shrink, retry=retry) for photo in call.photos]
        reply, request_id = await self._connection.call(call.method, call.build(photos), deadline, retry=retry)
        return call.parse(reply, request_id=request_id)

    async def _pack(
        self, photo: "PhotoSource", deadline: Deadline, *, shrink: bool = True, retry: bool = True
    ) -> bytes:
        # Reading a photo's file may block, and shrinking it takes a while.
        opened = photo if isinstance(photo, bytes) else await asyncio.to_thread(open_photo, photo)
        if self._intake.needs_status(opened, shrink=shrink):
            self._intake.learn(await self._make(self._calls.status(), deadline, retry=retry))
        if self._intake.is_quick(opened):
            return self._intake.pack(opened, shrink=shrink)
        return await asyncio.to_thread(self._intake.pack, opened, shrink=shrink)

    def _relay(
        self,
        call: "StreamCall[Request, Reply, Result]",
        photos: "Iterable[PhotoSource] | AsyncIterable[PhotoSource]",
        in_flight: int,
        timeout_s: float | None,
    ) -> "AsyncGenerator[Outcome[Result], None]":
        require_many(photos)
        limit_s = self._connection.start(timeout_s).timeout_s

        async def pack(photo: "PhotoSource") -> "bytes | ClientError":
            try:
                return await self._pack(photo, Deadline.after(limit_s))
            except UNUSABLE as error:
                return explain_unusable(error)

        relay = self._plan_relay(call, in_flight, limit_s)
        return relay_in_tasks(relay, self._connection, call.method, photos, pack)

    async def _follow_build(self, deadline: Deadline) -> "AsyncGenerator[RebuildProgress | RebuildSummary, None]":
        async with await self._connection.open(REBUILD, self._calls.requests.rebuild(), deadline) as news:
            async for item in news:
                yield parse_news(item, request_id=news.request_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None and connection.is_open:
            warnings.warn(f"{self!r} was never closed; use `async with`", ResourceWarning, stacklevel=2, source=self)
