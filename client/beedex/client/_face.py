"""What `Client` and `AsyncClient` have in common: how they are made, what their calls are, how they look."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

from beedex.client._calls.calls import Calls, StreamCall
from beedex.client._calls.requests import RequestBuilder
from beedex.client._connections.channel import DEFAULT_ATTEMPTS, DEFAULT_TARGET, DEFAULT_TIMEOUT_S, ChannelConfig
from beedex.client._errors import MisplacedClientError
from beedex.client._photos.intake import PhotoIntake
from beedex.client._relays.places import Terms
from beedex.client._relays.relay import Relay
from beedex.client._results.thumbnails import Thumbnails

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from beedex.client._connections.credentials import Tls, TokenSource

__all__ = ["BUILD_TIMEOUT_S", "DEFAULT_IN_FLIGHT", "Face"]

# The deadline of a rebuild that names none: of millions of photos it takes hours, and it can be watched.
BUILD_TIMEOUT_S = 24 * 3600.0

# Twice what a server has under way of one stream, so that the next photos are there when places become free.
DEFAULT_IN_FLIGHT = 32


class ConnectionLike(Protocol):
    """A connection of either client."""

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        ...


Linked = TypeVar("Linked", bound=ConnectionLike)
Item = TypeVar("Item", bound="Message")
Reply = TypeVar("Reply", bound="Message")
Result = TypeVar("Result")


class Face(ABC, Generic[Linked]):
    """The part of a client that doesn't wait for anything. What it is made of is said at `Client`."""

    def __init__(  # noqa: PLR0913 - all but the target are keyword-only
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        attempts: int = DEFAULT_ATTEMPTS,
        tls: "Tls | None" = None,
        token: "TokenSource | None" = None,
        allow_insecure_token: bool = False,
        expected_fingerprint: str | None = None,
        expected_snapshot: int | None = None,
        shrink: bool = True,
    ) -> None:
        self._config = ChannelConfig(
            target=target,
            timeout_s=timeout_s,
            attempts=attempts,
            tls=tls,
            token=token,
            allow_insecure_token=allow_insecure_token,
        )
        self._calls = Calls(
            requests=RequestBuilder(expected_fingerprint=expected_fingerprint, expected_snapshot=expected_snapshot),
            target=target,
            thumbnails=Thumbnails(self._config),
        )
        self._intake = PhotoIntake(shrink=shrink)
        self._connection = self._connect(self._config)

    @abstractmethod
    def _connect(self, config: ChannelConfig) -> Linked:
        """Return the client's connection."""

    def _plan_relay(
        self, call: StreamCall[Item, Reply, Result], in_flight: int, timeout_s: float
    ) -> Relay[Item, Reply, Result]:
        terms = Terms(in_flight=in_flight, timeout_s=timeout_s, attempts=self._config.attempts)
        return Relay(call, terms, target=self._config.target)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.target}{' closed' if self._connection.is_closed else ''}>"

    def __reduce__(self) -> NoReturn:
        raise MisplacedClientError(
            f"{self!r} has a connection, which can't be pickled or copied; open a client in each process"
        )
