"""The client for ordinary programs."""

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

__all__ = ["Client"]

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Client:
    """A connection to a beedex server; safe to share between threads.

    Args:
        target: HOST:PORT of the server.
        timeout_s: the deadline of a call that names none, in seconds.
        attempts: how often a call is tried while the server is UNAVAILABLE, from 1 (no retry) to 5, all within the
            deadline.
        expected_fingerprint: the embedder that is relied on; a server with another one answers `PreconditionError`.
        shrink: bring large photos to the size that the embedder looks at before they travel, where Pillow is
            installed (`pip install 'beedex[photos]'`). What the embedder sees is the same.

    Example:
        >>> with Client("127.0.0.1:50051") as client:  # doctest: +SKIP
        ...     client.identify("bee.jpg").family
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
        self._closed = True
        self._config = ChannelConfig(target=target, timeout_s=timeout_s, attempts=attempts)
        self._requests = RequestBuilder(expected_fingerprint=expected_fingerprint)
        self._intake = PhotoIntake(shrink=shrink)
        self._thumbnails = Thumbnails(self._config)
        self._channel = grpc.insecure_channel(target, options=self._config.options())
        self._closed = False
        self._embedding = embedding_pb2_grpc.EmbeddingServiceStub(self._channel)
        self._search = search_pb2_grpc.SearchServiceStub(self._channel)
        self._index = index_pb2_grpc.IndexServiceStub(self._channel)

    def identify(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        timeout_s: float | None = None,
    ) -> "Identification":
        """Ask which family a photo, a vector or an indexed photo belongs to; give exactly one of the three.

        Args:
            photo: a path, the bytes of an image file, a file open in binary mode, pixels as an array of uint8 of shape
                (H, W), (H, W, 3) or (H, W, 4), or a PIL image, of which an EXIF orientation that it carries is applied.
            vector: (D,) of the server's embedder; an `Embedding` is also checked to be of that embedder.
            entry_id: an indexed photo; it is decided without its own vote.
            k: how many neighbors to show, at least 1; it doesn't change the verdict.
            timeout_s: the deadline in seconds; None for the client's.

        Raises:
            ClientError: see the tree in `beedex.client`.
        """
        deadline = self._start(timeout_s)
        request = self._requests.identify(self._pack(photo, deadline), vector, entry_id, k)
        reply = self._call(self._search.Identify, request, deadline)
        return parse_identification(reply, thumbnails=self._thumbnails)

    def neighbors(
        self,
        photo: "PhotoSource | None" = None,
        *,
        vector: "ArrayLike | Embedding | None" = None,
        entry_id: str | None = None,
        k: int = DEFAULT_K,
        timeout_s: float | None = None,
    ) -> "Neighbors":
        """Find the *k* indexed photos that are most like a photo, a vector or an indexed photo.

        Args:
            photo: as for `identify`.
            vector: as for `identify`.
            entry_id: an indexed photo; it is not among its own neighbors.
            k: how many, at least 1; fewer come back when the index holds fewer.
            timeout_s: the deadline in seconds; None for the client's.

        Raises:
            ClientError: see the tree in `beedex.client`.
        """
        deadline = self._start(timeout_s)
        request = self._requests.neighbors(self._pack(photo, deadline), vector, entry_id, k)
        reply = self._call(self._search.SearchNeighbors, request, deadline)
        return parse_neighbors(reply, thumbnails=self._thumbnails)

    def embed(
        self, photo: "PhotoSource | None" = None, *, entry_id: str | None = None, timeout_s: float | None = None
    ) -> "Embedding":
        """Turn a photo into a unit vector, or fetch the stored one of an indexed photo.

        Args:
            photo: as for `identify`.
            entry_id: an indexed photo.
            timeout_s: the deadline in seconds; None for the client's.

        Raises:
            ClientError: see the tree in `beedex.client`.
        """
        deadline = self._start(timeout_s)
        request = self._requests.embed(self._pack(photo, deadline), entry_id)
        return parse_embedding(self._call(self._embedding.Embed, request, deadline))

    def families(self, *, timeout_s: float | None = None) -> "Families":
        """List the families of the index, by name."""
        deadline = self._start(timeout_s)
        return parse_families(self._call(self._search.ListFamilies, self._requests.families(), deadline))

    def status(self, *, timeout_s: float | None = None) -> "Status":
        """Ask what the server has loaded and what it takes."""
        return self._read_status(self._start(timeout_s))

    def close(self) -> None:
        """Close the connection; calls still running are cancelled."""
        if not self._closed:
            self._closed = True
            self._channel.close()

    def _start(self, timeout_s: float | None) -> Deadline:
        if self._closed:
            raise ClosedClientError
        return Deadline.after(self._config.timeout_s if timeout_s is None else timeout_s)

    def _pack(self, photo: "PhotoSource | None", deadline: Deadline) -> bytes | None:
        if photo is None:
            return None
        opened = open_photo(photo)
        if self._intake.needs_status(opened):
            self._intake.learn(self._read_status(deadline))
        return self._intake.pack(opened)

    def _read_status(self, deadline: Deadline) -> "Status":
        return parse_status(self._call(self._index.GetStatus, self._requests.status(), deadline))

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Reply]", request: Request, deadline: Deadline
    ) -> Reply:
        try:
            return method(request, timeout=deadline.remaining_s())
        except grpc.RpcError as failure:
            raise translate_failure(failure, target=self._config.target, timeout_s=deadline.timeout_s) from failure
        except ValueError as failure:
            # What grpc raises when another thread closed the channel.
            raise ClosedClientError from failure

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.target}{' closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed:
            warnings.warn(f"{self!r} was never closed; use `with`", ResourceWarning, stacklevel=2, source=self)
