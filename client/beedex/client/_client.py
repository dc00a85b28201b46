"""The client for ordinary programs."""

import warnings
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Self, TypeVar

from beedex.client._calls.index_replies import parse_news
from beedex.client._calls.methods import GET_PHOTO, REBUILD
from beedex.client._calls.requests import DEFAULT_K
from beedex.client._connections.connection import Connection
from beedex.client._connections.deadline import Deadline
from beedex.client._face import BUILD_TIMEOUT_S, DEFAULT_IN_FLIGHT, Face
from beedex.client._photos.photos import open_photo
from beedex.client._relays.streams import relay_in_threads
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

__all__ = ["Client"]

Request = TypeVar("Request", bound="Message")
Reply = TypeVar("Reply", bound="Message")
Result = TypeVar("Result")


class Client(Face[Connection]):
    """A connection to a beedex server; safe to share between threads.

    Args:
        target: HOST:PORT of the server.
        timeout_s: the deadline of a call that names none, in seconds.
        attempts: how often a call is tried while the server is unavailable or busy, from 1 (no retry) to 5, all within
            the deadline. What would be wrong to do twice is tried once.
        tls: how the connection is encrypted; None for not at all.
        token: what the server knows the caller by: the token, the path of its file, or a function that returns it.
        allow_insecure_token: let the token travel unencrypted beyond this machine.
        expected_fingerprint: the embedder that is relied on; a server with another one answers `PreconditionError`.
        expected_snapshot: the version of the index that is relied on, as `expected_fingerprint`.
        shrink: bring large photos to the size that the embedder looks at before they travel, where Pillow is
            installed (`pip install 'beedex[photos]'`). What the embedder sees is the same.

    Example:
        >>> with Client("127.0.0.1:50051") as client:
        ...     client.identify("bee.jpg").family
        'mason'
    """

    def identify(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        timeout_s: float | None = None,
        retry: bool = True,
    ) -> "Identification":
        """Ask which family a photo, a vector or an indexed photo belongs to; give exactly one of the three.

        Args:
            photo: a path, the bytes of an image file, a file open in binary mode, an array of uint8 of shape (H, W, 3),
                (H, W, 4) or (H, W), or an image of Pillow.
            vector: (D,) of the server's embedder; an `Embedding` is also checked to be of that embedder.
            entry_id: an indexed photo; it is decided without its own vote.
            k: how many neighbors to show, at least 1; it doesn't change the verdict.
            timeout_s: the deadline in seconds; None for the client's.
            retry: False to make one attempt, whatever the client's `attempts`. Such calls have their own connection.

        Raises:
            ClientError: see the tree in `beedex.client`; so do all calls.
        """
        return self._run(self._calls.identify(photo, vector, entry_id, k), timeout_s, retry=retry)

    def identify_many(
        self,
        photos: "Iterable[PhotoSource]",
        *,
        k: int = DEFAULT_K,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> "Generator[Outcome[Identification], None, None]":
        """Ask which family each of many photos belongs to.

        The outcomes come in the order of the photos, each when it and those before it are there. A photo that can't be
        read, used or answered has an error for its outcome, and the others go on. A server that restarts is waited for,
        and what it had not answered is sent again.

        Args:
            photos: any iterable, also one that never ends. It is read as the outcomes are taken, and in a thread of its
                own, so that one which is slow holds up no answer.
            k: as for `identify`.
            in_flight: how many photos may have been read whose outcome was not taken yet, at least 1.
            timeout_s: how long one photo may take from when it was read to its answer, in seconds, whatever happens
                meanwhile; None for the client's. There is none for all together.

        Returns:
            a generator. Its `close` ends it early and leaves nothing running, as leaving the loop does when nothing
            else holds the generator.

        Raises:
            ClientError: in the loop, when the stream can't go on: the server doesn't let this caller in, is not to be
                reached, or fails. Every photo that was read has its outcome before.

        Example:
            >>> for outcome in client.identify_many(["bee.jpg", "no-such.jpg"]):
            ...     print(outcome.photo, outcome.error or outcome.unwrap().family)
            bee.jpg mason
            no-such.jpg there is no photo no-such.jpg; check the path
        """
        return self._relay(self._calls.identify_many(k), photos, in_flight, timeout_s)

    def neighbors(
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
        """Find the *k* indexed photos that are most like a photo, a vector or an indexed photo.

        Args:
            photo: as for `identify`.
            vector: as for `identify`.
            entry_id: an indexed photo; it is not among its own neighbors.
            k: how many, at least 1; fewer come back when the index holds fewer.
            families: only neighbors of these; of all if there are none. One that the index lacks has no neighbors.
            timeout_s: the deadline in seconds; None for the client's.
            retry: as for `identify`.
        """
        return self._run(self._calls.neighbors(photo, vector, entry_id, k, families), timeout_s, retry=retry)

    def embed(
        self,
        photo: "PhotoSource | None" = None,
        *,
        entry_id: str | None = None,
        timeout_s: float | None = None,
        retry: bool = True,
    ) -> "Embedding":
        """Turn a photo into a unit vector, or fetch the stored one of an indexed photo.

        Args:
            photo: as for `identify`.
            entry_id: an indexed photo.
            timeout_s: the deadline in seconds; None for the client's.
            retry: as for `identify`.
        """
        return self._run(self._calls.embed(photo, entry_id), timeout_s, retry=retry)

    def embed_many(
        self, photos: "Iterable[PhotoSource]", *, in_flight: int = DEFAULT_IN_FLIGHT, timeout_s: float | None = None
    ) -> "Generator[Outcome[Embedding], None, None]":
        """Turn many photos into unit vectors; all is as for `identify_many`."""
        return self._relay(self._calls.embed_many(), photos, in_flight, timeout_s)

    def families(self, *, timeout_s: float | None = None, retry: bool = True) -> "Families":
        """List the families of the index, by name."""
        return self._run(self._calls.families(), timeout_s, retry=retry)

    def photo(
        self, entry_id: str, *, max_side_px: int | None = None, timeout_s: float | None = None, retry: bool = True
    ) -> "StoredPhoto":
        """Fetch an indexed photo, as its file is or shrunk.

        Args:
            entry_id: as neighbors name it.
            max_side_px: shrink it to a JPEG whose longer side is at most this, from 16 to 2048; None for the file.
            timeout_s: the deadline in seconds; None for the client's.
            retry: as for `identify`.
        """
        deadline = self._connection.start(timeout_s)
        assembly = PhotoAssembly()
        with self._connection.open(
            GET_PHOTO, self._calls.requests.photo(entry_id, max_side_px), deadline, retry=retry
        ) as parts:
            for part in parts:
                assembly.add(part)
            return assembly.finish(request_id=parts.request_id)

    def status(self, *, timeout_s: float | None = None, retry: bool = True) -> "Status":
        """Ask what the server has loaded and what it takes."""
        return self._run(self._calls.status(), timeout_s, retry=retry)

    def upsert(
        self, entries: "Iterable[EntryToUpsert]", *, timeout_s: float | None = None, retry: bool = True
    ) -> "EntryOutcomes":
        """Put photos into the index, or change what it says of indexed ones; this takes the role admin.

        Each is done or refused alone. What is done is kept, and found by every later search.

        Args:
            entries: at least one, at most as many, and together as large, as `status` says.
            timeout_s: the deadline of all together, in seconds; None for the client's. Each photo has to be embedded.
            retry: as for `identify`.

        Returns:
            what became of each, in their order.

        Raises:
            ClientError: as for all calls; also for a photo that can't be read, before anything is done.

        Example:
            >>> from beedex.client import EntryToUpsert
            >>> client.upsert([EntryToUpsert(photo="bee.jpg", family="mason")])[0].unwrap().family
            'mason'
        """
        return self._run(self._calls.upsert(entries), timeout_s, retry=retry)

    def delete(
        self, entry_ids: Iterable[str], *, timeout_s: float | None = None, retry: bool = True
    ) -> "EntryOutcomes":
        """Take entries out of the index, each alone; this takes the role admin.

        Returns:
            what became of each, in their order: the entry as it was, or why it is not taken out.
        """
        return self._run(self._calls.delete(entry_ids), timeout_s, retry=retry)

    def rebuild(self, *, timeout_s: float | None = None) -> "Generator[RebuildProgress | RebuildSummary, None, None]":
        """Bring the index up to date with the server's gallery, and have the result served; takes the role admin.

        It begins when the first news are asked for. To close the generator ends the build; the next one goes on where
        it was.

        Args:
            timeout_s: the deadline of the whole build, in seconds; None for a day.

        Returns:
            news about once a second, the summary last.

        Example:
            >>> *_, summary = client.rebuild()
            >>> summary.skipped_count
            0
        """
        return self._follow_build(self._connection.start(BUILD_TIMEOUT_S if timeout_s is None else timeout_s))

    def snapshots(self, *, timeout_s: float | None = None, retry: bool = True) -> "Snapshots":
        """List the snapshots that can be activated, oldest first."""
        return self._run(self._calls.snapshots(), timeout_s, retry=retry)

    def activate(self, version: int, *, timeout_s: float | None = None, retry: bool = True) -> "Activation":
        """Have another snapshot served, here and by every server of the same index; this takes the role admin."""
        return self._run(self._calls.activate(version), timeout_s, retry=retry)

    def rollback(self, *, timeout_s: float | None = None, retry: bool = True) -> "Activation":
        """Have the snapshot before the current one served again; this takes the role admin."""
        return self._run(self._calls.rollback(), timeout_s, retry=retry)

    def close(self) -> None:
        """Close the connection; calls still running are cancelled."""
        self._connection.close()

    def _connect(self, config: "ChannelConfig") -> Connection:
        return Connection(config)

    def _run(self, call: "Call[Request, Reply, Result]", timeout_s: float | None, *, retry: bool) -> Result:
        return self._make(call, self._connection.start(timeout_s), retry=retry)

    def _make(self, call: "Call[Request, Reply, Result]", deadline: Deadline, *, retry: bool) -> Result:
        photos = [self._pack(photo, deadline, shrink=call.shrink, retry=retry) for photo in call.photos]
        reply, request_id = self._connection.call(call.method, call.build(photos), deadline, retry=retry)
        return call.parse(reply, request_id=request_id)

    def _pack(self, photo: "PhotoSource", deadline: Deadline, *, shrink: bool = True, retry: bool = True) -> bytes:
        opened = open_photo(photo)
        if self._intake.needs_status(opened, shrink=shrink):
            self._intake.learn(self._make(self._calls.status(), deadline, retry=retry))
        return self._intake.pack(opened, shrink=shrink)

    def _relay(
        self,
        call: "StreamCall[Request, Reply, Result]",
        photos: "Iterable[PhotoSource]",
        in_flight: int,
        timeout_s: float | None,
    ) -> "Generator[Outcome[Result], None, None]":
        require_many(photos)
        limit_s = self._connection.start(timeout_s).timeout_s

        def pack(photo: "PhotoSource") -> "bytes | ClientError":
            try:
                return self._pack(photo, Deadline.after(limit_s))
            except UNUSABLE as error:
                return explain_unusable(error)

        relay = self._plan_relay(call, in_flight, limit_s)
        return relay_in_threads(relay, self._connection, call.method, photos, pack)

    def _follow_build(self, deadline: Deadline) -> "Generator[RebuildProgress | RebuildSummary, None, None]":
        with self._connection.open(REBUILD, self._calls.requests.rebuild(), deadline) as news:
            for item in news:
                yield parse_news(item, request_id=news.request_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None and connection.is_open:
            warnings.warn(f"{self!r} was never closed; use `with`", ResourceWarning, stacklevel=2, source=self)
